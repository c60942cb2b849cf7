//! The values of one entry of a `clouds.yaml`, merged with those of its region.

mod reader;

use reader::{File, Level, Region};

use super::{ConfigError, error::listed, keys};

/// In bytes.
const LONGEST_FILE: usize = 512 << 10;

/// The maximum number of characters of a value. Keystone's limits are 255 for names and, by default, 4096 for
/// passwords.
fn longest(key: &str) -> usize {
    match key {
        "password"
        | "application_credential_secret"
        | "token"
        | "auth_token"
        | "secret_key"
        | "sk"
        | "security_token" => 16_384,
        url if url == "auth_url" || url.ends_with("endpoint") || url.ends_with("endpoint_override") => 2048,
        _ => 255,
    }
}

/// One entry's values as written: `0123` stays `0123`, whatever its YAML type. Hyphens in keys become underscores, as
/// in openstacksdk. Empty values are absent.
pub(super) struct Entry {
    values: Level,
    /// The region whose endpoints are used, if the entry or the spec names one.
    pub(super) region: Option<String>,
    /// The key of a list whose first region is used because no region is set.
    pub(super) first_of: Option<&'static str>,
}

impl Entry {
    /// Reads the entry `cloud` for `region`, or else for the region in the entry. Other entries need only be valid
    /// YAML.
    pub(super) fn read(yaml: &str, cloud: &str, region: Option<&str>) -> Result<Self, ConfigError> {
        if yaml.len() > LONGEST_FILE {
            return Err(ConfigError::Invalid {
                field: "clouds.yaml".into(),
                problem: "has more than 512 KiB: keep the entries that CloudTenants name".into(),
            });
        }
        let options = serde_saphyr::options! {
            // As in PyYAML, and therefore in openstacksdk.
            duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
            // Region names stay as written.
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            // Snippets would quote the Secret.
            with_snippet: false,
            // The limit is proportional to the file: without it, 8 KB of aliases and merge keys took 600 MB.
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: (1000 + yaml.len() / 2).min(50_000),
            },
            budget: serde_saphyr::budget! {
                max_total_scalar_bytes: 1000 + 2 * yaml.len(),
            },
        };
        let read = |de: serde_saphyr::Deserializer<'_, '_>| File(cloud).read(de);
        let file = serde_saphyr::with_deserializer_from_str_with_options(yaml, options, read);
        // The parser's own message may quote the text, so the error names only the position.
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
        let entry = entry.ok_or_else(|| ConfigError::CloudNotFound { cloud: cloud.to_owned(), known })?;
        let entry = Self::of(entry, region)?;
        entry.too_long().map_or(Ok(entry), Err)
    }

    /// The first value that is longer than a cloud accepts. Without this check, statuses and metrics would contain it.
    fn too_long(&self) -> Option<ConfigError> {
        let levels = [("", &self.values.top), ("auth.", &self.values.auth)];
        let values =
            levels.into_iter().flat_map(|(level, values)| values.iter().map(move |(key, list)| (level, key, list)));
        let given = values.flat_map(|(level, key, list)| list.iter().flatten().map(move |value| (level, key, value)));
        let long = |key: &str, value: &str| (value.chars().count() > longest(key)).then(|| longest(key));
        let region = self.region.as_deref().and_then(|region| Some(("region_name".to_owned(), long("", region)?)));
        let mut found = given.filter(|(_, key, _)| *key != "region_name");
        let (field, most) = region
            .or_else(|| found.find_map(|(level, key, value)| Some((format!("{level}{key}"), long(key, value)?))))?;
        let problem = format!("has more than {most} characters, which no cloud accepts: correct it");
        Some(ConfigError::Invalid { field, problem })
    }

    /// Chooses the region. The region's values replace the entry's.
    fn of(mut values: Level, wanted: Option<&str>) -> Result<Self, ConfigError> {
        let regions = std::mem::take(&mut values.regions);
        let names = values.top.get("region_name").cloned().flatten().unwrap_or_default();
        // An older form of the list: one text, separated by commas.
        let mut names = names.iter().flat_map(|name| name.split(',')).map(str::trim).filter(|name| !name.is_empty());
        let named = names.next();
        let wanted = wanted.filter(|region| !region.is_empty());
        let first_of = (wanted.is_none() && names.next().is_some()).then_some("region_name");
        let region = wanted.or(named).map(str::to_owned);
        let Some(regions) = regions.filter(|regions| !regions.is_empty()) else {
            return Ok(Self { values, region, first_of });
        };
        let invalid = |problem: String| Err(ConfigError::Invalid { field: "regions".into(), problem });
        let known: Option<Vec<_>> = regions.iter().map(|region| region.name.clone()).collect();
        let Some(known) = known else {
            return invalid(
                "is no list of regions: give names, or mappings that have name and values and nothing else".into(),
            );
        };
        let at = match &region {
            None => 0,
            Some(region) => match known.iter().position(|known| known == region) {
                Some(at) => at,
                None => {
                    let region = listed(std::slice::from_ref(region));
                    return invalid(format!("lists {}, but not {region}: name one of these", listed(&known)));
                }
            },
        };
        let first_of = if region.is_none() { Some("regions") } else { first_of };
        if let Some(Region { values: Some(own), .. }) = regions.into_iter().nth(at) {
            values.overlay(own);
        }
        Ok(Self { values, region: known.into_iter().nth(at), first_of })
    }

    /// The first of the keys that has a value.
    ///
    /// A value below `auth` takes precedence over one beside it, except for the keys that openstacksdk moves there.
    pub(super) fn get(&self, keys: &[&str]) -> Option<&str> {
        self.list(keys).first().map(String::as_str)
    }

    /// The values of the first of the keys that has any.
    pub(super) fn list(&self, keys: &[&str]) -> &[String] {
        let (auth, top) = (&self.values.auth, &self.values.top);
        let has = |values: &&Vec<String>| !values.is_empty();
        let in_auth = |key: &&str| auth.get(*key).and_then(Option::as_ref).filter(has);
        let beside = |key: &&str| top.get(*key).and_then(Option::as_ref).filter(has);
        let found = if keys.first().is_some_and(|key| keys::is_moved(key)) {
            keys.iter().find_map(|key| beside(key).or_else(|| in_auth(key)))
        } else {
            keys.iter().find_map(in_auth).or_else(|| keys.iter().find_map(beside))
        };
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// The first refused key, with the reason.
    pub(super) fn refused(&self) -> Option<ConfigError> {
        let (field, problem) = self.values.refused.first_key_value()?;
        Some(ConfigError::Invalid { field: field.clone(), problem: (*problem).to_owned() })
    }

    /// The ignored keys, sorted.
    pub(super) fn ignored(self) -> Vec<String> {
        self.values.ignored.into_iter().collect()
    }
}
