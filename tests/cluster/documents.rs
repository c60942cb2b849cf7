//! Every example of the three API documents, served as printed by a server that knows nothing else.

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use testkit::recorded::Recorded;
use tokio::net::TcpListener;

use crate::lab::{LATER, Lab, condition, message, reason, status};

/// What the server answers for each service, whatever else is in the request.
#[derive(Clone)]
struct Printed {
    base: String,
    heat: Recorded,
    dcs: Recorded,
    nova: Recorded,
}

/// Starts a server with these examples, and gives the clouds.yaml for it.
async fn serve(heat: Recorded, dcs: Recorded, nova: Recorded) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let printed = Printed { base: base.clone(), heat, dcs, nova };
    let app = Router::new().route("/v3/auth/tokens", post(token)).fallback(example).with_state(printed);
    tokio::spawn(axum::serve(listener, app).into_future());
    format!(
        "clouds: {{openstack: {{auth: {{auth_url: '{base}', username: u, password: p, user_domain_id: d, \
         project_id: {TENANT}}}}}}}"
    )
}

const TENANT: &str = "f66f8e846a65484a9a6740077e72e3dd";

async fn token(State(printed): State<Printed>) -> Response {
    let service = |kind: &str, path: &str| {
        let url = format!("{}{path}", printed.base);
        json!({ "type": kind, "endpoints": [{ "interface": "public", "region": "R", "url": url }] })
    };
    let token = json!({ "token": {
        "expires_at": "2099-01-01T00:00:00Z",
        "project": { "id": TENANT, "name": "shop" },
        "catalog": [
            service("orchestration", &format!("/heat/v1/{TENANT}")),
            service("dcs", &format!("/dcs/v1.0/{TENANT}")),
            service("compute", &format!("/nova/v2/{TENANT}")),
        ],
    }});
    (StatusCode::CREATED, [("x-subject-token", "t")], token.to_string()).into_response()
}

async fn example(State(printed): State<Printed>, uri: Uri) -> Response {
    let answer = match uri.path() {
        path if path == format!("/heat/v1/{TENANT}/services") => printed.heat,
        path if path == format!("/dcs/v1.0/{TENANT}/instances/status") => printed.dcs,
        path if path == format!("/nova/v2/{TENANT}/os-simple-tenant-usage/{TENANT}") => printed.nova,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let type_ = answer.header("content-type").unwrap_or("application/json").to_owned();
    let status = StatusCode::from_u16(answer.status).unwrap();
    (status, [(CONTENT_TYPE, type_)], Body::from(answer.body)).into_response()
}

fn document(name: &str) -> Recorded {
    Recorded::load(&format!("document/{name}")).unwrap()
}

/// DCS's document has a table for its errors: a code and a message.
fn dcs_error(status: u16, code: &str) -> Recorded {
    let body = json!({ "error_code": code, "error_msg": "The request failed.", "error_ext_msg": null });
    Recorded { status, body: body.to_string().into_bytes(), ..Recorded::default() }
}

async fn tenant(lab: &Lab<'_>) {
    lab.apply("shop", &json!({ "projectID": TENANT })).await;
}

/// The status as a reader of `kubectl get -o json` has it.
async fn block(lab: &Lab<'_>, name: &str) -> Value {
    serde_json::to_value(lab.get("shop").await.status.unwrap()).unwrap()[name].take()
}

#[tokio::test]
async fn one_engine_up_one_down_three_caches_and_a_server_hour() {
    let lab = Lab::without_secret("printed").await;
    let dcs = Recorded::load("dcs/instances-status-include-failure").unwrap();
    lab.apply_secret(&serve(document("heat-services"), dcs, document("nova-usage-sample")).await).await;
    tenant(&lab).await;

    let shop = lab.until_reason("shop", "Ready", "EnginesDown").await;
    assert_eq!((status(&shop, "Ready"), reason(&shop, "EnginesHealthy")), (Some("False"), Some("EnginesDown")));
    assert!(condition(&shop, "Stalled").is_none());
    lab.until_reason("shop", "CachesHealthy", "AllCachesHealthy").await;
    lab.until_reason("shop", "UsageReported", "ReportedUnpaged").await;

    let engines = block(&lab, "engines").await;
    assert_eq!((&engines["summary"], &engines["forgotten"]), (&json!("1/2"), &json!(0)));
    assert_eq!(
        engines["downEngines"],
        json!([{
            "engineID": "2d2434bf-adb6-4453-9c6b-b22fb8bd2306", "host": "engine", "binary": "heat-engine",
            "topic": "engine", "lastHeartbeat": "2015-02-03T06:09:55Z",
        }])
    );
    let caches = block(&lab, "caches").await;
    assert_eq!((&caches["all"]["running"], &caches["all"]["extending"]), (&json!(1), &json!(2)));
    assert_eq!((&caches["byKind"][0]["kind"], &caches["byKind"][0]["running"]), (&json!("redis"), &json!(1)));
    let usage = block(&lab, "usage").await;
    let figures = ["servers", "activeServers", "serverHours", "vcpuHours", "memoryMBHours", "diskGBHours"];
    assert_eq!(
        figures.map(|figure| &usage[figure]),
        [&json!(1), &json!(1), &json!("1"), &json!("1"), &json!("512"), &json!("1")]
    );
    assert_eq!((&usage["start"], &usage["end"]), (&json!("2012-10-08T20:10:44Z"), &json!("2012-10-08T21:10:44Z")));

    let events = lab.events("shop").await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].0, "EngineDown");
    assert!(events[0].1.contains("2d2434bf-adb6-4453-9c6b-b22fb8bd2306"), "{events:?}");
}

#[tokio::test]
async fn the_documents_sentence_for_503_an_error_of_dcs_and_a_window_of_microseconds() {
    let lab = Lab::without_secret("silence").await;
    let heat = document("heat-services-all-down-503");
    lab.apply_secret(&serve(heat, dcs_error(400, "DCS.4001"), document("nova-usage-execution")).await).await;
    tenant(&lab).await;

    let shop = lab.until_reason("shop", "Ready", "EngineUnresponsive").await;
    assert_eq!(status(&shop, "Ready"), Some("False"));
    let shop = lab.until_reason("shop", "CachesHealthy", "UnexpectedAnswer").await;
    assert!(condition(&shop, "Stalled").is_none());
    assert!(message(&shop, "CachesHealthy").unwrap().contains("DCS.4001"), "{shop:?}");
    lab.until_reason("shop", "UsageReported", "ReportedUnpaged").await;
    let usage = block(&lab, "usage").await;
    assert_eq!((&usage["servers"], &usage["serverHours"], &usage["vcpuHours"]), (&json!(1), &json!("0"), &json!("0")));
}

#[tokio::test]
async fn the_documents_sentence_for_403_and_a_malformed_url() {
    let lab = Lab::without_secret("refused").await;
    let nova = document("nova-usage-malformed-url-400");
    lab.apply_secret(&serve(document("heat-services-forbidden-403"), dcs_error(500, "DCS.5001"), nova).await).await;
    tenant(&lab).await;

    let shop = lab.until_reason("shop", "EnginesHealthy", "Forbidden").await;
    assert_eq!((status(&shop, "Ready"), reason(&shop, "Stalled")), (Some("Unknown"), Some("Forbidden")));
    let shop = lab.until("shop", "names DCS's code", LATER, |shop| {
        reason(shop, "CachesHealthy") == Some("ServerError")
            && message(shop, "CachesHealthy").is_some_and(|message| message.contains("DCS.5001"))
    });
    shop.await;
    let shop = lab.until_reason("shop", "UsageReported", "UnexpectedAnswer").await;
    let message = message(&shop, "UsageReported").unwrap();
    assert!(message.contains("project"), "{message}");
}
