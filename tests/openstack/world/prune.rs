//! CloudTenants of sets whose projects are gone from a real Keystone: what is deleted, and after which time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cloudtenant_operator::api::set::CloudTenantSet;
use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::control_plane::wait;

use super::World;

/// The name by which the scenario is chosen.
pub const SCENARIO: &str = "tenant-sets-prune";
/// The time between the first and the last of the lists that a project is missing from.
const APART: Duration = Duration::from_secs(600);
/// [`APART`], an interval before it and one after it, and the calls of a busy machine.
const LONG: Duration = Duration::from_secs(1200);
/// Some lists.
const SOON: Duration = Duration::from_secs(180);

/// The user's own projects. Its tokens have no scope, so it may not ask for the state of a project: the lists decide.
const OWN: &str = "own";
/// An administrator's list, from which more projects go than `maxLossPercent` allows.
const LARGE: &str = "large";
/// The administrator's own projects, in one of which it loses its role.
const ROLE: &str = "role";

/// A set that lists every minute. Nothing but the set writes its CloudTenants.
fn set(name: &str, cloud: &str, source: &str, filter: &Value) -> Value {
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenantSet", "metadata": {"name": name},
        "spec": {
            "cloudCredentialsRef": {"secretName": super::NAME, "cloudName": cloud}, "source": source, "filter": filter,
            "interval": "1m", "prune": "Delete", "template": {"spec": {"suspend": true}},
        },
    })
}

impl World {
    /// Projects are deleted, disabled and left; only what is surely gone is deleted, and only after ten minutes. More of it
    /// waits for a confirmation.
    pub async fn tenant_sets_prune(&mut self) -> Result<()> {
        let (own, parent, ids) = self.lab.listed(11).await?;
        for number in 0..5 {
            self.lab.keystone(&format!("create-project large-{number} {parent} lister")).await?;
        }
        for number in 0..2 {
            self.lab.keystone(&format!("create-project role-{number} {parent} operator")).await?;
        }
        let clouds = json!({"clouds": {"openstack": own, "administrator": self.lab.cloud("operator")?}});
        let by_hand = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": {"name": "by-hand"},
            "spec": {"projectID": ids[10], "cloudCredentialsRef": {"secretName": super::NAME}, "suspend": true},
        });
        self.serve_sets(
            SCENARIO,
            &clouds,
            &[
                by_hand,
                set(OWN, "openstack", "AccessibleProjects", &json!({"namePattern": "^set-"})),
                set(LARGE, "administrator", "Projects", &json!({"namePattern": "^large-", "parentID": parent})),
                set(ROLE, "administrator", "AccessibleProjects", &json!({"namePattern": "^role-"})),
            ],
        )
        .await?;
        for (name, tenants) in [(OWN, 10), (LARGE, 5), (ROLE, 2)] {
            self.until_in_sync(name, "Synced", tenants, SOON).await?;
        }
        let mut left = self.uids().await?;
        ensure!(left.len() == 18, "{left:?}");

        let began = Instant::now();
        self.lab.keystone(&format!("delete-project {}", ids[0])).await?;
        self.lab.keystone(&format!("disable-project {}", ids[1])).await?;
        self.lab.keystone(&format!("delete-project {}", ids[10])).await?;
        let mut large = Vec::new();
        for number in 0..3 {
            let id = self.project_named(&format!("large-{number}")).await?;
            self.lab.keystone(&format!("delete-project {id}")).await?;
            large.push(format!("{LARGE}-{id}"));
        }
        self.lab.keystone(&format!("remove-role operator {}", self.project_named("role-0").await?)).await?;
        let went = Instant::now();
        self.until_in_sync(LARGE, "PruneHeld", 5, SOON).await?;
        println!("three of five projects are deleted: held after {} s", began.elapsed().as_secs());

        let own = [format!("{OWN}-{}", ids[0]), format!("{OWN}-{}", ids[1])];
        for name in &own {
            wait::until_gone(self.tenants().await?, name, LONG).await?;
        }
        let took = began.elapsed();
        ensure!(took >= APART, "deleted after {took:?}");
        println!(
            "one project of ten is deleted, one disabled: their CloudTenants are deleted after {} s, counted from the \
             end of these changes {} s",
            took.as_secs(),
            went.elapsed().as_secs()
        );
        self.until_in_sync(OWN, "Synced", 8, SOON).await?;
        self.until_in_sync(ROLE, "PruneHeld", 2, LONG).await?;
        println!(
            "a project without the role exists, so its CloudTenant stays: held after {} s",
            began.elapsed().as_secs()
        );
        own.iter().for_each(|name| drop(left.remove(name)));
        ensure!(self.uids().await? == left, "other CloudTenants have changed: {:?}", self.uids().await?);

        let began = Instant::now();
        self.confirm(LARGE).await?;
        for name in &large {
            wait::until_gone(self.tenants().await?, name, SOON).await?;
            left.remove(name);
        }
        println!("the large deletion is confirmed: done after {:.1} s", began.elapsed().as_secs_f64());
        self.until_in_sync(LARGE, "Synced", 2, SOON).await?;
        ensure!(self.uids().await? == left, "other CloudTenants have changed: {:?}", self.uids().await?);

        for (name, pruned, held) in [(OWN, 1, 0), (LARGE, 1, 1), (ROLE, 0, 1)] {
            let told = [self.told(name, "TenantsPruned").await?, self.told(name, "PruneHeld").await?];
            ensure!(told == [pruned, held], "{name}: {told:?} events TenantsPruned and PruneHeld");
        }
        println!("{}", self.control_plane.kubectl(&["get", "cts", "-n", &self.namespace, "-o", "wide"]).await?.stdout);
        Ok(())
    }

    /// The CloudTenants' UIDs by their names.
    async fn uids(&self) -> Result<BTreeMap<String, String>> {
        let tenants = self.tenants().await?.list(&ListParams::default()).await?.items;
        Ok(tenants.iter().map(|tenant| (tenant.name_any(), tenant.uid().unwrap_or_default())).collect())
    }

    async fn project_named(&self, name: &str) -> Result<String> {
        self.lab.sql(&format!("select id from keystone.project where name = '{name}'")).await
    }

    /// Waits until a set has this reason of InSync and so many CloudTenants.
    async fn until_in_sync(&self, name: &str, reason: &str, tenants: u32, limit: Duration) -> Result<()> {
        let holds = |set: &CloudTenantSet| {
            let Some(status) = &set.status else { return false };
            let has_reason = |found: &Condition| found.type_ == "InSync" && found.reason == reason;
            status.tenants == Some(tenants) && status.conditions.iter().any(has_reason)
        };
        let sets = self.sets(self.control_plane.client().await?);
        wait::until(sets, name, &format!("has {tenants} CloudTenants, {reason}"), limit, holds).await.map(drop)
    }

    /// Confirms a large deletion, as docs/tenant-sets.md says.
    async fn confirm(&self, name: &str) -> Result<()> {
        let sets = self.sets(self.control_plane.client().await?);
        let generation = sets.get(name).await?.metadata.generation.context("no generation")?;
        let annotations = json!({"cloudtenant.dev/confirm-prune": generation.to_string()});
        let patch = json!({"metadata": {"annotations": annotations}});
        sets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The number of events of a set with this reason.
    async fn told(&self, name: &str, reason: &str) -> Result<usize> {
        let events: Api<Event> = Api::namespaced(self.control_plane.client().await?, &self.namespace);
        let events = events.list(&ListParams::default().fields(&format!("reason={reason}"))).await?.items;
        let of_set = |event: &&Event| event.regarding.as_ref().is_some_and(|at| at.name.as_deref() == Some(name));
        Ok(events.iter().filter(of_set).count())
    }
}
