//! Checks the structural part of a schema: types, required and unknown fields, bounds, patterns and enumerations.
//!
//! The messages are the API server's own.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::rules;
use crate::words::word;

/// Number of characters of a value that a message shows.
const SHOWN: usize = 100;

/// Adds the faults of a value. Removes nulls, as the API server does before it sets defaults.
pub(super) fn check(schema: &Value, path: &str, value: &mut Value, faults: &mut Vec<String>) {
    let before = faults.len();
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let (found, wanted) = (type_of(value), type_of_schema(schema));
    if wanted.is_some_and(|wanted| wanted != found && (wanted, found) != ("number", "integer")) {
        let wanted = wanted.unwrap_or_default();
        let invalid = invalid(path, &format!("{found:?}"));
        faults.push(format!("{invalid} in body must be of type {wanted}: {found:?}"));
        return;
    }
    match value {
        Value::String(text) => string(schema, path, text, faults),
        Value::Number(number) => bounds(schema, path, number.as_f64().unwrap_or_default(), faults),
        Value::Array(items) => list(schema, path, items, faults),
        Value::Object(_) => object(schema, path, value, faults),
        Value::Null | Value::Bool(_) => {}
    }
    let allowed = schema["enum"].as_array();
    if let Some(allowed) = allowed.filter(|allowed| !allowed.contains(value)) {
        let allowed = allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        let value = value.as_str().map_or_else(|| value.to_string(), shown);
        faults.push(format!("{path}: Unsupported value: {value}: supported values: {allowed}"));
    }
    if faults.len() == before {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            if rules::holds(rule["rule"].as_str().unwrap_or_default(), value) == Some(false) {
                let value = value.as_str().map_or_else(|| type_of(value).to_owned(), shown);
                let message = rule["message"].as_str().unwrap_or_default();
                faults.push(format!("{path}: Invalid value: {value}: {message}"));
            }
        }
    }
}

fn object(schema: &Value, path: &str, value: &mut Value, faults: &mut Vec<String>) {
    let Some(fields) = value.as_object_mut() else { return };
    let at = |name: &str| if path.is_empty() { word(name) } else { format!("{path}.{}", word(name)) };
    fields.retain(|name, value| !value.is_null() || schema["properties"][name]["nullable"] == true);
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            faults.push(format!("{}: Required value", at(name)));
        }
    }
    for (name, value) in fields {
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema)) => check(schema, &at(name), value, faults),
            // This is a schema by reference, which only the metadata has.
            (None, None) if schema.get("$ref").is_some() => {}
            (None, None) => faults.push(format!("unknown field {:?}", at(name))),
        }
    }
}

fn string(schema: &Value, path: &str, text: &str, faults: &mut Vec<String>) {
    let length = text.chars().count();
    let bound = |name: &str| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
    if let Some(most) = bound("maxLength").filter(|most| length > *most) {
        faults.push(format!("{path}: Too long: may not be more than {most} bytes"));
    }
    if let Some(least) = bound("minLength").filter(|least| length < *least) {
        faults.push(format!("{} in body should be at least {least} chars long", invalid(path, &shown(text))));
    }
    let pattern = schema["pattern"].as_str();
    let matches = |pattern: &&str| Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text));
    if let Some(pattern) = pattern.filter(|pattern| !matches(pattern)) {
        faults.push(format!("{} in body should match '{pattern}'", invalid(path, &shown(text))));
    }
}

fn bounds(schema: &Value, path: &str, number: f64, faults: &mut Vec<String>) {
    if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
        faults.push(format!("{} in body should be greater than or equal to {least}", invalid(path, &number)));
    }
    if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
        faults.push(format!("{} in body should be less than or equal to {most}", invalid(path, &number)));
    }
}

fn list(schema: &Value, path: &str, items: &mut [Value], faults: &mut Vec<String>) {
    let length = items.len();
    let bound = |name: &str| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
    if let Some(most) = bound("maxItems").filter(|most| length > *most) {
        faults.push(format!("{path}: Too many: {length}: must have at most {most} items"));
        return;
    }
    if let Some(least) = bound("minItems").filter(|least| length < *least) {
        faults.push(format!("{} in body should have at least {least} items", invalid(path, &length)));
    }
    let mut known = BTreeSet::new();
    for (at, item) in items.iter_mut().enumerate() {
        let path = format!("{path}[{at}]");
        if schema["x-kubernetes-list-type"] == "set" && !known.insert(item.to_string()) {
            faults.push(format!("{path}: Duplicate value: {}", item.as_str().map_or_else(|| item.to_string(), shown)));
        }
        check(&schema["items"], &path, item, faults);
    }
}

fn invalid(path: &str, value: &dyn std::fmt::Display) -> String {
    format!("{path}: Invalid value: {value}: {path}")
}

/// Formats a text for a message.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the schema's type. `None` if it allows any. In the schema of the metadata, an optional field's type is a
/// list with "null".
fn type_of_schema(schema: &Value) -> Option<&str> {
    let types = schema["type"].as_array();
    schema["type"].as_str().or_else(|| types?.iter().filter_map(Value::as_str).find(|type_| *type_ != "null"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    /// The keywords that [`check`] reads, and those that do not affect validity.
    const READ: &[&str] = &[
        "type",
        "nullable",
        "enum",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    ];
    const SILENT: &[&str] = &["default", "description", "title"];

    #[test]
    fn every_keyword_of_the_specs_schema_is_read() {
        let crd = serde_json::to_value(api::crd()).unwrap();
        let schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
        let mut todo = vec![schema];
        while let Some(schema) = todo.pop() {
            for (keyword, value) in schema.as_object().unwrap() {
                assert!(READ.contains(&&**keyword) || SILENT.contains(&&**keyword), "{keyword}");
                if keyword == "x-kubernetes-list-type" {
                    assert!(value == "set" || value == "atomic", "{value}: not checked");
                }
                if keyword == "pattern" {
                    assert!(Regex::new(value.as_str().unwrap()).is_ok(), "{value}");
                }
            }
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                assert!(rules::holds(rule["rule"].as_str().unwrap(), &Value::Null).is_some(), "{rule}: not checked");
            }
            todo.extend(schema["properties"].as_object().into_iter().flatten().map(|(_, field)| field.clone()));
            todo.extend(schema.get("items").cloned());
        }
    }
}
