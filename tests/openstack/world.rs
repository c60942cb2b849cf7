//! What the scenarios are played in: the lab, a control plane, a simulated DCS, and the operator.

mod fleet;
mod prune;
mod sets;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cloudtenant_operator::api::{CloudTenant, crd_yaml};
pub use fleet::SCENARIO as MANY_PROJECTS;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
pub use prune::SCENARIO as TENANT_SETS_PRUNE;
use serde_json::json;
pub use sets::SCENARIO as TENANT_SETS;
use testkit::{
    cloud::{CacheCounts, Service, SimulatedCloud},
    control_plane::{ControlPlane, wait},
    operator::{Account, Operator, Right},
};

use crate::{
    lab::Lab,
    record::Record,
    scenario::{Action, Scenario, Tenant},
};

const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };
const LAST_RIGHT: Right<'_> = Right { verb: "create", group: "events.k8s.io", resource: "events" };
const LOG: &str = "debug,kube=info,hyper=info,hyper_util=info,tower=info,h2=info,rustls=info,reqwest=info";
/// Where Debian's package faketime puts it; the loader knows $LIB.
const FAKETIME: &str = "/usr/$LIB/faketime/libfaketime.so.1";
const NAME: &str = "tenant";

pub struct World {
    lab: Lab,
    dcs: SimulatedCloud,
    operator: Option<Operator>,
    /// How far its clock is off.
    clock: Option<&'static str>,
    control_plane: ControlPlane,
    /// The namespace of the scenario that is played; each has its own.
    namespace: String,
    logins: f64,
}

impl World {
    pub async fn start() -> Result<Self> {
        let dcs = SimulatedCloud::start().await?;
        dcs.trust_foreign_tokens();
        let lab = Lab::up(dcs.base_url(Service::Dcs)).await?;
        let control_plane = ControlPlane::start().await?;
        let rbac = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rbac.yaml");
        control_plane.install(&crd_yaml()?, &fs::read_to_string(rbac)?, ACCOUNT, LAST_RIGHT).await?;
        let mut world =
            Self { lab, dcs, operator: None, clock: None, control_plane, namespace: String::new(), logins: 0.0 };
        world.start_operator(None).await?;
        Ok(world)
    }

    pub async fn end(self) {
        drop(self.operator);
        if let Err(error) = self.lab.down().await {
            eprintln!("openstack: {error:#}");
        }
    }

    /// Creates the scenario's CloudTenant in a namespace of its own.
    pub async fn create(&mut self, scenario: &Scenario) -> Result<Record> {
        let tenant = &scenario.tenant;
        if self.clock != tenant.clock {
            self.start_operator(tenant.clock).await?;
        }
        let project = self.lab.project(tenant.project)?;
        self.dcs.set_caches(&project, CacheCounts::redis(&[("running", 2)]));
        self.namespace = self.control_plane.namespace(scenario.name).await?;
        self.logins = self.logins()?;
        let record = Record::start(&self.control_plane.client().await?, &self.namespace);
        let clouds = json!({"openstack": self.lab.cloud(tenant.cloud)?, "system": self.lab.cloud("system")?});
        self.write_secret(&json!({"clouds": clouds}).to_string()).await?;
        self.control_plane.apply_yaml(Some(&self.namespace), &manifest(tenant, &project)).await?;
        Ok(record)
    }

    /// Back to health, for the next.
    pub async fn restore(&mut self, scenario: &Scenario) -> Result<()> {
        if !self.namespace.is_empty() {
            let _ = self.tenants().await?.delete(NAME, &DeleteParams::default()).await;
            wait::until_gone(self.tenants().await?, NAME, Duration::from_secs(10)).await?;
        }
        for command in scenario.after {
            self.lab.ctl(command).await?;
        }
        self.lab.heal().await
    }

    pub async fn act(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::Lab(command) => self.lab.ctl(command).await,
            Action::Often(times, command) => {
                for _ in 0..*times {
                    self.lab.ctl(command).await?;
                }
                Ok(())
            }
            Action::Keystone(command) => self.lab.keystone(command).await,
            Action::Secret(from, to) => {
                let cloud = self.lab.cloud("changing")?.to_string();
                ensure!(cloud.contains(from), "the Secret does not have {from}");
                let cloud = cloud.replace(from, to);
                self.write_secret(&format!("{{\"clouds\": {{\"openstack\": {cloud}}}}}")).await
            }
            Action::EnginesBy(entry) => {
                let patch = json!({"spec": {"probes": {"engines": {"cloudName": entry}}}});
                self.tenants().await?.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
                Ok(())
            }
            Action::TrustCertificate => {
                let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME},
                    "stringData": {"cacert": self.lab.certificate()?}});
                let secrets: Api<Secret> = Api::namespaced(self.control_plane.client().await?, &self.namespace);
                secrets.patch(NAME, &PatchParams::default(), &Patch::Merge(secret)).await?;
                Ok(())
            }
            Action::Says(type_, text) => {
                let status = self.tenants().await?.get(NAME).await?.status.unwrap_or_default();
                let condition = status.conditions.iter().find(|condition| condition.type_ == *type_);
                let message = condition.map(|condition| condition.message.as_str()).unwrap_or_default();
                ensure!(message.contains(text), "{type_} says {message:?} and not {text:?}");
                Ok(())
            }
            Action::RestartOperator => self.start_operator(self.clock).await,
            Action::Request => self.request().await,
            Action::Holds(question) => {
                let answer = self.lab.sql(question).await?;
                ensure!(answer == "1", "{question}: {answer}");
                Ok(())
            }
            Action::LoggedInAgain => {
                let logins = self.logins()?;
                ensure!(logins > self.logins, "{logins} logins, as before");
                Ok(())
            }
            Action::ClockIsOff(minutes) => {
                let engines = self.tenants().await?.get(NAME).await?.status.and_then(|status| status.engines);
                let at = engines.and_then(|engines| engines.observed_at).context("nothing observed")?.0;
                let off = at.duration_since(jiff::Timestamp::now()).as_secs();
                ensure!((off - minutes * 60).abs() < 60, "observedAt is off by {off} s");
                Ok(())
            }
            Action::UsageIsExact => self.compare_usage().await,
        }
    }

    /// Keeps the operator's log of a scenario that went wrong.
    pub fn keep_log(&self, name: &str) -> PathBuf {
        let file = self.lab.logs().join(format!("operator-{name}.log"));
        let _ = fs::write(&file, self.operator.as_ref().map(Operator::log).unwrap_or_default());
        file
    }

    async fn start_operator(&mut self, clock: Option<&'static str>) -> Result<()> {
        self.start_operator_with(clock, &[]).await
    }

    async fn start_operator_with(&mut self, clock: Option<&'static str>, more: &[(&str, &str)]) -> Result<()> {
        drop(self.operator.take());
        let mut environment = vec![("LOG_LEVEL", LOG)];
        environment.extend(more);
        if let Some(off) = clock {
            // Waits are by the other clock, and stay what they are.
            environment.extend([("LD_PRELOAD", FAKETIME), ("FAKETIME", off), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_cloudtenant-operator"));
        self.operator = Some(Operator::start(&self.control_plane, program, ACCOUNT, &environment).await?);
        self.clock = clock;
        Ok(())
    }

    fn logins(&self) -> Result<f64> {
        let operator = self.operator.as_ref().context("no operator")?;
        operator.metric("cloudtenant_cloud_logins_total", &["outcome=\"ok\""])
    }

    async fn write_secret(&self, clouds: &str) -> Result<()> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME},
            "stringData": {"clouds.yaml": clouds}});
        self.control_plane.apply_yaml(Some(&self.namespace), &secret.to_string()).await
    }

    async fn request(&self) -> Result<()> {
        let at = format!("{:?}", std::time::SystemTime::now());
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": at}}});
        self.tenants().await?.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let handled = |tenant: &CloudTenant| {
            tenant.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_ref()) == Some(&at)
        };
        wait::until(self.tenants().await?, NAME, "has dealt with requestedAt", Duration::from_secs(90), handled)
            .await?;
        Ok(())
    }

    /// The sum over Nova's own rows, in the window that the status names.
    async fn compare_usage(&self) -> Result<()> {
        let tenant = self.tenants().await?.get(NAME).await?;
        let usage = tenant.status.and_then(|status| status.usage).context("no usage in the status")?.figures;
        let (start, end) = (usage.start.context("no start")?.0, usage.end.context("no end")?.0);
        let sql = |time: jiff::Timestamp| time.strftime("%Y-%m-%d %H:%M:%S%.f").to_string();
        let answer = self
            .lab
            .sql(&format!(
                "select count(*), coalesce(round(sum(hours * vcpus), 3), 0), coalesce(round(sum(hours * memory_mb), 3), 0)
                 from (select vcpus, memory_mb, timestampdiff(microsecond, greatest(launched_at, '{from}'),
                         least(coalesce(terminated_at, '{to}'), '{to}')) / 3600000000 hours
                       from nova.instances where project_id = '{project}' and launched_at < '{to}'
                         and (terminated_at is null or terminated_at > '{from}')) servers",
                from = sql(start),
                to = sql(end),
                project = tenant.spec.project_id,
            ))
            .await?;
        let told = [usage.servers.to_string(), usage.vcpu_hours, usage.memory_mb_hours];
        let read = |text: &str| text.parse::<f64>().context("not a number");
        for (told, counted) in told.iter().zip(answer.split_whitespace()) {
            // Three places, and the noise of thousands of floating-point additions.
            let (told, counted) = (read(told)?, read(counted)?);
            ensure!((told - counted).abs() <= 0.001 + counted * 1e-9, "the status has {told}, the database {counted}");
        }
        ensure!(usage.complete == Some(true), "the usage is not complete");
        Ok(())
    }

    async fn tenants(&self) -> Result<Api<CloudTenant>> {
        Ok(Api::namespaced(self.control_plane.client().await?, &self.namespace))
    }
}

fn manifest(tenant: &Tenant, project: &str) -> String {
    json!({"apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": {"name": NAME}, "spec": {
        "projectID": project,
        "cloudCredentialsRef": {"secretName": NAME},
        "interval": "10s",
        "timeout": "15s",
        "probes": {"engines": {"forgetAfter": tenant.forget_after}, "usage": {"interval": "1m"}},
    }})
    .to_string()
}
