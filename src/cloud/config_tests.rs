use super::*;

/// An entry, reduced to what matters to the tests: the parts that a mistake would change.
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
        let seen = config.map(|config| (config.auth_url.to_string(), config.host()));
        let seen = seen.as_ref().map(|(url, host)| (url.as_str(), host.as_str()));
        assert_eq!(seen.map_err(String::as_str), expected, "{url}");
    }
    let vendor = parse("profile: ovh, auth: {token: t}").unwrap_err();
    assert_eq!(vendor, "auth.auth_url is missing: give Keystone's URL, since profiles of vendors are not followed");
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
    let rows: Vec<(&str, Result<Auth, String>)> = vec![
        (
            "username: u, password: p, user_domain_name: D, project_name: a, project_domain_id: e",
            password(named("u", name("D")), "p", project("a", id("e"))),
        ),
        // Ids need no domain, and win over names.
        (
            "user_id: i, username: u, password: p, project_id: j, project_name: a",
            password(Named::Id("i".into()), "p", by_id("j")),
        ),
        // One domain for both, as openstacksdk falls back.
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
        // Without a project the domain is the scope.
        ("username: u, password: p, domain_id: d", password(named("u", id("d")), "p", Some(Scope::Domain(id("d"))))),
        ("user_id: u, password: p", password(Named::Id("u".into()), "p", None)),
        // Scalars are taken as they are written.
        ("user_id: 007, password: 12345, project_id: 1e5", password(Named::Id("007".into()), "12345", by_id("1e5"))),
        ("user_id: u, password: true, project_id: p", password(Named::Id("u".into()), "true", by_id("p"))),
        ("user_id: u, password: '~', project_id: p", password(Named::Id("u".into()), "~", by_id("p"))),
        // Hyphens and the old names of a project.
        (
            "user-id: u, password: p, tenant-name: a, project-domain-name: D",
            password(Named::Id("u".into()), "p", project("a", name("D"))),
        ),
        ("application_credential_id: i, application_credential_secret: s", credential(Credential::Id("i".into()))),
        (
            "application_credential_name: n, application_credential_secret: s, username: u, user_domain_id: d",
            credential(Credential::Name { name: "n".into(), user: named("u", id("d")) }),
        ),
        ("token: t, project_id: p", token(by_id("p"))),
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
    let unsupported = "auth_type is not supported: use v3applicationcredential, v3password or v3token";
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
        ("regions: [a, b]", Ok(())),
        ("cacert: /etc/passwd, cert: /a, key: /b", Ok(())),
        ("orchestration_endpoint_override: 'http://h/v1/%(project_id)s'", Ok(())),
        ("compute_endpoint_override: nova", Err(format!("compute_endpoint_override {no_url}"))),
        ("system_scope: all", Ok(())),
        ("system_scope: some", Err("system_scope is not known: use all, or name a project".into())),
        ("networks: [{name: a}], floating_ip_source: None", Ok(())),
    ];
    for (more, expected) in rows {
        let config = parse(&format!("{more}, auth: {{auth_url: 'http://k', {LOGIN}}}"));
        assert_eq!(config.map(drop), expected, "{more}");
    }
}

#[test]
fn system_scope_stands_above_a_project() {
    let rows = [
        ("system_scope: all, auth: {auth_url: 'http://k', token: t, project_id: p}", true),
        ("auth: {auth_url: 'http://k', token: t, system_scope: all}", true),
        ("auth: {auth_url: 'http://k', token: t, project_id: p}", false),
        // An application credential brings its own scope.
        (
            "system_scope: all, auth: {auth_url: 'http://k', application_credential_id: a, \
             application_credential_secret: s}",
            false,
        ),
    ];
    for (entry, expected) in rows {
        assert_eq!(parse(entry).unwrap().is_system_scoped(), expected, "{entry}");
    }
}

#[test]
fn ignored_keys_are_named() {
    let yaml = "clouds: {c: {region-name: a, regionname: b, cacert: /x, auth: {auth_url: 'http://k', pasword: p}}}";
    let ignored = CloudConfig::ignored_keys(yaml, "c").unwrap();
    assert_eq!(ignored, ["auth.pasword", "cacert", "regionname"]);
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

/// openstacksdk reads with PyYAML: anchors and merge keys work, and the last of two equal keys counts.
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
