//! What the writer does where server-side apply is not enough: the stored status does not fit the schema, other field
//! managers own parts of it, or the API server refuses the new one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource as _;
use serde::Serialize;

use super::{Reported, WriteError};
use crate::{decide::status::StatusRefusal, watched::object::Object};

/// Codes of answers to server-side apply after which the writer replaces the status.
const UNAPPLICABLE: [u16; 3] = [400, 413, 422];

/// A part of the messages of a 500 that says that the stored object, or the applied one, does not fit the schema's types.
/// Other 500s say that the API server itself is unwell.
const UNFIT: &str = "typed";

/// Parts of the messages of a 500 that says that the object is too large for etcd.
const TOO_LARGE: [&str; 2] = ["larger than max", "too large"];

/// A part of the messages of a 403 of an admission webhook or policy. Other 403s concern rights, or an API server that has
/// just started and does not know them yet.
const DENIED: &str = " denied ";

/// A part of the messages of a 403 of a ResourceQuota.
const QUOTA: &str = "exceeded quota";

/// Whether a policy or a webhook refuses this write.
pub(super) fn is_by_policy(error: &WriteError) -> bool {
    error.answer().is_some_and(|answer| answer.message.contains(DENIED))
}

/// Whether a ResourceQuota refuses this write.
pub(super) fn exceeds_quota(error: &WriteError) -> bool {
    error.answer().is_some_and(|answer| answer.message.contains(QUOTA))
}

/// Whether a policy, a webhook or a quota refuses this write. Other 403s can be those of an API server that has just
/// started.
pub(super) fn is_denied(error: &WriteError) -> bool {
    error.is_status(&[403]) && (is_by_policy(error) || exceeds_quota(error))
}

/// Whether replacing the status may succeed where applying it did not.
pub(super) fn is_unapplicable(error: &WriteError) -> bool {
    let unfit = |message: &str| is_too_large(message) || message.contains(UNFIT);
    error.is_status(&UNAPPLICABLE) || error.answer().is_some_and(|answer| answer.code == 500 && unfit(&answer.message))
}

/// Returns why the API server refuses this status. `None` for errors that do not depend on the status.
pub(super) fn refusal(error: &WriteError) -> Option<StatusRefusal> {
    let answer = error.answer()?;
    match answer.code {
        400 | 422 => Some(StatusRefusal::Invalid),
        403 if is_by_policy(error) => Some(StatusRefusal::Invalid),
        413 => Some(StatusRefusal::TooLarge),
        500 if is_too_large(&answer.message) => Some(StatusRefusal::TooLarge),
        _ => None,
    }
}

fn is_too_large(message: &str) -> bool {
    TOO_LARGE.iter().any(|part| message.contains(part))
}

/// Whether the object, after this status was applied to it, has more conditions or data of the operator's types. Examples
/// are a restored status, one that a person wrote, and what an earlier patch wrote: apply does not remove that.
pub(super) fn has_rest<K: Reported>(object: &Object<K>, applied: &K::Status) -> bool {
    // The API server stores times without fractions of seconds.
    let applied = serde_json::to_value(applied).and_then(serde_json::from_value);
    let is_object = object.meta().resource_version.is_some();
    is_object && applied.is_ok_and(|applied| K::differs(&object.clone().into_status(), &applied))
}

/// Those of the conditions that are other controllers'.
pub(super) fn of_others<K: Reported>(conditions: &[Condition]) -> Vec<Condition> {
    conditions.iter().filter(|condition| !K::CONDITIONS.contains(&&*condition.type_)).cloned().collect()
}

/// Adds the conditions of other controllers to a status, each type once.
pub(super) fn with_others<K: Reported>(mut status: K::Status, others: Vec<Condition>) -> K::Status {
    let conditions = K::conditions(&mut status);
    for condition in others {
        if conditions.iter().all(|have| have.type_ != condition.type_) {
            conditions.push(condition);
        }
    }
    status
}

/// An operation of a JSON patch (RFC 6902).
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Operation<'a, S> {
    /// Adds or replaces a value.
    Add { path: &'static str, value: Value<'a, S> },
}

/// What an operation adds.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Value<'a, S> {
    Version(&'a str),
    Status(&'a S),
}

/// Returns the JSON patch that replaces the whole status. The API server answers 409 if the object no longer has the
/// resource version `base`.
pub(super) fn replacement<'a, S>(base: Option<&'a str>, status: &'a S) -> Vec<Operation<'a, S>> {
    let lock = base.map(|base| Operation::Add { path: "/metadata/resourceVersion", value: Value::Version(base) });
    lock.into_iter().chain([Operation::Add { path: "/status", value: Value::Status(status) }]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::{CloudTenant, CloudTenantStatus},
        watched::object::Watched,
    };

    fn status(conditions: &[(&str, &str)]) -> Value {
        let condition = |(type_, message): &(&str, &str)| {
            json!({
                "type": type_, "status": "True", "reason": "R", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        json!({ "observedGeneration": 1, "conditions": conditions.iter().map(condition).collect::<Vec<_>>() })
    }

    fn with(mut status: Value, pointer: &str, value: Value) -> Value {
        status[pointer] = value;
        status
    }

    /// Each line: the object's status after the status was applied | whether something of others is left.
    #[test]
    fn conditions_and_data_of_others_are_found() {
        let ours = || status(&[("Ready", "m")]);
        let applied: CloudTenantStatus = serde_json::from_value(ours()).unwrap();
        for (name, stored, has) in [
            ("the same", ours(), false),
            ("a foreign condition", status(&[("Ready", "m"), ("Backup", "m")]), false),
            ("a field of a later version", with(ours(), "volumes", json!({ "total": 1 })), false),
            (
                "a foreign condition that cannot be read",
                with(
                    status(&[]),
                    "conditions",
                    json!([
                        ours()["conditions"][0], { "type": "Backup", "status": 5 },
                    ]),
                ),
                false,
            ),
            ("Stalled of another manager", status(&[("Ready", "m"), ("Stalled", "m")]), true),
            ("a condition twice", status(&[("Ready", "m"), ("Ready", "m")]), true),
            ("data of another manager", with(ours(), "usage", json!({ "servers": 1 })), true),
            ("a time that cannot be read", with(ours(), "observedAt", json!("never")), true),
            ("data that cannot be read", with(ours(), "usage", json!([])), true),
            (
                "a condition that cannot be read",
                with(
                    status(&[]),
                    "conditions",
                    json!([
                        ours()["conditions"][0], { "type": "Stalled", "status": "True" },
                    ]),
                ),
                true,
            ),
            (
                "a condition without a type",
                with(
                    status(&[]),
                    "conditions",
                    json!([
                        ours()["conditions"][0], { "status": "True" },
                    ]),
                ),
                true,
            ),
        ] {
            let object = json!({
                "metadata": { "name": "shop", "resourceVersion": "2" },
                "spec": { "projectID": "p", "cloudCredentialsRef": { "secretName": "s" } }, "status": stored,
            });
            assert_eq!(has_rest(&Watched::read(&object.to_string()), &applied), has, "{name}");
            let unreadable = with(object, "spec", json!({}));
            assert_eq!(has_rest(&Watched::read(&unreadable.to_string()), &applied), has, "{name}, unreadable spec");
        }
    }

    #[test]
    fn a_replacement_keeps_the_conditions_of_others() {
        let read = |value| serde_json::from_value::<CloudTenantStatus>(value).unwrap();
        let stored = read(status(&[("Ready", "old"), ("Stalled", "old"), ("Backup", "one"), ("Backup", "two")]));
        let others = of_others::<CloudTenant>(&stored.conditions);
        let status_ = with_others::<CloudTenant>(read(status(&[("Ready", "new")])), others);
        let patch = json!(replacement(Some("7"), &status_));
        assert_eq!(patch[0], json!({ "op": "add", "path": "/metadata/resourceVersion", "value": "7" }));
        assert_eq!((&patch[1]["op"], &patch[1]["path"]), (&json!("add"), &json!("/status")));
        assert_eq!(patch[1]["value"], status(&[("Ready", "new"), ("Backup", "one")]));
    }
}
