//! Validates a `CloudTenantSet` and converts it into the input of the decisions.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Filter, name};
use crate::{
    api::{
        CloudTenantSpec,
        set::{CONFIRM_PRUNE, CloudTenantSet, CloudTenantSetSpec, ProjectSource, Prune},
    },
    target::Target,
    words::word,
};

/// The validated set.
#[derive(Debug, Clone)]
pub struct SetTarget {
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
    /// When the set was created.
    pub created_at: Option<Timestamp>,
    /// The spec's generation.
    pub generation: i64,
    /// The clouds.yaml Secret in the set's namespace.
    pub secret_name: String,
    /// The entry in clouds.yaml.
    pub cloud_name: String,
    /// The interval between two lists.
    pub interval: Duration,
    /// The operator lists nothing and changes nothing.
    pub suspend: bool,
    /// Where the projects come from.
    pub source: ProjectSource,
    /// Which projects get a CloudTenant.
    pub filter: Filter,
    /// The IDs of domains that the filter names.
    pub domain_ids: Vec<String>,
    /// The ID above the projects that the filter names.
    pub parent_id: Option<String>,
    /// The tags that the filter names.
    pub tags: Vec<String>,
    /// What becomes of CloudTenants whose project is gone.
    pub prune: Prune,
    /// The share that may be deleted within 24 hours, in percent.
    pub max_loss_percent: u32,
    /// The number of CloudTenants from which on no further ones are made.
    pub max_tenants: usize,
    /// The generation in the annotation `cloudtenant.dev/confirm-prune`.
    pub confirms: Option<i64>,
    /// The labels of the template.
    pub(super) labels: BTreeMap<String, String>,
    /// The annotations of the template.
    pub(super) annotations: BTreeMap<String, String>,
    /// The fields of the spec that all CloudTenants have.
    pub(super) spec: Map<String, Value>,
}

impl SetTarget {
    /// Validates a set.
    ///
    /// # Errors
    /// A sentence about the first unusable field. The schema refuses all but an unusable pattern, so the others concern
    /// only objects that are older than it.
    pub fn new(set: &CloudTenantSet) -> Result<Self, String> {
        let spec = &set.spec;
        let name = set.metadata.name.clone().unwrap_or_default();
        if name.len() > name::LONGEST_SET {
            return Err("The name of the CloudTenantSet is longer than 63 characters: create it anew under another \
                        name."
                .to_owned());
        }
        let percent = spec.max_loss_percent;
        let tenants = spec.max_tenants;
        if percent > 100 || !(1..=5000).contains(&tenants) {
            let field = if percent > 100 { "maxLossPercent" } else { "maxTenants" };
            return Err(format!("spec.{field} is out of its range: correct the field."));
        }
        let annotations = set.metadata.annotations.as_ref();
        let confirms = annotations.and_then(|annotations| annotations.get(CONFIRM_PRUNE)?.trim().parse().ok());
        let template = &spec.template;
        let own = |texts: &BTreeMap<String, String>| {
            let texts = texts.iter().filter(|(name, _)| !is_reserved(name));
            texts.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let target = Self {
            name,
            uid: set.metadata.uid.clone().unwrap_or_default(),
            created_at: set.metadata.creation_timestamp.as_ref().map(|at| at.0),
            generation: set.metadata.generation.unwrap_or_default(),
            secret_name: spec.cloud_credentials_ref.secret_name.clone(),
            cloud_name: spec.cloud_credentials_ref.cloud_name.clone(),
            interval: interval(spec)?,
            suspend: spec.suspend,
            source: spec.source,
            filter: Filter::new(&spec.filter)?,
            domain_ids: spec.filter.domain_ids.clone(),
            parent_id: spec.filter.parent_id.clone(),
            tags: spec.filter.tags.clone(),
            prune: spec.prune,
            max_loss_percent: percent,
            max_tenants: usize::try_from(tenants).unwrap_or(usize::MAX),
            confirms,
            labels: own(&template.metadata.labels.0),
            annotations: own(&template.metadata.annotations.0),
            spec: common_spec(spec),
        };
        target.check_template()?;
        Ok(target)
    }

    /// The spec of the CloudTenant for a project, with the stated fields alone.
    pub(super) fn spec_for(&self, project_id: &str) -> Map<String, Value> {
        let mut spec = self.spec.clone();
        spec.insert("projectID".to_owned(), json!(project_id));
        spec
    }

    /// A CloudTenant of the set must be one that the operator can use.
    fn check_template(&self) -> Result<(), String> {
        let spec = Value::Object(self.spec_for("project"));
        let spec: CloudTenantSpec = serde_json::from_value(spec)
            .map_err(|error| format!("spec.template.spec cannot be read: {}.", word(&error.to_string())))?;
        let told = |error: crate::target::InvalidSpec| format!("spec.template.{error}");
        Target::new(&spec).map(|_| ()).map_err(told)
    }
}

/// Whether Kubernetes or the operator keep the prefix of this label or annotation for themselves.
fn is_reserved(name: &str) -> bool {
    let Some((prefix, _)) = name.split_once('/') else { return false };
    ["kubernetes.io", "cloudtenant.dev"].into_iter().any(|domain| {
        prefix.strip_suffix(domain).is_some_and(|subdomain| subdomain.is_empty() || subdomain.ends_with('.'))
    })
}

/// The template's spec with the set's credential.
fn common_spec(spec: &CloudTenantSetSpec) -> Map<String, Value> {
    let mut common: Map<_, _> = spec.template.spec.0.iter().filter_map(without_nulls).collect();
    common.remove("projectID");
    let scope = common.remove("cloudCredentialsRef").and_then(|mut reference| Some(reference.get_mut("scope")?.take()));
    let credentials = &spec.cloud_credentials_ref;
    let reference = json!({
        "secretName": credentials.secret_name,
        "cloudName": credentials.cloud_name,
        "scope": scope.unwrap_or_else(|| json!("ObservedProject")),
    });
    common.insert("cloudCredentialsRef".to_owned(), reference);
    common
}

/// A null is a field that is not stated.
fn without_nulls((name, value): (&String, &Value)) -> Option<(String, Value)> {
    let value = match value {
        Value::Null => return None,
        Value::Object(fields) => Value::Object(fields.iter().filter_map(without_nulls).collect()),
        other => other.clone(),
    };
    Some((name.clone(), value))
}

fn interval(spec: &CloudTenantSetSpec) -> Result<Duration, String> {
    let length = spec.interval.parse();
    let length = length.ok_or("spec.interval is not a duration such as 90s or 5m: correct the field.")?;
    if (60..=86_400).contains(&length.as_secs()) && length <= Duration::from_secs(86_400) {
        Ok(length)
    } else {
        Err("spec.interval is out of its range: correct the field.".to_owned())
    }
}
