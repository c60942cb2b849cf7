//! Requests that are signed with an access key (AK/SK), against the simulated cloud, which verifies signatures.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cloudtenant_operator::{
    api::CloudTenantSpec,
    observation::{Data, Outcome, ProbeKind},
    openstack::{
        Clock, CloudConfig, Endpoint, Error, Network, NoCounters, Refusal, Service, Session, SignatureRefusal,
    },
    probe,
    target::Target,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testkit::cloud::{CacheCounts, Fault, Service as At, SimulatedCloud};
use url::Url;

const LONG: Duration = Duration::from_secs(20);
const KEYS: (&str, &str) = ("AKIDEXAMPLE", "sk-example-secret");
const TOKEN: &str = "st-example-token";

async fn cloud() -> SimulatedCloud {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_access_key(KEYS.0, KEYS.1, None);
    cloud.add_access_key("AKIDTEMPORARY", "sk-temporary", Some(TOKEN));
    cloud.set_caches(cloud.admin_project(), CacheCounts::redis(&[("running", 2)]));
    cloud
}

/// A session, and the clock by which refusals age.
struct Client {
    session: Session,
    seconds: Arc<AtomicU64>,
}

impl Client {
    fn of(yaml: &str) -> Self {
        Self::among(&Network::default().allowing_loopback(), yaml)
    }

    fn among(network: &Network, yaml: &str) -> Self {
        let config = CloudConfig::parse(yaml, "c", None, None).unwrap();
        let seconds = Arc::new(AtomicU64::new(0));
        let (start, passed) = (Instant::now(), seconds.clone());
        let clock: Clock = Arc::new(move || start + Duration::from_secs(passed.load(SeqCst)));
        let session = Session::with_clock(Arc::new(config), network, Arc::new(NoCounters), clock).unwrap();
        session.used_by("team");
        Self { session, seconds }
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, SeqCst);
    }

    async fn ask(&self, cloud: &SimulatedCloud, kind: ProbeKind) -> Result<Data, (String, String)> {
        let spec = json!({ "projectID": cloud.admin_project(), "cloudCredentialsRef": { "secretName": "s" },
                           "timeout": "20s" });
        let target = Target::new(&serde_json::from_value::<CloudTenantSpec>(spec).unwrap()).unwrap();
        match probe::ask(kind, &self.session, &target, None, Timestamp::now()).await {
            Outcome::Seen(data) => Ok(data),
            Outcome::Failed(failure) => Err((failure.reason.as_str().to_owned(), failure.message)),
            Outcome::NotOffered(_) => Err(("not offered".to_owned(), String::new())),
        }
    }

    async fn message(&self, cloud: &SimulatedCloud, kind: ProbeKind) -> String {
        let (reason, message) = self.ask(cloud, kind).await.unwrap_err();
        format!("{reason}: {message}")
    }
}

fn entry(cloud: &SimulatedCloud) -> String {
    cloud.clouds_yaml_access_key("c", KEYS.0, KEYS.1, &[])
}

/// The operator's password, and beside it an access key.
fn both(cloud: &SimulatedCloud, more: &str) -> String {
    format!("{}    access_key: {}\n    secret_key: {}\n{more}", cloud.clouds_yaml("c"), KEYS.0, KEYS.1)
}

fn overrides(cloud: &SimulatedCloud) -> String {
    let base = |service| cloud.base_url(service).to_owned();
    format!(
        "    orchestration_endpoint_override: {}/v1/%(project_id)s\n    dcs_endpoint_override: {}/v1.0/%(project_id)s\n    \
         compute_endpoint_override: {}/v2.1\n",
        base(At::Heat),
        base(At::Dcs),
        base(At::Nova)
    )
}

#[tokio::test]
async fn every_service_is_signed_and_gets_no_token() {
    let cloud = cloud().await;
    let temporary = cloud.clouds_yaml_access_key("c", "AKIDTEMPORARY", "sk-temporary", &[("security_token", TOKEN)]);
    let by_name = entry(&cloud).replace(&format!("project_id: \"{}\"", cloud.admin_project()), "project_name: admin");
    let located = entry(&cloud) + &overrides(&cloud);
    for (name, yaml, keystone) in [
        ("by the project's ID", entry(&cloud), &["/v3/auth/catalog"][..]),
        ("a temporary access key", temporary, &["/v3/auth/catalog"]),
        ("by the project's name", by_name, &["/v3/projects", "/v3/auth/catalog"]),
        ("addresses from overrides", located, &[]),
    ] {
        cloud.clear_requests();
        let client = Client::of(&yaml);
        for kind in ProbeKind::ALL {
            client.ask(&cloud, kind).await.unwrap_or_else(|failure| panic!("{name} {kind}: {failure:?}"));
        }
        let seen = cloud.requests(At::Keystone);
        assert_eq!(seen.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(), keystone, "{name}");
        let services = [At::Keystone, At::Heat, At::Dcs, At::Nova].map(|service| cloud.requests(service));
        for seen in services.iter().flatten() {
            assert!(seen.authorization.as_ref().is_some_and(|value| value.starts_with("SDK-HMAC-SHA256 Access=")));
            assert!(!seen.token, "{name} {}", seen.path);
            let scoped = seen.project.as_deref() == Some(cloud.admin_project());
            assert_eq!(scoped, seen.path != "/v3/projects", "{name} {}", seen.path);
        }
        assert_eq!(client.session.known_project().unwrap().id, cloud.admin_project(), "{name}");
        assert!(!format!("{:?}", client.session).contains("example"), "{name}");
    }
    assert_eq!(cloud.logins(), 0, "no token was issued");
}

/// A catalogue that the gateway does not publish is no obstacle where the entry has addresses.
#[tokio::test]
async fn without_a_catalogue_the_overrides_suffice() {
    let cloud = cloud().await;
    let missing = Fault::status(404, r#"{"error_code": "APIGW.0101", "error_msg": "The API does not exist"}"#);
    cloud.fault_on(At::Keystone, "/v3/auth/catalog", missing);
    let dcs = overrides(&cloud).lines().nth(1).unwrap().to_owned();
    Client::of(&(entry(&cloud) + &dcs + "\n")).ask(&cloud, ProbeKind::Caches).await.unwrap();
    let message = Client::of(&entry(&cloud)).message(&cloud, ProbeKind::Caches).await;
    assert_eq!(
        message,
        "EndpointNotFound: Keystone has no such page at its address: correct auth_url in clouds.yaml (error code \
         APIGW.0101)."
    );
}

/// Each cause has its own sentence, and no access key is locked.
#[tokio::test]
async fn why_a_signature_is_refused() {
    const WRONG: &str = "AuthenticationFailed: Keystone refuses the signature: correct access_key and secret_key, or \
                         auth_url, in the Secret's clouds.yaml (error code APIGW.0301).";
    const EXPIRED: &str = "AuthenticationFailed: Keystone refuses the temporary access key, which has expired or been \
                           revoked: put a new access_key, secret_key and security_token into the Secret's clouds.yaml \
                           (error code APIGW.0301).";
    const NO_PROJECT: &str =
        "InvalidCloudConfig: The token is for no project: name the project in the Secret's clouds.yaml.";
    const ENGINES: &str = ", set probes.engines.cloudName, or set probes.engines.policy to Disabled.";
    let cloud = cloud().await;
    let yaml = |access: &str, secret: &str| cloud.clouds_yaml_access_key("c", access, secret, &[]);
    let temporary = |secret: &str, token: &str| {
        cloud.clouds_yaml_access_key("c", "AKIDTEMPORARY", secret, &[("security_token", token)])
    };
    let unlisted = entry(&cloud).replace(&format!("project_id: \"{}\"", cloud.admin_project()), "project_name: nobody");
    for (name, yaml, expected) in [
        ("a wrong secret key", yaml(KEYS.0, "other"), WRONG),
        ("an unknown access key", yaml("AKIDOTHER", KEYS.1), WRONG),
        ("a wrong secret key of a temporary one", temporary("other", TOKEN), WRONG),
        ("a wrong security token", temporary("sk-temporary", "other"), EXPIRED),
        (
            "a project that the account does not have",
            unlisted,
            "InvalidCloudConfig: The access key's account has no project, or several, with the entry's project_name: \
             correct it, or set project_id, in the Secret's clouds.yaml.",
        ),
        ("no project", entry(&cloud).replace("project_id", "x_project_id"), NO_PROJECT),
    ] {
        let client = Client::of(&yaml);
        for kind in ProbeKind::ALL.into_iter().chain(ProbeKind::ALL) {
            let message = client.message(&cloud, kind).await;
            // Engines have further advice.
            let message = if expected == NO_PROJECT { message.replace(ENGINES, ".") } else { message };
            assert_eq!(message, expected, "{name}");
        }
    }
    cloud.set_access_key_expiry(Some(Timestamp::now()));
    let client = Client::of(&temporary("sk-temporary", TOKEN));
    assert_eq!(client.message(&cloud, ProbeKind::Caches).await, EXPIRED);
    assert!(cloud.wrong_signatures(KEYS.0) <= 1, "refused signatures are not repeated");
    assert_eq!(cloud.count(At::Dcs) + cloud.count(At::Heat) + cloud.count(At::Nova), 0);
}

/// Without a catalogue, the services themselves refuse. Their refusals count as refused logins.
#[tokio::test]
async fn a_wrong_secret_key_locks_no_access_key() {
    let cloud = cloud().await;
    let network = Network::default().allowing_loopback();
    let yaml = |number: usize| cloud.clouds_yaml_access_key("c", KEYS.0, &format!("wrong-{number}"), &[]);
    for located in ["", overrides(&cloud).as_str()] {
        let clients: Vec<_> = (0..10).map(|number| Client::among(&network, &(yaml(number) + located))).collect();
        let asked = clients.iter().flat_map(|client| ProbeKind::ALL.map(|kind| client.message(&cloud, kind)));
        let messages = futures::future::join_all(asked).await;
        assert!(messages.iter().all(|message| message.starts_with("AuthenticationFailed: ")), "{messages:?}");
        assert!(cloud.wrong_signatures(KEYS.0) <= 3, "{} {located}", cloud.wrong_signatures(KEYS.0));
        let right = Client::of(&entry(&cloud));
        right.ask(&cloud, ProbeKind::Caches).await.unwrap();
        clients[0].pass(299);
        clients[0].message(&cloud, ProbeKind::Caches).await;
        assert_eq!(cloud.wrong_signatures(KEYS.0), 0, "{located}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_mended_by_the_clouds_or_named() {
    for (minutes, mended) in [(-20, true), (20, true), (600, true), (14, true), (-1600, false), (525_600, false)] {
        let cloud = cloud().await;
        cloud.set_date_skew(SignedDuration::from_mins(minutes));
        for yaml in [entry(&cloud), entry(&cloud) + &overrides(&cloud)] {
            let client = Client::of(&yaml);
            for kind in [ProbeKind::Caches, ProbeKind::Engines, ProbeKind::Caches] {
                let asked = client.ask(&cloud, kind).await;
                if mended {
                    asked.unwrap_or_else(|failure| panic!("{minutes} {failure:?}"));
                    continue;
                }
                let side = if minutes > 0 { "behind" } else { "ahead of" };
                let (reason, message) = asked.unwrap_err();
                let rest = format!(
                    " refuses the signature, since the operator's clock is more than a day {side} the cloud's: set the \
                     clocks (error code APIGW.0301)."
                );
                assert_eq!(reason, "AuthenticationFailed");
                assert!(message.ends_with(&rest), "{minutes} {message}");
            }
            let gap = client.session.signature_clock_gap().map(|gap| gap.to_string());
            assert_eq!(gap.is_some(), mended && minutes != 14, "{minutes} {gap:?}");
        }
        assert!(mended || cloud.count(At::Keystone) == 1, "{}", cloud.count(At::Keystone));
        assert!(mended || cloud.count(At::Dcs) == 1, "{}", cloud.count(At::Dcs));
    }
}

/// A clock that is right again is learnt like one that went wrong.
#[tokio::test]
async fn a_clock_may_change_again() {
    let cloud = cloud().await;
    let client = Client::of(&entry(&cloud));
    for minutes in [0, 20, -30, 0] {
        cloud.set_date_skew(SignedDuration::from_mins(minutes));
        client.ask(&cloud, ProbeKind::Caches).await.unwrap_or_else(|failure| panic!("{minutes} {failure:?}"));
    }
    assert_eq!(cloud.wrong_signatures(KEYS.0), 0);
}

#[tokio::test]
async fn an_access_key_beside_a_password_is_for_dcs_alone() {
    let cloud = cloud().await;
    cloud.require_signatures_for_dcs();
    let signed =
        |at| cloud.requests(at).iter().map(|seen| (seen.token, seen.authorization.is_some())).collect::<Vec<_>>();
    let (token, signature) = ((true, false), (false, true));
    for (more, dcs) in
        [("", vec![token, signature, signature]), ("    dcs_auth_type: aksk\n", vec![signature, signature])]
    {
        cloud.clear_requests();
        let client = Client::of(&both(&cloud, more));
        for kind in [ProbeKind::Caches, ProbeKind::Engines, ProbeKind::Usage, ProbeKind::Caches] {
            client.ask(&cloud, kind).await.unwrap();
        }
        assert_eq!(signed(At::Dcs), dcs, "{more}");
        assert!(signed(At::Heat).into_iter().chain(signed(At::Nova)).all(|seen| seen == token), "{more}");
    }
    // An old token is renewed before a signature is tried.
    let plain = SimulatedCloud::start().await.unwrap();
    plain.add_access_key(KEYS.0, KEYS.1, None);
    let client = Client::of(&both(&plain, ""));
    client.ask(&plain, ProbeKind::Caches).await.unwrap();
    plain.revoke_tokens();
    client.pass(100);
    client.ask(&plain, ProbeKind::Caches).await.unwrap();
    assert!(plain.requests(At::Dcs).iter().all(|seen| seen.authorization.is_none()));
    // A service that does not ask for signatures gets none.
    let refusal = r#"{"error": {"code": 401, "message": "The request you have made requires authentication."}}"#;
    plain.fault(At::Nova, Fault::status(401, refusal));
    let message = client.message(&plain, ProbeKind::Usage).await;
    assert!(message.starts_with("TokenRejected: Nova refuses a token that Keystone has just issued"), "{message}");
    assert!(plain.requests(At::Nova).iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn what_is_missing_where_dcs_accepts_only_signatures() {
    let cloud = cloud().await;
    cloud.require_signatures_for_dcs();
    let client = Client::of(&cloud.clouds_yaml("c"));
    assert_eq!(
        client.message(&cloud, ProbeKind::Caches).await,
        "TokenRejected: DCS refuses a fresh token: some regions accept only signed requests (AK/SK) for DCS, so add \
         access_key and secret_key to the Secret's clouds.yaml, or set probes.caches.policy to Disabled (error code \
         APIGW.0301)."
    );
    let client = Client::of(&both(&cloud, "").replace(KEYS.1, "wrong"));
    for _ in 0..5 {
        assert_eq!(
            client.message(&cloud, ProbeKind::Caches).await,
            "AuthenticationFailed: DCS refuses the signature: correct access_key and secret_key, or auth_url, in the \
             Secret's clouds.yaml (error code APIGW.0301)."
        );
    }
    assert_eq!(cloud.wrong_signatures(KEYS.0), 1);
    client.ask(&cloud, ProbeKind::Engines).await.unwrap();
    client.pass(300);
    client.message(&cloud, ProbeKind::Caches).await;
    assert_eq!(cloud.wrong_signatures(KEYS.0), 2, "once in five minutes");
}

/// A service without the vendor's gateway does not stop the others.
#[tokio::test]
async fn one_service_that_refuses_signatures_is_its_own_failure() {
    let cloud = cloud().await;
    cloud.refuse_signatures(At::Heat);
    let client = Client::of(&entry(&cloud));
    for _ in 0..3 {
        client.ask(&cloud, ProbeKind::Caches).await.unwrap();
        assert_eq!(
            client.message(&cloud, ProbeKind::Engines).await,
            "TokenRejected: Heat refuses signatures that Keystone accepts: use a password or an application credential \
             for it, or set probes.engines.policy to Disabled."
        );
    }
    assert!(cloud.count(At::Heat) <= 2, "{}", cloud.count(At::Heat));
    // Keys that are deleted later are refused by Keystone too, and then by all.
    cloud.delete_access_keys();
    client.pass(300);
    let before = cloud.count(At::Dcs) + cloud.count(At::Keystone);
    for _ in 0..5 {
        let message = client.message(&cloud, ProbeKind::Caches).await;
        assert!(message.starts_with("AuthenticationFailed: Keystone refuses the signature"), "{message}");
    }
    let sent = cloud.count(At::Dcs) + cloud.count(At::Keystone) - before;
    assert_eq!(sent, 2, "the call, and the question to Keystone");
}

/// A project of the access key's user, as `scope: ObservedProject` observes it.
fn observed(network: &Network, entry: &Arc<Session>, config: &Arc<CloudConfig>, project: &str) -> Session {
    let session = entry.for_project(config.for_project(project).unwrap(), network).unwrap();
    session.used_by("team");
    session
}

/// An access key needs no proving login: the answer says whether the key or the project is refused.
#[tokio::test]
async fn an_access_key_is_one_credential_for_all_observed_projects() {
    let cloud = cloud().await;
    let network = Network::default().allowing_loopback();
    let config = Arc::new(CloudConfig::parse(&entry(&cloud), "c", None, None).unwrap());
    let written = Arc::new(Session::new(config.clone(), &network, Arc::new(NoCounters)).unwrap());
    written.used_by("team");
    let projects: Vec<_> = (0..8).map(|number| format!("p{number}")).collect();
    for project in &projects {
        cloud.add_tenant_of_operator(project);
    }
    cloud.add_tenant("foreign");
    let ask = async |session: &Session, project: &str| {
        let spec = json!({ "projectID": project, "cloudCredentialsRef": { "secretName": "s" }, "timeout": "20s" });
        let target = Target::new(&serde_json::from_value::<CloudTenantSpec>(spec).unwrap()).unwrap();
        match probe::ask(ProbeKind::Usage, session, &target, None, Timestamp::now()).await {
            Outcome::Seen(_) => "seen".to_owned(),
            Outcome::Failed(failure) => format!("{}: {}", failure.reason.as_str(), failure.message),
            Outcome::NotOffered(_) => "not offered".to_owned(),
        }
    };
    let sessions: Vec<_> = projects.iter().map(|project| observed(&network, &written, &config, project)).collect();
    for (session, project) in sessions.iter().zip(&projects) {
        assert_eq!(ask(session, project).await, "seen", "{project}");
    }
    let foreign = observed(&network, &written, &config, "foreign");
    assert_eq!(
        ask(&foreign, "foreign").await,
        "Forbidden: Keystone gives this user no token for the project: grant a role, or enable it (error code \
         APIGW.0302)."
    );
    assert_eq!(ask(&sessions[0], &projects[0]).await, "seen", "a refused project is no refused key");

    cloud.delete_access_keys();
    let before = cloud.count(At::Nova) + cloud.count(At::Keystone);
    for (session, project) in sessions.iter().zip(&projects) {
        let message = ask(session, project).await;
        assert!(message.starts_with("AuthenticationFailed: Keystone refuses the signature"), "{message}");
    }
    let sent = cloud.count(At::Nova) + cloud.count(At::Keystone) - before;
    assert_eq!(sent, 2, "the call of the first project, and its question to Keystone");
}

#[tokio::test]
async fn a_redirect_is_signed_again_and_never_leads_to_another_origin() {
    let (cloud, other) = (cloud().await, cloud().await);
    let client = Client::of(&entry(&cloud));
    let Endpoint { url, .. } = client.session.endpoint(Service::Cache, LONG).await.unwrap();
    let status = format!("{}/instances/status", url.path());
    let lead = |to: String| {
        let fault = Fault::status(307, "");
        match fault {
            Fault::Status { code, body, content_type, .. } => {
                Fault::Status { code, body, content_type, headers: vec![("location".to_owned(), to)] }
            }
            other => other,
        }
    };
    let get = async |path: &str| {
        let url = Url::parse(&format!("{}{path}", cloud.base_url(At::Dcs))).unwrap();
        client.session.get(Service::Cache, url, &[], LONG).await
    };
    cloud.fault_on(At::Dcs, "/old", lead(status.clone()));
    assert_eq!(get("/old").await.unwrap().status, 200);
    cloud.fault_on(At::Dcs, "/away", lead(format!("{}{status}", other.base_url(At::Dcs))));
    let refused = get("/away").await.unwrap_err();
    assert_eq!(refused.error, Error::AddressRefused(Refusal::Redirect));
    assert_eq!(other.count(At::Dcs), 0, "nothing was sent to the other origin");
    let elsewhere = Url::parse(&format!("{}{status}", other.base_url(At::Dcs))).unwrap();
    let refused = client.session.get(Service::Cache, elsewhere, &[], LONG).await.unwrap_err();
    assert_eq!(refused.error, Error::AddressRefused(Refusal::OtherOrigin));
    assert_eq!(other.count(At::Dcs), 0);
}

/// Gateways repeat the signed headers in their refusals.
#[tokio::test]
async fn neither_the_status_nor_the_error_shows_a_secret() {
    let cloud = cloud().await;
    let yaml = cloud.clouds_yaml_access_key("c", "AKIDTEMPORARY", "sk-wrong", &[("security_token", TOKEN)]);
    let client = Client::of(&yaml);
    let failure = client.session.log_in(LONG).await.unwrap_err();
    assert_eq!(failure.error, Error::SignatureRefused(SignatureRefusal::Keys));
    let shown = format!("{failure:?} {failure} {:?}", client.session);
    assert!(!["AKIDTEMPORARY", "sk-wrong", TOKEN].iter().any(|secret| shown.contains(secret)), "{shown}");
}
