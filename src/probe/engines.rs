//! Heat: `GET {endpoint}/services`, the list of orchestration engines. It is the same for every tenant.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::{join, openstack_time, read, version};
use crate::{
    cloud::{Answer, Error, Failure, Service, Session},
    observation::{
        EngineList, EngineRow,
        engines::{DEFAULT_REPORT_INTERVAL, EngineAnswer},
    },
};

/// Asks Heat. `now` is our clock, for answers without a `Date`.
///
/// # Errors
/// Whatever is not Heat's own word on its engines.
pub async fn ask(session: &Session, deadline: Duration, now: Timestamp) -> Result<EngineAnswer, Failure> {
    let service = Service::Orchestration;
    let failure = |error| Failure { service, error };
    let address = version::address(session, service, deadline).await?;
    let url = join(&address, &["services"]).map_err(failure)?;
    let answer = session.get(service, url, &[], deadline).await?;
    parse(answer.status, &answer.body, answer.date.unwrap_or(now)).unwrap_or_else(|| of_status(answer)).map_err(failure)
}

fn of_status(answer: Answer) -> Result<EngineAnswer, Error> {
    answer.ok().and(Err(Error::Unexpected("Heat answered with a status that its document does not have")))
}

#[derive(Deserialize)]
struct Services {
    services: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: String,
    host: String,
    #[serde(default)]
    binary: String,
    #[serde(default)]
    topic: String,
    status: String,
    report_interval: Option<u64>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    error: RefusalError,
}

#[derive(Deserialize)]
struct RefusalError {
    message: String,
}

/// Reads an answer of Heat; `None` where it is not Heat's own word on its engines.
#[must_use]
pub fn parse(status: u16, body: &[u8], cloud_now: Timestamp) -> Option<Result<EngineAnswer, Error>> {
    match status {
        200 => {
            let services = read::<Services>(body, "Heat's list of engines cannot be read");
            Some(services.map(|list| {
                EngineAnswer::Listed(EngineList { rows: list.services.into_iter().map(row).collect(), cloud_now })
            }))
        }
        503 if says_engines_are_down(body) => Some(Ok(EngineAnswer::Unanswered)),
        _ => None,
    }
}

fn row(row: Row) -> EngineRow {
    let time = |text: &Option<String>| text.as_deref().and_then(openstack_time);
    let created = time(&row.created_at);
    EngineRow {
        says_down: row.status.eq_ignore_ascii_case("down"),
        // `updated_at` is null until the first report.
        heartbeat: if row.updated_at.is_some() { time(&row.updated_at) } else { created },
        created,
        report_interval: row.report_interval.map_or(DEFAULT_REPORT_INTERVAL, Duration::from_secs),
        id: row.id,
        host: row.host,
        binary: row.binary,
        topic: row.topic,
    }
}

/// Heat's own JSON, or the plain sentence of its document. A proxy's 503, or Keystone's behind Heat, is neither.
fn says_engines_are_down(body: &[u8]) -> bool {
    let says = |text: &str| text.to_ascii_lowercase().contains("engines are down");
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.code == 503 && says(&refusal.error.message),
        Err(_) => std::str::from_utf8(body).is_ok_and(|text| text.len() < 200 && !text.contains('<') && says(text)),
    }
}
