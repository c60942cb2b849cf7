//! No secret appears in a log line of any level, a status, an event, a metric or a `Debug` output.

use std::{
    fmt::{Debug, Write as _},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

/// Part of every secret: passwords, tokens, and user information in URLs.
pub const MARK: &str = "M4RK-";

static LINES: AtomicUsize = AtomicUsize::new(0);
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes a text that contains a secret.
pub fn search(place: &str, text: &str) {
    LINES.fetch_add(1, SeqCst);
    if let Some(at) = text.find(MARK) {
        let around: String = text[..at].chars().rev().take(100).collect();
        let around: String = around.chars().rev().collect();
        FOUND.lock().unwrap().push(format!("{place}: {around}{MARK}…"));
    }
}

/// Searches all lines of the log, of any level, from now on.
pub fn watch_log() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Log)).unwrap();
}

/// The number of texts that were searched, and where a secret was found.
pub fn found() -> (usize, Vec<String>) {
    let mut found = FOUND.lock().unwrap().clone();
    found.sort();
    found.dedup();
    (LINES.load(SeqCst), found)
}

struct Log;

/// All fields of a line.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut line = Line(String::new());
        attributes.record(&mut line);
        search(attributes.metadata().target(), &line.0);
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        search("a span", &line.0);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        search(event.metadata().target(), &line.0);
    }
}
