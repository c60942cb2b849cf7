use super::*;

/// An entry, reduced to the parts that a mistake would change.
fn parse(entry: &str) -> Result<CloudConfig, String> {
    let yaml = format!("clouds:\n  other: {{auth: 1}}\n  c: {{{entry}}}\n");
    CloudConfig::parse(&yaml, "c", None, None).map_err(|error| error.to_string())
}

fn with_auth(auth: &str) -> Result<CloudConfig, String> {
    parse(&format!("auth: {{auth_url: 'http://k:5000', {auth}}}"))
}

const LOGIN: &str = "token: t, project_id: p";

#[test]
fn auth_urls() {
    let not_plain = "auth.auth_url is not a plain URL: give one with http or https, without user, password or query";
    let old = "auth.auth_url names version 2 of the identity API: replace it with v3";
    let rows = [
        ("https://k", Ok(("https://k/v3", "k"))),
        ("https://k/", Ok(("https://k/v3", "k"))),
        ("https://k:5000/v3", Ok(("https://k:5000/v3", "k:5000"))),
        ("https://k:443/v3//", Ok(("https://k/v3", "k"))),
        ("http://k/identity", Ok(("http://k/identity/v3", "k"))),
        ("http://[::1]:5000/v3", Ok(("http://[::1]:5000/v3", "[::1]:5000"))),
        ("http://k/v2.0", Err(old)),
        ("http://k/v2.0/", Err(old)),
        ("http://user:pw@k/v3", Err(not_plain)),
        ("http://user@k/v3", Err(not_plain)),
        ("http://k/v3?x=y", Err(not_plain)),
        ("file:///etc/passwd", Err(not_plain)),
        ("k:5000", Err(not_plain)),
        ("", Err("auth.auth_url is missing: give Keystone's URL")),
    ];
    for (url, expected) in rows {
        let config = parse(&format!("auth: {{auth_url: '{url}', {LOGIN}}}"));
        let found = config.map(|config| (config.auth_url.to_string(), config.host()));
        let found = found.as_ref().map(|(url, host)| (url.as_str(), host.as_str()));
        assert_eq!(found.map_err(String::as_str), expected, "{url}");
    }
}

/// A host and port has its places for queries, however its URL is written.
#[test]
fn the_host_that_is_called() {
    for (url, expected) in [
        ("https://k.example/v3", "k.example:443"),
        ("https://k.example:443/v3", "k.example:443"),
        ("http://k.example/v3", "k.example:80"),
        ("https://k.example:5000", "k.example:5000"),
        ("http://K.Example.:5000/identity", "k.example:5000"),
        ("https://k.example./v3", "k.example:443"),
        ("http://127.1:5000/v3", "127.0.0.1:5000"),
        ("http://[0:0::1]:5000/v3", "[::1]:5000"),
    ] {
        let config = parse(&format!("auth: {{auth_url: '{url}', {LOGIN}}}")).unwrap();
        assert_eq!(config.called_host(), expected, "{url}");
    }
}

#[test]
fn a_region_in_a_url() {
    let url = "auth: {auth_url: 'https://iam.{region_name}.example.com/v3', token: t}";
    let over = |text: &str| {
        format!("region_name: r-1, dcs_endpoint_override: '{text}', auth: {{auth_url: 'http://k', token: t}}")
    };
    let holds = "auth.auth_url holds {region_name}, and ";
    let rows = [
        (format!("region_name: eu_de-1, {url}"), Ok("https://iam.eu_de-1.example.com/v3")),
        (format!("regions: [eu-de, eu-nl], {url}"), Ok("https://iam.eu-de.example.com/v3")),
        (url.to_owned(), Err(format!("{holds}nothing names a region: add region_name to the entry"))),
        // The region may come from another author, who must not redirect the password to another host.
        (
            format!("region_name: evil.example/, {url}"),
            Err(format!("{holds}the region is more than letters, digits, - and _: write the URL out")),
        ),
        (
            format!("region_name: a, {}", url.replace("region_name", "profile")),
            Err("auth.auth_url holds a place holder in braces that is not {region_name}: write the URL out".into()),
        ),
        (over("http://d/{region_name}/%(project_id)s/%(user_id)s"), Ok("http://d/r-1/%(project_id)s/%(user_id)s")),
        (over("http://d/%(tenant_id)s"), Ok("http://d/%(tenant_id)s")),
        (
            over("http://d/%(domain_id)s"),
            Err("dcs_endpoint_override holds a place holder that is not known: use %(project_id)s or %(user_id)s"
                .into()),
        ),
        (
            over("http://{d}"),
            Err("dcs_endpoint_override holds a place holder in braces that is not {region_name}: write the URL out"
                .into()),
        ),
    ];
    for (entry, expected) in rows {
        let config = parse(&entry);
        let found = config.map(|config| match config.overrides.get(&Service::Cache) {
            Some(text) => text.clone(),
            None => config.auth_url.to_string(),
        });
        assert_eq!(found, expected.map(str::to_owned), "{entry}");
    }
}

#[test]
fn credentials() {
    let named = |name: &str, domain: Domain| Named::Name { name: name.into(), domain };
    let id = |id: &str| Domain::Id(id.into());
    let name = |name: &str| Domain::Name(name.into());
    let password =
        |user, password: &str, scope| Ok(Auth::Password { user, password: password.to_owned().into(), scope });
    let token = |scope| Ok(Auth::Token { token: "t".to_owned().into(), scope });
    let credential = |credential| Ok(Auth::ApplicationCredential { credential, secret: "s".to_owned().into() });
    let project = |name: &str, domain| Some(Scope::Project(named(name, domain)));
    let by_id = |id: &str| Some(Scope::Project(Named::Id(id.into())));
    let missing = |field: &str| Err(format!("{field} is missing: add it to the cloud's entry"));
    let no_domain = |field: &str| {
        Err(format!("{field} is missing: a name is unique only within a domain, so add it, often as Default"))
    };
    let two_scopes = |key: &str, other: &str| {
        Err(format!("auth.{key} cannot stand beside {other}, since a token has one scope: keep the one that is meant"))
    };
    let own_scope = |key: &str| {
        Err(format!(
            "auth.{key} cannot stand beside an application credential, which is for one project already: remove the key"
        ))
    };
    let several: Result<Auth, String> =
        Err("auth_type is missing, and the entry has more than one of password, token \
                                             and application credential: name the one that is meant"
            .into());
    let rows: Vec<(&str, Result<Auth, String>)> = vec![
        (
            "username: u, password: p, user_domain_name: D, project_name: a, project_domain_id: e",
            password(named("u", name("D")), "p", project("a", id("e"))),
        ),
        // A domain's ID takes precedence over a name, whichever key has it.
        (
            "username: u, password: p, user_domain_name: D, default_domain_id: d, project_id: j",
            password(named("u", id("d")), "p", by_id("j")),
        ),
        (
            "username: u, password: p, user_domain_name: D, domain_id: d, project_id: j",
            password(named("u", id("d")), "p", by_id("j")),
        ),
        // IDs need no domain, and take precedence over names.
        (
            "user_id: i, username: u, password: p, project_id: j, project_name: a",
            password(Named::Id("i".into()), "p", by_id("j")),
        ),
        // One domain for user and project, the fallback of openstacksdk.
        (
            "username: u, password: p, project_name: a, domain_name: D",
            password(named("u", name("D")), "p", project("a", name("D"))),
        ),
        (
            "username: u, password: p, project_name: a, default_domain_id: d, user_domain_id: e",
            password(named("u", id("e")), "p", project("a", id("d"))),
        ),
        (
            "username: u, password: p, project_name: a, default_domain: default",
            password(named("u", id("default")), "p", project("a", id("default"))),
        ),
        // Without a project, the domain is the scope.
        ("username: u, password: p, domain_id: d", password(named("u", id("d")), "p", Some(Scope::Domain(id("d"))))),
        ("user_id: u, password: p", password(Named::Id("u".into()), "p", None)),
        // Scalars keep their spelling.
        ("user_id: 007, password: 12345, project_id: 1e5", password(Named::Id("007".into()), "12345", by_id("1e5"))),
        ("user_id: u, password: true, project_id: p", password(Named::Id("u".into()), "true", by_id("p"))),
        ("user_id: u, password: '~', project_id: p", password(Named::Id("u".into()), "~", by_id("p"))),
        // Hyphens, and the old names of project keys.
        (
            "user-id: u, password: p, tenant-name: a, project-domain-name: D",
            password(Named::Id("u".into()), "p", project("a", name("D"))),
        ),
        ("application_credential_id: i, application_credential_secret: s", credential(CredentialRef::Id("i".into()))),
        (
            "application_credential_name: n, application_credential_secret: s, username: u, user_domain_id: d",
            credential(CredentialRef::Name { name: "n".into(), user: named("u", id("d")) }),
        ),
        ("token: t, project_id: p", token(by_id("p"))),
        ("user_id: u, password: p, trust_id: t", password(Named::Id("u".into()), "p", Some(Scope::Trust("t".into())))),
        ("token: t, trust-id: u", token(Some(Scope::Trust("u".into())))),
        ("user_id: u, password: p, trust_id: t, project_name: a", two_scopes("trust_id", "project_name")),
        ("user_id: u, password: p, trust_id: t, tenant_id: a", two_scopes("trust_id", "tenant_id")),
        ("user_id: u, password: p, trust_id: t, system_scope: all", two_scopes("system_scope", "trust_id")),
        ("user_id: u, password: p, trust_id: t, domain_id: d", two_scopes("trust_id", "domain_id")),
        ("token: t, system_scope: all, project_id: p", two_scopes("system_scope", "project_id")),
        ("application_credential_id: i, application_credential_secret: s, trust_id: t", own_scope("trust_id")),
        ("application_credential_id: i, application_credential_secret: s, project_name: p", own_scope("project_name")),
        (
            "application_credential_id: i, application_credential_secret: s, system_scope: all",
            own_scope("system_scope"),
        ),
        ("application_credential_id: i, application_credential_secret: s, domain_id: d", own_scope("domain_id")),
        ("user_id: u, password: p, token: t", several.clone()),
        ("user_id: u, password: p, application_credential_id: i, application_credential_secret: s", several.clone()),
        (
            "user_id: u, password: p, unscoped: true",
            Err("auth.unscoped asks for a token for no project, which can read nothing: remove it".into()),
        ),
        ("user_id: u, password: p, unscoped: false", password(Named::Id("u".into()), "p", None)),
        ("user_id: u, password: ~", missing("auth.password")),
        ("user_id: u, password: ''", missing("auth.password")),
        ("password: p", missing("auth.username")),
        ("username: u, password: p", no_domain("auth.user_domain_name")),
        ("user_id: u, password: p, project_name: a", no_domain("auth.project_domain_name")),
        ("application_credential_id: i", missing("auth.application_credential_secret")),
        ("application_credential_secret: s", missing("auth.application_credential_id")),
        ("application_credential_name: n, application_credential_secret: s", missing("auth.username")),
    ];
    for (auth, expected) in rows {
        assert_eq!(with_auth(auth).map(|config| config.auth), expected, "{auth}");
    }
}

#[test]
fn other_keys() {
    let unsupported = "auth_type is not supported: use v3applicationcredential, v3password, v3token or aksk";
    let other_login = "belongs to a login that is not supported: use a password, an application credential, a token or an \
                       access key";
    let no_regions =
        "regions is no list of regions: give names, or mappings that have name and values and nothing else";
    let one_region = "is not the entry's region, and a CloudTenant reads one region: set region_name to it, or make a \
                      CloudTenant for each region";
    let profile = "is not followed: write what the profile supplies, such as auth_url, region_name and interface, into \
                   the entry, and remove the key";
    let verify = "verify is not a truth value: use true or false";
    let no_url = "is not a plain URL: give one with http or https, without user, password or query";
    let rows: Vec<(&str, Result<(), String>)> = vec![
        ("auth_type: token", Ok(())),
        ("auth_type: v3token", Ok(())),
        ("auth_type: v3oidcpassword", Err(unsupported.into())),
        ("auth_type: password", Err("auth.username is missing: add it to the cloud's entry".into())),
        ("interface: internal", Ok(())),
        ("endpoint_type: adminURL", Ok(())),
        ("interface: private", Err("interface is not known: use public, internal or admin".into())),
        ("verify: false", Ok(())),
        ("verify: No", Ok(())),
        ("verify: maybe", Err(verify.into())),
        ("auth_plugin: v3oidcpassword", Err(unsupported.into())),
        ("auth_plugin: v3oidcpassword, auth_type: v3token", Ok(())),
        ("auth_type: v3totp, passcode: 1", Err(unsupported.into())),
        ("passcode: 1", Err(format!("passcode {other_login}"))),
        ("passcode: ~", Ok(())),
        ("auth_methods: [v3password, v3totp]", Err(format!("auth_methods {other_login}"))),
        ("protocol: saml2", Ok(())),
        ("interface: [internal, public]", Ok(())),
        ("interface: [internal, private]", Err("interface is not known: use public, internal or admin".into())),
        (
            "compute_endpoint_type: private",
            Err("compute_interface is not known: use public, internal or admin".into()),
        ),
        ("identity_interface: private", Ok(())),
        ("insecure: true", Ok(())),
        ("insecure: maybe", Err("insecure is not a truth value: use true or false".into())),
        ("regions: [a, b]", Ok(())),
        ("region_name: b, regions: [a, b]", Ok(())),
        ("region_name: c, regions: [a, {name: b}]", Err("regions lists a, b, but not c: name one of these".into())),
        ("regions: a", Err(no_regions.into())),
        ("regions: [{values: {}}]", Err(no_regions.into())),
        ("regions: [{name: a, valeus: {}}]", Err(no_regions.into())),
        ("regions: []", Ok(())),
        ("regions: ~", Ok(())),
        ("region_name: a, dcs_region_name: a", Ok(())),
        ("region_name: a, dcs_region_name: b", Err(format!("dcs_region_name {one_region}"))),
        ("compute-region-name: b", Err(format!("compute_region_name {one_region}"))),
        ("network_region_name: b, identity_region_name: c", Ok(())),
        ("compute_service_type: compute", Ok(())),
        (
            "compute_service_type: 'rax:compute'",
            Err("compute_service_type is not supported: set compute_endpoint_override instead, or remove the key".into()),
        ),
        (
            "orchestration_service_name: heat2",
            Err("orchestration_service_name is not supported: set this service's endpoint override instead, or remove \
                 the key"
                .into()),
        ),
        ("image_service_name: glance", Ok(())),
        ("identity_api_version: '3'", Ok(())),
        ("identity_api_version: v3.14", Ok(())),
        (
            "identity_api_version: 2.0",
            Err("identity_api_version is not supported: set it to 3, or remove it".into()),
        ),
        ("compute_api_version: '2.1', orchestration_api_version: 1", Ok(())),
        ("profile: ovh", Err(format!("profile {profile}"))),
        ("cloud: ovh", Err(format!("cloud {profile}"))),
        ("profile: ''", Ok(())),
        ("cacert: /etc/passwd, key: /b", Ok(())),
        (
            "cert: /a",
            Err("cert names a client certificate, which is not supported: use a credential that needs none, and remove \
                 the key"
                .into()),
        ),
        ("dcs_endpoint: 'http://d/v1.0/%(project_id)s'", Ok(())),
        ("orchestration_endpoint_override: 'http://h/v1/%(project_id)s'", Ok(())),
        ("compute_endpoint_override: nova", Err(format!("compute_endpoint_override {no_url}"))),
        ("networks: [{name: a}], floating_ip_source: None", Ok(())),
    ];
    for (more, expected) in rows {
        let config = parse(&format!("{more}, auth: {{auth_url: 'http://k', {LOGIN}}}"));
        assert_eq!(config.map(drop), expected, "{more}");
    }
    let system = |scope: &str| parse(&format!("system_scope: {scope}, auth: {{auth_url: 'http://k', token: t}}"));
    assert_eq!(system("all").map(drop), Ok(()));
    assert_eq!(system("some").unwrap_err(), "system_scope is not known: use all, or name a project");
}

/// The keys of python-otcextensions, below `auth` or beside it.
#[test]
fn access_keys() {
    let secret = |text: &str| Secret::from(text.to_owned());
    let keys =
        |token: Option<&str>| Keys { access: secret("A"), secret: secret("S"), security_token: token.map(secret) };
    let by_id = |id: &str| Some(Scope::Project(Named::Id(id.into())));
    let by_name = |name: &str| Some(Scope::ProjectOfAccount(name.into()));
    let signed = |token, scope| Ok((None, Some(scope), Some(keys(token))));
    let beside = |kind: &'static str, token| Ok((Some(kind), None, Some(keys(token))));
    let missing = |key: &str| Err(format!("{key} is missing: add it to the cloud's entry"));
    let odd = |key: &str| Err(format!("{key} has characters that no access key has: correct it, and remove spaces"));
    let no_scope = |key: &str| Err(format!("auth.{key} cannot stand beside an access key: name a project instead"));
    type Row = Result<(Option<&'static str>, Option<Option<Scope>>, Option<Keys>), String>;
    let password = "user_id: u, password: p, project_id: j";
    let rows: Vec<(String, Row)> = vec![
        ("auth_type: aksk, auth: {AT, access_key: A, secret_key: S, project_id: j}".into(), signed(None, by_id("j"))),
        ("auth_type: aksk, access_key: A, secret_key: S, auth: {AT, project_id: j}".into(), signed(None, by_id("j"))),
        ("auth: {AT, ak: A, sk: S, project_id: j}".into(), signed(None, by_id("j"))),
        ("ak: A, sk: S, security-token: T, auth: {AT, project_name: n}".into(), signed(Some("T"), by_name("n"))),
        ("auth: {AT, access_key: A, ak: B, secret_key: S, sk: T, tenant_name: n}".into(), signed(None, by_name("n"))),
        (
            "auth: {AT, ak: A, sk: S, project_name: n, project_domain_name: D, user_domain_name: D}".into(),
            signed(None, by_name("n")),
        ),
        ("auth: {AT, ak: A, sk: S, project_id: j, project_name: n}".into(), signed(None, by_id("j"))),
        ("auth: {AT, ak: A, sk: S}".into(), signed(None, None)),
        ("auth: {AT, ak: A, sk: S, domain_id: d}".into(), signed(None, Some(Scope::Domain(Domain::Id("d".into()))))),
        // `auth_type` decides, and otherwise the access key is for services that accept no token.
        (format!("auth_type: aksk, auth: {{AT, ak: A, sk: S, {password}}}"), signed(None, by_id("j"))),
        (format!("auth: {{AT, ak: A, sk: S, {password}}}"), beside("password", None)),
        (format!("auth_type: v3password, ak: A, sk: S, auth: {{AT, {password}}}"), beside("password", None)),
        (format!("ak: A, sk: S, security_token: T, auth: {{AT, {password}}}"), beside("password", Some("T"))),
        ("ak: A, sk: S, auth: {AT, token: t, project_id: j}".into(), beside("token", None)),
        (
            "ak: A, sk: S, auth: {AT, application_credential_id: i, application_credential_secret: s}".into(),
            beside("application credential", None),
        ),
        ("auth: {AT, ak: A, project_id: j}".into(), missing("secret_key")),
        ("auth: {AT, sk: S, project_id: j}".into(), missing("access_key")),
        ("auth_type: aksk, auth: {AT, project_id: j}".into(), missing("access_key")),
        (format!("auth: {{AT, ak: A, {password}}}"), missing("secret_key")),
        (format!("auth: {{AT, security_token: T, {password}}}"), missing("access_key")),
        ("auth: {AT, ak: 'A ', sk: S, project_id: j}".into(), odd("access_key")),
        ("auth: {AT, ak: \"A\\nB: c\", sk: S, project_id: j}".into(), odd("access_key")),
        ("auth: {AT, ak: 'A,B', sk: S, project_id: j}".into(), odd("access_key")),
        ("auth: {AT, ak: A, sk: S, security_token: 'ü', project_id: j}".into(), odd("security_token")),
        ("auth: {AT, ak: A, sk: S, system_scope: all}".into(), no_scope("system_scope")),
        ("auth: {AT, ak: A, sk: S, trust_id: t}".into(), no_scope("trust_id")),
        (
            "compute_endpoint_override: 'http://n/%(user_id)s', auth: {AT, ak: A, sk: S, project_id: j}".into(),
            Err("compute_endpoint_override holds %(user_id)s, which signatures do not give: write the ID out".into()),
        ),
        // The keys of OAuth 1 are other ones.
        (
            "auth: {AT, access_key: A, access_secret: S, consumer_key: c, project_id: j}".into(),
            Err("auth.access_secret belongs to a login that is not supported: use a password, an application \
                 credential, a token or an access key"
                .into()),
        ),
    ];
    for (entry, expected) in rows {
        let config = parse(&entry.replace("AT", "auth_url: 'http://k'"));
        let shown = format!("{config:?}");
        assert!(!shown.contains("access: \"A") && !shown.contains("secret: \"S"), "{shown}");
        let found = config.map(|config| {
            let keys = config.keys().cloned();
            match config.auth {
                Auth::AccessKey { scope, .. } => (None, Some(scope), keys),
                Auth::Password { .. } => (Some("password"), None, keys),
                Auth::Token { .. } => (Some("token"), None, keys),
                Auth::ApplicationCredential { .. } => (Some("application credential"), None, keys),
            }
        });
        assert_eq!(found, expected, "{entry}");
    }
}

#[test]
fn services_that_are_signed() {
    let password = "auth: {auth_url: 'http://k', user_id: u, password: p, project_id: j}";
    let services = |entry: &str| parse(entry).map(|config| config.signed_services().into_iter().collect::<Vec<_>>());
    for (entry, expected) in [
        (format!("ak: A, sk: S, {password}"), Ok(vec![])),
        (format!("ak: A, sk: S, dcs_auth_type: aksk, {password}"), Ok(vec![Service::Cache])),
        (format!("auth_type: aksk, ak: A, sk: S, {password}"), Ok(Service::ALL.to_vec())),
        (
            format!("dcs_auth_type: aksk, {password}"),
            Err("dcs_auth_type needs an access key: add access_key and secret_key to the entry".to_owned()),
        ),
        (
            format!("ak: A, sk: S, compute-auth-type: v3token, {password}"),
            Err("compute_auth_type is not supported: use aksk, or remove the key".to_owned()),
        ),
    ] {
        assert_eq!(services(&entry), expected, "{entry}");
    }
}

/// openstacksdk moves some keys into `auth` before it reads them. For the other keys, the value in `auth` wins.
#[test]
fn keys_beside_auth() {
    let auth = "auth: {auth_url: 'http://k', user_id: u, password: p, username: n, user_domain_id: d, tenant_id: t}";
    let project = |id: &str| Some(Scope::Project(Named::Id(id.into())));
    let user = |id: &str, password: &str, scope| Auth::Password {
        user: Named::Id(id.into()),
        password: password.to_owned().into(),
        scope,
    };
    let rows = [
        ("tenant_id: x", user("u", "p", project("x"))),
        ("project-id: x", user("u", "p", project("x"))),
        ("project_id: ''", user("u", "p", project("t"))),
        ("user_id: x, password: y", user("u", "p", project("t"))),
    ];
    for (beside, expected) in rows {
        assert_eq!(parse(&format!("{beside}, {auth}")).map(|config| config.auth), Ok(expected), "{beside}");
    }
    let both = "project_name: outer, auth: {auth_url: 'http://k', user_id: u, password: p, project_name: inner, \
                project_domain_id: d}";
    let named = Named::Name { name: "outer".into(), domain: Domain::Id("d".into()) };
    assert_eq!(parse(both).unwrap().auth, user("u", "p", Some(Scope::Project(named))));
    let tokens = "token: outer, auth: {auth_url: 'http://k', token: inner, auth_token: older}";
    assert_eq!(parse(tokens).unwrap().auth, Auth::Token { token: "outer".to_owned().into(), scope: None });
}

/// A region's values take precedence over the entry's, as in openstacksdk.
#[test]
fn regions_with_values() {
    let yaml = "
clouds:
  c:
    auth: {auth_url: 'http://k', user_id: u, password: p, project_id: j}
    interface: public
    dcs_endpoint_override: http://dcs
    regions:
      - a
      - name: b
        values:
          auth: {auth-url: 'http://k-{region_name}', project_id: own}
          interface: internal
          verify: false
          dcs_endpoint_override: ~
          region_name: ignored
          regions: [x]
          pasword: typing
      - name: c
        values: {profile: x}
      - {name: 010, values: ~}
";
    let read = |region| CloudConfig::parse_with_notes(yaml, "c", None, region);
    let (config, notes) = read(None).unwrap();
    assert_eq!((config.region(), notes.first_of), (Some("a"), Some("regions")));
    assert_eq!((config.auth_url.as_str(), config.verify, notes.ignored), ("http://k/v3", true, vec![]));
    let (config, notes) = read(Some("b")).unwrap();
    assert_eq!((config.region(), notes.first_of), (Some("b"), None));
    assert_eq!((config.auth_url.as_str(), config.verify), ("http://k-b/v3", false));
    assert_eq!(config.interfaces(Service::Compute), [Interface::Internal]);
    assert_eq!(config.overrides.len(), 1);
    assert_eq!(notes.ignored, ["pasword", "regions"]);
    let Auth::Password { scope, .. } = config.auth else { panic!() };
    assert_eq!(scope, Some(Scope::Project(Named::Id("own".into()))));
    assert!(read(Some("c")).unwrap_err().to_string().starts_with("profile is not followed"));
    assert_eq!(read(Some("010")).unwrap().0.region(), Some("010"));
    let error = read(Some("d")).unwrap_err().to_string();
    assert_eq!(error, "regions lists a, b, c, 010, but not d: name one of these");
}

#[test]
fn several_region_names() {
    let rows = [
        ("region_name: 'a, b'", None, Some("a"), Some("region_name")),
        ("region_name: [b, a]", None, Some("b"), Some("region_name")),
        ("region_name: [b]", None, Some("b"), None),
        ("region_name: a,b", Some("b"), Some("b"), None),
        ("region_name: 007", None, Some("007"), None),
        ("region_name: no", None, Some("no"), None),
        ("region_name: [b, a], regions: [a, b]", None, Some("b"), Some("region_name")),
        ("regions: [no, yes]", None, Some("no"), Some("regions")),
        ("region_name: ''", None, None, None),
    ];
    for (more, wanted, region, first_of) in rows {
        let yaml = format!("clouds: {{c: {{{more}, auth: {{auth_url: 'http://k', {LOGIN}}}}}}}");
        let (config, notes) = CloudConfig::parse_with_notes(&yaml, "c", None, wanted).unwrap();
        assert_eq!((config.region(), notes.first_of), (region, first_of), "{more} {wanted:?}");
    }
}

#[test]
fn certificates_are_checked_unless_either_key_says_no() {
    for (more, verify) in [
        ("verify: true", true),
        ("verify: false", false),
        ("insecure: true", false),
        ("insecure: true, verify: true", false),
        ("insecure: false, verify: false", false),
        ("insecure: false", true),
        ("insecure: ~", true),
    ] {
        let config = parse(&format!("{more}, auth: {{auth_url: 'http://k', {LOGIN}}}")).unwrap();
        assert_eq!(config.verifies(), verify, "{more}");
    }
}

#[test]
fn interfaces_of_services() {
    let auth = "auth: {auth_url: 'http://k', token: t}";
    let rows: [(&str, &[Interface]); 6] = [
        ("", &[Interface::Public]),
        ("interface: adminURL,", &[Interface::Admin]),
        ("interface: admin, endpoint_type: internalURL,", &[Interface::Internal]),
        ("interface: [internal, public, internal],", &[Interface::Internal, Interface::Public]),
        ("interface: admin, compute-interface: internal,", &[Interface::Internal]),
        ("interface: admin, orchestration_interface: internal,", &[Interface::Admin]),
    ];
    for (more, expected) in rows {
        assert_eq!(parse(&format!("{more} {auth}")).unwrap().interfaces(Service::Compute), expected, "{more}");
    }
}

#[test]
fn system_scope_in_either_place() {
    let rows = [
        ("system_scope: all, auth: {auth_url: 'http://k', token: t}", true),
        ("auth: {auth_url: 'http://k', token: t, system_scope: all}", true),
        ("auth: {auth_url: 'http://k', token: t, project_id: p}", false),
        ("auth: {auth_url: 'http://k', application_credential_id: a, application_credential_secret: s}", false),
    ];
    for (entry, expected) in rows {
        assert_eq!(parse(entry).unwrap().is_system_scoped(), expected, "{entry}");
    }
}

#[test]
fn ignored_keys_are_named() {
    let yaml = "clouds: {c: {region-name: a, regionname: b, cacert: /x, auth: {auth_url: 'http://k', pasword: p}}}";
    let error = CloudConfig::parse_with_notes(yaml, "c", None, None).unwrap_err().to_string();
    assert!(error.starts_with("auth.username is missing"), "{error}");
    let yaml = yaml.replace("auth: {", "identity_api_version: 3, auth: {token: t, auth_type: v3token, ");
    let (_, notes) = CloudConfig::parse_with_notes(&yaml, "c", None, None).unwrap();
    assert_eq!(notes.ignored, ["auth.auth_type", "auth.pasword", "cacert", "regionname"]);
}

#[test]
fn regions_and_authorities() {
    let yaml = "clouds: {c: {region_name: a, auth: {auth_url: http://k, token: t}}}";
    let region = |wanted| {
        let config = CloudConfig::parse(yaml, "c", None, wanted).unwrap();
        config.region().map(str::to_owned)
    };
    assert_eq!(region(None).as_deref(), Some("a"));
    assert_eq!(region(Some("b")).as_deref(), Some("b"));
    assert_eq!(region(Some("")).as_deref(), Some("a"));

    let error = CloudConfig::parse(yaml, "c", Some("no PEM"), None).unwrap_err();
    let sentence = "cacert holds no certificate: give one or more in PEM";
    assert_eq!(error.to_string(), sentence);
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = CloudConfig::parse(yaml, "c", Some(damaged), None).unwrap_err();
    let sentence = "cacert holds a certificate that cannot be read: give each one whole, in PEM";
    assert_eq!(error.to_string(), sentence);
    let empty = CloudConfig::parse(yaml, "c", Some(" \n"), None).unwrap();
    assert_eq!(empty, CloudConfig::parse(yaml, "c", None, None).unwrap());
}

#[test]
fn files() {
    let bomb = {
        let mut text = "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
        for n in 1..12 {
            let alias = format!("*x{}", n - 1);
            text += &format!("x{n}: &x{n} [{}]\n", vec![alias; 10].join(", "));
        }
        text + "clouds: {c: {auth: {auth_url: http://k, token: t}}}\n"
    };
    let deep = format!("clouds: {}", "[".repeat(100_000));
    let rows = [
        ("clouds: {b: {}, a: {}}", "clouds.yaml has no cloud named c (it has: a, b)"),
        ("clouds: {}", "clouds.yaml has no cloud named c (it has: )"),
        ("cloud: {c: {}}", "clouds is missing from clouds.yaml: put the entries below this key"),
        ("clouds: {c: {auth: {password: [hunter2]}}}", "clouds.yaml cannot be read at line 1"),
        ("clouds: {c: {auth: hunter2}}", "clouds.yaml cannot be read at line 1"),
        ("clouds: {c: {auth: {password: 'hunter2}}}", "clouds.yaml cannot be read at line 1"),
        ("clouds:\n  c: *hunter2\n", "clouds.yaml cannot be read at line 2"),
        ("hunter2", "clouds.yaml cannot be read at line 1"),
        ("", "clouds is missing from clouds.yaml"),
        ("clouds: {}\n---\nclouds: {}\n", "clouds.yaml cannot be read"),
        (&bomb, "clouds.yaml cannot be read"),
        (&deep, "clouds.yaml cannot be read"),
    ];
    for (yaml, sentence) in rows {
        let started = std::time::Instant::now();
        let error = CloudConfig::parse(yaml, "c", None, None).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(sentence), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(started.elapsed().as_secs() < 5, "{sentence}");
    }
}

/// A line is: the key | the maximum number of characters | the field in the message. The login uses a token.
#[test]
fn values_have_a_maximum_length() {
    for (key, most, field) in [
        ("region_name", 255, "region_name"),
        ("region_name: [", 255, "region_name"),
        ("regions: [", 255, "region_name"),
        ("auth: {user_domain_name", 255, "auth.user_domain_name"),
        ("auth: {project_name", 255, "auth.project_name"),
        ("auth: {token", 16_384, "auth.token"),
        ("auth: {password", 16_384, "auth.password"),
        ("dcs_endpoint_override: http://", 2048 - 7, "dcs_endpoint_override"),
        ("compute_region_name", 255, "compute_region_name"),
    ] {
        let key = if key.contains([':']) && !key.starts_with("auth") { key.to_owned() } else { format!("{key}: ") };
        let close = if key.contains('[') { "]" } else { "" };
        let read = |length: usize| {
            let value = format!("{key}{}{close}", "ü".repeat(length));
            let auth = "auth_url: http://k, token: t, auth_type: token";
            let entry = match value.strip_prefix("auth: {") {
                Some(value) => format!("auth: {{auth_url: http://k, token: t, {value}}}, auth_type: token"),
                None => format!("{value}, auth: {{{auth}}}"),
            };
            let yaml = format!("clouds: {{c: {{{entry}}}}}");
            CloudConfig::parse(&yaml, "c", None, None).map_err(|error| error.to_string())
        };
        let problem = format!(
            "{field} has more than {} characters, which no cloud accepts: correct it",
            most.max(2048 * usize::from(most == 2041))
        );
        assert_eq!(read(most + 1).unwrap_err(), problem, "{key}");
        let fits = read(most);
        assert!(!fits.as_ref().is_err_and(|error| error.contains("more than")), "{key}: {fits:?}");
    }
    let region = "r".repeat(256);
    let yaml = "clouds: {c: {auth: {auth_url: http://k, token: t}}}";
    let error = CloudConfig::parse(yaml, "c", None, Some(&region)).unwrap_err();
    assert_eq!(error.to_string(), "region_name has more than 255 characters, which no cloud accepts: correct it");
}

#[test]
fn long_files_are_refused() {
    let yaml = |length: usize| {
        let entry = "clouds: {c: {auth: {auth_url: http://k, token: t}}}\n#";
        format!("{entry}{}", " ".repeat(length - entry.len()))
    };
    assert!(CloudConfig::parse(&yaml(512 << 10), "c", None, None).is_ok());
    let error = CloudConfig::parse(&yaml((512 << 10) + 1), "c", None, None).unwrap_err();
    assert_eq!(error.to_string(), "clouds.yaml has more than 512 KiB: keep the entries that CloudTenants name");
    let yaml = yaml(100);
    let error = CloudConfig::parse(&yaml, "c", Some(&"-".repeat((512 << 10) + 1)), None).unwrap_err();
    assert_eq!(error.to_string(), "cacert has more than 512 KiB: keep the authorities of this cloud's servers");
    let error = CloudConfig::parse(&yaml, "c", Some(&"-".repeat(512 << 10)), None).unwrap_err();
    assert_eq!(error.to_string(), "cacert holds no certificate: give one or more in PEM");
}

/// Merge keys of an ordinary file stay within the limit on aliases: 90 entries, each with a mapping of ten keys.
#[test]
fn an_ordinary_files_merge_keys_are_read() {
    let keys = ["username: u", "password: p", "user_domain_name: d", "project_domain_name: d", "project_name: p"];
    let more = (0..5).map(|number| format!("key{number}: v"));
    let keys: Vec<String> = keys.map(str::to_owned).into_iter().chain(more).collect();
    let mut yaml = format!("common: &common {{auth_url: http://k, {}}}\nclouds:\n", keys.join(", "));
    for number in 0..90 {
        let place = "region_name: RegionOne\n    auth:\n      <<: *common\n";
        yaml += &format!("  cloud-{number}:\n    {place}      project_name: p-{number}\n");
    }
    let config = CloudConfig::parse(&yaml, "cloud-89", None, None).unwrap();
    assert_eq!(config.region(), Some("RegionOne"));
}

/// openstacksdk uses PyYAML: anchors and merge keys work, and the last of two equal keys applies.
#[test]
fn anchors_and_merges() {
    let yaml = "
common: &common
  auth_url: http://k
  user_domain_name: Default
clouds:
  c:
    region_name: a
    region_name: b
    auth:
      <<: *common
      username: u
      password: p
";
    let config = CloudConfig::parse(yaml, "c", None, None).unwrap();
    assert_eq!(config.region(), Some("b"));
    assert_eq!(config.auth_url.as_str(), "http://k/v3");
}

#[test]
fn debug_shows_no_secret() {
    for auth in [
        "user_id: u, password: hunter2",
        "token: hunter2",
        "application_credential_id: i, application_credential_secret: hunter2",
    ] {
        let config = with_auth(auth).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config, with_auth(auth).unwrap());
        assert_ne!(config, with_auth(&auth.replace("hunter2", "hunter3")).unwrap());
    }
}
