//! No secret appears in a log line of any level, a status, an event, a metric, a panic or a `Debug` output.

use std::{
    fmt::{Debug, Write as _},
    panic,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

/// Part of every secret: passwords, tokens, access keys, and user information in URLs.
pub const MARK: &str = "M4RK-";

/// The mark as a text, in base64 after any number of bytes, in hexadecimal digits, and as a list of bytes.
static FORMS: LazyLock<Vec<String>> = LazyLock::new(|| {
    // The first and the last characters of base64 are made of other bytes too.
    let base64 = [0, 1, 2].map(|before| {
        let text = BASE64_STANDARD.encode([&b"---"[..before], MARK.as_bytes()].concat());
        let first = [0, 2, 3][before];
        text[first..first + 6].to_owned()
    });
    let hexadecimal: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    let bytes: Vec<String> = MARK.bytes().map(|byte| byte.to_string()).collect();
    [MARK.to_owned(), hexadecimal, bytes.join(", ")].into_iter().chain(base64).collect()
});

static LINES: AtomicUsize = AtomicUsize::new(0);
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes a text that contains a secret.
pub fn search(place: &str, text: &str) {
    LINES.fetch_add(1, SeqCst);
    if let Some((form, at)) = FORMS.iter().find_map(|form| Some((form, text.find(form)?))) {
        let around: String = text[..at].chars().rev().take(100).collect();
        let around: String = around.chars().rev().collect();
        FOUND.lock().unwrap().push(format!("{place}: {around}{form}…"));
    }
}

#[test]
fn a_secret_is_found_in_each_form() {
    let secret = format!("a{MARK}b");
    for before in ["", "x", "xx", "xxx"] {
        let text = BASE64_STANDARD.encode(format!("{before}{secret}"));
        assert!(FORMS.iter().any(|form| text.contains(form)), "{text}");
    }
    assert!(FORMS.iter().any(|form| format!("{:?}", secret.as_bytes()).contains(form)));
    assert!(FORMS.iter().all(|form| !"a log line without a secret, 77, 52, 4d34".contains(form)));
}

/// Searches all lines of the log, of any level, and all panics from now on.
pub fn watch() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        search("a panic", &panic.to_string());
        before(panic);
    }));
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
        // The program leaves these out at each level: src/main/log.rs.
        if event.metadata().target() == "kube_client::client" {
            return;
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        search(event.metadata().target(), &line.0);
    }
}
