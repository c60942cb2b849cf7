//! Reads an entry of a `clouds.yaml` key by key, so that no other part of the Secret is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::openstack::keys::{self, Treatment};

/// A key's values; `None` is YAML's `null`.
type Values = BTreeMap<String, Option<Vec<String>>>;

/// The values of one level: those of an entry, or those of a region.
#[derive(Default)]
pub(super) struct Level {
    pub(super) top: Values,
    pub(super) auth: Values,
    pub(super) regions: Option<Vec<Region>>,
    /// The ignored keys.
    pub(super) ignored: BTreeSet<String>,
    /// The refused keys, with the reason.
    pub(super) refused: BTreeMap<String, &'static str>,
}

impl Level {
    /// Replaces the entry's values with a region's; `null` keeps the entry's, as in openstacksdk.
    pub(super) fn overlay(&mut self, own: Self) {
        let given = |values: Values| values.into_iter().filter(|(_, values)| values.is_some());
        self.top.extend(given(own.top));
        self.auth.extend(given(own.auth));
        self.ignored.extend(own.ignored);
        self.refused.extend(own.refused);
    }
}

/// An item of `regions`.
pub(super) struct Region {
    /// `None` if the item is neither a name nor a mapping of `name` and `values`.
    pub(super) name: Option<String>,
    pub(super) values: Option<Level>,
}

type Found = (Option<Level>, Vec<String>);

/// The whole file: the requested entry, and the names of all entries.
pub(super) struct File<'a>(pub(super) &'a str);

impl File<'_> {
    /// `None` if the file has no key `clouds`.
    pub(super) fn read<'de, D: Deserializer<'de>>(self, de: D) -> Result<Option<Found>, D::Error> {
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
                entry = Some(map.next_value_seed(Mapping::Entry)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            known.push(name);
        }
        known.sort();
        Ok((entry, known))
    }
}

/// The mapping that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mapping {
    Entry,
    /// The `values` of an item of `regions`.
    Region,
    /// The `auth` of an entry or of a region.
    Auth,
}

impl<'de> DeserializeSeed<'de> for Mapping {
    type Value = Level;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Level, D::Error> {
        de.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Mapping {
    type Value = Level;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of keys to plain values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Level, A::Error> {
        let mut level = Level::default();
        let below_auth = self == Self::Auth;
        while let Some(key) = map.next_key::<String>()? {
            let key = key.replace('-', "_");
            let field = if below_auth { format!("auth.{key}") } else { key.clone() };
            if key == "auth" && !below_auth {
                let auth = map.next_value_seed(Self::Auth)?;
                level.auth = auth.top;
                level.ignored.extend(auth.ignored);
                level.refused.extend(auth.refused);
                continue;
            }
            if key == "regions" && self == Self::Entry {
                level.regions = map.next_value_seed(Regions)?;
                continue;
            }
            if key == "regions" && self == Self::Region {
                map.next_value::<IgnoredAny>()?;
                level.ignored.insert(field);
                continue;
            }
            match keys::find(below_auth, &key).map(|key| key.treatment) {
                Some(Treatment::Honoured(_)) if takes_list(&key) => {
                    level.top.insert(key, map.next_value_seed(Texts)?);
                }
                Some(Treatment::Honoured(_)) => {
                    let text = map.next_value::<Option<String>>()?;
                    level.top.insert(key, text.map(|text| if text.is_empty() { Vec::new() } else { vec![text] }));
                }
                Some(Treatment::Refused(problem)) => {
                    if map.next_value_seed(Given)? {
                        level.refused.insert(field, problem);
                    }
                }
                Some(Treatment::Harmless(_)) | None => {
                    map.next_value::<IgnoredAny>()?;
                    level.ignored.insert(field);
                }
            }
        }
        Ok(level)
    }
}

/// Whether openstacksdk accepts a list for this key.
fn takes_list(key: &str) -> bool {
    key == "region_name" || key.ends_with("interface") || key.ends_with("endpoint_type")
}

macro_rules! visit_scalars {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, value: $type) -> Result<Self::Value, E> {
            self.visit_str(&value.to_string())
        })*
    };
}

/// One text, or a list of them; `None` for `null`.
struct Texts;

impl<'de> DeserializeSeed<'de> for Texts {
    type Value = Option<Vec<String>>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts {
    type Value = Option<Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value, or a list of them")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }))
    }

    visit_scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            texts.push(text);
        }
        Ok(Some(texts))
    }
}

/// The list of regions; `None` for `null`.
struct Regions;

impl<'de> DeserializeSeed<'de> for Regions {
    type Value = Option<Vec<Region>>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Regions {
    type Value = Option<Vec<Region>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of regions")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Some(vec![Region { name: None, values: None }]))
    }

    visit_scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.visit_str("")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut regions = Vec::new();
        while let Some(region) = list.next_element_seed(OneRegion)? {
            regions.push(region);
        }
        Ok(Some(regions))
    }
}

struct OneRegion;

impl<'de> DeserializeSeed<'de> for OneRegion {
    type Value = Region;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Region, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneRegion {
    type Value = Region;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a region's name, or a mapping of name and values")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Region, E> {
        self.visit_str("")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Region, E> {
        Ok(Region { name: (!name.is_empty()).then(|| name.to_owned()), values: None })
    }

    visit_scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Region, A::Error> {
        Err(A::Error::custom("a region is no list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Region, A::Error> {
        let mut region = Region { name: None, values: None };
        let mut foreign = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => region.name = map.next_value::<Option<String>>()?.filter(|name| !name.is_empty()),
                "values" => region.values = map.next_value_seed(RegionValues)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    foreign = true;
                }
            }
        }
        if foreign {
            region.name = None;
        }
        Ok(region)
    }
}

/// A region's values; `None` for `null`.
struct RegionValues;

impl<'de> DeserializeSeed<'de> for RegionValues {
    type Value = Option<Level>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RegionValues {
    type Value = Option<Level>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of keys to plain values")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Mapping::Region.visit_map(map).map(Some)
    }
}

/// Whether a key has a value: not `null`, not empty.
struct Given;

impl<'de> DeserializeSeed<'de> for Given {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<bool, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Given {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<bool, E> {
        Ok(!text.is_empty())
    }

    visit_scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let mut given = false;
        while list.next_element::<IgnoredAny>()?.is_some() {
            given = true;
        }
        Ok(given)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut given = false;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            given = true;
        }
        Ok(given)
    }
}
