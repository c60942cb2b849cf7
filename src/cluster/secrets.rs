//! The clouds.yaml Secrets. The operator reads them only with `get`, so it needs no right to list Secrets.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Client, Resource as _,
    api::{GetParams, Request},
};

use self::refusals::Refusals;
use crate::{
    budget::{Budget, OverBudget, Reservation},
    identity::TenantId,
    observation::ProbeFailure,
    openstack::{CloudConfig, ConfigError, aside::aside},
    probe::failure::{self, SecretError},
    target::Target,
    watched::object::{Members, members, metadata, value},
};

mod refusals;

/// Longest age of a Secret's content at its use.
const FRESH: Duration = Duration::from_secs(30);

/// The same while a watch reports each change.
const FRESH_IF_WATCHED: Duration = Duration::from_secs(600);

/// Longest wait for the API server.
const DEADLINE: Duration = Duration::from_secs(10);

/// The annotation that lists the only projects for which a user of the Secret may log in, separated by commas.
const PROJECTS: &str = "cloudtenant.dev/projects";

/// The reason that kube sets for an error whose body is no Status.
const NO_STATUS: &str = "Failed to parse error data";

type Key = (String, String);
/// An entry's name, and the region that overrides its own.
type EntryName = (String, Option<String>);

/// An entry of a clouds.yaml, and the object that names it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The object's UID.
    pub uid: &'a str,
    /// The object's namespace, which is the Secret's, too.
    pub namespace: &'a str,
    /// The Secret's name.
    pub secret_name: &'a str,
    /// The entry's name.
    pub cloud_name: &'a str,
    /// The region that overrides the entry's own.
    pub region: Option<&'a str>,
}

/// Number of entries kept per Secret.
const MOST_ENTRIES: usize = 16;

/// Longest time for reading a long clouds.yaml, including the wait for other texts.
const READING: Duration = Duration::from_secs(10);

/// The entries last read from a Secret, the least recently used first.
#[derive(Debug, Default)]
struct Entries(Vec<Read>);

#[derive(Debug)]
struct Read {
    entry: EntryName,
    config: Result<Arc<CloudConfig>, ProbeFailure>,
    _reservation: Reservation,
}

impl Entries {
    fn get(&mut self, entry: &EntryName) -> Option<Result<Arc<CloudConfig>, ProbeFailure>> {
        let at = self.0.iter().position(|known| known.entry == *entry)?;
        self.0[at..].rotate_left(1);
        self.0.last().map(|known| known.config.clone())
    }

    /// Keeps an entry on the namespace's budget. If the budget refuses it, the entry must not be used, because others
    /// would keep it.
    fn keep(
        &mut self,
        budget: &Budget,
        namespace: &str,
        entry: EntryName,
        config: Result<Arc<CloudConfig>, ProbeFailure>,
    ) -> Result<(), OverBudget> {
        self.0.retain(|known| known.entry != entry);
        if self.0.len() >= MOST_ENTRIES {
            drop(self.0.remove(0));
        }
        let read = config.as_ref().map_or_else(|failure| failure.message.len(), |config| config.kept_bytes());
        let bytes = size_of::<Read>() + entry.0.len() + entry.1.as_ref().map_or(0, String::len) + read;
        let reservation = budget.reserve(namespace, bytes)?;
        // Most Secrets have one entry in use, and there are at most 16.
        self.0.reserve_exact(1);
        self.0.push(Read { entry, config, _reservation: reservation });
        Ok(())
    }
}

#[derive(Debug)]
struct Content {
    read_at: Instant,
    /// The operator reads the Secret again at its next use.
    expired: bool,
    resource_version: Option<String>,
    texts: Arc<Texts>,
    entries: Entries,
    _reservation: Reservation,
}

/// The parts of a Secret that the operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// The key `clouds.yaml`.
    pub clouds: crate::openstack::Secret,
    /// The key `cacert`.
    pub cacert: Option<Arc<str>>,
    /// The annotation `cloudtenant.dev/projects`.
    pub projects: Option<String>,
}

impl Texts {
    fn len(&self) -> usize {
        let projects = self.projects.as_ref().map_or(0, String::len);
        self.clouds.expose().len() + self.cacert.as_ref().map_or(0, |text| text.len()) + projects
    }

    /// Checks that the Secret is for the tenant's project, if its user logs in for that project.
    ///
    /// # Errors
    /// The Secret has an annotation that does not list the project.
    pub fn admit(&self, target: &Target) -> Result<(), ProbeFailure> {
        let lists = |projects: &String| projects.split(',').any(|project| project.trim() == target.project_id);
        if !target.logs_in_for_project() || self.projects.as_ref().is_none_or(lists) {
            return Ok(());
        }
        Err(failure::of_secret(&SecretError::ProjectNotListed { secret: target.secret_name.clone() }))
    }
}

/// The Secrets that were read, and their users.
#[derive(Debug, Default)]
struct Kept {
    /// Boxed, since a table has free places.
    read: HashMap<Arc<Key>, Box<Content>>,
    refusals: Refusals,
    /// The Secret that each CloudTenant or CloudTenantSet uses, by UID.
    users: HashMap<String, Arc<Key>>,
}

impl Kept {
    /// Records that an object uses this Secret. The previous one is dropped at once, unless another object uses it.
    /// All users share the key that is returned.
    fn is_used_by(&mut self, uid: &str, key: Key) -> Arc<Key> {
        if let Some(known) = self.users.get(uid).filter(|known| ***known == key) {
            return known.clone();
        }
        let known = self.read.get_key_value(&key).map(|(known, _)| known.clone());
        let key = known.unwrap_or_else(|| Arc::new(key));
        let before = self.users.insert(uid.to_owned(), key.clone());
        if let Some(before) = before.filter(|before| !self.users.values().any(|used| used == before)) {
            self.read.remove(&before);
            self.refusals.forget(&before);
        }
        key
    }

    fn retain(&mut self, names: impl Fn(&str, &Key) -> bool) {
        self.users.retain(|uid, key| names(uid, key));
        let used: HashSet<&Key> = self.users.values().map(|key| &**key).collect();
        self.read.retain(|key, _| used.contains(&**key));
        self.refusals.retain(&used);
    }
}

/// The last read Secrets and the entries parsed from them.
pub struct Secrets {
    client: Client,
    /// Number of watches on Secrets that do not work at the moment. `None` without watches.
    silent_watches: Option<AtomicUsize>,
    /// Changes with each reported change, so that a read that was under way does not count as newer.
    changes: AtomicU64,
    kept: Mutex<Kept>,
    budget: Budget,
}

impl Secrets {
    /// Creates an empty store. Each watch reports changed Secrets with [`Self::expire`] once it [works](Self::listens).
    #[must_use]
    pub fn new(client: Client, watches: usize, budget: Budget) -> Self {
        let silent_watches = (watches > 0).then(|| AtomicUsize::new(watches));
        Self { client, silent_watches, changes: AtomicU64::new(0), kept: Mutex::default(), budget }
    }

    /// Records that one more watch works, or one fewer.
    pub fn listens(&self, listens: bool) {
        if let Some(silent) = &self.silent_watches {
            if listens {
                silent.fetch_sub(1, Ordering::SeqCst);
            } else {
                silent.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn fresh(&self) -> Duration {
        let all_work = self.silent_watches.as_ref().is_some_and(|silent| silent.load(Ordering::SeqCst) == 0);
        if all_work { FRESH_IF_WATCHED } else { FRESH }
    }

    /// Returns an entry of the tenant's clouds.yaml, with the tenant's region.
    ///
    /// # Errors
    /// The failure for the tenant if the Secret or the entry is unavailable.
    pub async fn config(
        &self,
        id: &TenantId,
        target: &Target,
        cloud_name: &str,
    ) -> Result<Arc<CloudConfig>, ProbeFailure> {
        let named = Named {
            uid: &id.uid,
            namespace: &id.name.namespace,
            secret_name: &target.secret_name,
            cloud_name,
            region: target.region.as_deref(),
        };
        self.entry(named, |texts| texts.admit(target)).await
    }

    /// Returns an entry of a clouds.yaml if `admit` allows the use of its Secret.
    ///
    /// # Errors
    /// The failure for the object if the Secret or the entry is unavailable, and that of `admit`.
    pub async fn entry(
        &self,
        named: Named<'_>,
        admit: impl FnOnce(&Texts) -> Result<(), ProbeFailure>,
    ) -> Result<Arc<CloudConfig>, ProbeFailure> {
        let Named { uid, namespace, secret_name, cloud_name, region } = named;
        let key = (namespace.to_owned(), secret_name.to_owned());
        let within = self.fresh();
        let (key, fresh) = {
            let mut kept = self.lock();
            let key = kept.is_used_by(uid, key);
            let read = kept.read.get(&key);
            let fresh = read.is_some_and(|content| content.read_at.elapsed() < within && !content.expired);
            (key, fresh)
        };
        if !fresh {
            let changes = self.changes.load(Ordering::SeqCst);
            let found = tokio::time::timeout(DEADLINE, get(&self.client, namespace, secret_name)).await;
            let secret = found.unwrap_or(Err(SecretError::Unavailable));
            let changed = || self.changes.load(Ordering::SeqCst) != changes;
            let kept = &mut *self.lock();
            let read = &mut kept.read;
            match kept.refusals.judge(&key, secret, Instant::now()) {
                Ok(secret) => {
                    let version = secret.resource_version.clone();
                    let same =
                        read.get_mut(&key).filter(|before| version.is_some() && before.resource_version == version);
                    if let Some(before) = same {
                        (before.read_at, before.expired) = (Instant::now(), changed());
                    } else {
                        // Drop the old content even if the new one is unusable.
                        read.remove(&key);
                        let mut content = content(&self.budget, &key, secret)?;
                        content.expired = changed();
                        read.insert(key.clone(), Box::new(content));
                    }
                }
                // The old content stays usable while the API server is unavailable, and while it may have just started.
                Err(SecretError::Unavailable) if read.contains_key(&key) => {}
                Err(error) => {
                    read.remove(&key);
                    return Err(failure::of_secret(&error));
                }
            }
        }
        let entry = (cloud_name.to_owned(), region.map(str::to_owned));
        let texts = match self.lock().read.get_mut(&key) {
            None => return Err(failure::of_secret(&SecretError::Unavailable)),
            Some(content) => {
                admit(&content.texts)?;
                match content.entries.get(&entry) {
                    Some(config) => return config,
                    None => content.texts.clone(),
                }
            }
        };
        // Parse without the lock, so that other tenants' Secrets need not wait.
        let config = parse(texts.clone(), entry.clone()).await?;
        if let Some(content) = self.lock().read.get_mut(&key).filter(|content| Arc::ptr_eq(&content.texts, &texts)) {
            let kept = content.entries.keep(&self.budget, namespace, entry, config.clone());
            kept.map_err(|over| failure::of_budget(&over))?;
        }
        config
    }

    /// Makes the next use of the Secret read it again.
    pub fn expire(&self, namespace: &str, name: &str) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        if let Some(content) = self.lock().read.get_mut(&(namespace.to_owned(), name.to_owned())) {
            content.expired = true;
        }
    }

    /// Returns the resource version of the last read Secret. `None` if it has not been read.
    #[must_use]
    pub fn known(&self, namespace: &str, name: &str) -> Option<Option<String>> {
        let kept = self.lock();
        kept.read.get(&(namespace.to_owned(), name.to_owned())).map(|content| content.resource_version.clone())
    }

    /// Makes the next use of every Secret read it again.
    pub fn expire_all(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.lock().read.values_mut().for_each(|content| content.expired = true);
    }

    /// Drops the Secrets that no CloudTenant names any more. `names` says whether the one with this UID names the Secret
    /// with this namespace and name; a suspended or invalid CloudTenant does not read it, so only its spec can tell.
    pub fn retain(&self, names: impl Fn(&str, &(String, String)) -> bool) {
        self.lock().retain(names);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn content(budget: &Budget, (namespace, name): &Key, secret: Found) -> Result<Content, ProbeFailure> {
    let Found { resource_version, texts } = secret;
    let missing = || failure::of_secret(&SecretError::KeyMissing { secret: name.clone() });
    let texts = texts.ok_or_else(missing)?;
    let bytes =
        size_of::<Key>() + size_of::<Content>() + size_of::<Texts>() + namespace.len() + name.len() + texts.len();
    let reservation = budget.reserve(namespace, bytes).map_err(|over| failure::of_budget(&over))?;
    Ok(Content {
        read_at: Instant::now(),
        expired: false,
        resource_version,
        texts: Arc::new(texts),
        entries: Entries::default(),
        _reservation: reservation,
    })
}

/// Parses an entry, a long text on a separate thread. The caller must not keep the outer error, which is temporary.
async fn parse(
    texts: Arc<Texts>,
    (cloud, region): EntryName,
) -> Result<Result<Arc<CloudConfig>, ProbeFailure>, ProbeFailure> {
    let length = texts.len();
    let read = move || {
        let config = CloudConfig::parse(texts.clouds.expose(), &cloud, texts.cacert.as_deref(), region.as_deref());
        config.map(|config| config.sharing(texts.cacert.as_ref()))
    };
    let late = |_| {
        let problem =
            "took too long to read: make the Secret shorter, or wait until the operator has less to do".into();
        failure::of_config(&ConfigError::Invalid { field: "clouds.yaml".into(), problem })
    };
    let config = aside(length, tokio::time::Instant::now() + READING, read).await.map_err(late)?;
    Ok(config.map(Arc::new).map_err(|error| failure::of_config(&error)))
}

/// A Secret as the API server returned it.
#[derive(Debug)]
pub struct Found {
    resource_version: Option<String>,
    /// `None` if there is no key `clouds.yaml` that is text.
    pub texts: Option<Texts>,
}

/// Reads a Secret: only its two keys, one annotation and its resource version. No error and no log contains its text. kube's own
/// deserialization would log an unreadable body.
///
/// # Errors
/// The API server did not return the Secret.
pub async fn get(client: &Client, namespace: &str, name: &str) -> Result<Found, SecretError> {
    let request = Request::new(Secret::url_path(&(), Some(namespace))).get(name, &GetParams::default());
    let text = match request {
        Ok(request) => client.request_text(request).await,
        Err(error) => Err(kube::Error::BuildRequest(error)),
    };
    let text = text.map_err(|error| of_kube(name, &error))?;
    let secret = members(&text);
    if secret.is_empty() {
        tracing::warn!(secret = name, "the API server's answer for a Secret is no object");
        return Err(SecretError::Unavailable);
    }
    let data = secret.get("data").map(|data| members(data.get())).unwrap_or_default();
    let cacert = || key(&data, "cacert").map(Into::into);
    let texts = key(&data, "clouds.yaml").map(|clouds| {
        let (clouds, projects) = (clouds.into(), annotation(&secret, PROJECTS));
        Texts { clouds, cacert: cacert(), projects }
    });
    Ok(Found { resource_version: metadata(&secret).0.resource_version, texts })
}

/// Returns an annotation's text. An unreadable one counts as empty.
fn annotation(object: &Members<'_>, name: &str) -> Option<String> {
    let metadata = object.get("metadata").map(|text| members(text.get())).unwrap_or_default();
    let annotations = metadata.get("annotations").map(|text| members(text.get())).unwrap_or_default();
    annotations.get(name).map(|text| serde_json::from_str(text.get()).unwrap_or_default())
}

/// Returns a key's text. `None` if the key is missing or is not text.
fn key(data: &Members<'_>, name: &str) -> Option<String> {
    value(data, name).and_then(|bytes: ByteString| String::from_utf8(bytes.0).ok())
}

/// Maps the API server's error to the reason why the Secret is unavailable.
fn of_kube(name: &str, error: &kube::Error) -> SecretError {
    let secret = name.to_owned();
    match error {
        kube::Error::Api(status) if status.code == 404 => SecretError::NotFound { secret },
        kube::Error::Api(status) if status.code == 403 => SecretError::Denied { secret },
        error => {
            // kube makes a message of a body that is no Status, and that body may contain anything.
            let is_body = matches!(error, kube::Error::Api(status) if status.reason == NO_STATUS);
            let error = if is_body { "an error without a Status".to_owned() } else { error.to_string() };
            tracing::warn!(error, secret, "Secret could not be read");
            SecretError::Unavailable
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::{
        Router,
        extract::{Path, State},
        routing::get,
    };
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{api::CloudTenantSpec, budget::Limits, identity::TenantName};

    fn tenant(namespace: &str, uid: &str) -> TenantId {
        let name = TenantName { namespace: namespace.to_owned(), name: "t".to_owned() };
        TenantId { uid: uid.to_owned(), generation: 1, name }
    }

    /// Each line: the Secret's metadata, the scope, and whether the tenant may use the Secret for the project `p`.
    #[test]
    fn an_annotation_limits_the_projects() {
        let annotated =
            |value: &str| format!(r#"{{"annotations": {{"other": 5, "cloudtenant.dev/projects": {value}}}}}"#);
        for (metadata, scope, admitted) in [
            ("{}".to_owned(), "ObservedProject", true),
            (r#"{"annotations": null}"#.to_owned(), "ObservedProject", true),
            (annotated(r#""p""#), "ObservedProject", true),
            (annotated(r#""a, p ,b""#), "ObservedProject", true),
            (annotated(r#""a,pp,P""#), "ObservedProject", false),
            (annotated(r#""""#), "ObservedProject", false),
            (annotated("[]"), "ObservedProject", false),
            (annotated(r#""a""#), "Entry", true),
        ] {
            let secret = format!(r#"{{"metadata": {metadata}}}"#);
            let projects = annotation(&members(&secret), PROJECTS);
            let texts = Texts { clouds: String::new().into(), cacert: None, projects };
            let spec = serde_json::json!({
                "projectID": "p", "cloudCredentialsRef": { "secretName": "s", "scope": scope }
            });
            let target = Target::new(&serde_json::from_value(spec).unwrap()).unwrap();
            let reason = texts.admit(&target).err().map(|failure| failure.reason);
            assert_eq!(reason, (!admitted).then_some(crate::api::Reason::Forbidden), "{metadata} {scope}");
        }
    }

    /// An API server that answers each request for a Secret once the test permits it.
    #[derive(Clone)]
    struct Server {
        requested: Arc<Semaphore>,
        let_through: Arc<Semaphore>,
    }

    async fn answer(State(server): State<Server>) -> String {
        server.requested.add_permits(1);
        server.let_through.acquire().await.unwrap().forget();
        let mut secret = Secret::default();
        secret.metadata.resource_version = Some("same".to_owned());
        let yaml = b"clouds: {openstack: {auth: {auth_url: 'http://k', username: u, password: p, user_domain_id: d}}}";
        secret.data = Some(BTreeMap::from([("clouds.yaml".to_owned(), ByteString(yaml.to_vec()))]));
        serde_json::to_string(&secret).unwrap()
    }

    /// Each region of a CloudTenant is an entry of its own. In the past, 300 of them with a `cacert` of 900 KB stayed
    /// in memory.
    #[test]
    fn the_entries_that_were_used_last_are_kept() {
        let mut entries = Entries::default();
        let entry = |number: usize| ("c".to_owned(), Some(format!("region-{number}")));
        let failure = failure::of_secret(&SecretError::Unavailable);
        let budget = Budget::default();
        for number in 0..300 {
            for _ in 0..2 {
                assert!(entries.keep(&budget, "n", entry(number), Err(failure.clone())).is_ok());
            }
            assert!(entries.get(&entry(0)).is_some(), "in use: {number}");
            assert!(entries.0.len() <= MOST_ENTRIES);
        }
        let kept: Vec<_> =
            (0..300).filter(|number| entries.0.iter().any(|known| known.entry == entry(*number))).collect();
        assert_eq!(kept, std::iter::once(0).chain(300 - MOST_ENTRIES + 1..300).collect::<Vec<_>>());
        assert!(entries.get(&entry(1)).is_none());
    }

    #[tokio::test]
    async fn a_change_during_a_read_is_not_lost() {
        let server = Server { requested: Arc::new(Semaphore::new(0)), let_through: Arc::new(Semaphore::new(0)) };
        let app = Router::new().route("/api/v1/namespaces/n/secrets/s", get(answer)).with_state(server.clone());
        let client = testkit::router::kube_client(app).await.unwrap();
        let spec = r#"{"projectID": "p", "cloudCredentialsRef": {"secretName": "s"}}"#;
        let target = Target::new(&serde_json::from_str::<CloudTenantSpec>(spec).unwrap()).unwrap();
        let secrets = Secrets::new(client, 1, Budget::default());
        let id = tenant("n", "uid");
        secrets.listens(true);
        for name in ["the first reading", "one of what was known"] {
            let change = async {
                server.requested.acquire().await.unwrap().forget();
                secrets.expire("n", "s");
                server.let_through.add_permits(1);
            };
            let (read, ()) = tokio::join!(secrets.config(&id, &target, "openstack"), change);
            assert!(read.is_ok(), "{name}: {read:?}");
        }
        let answer = async {
            server.requested.acquire().await.unwrap().forget();
            server.let_through.add_permits(1);
        };
        let (read, ()) = tokio::join!(secrets.config(&id, &target, "openstack"), answer);
        assert!(read.is_ok(), "{read:?}");
        // No change was reported, so there must be no request, which would wait forever.
        assert!(secrets.config(&id, &target, "openstack").await.is_ok());
    }

    /// An API server that has every requested Secret, with an ordinary clouds.yaml for its name and this `cacert`.
    async fn server_of_all(cacert: Option<String>) -> Client {
        let answer = move |Path((_, name)): Path<(String, String)>| {
            let yaml = format!(
                "clouds:\n  openstack:\n    auth:\n      auth_url: https://keystone.cloud.example:5000/v3\n      \
                 application_credential_id: 21dced0fd20347869b93710d2b98aae0\n      application_credential_secret: \
                 {name}-rEaqvJka48mpv5Jmd0jL1cZ2Jk6hXyT\n    auth_type: v3applicationcredential\n    region_name: \
                 RegionOne\n    interface: public\n"
            );
            let texts = [("clouds.yaml", Some(yaml)), ("cacert", cacert.clone())];
            let data = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), ByteString(text?.into()))));
            let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
            secret.metadata.resource_version = Some("1".to_owned());
            async move { serde_json::to_string(&secret).unwrap() }
        };
        let app = Router::new().route("/api/v1/namespaces/{namespace}/secrets/{name}", get(answer));
        testkit::router::kube_client(app).await.unwrap()
    }

    fn target(secret: &str) -> Target {
        let spec = format!(r#"{{"projectID": "p", "cloudCredentialsRef": {{"secretName": "{secret}"}}}}"#);
        Target::new(&serde_json::from_str::<CloudTenantSpec>(&spec).unwrap()).unwrap()
    }

    fn certificates(bytes: usize) -> String {
        let pem = testkit::certificates::Authority::root("kept").unwrap().pem;
        pem.repeat(bytes / pem.len())
    }

    /// Each line: whether the operator has read the Secret before, and whether the refusals have lasted | the reason, and
    /// whether it is transient.
    #[tokio::test]
    async fn a_starting_api_server_that_forbids_everything_changes_nothing() {
        use crate::api::Reason;
        for (known, lasted, said) in [
            (true, false, None),
            (true, true, Some((Reason::Forbidden, false))),
            (false, false, Some((Reason::ConnectionFailed, true))),
            (false, true, Some((Reason::Forbidden, false))),
        ] {
            let forbids = Arc::new(std::sync::atomic::AtomicBool::new(!known));
            let refuses = forbids.clone();
            let app = Router::new().fallback(async move || {
                let clouds = ByteString(b"clouds: {openstack: {auth: {auth_url: 'http://k', token: t}}}".to_vec());
                let data = BTreeMap::from([("clouds.yaml".to_owned(), clouds)]);
                let secret = Secret { data: Some(data), ..Secret::default() };
                let refusal = r#"{"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}"#;
                if refuses.load(Ordering::SeqCst) {
                    (axum::http::StatusCode::FORBIDDEN, refusal.to_owned())
                } else {
                    (axum::http::StatusCode::OK, serde_json::to_string(&secret).unwrap())
                }
            });
            let client = testkit::router::kube_client(app).await.unwrap();
            let secrets = Secrets::new(client, 0, Budget::default());
            let (id, target, key) = (tenant("n", "uid"), target("s"), ("n".to_owned(), "s".to_owned()));
            let name = format!("known {known}, lasted {lasted}");
            if known {
                assert!(secrets.config(&id, &target, "openstack").await.is_ok(), "{name}");
            }
            forbids.store(true, Ordering::SeqCst);
            secrets.expire_all();
            if lasted {
                let denied = Err::<(), _>(SecretError::Denied { secret: "s".to_owned() });
                let began = Instant::now().checked_sub(crate::cluster::doubt::DOUBTED).unwrap();
                assert!(secrets.lock().refusals.judge(&key, denied, began).is_err());
            }
            let read = secrets.config(&id, &target, "openstack").await;
            assert_eq!(read.err().map(|failure| (failure.reason, failure.transient)), said, "{name}");
            forbids.store(false, Ordering::SeqCst);
            assert!(secrets.config(&id, &target, "openstack").await.is_ok(), "{name}, the right is there again");
        }
    }

    /// A CloudTenant whose `secretName` changed repeatedly kept all of these Secrets for a day in the past.
    #[tokio::test]
    async fn a_secret_is_kept_while_a_cloud_tenant_uses_it() {
        let budget = Budget::default();
        let secrets = Secrets::new(server_of_all(Some(certificates(100 << 10))).await, 0, budget.clone());
        let one = tenant("n", "one");
        let mut most = 0;
        for number in 0..50 {
            secrets.config(&one, &target(&format!("s{number}")), "openstack").await.unwrap();
            assert_eq!(secrets.lock().read.len(), 1);
            most = most.max(budget.used().all);
        }
        assert!((100 << 10..120 << 10).contains(&most), "{most}");
        let other = tenant("n", "other");
        secrets.config(&other, &target("s49"), "openstack").await.unwrap();
        secrets.config(&one, &target("s1"), "openstack").await.unwrap();
        assert_eq!(secrets.lock().read.len(), 2, "another one uses it");
        secrets.retain(|uid, _| uid == "one");
        assert_eq!(secrets.lock().read.keys().map(|key| key.1.as_str()).collect::<Vec<_>>(), ["s1"]);
        let names = |name: &'static str| move |_: &str, (_, named): &(String, String)| named == name;
        secrets.retain(names("s1"));
        assert_eq!(secrets.lock().read.len(), 1);
        secrets.retain(names("the spec names another one, and is suspended"));
        assert_eq!(budget.used().all, 0);
    }

    /// Each region is an entry. All entries of a Secret share its `cacert`.
    #[tokio::test]
    async fn regions_of_one_secret_share_its_certificates() {
        let budget = Budget::default();
        let secrets = Secrets::new(server_of_all(Some(certificates(400 << 10))).await, 0, budget.clone());
        for number in 0..40 {
            let target = Target { region: Some(format!("region-{number}")), ..target("s") };
            let config = secrets.config(&tenant("n", "uid"), &target, "openstack").await.unwrap();
            assert!(config.cacert_bytes() > 390 << 10);
            let texts = secrets.lock().read.values().next().unwrap().texts.clone();
            assert!(Arc::strong_count(texts.cacert.as_ref().unwrap()) > 1, "no copy");
        }
        assert!(budget.used().all < 450 << 10, "{:?}", budget.used());
    }

    #[tokio::test]
    async fn a_namespace_over_its_budget_is_refused_only_the_next_secret() {
        let budget = Budget::new(Limits { namespace: 1 << 20, all: 2 << 20 });
        let secrets = Secrets::new(server_of_all(Some(certificates(100 << 10))).await, 0, budget.clone());
        let read = async |namespace: &str, number: usize| {
            let (id, target) = (tenant(namespace, &format!("{namespace}{number}")), target(&format!("s{number}")));
            secrets.config(&id, &target, "openstack").await.map(drop)
        };
        let mut refused = None;
        for number in 0..20 {
            if let Err(failure) = read("greedy", number).await {
                refused.get_or_insert((number, failure));
            }
            assert!(budget.used().largest <= 1 << 20);
        }
        let (number, failure) = refused.unwrap();
        assert!((8..=10).contains(&number), "{number}");
        assert_eq!((failure.reason, failure.transient), (crate::api::Reason::InvalidCloudConfig, false));
        assert_eq!(read("greedy", 0).await, Ok(()), "what is kept stays in use");
        assert_eq!(read("other", 0).await, Ok(()), "nobody else notices");
        secrets.retain(|uid, _| uid != "greedy0");
        assert_eq!(read("greedy", 19).await, Ok(()), "where one goes, another one may come");
    }

    /// The other part of a credential's size is its session: tests/kept.
    #[tokio::test]
    async fn an_ordinary_secret_needs_little_of_the_budget() {
        let budget = Budget::default();
        let secrets = Secrets::new(server_of_all(None).await, 0, budget.clone());
        for number in 0..50 {
            let (id, target) = (tenant("n", &number.to_string()), target(&format!("s{number}")));
            secrets.config(&id, &target, "openstack").await.unwrap();
        }
        let each = budget.used().all / 50;
        assert!(each * 10_000 < Limits::default().namespace / 4, "{each} bytes");
    }
}
