//! Keystone's token: the request for it, and the parsed answer.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use super::{
    Answer, CloudConfig, Error, NoProject, Secret, Service,
    catalogue::Catalogue,
    config::{Auth, CredentialRef, Domain, Named, Scope},
    places::Places,
    rows::{List, Odd, Rows},
    time::openstack_time,
};
use crate::words::{LONGEST, word};

/// In bytes. The client sends the token as a header. Servers accept headers of 8 KiB or 16 KiB.
const LONGEST_TOKEN: usize = 16 << 10;

/// The project of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenProject {
    /// The project's id.
    pub id: String,
    /// The project's name; empty if Keystone sends none.
    pub name: String,
}

/// The scope of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TokenScope {
    /// No scope: the user has no default project.
    #[default]
    Nothing,
    /// A project.
    Project,
    /// A project, with the roles that a trust delegates.
    Trust,
    /// The domain with this name.
    Domain(String),
    /// The whole system.
    System,
}

/// What Keystone says about a credential when it issues a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The user's name.
    pub user: String,
    /// The user's id.
    pub user_id: String,
    /// The names of the token's roles, sorted.
    pub roles: Vec<String>,
    /// When the token expires.
    pub token_ends: Option<Timestamp>,
    /// When the user's password expires, if it does.
    pub password_ends: Option<Timestamp>,
    /// The ID of the application credential, if the login used one.
    pub application_credential: Option<String>,
    /// Whether the application credential has access rules, which list all calls that it may make.
    pub has_access_rules: bool,
    /// The token's scope.
    pub scope: TokenScope,
}

/// A token and the data from the answer to the login.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) value: Secret,
    pub(super) project: Option<TokenProject>,
    /// The services' addresses.
    pub(super) places: Places,
    /// When the client sent the login, by the monotonic clock.
    sent: Instant,
    lifetime: Duration,
    /// Other information about the credential.
    pub(super) holder: Holder,
    /// How far Keystone's clock was ahead of the operator's when it issued the token.
    pub(super) ahead: SignedDuration,
    /// Whether Keystone accepted the credential. It was not asked where an entry that signs names all addresses.
    pub(super) proven: bool,
}

#[derive(Deserialize)]
struct Envelope {
    token: Body,
}

/// `expires_at` is required; all other fields may be missing or invalid.
#[derive(Deserialize)]
struct Body {
    expires_at: String,
    #[serde(default)]
    issued_at: Odd<String>,
    #[serde(default)]
    project: Odd<IdAndName>,
    #[serde(default)]
    domain: Odd<IdAndName>,
    #[serde(default)]
    system: Odd<System>,
    #[serde(default, rename = "OS-TRUST:trust")]
    trust: Odd<Trust>,
    #[serde(default)]
    catalog: Odd<Catalogue>,
    #[serde(default)]
    user: Odd<User>,
    #[serde(default)]
    roles: Odd<List<Roles>>,
    #[serde(default)]
    application_credential: Odd<UsedCredential>,
}

/// A project or a domain.
#[derive(Default, Deserialize)]
struct IdAndName {
    #[serde(default)]
    id: Odd<String>,
    #[serde(default)]
    name: Odd<String>,
}

#[derive(Deserialize)]
struct System {
    all: bool,
}

#[derive(Deserialize)]
struct Trust {
    #[serde(rename = "id")]
    _id: String,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    id: Odd<String>,
    #[serde(default)]
    name: Odd<String>,
    #[serde(default)]
    password_expires_at: Odd<String>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

/// Role names, which are only displayed.
#[derive(Default)]
struct Roles(Vec<String>);

impl Rows for Roles {
    type Row<'de> = Odd<Role>;

    fn add(&mut self, Odd(role): Odd<Role>) {
        const MOST: usize = 100;
        if let Some(name) = text(Odd(role.map(|role| role.name)))
            && self.0.len() < MOST
        {
            self.0.push(name);
        }
    }
}

#[derive(Deserialize)]
struct UsedCredential {
    #[serde(default)]
    id: Odd<String>,
    #[serde(default)]
    access_rules: Odd<Vec<IgnoredAny>>,
}

/// A text that is neither empty nor too long, as it may be displayed. Keystone limits names and IDs to 255 characters.
fn text(Odd(text): Odd<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text.len() <= LONGEST).map(|text| word(&text))
}

impl Token {
    /// The memory that it takes, in bytes (estimated).
    pub(super) fn kept_bytes(&self) -> usize {
        let Holder { user, user_id, roles, application_credential, .. } = &self.holder;
        let project = self.project.as_ref().map_or(0, |project| project.id.len() + project.name.len());
        let scope = if let TokenScope::Domain(name) = &self.holder.scope { name.len() } else { 0 };
        let roles = roles.iter().map(|role| role.len() + size_of::<String>()).sum::<usize>();
        let texts = user.len() + user_id.len() + application_credential.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.value.expose().len() + project + scope + roles + texts + self.places.kept_bytes()
    }

    /// Parses the answer to a login of this entry that was requested at `sent`.
    ///
    /// The lifetime starts at Keystone's own `issued_at`, so that a clock difference does not change it.
    pub(super) fn read(answer: &Answer, sent: Instant, config: &CloudConfig) -> Result<Self, Error> {
        let value = answer.header("x-subject-token").ok_or(Error::Unexpected("the login's answer has no token"))?;
        if value.len() > LONGEST_TOKEN {
            return Err(Error::Unexpected("the login's answer has a token of more than 16 KiB"));
        }
        // A name in another encoding must not make the token unusable.
        let body = String::from_utf8_lossy(&answer.body);
        let body = serde_json::from_str::<Envelope>(&body)
            .map_err(|_| Error::Unexpected("the login's answer is not Keystone's JSON"))?
            .token;
        let end =
            openstack_time(&body.expires_at).ok_or(Error::Unexpected("the token's end is not a readable time"))?;
        let start = body.issued_at.0.as_deref().and_then(openstack_time);
        let now = Timestamp::now();
        let start = start.or(answer.date).unwrap_or(now);
        let lifetime = Duration::try_from(end.duration_since(start)).unwrap_or_default();
        if lifetime.is_zero() {
            return Err(Error::Unexpected("the token ends when it begins"));
        }
        let List(Roles(mut roles)) = body.roles.0.unwrap_or_default();
        roles.sort();
        // Most tokens have few.
        roles.shrink_to_fit();
        let project = body.project.0.and_then(|project| {
            Some(TokenProject { id: text(project.id)?, name: text(project.name).unwrap_or_default() })
        });
        let domain = body.domain.0.and_then(|domain| text(domain.name).or(text(domain.id)));
        let scope = match (&project, domain) {
            (Some(_), _) if body.trust.0.is_some() => TokenScope::Trust,
            (Some(_), _) => TokenScope::Project,
            (None, Some(domain)) => TokenScope::Domain(domain),
            (None, None) if body.system.0.is_some_and(|system| system.all) => TokenScope::System,
            (None, None) => TokenScope::Nothing,
        };
        let user = body.user.0.unwrap_or_default();
        let credential = body.application_credential.0;
        let holder = Holder {
            password_ends: user.password_expires_at.0.as_deref().and_then(openstack_time),
            user: text(user.name).unwrap_or_default(),
            user_id: text(user.id).unwrap_or_default(),
            roles,
            token_ends: Some(end),
            has_access_rules: credential.as_ref().is_some_and(|credential| credential.access_rules.0.is_some()),
            application_credential: credential.and_then(|credential| text(credential.id)),
            scope,
        };
        Ok(Self {
            holder,
            value: value.to_owned().into(),
            project,
            places: Places::of(&body.catalog.0.unwrap_or_default(), config),
            sent,
            lifetime,
            ahead: start.duration_since(now),
            proven: true,
        })
    }

    /// What an entry has that signs its requests: a project and addresses, and no token. It is read again after an hour.
    /// `listing` is the answer with the catalogue, if Keystone was asked.
    pub(super) fn of_signatures(
        config: &CloudConfig,
        project: Option<TokenProject>,
        listing: Option<&Answer>,
        sent: Instant,
    ) -> Result<Self, Error> {
        let catalogue = listing.map(|answer| signed_catalogue(&answer.body, project.as_ref())).transpose()?;
        let date = listing.and_then(|answer| answer.date);
        let scope = match (&project, signed_domain(&config.auth)) {
            (Some(_), _) => TokenScope::Project,
            (None, Some(domain)) => TokenScope::Domain(word(domain)),
            (None, None) => TokenScope::Nothing,
        };
        Ok(Self {
            value: Secret::from(String::new()),
            project,
            places: Places::of(&catalogue.unwrap_or_default(), config),
            sent,
            lifetime: Duration::from_secs(3600),
            holder: Holder { scope, ..Holder::default() },
            ahead: date.map_or(SignedDuration::ZERO, |date| date.duration_since(Timestamp::now())),
            proven: listing.is_some(),
        })
    }

    /// The error for a call that needs a project, if the token has none.
    pub(super) fn no_project(&self) -> Option<Error> {
        match self.holder.scope {
            TokenScope::Project | TokenScope::Trust => None,
            TokenScope::Nothing => Some(Error::Unscoped),
            TokenScope::Domain(_) => Some(Error::NoProject(NoProject::Domain)),
            TokenScope::System => Some(Error::NoProject(NoProject::System)),
        }
    }

    /// The error if the catalogue lacks a service because the token has no project.
    pub(super) fn without_project(&self, service: Service) -> Option<Error> {
        // For a system scope, Keystone lists a service whose addresses contain a project without any address.
        let may_lack_it = self.holder.scope == TokenScope::System && !self.places.lists(service);
        self.no_project().filter(|_| !may_lack_it)
    }

    /// Whether it is so new that a renewal would not help where a service refuses it.
    pub(super) fn is_new(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.sent) < Duration::from_secs(60)
    }

    pub(super) fn has_ended(&self, now: Instant) -> bool {
        self.remaining(now).is_zero()
    }

    /// Whether less than five minutes remain, or less than a tenth of the lifetime if that is shorter. `early` adds
    /// thousandths of this time.
    pub(super) fn ends_soon(&self, now: Instant, early: u32) -> bool {
        let usual = (self.lifetime / 10).min(Duration::from_secs(300));
        self.remaining(now) < usual + usual * early / 1000
    }

    fn remaining(&self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.sent);
        self.lifetime.saturating_sub(age)
    }
}

#[derive(Deserialize)]
struct Listing {
    catalog: Odd<Catalogue>,
}

/// Parses `GET /v3/auth/catalog`. Some clouds leave the place of the project in an address to the client.
fn signed_catalogue(body: &[u8], project: Option<&TokenProject>) -> Result<Catalogue, Error> {
    let mut text = String::from_utf8_lossy(body).into_owned();
    let is_plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if let Some(project) = project.filter(|project| is_plain(&project.id)) {
        for holder in ["$(tenant_id)s", "$(project_id)s", "%(tenant_id)s", "%(project_id)s"] {
            text = text.replace(holder, &project.id);
        }
    }
    let listing = serde_json::from_str::<Listing>(&text);
    listing.map(|listing| listing.catalog.0.unwrap_or_default()).map_err(|_| Error::Unexpected(NO_CATALOGUE))
}

const NO_CATALOGUE: &str = "the answer is not Keystone's service catalogue";

fn signed_domain(auth: &Auth) -> Option<&str> {
    match auth {
        Auth::AccessKey { scope: Some(Scope::Domain(Domain::Id(domain) | Domain::Name(domain))), .. } => Some(domain),
        Auth::AccessKey { .. } | Auth::Password { .. } | Auth::ApplicationCredential { .. } | Auth::Token { .. } => {
            None
        }
    }
}

#[derive(Deserialize)]
struct Projects {
    projects: List<Found>,
}

/// The projects of a list: one, or the fact that there are several.
#[derive(Default)]
struct Found {
    one: Option<TokenProject>,
    several: bool,
}

impl Rows for Found {
    type Row<'de> = Odd<IdAndName>;

    fn add(&mut self, Odd(project): Odd<IdAndName>) {
        let Some(project) = project else { return };
        let Some(id) = text(project.id) else { return };
        self.several |= self.one.is_some();
        self.one = Some(TokenProject { id, name: text(project.name).unwrap_or_default() });
    }
}

/// The only project in the answer to `GET /v3/projects?name=…`.
pub(super) fn only_project(body: &[u8]) -> Result<TokenProject, Error> {
    let text = String::from_utf8_lossy(body);
    let read = serde_json::from_str::<Projects>(&text);
    let List(found) = read.map_err(|_| Error::Unexpected("the answer is not Keystone's list of projects"))?.projects;
    found.one.filter(|_| !found.several).ok_or(Error::ProjectNotListed)
}

#[derive(Deserialize)]
struct ApplicationCredential {
    application_credential: Ends,
}

#[derive(Deserialize)]
struct Ends {
    expires_at: Option<String>,
}

/// Parses `GET /v3/users/{user}/application_credentials/{id}`; `None` if the body is not such an answer.
pub(super) fn application_credential_ends(body: &[u8]) -> Option<Option<Timestamp>> {
    let body: ApplicationCredential = serde_json::from_slice(body).ok()?;
    Some(body.application_credential.expires_at.as_deref().and_then(openstack_time))
}

#[derive(Deserialize)]
struct KeystoneError {
    error: KeystoneErrorDetail,
}

#[derive(Deserialize)]
struct KeystoneErrorDetail {
    code: u16,
}

/// Whether the body is Keystone's JSON for a 404.
pub(super) fn says_not_found(body: &[u8]) -> bool {
    const LONGEST: usize = 64 << 10;
    body.len() <= LONGEST
        && serde_json::from_slice::<KeystoneError>(body).is_ok_and(|refusal| refusal.error.code == 404)
}

/// The confidential part of a login request.
pub(super) const fn secret(auth: &Auth) -> &Secret {
    match auth {
        Auth::Password { password, .. } => password,
        Auth::ApplicationCredential { secret, .. } => secret,
        Auth::Token { token, .. } => token,
        Auth::AccessKey { keys, .. } => &keys.secret,
    }
}

/// The body of `POST /v3/auth/tokens`.
pub(super) fn login(auth: &Auth) -> Value {
    let (identity, scope) = match auth {
        Auth::Password { user, password, scope } => {
            let mut user = named(user);
            user["password"] = password.expose().into();
            let identity = json!({"methods": ["password"], "password": {"user": user}});
            (identity, scope.as_ref())
        }
        Auth::ApplicationCredential { credential, secret } => {
            let mut credential = match credential {
                CredentialRef::Id(id) => json!({"id": id}),
                CredentialRef::Name { name, user } => json!({"name": name, "user": named(user)}),
            };
            credential["secret"] = secret.expose().into();
            // The credential has its own scope: Keystone refuses a second one.
            let method = "application_credential";
            (json!({"methods": [method], method: credential}), None)
        }
        Auth::Token { token, scope } => {
            let identity = json!({"methods": ["token"], "token": {"id": token.expose()}});
            (identity, scope.as_ref())
        }
        // Never sent: it identifies the credential.
        Auth::AccessKey { keys, scope } => {
            let (access, secret) = (keys.access.expose(), keys.secret.expose());
            let identity = json!({"methods": ["aksk"], "aksk": [access, secret, keys.confidential()]});
            (identity, scope.as_ref())
        }
    };
    match scope {
        None => json!({"auth": {"identity": identity}}),
        Some(Scope::Project(project)) => {
            json!({"auth": {"identity": identity, "scope": {"project": named(project)}}})
        }
        Some(Scope::ProjectOfAccount(name)) => {
            json!({"auth": {"identity": identity, "scope": {"project": {"name": name}}}})
        }
        Some(Scope::System) => json!({"auth": {"identity": identity, "scope": {"system": {"all": true}}}}),
        Some(Scope::Trust(id)) => json!({"auth": {"identity": identity, "scope": {"OS-TRUST:trust": {"id": id}}}}),
        Some(Scope::Domain(domain)) => {
            json!({"auth": {"identity": identity, "scope": {"domain": domain_json(domain)}}})
        }
    }
}

fn named(named: &Named) -> Value {
    match named {
        Named::Id(id) => json!({"id": id}),
        Named::Name { name, domain } => json!({"name": name, "domain": domain_json(domain)}),
    }
}

fn domain_json(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({"id": id}),
        Domain::Name(name) => json!({"name": name}),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::openstack::answer::Held;

    fn config() -> CloudConfig {
        let yaml = "clouds: {c: {region_name: r, auth: {auth_url: 'http://k', token: t}}}";
        CloudConfig::parse(yaml, "c", None, None).unwrap()
    }

    /// The answer to a login at 05:00 by the cloud's clock.
    fn answer(token: Option<&str>, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("date", "Sun, 22 Nov 2026 05:00:00 GMT".parse().unwrap());
        if let Some(token) = token {
            headers.insert("x-subject-token", token.parse().unwrap());
        }
        Answer::new(201, headers, body.as_bytes().to_vec(), Held::default())
    }

    #[test]
    fn lifetimes() {
        let issued = r#", "issued_at": "2026-11-22T04:00:00.000000Z""#;
        let rows = [
            ("2026-11-22T05:00:00.000000Z", issued, Some(3600)),
            ("2026-11-22T04:52:21", issued, Some(3141)),
            ("2026-11-22T04:52:21", r#", "issued_at": "2026-11-22T04:52:11""#, Some(10)),
            // If `issued_at` is missing, the answer's `Date` replaces it.
            ("2026-11-22T05:10:00Z", "", Some(600)),
            ("2026-11-22T04:00:00Z", issued, None),
            ("2026-11-22T03:00:00Z", issued, None),
            ("tomorrow", issued, None),
        ];
        for (expires, issued, seconds) in rows {
            let body = format!(r#"{{"token": {{"expires_at": "{expires}"{issued}}}}}"#);
            let token = Token::read(&answer(Some("t"), &body), Instant::now(), &config());
            let lifetime = token.ok().map(|token| token.lifetime.as_secs());
            assert_eq!(lifetime, seconds, "{expires} {issued}");
        }
    }

    #[test]
    fn renewal_is_due_in_the_last_tenth_or_five_minutes() {
        for (lifetime, early, due, ended) in [
            (3600, 0, 3301, 3600),
            (3600, 500, 3151, 3600),
            (3600, 999, 3001, 3600),
            (100, 0, 91, 100),
            (86400, 0, 86101, 86400),
        ] {
            let start = Instant::now();
            let token = Token {
                value: Secret::from(String::new()),
                project: None,
                places: Places::of(&Catalogue::default(), &config()),
                sent: start,
                lifetime: Duration::from_secs(lifetime),
                holder: Holder::default(),
                ahead: SignedDuration::ZERO,
                proven: true,
            };
            let at = |seconds| start + Duration::from_secs(seconds);
            assert!(!token.ends_soon(at(due - 1), early), "{lifetime} {early}");
            assert!(token.ends_soon(at(due), early), "{lifetime} {early}");
            assert!(!token.has_ended(at(ended - 1)), "{lifetime}");
            assert!(token.has_ended(at(ended)), "{lifetime}");
        }
    }

    #[test]
    fn invalid_answers() {
        let good = r#"{"token": {"expires_at": "2026-11-22T06:00:00Z"}}"#;
        let long = "t".repeat(LONGEST_TOKEN + 1);
        assert!(Token::read(&answer(Some(&long[1..]), good), Instant::now(), &config()).is_ok());
        for (token, body, problem) in [
            (None, good, "the login's answer has no token"),
            (Some(long.as_str()), good, "the login's answer has a token of more than 16 KiB"),
            (Some("t"), "<html>", "the login's answer is not Keystone's JSON"),
            (Some("t"), "{}", "the login's answer is not Keystone's JSON"),
        ] {
            let error = Token::read(&answer(token, body), Instant::now(), &config()).unwrap_err();
            assert_eq!(error, Error::Unexpected(problem));
        }
        let token = Token::read(&answer(Some("gAAAA"), good), Instant::now(), &config()).unwrap();
        assert!(!format!("{token:?}").contains("gAAAA"));
    }

    /// The operator ignores an invalid project, user, role or catalogue.
    #[test]
    fn invalid_members_are_ignored() {
        let rows = [
            (r#""roles": null"#, ""),
            (r#""roles": {}"#, ""),
            (
                r#""roles": [{"name": "b"}, null, 7, {}, {"name": null}, {"name": ["x"]}, {"id": "x"}, {"name": "a"}]"#,
                "a b",
            ),
            (r#""project": null, "user": null, "domain": null, "system": null, "catalog": null"#, ""),
            (r#""project": [], "user": "u", "domain": 7, "system": "all", "catalog": {}, "issued_at": 5"#, ""),
            (r#""project": {"id": "p"}"#, "p:"),
            (r#""project": {"id": "p", "name": null}"#, "p:"),
            (r#""project": {"id": null, "name": "n"}"#, ""),
            (r#""project": {"id": "p", "name": "n"}, "application_credential": "x""#, "p:n"),
            (r#""application_credential": {"id": 7, "access_rules": null}"#, ""),
            (r#""application_credential": {"access_rules": []}"#, "rules"),
            (r#""application_credential": {"id": "i", "access_rules": [7]}"#, "rules i"),
            (r#""user": {"id": 7, "name": "n", "password_expires_at": {}}"#, "n"),
            (r#""OS-TRUST:trust": null, "is_domain": "x", "methods": 5"#, ""),
        ];
        for (members, expected) in rows {
            let body = format!(r#"{{"token": {{"expires_at": "2026-11-22T06:00:00Z", {members}}}}}"#);
            let token = Token::read(&answer(Some("t"), &body), Instant::now(), &config()).unwrap();
            let holder = token.holder;
            let project = token.project.map(|project| format!("{}:{}", project.id, project.name));
            let rules = holder.has_access_rules.then(|| "rules".to_owned());
            let credential = holder.application_credential;
            let user = Some(holder.user).filter(|user| !user.is_empty());
            let parsed = project.into_iter().chain(rules).chain(credential).chain(user).chain(holder.roles);
            assert_eq!(parsed.collect::<Vec<_>>().join(" "), expected, "{members}");
        }
        let long = format!(r#""project": {{"id": "{}"}}, "roles": [{{"name": "{0}"}}]"#, "x".repeat(LONGEST + 1));
        let body = format!(r#"{{"token": {{"expires_at": "2026-11-22T06:00:00Z", {long}}}}}"#);
        let token = Token::read(&answer(Some("t"), &body), Instant::now(), &config()).unwrap();
        assert!(token.project.is_none() && token.holder.roles.is_empty());
    }

    #[test]
    fn scopes() {
        let domain = |name: &str| TokenScope::Domain(name.to_owned());
        for (members, scope) in [
            (r#""user": {}"#, TokenScope::Nothing),
            (r#""project": {"id": "p"}"#, TokenScope::Project),
            (r#""project": {"id": "p"}, "OS-TRUST:trust": {"id": "t", "impersonation": true}"#, TokenScope::Trust),
            (r#""project": {"id": "p"}, "domain": {"id": "d"}"#, TokenScope::Project),
            (r#""domain": {"id": "d", "name": "D"}"#, domain("D")),
            (r#""domain": {"id": "d"}"#, domain("d")),
            (r#""system": {"all": true}"#, TokenScope::System),
            (r#""system": {"all": false}"#, TokenScope::Nothing),
        ] {
            let body = format!(r#"{{"token": {{"expires_at": "2026-11-22T06:00:00Z", {members}}}}}"#);
            let token = Token::read(&answer(Some("t"), &body), Instant::now(), &config()).unwrap();
            assert_eq!(token.holder.scope, scope, "{members}");
        }
    }

    /// Arbitrary JSON with the words of real answers in other positions.
    fn json() -> impl Strategy<Value = Value> {
        const WORDS: [&str; 17] = [
            "type",
            "endpoints",
            "interface",
            "public",
            "region",
            "region_id",
            "url",
            "id",
            "name",
            "dcs",
            "identity",
            "access_rules",
            "all",
            "http://x/v1.0",
            "*",
            "",
            "\u{0}ü",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            select(&WORDS[..]).prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                vec((select(&WORDS[..]), inner), 0..6)
                    .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// Invalid rows and members never break the login, and the valid rows remain usable.
        #[test]
        fn invalid_rows_do_not_fail_a_login(
            before in vec(json(), 0..4),
            after in vec(json(), 0..4),
            members in vec((select(&["project", "user", "domain", "system", "roles", "application_credential",
                                     "OS-TRUST:trust", "issued_at", "methods", "is_domain"][..]), json()), 0..5),
        ) {
            let good = json!({"type": "dcs", "endpoints": [{"interface": "public", "region": "r", "url": "http://good"}]});
            let rows: Vec<_> = before.into_iter().chain([good]).chain(after).collect();
            let mut token: serde_json::Map<_, _> =
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            token.insert("expires_at".into(), "2126-11-22T06:00:00Z".into());
            token.insert("catalog".into(), rows.into());
            let token = Token::read(&answer(Some("t"), &json!({"token": token}).to_string()), Instant::now(), &config()).unwrap();
            for service in Service::ALL {
                let found = token.places.find(service);
                prop_assert!(service != Service::Cache || found.is_ok(), "{:?}", found);
            }
        }

        /// A catalogue or a member of another JSON type does not break the login either.
        #[test]
        fn invalid_members_do_not_fail_a_login(catalog in json(), roles in json(), project in json()) {
            let token = json!({"expires_at": "2126-11-22T06:00:00Z", "catalog": catalog, "roles": roles,
                               "project": project});
            let body = json!({"token": token}).to_string();
            prop_assert!(Token::read(&answer(Some("t"), &body), Instant::now(), &config()).is_ok());
        }
    }

    /// The login requests that Keystone 22.0.2 accepted in the recordings, and those with a token.
    #[test]
    fn bodies() {
        let rows = [
            (
                "username: admin, password: admin-secret, user_domain_id: default, project_name: admin, project_domain_id: default",
                r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"admin","domain":{"id":"default"},"password":"admin-secret"}}},"scope":{"project":{"name":"admin","domain":{"id":"default"}}}}}"#,
            ),
            (
                "username: demo, password: demo-secret, user_domain_id: default",
                r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"demo","domain":{"id":"default"},"password":"demo-secret"}}}}}"#,
            ),
            (
                "application_credential_id: i, application_credential_secret: s",
                r#"{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"i","secret":"s"}}}}"#,
            ),
            (
                "application_credential_name: operator-ac, application_credential_secret: s, username: operator, user_domain_id: default",
                r#"{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"name":"operator-ac","secret":"s","user":{"name":"operator","domain":{"id":"default"}}}}}}"#,
            ),
            (
                "token: t, project_id: p",
                r#"{"auth":{"identity":{"methods":["token"],"token":{"id":"t"}},"scope":{"project":{"id":"p"}}}}"#,
            ),
            (
                "user_id: u, password: 12345, domain_name: Default",
                r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u","password":"12345"}}},"scope":{"domain":{"name":"Default"}}}}"#,
            ),
            (
                "user_id: u, password: p, trust_id: t",
                r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u","password":"p"}}},"scope":{"OS-TRUST:trust":{"id":"t"}}}}"#,
            ),
            (
                "token: t, trust_id: u",
                r#"{"auth":{"identity":{"methods":["token"],"token":{"id":"t"}},"scope":{"OS-TRUST:trust":{"id":"u"}}}}"#,
            ),
            (
                "user_id: u, password: p, system_scope: all",
                r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u","password":"p"}}},"scope":{"system":{"all":true}}}}"#,
            ),
        ];
        for (auth, body) in rows {
            let yaml = format!("clouds: {{c: {{auth: {{auth_url: 'http://k', {auth}}}}}}}");
            let config = CloudConfig::parse(&yaml, "c", None, None).unwrap();
            let expected: Value = serde_json::from_str(body).unwrap();
            assert_eq!(login(&config.auth), expected, "{auth}");
        }
    }
}
