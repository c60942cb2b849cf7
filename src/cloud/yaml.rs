//! The plain values of one entry of a `clouds.yaml`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::ConfigError;

/// The keys outside `auth` that are read, besides those of `auth`, which openstacksdk takes from either place.
const TOP: &[&str] = &[
    "auth_type",
    "region_name",
    "interface",
    "endpoint_type",
    "verify",
    "system_scope",
    "profile",
    "vendor",
    "orchestration_endpoint_override",
    "compute_endpoint_override",
    "dcs_endpoint_override",
    "identity_endpoint_override",
];

/// The keys of `auth` that are read.
const AUTH: &[&str] = &[
    "auth_url",
    "username",
    "user_name",
    "user_id",
    "password",
    "user_domain_id",
    "user_domain_name",
    "project_id",
    "project_name",
    "tenant_id",
    "tenant_name",
    "project_domain_id",
    "project_domain_name",
    "domain_id",
    "domain_name",
    "default_domain",
    "default_domain_id",
    "default_domain_name",
    "system_scope",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
    "token",
    "auth_token",
];

/// One entry's values as they are written: `0123` stays `0123`, whatever YAML takes it for.
/// Hyphens in keys are underscores, as for openstacksdk. Empty values are absent.
#[derive(Default)]
pub(super) struct Entry {
    top: BTreeMap<String, String>,
    auth: BTreeMap<String, String>,
    /// The keys that are not read, sorted.
    pub(super) ignored: Vec<String>,
}

impl Entry {
    /// Reads the entry `cloud`. Other entries need only be YAML.
    pub(super) fn read(yaml: &str, cloud: &str) -> Result<Entry, ConfigError> {
        let options = serde_saphyr::options! {
            // As PyYAML, and so openstacksdk.
            duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
            // Snippets would quote the Secret.
            with_snippet: false,
        };
        let read = |de: serde_saphyr::Deserializer<'_, '_>| File(cloud).deserialize(de);
        let file = serde_saphyr::with_deserializer_from_str_with_options(yaml, options, read);
        // The parser's own message may quote the text: only the place is told.
        let found = file.map_err(|error| ConfigError::Invalid {
            field: "clouds.yaml".into(),
            problem: match error.location() {
                Some(at) => format!(
                    "cannot be read at line {}, column {}: correct the YAML, and give one plain value for each key",
                    at.line(),
                    at.column()
                ),
                None => "cannot be read: give one YAML document of moderate size".into(),
            },
        })?;
        let Some((entry, known)) = found else {
            return Err(ConfigError::Invalid {
                field: "clouds".into(),
                problem: "is missing from clouds.yaml: put the entries below this key".into(),
            });
        };
        entry.ok_or_else(|| ConfigError::CloudNotFound { cloud: cloud.to_owned(), known })
    }

    /// The first of the keys that has a value; `auth` stands above the rest of the entry.
    pub(super) fn get(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|&key| self.auth.get(key).or_else(|| self.top.get(key))).map(String::as_str)
    }
}

type Found = (Option<Entry>, Vec<String>);

/// The whole file: the wanted entry and the names of all.
struct File<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for File<'_> {
    type Value = Option<Found>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        de.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for File<'_> {
    type Value = Option<Found>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with the key clouds")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "clouds" {
                found = Some(map.next_value_seed(Clouds(self.0))?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct Clouds<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Clouds<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Found, D::Error> {
        de.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Clouds<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of names to clouds")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let (mut entry, mut known) = (None, Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                entry = Some(map.next_value_seed(Values { top: true })?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            known.push(name);
        }
        known.sort();
        Ok((entry, known))
    }
}

/// An entry (`top`) or its `auth`.
struct Values {
    top: bool,
}

impl<'de> DeserializeSeed<'de> for Values {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Entry, D::Error> {
        de.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Values {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of keys to plain values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut entry = Entry::default();
        while let Some(key) = map.next_key::<String>()? {
            let key = key.replace('-', "_");
            if self.top && key == "auth" {
                let auth = map.next_value_seed(Values { top: false })?;
                entry.auth = auth.top;
                entry.ignored.extend(auth.ignored.iter().map(|key| format!("auth.{key}")));
            } else if AUTH.contains(&key.as_str()) || (self.top && TOP.contains(&key.as_str())) {
                match map.next_value::<Option<String>>()? {
                    Some(value) if !value.is_empty() => entry.top.insert(key, value),
                    _ => entry.top.remove(&key),
                };
            } else {
                map.next_value::<IgnoredAny>()?;
                // Only version 3 is spoken, which is what most files say here.
                if key != "identity_api_version" {
                    entry.ignored.push(key);
                }
            }
        }
        entry.ignored.sort();
        Ok(entry)
    }
}
