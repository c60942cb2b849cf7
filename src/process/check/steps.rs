//! The steps from clouds.yaml to the last probe.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use url::Url;

use super::{Mark, Step, Subject, trust};
use crate::{
    api::{CloudTenantStatus, Policy, Reason, Source, reason::Class},
    cluster::{observe, secrets::Texts},
    decide::status::{Judged, Observation, absent, judge, not_offered},
    observation::{ByProbe, Data, Outcome, ProbeFailure, ProbeKind},
    openstack::{CloudConfig, Holder, Network, NoCounters, Service, Session, TokenProject, TokenScope, listed},
    probe::{self, failure},
    target::Target,
    words::word,
};

/// Longest wait for a connection to Keystone's port.
const CONNECT: Duration = Duration::from_secs(10);

/// The observations of the probes, and the cloud that was used.
type Observations = (ByProbe<Observation<Judged>>, Option<Source>);

type OnStep<'a> = dyn FnMut(Step) + Send + 'a;

/// A session that has logged in.
struct Opened {
    config: Arc<CloudConfig>,
    session: Arc<Session>,
}

/// Runs every step until one fails in a way that makes the others pointless.
pub(super) async fn run(subject: &Subject, on_step: &mut OnStep<'_>) -> Observations {
    let entry = match open_session(subject, on_step).await {
        Ok(entry) => entry,
        // The count is the maximum because a check asks only once.
        Err(failure) => return (ByProbe::from_fn(|_| Observation::Failed(failure.clone(), u32::MAX)), None),
    };
    let own = log_in_for_project(subject, &entry, on_step).await;
    let mut probes = ByProbe::from_fn(|_| Observation::NotDue);
    for kind in ProbeKind::ALL {
        probes[kind] = match (kind, &own) {
            (ProbeKind::Engines, _) => probe(subject, kind, &entry, on_step).await,
            (_, Ok(own)) => probe(subject, kind, own.as_ref().unwrap_or(&entry), on_step).await,
            (_, Err(failure)) => Observation::Failed(failure.clone(), u32::MAX),
        };
    }
    let Ok(own) = own else { return (probes, None) };
    let Opened { config, session } = own.as_ref().unwrap_or(&entry);
    if let Some(step) = trust::of_services(subject, config, session).await {
        on_step(step);
    }
    let source = observe::source(&subject.target, config, session, None, Timestamp::now()).await;
    (probes, source)
}

/// Reports a step and returns its failure.
fn report(
    on_step: &mut OnStep<'_>,
    name: &'static str,
    began: Instant,
    result: Result<(Mark, String), ProbeFailure>,
) -> Result<(), ProbeFailure> {
    let (mark, found, end) = match result {
        Ok((mark, found)) => (mark, found, Ok(())),
        Err(failure) => (Mark::Failed, failure.message.clone(), Err(failure)),
    };
    on_step(Step { name, mark, found, milliseconds: millis(began) });
    end
}

/// Logs in for the observed project, if the CloudTenant asks for it and the entry does not do it already.
async fn log_in_for_project(
    subject: &Subject,
    entry: &Opened,
    on_step: &mut OnStep<'_>,
) -> Result<Option<Opened>, ProbeFailure> {
    let target = &subject.target;
    if !target.logs_in_for_project() {
        return Ok(None);
    }
    let began = Instant::now();
    let opened = async {
        let invalid = |error| failure::of_config(&error);
        let config = entry.config.for_project(&target.project_id).map_err(invalid)?;
        if Arc::ptr_eq(&config, &entry.config) {
            return Ok(Opened { config, session: entry.session.clone() });
        }
        let session = Arc::new(entry.session.for_project(config.clone(), &subject.network).map_err(invalid)?);
        session.log_in(target.timeout).await.map_err(|error| reported(&error))?;
        Ok(Opened { config, session })
    };
    let opened = opened.await;
    let found = opened.as_ref().map_err(Clone::clone);
    let found = found.map(|Opened { session, .. }| scope(session, &session.known_holder().unwrap_or_default()));
    let found =
        found.map(|(mark, found)| (mark, format!("{found}; by cloudCredentialsRef.scope, for caches and usage")));
    report(on_step, "project", began, found)?;
    opened.map(Some)
}

/// Runs the steps from the Secret to a token.
async fn open_session(subject: &Subject, on_step: &mut OnStep<'_>) -> Result<Opened, ProbeFailure> {
    let target = &subject.target;
    let mut step = |name, began, result| report(on_step, name, began, result);
    let began = Instant::now();
    let read = subject.secret.as_ref().map_err(Clone::clone).and_then(|texts| read(target, texts));
    let (read, config) = match read {
        Ok((mark, found, config)) => (Ok((mark, found)), Some(config)),
        Err(failure) => (Err(failure), None),
    };
    step("clouds.yaml", began, read)?;
    let Some(config) = config else { return Err(failure::of_secret(&failure::SecretError::Unavailable)) };
    let session = Session::new(config.clone(), &subject.network, Arc::new(NoCounters));
    let session = Arc::new(session.map_err(|error| failure::of_config(&error))?);

    let began = Instant::now();
    step("address", began, address(&config, subject).await)?;
    let began = Instant::now();
    let greeted = session.greet(target.timeout).await.map_err(|error| reported(&error));
    let safe = if config.auth_url().scheme() == "http" {
        (Mark::Note, "not encrypted: others on the network can read passwords and tokens".to_owned())
    } else if subject.network.relies_on_system(config.auth_url()) {
        (Mark::Note, trust::warning(&[Service::Identity]))
    } else if config.verifies() {
        (Mark::Ok, "the certificate is trusted".to_owned())
    } else {
        (Mark::Note, "verify is false: the certificate is not checked".to_owned())
    };
    step("TLS", began, greeted.map(|()| safe))?;

    let began = Instant::now();
    let login = session.log_in(target.timeout).await.map_err(|error| reported(&error));
    let holder = session.known_holder().unwrap_or_default();
    let source = observe::source(target, &config, &session, None, Timestamp::now()).await;
    let login = login.map(|()| match source.as_ref().and_then(|source| source.credentials_expire_at.as_ref()) {
        Some(end) => (Mark::Note, format!("{}, with a credential that ends at {}", user(&session, &holder), end.0)),
        None => match session.signature_clock_gap() {
            Some(gap) => (
                Mark::Note,
                format!("{}; signatures use the cloud's clock, since this host's is {gap}", user(&session, &holder)),
            ),
            None => (Mark::Ok, user(&session, &holder)),
        },
    });
    step("login", began, login)?;
    step("scope", Instant::now(), Ok(scope(&session, &holder)))?;
    let region = match (config.region(), session.known_region()) {
        (None, Some(region)) => format!("region {region} (the first in the catalogue); "),
        _ => String::new(),
    };
    let (mark, found) = catalogue(&session, &subject.network, target.timeout).await;
    step("catalogue", Instant::now(), Ok((mark, region + &found)))?;
    Ok(Opened { config, session })
}

fn read(target: &Target, texts: &Texts) -> Result<(Mark, String, Arc<CloudConfig>), ProbeFailure> {
    let Texts { clouds, cacert, .. } = texts;
    let (cacert, region) = (cacert.as_deref(), target.region.as_deref());
    let read = CloudConfig::parse_with_notes(clouds.expose(), &target.cloud_name, cacert, region);
    let (config, notes) = read.map_err(|error| failure::of_config(&error))?;
    let config = Arc::new(config);
    texts.admit(target)?;
    if target.logs_in_for_project() {
        config.for_project(&target.project_id).map_err(|error| failure::of_config(&error))?;
    }
    let mut found = format!("cloud {} at {}", word(&target.cloud_name), word(&config.host()));
    if let Some(region) = config.region() {
        found += &format!(", region {}", word(region));
    }
    if let Some(key) = notes.first_of {
        found += &format!(" (the first of {key})");
    }
    let mut mark = Mark::Ok;
    if !notes.ignored.is_empty() {
        found += &format!("; not read: {}", listed(&notes.ignored));
        mark = Mark::Note;
    }
    Ok((mark, found, config))
}

async fn address(config: &CloudConfig, subject: &Subject) -> Result<(Mark, String), ProbeFailure> {
    let (url, network) = (config.auth_url(), &subject.network);
    let objections = [objection(network, Service::Identity, url).await, engines_objection(subject).await];
    let objections: String = objections.into_iter().flatten().collect();
    if network.leads_by_proxy(url) {
        return Ok((Mark::Note, format!("{} is reached by a proxy{objections}", config.host())));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let fails = |error: crate::openstack::Error| reported(&error.at(Service::Identity));
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|_| fails(crate::openstack::Error::Dns))?;
    let addresses: Vec<_> = addresses.collect();
    let connected = tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect(&addresses[..])).await;
    match connected {
        Ok(Ok(stream)) => {
            let peer = stream.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
            let mark = if objections.is_empty() { Mark::Ok } else { Mark::Note };
            Ok((mark, format!("{} accepts connections at {peer}{objections}", config.host())))
        }
        _ => Err(fails(crate::openstack::Error::ConnectionFailed)),
    }
}

/// Returns a warning if the operator would refuse the address of the engines' own entry.
async fn engines_objection(subject: &Subject) -> Option<String> {
    let (name, texts) = (subject.target.engines.cloud_name.as_ref()?, subject.secret.as_ref().ok()?);
    let region = subject.target.region.as_deref();
    let entry = CloudConfig::parse(texts.clouds.expose(), name, texts.cacert.as_deref(), region).ok()?;
    let objection = objection(&subject.network, Service::Identity, entry.auth_url()).await?;
    Some(format!("; cloud {} for the engines at {}{objection}", word(name), word(&entry.host())))
}

/// Returns a warning if the operator would refuse the address, which the check calls with its user's own reach.
async fn objection(network: &Network, service: Service, url: &Url) -> Option<String> {
    let refusal = tokio::time::timeout(CONNECT, network.objection(url)).await.ok().flatten()?;
    let failure = reported(&crate::openstack::Error::AddressRefused(refusal).at(service));
    Some(format!(", but the operator would refuse this: {}", failure.message.trim_end_matches('.')))
}

/// Describes who is logged in.
fn user(session: &Session, holder: &Holder) -> String {
    if session.signs_all() {
        return "by signatures (AK/SK): each request is signed with the access key".to_owned();
    }
    let user = if holder.user.is_empty() { &holder.user_id } else { &holder.user };
    format!("as {user}")
}

/// Describes the token's scope and roles.
fn scope(session: &Session, holder: &Holder) -> (Mark, String) {
    let named = |project: TokenProject| match project.name.as_str() {
        "" => format!("project {}", project.id),
        name => format!("project {name} ({})", project.id),
    };
    let project = session.known_project().map(named);
    let project = project.unwrap_or_else(|| "no project".to_owned());
    let scope = match &holder.scope {
        TokenScope::Nothing | TokenScope::Project => project,
        TokenScope::Trust => format!("{project} by a trust"),
        TokenScope::Domain(name) => format!("domain {name}"),
        TokenScope::System => "the whole system".to_owned(),
    };
    if session.signs_all() {
        return (Mark::Ok, scope);
    }
    let roles = if holder.roles.is_empty() { "none".to_owned() } else { listed(&holder.roles) };
    let found = format!("{scope}, roles: {roles}");
    if holder.has_access_rules {
        return (Mark::Note, format!("{found}; access rules: it may make the calls that they list, and no others"));
    }
    (Mark::Ok, found)
}

async fn catalogue(session: &Session, network: &Network, deadline: Duration) -> (Mark, String) {
    let (mut mark, mut offers) = (Mark::Ok, Vec::new());
    for service in Service::PROBED {
        offers.push(match session.endpoint(service, deadline).await {
            Ok(endpoint) => {
                let objection = objection(network, service, &endpoint.url).await;
                if objection.is_some() {
                    mark = Mark::Note;
                }
                format!("{service} at {}{}", word(endpoint.url.as_str()), objection.unwrap_or_default())
            }
            Err(failure) => format!("no {service}: {}", failure.error),
        });
    }
    (mark, offers.join("; "))
}

/// Queries Heat with the tenant's own credential or the engines' own.
async fn ask_engines(subject: &Subject, config: &CloudConfig, session: &Session) -> Outcome<Data> {
    let own = match (&subject.target.engines.cloud_name, &subject.secret) {
        (Some(name), Ok(texts)) => match own_session(subject, texts, name, config, session).await {
            Outcome::Seen(own) => Some(own),
            Outcome::NotOffered(elsewhere) => return Outcome::NotOffered(elsewhere),
            Outcome::Failed(failure) => return Outcome::Failed(failure),
        },
        _ => None,
    };
    let session = own.as_ref().unwrap_or(session);
    probe::ask(ProbeKind::Engines, session, &subject.target, None, Timestamp::now()).await
}

async fn own_session(
    subject: &Subject,
    texts: &Texts,
    cloud_name: &str,
    main: &CloudConfig,
    session: &Session,
) -> Outcome<Session> {
    let region = subject.target.region.as_deref();
    let entry = match CloudConfig::parse(texts.clouds.expose(), cloud_name, texts.cacert.as_deref(), region) {
        Ok(entry) => Arc::new(entry),
        Err(error) => return Outcome::Failed(failure::of_config(&error)),
    };
    let config = match probe::second_entry::complete(entry, main, session).await {
        Outcome::Seen(config) => config,
        Outcome::NotOffered(elsewhere) => return Outcome::NotOffered(elsewhere),
        Outcome::Failed(failure) => return Outcome::Failed(failure),
    };
    match Session::new(config, &subject.network, Arc::new(NoCounters)) {
        Ok(session) => Outcome::Seen(session),
        Err(error) => Outcome::Failed(failure::of_config(&error)),
    }
}

async fn probe(
    subject: &Subject,
    kind: ProbeKind,
    Opened { config, session }: &Opened,
    on_step: &mut OnStep<'_>,
) -> Observation<Judged> {
    let target = &subject.target;
    let name = kind.as_str();
    let began = Instant::now();
    let policy = target.policy(kind);
    let (mark, found, observation) = if policy != Policy::Disabled {
        let outcome = match kind {
            ProbeKind::Engines => ask_engines(subject, config, session).await,
            own => probe::ask(own, session, target, None, Timestamp::now()).await,
        };
        match outcome {
            Outcome::Seen(data) => {
                let judged = judge(&data, target, &CloudTenantStatus::default(), Timestamp::now());
                let mark = match judged.reason.class() {
                    Class::Well if judged.reason == Reason::Reported || !matches!(kind, ProbeKind::Usage) => Mark::Ok,
                    Class::Well => Mark::Note,
                    _ => Mark::Bad,
                };
                let found = format!("allowed; {}. {}", judged.figures, judged.message);
                (mark, found, Observation::Seen(judged))
            }
            Outcome::NotOffered(elsewhere) => {
                let (mark, found) = match &elsewhere {
                    found if policy == Policy::Required => (Mark::Failed, absent(kind, found.as_ref())),
                    None => (Mark::Skipped, "not in the catalogue".to_owned()),
                    Some(_) => (Mark::Skipped, not_offered(elsewhere.as_ref())),
                };
                (mark, found, Observation::NotOffered(elsewhere))
            }
            Outcome::Failed(failure) => (Mark::Failed, failure.message.clone(), Observation::Failed(failure, u32::MAX)),
        }
    } else {
        (Mark::Skipped, format!("probes.{kind}.policy is Disabled"), Observation::NotDue)
    };
    on_step(Step { name, mark, found, milliseconds: millis(began) });
    observation
}

/// Returns the failure to report for a call before the probes. A missing service cannot occur there.
fn reported(failure: &crate::openstack::Failure) -> ProbeFailure {
    failure::of_call(failure).unwrap_or_else(|| failure::of_secret(&failure::SecretError::Unavailable))
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
