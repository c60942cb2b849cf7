//! A namespace with a set and its CloudTenants, and a Keystone that lists projects. A pass takes the steps that the
//! operator takes.

use std::{collections::BTreeMap, sync::Arc};

use cloudtenant_operator::{
    api::{
        Reason,
        set::{CloudTenantSet, CloudTenantSetStatus, SETS_FIELD_MANAGER},
    },
    decide::{
        condition,
        event::Notice,
        set::{
            Basis, Child, Claims, Held, Input, OtherSet, Plan, Pruned, Selection, SetMemory, SetTarget, asks, event,
            plan, prune,
            status::{self, Listed, SetPass, Written},
        },
    },
    observation::{
        ProbeFailure,
        projects::{Project, ProjectList, ProjectState},
    },
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A project as most tests need it.
pub fn project(id: &str) -> Project {
    Project {
        id: id.into(),
        name: format!("name-{id}").into(),
        domain_id: "d1".into(),
        parent_id: Some("top".into()),
        tags: vec!["a".into(), "b".into()],
        enabled: true,
        is_domain: false,
    }
}

/// A whole list of these projects.
pub fn list(ids: &[&str]) -> ProjectList {
    ProjectList { projects: ids.iter().map(|id| project(id)).collect(), whole: true }
}

pub fn other(name: &str, created: &str, claims: Claims) -> OtherSet {
    OtherSet { name: name.into(), uid: format!("u-{name}"), created_at: Some(created.parse().unwrap()), claims }
}

pub fn claims(ids: &[&str]) -> Claims {
    Claims::Known(Arc::new(ids.iter().map(|id| (*id).into()).collect()))
}

pub const OLDER: &str = "2026-01-01T00:00:09Z";

pub const SAME: &str = "2026-01-01T00:00:10Z";

pub const YOUNGER: &str = "2026-01-01T00:00:11Z";

pub const MINUTES: i64 = 60;

/// Ten projects p0 to p9 but these.
pub fn without(gone: &[&str]) -> ProjectList {
    let ids: Vec<_> = (0..10).map(|at| format!("p{at}")).collect();
    list(&ids.iter().map(String::as_str).filter(|id| !gone.contains(id)).collect::<Vec<_>>())
}

/// A set with ten CloudTenants that deletes.
pub fn ten(spec: Value) -> World {
    let mut spec = spec;
    spec["prune"] = json!("Delete");
    let mut world = World::new(spec);
    assert_eq!(world.pass(Ok(without(&[]))).created().len(), 10);
    world.wait(10 * MINUTES);
    world
}

pub fn partial(list: ProjectList) -> ProjectList {
    ProjectList { whole: false, ..list }
}

pub fn failure(reason: Reason, transient: bool) -> ProbeFailure {
    ProbeFailure { reason, message: format!("{reason} happened."), retry_after: None, transient }
}

/// What one pass concluded and wrote.
#[derive(Debug)]
pub struct Passed {
    pub plan: Plan,
    pub asked: Vec<String>,
    pub pruned: Pruned,
    pub notices: Vec<Notice>,
}

impl Passed {
    pub fn created(&self) -> Vec<&str> {
        self.plan.creations.iter().map(|apply| &*apply.project_id).collect()
    }

    pub fn changed(&self) -> Vec<&str> {
        self.plan.changes.iter().map(|apply| &*apply.name).collect()
    }

    pub fn deleted(&self) -> Vec<&str> {
        self.pruned.deletions.iter().map(|deletion| &*deletion.project_id).collect()
    }

    pub fn skipped(&self) -> Vec<String> {
        let skipped = self.plan.skipped.iter();
        skipped
            .map(|skip| format!("{} {:?} {}", skip.project_id, skip.reason, skip.by.as_deref().unwrap_or("-")))
            .collect()
    }

    pub fn events(&self) -> Vec<String> {
        self.notices.iter().map(|notice| notice.reason.to_string()).collect()
    }
}

pub struct World {
    /// The set as the API server has it.
    pub set: Value,
    /// All CloudTenants of the namespace by name.
    pub cluster: BTreeMap<String, Value>,
    pub others: Vec<OtherSet>,
    pub memory: SetMemory,
    pub stored: CloudTenantSetStatus,
    pub now: Timestamp,
    pub credential: &'static str,
    /// What Keystone says of single projects. It does not know others.
    pub states: BTreeMap<String, ProjectState>,
    /// The outcome of the next pass's writes, besides what it makes and deletes.
    pub written: Written,
    /// How often the list has failed.
    pub failures: u32,
    made: u32,
}

impl World {
    /// A set `web` in a namespace without CloudTenants. `spec` has what differs from the defaults.
    pub fn new(spec: Value) -> Self {
        let mut whole = json!({ "cloudCredentialsRef": { "secretName": "cloud" } });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        Self {
            set: json!({
                "apiVersion": "cloudtenant.dev/v1alpha1",
                "kind": "CloudTenantSet",
                "metadata": {
                    "name": "web", "namespace": "fleet", "uid": "u-web", "generation": 1,
                    "creationTimestamp": "2026-01-01T00:00:10Z",
                },
                "spec": whole,
            }),
            cluster: BTreeMap::new(),
            others: Vec::new(),
            memory: SetMemory::default(),
            stored: CloudTenantSetStatus::default(),
            now: "2026-03-01T00:00:00Z".parse().unwrap(),
            credential: "alice",
            states: BTreeMap::new(),
            written: Written::default(),
            failures: 0,
            made: 0,
        }
    }

    pub fn target(&self) -> SetTarget {
        let set: CloudTenantSet = serde_json::from_value(self.set.clone()).unwrap();
        SetTarget::new(&set).unwrap()
    }

    /// Changes the spec as a user does.
    pub fn change(&mut self, field: &str, value: Value) {
        self.set["spec"][field] = value;
        let generation = self.set["metadata"]["generation"].as_i64().unwrap();
        self.set["metadata"]["generation"] = json!(generation + 1);
    }

    /// Confirms a prune for the current generation.
    pub fn confirm(&mut self) {
        let generation = self.set["metadata"]["generation"].to_string();
        self.set["metadata"]["annotations"] = json!({ "cloudtenant.dev/confirm-prune": generation });
    }

    /// Somebody sets the operator's clock forward by so many minutes, or back.
    pub fn set_clock(&mut self, minutes: i64) {
        let by = SignedDuration::from_mins(minutes);
        self.now += by;
        self.memory.clock_was_set(by);
    }

    pub fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// A CloudTenant that somebody has made.
    pub fn by_hand(&mut self, name: &str, project_id: &str, metadata: Value) {
        self.made += 1;
        let mut object = json!({
            "metadata": { "name": name, "uid": format!("u-{}", self.made), "resourceVersion": "1" },
            "spec": { "projectID": project_id, "interval": "5m" },
        });
        object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        self.cluster.insert(name.to_owned(), object);
    }

    pub fn children(&self) -> Vec<Child> {
        self.cluster.values().map(|object| Child::read(object).unwrap()).collect()
    }

    /// A pass whose list is this one, or failed.
    pub fn pass(&mut self, listing: Result<ProjectList, ProbeFailure>) -> Passed {
        let target = self.target();
        let children = self.children();
        let domains = BTreeMap::from([("d1".into(), "Domain One".into())]);
        let selection = listing.as_ref().ok().map(|list| Selection::new(list.clone(), &target.filter));
        let input = Input {
            target: &target,
            listing: selection.as_ref(),
            domains: &domains,
            children: &children,
            others: &self.others,
        };
        if listing.is_ok() {
            let credential = self.credential.into();
            let basis = Basis { credential, source: target.source, generation: target.generation };
            self.memory.note(basis, &input, self.now);
        }
        let plan = plan(&input);
        let asked = asks(&input, &self.memory, &self.stored, self.now);
        let states = self.states.clone();
        let answer = |id: &String| states.get(id).copied().unwrap_or(ProjectState::Absent);
        let answers: BTreeMap<_, _> = asked.iter().map(|id| (id.clone(), answer(id))).collect();
        self.memory.answered(&asked, &answers);
        let pruned = prune(&input, &self.memory, &answers, &self.stored, self.now);
        if !pruned.deletions.is_empty() {
            self.stored = status::reserved(&target, &self.stored, pruned.deletions.len(), self.now);
        }
        let mut written = std::mem::take(&mut self.written);
        for apply in plan.creations.iter().chain(&plan.changes) {
            let uid = self.apply(&apply.document);
            written.adopted += usize::from(apply.adopts);
            if apply.uid.is_none() {
                written.created.push((apply.name.clone(), uid));
            }
        }
        for deletion in &pruned.deletions {
            let object = self.cluster.remove(&deletion.name).unwrap();
            assert_eq!(object["metadata"]["uid"], deletion.uid);
            written.deleted.push((deletion.name.clone(), deletion.uid.clone()));
        }
        let listed = match listing {
            Ok(list) => {
                self.failures = 0;
                Listed::Yes { whole: list.whole }
            }
            Err(failure) => {
                self.failures += 1;
                Listed::Failed(failure, self.failures)
            }
        };
        let judged = Judged { target, listed, plan, pruned, written, recounts: 0 };
        let new = status::compute(&judged.pass(self.now), &self.stored);
        let Judged { plan, pruned, written, .. } = judged;
        let mut notices = event::of_writes(&written);
        notices.extend(event::transitions(&self.stored, &new));
        self.stored = new;
        Passed { plan, asked, pruned, notices }
    }

    /// What server-side apply does, as far as sets need it: the manager's fields are those of the document, and the
    /// fields of others stay.
    fn apply(&mut self, document: &Value) -> String {
        let name = document["metadata"]["name"].as_str().unwrap();
        let mut object = match self.cluster.remove(name) {
            Some(object) => {
                assert_eq!(document["metadata"]["uid"], object["metadata"]["uid"], "{name} was not known");
                object
            }
            None => {
                assert!(document["metadata"].get("uid").is_none());
                self.made += 1;
                json!({ "metadata": { "uid": format!("u-{}", self.made), "resourceVersion": "1" }, "spec": {} })
            }
        };
        let before = object.pointer_mut("/metadata/managedFields/0/fieldsV1").map(Value::take).unwrap_or_default();
        remove(&mut object, &before);
        merge(&mut object, document);
        let managed = managed(document);
        object["metadata"]["managedFields"] =
            json!([{ "manager": SETS_FIELD_MANAGER, "operation": "Apply", "fieldsV1": managed }]);
        let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
        self.cluster.insert(name.to_owned(), object);
        uid
    }

    /// Each condition as `Type=Status Reason`.
    pub fn conditions(&self) -> Vec<String> {
        let conditions = self.stored.conditions.iter();
        conditions.map(|found| format!("{}={} {}", found.type_, found.status, found.reason)).collect()
    }

    pub fn message(&self, type_: &str) -> String {
        condition::find(&self.stored.conditions, type_).unwrap().message.clone()
    }

    pub fn why(passed: &Passed) -> Option<Held> {
        passed.pruned.why
    }
}

/// The document's fields in the API server's notation.
pub fn managed(document: &Value) -> Value {
    let mut fields = json!({});
    let unowned = ["apiVersion", "kind", "name", "uid"];
    for (name, value) in document.as_object().into_iter().flatten().filter(|(name, _)| !unowned.contains(&&***name)) {
        fields[format!("f:{name}")] = match value {
            Value::Object(_) => managed(value),
            Value::Array(owners) if name == "ownerReferences" => {
                let keys = owners.iter().map(|owner| (format!("k:{}", json!({ "uid": owner["uid"] })), json!({})));
                Value::Object(keys.collect())
            }
            Value::Array(hosts) if name == "ignoreHosts" => {
                Value::Object(hosts.iter().map(|host| (format!("v:{host}"), json!({}))).collect())
            }
            _ => json!({}),
        };
    }
    fields
}

fn remove(object: &mut Value, owned: &Value) {
    for (path, inner) in owned.as_object().into_iter().flatten() {
        let Some(name) = path.strip_prefix("f:") else { continue };
        if inner.as_object().is_some_and(|inner| inner.keys().any(|path| path.starts_with("f:"))) {
            remove(&mut object[name], inner);
        } else if let Some(fields) = object.as_object_mut() {
            fields.remove(name);
        }
    }
}

fn merge(object: &mut Value, document: &Value) {
    match (object.as_object_mut(), document) {
        (Some(object), Value::Object(document)) => {
            for (name, value) in document {
                merge(object.entry(name.clone()).or_insert(json!({})), value);
            }
        }
        _ => *object = document.clone(),
    }
    if !document.is_object() {
        *object = document.clone();
    }
}

/// What the status of a set is computed from. A row changes what it is about.
pub struct Judged {
    pub target: SetTarget,
    pub listed: Listed,
    pub plan: Plan,
    pub pruned: Pruned,
    pub written: Written,
    pub recounts: u32,
}

impl Judged {
    /// A whole list, and nothing to write.
    pub fn of(world: &World) -> Self {
        Self {
            target: world.target(),
            listed: Listed::Yes { whole: true },
            plan: Plan::default(),
            pruned: Pruned::default(),
            written: Written::default(),
            recounts: 0,
        }
    }

    pub const fn pass(&self, now: Timestamp) -> SetPass<'_> {
        let Self { target, listed, plan, pruned, written, recounts } = self;
        SetPass { target, listed, plan, pruned, written, waited: false, handled: None, recounts: *recounts, now }
    }
}
