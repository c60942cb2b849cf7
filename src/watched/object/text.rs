//! An object as its unparsed text.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// The name by which serde_json recognizes a [`RawValue`]. If it changes, the tests of depth fail.
const RAW: &str = "$serde_json::private::RawValue";

/// The text of a JSON value. Unlike a [`RawValue`], it can also be made from a value that serde has already parsed.
/// This happens in a watch's event whose `type` follows its `object`.
#[derive(Debug)]
pub struct Text(Box<RawValue>);

impl Text {
    /// Returns the JSON text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW, Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
        Box::<RawValue>::deserialize(MapAccessDeserializer::new(map)).map(Text)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        to_raw_value(&Value::deserialize(deserializer)?).map(Text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use kube::{Resource as _, core::WatchEvent};

    use crate::watched::object::Watched;

    #[test]
    fn an_event_is_read_at_any_depth_and_in_any_order() {
        let object = |depth| {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            format!(r#""object":{{"metadata":{{"name":"shop","managedFields":{deep}}}}}"#)
        };
        for (name, event) in [
            ("deep", format!(r#"{{"type":"ADDED",{}}}"#, object(100_000))),
            ("the type last", format!(r#"{{{},"type":"ADDED"}}"#, object(1))),
        ] {
            let read: WatchEvent<Watched> = serde_json::from_str(&event).unwrap();
            let WatchEvent::Added(tenant) = read else { panic!("{name}: {read:?}") };
            assert_eq!(tenant.meta().name.as_deref(), Some("shop"), "{name}");
        }
    }
}
