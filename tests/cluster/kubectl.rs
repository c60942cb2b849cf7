//! What a user sees with kubectl.

use serde_json::json;
use testkit::cloud::{CacheCounts, Server};

use crate::lab::{Lab, PROJECT, shared};

fn words(line: &str) -> Vec<&str> {
    // Columns are at least three spaces apart; what stands in one may hold single ones.
    line.split("   ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

#[tokio::test]
async fn wait_get_and_select() {
    let lab = Lab::start("kubectl").await;
    lab.cloud.set_caches(PROJECT, CacheCounts::redis(&[("running", 3)]));
    lab.cloud.set_servers(PROJECT, vec![Server::new("web-1", lab.cloud.now())]);
    let kubectl = async |line: &str| {
        let mut args: Vec<_> = line.split(' ').collect();
        args.extend(["--namespace", &lab.namespace]);
        let output = lab.control_plane.kubectl(&args).await.unwrap();
        assert!(output.status.success(), "kubectl {line}: {}", output.stderr);
        println!("$ kubectl {line}\n{}", output.stdout);
        output.stdout
    };
    lab.apply("shop", &json!({})).await;
    lab.apply("other", &json!({ "projectID": "other", "suspend": true })).await;

    let said = kubectl("wait --for=condition=Ready cloudtenant/shop --timeout=30s").await;
    assert_eq!(said.trim(), "cloudtenant.cloudtenant.dev/shop condition met");
    kubectl("wait --for=jsonpath={.status.observedGeneration}=1 ct/other --timeout=30s").await;

    // As docs/gitops.md has it.
    kubectl("annotate cloudtenant shop reconcile.fluxcd.io/requestedAt=1795320000 --overwrite").await;
    kubectl("wait cloudtenant shop --for=jsonpath={.status.lastHandledReconcileAt}=1795320000 --timeout=3m").await;

    let table = kubectl("get ct").await;
    let lines: Vec<_> = table.lines().map(words).collect();
    assert_eq!(lines[0], ["NAME", "READY", "REASON", "ENGINES", "CACHES", "VCPU-HOURS", "SINCE", "AGE"]);
    assert_eq!(lines[1][..3], ["other", "Unknown", "Progressing"]);
    assert_eq!(lines[2][..5], ["shop", "True", "Healthy", "2/2", "3"]);
    lines[2][5].parse::<f64>().unwrap();

    let wide = kubectl("get ct shop -o wide").await;
    let lines: Vec<_> = wide.lines().map(words).collect();
    assert_eq!(lines[0][8..], ["SUSPENDED", "OBSERVED", "PROJECT", "MESSAGE"]);
    assert_eq!(lines[1][8], "false");
    assert!(lines[1][9].ends_with('s') && lines[1][9].starts_with(|c: char| c.is_ascii_digit()), "{wide}");
    assert_eq!(lines[1][10..], [PROJECT, "All enabled probes are healthy."]);

    let selector = format!("get cloudtenants --field-selector spec.projectID={PROJECT} -o name");
    assert_eq!(kubectl(&selector).await.trim(), "cloudtenant.cloudtenant.dev/shop");
    let category = kubectl("get cloud -o name").await;
    assert_eq!(category.lines().count(), 2);
}

#[tokio::test]
async fn explain_describes_every_field() {
    let control_plane = shared().await;
    let explain = async |what: &str| {
        let output = control_plane.kubectl(&["explain", what]).await.unwrap();
        assert!(output.status.success(), "{}", output.stderr);
        println!("$ kubectl explain {what}\n{}", output.stdout);
        output.stdout
    };
    let text = explain("cloudtenant.spec.probes.engines").await;
    for part in [
        "forgetAfter\t<string>",
        "policy\t<string>",
        "enum: Auto, Required, Disabled",
        "How long an engine that is down still counts",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    for what in
        ["ct", "ct.spec", "ct.spec.probes", "ct.spec.cloudCredentialsRef", "ct.status", "ct.status.engines.hosts"]
    {
        let text = explain(what).await;
        assert!(!text.contains("<no description>"), "{what}:\n{text}");
    }
}
