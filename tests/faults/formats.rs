//! What holds for every text that comes from a cloud, a Secret or an object, whatever it contains.
//!
//! Each property begins with recorded answers and changes them, because random bytes alone fail in the first line of a
//! parser.

use std::time::Duration;

use cloudtenant_operator::{
    api::{CloudTenant, Period},
    decide::status::{
        caches,
        engine_count::{KnownHosts, count},
    },
    observation::engine_answers::EngineAnswer,
    openstack::{CloudConfig, Service, openstack_time, readers},
    probe::{self, usage::Sum},
    target::Target,
    watched::object::Watched,
};
use jiff::Timestamp;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Value, json};
use testkit::recorded::Recorded;

use crate::secrets::MARK;

/// When every story begins.
const NOW: Timestamp = Timestamp::constant(1_795_320_000, 0);

/// The names that any of the formats has, and others.
const NAMES: [&str; 24] = [
    "services",
    "host",
    "status",
    "updated_at",
    "report_interval",
    "token",
    "catalog",
    "endpoints",
    "url",
    "region",
    "interface",
    "type",
    "expires_at",
    "tenant_usage",
    "server_usages",
    "hours",
    "total_hours",
    "href",
    "rel",
    "links",
    "versions",
    "running_count",
    "error_count",
    "x",
];

fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "down",
        "up",
        "next",
        "self",
        "2026-11-22T05:09:46.000000",
        "9999-12-31T23:59:59Z",
        "-1",
        "1e400",
        "http://h/v1/?marker=m",
        "http://user:pw@h:99999/",
        "//",
        "%",
        "\u{202e}",
        "\u{0}",
        "RegionOne",
        "public",
    ];
    prop_oneof![
        3 => select(odd.to_vec()).prop_map(str::to_owned),
        2 => ".{0,20}",
        1 => (250_usize..260).prop_map(|length| "ü".repeat(length)),
    ]
}

/// Any JSON value, with the numbers and names at which parsers fail.
fn value() -> impl Strategy<Value = Value> {
    let numbers = [0, 1, -1, 60, i64::MAX, i64::MIN, 1 << 53];
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => select(numbers.to_vec()).prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => select(vec![1e308, -1e308, 1e15, 1e-308, 0.5, -0.0]).prop_map(Value::from),
        1 => text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(NAMES.to_vec()), inner), 0..4)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// A change of a document at one of its values.
#[derive(Debug, Clone)]
enum Change {
    Replace(Value),
    Remove,
    /// The value stands in a list as often as this.
    Repeat(usize),
}

fn change() -> impl Strategy<Value = (Index, Change)> {
    let change = prop_oneof![
        3 => value().prop_map(Change::Replace),
        1 => Just(Change::Remove),
        1 => (0_usize..40).prop_map(Change::Repeat),
    ];
    (any::<Index>(), change)
}

/// The number of values in a document.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

/// Changes the value with this number, in the order of the text.
fn apply(value: &mut Value, at: &mut usize, change: &Change) {
    if *at == 0 {
        *value = match change {
            Change::Replace(other) => other.clone(),
            Change::Remove => Value::Null,
            Change::Repeat(times) => vec![value.clone(); *times].into(),
        };
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    let values: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(members) => Box::new(members.values_mut()),
        _ => return,
    };
    for inner in values {
        if *at == usize::MAX {
            return;
        }
        apply(inner, at, change);
    }
    if *at != usize::MAX
        && matches!(change, Change::Remove)
        && let Value::Object(members) = value
    {
        members.retain(|_, value| !value.is_null());
    }
}

/// Documents of these recordings with some changes, and sometimes with a byte that does not belong there.
fn changed(documents: Vec<Value>) -> impl Strategy<Value = Vec<u8>> {
    let byte = proptest::option::weighted(0.2, (any::<Index>(), any::<u8>()));
    (select(documents), vec(change(), 0..4), byte).prop_map(|(mut document, changes, byte)| {
        for (at, change) in changes {
            let mut at = at.index(size(&document));
            apply(&mut document, &mut at, &change);
        }
        let mut bytes = document.to_string().into_bytes();
        if let Some((at, byte)) = byte {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn recorded(names: &[&str]) -> Vec<Value> {
    // DCS's document has a stray brace behind its JSON.
    let first = |body: Vec<u8>| serde_json::Deserializer::from_slice(&body).into_iter().next().unwrap().unwrap();
    names.iter().map(|name| first(Recorded::load(name).unwrap().body)).collect()
}

fn heat() -> impl Strategy<Value = Vec<u8>> {
    changed(recorded(&["heat/services-one-down", "heat/services-ghost-row-after-restart", "document/heat-services"]))
}

fn nova() -> impl Strategy<Value = Vec<u8>> {
    let page = json!([{ "rel": "next", "href": "http://h/x?marker=m" }]);
    let mut documents = recorded(&["nova/show-with-servers", "document/nova-usage-sample"]);
    let mut paged = documents[0].clone();
    paged["tenant_usage_links"] = page;
    documents.push(paged);
    changed(documents)
}

fn login_config() -> CloudConfig {
    let yaml = "clouds: {c: {region_name: RegionOne, auth: {auth_url: 'http://k', token: t}}}";
    CloudConfig::parse(yaml, "c", None, None).unwrap()
}

/// A clouds.yaml with secrets, as a document that is also YAML.
fn clouds_yaml() -> Value {
    let secret = |name: &str| format!("{MARK}{name}");
    json!({ "clouds": {
        "password": {
            "auth": {
                "auth_url": "https://keystone.example:5000/v3", "username": "u", "password": secret("password"),
                "user_domain_name": "Default", "project_name": "p", "project_domain_id": "default",
            },
            "region_name": "RegionOne", "interface": ["internal", "public"], "verify": true,
            "orchestration_endpoint_override": "https://heat.example/v1/%(project_id)s",
        },
        "credential": {
            "auth_type": "v3applicationcredential",
            "auth": {
                "auth_url": "https://keystone.example/v3", "application_credential_id": "i",
                "application_credential_secret": secret("credential"),
            },
        },
        "token": {
            "auth_type": "v3token",
            "auth": { "auth_url": "https://keystone.example/v3", "token": secret("token"), "project_id": "p" },
            "regions": ["RegionOne", { "name": "RegionTwo" }],
        },
    } })
}

fn object() -> Value {
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
        "metadata": {
            "name": "t", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
            "annotations": { "reconcile.fluxcd.io/requestedAt": "now" }, "labels": { "a": "b" },
            "creationTimestamp": "2026-11-22T05:00:00Z", "managedFields": [{ "manager": "m" }],
        },
        "spec": {
            "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud", "cloudName": "c" },
            "interval": "5m", "timeout": "90s", "readyOn": ["Engines", "Usage"],
            "probes": {
                "engines": { "policy": "Auto", "failureThreshold": 2, "forgetAfter": "24h", "ignoreHosts": ["h"] },
                "caches": { "unhealthyStates": ["frozen"] }, "usage": { "interval": "1h", "period": "Day" },
            },
        },
        "status": {
            "observedGeneration": 3, "observedAt": "2026-11-22T05:00:00Z",
            "source": { "secretName": "cloud", "cloudName": "c", "host": "k", "region": "R" },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Healthy", "message": "All is well.",
                "lastTransitionTime": "2026-11-22T05:00:00Z",
            }],
            "engines": { "observedAt": "2026-11-22T05:00:00Z", "summary": "1/1", "total": 1, "up": 1, "down": 0 },
            "caches": { "all": { "running": 3 }, "byKind": [{ "kind": "redis", "running": 3 }] },
            "usage": { "servers": 2, "serverHours": "731.558" },
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn heats_list(body in heat(), status in select(vec![200_u16, 200, 200, 503, 500])) {
        let rules = target().engines;
        if let Some(Ok(EngineAnswer::Listed(list))) = probe::engines::parse(status, &body, NOW, NOW) {
            prop_assert!(list.rows.len() <= 10_000);
            let block = count(&list, &KnownHosts::default(), &rules);
            prop_assert_eq!(block.up + block.down, block.total);
            prop_assert!(usize::try_from(block.total + block.forgotten).unwrap() <= list.rows.len());
            prop_assert!(block.hosts.len() <= 50);
        }
    }

    #[test]
    fn dcs_counts(body in changed(recorded(&["dcs/instances-status-include-failure"]))) {
        if let Ok(seen) = probe::caches::parse(&body) {
            let kinds = seen.kinds.values().chain([&seen.all]);
            prop_assert!(kinds.flat_map(|counts| counts.counts()).all(|(_, count)| count >= 0), "{:?}", seen);
            let judged = caches::judge(&seen, &target().caches, NOW);
            prop_assert!(judged.block.by_kind.len() <= 20);
            prop_assert!(judged.message.ends_with('.') && judged.message.len() < 1000, "{}", judged.message);
        }
    }

    #[test]
    fn novas_usage(body in nova()) {
        let Ok(page) = probe::usage::parse(&body) else { return Ok(()) };
        if let Ok(Some(marker)) = page.next_marker() {
            prop_assert!(marker.len() <= 255);
        }
        let mut sum = Sum::new(probe::usage::windows(Period::Month, NOW).current);
        if sum.add(page).is_ok() {
            let usage = sum.finish(true);
            let hours = [usage.server_hours, usage.vcpu_hours, usage.memory_mb_hours, usage.disk_gb_hours];
            prop_assert!(hours.iter().all(|hours| (0.0..=1e15).contains(hours)), "{:?}", hours);
            prop_assert!(usage.start <= usage.end && usage.active_servers <= usage.servers);
            prop_assert!(usage.by_flavor.len() <= 20);
        }
    }

    #[test]
    fn keystones_login(body in changed(recorded(&["keystone/token-password-admin", "keystone/token-appcred-operator"]))) {
        let _ = readers::login(&body, &login_config());
    }

    #[test]
    fn keystones_errors(body in changed(recorded(&["keystone/validate-invalid-404", "keystone/token-schema-400"]))) {
        let _ = readers::not_found(&body);
        let _ = readers::application_credential(&body);
        let _ = readers::refusal(&body, "secret");
    }

    #[test]
    fn lists_of_versions(body in changed(recorded(&["heat/root-versions", "nova/root-versions", "keystone/root-versions"]))) {
        for service in Service::ALL {
            let _ = probe::offers_version(&body, service);
        }
    }

    /// An error names a key and never a value, and no output shows a secret.
    #[test]
    fn clouds_yaml_files(
        text in changed(vec![clouds_yaml()]),
        cloud in select(vec!["password", "credential", "token", "none"]),
        region in proptest::option::of(text()),
    ) {
        let text = String::from_utf8_lossy(&text);
        match CloudConfig::parse(&text, cloud, None, region.as_deref()) {
            Ok(config) => {
                let shown = format!("{config:?}");
                prop_assert!(!shown.contains(MARK), "{}", shown);
            }
            Err(error) => {
                let message = error.to_string();
                prop_assert!(!message.contains(MARK) && message.len() < 2000, "{}", message);
            }
        }
    }

    /// A Secret that holds no YAML is not repeated.
    #[test]
    fn a_secret_that_is_no_yaml(before in ".{0,30}", after in ".{0,30}") {
        let text = format!("{before}{MARK}secret{after}");
        if let Err(error) = CloudConfig::parse(&text, "c", Some(&text), None) {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(MARK), "{}", shown);
        }
    }

    #[test]
    fn retry_after(text in prop_oneof!["\\PC{0,70}", "[0-9]{0,40}", " ?-?[0-9]{1,12}\\.?[0-9]{0,3}"], date in http_date()) {
        let wait = readers::retry_after(&date, &text);
        prop_assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(3600)), "{:?}", wait);
        if let Ok(seconds) = text.parse::<u64>() && text.len() <= 64 {
            prop_assert_eq!(wait, Some(Duration::from_secs(seconds.min(3600))));
        }
    }

    #[test]
    fn retry_after_as_a_date(seconds in -10_000_i64..10_000) {
        let date = |at: Timestamp| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let wait = readers::retry_after(&date(NOW), &date(NOW + jiff::SignedDuration::from_secs(seconds)));
        prop_assert_eq!(wait, Some(Duration::from_secs(seconds.clamp(0, 3600).unsigned_abs())));
    }

    #[test]
    fn times(text in prop_oneof!["\\PC{0,40}", "[0-9T:.Z+ -]{0,40}"]) {
        prop_assert!(openstack_time(&text).is_none_or(|time| time >= Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn every_time_is_read_in_each_form(second in 0_i64..253_402_128_000, form in 0_usize..4) {
        let time = Timestamp::from_second(second).unwrap();
        let form = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.000000", "%Y-%m-%d %H:%M:%S"][form];
        prop_assert_eq!(openstack_time(&time.strftime(form).to_string()), Some(time));
    }

    #[test]
    fn links_of_pages(href in prop_oneof![text(), "\\PC{0,60}", "https?://[a-z/]{0,9}\\?[a-z&=%0-9]{0,30}(marker=.{0,300})?"]) {
        let body = json!({ "tenant_usage": {}, "tenant_usage_links": [{ "rel": "next", "href": href }] });
        let marker = probe::usage::parse(body.to_string().as_bytes()).unwrap().next_marker();
        prop_assert!(marker.ok().flatten().is_none_or(|marker| marker.len() <= 255));
    }

    /// An object is read field by field: what can be read of its metadata is there, and the reason is one sentence.
    #[test]
    fn the_watched_type(text in changed(vec![object()])) {
        let text = String::from_utf8_lossy(&text);
        let watched = Watched::read(&text);
        match &watched.0 {
            Ok(tenant) => {
                let _ = Target::new(&tenant.spec);
                serde_json::to_value(tenant).unwrap();
            }
            Err(unreadable) => {
                prop_assert!(unreadable.why.len() < 1000 && unreadable.why.ends_with('.'), "{}", unreadable.why);
                prop_assert!(!unreadable.why.contains('\n'));
            }
        }
        let _ = watched.into_status();
    }

    /// What the operator writes, it reads.
    #[test]
    fn what_is_written_is_read(document in changed(vec![object()])) {
        let Ok(tenant) = Watched::read(&String::from_utf8_lossy(&document)).0 else { return Ok(()) };
        let again = Watched::read(&serde_json::to_string(&tenant).unwrap()).0;
        let json = |tenant: &CloudTenant| serde_json::to_value(tenant).unwrap();
        prop_assert_eq!(again.map(|again| json(&again)).map_err(|error| error.why), Ok(json(&tenant)));
    }
}

fn http_date() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        (-5000_i64..5000).prop_map(|seconds| {
            (NOW + jiff::SignedDuration::from_secs(seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        }),
        "\\PC{0,40}",
    ]
}

fn target() -> Target {
    let spec = json!({ "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" } });
    Target::new(&serde_json::from_value(spec).unwrap()).unwrap()
}
