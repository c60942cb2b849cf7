//! Sets up the log, excludes secrets from it, and makes each line safe to print.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write},
};

use anyhow::Context as _;
use cloudtenant_operator::words::{escaped, is_unsafe};
use tracing::Metadata;
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::arguments::LogFormat;

/// The log target for bodies of the API server's answers, which may contain Secrets.
const BODIES: &str = "kube_client::client";

/// Starts to log to standard error.
///
/// # Errors
/// The filter cannot be parsed.
pub fn begin(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    // The TLS library logs an untrusted certificate of a cloud as an error. The status already reports it.
    let settings = format!("rustls_platform_verifier=off,{filter}");
    let settings = EnvFilter::try_new(&settings).with_context(|| format!("--log {filter}"))?;
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(settings).with_ansi(colours);
    // A directive in the filter above would not suffice: a more specific one of the user's would take precedence.
    let bodies = filter_fn(|event| !has_bodies(event));
    match format {
        LogFormat::Text => {
            log.with_writer(move || Lines::to(io::stderr(), Form::Text { colours })).finish().with(bodies).init()
        }
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_writer(|| Lines::to(io::stderr(), Form::Json))
            .finish()
            .with(bodies)
            .init(),
    }
    Ok(())
}

fn has_bodies(event: &Metadata<'_>) -> bool {
    event.is_event() && event.target() == BODIES
}

/// The form of a line of the log.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// With the colours of `tracing-subscriber`, which removes other escape sequences from values itself.
    Text {
        colours: bool,
    },
    Json,
}

/// Writes each event as one line without unsafe characters. Values may come from clouds, objects and libraries' errors.
/// `tracing-subscriber` writes an event, with a line break at its end, in one call.
struct Lines<W> {
    output: W,
    form: Form,
}

impl<W> Lines<W> {
    fn to(output: W, form: Form) -> Self {
        Self { output, form }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = match self.form {
            Form::Json => json(line),
            Form::Text { colours: false } => escaped(line, usize::MAX),
            Form::Text { colours: true } => coloured(line),
        };
        self.output.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Unsafe characters occur only within strings, so that JSON's own escapes keep the values.
fn json(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for c in line.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Keeps the sequences that set a colour.
fn coloured(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for (number, part) in line.split("\u{1b}[").enumerate() {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';');
        let is_colour = end.is_some_and(|end| part[end..].starts_with('m'));
        if number > 0 {
            safe.push_str(if is_colour { "\u{1b}[" } else { r"\u{1b}[" });
        }
        safe.push_str(&escaped(part, usize::MAX));
    }
    safe
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct To(Buffer, Form);

    impl<'a> MakeWriter<'a> for To {
        type Writer = Lines<Buffer>;

        fn make_writer(&'a self) -> Self::Writer {
            Lines::to(self.0.clone(), self.1)
        }
    }

    const HOSTILE: &str = "a\nb\r\u{1b}[2J\u{9b}2J\u{202e}c\u{0}\u{2028}\u{e0041}\u{7f}\u{200b}";

    /// One event with the text in its message, in a field by `Display`, and in a span.
    fn logged(form: Form) -> String {
        let buffer = Buffer::default();
        let log = tracing_subscriber::fmt().with_writer(To(buffer.clone(), form));
        let event = || {
            let _span = tracing::info_span!("pass", host = HOSTILE, shown = %HOSTILE).entered();
            tracing::warn!(error = %HOSTILE, text = HOSTILE, debug = ?HOSTILE, "{HOSTILE}");
        };
        match form {
            Form::Json => with_default(log.json().flatten_event(true).finish(), event),
            Form::Text { colours } => with_default(log.with_ansi(colours).finish(), event),
        }
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_without_unsafe_characters() {
        for form in [Form::Text { colours: false }, Form::Text { colours: true }, Form::Json] {
            let log = logged(form);
            let line = log.strip_suffix('\n').unwrap();
            let plain = if let Form::Text { colours: true } = form {
                assert!(line.contains("\u{1b}[33m"), "{line:?}");
                let mut parts = line.split("\u{1b}[");
                let first = parts.next().unwrap().to_owned();
                parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
            } else {
                line.to_owned()
            };
            assert!(!plain.contains(is_unsafe), "{form:?}: {plain:?}");
        }
    }

    #[test]
    fn json_keeps_the_values() {
        let line: serde_json::Value = serde_json::from_str(&logged(Form::Json)).unwrap();
        for value in [&line["message"], &line["text"], &line["span"]["host"]] {
            assert_eq!(value, HOSTILE);
        }
    }
}
