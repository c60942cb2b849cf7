//! Finds the CloudTenant in a file as kubectl reads it: YAML or JSON, several documents, and lists of objects.

use anyhow::{anyhow, bail};
use kube::Resource as _;
use serde_json::{Value, json};

use crate::{api::CloudTenant, words::escaped};

/// In bytes.
const LONGEST_ERROR: usize = 500;

/// Returns the first CloudTenant of the file. One of another API group is returned only if there is no other.
///
/// # Errors
/// The text is neither YAML nor JSON, or contains no CloudTenant.
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

/// Parses every document of a file. kubectl reads a text that begins with a brace as JSON.
fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    if text.trim_start().starts_with('{') {
        let read: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        // A YAML flow mapping also begins with a brace.
        if let Ok(documents) = read {
            return Ok(documents);
        }
    }
    // kubectl reads YAML 1.1, and uses the last value of a duplicate key.
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        // A snippet could quote a Secret in the same file.
        with_snippet: false,
    };
    // The parser may quote the file.
    serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| anyhow!("not YAML that can be read: {}", escaped(&error.to_string(), LONGEST_ERROR)))
}

/// Collects the object, or the objects of a list at any depth.
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

/// Converts `2.0` to `2`. Go formats it so, and the API server accepts it as an integer.
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
