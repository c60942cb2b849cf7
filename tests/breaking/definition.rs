//! The CRD goes away or changes under an operator that runs.

use cloudtenant_operator::api::crd_yaml;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use testkit::{
    control_plane::{ControlPlane, wait},
    eventually::eventually,
};
use tokio::sync::OnceCell;

use crate::{
    lab::{ACCOUNT, LATER, Lab, install, reason, summary},
    stage::{SHOP, Stage},
};

const NAME: &str = "cloudtenants.cloudtenant.dev";

/// The control plane of this file, since there is one CRD for all namespaces.
async fn stage(name: &str) -> Stage<'static> {
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    let control_plane = OWN.get_or_init(async || ControlPlane::start().await.unwrap()).await;
    install(control_plane).await;
    let kubeconfig = control_plane.kubeconfig_for_service_account(ACCOUNT.namespace, ACCOUNT.name).await.unwrap();
    Stage::set(Lab::within(control_plane, name).await, kubeconfig).await
}

async fn until_page(stage: &Stage<'_>, wanted: u16, part: &str) {
    let ask = async || {
        let (status, text) = stage.lab.operator.get("/readyz").unwrap();
        if status == wanted && text.contains(part) { Ok(()) } else { Err(format!("{status} {text}")) }
    };
    eventually(&format!("/readyz: {wanted} {part}"), LATER, ask).await.unwrap();
}

/// /readyz names the cause, and the CloudTenants are gone. A restart would not help, so /healthz stays 200.
pub async fn is_deleted_and_created_again() {
    let stage = stage("deleted").await;
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.lab.client.clone());
    definitions.delete(NAME, &DeleteParams::default()).await.unwrap();
    wait::until_gone(definitions, NAME, LATER).await.unwrap();
    until_page(&stage, 503, "cannot be watched any more").await;
    assert_eq!(stage.lab.operator.get("/healthz").unwrap().0, 200);
    assert_eq!(stage.lab.operator.metric("cloudtenant_info", &[]).unwrap(), 0.0);

    stage.lab.control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    until_page(&stage, 200, "ok").await;
    stage.lab.apply(SHOP, &json!({})).await;
    stage.lab.until_ready(SHOP).await;
    stage.lose_engine();
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

fn changed(change: impl Fn(&mut Value)) -> String {
    let mut crd = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
    change(&mut crd);
    crd.to_string()
}

/// With the older one a block of the status is missing, and the rest is as before. With a newer one all is there.
pub async fn is_replaced_by_an_older_and_a_newer_one() {
    let stage = stage("replaced").await;
    let lab = &stage.lab;
    let older = changed(|crd| {
        let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        schema["status"]["properties"].as_object_mut().unwrap().remove("usage").unwrap();
        crd["spec"]["versions"][0]["additionalPrinterColumns"] = json!([]);
    });
    lab.control_plane.apply_crds(&older).await.unwrap();
    let has_usage = |tenant: &cloudtenant_operator::api::CloudTenant| tenant.status.as_ref().unwrap().usage.is_some();
    lab.until(SHOP, "has no usage", LATER, |tenant| !has_usage(tenant)).await;
    stage.until_next_pass().await;
    let before = stage.written("ok") + stage.written("error");
    for _ in 0..3 {
        stage.until_next_pass().await;
    }
    let writes = stage.written("ok") + stage.written("error") - before;
    assert!(writes <= 3.0, "{writes} writes in three passes:\n{}", lab.operator.log());
    stage.lose_engine();
    let shop = stage.until_down().await;
    assert_eq!((summary(&shop), reason(&shop, "UsageReported")), ("1/2", Some("Reported")));

    let newer = changed(|crd| {
        let versions = crd["spec"]["versions"].as_array_mut().unwrap();
        for field in ["spec", "status"] {
            let fields = &mut versions[0]["schema"]["openAPIV3Schema"]["properties"][field]["properties"];
            fields["later"] = json!({ "type": "string" });
        }
        let mut next = versions[0].clone();
        (next["name"], next["storage"]) = (json!("v1beta1"), json!(false));
        versions.push(next);
    });
    lab.control_plane.apply_crds(&newer).await.unwrap();
    lab.merge(SHOP, &json!({ "spec": { "later": "x" } })).await;
    lab.until(SHOP, "has its usage", LATER, has_usage).await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}
