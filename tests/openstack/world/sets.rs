//! Projects that come and go, and what Keystone lists of them: what a CloudTenantSet stands on.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use cloudtenant_operator::{
    api::set::{CloudTenantSet, crd_yaml},
    observation::projects::{ProjectList, ProjectState},
    openstack::{
        CloudConfig, Network, NoCounters, Session,
        projects::{self, Narrow, Source},
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::control_plane::wait;

use super::World;

/// The name by which the scenario is chosen.
pub const SCENARIO: &str = "tenant-sets";
/// The number of projects at first.
const PROJECTS: usize = 6;
/// The number of projects of the step that measures.
const MANY: usize = 2000;
/// The deadline of a call. The machine may be busy.
const LONG: Duration = Duration::from_secs(120);

/// What two users see: one with roles in the projects and a token without scope, and an administrator.
struct Views {
    own: Session,
    administrator: Session,
    below_parent: Source,
}

impl Views {
    /// The names of the projects of the first user, and of those that the administrator lists below the parent.
    async fn see(&self, step: &str, own: &[&str], all: &[&str]) -> Result<()> {
        let listed = projects::list(&self.own, &Source::Accessible, LONG).await?;
        ensure!(listed.whole && names(&listed) == set(own), "{step}: accessible are {listed:?}");
        let listed = projects::list(&self.administrator, &self.below_parent, LONG).await?;
        ensure!(listed.whole && names(&listed) == set(all), "{step}: all are {listed:?}");
        println!("{step}: as expected");
        Ok(())
    }

    /// What the administrator and the first user are told about one project.
    async fn states(&self, id: &str) -> [ProjectState; 2] {
        [projects::state(&self.administrator, id, LONG).await, projects::state(&self.own, id, LONG).await]
    }

    /// Nothing is listed, and nothing is concluded about a project.
    async fn fail(&self, step: &str, id: &str, deadline: Duration) -> Result<()> {
        for (session, source) in [(&self.own, &Source::Accessible), (&self.administrator, &self.below_parent)] {
            let listed = projects::list(session, source, deadline).await;
            let Err(failure) = listed else { anyhow::bail!("{step}: {source:?} is {listed:?}") };
            let state = projects::state(session, id, deadline).await;
            ensure!(state == ProjectState::Unknown, "{step}: {state:?}");
            println!("{step}: {}, the project is unknown", failure.kind());
        }
        Ok(())
    }
}

/// The rights of deploy/tenant-sets, for the account of the tests.
const RIGHTS: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: cloudtenant-operator-sets}
rules:
  - {apiGroups: [cloudtenant.dev], resources: [cloudtenants], verbs: [create, patch, delete]}
  - {apiGroups: [cloudtenant.dev], resources: [cloudtenantsets], verbs: [get, list, watch]}
  - {apiGroups: [cloudtenant.dev], resources: [cloudtenantsets/status], verbs: [patch]}
  - {apiGroups: [cloudtenant.dev], resources: [cloudtenantsets/finalizers], verbs: [update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: cloudtenant-operator-sets}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cloudtenant-operator-sets}
subjects: [{kind: ServiceAccount, name: cloudtenant-operator, namespace: cloudtenant-system}]
"#;

/// Disabled projects have a mark.
fn names(list: &ProjectList) -> BTreeSet<String> {
    let mark = |enabled: bool| if enabled { "" } else { " (disabled)" };
    list.projects.iter().map(|project| format!("{}{}", project.name, mark(project.enabled))).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn session(entry: &Value) -> Result<Session> {
    let yaml = json!({"clouds": {"c": entry}}).to_string();
    let config = Arc::new(CloudConfig::parse(&yaml, "c", None, None)?);
    Ok(Session::new(config, &Network::default().allowing_loopback(), Arc::new(NoCounters))?)
}

impl World {
    pub(super) fn sets(&self, client: kube::Client) -> Api<CloudTenantSet> {
        Api::namespaced(client, &self.namespace)
    }

    /// Serves sets, after other objects, in a new namespace with a Secret.
    pub(super) async fn serve_sets(&mut self, namespace: &str, clouds: &Value, objects: &[Value]) -> Result<()> {
        self.control_plane.apply_crds(&crd_yaml()?).await?;
        self.control_plane.apply_yaml(None, RIGHTS).await?;
        self.start_operator_with(None, &[("TENANT_SETS", "true")]).await?;
        self.namespace = self.control_plane.namespace(namespace).await?;
        self.write_secret(&clouds.to_string()).await?;
        for object in objects {
            self.control_plane.apply_yaml(Some(&self.namespace), &object.to_string()).await?;
        }
        Ok(())
    }

    /// Serves a set of the first user's projects, whose CloudTenants may be deleted.
    async fn serve_set(&mut self, entry: &Value) -> Result<()> {
        let set = json!({
            "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenantSet", "metadata": {"name": "all"},
            "spec": {
                "cloudCredentialsRef": {"secretName": super::NAME}, "prune": "Delete",
                "template": {"spec": {"suspend": true}},
            },
        });
        self.serve_sets(SCENARIO, &json!({"clouds": {"openstack": entry}}), &[set]).await
    }

    /// Asks for a list, and waits until the set has this reason of a condition and so many CloudTenants.
    async fn until_set(&self, step: &str, (type_, reason): (&str, &str), tenants: u32) -> Result<()> {
        let sets = self.sets(self.control_plane.client().await?);
        let at = format!("{step} {:?}", Instant::now());
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": at}}});
        sets.patch("all", &PatchParams::default(), &Patch::Merge(patch)).await?;
        let holds = |set: &CloudTenantSet| {
            let Some(status) = &set.status else { return false };
            let has_reason = |found: &Condition| found.type_ == type_ && found.reason == reason;
            // A list that failed handles no request.
            let handled = type_ == "ProjectsListed" || status.last_handled_reconcile_at.as_ref() == Some(&at);
            handled && status.tenants == Some(tenants) && status.conditions.iter().any(has_reason)
        };
        wait::until(sets, "all", step, LONG, holds).await?;
        let found = self.tenants().await?.list(&ListParams::default()).await?.items;
        ensure!(found.len() == tenants as usize, "{step}: {} CloudTenants", found.len());
        println!("{step}: the set has {tenants} CloudTenants, {type_} says {reason}");
        Ok(())
    }

    /// Projects come, go, are renamed, disabled and tagged; roles go; Keystone and its database go; thousands of projects.
    pub async fn tenant_sets(&mut self) -> Result<()> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        self.remove_many().await?;
        let (entry, parent, ids) = self.lab.listed(PROJECTS).await?;
        let below_parent = Source::All(Narrow { parent_id: Some(parent.clone().into()), ..Narrow::default() });
        let administrator = session(&self.lab.cloud("operator")?)?;
        let views = Views { own: session(&entry)?, administrator, below_parent };

        let mut all = ["set-0", "set-1", "set-2", "set-3", "set-4", "set-5"].to_vec();
        views.see("six projects", &all, &all).await?;
        let named = views.administrator.domain_names(["default"], LONG).await;
        ensure!(named.get("default").is_some_and(|name| &**name == "Default"), "{named:?}");
        let unnamed = views.own.domain_names(["default"], LONG).await;
        ensure!(unnamed.is_empty(), "an unscoped token reads no domain: {unnamed:?}");
        self.serve_set(&entry).await?;
        self.until_set("six projects", ("InSync", "Synced"), 6).await?;

        self.lab.keystone(&format!("create-project set-new {parent} lister")).await?;
        all.push("set-new");
        views.see("a project comes", &all, &all).await?;
        self.until_set("a project comes", ("InSync", "Synced"), 7).await?;

        self.lab.keystone(&format!("delete-project {}", ids[0])).await?;
        all.retain(|name| *name != "set-0");
        views.see("a project goes", &all, &all).await?;
        let states = views.states(&ids[0]).await;
        ensure!(states == [ProjectState::Absent, ProjectState::Forbidden], "a deleted project: {states:?}");
        // Nothing is deleted before two lists that are ten minutes apart.
        self.until_set("a project goes", ("InSync", "Synced"), 7).await?;

        self.lab.keystone(&format!("update-project {} name set-renamed", ids[1])).await?;
        all[0] = "set-renamed";
        views.see("a project is renamed", &all, &all).await?;
        self.until_set("a project is renamed", ("InSync", "Synced"), 7).await?;
        let renamed = self.tenants().await?.get(&format!("all-{}", ids[1])).await?;
        let name = renamed.metadata.annotations.unwrap_or_default().remove("cloudtenant.dev/project-name");
        ensure!(name.as_deref() == Some("set-renamed"), "{name:?}");

        self.lab.keystone(&format!("disable-project {}", ids[2])).await?;
        let own: Vec<_> = all.iter().map(|name| if *name == "set-2" { "set-2 (disabled)" } else { name }).collect();
        all.retain(|name| *name != "set-2");
        views.see("a project is disabled", &own, &all).await?;
        let states = views.states(&ids[2]).await;
        ensure!(states == [ProjectState::Disabled, ProjectState::Forbidden], "a disabled project: {states:?}");

        self.lab.keystone(&format!("update-project {} tags blue,prod", ids[3])).await?;
        self.lab.keystone(&format!("update-project {} tags prod", ids[4])).await?;
        for (tags, expected) in
            [(&["prod"][..], &["set-3", "set-4"][..]), (&["prod", "blue"], &["set-3"]), (&["x"], &[])]
        {
            let tags = tags.iter().map(|tag| (*tag).into()).collect();
            let source = Source::All(Narrow { parent_id: Some(parent.clone().into()), tags, ..Narrow::default() });
            let listed = projects::list(&views.administrator, &source, LONG).await?;
            ensure!(names(&listed) == set(expected), "{source:?}: {listed:?}");
        }
        let listed = projects::list(&views.own, &Source::Accessible, LONG).await?;
        let tagged = listed.projects.iter().find(|project| *project.id == *ids[3]);
        ensure!(tagged.is_some_and(|project| project.tags == ["blue".into(), "prod".into()]), "{tagged:?}");
        println!("projects are tagged: as expected");

        self.lab.keystone(&format!("remove-role lister {}", ids[3])).await?;
        let own: Vec<_> = own.into_iter().filter(|name| *name != "set-3").collect();
        views.see("a role is removed", &own, &all).await?;
        let [state, _] = views.states(&ids[3]).await;
        ensure!(state == ProjectState::Enabled, "a project without a role: {state:?}");

        for (step, breaks, mends) in [
            ("Keystone is down", "stop keystone", "start keystone"),
            ("Keystone hangs", "hang keystone", "continue keystone"),
            ("Keystone has no database", "kill keystone-db", "start keystone-db"),
        ] {
            self.lab.ctl(breaks).await?;
            let failed = views.fail(step, &ids[4], Duration::from_secs(5)).await;
            let reason = if step == "Keystone hangs" { "Timeout" } else { "ConnectionFailed" };
            let reason = if step == "Keystone has no database" { "ServerError" } else { reason };
            let kept = self.until_set(step, ("ProjectsListed", reason), 7).await;
            self.lab.ctl(mends).await?;
            failed?;
            kept?;
            views.see("it is back", &own, &all).await?;
        }

        for id in &ids[4..] {
            self.lab.keystone(&format!("remove-role lister {id}")).await?;
        }
        // Keystone says nothing of what is missing.
        views.see("half of the roles are removed", &["set-renamed", "set-2 (disabled)", "set-new"], &all).await?;
        self.until_set("half of the roles are removed", ("InSync", "PruneHeld"), 7).await?;
        self.lab.keystone("remove-role lister all").await?;
        views.see("all roles are removed", &[], &all).await?;
        self.until_set("all roles are removed", ("InSync", "PruneHeld"), 7).await?;

        self.many_listed(&views).await?;
        self.remove_many().await
    }

    /// The time of a listing of two thousand projects.
    async fn many_listed(&self, views: &Views) -> Result<()> {
        self.lab
            .sql(&format!(
                "insert into keystone.project (id, name, extra, description, enabled, domain_id, parent_id, is_domain)
                 select concat('b', lpad(seq, 31, '0')), concat('bulk-', seq), '{{}}', '', 1, 'default', 'default', 0
                 from keystone.seq_1_to_{MANY};
                 insert into keystone.assignment (type, actor_id, target_id, role_id, inherited)
                 select 'UserProject', user_id, project.id, role.id, 0
                 from keystone.project project, keystone.role role, keystone.local_user
                 where project.name like 'bulk-%' and role.name = 'reader' and local_user.name = 'lister'"
            ))
            .await?;
        for (what, session, source) in [
            ("GET /v3/auth/projects", &views.own, &Source::Accessible),
            ("GET /v3/projects", &views.administrator, &Source::All(Narrow::default())),
        ] {
            let began = Instant::now();
            let listed = projects::list(session, source, LONG).await?;
            let bulk = listed.projects.iter().filter(|project| project.name.starts_with("bulk-")).count();
            ensure!(listed.whole && bulk == MANY, "{what}: {bulk} of {}", listed.projects.len());
            println!(
                "{what}: {} projects in one call of {:.1} s",
                listed.projects.len(),
                began.elapsed().as_secs_f64()
            );
        }
        Ok(())
    }

    async fn remove_many(&self) -> Result<()> {
        let bulk = "(select id from keystone.project where name like 'bulk-%')";
        self.lab.sql(&format!("delete from keystone.assignment where target_id in {bulk}")).await?;
        self.lab.sql("delete from keystone.project where name like 'bulk-%'").await.map(drop)
    }
}
