//! A tour of the operator. `cargo run --example demo` (demo/demo.rs) builds and starts it.
//!
//! It starts a real Kubernetes API server and a simulated OpenStack cloud, runs the operator with the rights that
//! deploy/rbac.yaml gives it, applies the CloudTenants beside this file, and lets an orchestration engine die. Nothing
//! is left behind.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cloudtenant_operator::{
    api::{CloudTenant, crd_yaml},
    cluster::{context::Settings, controller::Operator, leader::Mandate, readiness::Readiness},
    metrics::Metrics,
    openstack::Network,
    watched::roster::Roster,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PostParams},
};
use testkit::{
    cloud::{CacheCounts, Server, SimulatedCloud},
    control_plane::{ControlPlane, wait},
    operator::{Account, Right},
};
use tokio_util::sync::CancellationToken;

const RBAC: &str = include_str!("../deploy/rbac.yaml");
const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };
const LAST_RIGHT: Right<'_> = Right { verb: "create", group: "events.k8s.io", resource: "events" };
const TENANTS: [(&str, &str); 4] = [
    ("cloudtenant.yaml", include_str!("cloudtenant.yaml")),
    ("full.yaml", include_str!("full.yaml")),
    ("caches-only.yaml", include_str!("caches-only.yaml")),
    ("suspended.yaml", include_str!("suspended.yaml")),
];
const NAMESPACE: &str = "default";
/// One that looks at the engines.
const TENANT: &str = "web-shop";
const HOST: &str = "engine-1.lab";
const SOON: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let keep = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--keep") => true,
        Some(_) => anyhow::bail!("usage: cargo run --example demo [-- --keep]"),
    };
    let shutdown = CancellationToken::new();
    let screen = Screen::new();
    tokio::select! {
        done = tour(&screen, keep, &shutdown) => done,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn tour(screen: &Screen, keep: bool, shutdown: &CancellationToken) -> Result<()> {
    screen.say("Starting Kubernetes' own etcd and kube-apiserver.");
    let control_plane = ControlPlane::start().await?;
    control_plane.install(&crd_yaml()?, RBAC, ACCOUNT, LAST_RIGHT).await?;
    let demo = Demo { screen, client: control_plane.client().await?, control_plane };
    demo.kubectl("version").await?;

    screen.title("A cloud with two orchestration engines, and the operator");
    let cloud = SimulatedCloud::start().await?;
    demo.apply_secret(&cloud).await?;
    screen.say("The Secret openstack-credentials holds a clouds.yaml, as in examples/clouds-secret.yaml.");
    for (file, yaml) in TENANTS {
        demo.control_plane.apply_yaml(Some(NAMESPACE), yaml).await?;
        screen.command(&format!("kubectl apply -f examples/{file}"));
    }
    demo.furnish(&cloud).await?;
    let config = demo.control_plane.service_account_config(ACCOUNT.namespace, ACCOUNT.name).await?;
    let network = Network::default().allowing_loopback();
    let settings = Settings { instance: "demo".to_owned(), network, ..Settings::default() };
    let operator = Operator::new(Client::try_from(config)?, settings, Arc::new(Metrics::new()), Roster::default());
    let stop = shutdown.clone();
    let operator = tokio::spawn(async move { operator.run(Mandate::unlimited(), Readiness::default(), stop).await });
    demo.kubectl(&format!("wait --for=condition=Ready ct/{TENANT} ct/payments ct/sessions --timeout=60s")).await?;
    demo.kubectl("get cloudtenants").await?;
    screen.say("The engines are the cloud's: every tenant sees the same two. caches-only.yaml does not ask for them,");
    screen.say("and nobody looks at the suspended one.");

    screen.title("An engine dies");
    cloud.kill_engine(HOST);
    cloud.advance(Duration::from_secs(150));
    screen.say("The heat-engine on engine-1.lab was killed, and two and a half minutes of the cloud's clock went by.");
    screen.say("The operator would see it at its next look. An annotation asks it to look now:");
    demo.look_now(1).await?;
    demo.until_reason("EnginesDown").await?;
    demo.kubectl("get cloudtenants").await?;
    let message = "jsonpath='{.status.conditions[?(@.type==\"EnginesHealthy\")].message}'";
    demo.kubectl(&format!("get cloudtenant {TENANT} -o {message}")).await?;
    demo.kubectl(&format!("events --for cloudtenant/{TENANT}")).await?;
    screen.say("One event for each transition. A restart of the operator repeats none.");

    screen.title("It is started again");
    cloud.restart_engine(HOST);
    screen.say("Heat still lists the row of the engine that died. It does not count: a newer one stands beside it.");
    demo.look_now(2).await?;
    demo.until_reason("Healthy").await?;
    demo.kubectl("get cloudtenants -o wide").await?;
    demo.kubectl(&format!("events --for cloudtenant/{TENANT}")).await?;
    screen.say(&format!("All this took {} login with Keystone.", cloud.logins()));

    if keep {
        screen.title("Have a look around, until Ctrl-C");
        let kubectl = demo.control_plane.assets().kubectl.parent().context("kubectl is in no directory")?;
        screen.plain(&format!("export KUBECONFIG={}", demo.control_plane.kubeconfig_path().display()));
        screen.plain(&format!("export PATH=\"$PATH:{}\"", kubectl.display()));
        screen.plain("kubectl get cloudtenants --watch");
        std::future::pending::<()>().await;
    }
    shutdown.cancel();
    operator.await?;
    screen.title(&format!("Done, after {:.0} s. Nothing is left running.", screen.began.elapsed().as_secs_f64()));
    Ok(())
}

struct Demo<'a> {
    screen: &'a Screen,
    client: Client,
    control_plane: ControlPlane,
}

impl Demo<'_> {
    fn tenants(&self) -> Api<CloudTenant> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Runs kubectl and shows what it says. Its arguments hold no spaces; quotes are for who reads or copies it.
    async fn kubectl(&self, line: &str) -> Result<()> {
        self.screen.command(&format!("kubectl {line}"));
        let line = line.replace('\'', "");
        let output = self.control_plane.kubectl(&line.split(' ').collect::<Vec<_>>()).await?;
        ensure!(output.status.success(), "kubectl {line}: {}", output.stderr);
        self.screen.plain(output.stdout.trim_end());
        Ok(())
    }

    async fn apply_secret(&self, cloud: &SimulatedCloud) -> Result<()> {
        let mut secret = Secret::default();
        secret.metadata.name = Some("openstack-credentials".to_owned());
        secret.string_data = Some([("clouds.yaml".to_owned(), cloud.clouds_yaml("openstack"))].into());
        Api::namespaced(self.client.clone(), NAMESPACE).create(&PostParams::default(), &secret).await?;
        Ok(())
    }

    /// Gives every tenant a few servers and caches.
    async fn furnish(&self, cloud: &SimulatedCloud) -> Result<()> {
        let tenants = self.tenants().list(&ListParams::default()).await?;
        for (number, tenant) in (1_u32..).zip(tenants) {
            let project = &tenant.spec.project_id;
            let launched = cloud.now() - Duration::from_secs(3600 * 30 * u64::from(number));
            let servers = (0..=number).map(|server| Server::new(&format!("{}-{server}", tenant.name_any()), launched));
            cloud.add_tenant(project);
            cloud.set_servers(project, servers.collect());
            cloud.set_caches(project, CacheCounts::redis(&[("running", u64::from(number) + 1)]));
        }
        Ok(())
    }

    async fn look_now(&self, time: u32) -> Result<()> {
        self.kubectl(&format!("annotate --overwrite ct {TENANT} reconcile.fluxcd.io/requestedAt=look-{time}")).await
    }

    /// Waits until all that look at the engines have been told.
    async fn until_reason(&self, reason: &str) -> Result<()> {
        for name in [TENANT, "payments"] {
            let description = format!("has Ready with reason {reason}");
            wait::until(self.tenants(), name, &description, SOON, |tenant| {
                let conditions = tenant.status.as_ref().map_or(&[][..], |status| &status.conditions);
                conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == reason)
            })
            .await?;
        }
        Ok(())
    }
}

/// Colours for people, plain lines for the rest.
struct Screen {
    colours: bool,
    began: Instant,
}

impl Screen {
    fn new() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colours, began: Instant::now() }
    }

    fn title(&self, text: &str) {
        let time = format!("[{:>2.0} s]", self.began.elapsed().as_secs_f64());
        self.line("");
        self.line(format_args!("{} {}", self.paint("2", &time), self.paint("1;36", text)));
    }

    fn say(&self, text: &str) {
        self.line(text);
    }

    fn command(&self, text: &str) {
        self.line(format_args!("{} {}", self.paint("1;32", "$"), self.paint("1", text)));
    }

    fn plain(&self, text: &str) {
        let text = match self.colours {
            false => text.to_owned(),
            // What is well and what is not, where kubectl's tables say it.
            true => text
                .replace("EnginesDown", &self.paint("1;31", "EnginesDown"))
                .replace("Healthy ", &self.paint("1;32", "Healthy "))
                .replace("Warning", &self.paint("33", "Warning")),
        };
        self.line(text);
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Nobody to tell if standard output is closed.
    fn line(&self, text: impl Display) {
        let _ = writeln!(io::stdout(), "{text}");
    }
}
