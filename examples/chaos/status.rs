//! What has to hold within one status, and from one status to the next, by docs/resource.md and docs/reasons.md.

use serde_json::Value;

use crate::pages::{PROBES, Pages};

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// The reason of a condition, empty if there is none.
pub fn reason<'a>(object: &'a Value, type_: &str) -> &'a str {
    condition(object, type_).and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
}

/// Whether this reason is a failed probe. What may still arrive is none before the CloudTenant is Stalled.
pub fn failed(pages: &Pages, object: &Value, reason: &str) -> bool {
    let none = ["", "Progressing", "ProbeDisabled", "ServiceNotOffered", "NoEnginesListed", "InvalidSpec"];
    let is_unknown = pages.reasons.get(reason).is_some_and(|row| row.status == "Unknown");
    let waits = |reason: &str| pages.reasons.get(reason).is_some_and(|row| row.stalled.starts_with("after"));
    let stalled = self::reason(object, "Stalled");
    is_unknown && !none.contains(&reason) && (!waits(reason) || waits(stalled))
}

fn counted(object: &Value) -> Vec<&Value> {
    let names = [("EnginesHealthy", "Engines"), ("CachesHealthy", "Caches"), ("UsageReported", "Usage")];
    let on = object["spec"]["readyOn"].as_array();
    names
        .iter()
        .filter(|(_, name)| on.is_none_or(|on| on.iter().any(|one| one == name)))
        .filter_map(|(type_, _)| condition(object, type_))
        .filter(|condition| condition["reason"] != "ProbeDisabled" && condition["reason"] != "ServiceNotOffered")
        .collect()
}

/// The reason and the status that Ready has to have.
fn ready(object: &Value) -> (String, String) {
    let all = counted(object);
    let first = |status: &str| all.iter().find(|condition| condition["status"] == status);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let observed = object["spec"]["readyWhen"] == "Observed";
    if all.is_empty() {
        return ("NothingObserved".to_owned(), "Unknown".to_owned());
    }
    match (first("False"), first("Unknown")) {
        (Some(_), None) if observed => ("Observed".to_owned(), "True".to_owned()),
        (_, Some(unknown)) if observed => (text(&unknown["reason"]), "Unknown".to_owned()),
        (Some(bad), _) => (text(&bad["reason"]), "False".to_owned()),
        (None, Some(unknown)) => (text(&unknown["reason"]), "Unknown".to_owned()),
        (None, None) => ("Healthy".to_owned(), "True".to_owned()),
    }
}

/// What is wrong with a status by itself.
pub fn within(pages: &Pages, object: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for type_ in PROBES.iter().chain(&["Ready"]) {
        let Some(condition) = condition(object, type_) else {
            wrong.push(format!("{type_} is missing"));
            continue;
        };
        let reason = condition["reason"].as_str().unwrap_or_default();
        match pages.reasons.get(reason) {
            None => wrong.push(format!("{type_} has the reason {reason}, which docs/reasons.md does not have")),
            Some(row) if condition["status"] != row.status.as_str() => {
                wrong.push(format!("{type_} is {} with the reason {reason}", condition["status"]));
            }
            Some(_) => {}
        }
        let message = condition["message"].as_str().unwrap_or_default();
        if message.is_empty() || message.len() > 2048 || message.contains("http://") {
            wrong.push(format!("the message of {type_} is {message:?}"));
        }
    }
    let (expected, status) = ready(object);
    let found = condition(object, "Ready").cloned().unwrap_or_default();
    if found["reason"] != expected.as_str() || found["status"] != status.as_str() {
        wrong.push(format!("Ready is {} {}, and not {status} {expected}", found["status"], found["reason"]));
    }
    let has = |type_| condition(object, type_).is_some();
    if has("Stalled") && has("Reconciling") {
        wrong.push("Stalled and Reconciling are present together".to_owned());
    }
    let class = |condition: &&Value| {
        let reason = condition["reason"].as_str().unwrap_or_default();
        pages.reasons.get(reason).map_or("no", |row| row.stalled.as_str()).to_owned()
    };
    let classes: Vec<_> = counted(object).iter().map(class).collect();
    let must = classes.iter().any(|class| class == "yes") || (classes.is_empty() && expected == "NothingObserved");
    let can = must || classes.iter().any(|class| class != "no");
    if (must && !has("Stalled") && !has("Reconciling")) || (has("Stalled") && !can) {
        wrong.push(format!("Stalled is present: {}, with the reasons' classes {classes:?}", has("Stalled")));
    }
    if object["status"]["observedGeneration"].as_i64() > object["metadata"]["generation"].as_i64() {
        wrong.push("observedGeneration is ahead of the generation".to_owned());
    }
    wrong
}

/// What is wrong with the step from one status to the next. Times of a clock that was wrong can go back.
pub fn between(before: &Value, after: &Value, clocks_are_right: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for type_ in PROBES.iter().chain(&["Ready"]) {
        let (Some(old), Some(new)) = (condition(before, type_), condition(after, type_)) else { continue };
        let (same, unmoved) = (old["status"] == new["status"], old["lastTransitionTime"] == new["lastTransitionTime"]);
        if same && !unmoved {
            wrong.push(format!("lastTransitionTime of {type_} has changed, and its status has not"));
        }
        if clocks_are_right && new["lastTransitionTime"].as_str() < old["lastTransitionTime"].as_str() {
            wrong.push(format!("lastTransitionTime of {type_} has gone back"));
        }
    }
    wrong
}
