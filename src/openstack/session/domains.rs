//! The names of domains, as far as Keystone discloses them to the user.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::time::timeout;

use super::Session;
use crate::{
    openstack::{
        Answer, Failure, Service,
        rows::{List, Odd, Rows},
    },
    words::{whole_word, word},
};

/// How long an answer stays valid, also the one that the user may not read the domain.
const HOUR: Duration = Duration::from_secs(3600);

/// The maximum number of domains that a session remembers. The others have no name.
const MOST_DOMAINS: usize = 100;

/// The maximum number of domains that are queried one by one for one listing. The next listing queries others.
const MOST_QUERIES: usize = 10;

/// In bytes: the estimated overhead of one domain.
const DOMAIN: usize = 128;

/// Keystone's answers about domains.
#[derive(Default)]
pub(super) struct Domains {
    /// By ID: when Keystone was queried, and the name if it told one.
    known: BTreeMap<Box<str>, (Instant, Option<Box<str>>)>,
    /// When the domains on which the user has a role were last listed.
    listed: Option<Instant>,
}

impl Domains {
    /// The memory that it takes, in bytes (estimated).
    pub(super) fn kept_bytes(&self) -> usize {
        let text = |name: &Option<Box<str>>| name.as_ref().map_or(0, |name| name.len());
        self.known.iter().map(|(id, (_, name))| DOMAIN + id.len() + text(name)).sum()
    }

    /// The domains to query. Removes answers that are no longer valid.
    fn missing<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>, now: Instant) -> BTreeSet<&'a str> {
        self.known.retain(|_, (at, _)| now.saturating_duration_since(*at) < HOUR);
        let mut missing = BTreeSet::new();
        for id in ids {
            if self.known.len() + missing.len() >= MOST_DOMAINS {
                break;
            }
            if !id.is_empty() && !self.known.contains_key(id) {
                missing.insert(id);
            }
        }
        missing
    }

    fn may_list(&self, now: Instant) -> bool {
        self.listed.is_none_or(|at| now.saturating_duration_since(at) >= HOUR)
    }
}

impl Session {
    /// The names of these domains by ID, as far as Keystone tells them to the user within the deadline. An answer stays
    /// valid for one hour.
    ///
    /// A failure is no error: the names are only shown.
    pub async fn domain_names<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a str>,
        deadline: Duration,
    ) -> BTreeMap<Box<str>, Box<str>> {
        let ids: BTreeSet<&str> = ids.into_iter().collect();
        // What was read before the deadline is remembered.
        if let Ok(Err(failure)) = timeout(deadline, self.query_domains(&ids, deadline)).await {
            tracing::debug!(%failure, "could not see the names of domains");
        }
        let domains = self.domains();
        let name = |id: &&str| Some((Box::from(*id), domains.known.get(*id)?.1.clone()?));
        ids.iter().filter_map(name).collect()
    }

    async fn query_domains(&self, ids: &BTreeSet<&str>, deadline: Duration) -> Result<(), Failure> {
        let now = (self.clock)();
        let (missing, may_list) = {
            let mut domains = self.domains();
            (domains.missing(ids.iter().copied(), now), domains.may_list(now))
        };
        if missing.is_empty() {
            return Ok(());
        }
        let mut listed = BTreeMap::new();
        if may_list {
            listed = self.accessible_domains(deadline).await?;
            self.domains().listed = Some(now);
        }
        let mut queries = 0;
        for id in missing {
            let name = match listed.remove(id) {
                Some(name) => Some(name),
                None if queries == MOST_QUERIES => continue,
                None => {
                    queries += 1;
                    self.domain_name(id, deadline).await?
                }
            };
            self.domains().known.insert(id.into(), (now, name));
        }
        Ok(())
    }

    /// The names of the domains on which the user has a role, by ID.
    async fn accessible_domains(&self, deadline: Duration) -> Result<BTreeMap<String, Box<str>>, Failure> {
        match self.query_identity(&["auth", "domains"], deadline).await? {
            Some(answer) => answer.digest(Service::Identity, |answer| listing_in(&answer.body)).await,
            None => Ok(BTreeMap::new()),
        }
    }

    /// The name of one domain; `None` if the user may not read it.
    async fn domain_name(&self, id: &str, deadline: Duration) -> Result<Option<Box<str>>, Failure> {
        let answer = self.query_identity(&["domains", id], deadline).await?;
        Ok(answer.and_then(|answer| name_in(&answer.body, id)))
    }

    /// `None` if the user may not ask this.
    async fn query_identity(&self, path: &[&str], deadline: Duration) -> Result<Option<Answer>, Failure> {
        let mut url = self.endpoint(Service::Identity, deadline).await?.url;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        // Access rules that do not include this call cause a 401.
        let answer = self.get_expecting(&[401, 403, 404], Service::Identity, url, &[], deadline).await?;
        if [401, 403, 404].contains(&answer.status) {
            return Ok(None);
        }
        answer.of(Service::Identity).map(Some)
    }

    fn domains(&self) -> MutexGuard<'_, Domains> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Domain {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Listing {
    domains: List<Names>,
}

/// Names by ID, of at most ten times as many domains as are remembered.
#[derive(Default)]
struct Names(BTreeMap<String, Box<str>>);

impl Rows for Names {
    type Row<'de> = Odd<Domain>;

    fn add(&mut self, Odd(domain): Odd<Domain>) {
        let Some(Domain { id, name }) = domain else { return };
        if let Some(id) = whole_word(&id).filter(|_| self.0.len() < 10 * MOST_DOMAINS) {
            self.0.insert(id, word(&name).into());
        }
    }
}

#[derive(Deserialize)]
struct Member {
    domain: Domain,
}

fn listing_in(body: &[u8]) -> BTreeMap<String, Box<str>> {
    serde_json::from_slice(body).map(|Listing { domains: List(Names(names)) }| names).unwrap_or_default()
}

fn name_in(body: &[u8], id: &str) -> Option<Box<str>> {
    let Member { domain } = serde_json::from_slice(body).ok()?;
    (domain.id == id).then(|| word(&domain.name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_a_bound_and_an_end() {
        let (mut domains, now) = (Domains::default(), Instant::now());
        let ids: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        let missing = domains.missing(ids.iter().map(String::as_str), now);
        assert_eq!(missing.len(), MOST_DOMAINS);
        for id in missing {
            domains.known.insert(id.into(), (now, Some("n".into())));
        }
        assert!(domains.missing(ids.iter().map(String::as_str), now).is_empty());
        assert!(domains.kept_bytes() <= MOST_DOMAINS * 200);
        assert_eq!(domains.missing(["0", ""], now + HOUR), BTreeSet::from(["0"]));
        assert_eq!(domains.kept_bytes(), 0);
    }

    #[test]
    fn answers() {
        let body = r#"{"domains": [{"id": "d", "name": "Default", "enabled": true}, {"id": 7}, null,
                       {"id": "e", "name": "a\nb"}], "links": {"next": null}}"#;
        let names = BTreeMap::from([("d".to_owned(), "Default".into()), ("e".to_owned(), r"a\u{a}b".into())]);
        assert_eq!(listing_in(body.as_bytes()), names);
        for body in ["", "null", "{}", r#"{"domains": {}}"#] {
            assert!(listing_in(body.as_bytes()).is_empty(), "{body}");
        }
        let one = |body: &str| name_in(body.as_bytes(), "d");
        assert_eq!(one(r#"{"domain": {"id": "d", "name": "Default"}}"#).as_deref(), Some("Default"));
        for body in ["", "{}", r#"{"domain": {"id": "e", "name": "n"}}"#, r#"{"domain": {"id": "d", "name": 7}}"#] {
            assert_eq!(one(body), None, "{body}");
        }
    }
}
