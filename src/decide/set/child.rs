//! A CloudTenant in the set's namespace: whose it is, what the set wants of it, and whether it has that.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{SetTarget, name};
use crate::{
    api::{
        condition_type::READY,
        set::{DOMAIN_NAME, PROJECT_NAME, Prune, SET_LABEL, SET_UID, SETS_FIELD_MANAGER},
    },
    observation::projects::Project,
};

/// The longest value of the annotations with names from Keystone, in characters.
const LONGEST_NAME: usize = 255;

/// A CloudTenant in the set's namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
    /// The resource version.
    pub resource_version: String,
    /// The project that it observes.
    pub project_id: String,
    /// The name of the set in its label.
    pub set: Option<String>,
    /// The UID of the set in its annotation.
    pub set_uid: Option<String>,
    /// The UID of the object that controls it.
    pub controller: Option<String>,
    /// That object is a CloudTenantSet.
    pub is_of_set: bool,
    /// It is being deleted.
    pub is_deleting: bool,
    /// Its condition Ready is True.
    pub ready: bool,
    /// What the comparison with the template needs, if a set's name is in its label.
    stated: Option<Box<Stated>>,
}

/// The fields that a set may state, and which of them the sets' field manager owns.
#[derive(Debug, Clone, PartialEq)]
struct Stated {
    metadata: Map<String, Value>,
    spec: Value,
    owned: Option<Value>,
}

/// To whom a CloudTenant belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// To this set.
    Own,
    /// To nobody, but its label and its name say that it was this set's.
    Adoptable,
    /// To somebody else.
    Foreign,
}

impl Child {
    /// Reads a CloudTenant as the API server returns it. `None` if it has no name or UID.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
        let controller = owners.iter().find(|owner| owner["controller"] == true);
        let is_of_set = controller.is_some_and(|owner| {
            let version = owner["apiVersion"].as_str().unwrap_or_default();
            owner["kind"] == "CloudTenantSet" && version.starts_with("cloudtenant.dev/")
        });
        let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ready = conditions.iter().any(|condition| condition["type"] == READY && condition["status"] == "True");
        let set = text(&metadata["labels"][SET_LABEL]);
        let stated = set.is_some().then(|| {
            let kept = ["labels", "annotations", "ownerReferences"].into_iter();
            let kept = kept.filter_map(|name| Some((name.to_owned(), metadata.get(name)?.clone()))).collect();
            let managers = metadata["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ours = managers.iter().find(|entry| {
                let is_main = entry.get("subresource").is_none_or(|subresource| subresource == "");
                entry["manager"] == SETS_FIELD_MANAGER && entry["operation"] == "Apply" && is_main
            });
            let owned = ours.map(|entry| entry["fieldsV1"].clone());
            Box::new(Stated { metadata: kept, spec: object["spec"].clone(), owned })
        });
        Some(Self {
            name: text(&metadata["name"])?,
            uid: text(&metadata["uid"])?,
            resource_version: text(&metadata["resourceVersion"]).unwrap_or_default(),
            project_id: text(&object["spec"]["projectID"]).unwrap_or_default(),
            set,
            set_uid: text(&metadata["annotations"][SET_UID]),
            controller: controller.and_then(|owner| text(&owner["uid"])),
            is_of_set,
            is_deleting: metadata["deletionTimestamp"].is_string(),
            ready,
            stated,
        })
    }

    /// Drops what the comparison with this set's template does not need. Others may write megabytes into a CloudTenant.
    pub fn trim(&mut self, target: &SetTarget) {
        if self.ownership(target) == Ownership::Foreign {
            self.stated = None;
            return;
        }
        let Some(stated) = &mut self.stated else { return };
        let own = |key: &str, of: &[&str]| of.contains(&key);
        for (field, ours, template) in [
            ("labels", &[SET_LABEL][..], &target.labels),
            ("annotations", &[SET_UID, PROJECT_NAME, DOMAIN_NAME][..], &target.annotations),
        ] {
            if let Some(Value::Object(found)) = stated.metadata.get_mut(field) {
                found.retain(|key, _| own(key, ours) || template.contains_key(key));
            }
        }
        if let Some(Value::Array(owners)) = stated.metadata.get_mut("ownerReferences") {
            owners.retain(|owner| owner["uid"] == *target.uid);
        }
    }

    /// To whom it belongs, as this set sees it.
    #[must_use]
    pub fn ownership(&self, target: &SetTarget) -> Ownership {
        let is_named = self.set.as_deref() == Some(&*target.name);
        let is_by_rule = self.name == name::of(&target.name, &self.project_id);
        let is_free = self.controller.as_deref().is_none_or(|uid| uid == target.uid);
        if !is_named || !is_by_rule || !is_free {
            Ownership::Foreign
        } else if self.set_uid.as_deref() == Some(&*target.uid) {
            Ownership::Own
        } else {
            Ownership::Adoptable
        }
    }

    /// Whether Kubernetes deletes it, or will: the set that controls it does not exist any more.
    #[must_use]
    pub fn is_leaving(&self, target: &SetTarget, others: &[OtherSet]) -> bool {
        let exists = |uid: &str| uid == target.uid || others.iter().any(|other| other.uid == uid);
        self.is_deleting || self.is_of_set && !self.controller.as_deref().is_some_and(exists)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.stated.as_ref()?.metadata.get("annotations")?[name].as_str()
    }

    /// Whether it has all that the document states, and the sets' field manager owns nothing else.
    #[must_use]
    pub fn matches(&self, document: &Value) -> bool {
        let Some(stated) = &self.stated else { return false };
        let Some(owned) = &stated.owned else { return false };
        let has = |name: &str| {
            let wanted = document["metadata"].get(name);
            wanted.is_none_or(|wanted| stated.metadata.get(name).is_some_and(|found| is_within(wanted, found)))
        };
        ["labels", "annotations", "ownerReferences"].into_iter().all(has)
            && is_within(&document["spec"], &stated.spec)
            && states_all(owned, document)
    }
}

/// The CloudTenant that the set wants for a project, as server-side apply takes it. `project` is absent if it is not
/// listed, and `existing` if there is no CloudTenant yet.
#[must_use]
pub fn document(
    target: &SetTarget,
    project_id: &str,
    project: Option<(&Project, Option<&str>)>,
    existing: Option<&Child>,
) -> Value {
    let mut labels = target.labels.clone();
    labels.insert(SET_LABEL.to_owned(), target.name.clone());
    let mut annotations = target.annotations.clone();
    annotations.insert(SET_UID.to_owned(), target.uid.clone());
    let before = |name| existing.and_then(|child| child.annotation(name));
    let (project, domain) = (project.map(|(project, _)| &*project.name), project.and_then(|(_, domain)| domain));
    // A name that Keystone does not tell this time stays.
    for (name, value) in [(PROJECT_NAME, project), (DOMAIN_NAME, domain)] {
        if let Some(value) = value.or_else(|| before(name)) {
            annotations.insert(name.to_owned(), value.chars().take(LONGEST_NAME).collect());
        }
    }
    let mut metadata = json!({
        "name": existing.map_or_else(|| name::of(&target.name, project_id), |child| child.name.clone()),
        "labels": labels,
        "annotations": annotations,
    });
    if target.prune == Prune::Delete {
        metadata["ownerReferences"] = json!([{
            "apiVersion": "cloudtenant.dev/v1alpha1",
            "kind": "CloudTenantSet",
            "name": target.name,
            "uid": target.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
    }
    if let Some(child) = existing {
        // If another object has the name now, the API server refuses the document.
        metadata["uid"] = json!(child.uid);
    }
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1",
        "kind": "CloudTenant",
        "metadata": metadata,
        "spec": target.spec_for(project_id),
    })
}

/// Whether all that is wanted is there. Lists are equal, but those of which each manager owns its own items.
fn is_within(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().all(|(name, wanted)| {
            let found = found.get(name);
            let is_shared = ["ignoreHosts", "ownerReferences"].contains(&&**name);
            match (wanted, found) {
                (Value::Array(wanted), Some(Value::Array(found))) if is_shared => {
                    wanted.iter().all(|item| found.contains(item))
                }
                (wanted, Some(found)) => is_within(wanted, found),
                // An empty object is left out of the stored one.
                (Value::Object(wanted), None) => wanted.is_empty(),
                (_, None) => false,
            }
        }),
        (Value::Array(wanted), Value::Array(found)) if wanted.iter().all(|item| item.get("uid").is_some()) => {
            wanted.iter().all(|item| found.contains(item))
        }
        _ => wanted == found,
    }
}

/// Whether the document states all fields that the manager owns, in the API server's notation (`fieldsV1`). If not, an
/// apply removes the others.
fn states_all(owned: &Value, document: &Value) -> bool {
    let Some(owned) = owned.as_object() else { return true };
    owned.iter().all(|(path, inner)| {
        if let Some(name) = path.strip_prefix("f:") {
            return document.get(name).is_some_and(|stated| states_all(inner, stated));
        }
        let items = document.as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(value) = path.strip_prefix("v:") {
            return serde_json::from_str::<Value>(value).is_ok_and(|value| items.contains(&value));
        }
        if let Some(key) = path.strip_prefix("k:") {
            let key = serde_json::from_str::<Value>(key).unwrap_or_default();
            return items.iter().any(|item| is_within(&key, item) && states_all(inner, item));
        }
        true
    })
}

/// Another set in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherSet {
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// What it wants.
    pub claims: Claims,
}

/// The projects that a set wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claims {
    /// Not known yet: its first list since the start of the operator has not ended.
    Waiting,
    /// Not known: its list failed, or it is suspended or invalid.
    Unknown,
    /// Those that its last list had and its filter selected.
    Known(std::sync::Arc<std::collections::BTreeSet<Box<str>>>),
}

impl OtherSet {
    /// Whether it has precedence over the set.
    #[must_use]
    pub fn is_older(&self, target: &SetTarget) -> bool {
        (self.created_at, &*self.uid) < (target.created_at, &*target.uid) && self.uid != target.uid
    }
}
