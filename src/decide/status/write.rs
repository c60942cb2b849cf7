//! Decides whether a status is worth a write. A changed time alone is not, until it is old.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::observed_at;
use crate::{
    api::{
        CachesStatus, CloudTenantStatus, DownEngine, EngineHost, EnginesStatus, UsageFigures, UsageStatus,
        condition_type,
    },
    observation::{ProbeKind, engine_answers::age},
    target::Target,
};

/// Longest age of `observedAt` while the probe runs, unless its interval is longer.
const HEARTBEAT: Duration = Duration::from_secs(600);

/// Whether the statuses differ in more than times. Conditions of other controllers do not count.
///
/// Each pass compares, so this copies nothing.
#[must_use]
pub fn differs(old: &CloudTenantStatus, new: &CloudTenantStatus) -> bool {
    let CloudTenantStatus {
        observed_generation,
        last_handled_reconcile_at,
        conditions,
        observed_at: _,
        source,
        engines,
        caches,
        usage,
    } = old;
    let is_same = *observed_generation == new.observed_generation
        && *last_handled_reconcile_at == new.last_handled_reconcile_at
        && *source == new.source
        && condition_type::ALL.iter().all(|type_| are_same_conditions(type_, conditions, &new.conditions))
        && are_same(engines.as_ref(), new.engines.as_ref(), are_same_engines)
        && are_same(caches.as_ref(), new.caches.as_ref(), are_same_caches)
        && are_same(usage.as_ref(), new.usage.as_ref(), are_same_usages);
    !is_same
}

/// Whether a stored `observedAt` is so old that it has to be written again.
#[must_use]
pub fn is_heartbeat_due(target: &Target, old: &CloudTenantStatus, new: &CloudTenantStatus) -> bool {
    ProbeKind::ALL.into_iter().any(|kind| match (observed_at(old, kind), observed_at(new, kind)) {
        // The stored time may also be later, if the clock was corrected.
        (Some(old), Some(new)) => age(old, new).max(age(new, old)) >= HEARTBEAT.max(target.interval_of(kind)),
        _ => false,
    })
}

fn are_same<T>(old: Option<&T>, new: Option<&T>, are_same: impl FnOnce(&T, &T) -> bool) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => are_same(old, new),
        (None, None) => true,
        _ => false,
    }
}

fn are_same_items<T>(old: &[T], new: &[T], are_same: impl Fn(&T, &T) -> bool) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| are_same(old, new))
}

/// Compares the conditions of one type, of which a damaged status may have several.
fn are_same_conditions(of: &str, old: &[Condition], new: &[Condition]) -> bool {
    fn timeless(condition: &Condition) -> (&str, &str, &str, Option<i64>) {
        let Condition { type_: _, status, reason, message, observed_generation, last_transition_time: _ } = condition;
        (status, reason, message, *observed_generation)
    }
    let is_wanted = |condition: &&Condition| condition.type_ == of;
    old.iter().filter(is_wanted).map(timeless).eq(new.iter().filter(is_wanted).map(timeless))
}

fn are_same_engines(old: &EnginesStatus, new: &EnginesStatus) -> bool {
    let EnginesStatus {
        observed_at: _,
        summary,
        total,
        up,
        down,
        forgotten,
        unanswered,
        hosts,
        hosts_omitted,
        down_engines,
        answering_since: _,
    } = old;
    (summary, total, up, down) == (&new.summary, &new.total, &new.up, &new.down)
        && (forgotten, unanswered, hosts_omitted) == (&new.forgotten, &new.unanswered, &new.hosts_omitted)
        && are_same_items(hosts, &new.hosts, |old, new| {
            let EngineHost { host, up, down, last_heartbeat: _ } = old;
            (host, up, down) == (&new.host, &new.up, &new.down)
        })
        && are_same_items(down_engines, &new.down_engines, |old, new| {
            let DownEngine { engine_id, host, binary, topic, last_heartbeat: _ } = old;
            (engine_id, host, binary, topic) == (&new.engine_id, &new.host, &new.binary, &new.topic)
        })
}

fn are_same_caches(old: &CachesStatus, new: &CachesStatus) -> bool {
    let CachesStatus { observed_at: _, all, by_kind } = old;
    (all, by_kind) == (&new.all, &new.by_kind)
}

fn are_same_usages(old: &UsageStatus, new: &UsageStatus) -> bool {
    let UsageStatus { observed_at: _, active_servers, figures, previous } = old;
    let UsageFigures {
        start,
        end: _,
        complete,
        servers,
        server_hours,
        vcpu_hours,
        memory_mb_hours,
        disk_gb_hours,
        by_flavor,
        flavors_omitted,
    } = figures;
    let now = &new.figures;
    (active_servers, previous, start, complete) == (&new.active_servers, &new.previous, &now.start, &now.complete)
        && (servers, server_hours, vcpu_hours) == (&now.servers, &now.server_hours, &now.vcpu_hours)
        && (memory_mb_hours, disk_gb_hours) == (&now.memory_mb_hours, &now.disk_gb_hours)
        && (by_flavor, flavors_omitted) == (&now.by_flavor, &now.flavors_omitted)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status() -> Value {
        let time = "2026-01-01T00:00:00Z";
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": "True", "reason": "R", "message": "m", "observedGeneration": 1,
                "lastTransitionTime": time,
            })
        };
        let figures = json!({
            "start": time, "end": time, "complete": true, "servers": 1, "serverHours": "1", "vcpuHours": "1",
            "memoryMBHours": "1", "diskGBHours": "1", "flavorsOmitted": 1,
            "byFlavor": [{ "flavor": "f", "servers": 1, "serverHours": "1", "vcpuHours": "1" }],
        });
        let mut usage = figures.clone();
        usage["observedAt"] = json!(time);
        usage["activeServers"] = json!(1);
        usage["previous"] = figures;
        json!({
            "observedGeneration": 1, "lastHandledReconcileAt": "x", "observedAt": time,
            "conditions": [condition("Ready"), condition("CachesHealthy"), condition("Backup")],
            "source": { "secretName": "s", "cloudName": "c", "host": "h", "credentialsExpireAt": time },
            "engines": {
                "observedAt": time, "summary": "1/2", "total": 2, "up": 1, "down": 1, "forgotten": 1, "unanswered": 1,
                "hosts": [{ "host": "a", "up": 1, "down": 1, "lastHeartbeat": time }], "hostsOmitted": 1,
                "downEngines": [{ "host": "a", "engineID": "e", "binary": "b", "topic": "t", "lastHeartbeat": time }],
                "answeringSince": time,
            },
            "caches": {
                "observedAt": time, "all": { "running": 1, "error": 0 },
                "byKind": [{ "kind": "redis", "running": 1, "other": [{ "name": "n", "count": 1 }] }],
            },
            "usage": usage,
        })
    }

    /// Each line: a value in the status | whether a change of it is worth a write. A change is another value, and then
    /// no value at all.
    #[test]
    fn any_difference_but_those_of_times_is_worth_a_write() {
        let texts = |paths: &'static str, differs: bool| paths.split_whitespace().map(move |path| (path, differs));
        let times = texts(
            "/observedAt /engines/observedAt /engines/hosts/0/lastHeartbeat /engines/downEngines/0/lastHeartbeat \
             /engines/answeringSince /caches/observedAt /usage/observedAt /usage/end",
            false,
        );
        let rest = texts(
            "/observedGeneration /lastHandledReconcileAt /conditions/0/status /conditions/0/reason \
             /conditions/1/message /conditions/1/observedGeneration /source/secretName /source/cloudName /source/host \
             /source/credentialsExpireAt /engines/summary /engines/total /engines/up /engines/down /engines/forgotten \
             /engines/unanswered /engines/hosts/0/host /engines/hosts/0/up /engines/hosts/0/down /engines/hostsOmitted \
             /engines/downEngines/0/host /engines/downEngines/0/engineID /engines/downEngines/0/binary \
             /engines/downEngines/0/topic /caches/all/running /caches/all/error /caches/byKind/0/kind \
             /caches/byKind/0/running /caches/byKind/0/other/0/count /usage/activeServers /usage/start /usage/complete \
             /usage/servers /usage/serverHours /usage/vcpuHours /usage/memoryMBHours /usage/diskGBHours \
             /usage/flavorsOmitted /usage/byFlavor/0/flavor /usage/byFlavor/0/servers /usage/previous/end \
             /usage/previous/servers",
            true,
        );
        let own = [("/conditions/0/lastTransitionTime", false), ("/conditions/2/message", false)];
        let read = |value: &Value| serde_json::from_value::<CloudTenantStatus>(value.clone()).unwrap();
        let old = read(&status());
        assert!(!differs(&old, &old));
        for (path, expected) in times.chain(rest).chain(own) {
            let mut changed = status();
            let value = changed.pointer_mut(path).unwrap();
            *value = match &*value {
                Value::String(time) if time.starts_with("2026") => json!("2026-02-02T00:00:00Z"),
                Value::String(text) => json!(format!("{text}x")),
                Value::Bool(is) => json!(!is),
                number => json!(number.as_i64().unwrap() + 1),
            };
            let new = read(&changed);
            assert_eq!([differs(&old, &new), differs(&new, &old)], [expected; 2], "{path}");
        }
        for (part, expected) in [
            ("/observedAt", false),
            ("/conditions/0", true),
            ("/conditions/2", false),
            ("/source", true),
            ("/engines", true),
            ("/engines/answeringSince", false),
            ("/engines/hosts/0", true),
            ("/engines/downEngines/0", true),
            ("/caches", true),
            ("/caches/byKind/0", true),
            ("/usage", true),
            ("/usage/end", false),
            ("/usage/previous", true),
        ] {
            let mut changed = status();
            let (parent, name) = part.rsplit_once('/').unwrap();
            match changed.pointer_mut(parent).unwrap() {
                Value::Array(items) => drop(items.remove(name.parse().unwrap())),
                parent => drop(parent.as_object_mut().unwrap().remove(name)),
            }
            let new = read(&changed);
            assert_eq!([differs(&old, &new), differs(&new, &old)], [expected; 2], "{part}");
        }
    }

    #[test]
    fn the_order_of_the_conditions_does_not_count_and_a_second_one_of_a_type_does() {
        let read = |value: &Value| serde_json::from_value::<CloudTenantStatus>(value.clone()).unwrap();
        let mut other = status();
        other["conditions"].as_array_mut().unwrap().reverse();
        assert!(!differs(&read(&status()), &read(&other)));
        let twice = other["conditions"][1].clone();
        other["conditions"].as_array_mut().unwrap().push(twice);
        assert!(differs(&read(&status()), &read(&other)) && differs(&read(&other), &read(&status())));
    }
}
