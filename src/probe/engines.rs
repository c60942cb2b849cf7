//! Heat: `GET {endpoint}/services`, the list of orchestration engines, which is the same for every tenant.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;

use super::{join, read, version};
use crate::{
    observation::{
        EngineList, EngineRow,
        engine_answers::{DEFAULT_REPORT_INTERVAL, EngineAnswer},
    },
    openstack::{
        Answer, Error, Failure, Service, Session, openstack_time,
        rows::{List, Rows},
        stream::{Parts, RowStream, StreamRows},
    },
    words::{self, whole_word},
};

/// A longer list is refused, because every tenant of the credential evaluates it. Engines in pods leave a record behind
/// at each restart, until someone runs `heat-manage service clean`.
const MOST_ROWS: usize = 10_000;

/// Queries Heat. `now` is the operator's clock, for answers without a `Date`.
///
/// # Errors
/// Any answer that is not Heat's own statement about its engines.
pub async fn ask(session: &Session, deadline: Duration, now: Timestamp) -> Result<EngineAnswer, Failure> {
    let service = Service::Orchestration;
    let address = version::address(session, service, deadline).await?;
    let url = join(&address, &["services"]).map_err(|error| error.at(service))?;
    let (answer, engines) = session.get_into::<RowStream<EngineRows>>(&[], service, url, &[], deadline).await?;
    let sent = answer.date.map_or(now, |date| date.saturating_sub(answer.took).unwrap_or(date));
    let read = move |answer: Answer| {
        let (status, cloud_now) = (answer.status, answer.date.unwrap_or(now));
        let read = if status == 200 && !engines.is_new() {
            Some(list(engines.finish(&answer.body), cloud_now))
        } else {
            parse(status, &answer.body, cloud_now, sent)
        };
        match read {
            Some(read) => answer.understood(service, read),
            None => of_status(answer),
        }
    };
    answer.digest(service, read).await?
}

fn of_status(answer: Answer) -> Result<EngineAnswer, Failure> {
    let other = Error::Unexpected("Heat answered with a status that its document does not have");
    answer.of(Service::Orchestration).and(Err(other.at(Service::Orchestration)))
}

#[derive(Deserialize)]
struct Services {
    services: List<EngineRows>,
}

/// The parts of a list that are kept during parsing.
#[derive(Default)]
struct EngineRows {
    /// At most one more than the limit, so that a list that is too long can be detected.
    rows: Vec<EngineRow>,
    /// Stores each text once: a thousand engines have the same binary, and many have the same host.
    names: HashSet<Arc<str>>,
    has_long_name: bool,
}

impl Rows for EngineRows {
    type Row<'de> = EngineRecord;

    fn add(&mut self, one: EngineRecord) {
        // Heat keeps deleted records. They are not engines.
        let deleted = one.deleted_at.as_ref().is_some_and(|at| !at.is_empty());
        if !deleted && self.rows.len() <= MOST_ROWS {
            let row = self.row(one);
            self.rows.push(row);
        }
    }
}

impl StreamRows for EngineRows {
    const PATH: &'static [&'static str] = &["services"];
    const BODY_LIMIT: usize = Service::Orchestration.row().body_limit;
    // The records may keep most of the body.
    const MEMORY: usize = Self::BODY_LIMIT;
}

const UNREADABLE: &str = "Heat's list of engines cannot be read";

impl EngineRows {
    fn row(&mut self, row: EngineRecord) -> EngineRow {
        let time = |text: &Option<String>| text.as_deref().and_then(openstack_time);
        let created = time(&row.created_at);
        let says_down = row.status.eq_ignore_ascii_case("down");
        let engine_id = self.name(&row.engine_id.unwrap_or_default());
        self.has_long_name |= row.id.len() > words::LONGEST;
        EngineRow {
            says_down,
            // `updated_at` is null until the engine's first report.
            heartbeat: if row.updated_at.is_some() { time(&row.updated_at) } else { created },
            created,
            report_interval: row.report_interval.map_or(DEFAULT_REPORT_INTERVAL, Duration::from_secs),
            id: row.id.as_str().into(),
            engine_id: if says_down { self.shared(engine_id) } else { Arc::default() },
            host: self.shared_name(&row.host),
            binary: self.shared_name(&row.binary),
            topic: self.shared_name(&row.topic),
        }
    }

    /// The name as it may be displayed. A name that is too long is not kept, because a part of it may be the name of
    /// another engine.
    fn name(&mut self, text: &str) -> String {
        let name = whole_word(text);
        self.has_long_name |= name.is_none();
        name.unwrap_or_default()
    }

    fn shared_name(&mut self, text: &str) -> Arc<str> {
        let name = self.name(text);
        self.shared(name)
    }

    fn shared(&mut self, name: String) -> Arc<str> {
        if let Some(known) = self.names.get(name.as_str()) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }
}

#[derive(Deserialize)]
struct EngineRecord {
    #[serde(default)]
    id: String,
    engine_id: Option<String>,
    host: String,
    #[serde(default)]
    binary: String,
    #[serde(default)]
    topic: String,
    status: String,
    report_interval: Option<u64>,
    created_at: Option<String>,
    updated_at: Option<String>,
    deleted_at: Option<String>,
}

#[derive(Deserialize)]
struct HeatError {
    code: u16,
    error: HeatErrorDetail,
}

#[derive(Deserialize)]
struct HeatErrorDetail {
    message: String,
}

/// Parses Heat's answer. By the cloud's clock, it came at `cloud_now` and its request was `sent` before. `None` if the
/// answer is not Heat's own statement about its engines.
#[must_use]
pub fn parse(status: u16, body: &[u8], cloud_now: Timestamp, sent: Timestamp) -> Option<Result<EngineAnswer, Error>> {
    match status {
        200 => Some(read::<Services>(body, UNREADABLE).and_then(|list| listed(list.services, cloud_now))),
        503 if says_engines_are_down(body) => Some(Ok(EngineAnswer::Unanswered { sent })),
        _ => None,
    }
}

/// Parses a list in parts, as it is parsed while it arrives. Each part has at least `least` new bytes.
///
/// # Errors
/// The errors of [`parse`] for status 200.
#[doc(hidden)]
pub fn parse_in_parts(body: &[u8], least: usize, cloud_now: Timestamp) -> Result<EngineAnswer, Error> {
    list(RowStream::default().read_in_parts(body, least), cloud_now)
}

fn list(parts: Option<Parts<EngineRows>>, cloud_now: Timestamp) -> Result<EngineAnswer, Error> {
    let Parts { document, rows } = parts.ok_or(Error::Unexpected(UNREADABLE))?;
    let whole: Services = read(&document, UNREADABLE)?;
    listed(rows.map_or(whole.services, List), cloud_now)
}

fn listed(list: List<EngineRows>, cloud_now: Timestamp) -> Result<EngineAnswer, Error> {
    let List(EngineRows { rows, has_long_name, .. }) = list;
    if rows.len() > MOST_ROWS {
        return Err(Error::Unexpected("it lists more than 10,000 engines, which \"heat-manage service clean\" mends"));
    }
    if has_long_name {
        return Err(Error::Unexpected("it lists an engine with a name of more than 255 bytes"));
    }
    Ok(EngineAnswer::Listed(Arc::new(EngineList { rows: Arc::new(rows.into()), cloud_now })))
}

/// Heat's own JSON, or the plain sentence in its documentation. A 503 of a proxy, or of Keystone behind Heat, has
/// neither.
fn says_engines_are_down(body: &[u8]) -> bool {
    let says = |text: &str| text.to_ascii_lowercase().contains("engines are down");
    match serde_json::from_slice::<HeatError>(body) {
        Ok(refusal) => refusal.code == 503 && says(&refusal.error.message),
        Err(_) => std::str::from_utf8(body).is_ok_and(|text| text.len() < 200 && !text.contains('<') && says(text)),
    }
}
