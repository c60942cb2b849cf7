//! DCS: `GET {endpoint}/instances/status`, the number of cache instances in each state.

use serde_json::Value;
use url::Url;

use super::{is_version, join, project};
use crate::{
    api::{CacheCounts, OtherCount, bound},
    observation::Caches,
    openstack::{Error, Failure, Service, Session},
    target::Target,
    words,
};

/// The maximum number of undocumented counts in the status. [`bound::CACHE_KINDS`] is the bound for kinds.
const MOST_OTHER: usize = 20;

/// In bytes. The status leaves out a kind or a count whose name is longer or not printable.
const LONGEST_NAME: usize = 63;

/// The counts in DCS's documentation: DCS's name, and the name in [`CacheCounts`].
const COUNTS: [(&str, &str); 17] = [
    ("creating_count", "creating"),
    ("createfailed_count", "create_failed"),
    ("deleting_count", "deleting"),
    ("running_count", "running"),
    ("error_count", "error"),
    ("restarting_count", "restarting"),
    ("extending_count", "extending"),
    ("upgrading_count", "upgrading"),
    ("paying_count", "paying"),
    ("migrating_count", "migrating"),
    ("flushing_count", "flushing"),
    ("closed_count", "closed"),
    ("starting_count", "starting"),
    ("closing_count", "closing"),
    ("restoring_count", "restoring"),
    ("freezing_count", "freezing"),
    ("frozen_count", "frozen"),
];

/// Queries DCS for the project's instances.
///
/// # Errors
/// A failed login, no answer, or an answer that is not DCS's; or Keystone does not know the project.
pub async fn ask(session: &Session, target: &Target) -> Result<Caches, Failure> {
    let service = Service::Cache;
    let failure = |error: Error| error.at(service);
    let endpoint = session.endpoint(service, target.timeout).await?;
    project::ensure_known(session, target).await?;
    let mut url = address(&endpoint.url, endpoint.token_project.as_deref(), &target.project_id).map_err(failure)?;
    // The spelling of the parameter differs between regions. They ignore unknown parameters, so the query has both.
    url.set_query(Some(match target.caches.include_failure {
        true => "include_failure=true&includeFailure=true",
        false => "include_failure=false&includeFailure=false",
    }));
    let answer = session.get(service, url, &[], target.timeout).await?;
    answer.of(service)?.read(service, parse).await
}

/// The catalogue's address contains the token's project. The query must name `project` instead.
fn address(endpoint: &Url, token_project: Option<&str>, project: &str) -> Result<Url, Error> {
    let mut path: Vec<_> = endpoint.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).collect();
    match path.iter().position(|part| is_version(part)) {
        Some(version) => path.truncate(version + 1),
        None => {
            if path.last().copied() == token_project {
                path.pop();
            }
            path.extend(Service::Cache.row().versions.first());
        }
    }
    path.extend([project, "instances", "status"]);
    let mut base = endpoint.clone();
    base.set_path("");
    join(&base, &path)
}

/// Parses the counts. Bytes after the JSON are accepted, because the API's own example has a stray brace. If a region
/// sends only counts per kind, their sum is the total.
///
/// # Errors
/// An answer without any count says nothing about the instances.
pub fn parse(body: &[u8]) -> Result<Caches, Error> {
    let unreadable = || Error::Unexpected("DCS's counts cannot be read");
    let first = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next();
    let Some(Ok(Value::Object(fields))) = first else { return Err(unreadable()) };
    let mut caches = Caches { all: counts(&fields)?, ..Caches::default() };
    let mut sum = CacheCounts::default();
    for (kind, value) in &fields {
        let Value::Object(fields) = value else { continue };
        let counts = counts(fields)?;
        sum.add(&counts);
        sum.other.truncate(MOST_OTHER);
        if caches.kinds.len() < bound::CACHE_KINDS && is_name(kind) {
            caches.kinds.insert(kind.clone(), counts);
        }
    }
    // The region's own totals take precedence if it sends any.
    if caches.all.counts().is_empty() {
        for own in std::mem::take(&mut caches.all.other) {
            sum.other.retain(|summed| summed.name != own.name);
            sum.other.push(own);
        }
        sum.other.sort_by(|a, b| a.name.cmp(&b.name));
        sum.other.truncate(MOST_OTHER);
        caches.all = sum;
    }
    if caches.all.is_empty() && caches.kinds.values().all(CacheCounts::is_empty) {
        return Err(unreadable());
    }
    Ok(caches)
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && !text.contains(words::is_unsafe)
}

fn counts(fields: &serde_json::Map<String, Value>) -> Result<CacheCounts, Error> {
    let mut counts = CacheCounts::default();
    for (key, value) in fields {
        let Some(name) = key.strip_suffix("_count") else { continue };
        if value.is_null() {
            continue;
        }
        let count = value.as_i64().filter(|count| *count >= 0);
        let count = count.ok_or(Error::Unexpected("one of DCS's counts is not a number"))?;
        let documented = COUNTS.iter().find(|(wire, _)| wire == key);
        if !documented.is_some_and(|(_, name)| counts.set(name, count))
            && counts.other.len() < MOST_OTHER
            && is_name(name)
        {
            counts.other.push(OtherCount { name: name.to_owned(), count });
        }
    }
    counts.other.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_names_the_observed_project_and_no_other() {
        for (endpoint, address_) in [
            ("https://dcs.example.com/v1.0/token-p", "https://dcs.example.com/v1.0/p1/instances/status"),
            ("https://dcs.example.com/v2/token-p", "https://dcs.example.com/v2/p1/instances/status"),
            ("https://dcs.example.com/v1.0/", "https://dcs.example.com/v1.0/p1/instances/status"),
            ("https://dcs.example.com/v1.0", "https://dcs.example.com/v1.0/p1/instances/status"),
            ("https://dcs.example.com/", "https://dcs.example.com/v1.0/p1/instances/status"),
            ("https://dcs.example.com/token-p", "https://dcs.example.com/v1.0/p1/instances/status"),
            ("https://gw.example.com/dcs/v1.0/token-p", "https://gw.example.com/dcs/v1.0/p1/instances/status"),
            ("https://dcs.example.com/v1.0/p?x=y#z", "https://dcs.example.com/v1.0/p1/instances/status"),
        ] {
            let url = address(&endpoint.parse().unwrap(), Some("token-p"), "p1").unwrap();
            assert_eq!(url.as_str(), address_, "{endpoint}");
        }
    }

    #[test]
    fn what_is_not_a_count_is_refused_or_left_out() {
        for (body, running) in [
            (r#"{"running_count": 2}"#, Some(Some(2))),
            (r#"{"running_count": 2} trailing }"#, Some(Some(2))),
            (r#"{"running_count": null, "error_count": 0}"#, Some(None)),
            (r#"{"redis": {"running_count": 1}}"#, Some(Some(1))),
            (r#"{"redis": {"error_count": 1}}"#, Some(None)),
            (r#"{"redis": {"running_count": "1"}}"#, None),
            (r#"{"running_count": "2"}"#, None),
            (r#"{"running_count": -1}"#, None),
            (r#"{"running_count": 1.5}"#, None),
            ("{}", None),
            ("[]", None),
            ("", None),
            ("<html>", None),
        ] {
            assert_eq!(parse(body.as_bytes()).ok().map(|caches| caches.all.running), running, "{body}");
        }
    }

    #[test]
    fn every_count_of_the_status_has_its_name_in_dcs_answer() {
        assert_eq!(COUNTS.map(|(_, name)| name), CacheCounts::NAMES);
        let answer = COUNTS.map(|(wire, _)| format!(r#""{wire}": 1"#)).join(", ");
        let counts = parse(format!("{{{answer}}}").as_bytes()).unwrap().all;
        assert_eq!(counts.counts(), CacheCounts::NAMES.map(|name| (name, 1)));
    }

    /// A line is: the answer | running, error, frozen in total, as far as present | other counts in total.
    #[test]
    fn without_totals_the_total_is_the_sum_over_kinds() {
        let most = i64::MAX;
        for (name, body, all, other) in [
            (
                "two kinds",
                r#"{"redis": {"running_count": 2, "error_count": 0}, "memcached": {"running_count": 1}}"#.to_owned(),
                [Some(3), Some(0), None],
                vec![],
            ),
            (
                "one kind, with a count that the document does not name",
                r#"{"redis": {"frozen_count": 3, "zombie_count": 1}, "memcached": {"zombie_count": 2}}"#.to_owned(),
                [None, None, Some(3)],
                vec![("zombie", 3)],
            ),
            (
                "the region's own totals stand, odd as they are",
                r#"{"running_count": 7, "redis": {"running_count": 2, "error_count": 1}}"#.to_owned(),
                [Some(7), None, None],
                vec![],
            ),
            (
                "a total that the document does not name is none",
                r#"{"zombie_count": 9, "redis": {"running_count": 2, "zombie_count": 1}}"#.to_owned(),
                [Some(2), None, None],
                vec![("zombie", 9)],
            ),
            (
                "null is no total",
                r#"{"running_count": null, "redis": {"running_count": 2}}"#.to_owned(),
                [Some(2), None, None],
                vec![],
            ),
            (
                "more than a number holds",
                format!(r#"{{"redis": {{"running_count": {most}}}, "memcached": {{"running_count": 1}}}}"#),
                [Some(most), None, None],
                vec![],
            ),
        ] {
            let caches = parse(body.as_bytes()).unwrap();
            assert_eq!([caches.all.running, caches.all.error, caches.all.frozen], all, "{name}");
            let others: Vec<_> = caches.all.other.iter().map(|other| (other.name.as_str(), other.count)).collect();
            assert_eq!(others, other, "{name}");
        }
    }

    #[test]
    fn kinds_and_names_have_bounds() {
        let kinds = |number: usize| {
            let kind = |number| format!(r#""kind-{number:03}": {{"running_count": 1, "n{number:03}_count": 1}}"#);
            format!("{{{}}}", (0..number).map(kind).collect::<Vec<_>>().join(","))
        };
        for (number, kept) in [(20, 20), (21, 20), (500, 20)] {
            let caches = parse(kinds(number).as_bytes()).unwrap();
            assert_eq!((caches.kinds.len(), caches.all.other.len()), (kept, 20), "{number}");
            assert_eq!(caches.all.running, i64::try_from(number).ok(), "those that are not shown count");
        }
        for (name, kept) in [("k".repeat(63), true), ("k".repeat(64), false), ("re\u{202e}dis".to_owned(), false)] {
            let body = format!(r#"{{"{name}": {{"error_count": 1, "{name}_count": 1}}}}"#);
            let caches = parse(body.as_bytes()).unwrap();
            assert_eq!((caches.kinds.len(), caches.all.other.len()), (kept.into(), kept.into()), "{name}");
            assert_eq!(caches.all.error, Some(1), "{name}");
        }
    }

    #[test]
    fn counts_that_the_document_does_not_name_are_kept() {
        let caches = parse(br#"{"running_count": 1, "zombie_count": 3, "frozen_count": 2}"#).unwrap();
        assert_eq!(caches.all.frozen, Some(2));
        assert_eq!(caches.all.other, [OtherCount { name: "zombie".to_owned(), count: 3 }]);
    }
}
