//! Keystone's token: what is sent for it, and what comes back.

use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::catalogue::Catalogue;
use super::config::{Auth, Credential, Domain, Named, Scope};
use super::rows::{List, Rows};
use super::{Answer, Error, Secret};

/// The project that a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenProject {
    /// The project's id.
    pub id: String,
    /// The project's name.
    pub name: String,
}

/// What Keystone tells of a credential when it issues a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The user's name.
    pub user: String,
    /// The user's id.
    pub user_id: String,
    /// The names of the roles that the token carries, sorted.
    pub roles: Vec<String>,
    /// When the token ends.
    pub token_ends: Option<Timestamp>,
    /// When the user's password ends, where it does.
    pub password_ends: Option<Timestamp>,
    /// The application credential's id, where one was used.
    pub application_credential: Option<String>,
}

/// A token and what came with it.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) value: Secret,
    pub(super) project: Option<TokenProject>,
    pub(super) catalogue: Catalogue,
    /// When it was asked for, by our monotonic clock.
    asked: Instant,
    lifetime: Duration,
    /// What else Keystone has told of the credential.
    pub(super) holder: Holder,
    /// How far Keystone's clock was ahead of ours when it issued the token.
    pub(super) ahead: SignedDuration,
}

#[derive(Deserialize)]
struct Envelope {
    token: Body,
}

#[derive(Deserialize)]
struct Body {
    expires_at: String,
    issued_at: Option<String>,
    project: Option<TokenProject>,
    catalog: Option<Catalogue>,
    #[serde(default)]
    user: User,
    #[serde(default)]
    roles: List<Roles>,
    application_credential: Option<Id>,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    password_expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

/// They are only shown, to a person.
#[derive(Default)]
struct Roles(Vec<String>);

impl Rows for Roles {
    type Row = Role;

    fn add(&mut self, role: Role) {
        const MOST: usize = 100;
        const LONGEST: usize = 255;
        if self.0.len() < MOST && role.name.len() <= LONGEST {
            self.0.push(role.name);
        }
    }
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

impl Token {
    /// Reads the answer to a login that was sent at `asked`.
    ///
    /// The lifetime is counted from Keystone's own `issued_at`, so its clock and ours may differ.
    pub(super) fn read(answer: &Answer, asked: Instant) -> Result<Token, Error> {
        let value = answer.header("x-subject-token").ok_or(Error::Unexpected("the login's answer has no token"))?;
        let body = serde_json::from_slice::<Envelope>(&answer.body)
            .map_err(|_| Error::Unexpected("the login's answer is not Keystone's JSON"))?
            .token;
        let end = time(&body.expires_at).ok_or(Error::Unexpected("the token's end is not a readable time"))?;
        let start = body.issued_at.as_deref().and_then(time);
        let now = Timestamp::now();
        let start = start.or(answer.date).unwrap_or(now);
        let lifetime = Duration::try_from(end.duration_since(start)).unwrap_or_default();
        if lifetime.is_zero() {
            return Err(Error::Unexpected("the token ends when it begins"));
        }
        let List(Roles(mut roles)) = body.roles;
        roles.sort();
        let holder = Holder {
            password_ends: body.user.password_expires_at.as_deref().and_then(time),
            user: body.user.name,
            user_id: body.user.id,
            roles,
            token_ends: Some(end),
            application_credential: body.application_credential.map(|credential| credential.id),
        };
        Ok(Token {
            holder,
            value: value.to_owned().into(),
            project: body.project,
            catalogue: body.catalog.unwrap_or_default(),
            asked,
            lifetime,
            ahead: start.duration_since(now),
        })
    }

    /// Neither a project nor a catalogue: Keystone found no default project for the user.
    pub(super) fn is_unscoped(&self) -> bool {
        self.project.is_none() && self.catalogue.is_empty()
    }

    pub(super) fn has_ended(&self, now: Instant) -> bool {
        self.remaining(now).is_zero()
    }

    /// The last five minutes, or the last tenth of a short life.
    pub(super) fn ends_soon(&self, now: Instant) -> bool {
        self.remaining(now) < (self.lifetime / 10).min(Duration::from_secs(300))
    }

    fn remaining(&self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.asked);
        self.lifetime.saturating_sub(age)
    }
}

/// Keystone drops the zone of a time that an application credential's end has set (seen with 22.0.2); it means UTC.
fn time(text: &str) -> Option<Timestamp> {
    let zoned = text.parse::<Timestamp>().ok();
    zoned.or_else(|| {
        let local = text.parse::<DateTime>().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[derive(Deserialize)]
struct ApplicationCredential {
    application_credential: Ends,
}

#[derive(Deserialize)]
struct Ends {
    expires_at: Option<String>,
}

/// Reads `GET /v3/users/{user}/application_credentials/{id}`; `None` if it is no such answer.
pub(super) fn application_credential_ends(body: &[u8]) -> Option<Option<Timestamp>> {
    let body: ApplicationCredential = serde_json::from_slice(body).ok()?;
    Some(body.application_credential.expires_at.as_deref().and_then(time))
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Deserialize)]
struct RefusalError {
    code: u16,
}

/// Whether this is Keystone's own JSON for a 404.
pub(super) fn says_not_found(body: &[u8]) -> bool {
    serde_json::from_slice::<Refusal>(body).is_ok_and(|refusal| refusal.error.code == 404)
}

/// What a login sends in confidence.
pub(super) const fn secret(auth: &Auth) -> &Secret {
    match auth {
        Auth::Password { password, .. } => password,
        Auth::ApplicationCredential { secret, .. } => secret,
        Auth::Token { token, .. } => token,
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
                Credential::Id(id) => json!({"id": id}),
                Credential::Name { name, user } => json!({"name": name, "user": named(user)}),
            };
            credential["secret"] = secret.expose().into();
            // It brings its own scope: Keystone refuses it together with another.
            let method = "application_credential";
            (json!({"methods": [method], method: credential}), None)
        }
        Auth::Token { token, scope } => {
            let identity = json!({"methods": ["token"], "token": {"id": token.expose()}});
            (identity, scope.as_ref())
        }
    };
    match scope {
        None => json!({"auth": {"identity": identity}}),
        Some(Scope::Project(project)) => {
            json!({"auth": {"identity": identity, "scope": {"project": named(project)}}})
        }
        Some(Scope::System) => json!({"auth": {"identity": identity, "scope": {"system": {"all": true}}}}),
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
    use reqwest::header::HeaderMap;

    use super::super::CloudConfig;
    use super::*;

    /// A login answered at 05:00 by the cloud's clock.
    fn answer(token: Option<&str>, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("date", "Sun, 22 Nov 2026 05:00:00 GMT".parse().unwrap());
        if let Some(token) = token {
            headers.insert("x-subject-token", token.parse().unwrap());
        }
        Answer::new(201, headers, body.as_bytes().to_vec(), None)
    }

    #[test]
    fn lifetimes() {
        let issued = r#", "issued_at": "2026-11-22T04:00:00.000000Z""#;
        let rows = [
            ("2026-11-22T05:00:00.000000Z", issued, Some(3600)),
            ("2026-11-22T04:52:21", issued, Some(3141)),
            ("2026-11-22T04:52:21", r#", "issued_at": "2026-11-22T04:52:11""#, Some(10)),
            // Without issued_at, the answer's Date stands in.
            ("2026-11-22T05:10:00Z", "", Some(600)),
            ("2026-11-22T04:00:00Z", issued, None),
            ("2026-11-22T03:00:00Z", issued, None),
            ("tomorrow", issued, None),
        ];
        for (expires, issued, seconds) in rows {
            let body = format!(r#"{{"token": {{"expires_at": "{expires}"{issued}}}}}"#);
            let token = Token::read(&answer(Some("t"), &body), Instant::now());
            let lifetime = token.ok().map(|token| token.lifetime.as_secs());
            assert_eq!(lifetime, seconds, "{expires} {issued}");
        }
    }

    #[test]
    fn renewal_is_due_in_the_last_tenth_or_five_minutes() {
        for (lifetime, due, ended) in [(3600, 3301, 3600), (100, 91, 100), (86400, 86101, 86400)] {
            let start = Instant::now();
            let token = Token {
                value: Secret::from(String::new()),
                project: None,
                catalogue: Catalogue::default(),
                asked: start,
                lifetime: Duration::from_secs(lifetime),
                holder: Holder::default(),
                ahead: SignedDuration::ZERO,
            };
            let at = |seconds| start + Duration::from_secs(seconds);
            assert!(!token.ends_soon(at(due - 1)), "{lifetime}");
            assert!(token.ends_soon(at(due)), "{lifetime}");
            assert!(!token.has_ended(at(ended - 1)), "{lifetime}");
            assert!(token.has_ended(at(ended)), "{lifetime}");
        }
    }

    #[test]
    fn answers_that_are_none() {
        let good = r#"{"token": {"expires_at": "2026-11-22T06:00:00Z"}}"#;
        for (token, body, problem) in [
            (None, good, "the login's answer has no token"),
            (Some("t"), "<html>", "the login's answer is not Keystone's JSON"),
            (Some("t"), "{}", "the login's answer is not Keystone's JSON"),
        ] {
            let error = Token::read(&answer(token, body), Instant::now()).unwrap_err();
            assert_eq!(error, Error::Unexpected(problem));
        }
        let token = Token::read(&answer(Some("gAAAA"), good), Instant::now()).unwrap();
        assert!(!format!("{token:?}").contains("gAAAA"));
    }

    /// The bodies that Keystone 22.0.2 has answered with 201 in the recordings, and those of a token.
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
                "application_credential_id: i, application_credential_secret: s, project_id: p",
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
        ];
        for (auth, body) in rows {
            let yaml = format!("clouds: {{c: {{auth: {{auth_url: 'http://k', {auth}}}}}}}");
            let config = CloudConfig::parse(&yaml, "c", None, None).unwrap();
            let expected: Value = serde_json::from_str(body).unwrap();
            assert_eq!(login(&config.auth), expected, "{auth}");
        }
    }
}
