//! What others wait for and are warned of: `readyOn`, `observedAt`, and the metrics of credentials and projects.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use testkit::{eventually::until, operator::Operator};

use crate::lab::{ACCOUNT, LATER, Lab, PROGRAM, PROJECT, condition, message, reason, status};

const DAY: Duration = Duration::from_secs(86_400);
const EXPIRY: &str = "cloudtenant_credential_expiry_timestamp_seconds";

/// A Heat that refuses its engine list holds up nobody who does not need it.
#[tokio::test]
async fn ready_on_decides_what_is_waited_for() {
    let lab = Lab::start("gates").await;
    lab.cloud.remove_admin_role();
    let project = lab.cloud.admin_project();
    lab.apply("shop", &json!({ "projectID": project, "readyOn": ["Caches", "Usage"] })).await;
    let tenant = lab.until_ready("shop").await;
    assert_eq!(message(&tenant, "Ready"), Some("All probes that count for Ready are healthy."));
    let tenant = lab.until_reason("shop", "EnginesHealthy", "Forbidden").await;
    assert_eq!((status(&tenant, "Ready"), condition(&tenant, "Stalled")), (Some("True"), None));
    assert_eq!(lab.told("shop").await, ["ObservationFailed"]);
    let seen = tenant.status.unwrap();
    let oldest = [seen.caches.unwrap().observed_at, seen.usage.unwrap().observed_at].into_iter().flatten().min();
    assert_eq!(seen.observed_at, oldest);

    lab.apply("shop", &json!({ "projectID": project, "readyOn": ["Engines"] })).await;
    let tenant = lab.until_reason("shop", "Stalled", "Forbidden").await;
    assert_eq!((status(&tenant, "Ready"), reason(&tenant, "Ready")), (Some("Unknown"), Some("Forbidden")));
    assert_eq!(tenant.status.unwrap().observed_at, None, "nobody has seen an engine");

    lab.cloud.grant_admin_role();
    lab.poke_until("shop", "Ready", "Healthy", 3).await;
}

/// Far from the seven days in which the status shows it.
#[tokio::test]
async fn the_ends_of_both_credentials_and_the_project_are_in_the_metrics() {
    let mut lab = Lab::without_secret("ends").await;
    let environment = [("WATCH_NAMESPACE", &*lab.namespace), ("METRICS_PROJECT_LABEL", "true")];
    let labelled = Operator::start(lab.control_plane, Path::new(PROGRAM), ACCOUNT, &environment).await.unwrap();
    std::mem::replace(&mut lab.operator, labelled).terminate().await.unwrap();
    let ends = [30, 60].map(|days| Timestamp::from_second((Timestamp::now() + DAY * days).as_second()).unwrap());
    lab.cloud.set_application_credential_expiry(Some(ends[0]));
    lab.cloud.set_password_expiry(Some(ends[1]));
    let clouds = lab.cloud.clouds_yaml_application_credential("openstack");
    lab.apply_secret(&(clouds + &lab.cloud.system_entry("system"))).await;
    lab.apply("shop", &json!({ "probes": { "engines": { "cloudName": "system" } } })).await;
    lab.until_ready("shop").await;
    let project = format!("project=\"{PROJECT}\"");
    let until_end = async |credential: &str, end: Option<Timestamp>| {
        let labels = [&*format!("credential=\"{credential}\""), &project, "name=\"shop\""];
        let end = end.map_or(0.0, |end| end.as_second() as f64);
        let holds = || lab.operator.metric(EXPIRY, &labels).unwrap() == end;
        let shown = || lab.operator.get("/metrics").unwrap().1;
        until(&format!("{credential} ends at {end}"), LATER, holds, shown).await.unwrap();
    };
    until_end("main", Some(ends[0])).await;
    until_end("engines", Some(ends[1])).await;
    let (_, text) = lab.operator.get("/metrics").unwrap();
    for line in text.lines().filter(|line| line.contains("name=\"shop\"")) {
        assert!(line.contains(&project), "{line}");
    }

    // The engines are asked by the tenant's own credential, which is replaced. A Secret is read again after 30 s.
    lab.apply_secret(&lab.cloud.clouds_yaml("openstack")).await;
    lab.apply("shop", &json!({})).await;
    lab.poke("shop").await;
    until_end("engines", None).await;
    until_end("main", Some(ends[1])).await;

    lab.tenants().delete("shop", &Default::default()).await.unwrap();
    until_end("main", None).await;
}
