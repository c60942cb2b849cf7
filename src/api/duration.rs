//! Durations as Go and Flux write them: `90s`, `5m`, `1h30m`, `1.5h`.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration in Go's notation, kept as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GoDuration(pub String);

const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

impl GoDuration {
    /// The duration's length; `None` when the text is not a duration of hours, minutes, seconds and milliseconds.
    #[must_use]
    pub fn parse(&self) -> Option<Duration> {
        let mut rest = self.0.as_str();
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
            seconds += number.parse::<f64>().ok()? * factor;
            rest = tail;
        }
        if self.0.is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok() }
    }
}

impl From<&str> for GoDuration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Flux's own pattern. The length keeps the CEL rules' cost estimate low.
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_go_writes() {
        for (text, millis) in [
            ("90s", Some(90_000)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            ("1h0m0s", Some(3_600_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("m", None),
            ("5d", None),
            ("-5m", None),
            ("1h 30m", None),
            ("1..5h", None),
        ] {
            let got = GoDuration::from(text).parse().map(|d| d.as_millis());
            assert_eq!(got, millis, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = GoDuration(text).parse();
        }

        #[test]
        fn reads_every_whole_duration(h in 0_u64..100, m in 0_u64..60, s in 0_u64..60) {
            let got = GoDuration(format!("{h}h{m}m{s}s")).parse();
            prop_assert_eq!(got, Some(Duration::from_secs(h * 3600 + m * 60 + s)));
        }
    }
}
