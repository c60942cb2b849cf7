//! A CloudTenant as it is kept between two passes: docs/decisions/0058.
//!
//! There is one for each CloudTenant, so its size decides how much memory a process needs. What every event and sweep
//! needs is in fields. Spec and status are JSON, compressed with a dictionary, and only passes and scrapes read them.

mod texts;

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource as _;
use lz4_flex::block::{compress_with_dict, decompress_with_dict};
pub use texts::Part;
use texts::{Lines, lines, status_in, texts, value};

use crate::{
    api::{CloudTenant, CloudTenantSpec, CloudTenantStatus, REQUESTED_AT},
    identity::TenantName,
    watched::{
        object::{Unreadable, Watched},
        store::Keep,
    },
};

/// A typical object. What it contains needs little memory in other objects. It has no other effect.
const TYPICAL: &str = include_str!("kept/typical.json");

static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| texts(&Watched::read(TYPICAL)));

/// A CloudTenant in little memory.
#[derive(Debug)]
pub struct Kept {
    /// Its namespace and name, shared with all who know the CloudTenant.
    pub name: Arc<TenantName>,
    /// Its UID.
    pub uid: Option<Box<str>>,
    /// Its resource version.
    pub resource_version: Option<Box<str>>,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub is_deleted: bool,
    /// Whether other controllers have conditions in its status that are not kept, because they cannot be read.
    pub omits_conditions_of_others: bool,
    requested: Option<Box<str>>,
    /// `None` if the spec is unreadable.
    names: Option<Names>,
    /// Length in bytes of the texts.
    length: usize,
    compressed: Box<[u8]>,
}

/// The parts of a spec that are in fields.
#[derive(Debug)]
struct Names {
    secret: Box<str>,
    project: Box<str>,
}

impl Keep for Kept {
    type Seen = Watched;

    /// Compresses an object.
    fn keep(watched: &Watched, name: Arc<TenantName>) -> Self {
        let metadata = watched.meta();
        let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
        let requested = metadata.annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_AT));
        let names = |tenant: &CloudTenant| Names {
            secret: tenant.spec.cloud_credentials_ref.secret_name.as_str().into(),
            project: tenant.spec.project_id.as_str().into(),
        };
        let texts = texts(watched);
        Self {
            name,
            uid: boxed(&metadata.uid),
            resource_version: boxed(&metadata.resource_version),
            generation: metadata.generation,
            is_deleted: metadata.deletion_timestamp.is_some(),
            omits_conditions_of_others: watched.omits_conditions_of_others(),
            requested: requested.map(|requested| requested.as_str().into()),
            names: watched.0.as_ref().ok().map(names),
            length: texts.len(),
            compressed: compress_with_dict(&texts, &DICTIONARY).into(),
        }
    }

    fn needs_no_pass_after(&self, before: &Self) -> bool {
        (&self.uid, self.generation, &self.requested) == (&before.uid, before.generation, &before.requested)
    }
}

impl Kept {
    /// The Secret that the spec names. `None` if the spec is unreadable.
    #[must_use]
    pub fn secret_name(&self) -> Option<&str> {
        self.names.as_ref().map(|names| &*names.secret)
    }

    /// The project that the spec names. `None` if the spec is unreadable.
    #[must_use]
    pub fn project_id(&self) -> Option<&str> {
        self.names.as_ref().map(|names| &*names.project)
    }

    /// Returns the object.
    ///
    /// # Errors
    /// The readable parts of an unreadable object.
    pub fn read(&self) -> Result<Box<CloudTenant>, Box<Unreadable<CloudTenantStatus>>> {
        let texts = self.texts();
        let lines = lines(&texts);
        let (metadata, status) = (self.metadata(), status_in(&lines, &Part::ALL));
        match self.spec_in(&lines) {
            Ok(spec) => Ok(Box::new(CloudTenant { metadata, spec, status })),
            Err(why) => Err(Box::new(Unreadable { why, metadata, status: status.unwrap_or_default() })),
        }
    }

    /// Returns the spec. `None` if it is unreadable.
    #[must_use]
    pub fn spec(&self) -> Option<CloudTenantSpec> {
        self.spec_in(&lines(&self.texts())).ok()
    }

    /// Returns these parts of the status.
    #[must_use]
    pub fn status(&self, parts: &[Part]) -> CloudTenantStatus {
        status_in(&lines(&self.texts()), parts).unwrap_or_default()
    }

    fn spec_in(&self, lines: &Lines<'_>) -> Result<CloudTenantSpec, String> {
        let text = lines[0];
        match &self.names {
            Some(_) => serde_json::from_str(text).map_err(|error| format!("The spec cannot be read: {error}.")),
            None => Err(value(text).unwrap_or_default()),
        }
    }

    fn metadata(&self) -> ObjectMeta {
        let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let named = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
        let requested = owned(&self.requested);
        ObjectMeta {
            name: named(&self.name.name),
            namespace: named(&self.name.namespace),
            uid: owned(&self.uid),
            resource_version: owned(&self.resource_version),
            generation: self.generation,
            deletion_timestamp: self.is_deleted.then_some(Time(Timestamp::UNIX_EPOCH)),
            annotations: requested.map(|value| [(REQUESTED_AT.to_owned(), value)].into()),
            ..ObjectMeta::default()
        }
    }

    fn texts(&self) -> Vec<u8> {
        decompress_with_dict(&self.compressed, self.length, &DICTIONARY).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(read: &Result<Box<CloudTenant>, Box<Unreadable<CloudTenantStatus>>>) -> serde_json::Value {
        match read {
            Ok(tenant) => json!(tenant),
            Err(unreadable) => json!([unreadable.why, unreadable.metadata, unreadable.status]),
        }
    }

    fn read(object: &str) -> (Watched, Kept) {
        let watched = Watched::read(object);
        let kept = Kept::keep(&watched, Arc::new(TenantName::of(watched.meta())));
        (watched, kept)
    }

    #[test]
    fn what_is_kept_is_what_was_read() {
        let mut typical: serde_json::Value = serde_json::from_str(TYPICAL).unwrap();
        let without = |field: &str| {
            let mut object = typical.clone();
            object.as_object_mut().unwrap().remove(field);
            object
        };
        let (no_status, no_spec, no_metadata) = (without("status"), without("spec"), without("metadata"));
        let deleted = json!({
            "metadata": {
                "name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "annotations": { REQUESTED_AT: "a\nb\u{1}ü" },
            },
            "spec": { "projectID": "a\nb", "cloudCredentialsRef": { "secretName": "s" } }, "status": {},
        });
        typical["status"]["conditions"][0]["message"] = json!("a\nb\r\u{2028}\\\"");
        let mut foreign = typical.clone();
        foreign["status"]["conditions"] = json!([{ "type": "Backup" }]);
        let (longest, odd) = (typical.clone(), json!({ "metadata": { "uid": 5 }, "status": { "usage": {} } }));
        let mut longest = longest;
        longest["status"]["conditions"][0]["message"] = json!("ü".repeat(32 << 10));
        for object in [typical, foreign, no_status, no_spec, no_metadata, deleted, longest, odd, json!(null)] {
            let (watched, kept) = read(&object.to_string());
            assert_eq!(kept.omits_conditions_of_others, watched.omits_conditions_of_others());
            let read = kept.read();
            let watched = watched.0.map(Box::new).map_err(Box::new);
            assert_eq!(json(&read), json(&watched), "{object}");
            assert_eq!(
                read.as_ref().ok().map(|read| read.status.is_some()),
                watched.as_ref().ok().map(|of| of.status.is_some())
            );
            assert_eq!(kept.spec().is_some(), watched.is_ok());
            let status = watched.map_or_else(|of| of.status, |of| of.status.unwrap_or_default());
            assert_eq!(kept.status(&Part::ALL), status);
            let conditions = CloudTenantStatus { conditions: status.conditions, ..CloudTenantStatus::default() };
            assert_eq!(kept.status(&[Part::Conditions]), conditions);
        }
    }

    /// A process has one of these for each CloudTenant.
    #[test]
    fn a_typical_object_takes_less_than_a_kibibyte() {
        let other = TYPICAL.replace("2026-11-2", "2027-03-1").replace("\"7", "\"8").replace("engine-", "heat-");
        let (watched, kept) = read(&other);
        assert!(watched.0.is_ok());
        assert!(kept.length > 2500, "{}", kept.length);
        assert!(kept.compressed.len() < 700, "{}", kept.compressed.len());
        assert!(size_of::<Kept>() < 192, "{}", size_of::<Kept>());
    }

    /// Each line: the object after the first one | whether it needs a pass.
    #[test]
    fn a_change_of_identity_spec_or_request_needs_a_pass() {
        let object = |uid: &str, generation: i64, requested: &str, version: &str| {
            let annotations = json!({ REQUESTED_AT: requested });
            let metadata = json!({
                "name": "a", "uid": uid, "generation": generation, "resourceVersion": version, "annotations": annotations,
            });
            read(&json!({ "metadata": metadata }).to_string()).1
        };
        let first = object("u", 1, "r", "1");
        for (then, needs) in [
            (object("u", 1, "r", "2"), false),
            (object("u", 2, "r", "2"), true),
            (object("u", 1, "s", "2"), true),
            (object("v", 1, "r", "2"), true),
        ] {
            assert_eq!(!then.needs_no_pass_after(&first), needs, "{then:?}");
        }
    }
}
