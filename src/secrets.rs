//! The clouds.yaml Secrets, read by `get` alone: the operator needs no right to list Secrets.

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

use crate::{
    cloud::{CloudConfig, ConfigError, aside::aside},
    failure::{self, SecretError},
    object::{Members, members, metadata, value},
    observation::Failure,
    target::Target,
};

/// How old a Secret's content may be when it is used.
const FRESH: Duration = Duration::from_secs(30);

/// The same where each change is told by a watch.
const FRESH_IF_WATCHED: Duration = Duration::from_secs(600);

/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The reason that kube gives an error whose body is no Status.
const NO_STATUS: &str = "Failed to parse error data";

type Key = (String, String);
/// An entry's name, and the region that overrides its own.
type Entry = (String, Option<String>);

/// How many entries of a Secret are kept. Each has a copy of the Secret's `cacert`.
const MOST_ENTRIES: usize = 16;

/// How long a long clouds.yaml may be read, and how long that may wait for other texts.
const READING: Duration = Duration::from_secs(10);

/// The entries of a Secret that were read last, the least recently used first.
#[derive(Debug, Default)]
struct Entries(Vec<(Entry, Result<Arc<CloudConfig>, Failure>)>);

impl Entries {
    fn get(&mut self, entry: &Entry) -> Option<Result<Arc<CloudConfig>, Failure>> {
        let at = self.0.iter().position(|(known, _)| known == entry)?;
        self.0[at..].rotate_left(1);
        self.0.last().map(|(_, config)| config.clone())
    }

    fn keep(&mut self, entry: Entry, config: Result<Arc<CloudConfig>, Failure>) {
        self.0.retain(|(known, _)| *known != entry);
        if self.0.len() >= MOST_ENTRIES {
            drop(self.0.remove(0));
        }
        self.0.push((entry, config));
    }
}

#[derive(Debug)]
struct Content {
    read_at: Instant,
    /// It is read again at its next use.
    expired: bool,
    resource_version: Option<String>,
    texts: Arc<Texts>,
    entries: Entries,
}

/// What of a Secret is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// The key `clouds.yaml`.
    pub clouds: crate::cloud::Secret,
    /// The key `cacert`.
    pub cacert: Option<String>,
}

/// Secrets as last read, and the entries that were read out of them.
pub struct Secrets {
    client: Client,
    /// Watches on Secrets that do not tell of changes at the moment; `None` where nobody watches.
    silent_watches: Option<AtomicUsize>,
    /// Moves with each change that is told, so that a reading that was under way is not taken for newer.
    changes: AtomicU64,
    read: Mutex<HashMap<Key, Content>>,
}

impl Secrets {
    /// None read yet. So many watches will tell by [`Self::expire`] which ones have changed, once they
    /// [are listening](Self::listens).
    #[must_use]
    pub fn new(client: Client, watches: usize) -> Self {
        let silent_watches = (watches > 0).then(|| AtomicUsize::new(watches));
        Self { client, silent_watches, changes: AtomicU64::new(0), read: Mutex::default() }
    }

    /// One more watch tells of changes, or one fewer.
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
        let told = self.silent_watches.as_ref().is_some_and(|silent| silent.load(Ordering::SeqCst) == 0);
        if told { FRESH_IF_WATCHED } else { FRESH }
    }

    /// An entry of the tenant's clouds.yaml, under the tenant's region.
    ///
    /// # Errors
    /// What the tenant is told where the Secret or the entry cannot be had.
    pub async fn config(
        &self,
        namespace: &str,
        target: &Target,
        cloud_name: &str,
    ) -> Result<Arc<CloudConfig>, Failure> {
        let key = (namespace.to_owned(), target.secret_name.clone());
        let within = self.fresh();
        let fresh = self.lock().get(&key).is_some_and(|content| content.read_at.elapsed() < within && !content.expired);
        if !fresh {
            let changes = self.changes.load(Ordering::SeqCst);
            let found = tokio::time::timeout(DEADLINE, get(&self.client, namespace, &target.secret_name)).await;
            let secret = found.unwrap_or(Err(SecretError::Unavailable));
            let changed = || self.changes.load(Ordering::SeqCst) != changes;
            let mut read = self.lock();
            match secret {
                Ok(secret) => {
                    let version = secret.resource_version.clone();
                    let same =
                        read.get_mut(&key).filter(|before| version.is_some() && before.resource_version == version);
                    if let Some(before) = same {
                        (before.read_at, before.expired) = (Instant::now(), changed());
                    } else {
                        // What it was before is gone, also where it cannot be used any more.
                        read.remove(&key);
                        let mut content = content(&key.1, secret).map_err(|error| failure::of_secret(&error))?;
                        content.expired = changed();
                        read.insert(key.clone(), content);
                    }
                }
                // What was read before still serves while the API server is away.
                Err(SecretError::Unavailable) if read.contains_key(&key) => {}
                Err(error) => {
                    read.remove(&key);
                    return Err(failure::of_secret(&error));
                }
            }
        }
        let entry = (cloud_name.to_owned(), target.region.clone());
        let texts = match self.lock().get_mut(&key) {
            None => return Err(failure::of_secret(&SecretError::Unavailable)),
            Some(content) => match content.entries.get(&entry) {
                Some(config) => return config,
                None => content.texts.clone(),
            },
        };
        // Without the lock: other tenants' Secrets are not to wait for this one.
        let config = parse(texts.clone(), entry.clone()).await?;
        if let Some(content) = self.lock().get_mut(&key).filter(|content| Arc::ptr_eq(&content.texts, &texts)) {
            content.entries.keep(entry, config.clone());
        }
        config
    }

    /// Has the Secret read again at its next use.
    pub fn expire(&self, namespace: &str, name: &str) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        if let Some(content) = self.lock().get_mut(&(namespace.to_owned(), name.to_owned())) {
            content.expired = true;
        }
    }

    /// The resource version under which a Secret was read last; `None` if it has not been read.
    #[must_use]
    pub fn known(&self, namespace: &str, name: &str) -> Option<Option<String>> {
        let read = self.lock();
        read.get(&(namespace.to_owned(), name.to_owned())).map(|content| content.resource_version.clone())
    }

    /// Has all Secrets read again at their next use.
    pub fn expire_all(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.lock().values_mut().for_each(|content| content.expired = true);
    }

    /// Forgets all Secrets but those that a CloudTenant names, by namespace and name.
    pub fn retain(&self, named: &HashSet<(String, String)>) {
        self.lock().retain(|key, _| named.contains(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Content>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn content(name: &str, secret: Found) -> Result<Content, SecretError> {
    let Found { resource_version, texts } = secret;
    let texts = Arc::new(texts.ok_or_else(|| SecretError::KeyMissing { secret: name.to_owned() })?);
    Ok(Content { read_at: Instant::now(), expired: false, resource_version, texts, entries: Entries::default() })
}

/// Reads an entry, a long text on a thread of its own. The outer error is not kept: it is of this moment.
async fn parse(texts: Arc<Texts>, (cloud, region): Entry) -> Result<Result<Arc<CloudConfig>, Failure>, Failure> {
    let length = texts.clouds.expose().len() + texts.cacert.as_ref().map_or(0, String::len);
    let read = move || CloudConfig::parse(texts.clouds.expose(), &cloud, texts.cacert.as_deref(), region.as_deref());
    let late = |_| {
        let problem =
            "took too long to read: make the Secret shorter, or wait until the operator has less to do".into();
        failure::of_config(&ConfigError::Invalid { field: "clouds.yaml".into(), problem })
    };
    let config = aside(length, tokio::time::Instant::now() + READING, read).await.map_err(late)?;
    Ok(config.map(Arc::new).map_err(|error| failure::of_config(&error)))
}

/// A Secret as the API server gave it out.
#[derive(Debug)]
pub struct Found {
    resource_version: Option<String>,
    /// `None` without a key `clouds.yaml` that is text.
    pub texts: Option<Texts>,
}

/// Reads a Secret. Nothing but its two keys and its resource version is read, and its text gets into no error and no
/// log: kube's own reading logs what it cannot read.
///
/// # Errors
/// The API server did not give it out.
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
    let texts = key(&data, "clouds.yaml").map(|clouds| Texts { clouds: clouds.into(), cacert: key(&data, "cacert") });
    Ok(Found { resource_version: metadata(&secret).0.resource_version, texts })
}

/// A key's text; `None` where the key is missing or is no text.
fn key(data: &Members<'_>, name: &str) -> Option<String> {
    value(data, name).and_then(|bytes: ByteString| String::from_utf8(bytes.0).ok())
}

/// Why the API server did not give out this Secret.
fn of_kube(name: &str, error: &kube::Error) -> SecretError {
    let secret = name.to_owned();
    match error {
        kube::Error::Api(status) if status.code == 404 => SecretError::NotFound { secret },
        kube::Error::Api(status) if status.code == 403 => SecretError::Denied { secret },
        error => {
            // kube makes a message of a body that is no Status, and what stands in that is not known.
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

    use axum::{Router, extract::State, routing::get};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::api::CloudTenantSpec;

    /// An API server that gives out one version of a Secret after the other, each when it is let.
    #[derive(Clone)]
    struct Server {
        asked: Arc<Semaphore>,
        let_through: Arc<Semaphore>,
    }

    async fn answer(State(server): State<Server>) -> String {
        server.asked.add_permits(1);
        server.let_through.acquire().await.unwrap().forget();
        let mut secret = Secret::default();
        secret.metadata.resource_version = Some("same".to_owned());
        let yaml = b"clouds: {openstack: {auth: {auth_url: 'http://k', username: u, password: p, user_domain_id: d}}}";
        secret.data = Some(BTreeMap::from([("clouds.yaml".to_owned(), ByteString(yaml.to_vec()))]));
        serde_json::to_string(&secret).unwrap()
    }

    fn target(secret: &str) -> Target {
        let spec = format!(r#"{{"projectID": "p", "cloudCredentialsRef": {{"secretName": "{secret}"}}}}"#);
        Target::new(&serde_json::from_str::<CloudTenantSpec>(&spec).unwrap()).unwrap()
    }

    /// Secrets with one watch, and the server that they are read from.
    async fn secrets() -> (Secrets, Server) {
        let server = Server { asked: Arc::new(Semaphore::new(0)), let_through: Arc::new(Semaphore::new(0)) };
        let app = Router::new().route("/api/v1/namespaces/n/secrets/{name}", get(answer)).with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        (Secrets::new(client, 1), server)
    }

    /// Each region of a CloudTenant is an entry of its own: 300 of them with a `cacert` of 900 KB stayed in memory.
    #[test]
    fn the_entries_that_were_used_last_are_kept() {
        let mut entries = Entries::default();
        let entry = |number: usize| ("c".to_owned(), Some(format!("region-{number}")));
        let failure = failure::of_secret(&SecretError::Unavailable);
        for number in 0..300 {
            entries.keep(entry(number), Err(failure.clone()));
            entries.keep(entry(number), Err(failure.clone()));
            assert!(entries.get(&entry(0)).is_some(), "in use: {number}");
            assert!(entries.0.len() <= MOST_ENTRIES);
        }
        let kept: Vec<_> =
            (0..300).filter(|number| entries.0.iter().any(|(known, _)| *known == entry(*number))).collect();
        assert_eq!(kept, std::iter::once(0).chain(300 - MOST_ENTRIES + 1..300).collect::<Vec<_>>());
        assert!(entries.get(&entry(1)).is_none());
    }

    /// A password of a Secret that no CloudTenant names any more has no place in memory.
    #[tokio::test]
    async fn what_no_cloudtenant_names_is_forgotten() {
        let (secrets, server) = secrets().await;
        server.let_through.add_permits(10);
        for name in ["kept", "dropped"] {
            assert!(secrets.config("n", &target(name), "openstack").await.is_ok(), "{name}");
        }
        let named = |names: &[(&str, &str)]| -> HashSet<Key> {
            names.iter().map(|(namespace, name)| ((*namespace).to_owned(), (*name).to_owned())).collect()
        };
        let known = |names: [&str; 2]| names.map(|name| secrets.known("n", name).is_some());
        secrets.retain(&named(&[("n", "kept"), ("n", "dropped"), ("n", "never read")]));
        assert_eq!(known(["kept", "dropped"]), [true, true]);
        secrets.retain(&named(&[("n", "kept"), ("other", "dropped")]));
        assert_eq!(known(["kept", "dropped"]), [true, false]);
    }

    #[tokio::test]
    async fn a_change_that_is_told_during_a_reading_is_not_lost() {
        let (secrets, server) = secrets().await;
        let target = target("s");
        secrets.listens(true);
        for name in ["the first reading", "one of what was known"] {
            let change = async {
                server.asked.acquire().await.unwrap().forget();
                secrets.expire("n", "s");
                server.let_through.add_permits(1);
            };
            let (read, ()) = tokio::join!(secrets.config("n", &target, "openstack"), change);
            assert!(read.is_ok(), "{name}: {read:?}");
        }
        let answer = async {
            server.asked.acquire().await.unwrap().forget();
            server.let_through.add_permits(1);
        };
        let (read, ()) = tokio::join!(secrets.config("n", &target, "openstack"), answer);
        assert!(read.is_ok(), "{read:?}");
        // Nobody has told of another change, so nobody is asked: it would wait for ever.
        assert!(secrets.config("n", &target, "openstack").await.is_ok());
    }
}
