//! Finds the CloudTenant in a file, as kubectl reads it: YAML or JSON, several documents, and lists of objects.

use anyhow::{Context as _, bail};
use kube::Resource as _;
use serde_json::{Value, json};

use crate::api::CloudTenant;

/// The first CloudTenant of the file. One of another API group counts only if no other is there.
///
/// # Errors
/// The text is neither YAML nor JSON, or has no CloudTenant.
pub(super) fn find(text: &str) -> anyhow::Result<Value> {
    let mut objects = Vec::new();
    for document in documents(text)? {
        flatten(document, &mut objects);
    }
    let kind = CloudTenant::kind(&());
    objects.retain(|object| object["kind"] == *kind);
    let group = format!("{}/", CloudTenant::group(&()));
    let is_ours = |object: &Value| object["apiVersion"].as_str().is_some_and(|version| version.starts_with(&group));
    let at = objects.iter().position(is_ours).unwrap_or_default();
    let Some(mut found) = objects.into_iter().nth(at) else { bail!("no object of kind {kind}") };
    whole_numbers(&mut found);
    Ok(found)
}

/// Every document of a file. kubectl takes a text for JSON that begins with a brace.
fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    if text.trim_start().starts_with('{') {
        let read: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        // A flow mapping of YAML begins with a brace, too.
        if let Ok(documents) = read {
            return Ok(documents);
        }
    }
    // kubectl reads YAML 1.1, and of a key that is given twice the last value.
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        // A snippet could quote a Secret that stands in the same file.
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).context("not YAML that can be read")
}

/// The object, or the objects of a list, at any depth.
fn flatten(mut object: Value, objects: &mut Vec<Value>) {
    match object.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if object["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
            items.into_iter().for_each(|item| flatten(item, objects));
        }
        items => {
            if let (Some(fields), Some(items)) = (object.as_object_mut(), items) {
                fields.insert("items".to_owned(), items);
            }
            objects.push(object);
        }
    }
}

/// Turns `2.0` into `2`: Go writes it so, and the API server takes it for an integer.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15);
            if let Some(integer) = whole.and_then(|float| format!("{float:.0}").parse::<i64>().ok()) {
                *value = json!(integer);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
