//! DCS: `GET {endpoint}/instances/status`, the number of cache instances in each state.

use serde_json::Value;
use url::Url;

use super::{is_version, join, project};
use crate::{
    api::{CacheCounts, OtherCount},
    cloud::{Error, Failure, Service, Session},
    observation::Caches,
    target::Target,
};

/// Kinds and counts beyond these are left out: a status is no place for a list without end.
const MOST_KINDS: usize = 20;
const MOST_OTHER: usize = 20;

/// Asks DCS for the project's instances.
///
/// # Errors
/// No login, no answer, or none that is DCS's; or Keystone does not know the project.
pub async fn ask(session: &Session, target: &Target) -> Result<Caches, Failure> {
    let service = Service::Cache;
    let failure = |error: Error| error.at(service);
    let endpoint = session.endpoint(service, target.timeout).await?;
    project::verify(session, target).await?;
    let mut url = address(&endpoint.url, endpoint.token_project.as_deref(), &target.project_id).map_err(failure)?;
    let include = target.caches.include_failure.to_string();
    // Regions' documents spell the parameter one way or the other, and ignore what they do not know.
    url.query_pairs_mut().append_pair("include_failure", &include).append_pair("includeFailure", &include);
    let answer = session.get(service, url, &[], target.timeout).await?;
    answer.of(service)?.read(service, parse)
}

/// The catalogue's address carries the *token's* project; it is always `project` that is asked for.
fn address(endpoint: &Url, token_project: Option<&str>, project: &str) -> Result<Url, Error> {
    let mut base = endpoint.clone();
    let mut segments: Vec<String> =
        base.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).map(str::to_owned).collect();
    match segments.iter().position(|part| is_version(part)) {
        Some(version) => segments.truncate(version + 1),
        None => {
            if segments.last().map(String::as_str) == token_project {
                segments.pop();
            }
            segments.push("v1.0".to_owned());
        }
    }
    base.set_path("");
    let path: Vec<&str> = segments.iter().map(String::as_str).chain([project, "instances", "status"]).collect();
    join(&base, &path)
}

/// Reads the counts. Bytes after the JSON are accepted: the API's own example has a stray brace.
///
/// # Errors
/// An answer without a single count says nothing about any instance.
pub fn parse(body: &[u8]) -> Result<Caches, Error> {
    let unreadable = || Error::Unexpected("DCS's counts cannot be read");
    let first = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next();
    let Some(Ok(Value::Object(fields))) = first else { return Err(unreadable()) };
    let mut caches = Caches { all: counts(&fields)?, ..Caches::default() };
    for (kind, value) in &fields {
        if let Value::Object(fields) = value
            && caches.kinds.len() < MOST_KINDS
        {
            caches.kinds.insert(kind.clone(), counts(fields)?);
        }
    }
    if caches.all.is_empty() && caches.kinds.values().all(CacheCounts::is_empty) {
        return Err(unreadable());
    }
    Ok(caches)
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
        if !counts.set(key, count) && counts.other.len() < MOST_OTHER {
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
            (r#"{"redis": {"running_count": 1}}"#, Some(None)),
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
    fn counts_that_the_document_does_not_name_are_kept() {
        let caches = parse(br#"{"running_count": 1, "zombie_count": 3, "frozen_count": 2}"#).unwrap();
        assert_eq!(caches.all.frozen, Some(2));
        assert_eq!(caches.all.other, [OtherCount { name: "zombie".to_owned(), count: 3 }]);
    }
}
