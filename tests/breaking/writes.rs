//! Writes that are refused, that conflict, or that the process does not survive.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};
use serde_json::json;
use testkit::{
    eventually::eventually,
    gateway::{Deed, Which},
};

use crate::{
    account::{grant, role},
    lab::{SOON, reason},
    stage::{SHOP, Stage, signal},
};

const DOWN: Which = Which { method: Method::PATCH, path: "/status", body: "EnginesDown" };

/// The event is there and the status is not. The next process finds the event by its name, and writes the status.
pub async fn killed_between_event_and_status() {
    let (mut stage, gateway) = Stage::behind_gateway("between").await;
    gateway.next(DOWN, Deed::Hold);
    stage.lose_engine();
    stage.lab.request(SHOP).await;
    gateway.until_met().await.unwrap();
    signal("-KILL", stage.lab.operator.pid());
    assert_eq!(stage.lab.told(SHOP).await, ["EngineDown"]);
    assert_eq!(reason(&stage.lab.get(SHOP).await, "Ready"), Some("Healthy"));
    stage.replace().await;
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// The status is written, and the process ends before it learns that.
pub async fn killed_between_status_and_next_pass() {
    let (mut stage, gateway) = Stage::behind_gateway("after").await;
    gateway.next(DOWN, Deed::Swallow);
    stage.lose_engine();
    stage.lab.request(SHOP).await;
    stage.until_down().await;
    signal("-KILL", stage.lab.operator.pid());
    stage.replace().await;
    stage.until_next_pass().await;
    assert_eq!(stage.lab.told(SHOP).await, ["EngineDown"]);
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// Somebody changes the object between a pass and its write. The API server answers 409, and the operator repeats the
/// pass.
pub async fn a_status_conflicts() {
    let (stage, gateway) = Stage::behind_gateway("conflict").await;
    let failed = stage.written("error");
    gateway.next(DOWN, Deed::Hold);
    stage.lose_engine();
    stage.lab.request(SHOP).await;
    gateway.until_met().await.unwrap();
    stage.lab.merge(SHOP, &json!({ "metadata": { "labels": { "changed": "meanwhile" } } })).await;
    gateway.release();
    stage.until_down().await;
    assert_eq!(stage.written("error"), failed, "a conflict is no error");
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// The API server has forgotten the version from which the watch wants to go on. What changed meanwhile is seen.
pub async fn a_watch_expires() {
    let (stage, gateway) = Stage::behind_gateway("expired").await;
    let gone = json!({
        "type": "ERROR",
        "object": {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410,
            "message": "too old resource version",
        },
    });
    gateway.next(Which { method: Method::GET, path: "watch=true", body: "" }, Deed::Answer(200, gone));
    gateway.cut();
    stage.lab.request(SHOP).await;
    gateway.until_met().await.unwrap();
    stage.lab.poke(SHOP).await;
    stage.lose_engine();
    stage.lab.request(SHOP).await;
    stage.until_down().await;
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// The API server has too much to do, as its priority and fairness says. A user sees the last status until it is written,
/// and the event is there once.
pub async fn too_many_requests() {
    let (stage, gateway) = Stage::behind_gateway("fairness").await;
    let failed = stage.written("error");
    let refusal = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests", "code": 429,
        "message": "too many requests, please try again later",
    });
    let event = Which { method: Method::POST, path: "/events", body: "EngineDown" };
    for which in [event, DOWN, DOWN] {
        gateway.next(which, Deed::Answer(429, refusal.clone()));
    }
    stage.lose_engine();
    stage.lab.request(SHOP).await;
    gateway.until_met().await.unwrap();
    stage.until_down().await;
    assert_eq!(stage.written("error") - failed, 2.0, "a refused write is repeated after a pause");
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// Without the right to create events the status goes on after three passes, since an API server that has just started
/// forbids them, too. Then that event is lost, and a metric counts it.
pub async fn events_are_forbidden() {
    let stage = Stage::start("forbidden", &[]).await;
    let lab = &stage.lab;
    let client = lab.control_plane.client_for_service_account(&lab.namespace, "operator").await.unwrap();
    let until_allowed = async |wanted: bool| {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(lab.namespace.clone()),
                    verb: Some("create".to_owned()),
                    group: Some("events.k8s.io".to_owned()),
                    resource: Some("events".to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let ask = async || {
            let reviewed = Api::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
            let allowed = reviewed.status.is_some_and(|status| status.allowed);
            if allowed == wanted { Ok(()) } else { Err(format!("{allowed}")) }
        };
        eventually("the right to create events", SOON, ask).await.unwrap();
    };
    let less =
        role(&lab.namespace).replace("resources: [events], verbs: [create]", "resources: [events], verbs: [get]");
    lab.control_plane.apply_yaml(Some(&lab.namespace), &less).await.unwrap();
    until_allowed(false).await;
    stage.lose_engine();
    stage.until_down().await;
    assert_eq!(lab.told(SHOP).await, Vec::<String>::new());
    let lost = || lab.operator.metric("cloudtenant_events_total", &["outcome=\"error\""]).unwrap();
    let counted = async || if lost() == 1.0 { Ok(()) } else { Err(lost()) };
    eventually("the lost event is counted", Duration::from_secs(5), counted).await.unwrap();
    grant(lab.control_plane, &lab.namespace).await;
    until_allowed(true).await;
    stage.heals(&["EngineRecovered"]).await;
}
