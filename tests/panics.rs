//! Panics in the running operator: each ends the work of one tenant alone, which recovers by itself.
//!
//! The operator runs in this process. A tracing layer of the test panics within the operator's own log lines, so the
//! operator needs no code for the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use cloudtenant_operator::{
    api::{CloudTenant, crd_yaml},
    cluster::{context::Settings, readiness::Readiness},
    metrics::{Metrics, ProjectLabel},
    openstack::Network,
    panics::Part,
    process::run::Process,
    watched::roster::Roster,
};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};
use testkit::{
    cloud::{CacheCounts, Fault, Service, SimulatedCloud},
    control_plane::{ControlPlane, wait},
};
use tokio_util::sync::CancellationToken;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// A pass that panicked is repeated after a minute.
const LATER: Duration = Duration::from_secs(120);

/// Panics once for each rule: in an event whose own text and whose spans' text contain both parts of the rule.
#[derive(Clone, Default)]
struct Saboteur(Arc<Mutex<Vec<[String; 2]>>>);

/// A span's or an event's fields, as `name=value;`.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?};").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, "{field}={value};").unwrap();
    }
}

impl Saboteur {
    fn arm(&self, parts: &[String; 2]) {
        self.0.lock().unwrap().push(parts.clone());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Saboteur {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut text = Text(format!("span={};", attributes.metadata().name()));
        attributes.record(&mut text);
        context.span(id).unwrap().extensions_mut().insert(text);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !event.metadata().target().starts_with("cloudtenant_operator") {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        for span in context.event_scope(event).into_iter().flatten() {
            text.0.push_str(&span.extensions().get::<Text>().unwrap().0);
        }
        let mut rules = self.0.lock().unwrap();
        let rule = rules.iter().position(|parts| parts.iter().all(|part| text.0.contains(part)));
        let found = rule.map(|rule| rules.remove(rule));
        drop(rules);
        assert!(found.is_none(), "on purpose");
    }
}

/// A tenant with a cloud and a credential of its own.
struct Tenant {
    name: &'static str,
    cloud: SimulatedCloud,
    api: Api<CloudTenant>,
}

impl Tenant {
    async fn create(client: &Client, namespace: &str, name: &'static str) -> Self {
        let cloud = SimulatedCloud::start().await.unwrap();
        let tenant = Self { name, cloud, api: Api::namespaced(client.clone(), namespace) };
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
            "stringData": { "clouds.yaml": tenant.cloud.clouds_yaml("openstack") },
        });
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        tenant.add(name).await;
        tenant
    }

    /// Adds a CloudTenant with this tenant's Secret.
    async fn add(&self, name: &str) {
        self.cloud.add_tenant(name);
        let object: Value = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": name },
            "spec": {
                "projectID": name, "cloudCredentialsRef": { "secretName": self.name },
                "interval": "10s", "timeout": "5s", "probes": { "usage": { "interval": "1m" } },
            },
        });
        self.api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    /// Waits until the CloudTenant of this name is Ready.
    async fn until_ready(&self, name: &str) {
        wait::until(self.api.clone(), name, "is Ready", LATER, |tenant| ready_since(tenant).is_some()).await.unwrap();
    }

    /// Waits until one of these conditions shows the operator's failure.
    async fn until_failed(&self, types: &[&str]) {
        let description = format!("has one of {types:?} with the operator's failure");
        let shows_it = |condition: &Condition| {
            let Condition { type_, status, reason, message, .. } = condition;
            let failed = status == "Unknown" && reason == "UnexpectedAnswer" && message.contains("he operator failed ");
            failed && types.contains(&type_.as_str())
        };
        let any = |tenant: &CloudTenant| tenant.status.iter().flat_map(|status| &status.conditions).any(shows_it);
        wait::until(self.api.clone(), self.name, &description, LATER, any).await.unwrap();
    }

    fn host(&self) -> String {
        self.cloud.auth_url().split('/').nth(2).unwrap().to_owned()
    }
}

/// Since when a CloudTenant is Ready.
fn ready_since(tenant: &CloudTenant) -> Option<Timestamp> {
    let conditions = &tenant.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready.map(|ready| ready.last_transition_time.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_the_work_of_one_tenant_which_then_recovers() {
    let saboteur = Saboteur::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(saboteur.clone())).unwrap();
    let control_plane = ControlPlane::start().await.unwrap();
    control_plane.apply_crds(&crd_yaml().unwrap()).await.unwrap();
    let namespace = control_plane.namespace("panics").await.unwrap();
    let client = control_plane.client().await.unwrap();

    let roster = Roster::default();
    let metrics = Arc::new(Metrics::with_tenants(roster.clone(), ProjectLabel::Off));
    let settings = Settings {
        namespaces: vec![namespace.clone()],
        instance: "panics".to_owned(),
        network: Network::default().allowing_loopback(),
        ..Settings::default()
    };
    let shutdown = CancellationToken::new();
    let readiness = Readiness::default();
    let process = Process::new(client.clone(), settings, metrics.clone(), roster, readiness, shutdown.clone());
    let running = tokio::spawn(process.run(None));

    let create = |name| Tenant::create(&client, &namespace, name);
    let (pass, probe, engines, login, other) =
        tokio::join!(create("pass"), create("probe"), create("engines"), create("login"), create("other"));
    // A CloudTenant with the same credential as the one whose pass panics.
    pass.add("neighbour").await;
    let tenants = [&pass, &probe, &engines, &login, &other];
    for tenant in tenants {
        tenant.until_ready(tenant.name).await;
    }
    pass.until_ready("neighbour").await;
    let spared = ["other", "neighbour"];
    let mut since = Vec::new();
    for name in spared {
        since.push(ready_since(&other.api.get(name).await.unwrap()));
    }
    let calls = other.cloud.count(Service::Dcs);

    // The tenant; what the panicking log line contains; the conditions of which one must show the failure.
    let places: [(_, [String; 2], &[&str]); 4] = [
        (&pass, ["name=pass;".into(), "message=event;".into()], &["Ready"]),
        (&probe, ["name=probe;".into(), "message=could not see;".into()], &["CachesHealthy"]),
        (&engines, ["span=engines;".into(), format!("host={};", engines.host())], &["EnginesHealthy"]),
        (&login, ["service=Keystone;".into(), format!("host={};", login.host())], &["CachesHealthy", "EnginesHealthy"]),
    ];
    for (_, parts, _) in &places {
        saboteur.arm(parts);
    }
    // These faults lead to the log lines.
    pass.cloud.set_caches("pass", CacheCounts::redis(&[("error", 1)]));
    let fails = || Fault::status(500, "{}").times(1);
    probe.cloud.fault(Service::Dcs, fails());
    engines.cloud.fault(Service::Heat, fails());
    login.cloud.fault_on(Service::Keystone, "/auth/tokens", fails());
    login.cloud.revoke_tokens();

    futures::future::join_all(places.iter().map(|(tenant, _, types)| tenant.until_failed(types))).await;
    pass.cloud.set_caches("pass", CacheCounts::redis(&[("running", 1)]));
    assert_eq!(Part::ALL.map(Part::count), [1; 4], "{:?}", Part::ALL);
    let text = metrics.encode();
    for part in Part::ALL {
        let line = format!("cloudtenant_panics_total{{where=\"{}\"}} 1", part.as_str());
        assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
    }
    for tenant in tenants {
        tenant.until_ready(tenant.name).await;
    }
    assert_eq!(Part::ALL.map(Part::count), [1; 4], "no panic was repeated");
    for (name, since) in spared.into_iter().zip(since) {
        let now = ready_since(&other.api.get(name).await.unwrap());
        assert!(since.is_some() && now == since, "{name} did not stay Ready: {since:?}, {now:?}");
    }
    assert!(other.cloud.count(Service::Dcs) > calls + 1, "the others were no longer asked");
    shutdown.cancel();
    assert_eq!(running.await.unwrap(), Ok(()));
}
