//! The ServiceAccount may do what it needs, and nothing else.

use cloudtenant_operator::api::CloudTenant;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret},
    events::v1::Event,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testkit::operator::Right;

use crate::lab::{ACCOUNT, SECRET, shared, tenant};

fn refused<T: std::fmt::Debug>(answer: Result<T, kube::Error>, what: &str) {
    match answer {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{what}: {status:?}"),
        other => panic!("{what}: {other:?}"),
    }
}

#[tokio::test]
async fn the_service_account_may_do_its_work_and_nothing_else() {
    let control_plane = shared().await;
    let namespace = control_plane.namespace("rights").await.unwrap();
    let admin = control_plane.client().await.unwrap();
    let secret: Secret = serde_json::from_value(json!({ "metadata": { "name": SECRET } })).unwrap();
    Api::namespaced(admin.clone(), &namespace).create(&PostParams::default(), &secret).await.unwrap();
    let object: CloudTenant = serde_json::from_value(tenant("one", &json!({}))).unwrap();
    Api::namespaced(admin, &namespace).create(&PostParams::default(), &object).await.unwrap();

    let client = control_plane.client_for_service_account(ACCOUNT.namespace, ACCOUNT.name).await.unwrap();
    let tenants: Api<CloudTenant> = Api::namespaced(client.clone(), &namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let (list, post, delete) = (ListParams::default(), PostParams::default(), DeleteParams::default());
    let merge = |patch| Patch::Merge(patch);
    let parameters = PatchParams::default();

    assert_eq!(tenants.list(&list).await.unwrap().items.len(), 1);
    tenants.get("one").await.unwrap();
    let status = json!({ "status": { "lastHandledReconcileAt": "now" } });
    tenants.patch_status("one", &parameters, &merge(status)).await.unwrap();
    secrets.get(SECRET).await.unwrap();

    refused(secrets.list(&list).await, "list Secrets");
    refused(Api::<Secret>::all(client.clone()).list(&list).await, "list all Secrets");
    refused(secrets.create(&post, &secret).await, "create a Secret");
    refused(secrets.patch(SECRET, &parameters, &merge(json!({ "data": {} }))).await, "patch a Secret");
    refused(secrets.delete(SECRET, &delete).await, "delete a Secret");
    refused(tenants.create(&post, &object).await, "create a CloudTenant");
    refused(tenants.patch("one", &parameters, &merge(json!({ "spec": { "suspend": true } }))).await, "patch a spec");
    refused(tenants.delete("one", &delete).await, "delete a CloudTenant");
    refused(events.list(&list).await, "list events");
    refused(events.patch("one", &parameters, &merge(json!({ "note": "" }))).await, "patch an event");
    refused(Api::<ConfigMap>::namespaced(client, &namespace).list(&list).await, "list ConfigMaps");
}

#[tokio::test]
async fn of_all_verbs_it_has_these_six() {
    let control_plane = shared().await;
    let has = [
        ("cloudtenant.dev", "cloudtenants", "get"),
        ("cloudtenant.dev", "cloudtenants", "list"),
        ("cloudtenant.dev", "cloudtenants", "watch"),
        ("cloudtenant.dev", "cloudtenants/status", "patch"),
        ("", "secrets", "get"),
        ("events.k8s.io", "events", "create"),
    ];
    let resources = [
        ("cloudtenant.dev", "cloudtenants"),
        ("cloudtenant.dev", "cloudtenants/status"),
        ("cloudtenant.dev", "cloudtenants/finalizers"),
        ("", "secrets"),
        ("", "events"),
        ("events.k8s.io", "events"),
        ("", "serviceaccounts/token"),
        ("coordination.k8s.io", "leases"),
        ("rbac.authorization.k8s.io", "clusterroles"),
    ];
    for (group, resource) in resources {
        for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "escalate"] {
            let may = control_plane.may(ACCOUNT, Right { verb, group, resource }).await.unwrap();
            assert_eq!(may, has.contains(&(group, resource, verb)), "{verb} {resource} of {group:?}");
        }
    }
}
