//! Helm's own `--wait` on a CloudTenant in somebody's chart, as docs/gitops.md has it.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{cloud::CacheCounts, tools};
use tokio::task;

use crate::lab::{Lab, PROJECT, SOON, reason, status, tenant};

/// Longer than it may take to see that the cloud is sick, and that it is well again.
const LONG: &str = "90s";

/// A chart with one CloudTenant, `shop`. `spec` goes on top.
fn chart(spec: &Value) -> TempDir {
    let chart = tempfile::tempdir().unwrap();
    fs::create_dir(chart.path().join("templates")).unwrap();
    let about = json!({ "apiVersion": "v2", "name": "shop", "version": "1.0.0" });
    fs::write(chart.path().join("Chart.yaml"), about.to_string()).unwrap();
    // Helm's templates are YAML, and so is JSON.
    fs::write(chart.path().join("templates/shop.yaml"), tenant("shop", spec).to_string()).unwrap();
    chart
}

/// `helm upgrade --install --wait`: what it said where it failed, and how long it took.
async fn install(lab: &Lab<'_>, spec: &Value, timeout: &str) -> (Result<(), String>, Duration) {
    let (chart, home) = (chart(spec), tempfile::tempdir().unwrap());
    let mut command = Command::new(task::spawn_blocking(|| tools::helm().unwrap()).await.unwrap());
    command.args(["upgrade", "--install", "shop"]).arg(chart.path()).args(["--wait", "--timeout", timeout]);
    command.args(["--namespace", &lab.namespace]).arg("--kubeconfig").arg(lab.control_plane.kubeconfig_path());
    for kind in ["CONFIG", "CACHE", "DATA"] {
        command.env(format!("HELM_{kind}_HOME"), home.path());
    }
    let began = Instant::now();
    let output = task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (if output.status.success() { Ok(()) } else { Err(said) }, began.elapsed())
}

fn sick() -> CacheCounts {
    CacheCounts::redis(&[("running", 1), ("error", 1)])
}

#[tokio::test]
async fn a_sick_cloud_is_waited_for_until_the_time_out() {
    let lab = Lab::start("helm-sick").await;
    lab.cloud.set_caches(PROJECT, sick());
    let (done, took) = install(&lab, &json!({}), "12s").await;
    let error = done.unwrap_err();
    assert!(took > Duration::from_secs(11), "it gave up after {took:?}: {error}");
    assert!(error.contains("CloudTenant") && error.contains("InProgress"), "{error}");
    assert_eq!(reason(&lab.get("shop").await, "Ready"), Some("CacheErrors"), "it had been seen");

    // Whoever does not want to wait for the cloud's health says so.
    let (done, _) = install(&lab, &json!({ "readyWhen": "Observed" }), LONG).await;
    assert_eq!(done, Ok(()));
    assert_eq!(reason(&lab.get("shop").await, "CachesHealthy"), Some("CacheErrors"), "it is still sick");
}

#[tokio::test]
async fn a_cloud_that_gets_well_meanwhile_lets_it_succeed() {
    let lab = Lab::start("helm-heals").await;
    lab.cloud.set_caches(PROJECT, sick());
    let installed = async {
        let (done, _) = install(&lab, &json!({}), LONG).await;
        (done, Instant::now())
    };
    let healed = async {
        lab.until("shop", "is sick", SOON, |tenant| status(tenant, "Ready") == Some("False")).await;
        let healed = Instant::now();
        lab.cloud.set_caches(PROJECT, CacheCounts::redis(&[("running", 2)]));
        healed
    };
    let ((done, ended), healed) = tokio::join!(installed, healed);
    assert_eq!(done, Ok(()));
    assert!(ended > healed, "it did not wait for it");
    assert_eq!(status(&lab.get("shop").await, "Ready"), Some("True"));
}

#[tokio::test]
async fn what_a_person_has_to_mend_fails_at_once() {
    let lab = Lab::without_secret("helm-stalled").await;
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack").replace("operator-secret", "guessed")).await;
    let (done, took) = install(&lab, &json!({}), LONG).await;
    let error = done.unwrap_err();
    assert!(took < SOON, "it waited for {took:?}: {error}");
    assert!(error.contains("CloudTenant") && error.contains("Failed"), "{error}");
}
