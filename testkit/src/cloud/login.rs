//! What Keystone makes of a login.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::cloud::{
    clock::{self, Clock},
    identity::{AccessRule, ApplicationCredential, Identity, Scope, Token, User},
    ids,
    projects::Project,
    refusal::Refusal,
};

/// Who logs in, before a scope.
struct Proof {
    user: String,
    credential: Option<ApplicationCredential>,
    earlier: Option<Token>,
}

/// The token for a login's body, or why there is none.
pub(super) fn authenticate(identity: &Identity, clock: &Clock, asked: &Value) -> Result<Token, Refusal> {
    let auth = required(asked, "auth")?;
    let method_names = required(required(auth, "identity")?, "methods")?;
    let methods: Vec<String> = serde_json::from_value(method_names.clone())
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, format!("{method_names} is not of type 'array'")))?;
    let mut proof = None;
    for method in &methods {
        let given = &auth["identity"][method];
        proof = Some(match method.as_str() {
            "password" => password(identity, given)?,
            "application_credential" => application_credential(identity, clock, given)?,
            "token" => earlier_token(identity, clock, given)?,
            _ => return Err(Refusal::unauthorized()),
        });
    }
    let proof = proof.ok_or_else(Refusal::unauthorized)?;
    let scope = scope(identity, &proof, auth.get("scope"))?;
    let now = clock.now();
    let mut token = Token {
        user: scope.trust.as_ref().map_or(proof.user, |trust| trust.trustor.clone()),
        scope,
        credential: None,
        methods,
        issued: now,
        expires: clock::shift(now, clock::signed(identity.token_lifetime)),
        zoneless: identity.expires_zoneless,
    };
    if let Some(credential) = proof.credential {
        // The end of the credential comes out of the database without its zone.
        if let Some(end) = credential.expires.filter(|end| *end < token.expires) {
            token.expires = end;
            token.zoneless = true;
        }
        token.credential = Some(credential.id);
    }
    if let Some(earlier) = proof.earlier {
        token.expires = earlier.expires;
    }
    Ok(token)
}

/// The token as the answer has it, without its catalogue.
pub(super) fn describe(identity: &Identity, clock: &Clock, token: &Token) -> Value {
    let domain = json!({"id": "default", "name": "Default"});
    let user = identity.user(&token.user);
    let name = user.map_or("", |user| &user.name);
    let password_ends = user.and_then(|user| user.password_expires).map(|end| clock::zoneless(clock.tell(end)));
    let whole_seconds = |time| clock.tell(time).strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    let expires = if token.zoneless {
        clock.tell(token.expires).strftime("%Y-%m-%dT%H:%M:%S").to_string()
    } else {
        whole_seconds(token.expires)
    };
    let mut body = json!({
        "methods": token.methods,
        "user": {"domain": domain, "id": token.user, "name": name, "password_expires_at": password_ends},
        "audit_ids": [&ids::new_id()[..22]],
        "expires_at": expires,
        "issued_at": whole_seconds(token.issued),
    });
    if let Some(id) = &token.credential {
        let name = identity.credentials.iter().find(|known| known.id == *id).map(|known| &known.name);
        body["application_credential"] = json!({"id": id, "name": name, "restricted": true});
        if let Some(rules) = identity.access_rules(token).filter(|rules| !rules.is_empty()) {
            let rule = |rule: &AccessRule| json!({"id": rule.id, "method": rule.method, "path": rule.path, "service": rule.service});
            body["application_credential"]["access_rules"] = rules.iter().map(rule).collect();
        }
    }
    let with_ids = |roles: Vec<String>| roles.iter().map(|role| json!({"id": role_id(role), "name": role})).collect();
    let Scope { project, system, domain: of_domain, trust } = &token.scope;
    if *system {
        body["system"] = json!({"all": true});
    }
    if *of_domain {
        body["domain"] = domain.clone();
    }
    if let Some(project) = project {
        let known = identity.projects.get(project);
        let domain = known.map(|known| json!({"id": known.domain, "name": identity.domains.get(&known.domain)}));
        body["project"] = json!({"domain": domain, "id": project, "name": known.map(|known| &known.name)});
        match trust {
            None => body["is_domain"] = json!(false),
            Some(trust) => {
                body["OS-TRUST:trust"] = json!({
                    "id": trust.id,
                    "trustor_user": {"id": trust.trustor},
                    "trustee_user": {"id": trust.trustee},
                    "impersonation": true,
                });
            }
        }
    }
    if *system || *of_domain || project.is_some() {
        body["roles"] = with_ids(identity.roles_of(token));
    }
    body
}

fn password(identity: &Identity, given: &Value) -> Result<Proof, Refusal> {
    let asked = &given["user"];
    let user = find_user(identity, asked)?;
    if asked["password"] != json!(user.password) {
        return Err(Refusal::unauthorized());
    }
    Ok(Proof { user: user.id.clone(), credential: None, earlier: None })
}

fn application_credential(identity: &Identity, clock: &Clock, given: &Value) -> Result<Proof, Refusal> {
    let unknown = |what: &Value| {
        let what = what.as_str().unwrap_or_default();
        Refusal::new(StatusCode::NOT_FOUND, format!("Could not find Application Credential: {what}."))
    };
    let credential = if let Some(id) = given.get("id") {
        identity.credentials.iter().find(|known| *id == json!(known.id)).ok_or_else(|| unknown(id))?
    } else {
        let user = find_user(identity, &given["user"])?;
        let is_it = |known: &&ApplicationCredential| known.user == user.id && given["name"] == json!(known.name);
        identity.credentials.iter().find(is_it).ok_or_else(|| unknown(&given["name"]))?
    };
    let ended = credential.expires.is_some_and(|end| end <= clock.now());
    if ended || given["secret"] != json!(credential.secret) {
        return Err(Refusal::unauthorized());
    }
    Ok(Proof { user: credential.user.clone(), credential: Some(credential.clone()), earlier: None })
}

fn earlier_token(identity: &Identity, clock: &Clock, given: &Value) -> Result<Proof, Refusal> {
    let id = given["id"].as_str().unwrap_or_default();
    let token = identity.token(id, clock).ok_or_else(Refusal::unauthorized)?;
    Ok(Proof { user: token.user.clone(), credential: None, earlier: Some(token.clone()) })
}

/// What the token is for: what is asked for, an application credential's own project, or nothing.
fn scope(identity: &Identity, proof: &Proof, asked: Option<&Value>) -> Result<Scope, Refusal> {
    let project_alone = |project: &String| Scope { project: Some(project.clone()), ..Scope::default() };
    if let Some(credential) = &proof.credential {
        return match asked {
            Some(_) => Err(Refusal::scope_of_credential()),
            None => Ok(project_alone(&credential.project)),
        };
    }
    let Some(asked) = asked.filter(|asked| **asked != json!("unscoped")) else {
        return Ok(Scope::default());
    };
    if proof.earlier.as_ref().is_some_and(|token| token.scope.trust.is_some()) {
        let message = "You are not authorized to perform the requested action: Using trust-scoped token to create \
                       another token. Create a new trust-scoped token instead.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    if asked["system"]["all"] == true {
        let may = !identity.system_roles(&proof.user).is_empty();
        return if may { Ok(Scope { system: true, ..Scope::default() }) } else { Err(Refusal::unauthorized()) };
    }
    if let Some(domain) = asked.get("domain") {
        let known = domain["id"] == "default" || domain["name"] == "Default";
        let may = identity.user(&proof.user).is_some_and(|user| !user.domain_roles.is_empty());
        return if known && may {
            Ok(Scope { domain: true, ..Scope::default() })
        } else {
            Err(Refusal::unauthorized())
        };
    }
    if let Some(trust) = asked.get("OS-TRUST:trust") {
        let id = trust["id"].as_str().unwrap_or_default();
        let trust = identity.trusts.iter().find(|trust| trust.id == id);
        let trust = trust.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("Could not find trust: {id}.")))?;
        if trust.trustee != proof.user {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "User is not a trustee."));
        }
        return Ok(Scope { trust: Some(trust.clone()), ..project_alone(&trust.project) });
    }
    let asked = &asked["project"];
    let in_domain = |id: &String| {
        let name = identity.domains.get(id);
        asked["domain"]["id"] == json!(id) || name.is_some_and(|name| asked["domain"]["name"] == json!(name))
    };
    let is_it = |(id, project): &(&String, &Project)| {
        asked["id"] == json!(id) || (asked["name"] == json!(project.name) && in_domain(&project.domain))
    };
    let (project, _) = identity.projects.iter().find(is_it).ok_or_else(Refusal::unauthorized)?;
    if identity.roles(&proof.user, project).is_empty() {
        return Err(Refusal::unauthorized());
    }
    Ok(project_alone(project))
}

fn find_user<'a>(identity: &'a Identity, asked: &Value) -> Result<&'a User, Refusal> {
    let is_it =
        |user: &&User| asked["id"] == json!(user.id) || (asked["name"] == json!(user.name) && in_default_domain(asked));
    identity.users.iter().find(is_it).ok_or_else(Refusal::unauthorized)
}

fn in_default_domain(asked: &Value) -> bool {
    asked["domain"]["id"] == "default" || asked["domain"]["name"] == "Default"
}

fn required<'a>(value: &'a Value, key: &str) -> Result<&'a Value, Refusal> {
    let missing = || Refusal::new(StatusCode::BAD_REQUEST, format!("'{key}' is a required property"));
    value.get(key).ok_or_else(missing)
}

fn role_id(role: &str) -> &'static str {
    match role {
        "admin" => "91bd3ee3e8044b1085608720b3f78d7d",
        "member" => "973395d197994aabb4c147aa3813600f",
        _ => "ae644d092b0149f0831180861cc56bea",
    }
}
