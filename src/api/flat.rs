//! Reads a struct some of whose fields are those of another struct, side by side in one object. serde's `flatten` first
//! copies all fields into values of its own, which takes longer than reading the rest of a status.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// The fields of a struct beside those of the other one.
pub(super) trait Beside: Default {
    /// Their names.
    const NAMES: &'static [&'static str];

    /// Reads the value of the field with this index in [`NAMES`](Self::NAMES).
    fn read<'de, A: MapAccess<'de>>(&mut self, index: usize, map: &mut A) -> Result<(), A::Error>;
}

/// Nothing beside the fields of the other struct.
impl Beside for () {
    const NAMES: &'static [&'static str] = &[];

    fn read<'de, A: MapAccess<'de>>(&mut self, _: usize, _: &mut A) -> Result<(), A::Error> {
        Ok(())
    }
}

/// Returns the fields of both. Only an object has them, and not a list of their values.
pub(super) fn read<'de, B, I, D>(deserializer: D) -> Result<(B, I), D::Error>
where
    B: Beside,
    I: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(Flat(PhantomData))
}

struct Flat<B, I>(PhantomData<(B, I)>);

impl<'de, B: Beside, I: Deserialize<'de>> Visitor<'de> for Flat<B, I> {
    type Value = (B, I);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(B, I), A::Error> {
        let mut beside = B::default();
        let rest = Rest { map, beside: &mut beside, read: 0 };
        let inner = I::deserialize(MapAccessDeserializer::new(rest))?;
        Ok((beside, inner))
    }
}

/// An object without the fields beside, which are read on the way.
struct Rest<'a, A, B> {
    map: A,
    beside: &'a mut B,
    /// A bit for each field beside that has been read.
    read: u32,
}

impl<'de, A: MapAccess<'de>, B: Beside> MapAccess<'de> for Rest<'_, A, B> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, mut seed: S) -> Result<Option<S::Value>, A::Error> {
        loop {
            match self.map.next_key_seed(Key { seed, names: B::NAMES })? {
                None => return Ok(None),
                Some(Found::Inner(key)) => return Ok(Some(key)),
                Some(Found::Beside(index, unused)) => {
                    let bit = 1 << index;
                    if self.read & bit != 0 {
                        return Err(A::Error::duplicate_field(B::NAMES[index]));
                    }
                    self.read |= bit;
                    self.beside.read(index, &mut self.map)?;
                    seed = unused;
                }
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Reads a name. `seed` reads those of the other struct.
struct Key<S> {
    seed: S,
    names: &'static [&'static str],
}

enum Found<V, S> {
    Inner(V),
    /// The index of the field beside, and the seed, which was not needed.
    Beside(usize, S),
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<S> {
    type Value = Found<S::Value, S>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Key<S> {
    type Value = Found<S::Value, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        match self.names.iter().position(|beside| *beside == name) {
            Some(index) => Ok(Found::Beside(index, self.seed)),
            None => self.seed.deserialize(name.into_deserializer()).map(Found::Inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::super::{KindCounts, PreviousUsage, UsageFigures, UsageStatus};

    /// The same struct with serde's own `flatten`.
    #[derive(Debug, Serialize, serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Flattened {
        #[serde(default)]
        observed_at: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
        #[serde(default)]
        active_servers: u64,
        #[serde(flatten)]
        figures: UsageFigures,
        #[serde(default)]
        previous: Option<PreviousUsage>,
    }

    /// Each value is read, or refused, as serde's `flatten` does it.
    #[test]
    fn a_usage_is_read_as_by_serde() {
        let figures = json!({
            "start": "2026-11-01T00:00:00Z", "end": "2026-11-22T05:09:43Z", "complete": true, "servers": 3,
            "serverHours": "1.5", "vcpuHours": "3", "memoryMBHours": "4", "diskGBHours": "5", "flavorsOmitted": 1,
            "byFlavor": [{ "flavor": "a", "servers": 1, "vcpuHours": "2" }, { "flavor": "b" }],
        });
        let with = |field: &str, value: Value| {
            let mut usage = figures.clone();
            usage["observedAt"] = json!("2026-11-22T05:09:46Z");
            usage["activeServers"] = json!(2);
            usage["previous"] = figures.clone();
            usage[field] = value;
            usage
        };
        let odd =
            [json!(null), json!(5), json!(-1), json!(1.5), json!("x"), json!([]), json!({}), json!([1]), json!(true)];
        let fields = ["observedAt", "activeServers", "previous", "start", "complete", "servers", "byFlavor", "other"];
        let mut texts: Vec<String> = odd.iter().map(ToString::to_string).collect();
        for field in fields {
            texts.extend(odd.iter().map(|value| with(field, value.clone()).to_string()));
        }
        texts.push(with("other", json!({ "deep": [[[1]]] })).to_string());
        let twice = ["activeServers", "servers"].map(|name| format!(r#"{{"{name}":1,"{name}":1}}"#));
        texts.extend(twice);
        texts.push(r#"{"active\u0053ervers":1,"serve\u0072s":2}"#.to_owned());
        let mut read = 0;
        for text in texts {
            let ours = serde_json::from_str::<UsageStatus>(&text);
            let serdes = serde_json::from_str::<Flattened>(&text);
            assert_eq!(ours.is_ok(), serdes.is_ok(), "{text}: {ours:?} {serdes:?}");
            let Ok((ours, serdes)) = ours.and_then(|ours| Ok((ours, serdes?))) else { continue };
            read += 1;
            assert_eq!(ours.observed_at, serdes.observed_at, "{text}");
            assert_eq!((ours.active_servers, &ours.figures), (serdes.active_servers, &serdes.figures), "{text}");
            assert_eq!(ours.previous, serdes.previous, "{text}");
            // A value that serde has parsed already is read too.
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::from_value::<UsageStatus>(value).unwrap(), ours, "{text}");
        }
        assert!(read > 10, "{read}");
    }

    #[test]
    fn a_kind_of_caches_needs_its_name() {
        let read = |text: &str| serde_json::from_str::<KindCounts>(text);
        let counts = read(r#"{"running":3,"kind":"redis","createFailed":1,"other":[{"name":"x","count":2}],"y":{}}"#);
        let counts = counts.unwrap();
        assert_eq!((&*counts.kind, counts.counts.running, counts.counts.create_failed), ("redis", Some(3), Some(1)));
        assert_eq!(counts.counts.other[0].count, 2);
        assert_eq!(
            json!(counts),
            json!({
                "kind": "redis", "running": 3, "createFailed": 1, "other": [{ "name": "x", "count": 2 }],
            })
        );
        for refused in
            [r#"{"running":3}"#, r#"{"kind":5}"#, r#"{"kind":null}"#, r#"["redis"]"#, r#"{"kind":"a","running":"3"}"#]
        {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
