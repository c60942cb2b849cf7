//! One server in Nova's usage. An invalid value affects only its own row: the totals do not depend on it.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    MOST_HOURS,
    flavors::{Hours, NO_FLAVOR},
};
use crate::words::word_of;

/// A row of `server_usages`. Nova omits the amounts of a server that is deleted during the query.
#[derive(Debug, Deserialize)]
pub(super) struct Row<'a> {
    #[serde(default)]
    ended_at: Option<IgnoredAny>,
    #[serde(default, borrow)]
    flavor: Name<'a>,
    #[serde(default)]
    hours: Amount,
    #[serde(default)]
    vcpus: Amount,
    #[serde(default)]
    memory_mb: Amount,
    #[serde(default)]
    local_gb: Amount,
}

impl Row<'_> {
    pub(super) const fn is_active(&self) -> bool {
        self.ended_at.is_none()
    }

    /// The flavor's name as it may be displayed.
    pub(super) fn flavor(&self) -> &str {
        let Name(name) = &self.flavor;
        if name.chars().all(char::is_whitespace) { NO_FLAVOR } else { name }
    }

    /// Hours, and the hours of vCPUs, memory and disk.
    pub(super) fn hours(&self) -> Hours {
        let Amount(hours) = self.hours;
        let times = |Amount(amount)| Some(amount * hours).filter(|product| *product <= MOST_HOURS).unwrap_or(0.0);
        [hours, times(self.vcpus), times(self.memory_mb), times(self.local_gb)]
    }
}

/// The displayed form of a text. Empty for any other JSON value. Nearly all texts are displayed as they are, so no row
/// needs memory of its own.
#[derive(Debug, Default)]
struct Name<'de>(Cow<'de, str>);

/// The number if it is a valid amount. 0 for any other JSON value.
#[derive(Debug, Clone, Copy, Default)]
struct Amount(f64);

/// What is kept of any JSON value.
trait Kept<'de>: Default {
    fn number(_: f64) -> Self {
        Self::default()
    }

    fn text(_: Cow<'de, str>) -> Self {
        Self::default()
    }
}

impl<'de> Kept<'de> for Name<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Self(word_of(text))
    }
}

impl Kept<'_> for Amount {
    fn number(number: f64) -> Self {
        if (0.0..=MOST_HOURS).contains(&number) { Self(number) } else { Self(0.0) }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader::<Name<'de>>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Kept<'de>> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text.to_owned().into()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::flavors::Flavors, *};
    use crate::observation::FlavorUsage;

    fn read(text: &str) -> FlavorUsage {
        let row: Row = serde_json::from_str(text).unwrap();
        let mut flavors = Flavors::default();
        flavors.add(row.flavor(), 1, row.hours());
        flavors.finish().0.remove(0)
    }

    #[test]
    fn an_invalid_value_does_not_affect_others() {
        for (name, row, flavor, figures) in [
            (
                "as Nova writes it",
                r#"{"flavor": "m1", "hours": 2.5, "vcpus": 2, "memory_mb": 512, "local_gb": 20}"#,
                "m1",
                [2.5, 5.0, 1280.0, 50.0],
            ),
            ("the amounts are missing", r#"{"flavor": "m1", "hours": 2.5}"#, "m1", [2.5, 0.0, 0.0, 0.0]),
            (
                "one of them is",
                r#"{"flavor": "m1", "hours": 2, "vcpus": 2, "local_gb": null}"#,
                "m1",
                [2.0, 4.0, 0.0, 0.0],
            ),
            ("no flavor", r#"{"hours": 1, "vcpus": 1}"#, "(none)", [1.0, 1.0, 0.0, 0.0]),
            ("null", r#"{"flavor": null, "hours": 1}"#, "(none)", [1.0, 0.0, 0.0, 0.0]),
            ("an empty one", r#"{"flavor": "", "hours": 1}"#, "(none)", [1.0, 0.0, 0.0, 0.0]),
            ("spaces", r#"{"flavor": "  ", "hours": 1}"#, "(none)", [1.0, 0.0, 0.0, 0.0]),
            ("an invisible one", r#"{"flavor": "\u200b\n", "hours": 1}"#, r"\u{200b}\u{a}", [1.0, 0.0, 0.0, 0.0]),
            ("an object", r#"{"flavor": {"id": [1, {"a": null}]}, "hours": 1}"#, "(none)", [1.0, 0.0, 0.0, 0.0]),
            ("a number", r#"{"flavor": 7, "hours": 1}"#, "(none)", [1.0, 0.0, 0.0, 0.0]),
            ("hours that are none", r#"{"flavor": "m1", "hours": "1", "vcpus": 1}"#, "m1", [0.0; 4]),
            ("negative hours", r#"{"flavor": "m1", "hours": -1, "vcpus": 1}"#, "m1", [0.0; 4]),
            ("a negative amount", r#"{"flavor": "m1", "hours": 1, "vcpus": -1}"#, "m1", [1.0, 0.0, 0.0, 0.0]),
            ("too much", r#"{"flavor": "m1", "hours": 1e16, "vcpus": 1}"#, "m1", [0.0; 4]),
            ("the most", r#"{"flavor": "m1", "hours": 1e15, "vcpus": 1}"#, "m1", [1e15, 1e15, 0.0, 0.0]),
            (
                "a product that is too much",
                r#"{"flavor": "m1", "hours": 1e9, "vcpus": 1e9}"#,
                "m1",
                [1e9, 0.0, 0.0, 0.0],
            ),
            ("negative zero", r#"{"flavor": "m1", "hours": -0.0, "vcpus": 1}"#, "m1", [0.0; 4]),
            ("nothing at all", "{}", "(none)", [0.0; 4]),
        ] {
            let used = read(row);
            let figures_ = [used.server_hours, used.vcpu_hours, used.memory_mb_hours, used.disk_gb_hours];
            assert_eq!((used.flavor.as_str(), used.servers, figures_), (flavor, 1, figures), "{name}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for (length, kept) in [(127, 127), (128, 127), (10_000, 127)] {
            let used = read(&json!({ "flavor": "ü".repeat(length) }).to_string());
            assert_eq!(used.flavor, "ü".repeat(kept), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_row_gives_figures_that_can_be_shown(flavor in any::<String>(), hours in any::<f64>(), vcpus in any::<i64>()) {
            let used = read(&json!({ "flavor": flavor, "hours": hours, "vcpus": vcpus }).to_string());
            prop_assert!((1..=255).contains(&used.flavor.len()));
            prop_assert!(!used.flavor.contains(crate::words::is_unsafe));
            prop_assert!([used.server_hours, used.vcpu_hours].iter().all(|hours| (0.0..=MOST_HOURS).contains(hours)));
        }
    }
}
