//! What the API server refuses, and that it says what is wrong.

use cloudtenant_operator::api::set;
use serde_json::{Value, json};

use crate::{
    lab::{shared, tenant},
    subjects::{self, with},
};

async fn dry_run(object: &str) -> Result<(), String> {
    let control_plane = shared().await;
    let apply = ["apply", "--dry-run=server", "--namespace=default", "--filename=-"];
    let output = control_plane.kubectl_stdin(&apply, object).await.unwrap();
    if output.status.success() { Ok(()) } else { Err(output.stderr) }
}

async fn is_before_1_32() -> bool {
    let output = shared().await.kubectl(&["get", "--raw=/version"]).await.unwrap();
    let version: Value = serde_json::from_str(&output.stdout).unwrap();
    version["minor"].as_str().unwrap().parse::<u32>().unwrap() < 32
}

/// The refusal in the words of API servers before 1.32: they name the limit differently, and under a rule the type
/// instead of the value.
fn old_words(says: &str) -> String {
    let says = says.replace("may not be more than 64 bytes", "may not be longer than 64");
    ["\"9s\": interval", "\"999ms\": timeout"].into_iter().fold(says, |says, of_rule| {
        let (_, rule) = of_rule.split_once(": ").unwrap();
        says.replace(of_rule, &format!("\"string\": {rule}"))
    })
}

#[tokio::test]
async fn a_wrong_field_is_refused_with_its_name_and_what_is_wrong() {
    let mut wrong = Vec::new();
    let is_old = is_before_1_32().await;
    for (pointer, value, says) in subjects::refused() {
        let says = &*if is_old { old_words(says) } else { says.to_owned() };
        match dry_run(&with(pointer, value.clone()).to_string()).await {
            Err(said) if said.contains(says) => {}
            Err(said) => wrong.push(format!("{pointer} = {value}: expected {says:?}, got {said}")),
            Ok(()) => wrong.push(format!("{pointer} = {value}: accepted")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_ends_of_each_range_are_accepted() {
    for (pointer, value) in subjects::accepted() {
        assert_eq!(dry_run(&with(pointer, value.clone()).to_string()).await, Ok(()), "{pointer} = {value}");
    }
}

/// tests/check.rs holds `check --file` to the same table.
#[tokio::test]
async fn files_are_judged_as_check_judges_them() {
    let mut wrong = Vec::new();
    for (name, text, says) in subjects::files() {
        let judged = dry_run(&text).await;
        if judged.is_err() != says.is_some() {
            wrong.push(format!("{name}: expected {says:?}, got {judged:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever applies the list owns the whole of it, and nothing is stored where nobody does.
#[tokio::test]
async fn ready_on_is_narrowed_widened_and_left_out_by_server_side_apply() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("ready-on").await.unwrap();
    for names in [json!(null), json!(["Engines", "Caches", "Usage"]), json!(["Caches"]), json!(["Usage"]), json!(null)]
    {
        let mut object = tenant("gate", &json!({}));
        if !names.is_null() {
            object["spec"]["readyOn"] = names.clone();
        }
        let args = ["apply", "--server-side", "--namespace", &namespace, "--filename=-", "--output=json"];
        let output = control_plane.kubectl_stdin(&args, &object.to_string()).await.unwrap();
        assert!(output.status.success(), "{names}: {}", output.stderr);
        let stored: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(stored["spec"]["readyOn"], names);
    }
}

#[tokio::test]
async fn the_project_cannot_be_changed_and_the_rest_can() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("immutable").await.unwrap();
    let apply = async |spec: Value| {
        let args = ["apply", "--namespace", &namespace, "--filename=-"];
        control_plane.kubectl_stdin(&args, &tenant("fixed", &spec).to_string()).await.unwrap()
    };
    assert!(apply(json!({ "projectID": "one" })).await.status.success());
    let refused = apply(json!({ "projectID": "two" })).await;
    assert!(!refused.status.success());
    let says = "projectID is immutable: create another CloudTenant for another project";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    assert!(apply(json!({ "projectID": "one", "interval": "1h", "region": "two" })).await.status.success());
}

#[tokio::test]
async fn every_example_is_accepted() {
    // One of them is a CloudTenantSet.
    shared().await.apply_crds(&set::crd_yaml().unwrap()).await.unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut tried = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(dry_run(&text).await, Ok(()), "{}", file.display());
            tried += 1;
        }
    }
    assert!(tried >= 4, "only {tried} examples");
}
