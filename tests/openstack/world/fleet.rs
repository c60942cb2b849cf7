//! Many projects with one Secret and one user: `cloudCredentialsRef.scope: ObservedProject`.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use cloudtenant_operator::api::CloudTenant;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use testkit::cloud::CacheCounts;
use tokio::time::sleep;

use super::World;

/// The name by which the scenario is chosen.
pub const SCENARIO: &str = "many-projects";
/// The number of projects, unless the environment's `MANY_PROJECTS` has another.
const PROJECTS: usize = 200;
const INTERVAL: Duration = Duration::from_secs(60);
/// Keystone needs a third of a second of processor time for each login.
const LONG: Duration = Duration::from_secs(600);

impl World {
    /// Observes all projects, then one that is deleted, disabled or without a role, then a changed password. Prints
    /// the figures.
    pub async fn many_projects(&mut self) -> Result<()> {
        let many = env::var("MANY_PROJECTS").map_or(Ok(PROJECTS), |number| number.parse())?;
        self.start_operator(None).await?;
        let (entry, projects) = self.lab.fleet(many).await?;
        self.namespace = self.control_plane.namespace(SCENARIO).await?;
        self.write_secret(&json!({"clouds": {"openstack": entry}}).to_string()).await?;
        let began = Instant::now();
        for (number, project) in projects.iter().enumerate() {
            self.dcs.set_caches(project, CacheCounts::redis(&[("running", 2)]));
            let tenant = json!({
                "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant",
                "metadata": {"name": format!("t{number:03}")},
                "spec": {
                    "projectID": project, "interval": format!("{}s", INTERVAL.as_secs()),
                    "cloudCredentialsRef": {"secretName": super::NAME, "scope": "ObservedProject"},
                },
            });
            self.control_plane.apply_yaml(Some(&self.namespace), &tenant.to_string()).await?;
        }
        let healthy = BTreeMap::from([("Healthy".to_owned(), many)]);
        self.until("all are healthy", "Ready", &healthy).await?;
        println!("{many} projects are healthy after {} s", began.elapsed().as_secs());
        println!("  {}", self.calls()?);
        ensure!(self.count("logins", "ok")? == 1 + u64::try_from(many)?, "{}", self.calls()?);
        ensure!(self.count("logins", "login_refused")? == 0, "{}", self.calls()?);

        let heat = self.requests("orchestration")?;
        sleep(INTERVAL * 2).await;
        let heat = self.requests("orchestration")? - heat;
        println!("{heat} calls to Heat in two intervals");
        ensure!(heat <= 3, "{heat} calls to Heat in two intervals");

        let began = Instant::now();
        self.lab.keystone(&format!("delete-project {}", projects[0])).await?;
        self.lab.keystone(&format!("disable-project {}", projects[1])).await?;
        self.lab.keystone(&format!("remove-role fleet {}", projects[2])).await?;
        // Services know a token for five minutes.
        self.lab.ctl("restart heat-api nova-api").await?;
        self.request_all(many).await?;
        let some = BTreeMap::from([("Reported", many - 3), ("ProjectNotFound", 1), ("Forbidden", 2)]);
        let some = some.into_iter().map(|(reason, number)| (reason.to_owned(), number)).collect();
        self.until("three are refused", "UsageReported", &some).await?;
        let refused = self.count("logins", "login_refused")?;
        let took = began.elapsed().as_secs();
        println!("a project deleted, one disabled, a role taken away: {refused} refused logins, each alone, {took} s");
        // A refused project is tried again after five minutes.
        ensure!((3..=3 * (1 + took / 300)).contains(&refused), "{refused} refused logins in {took} s");

        self.lab.keystone("password fleet fleet-changed").await?;
        self.lab.ctl("restart heat-api nova-api").await?;
        self.request_all(many).await?;
        let none = BTreeMap::from([("AuthenticationFailed".to_owned(), many)]);
        let began = Instant::now();
        self.until("all are refused", "UsageReported", &none).await?;
        let wrong = self.count("logins", "login_refused")? - refused;
        let took = began.elapsed().as_secs();
        println!("the password changed: {wrong} refused logins, told to all after {took} s");
        ensure!(wrong <= 2 * (1 + took / 300), "{wrong} refused logins in {took} s");

        let mut entry = entry;
        entry["auth"]["password"] = "fleet-changed".into();
        let began = Instant::now();
        self.write_secret(&json!({"clouds": {"openstack": entry}}).to_string()).await?;
        self.until("all but three are healthy again", "UsageReported", &some).await?;
        let wrong = self.count("logins", "login_refused")? - refused;
        let healed = began.elapsed().as_secs();
        println!("the new password in the Secret: {} healthy after {healed} s", many - 3);
        println!("  {}", self.calls()?);
        let took = took + healed;
        ensure!(wrong <= 5 * (1 + took / 300), "{wrong} refused logins with the three projects, in {took} s");
        Ok(())
    }

    /// Waits until the condition has these reasons, so many times each.
    async fn until(&self, what: &str, type_: &str, wanted: &BTreeMap<String, usize>) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut found = BTreeMap::new();
            for tenant in self.tenants().await?.list(&ListParams::default()).await?.items {
                *found.entry(reason(&tenant, type_)).or_default() += 1;
            }
            if found == *wanted {
                return Ok(());
            }
            ensure!(began.elapsed() < LONG, "not {what}: {found:?}");
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Asks for all probes of all tenants now.
    async fn request_all(&self, many: usize) -> Result<()> {
        let at = format!("{:?}", std::time::SystemTime::now());
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": at}}});
        let tenants = self.tenants().await?;
        for number in 0..many {
            tenants.patch(&format!("t{number:03}"), &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        Ok(())
    }

    fn count(&self, what: &str, outcome: &str) -> Result<u64> {
        let Some(operator) = &self.operator else { return Ok(0) };
        let outcome = format!("outcome=\"{outcome}\"");
        number(operator.metric(&format!("cloudtenant_cloud_{what}_total"), &[&outcome])?)
    }

    /// The calls to a service, whatever came of them.
    fn requests(&self, service: &str) -> Result<u64> {
        let Some(operator) = &self.operator else { return Ok(0) };
        let service = format!("service=\"{service}\"");
        number(operator.metric("cloudtenant_cloud_requests_total", &[&service])?)
    }

    fn calls(&self) -> Result<String> {
        let mut calls = format!("logins: {} accepted", self.count("logins", "ok")?);
        write!(calls, ", {} refused; calls:", self.count("logins", "login_refused")?)?;
        for service in ["identity", "orchestration", "cache", "compute"] {
            write!(calls, " {service} {}", self.requests(service)?)?;
        }
        Ok(calls)
    }
}

fn number(metric: f64) -> Result<u64> {
    // The sum of nothing is -0.
    Ok((metric + 0.0).to_string().parse()?)
}

fn reason(tenant: &CloudTenant, type_: &str) -> String {
    let conditions = tenant.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    let found = conditions.iter().find(|condition| condition.type_ == type_);
    found.map(|condition| condition.reason.clone()).unwrap_or_default()
}
