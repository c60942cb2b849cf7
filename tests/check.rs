//! `cloudtenant-operator check` as a person runs it, against the simulated cloud.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

#[path = "cluster/subjects.rs"]
mod subjects;

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::{
    certificates::{Authority, Issued, rcgen},
    cloud::{CacheCounts, Fault, Service, SimulatedCloud},
};

const SECRETS: [&str; 4] = ["operator-secret", "operator-ac-secret", "hunter2", "gAAAAA"];

/// Runs `check` on this CloudTenant's spec and this clouds.yaml. Whatever comes of it, no secret is printed.
fn check(spec: &Value, clouds: &str, more: &[&str]) -> (i32, String) {
    check_in(&[], spec, clouds, more)
}

/// How an entry with an access key authenticates, and what is wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn access_keys() {
    let cloud = cloud().await;
    cloud.add_access_key("AKIDEXAMPLE", "sk-example", Some("st-example"));
    let entry = |secret: &str| {
        cloud.clouds_yaml_access_key("openstack", "AKIDEXAMPLE", secret, &[("security_token", "st-example")])
    };
    let by_clock = "signatures use the cloud's clock, since this host's is more than 15 minutes behind the cloud's";
    let by_keys = "by signatures (AK/SK): each request is signed with the access key";
    let scope = format!("project {}", cloud.admin_project());
    let wrong = "Keystone refuses the signature: correct access_key and secret_key";
    for (minutes, secret, status, parts) in [
        (0, "sk-example", 0, &[by_keys, scope.as_str(), "DCS at "][..]),
        (20, "sk-example", 0, &[by_keys, by_clock]),
        (0, "other", 2, &[wrong, "reason: AuthenticationFailed"]),
    ] {
        cloud.set_date_skew(jiff::SignedDuration::from_mins(minutes));
        let (found, text) = check(&spec(&json!({ "projectID": cloud.admin_project() })), &entry(secret), &[]);
        assert_eq!(found, status, "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}\n{text}");
        assert!(!["AKIDEXAMPLE", "sk-example", "st-example"].iter().any(|secret| text.contains(secret)), "{text}");
    }
}

/// [`check`] with these variables of the environment.
fn check_in(environment: &[(&str, &str)], spec: &Value, clouds: &str, more: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let tenant = json!({ "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": "t" },
        "spec": spec });
    fs::write(path("tenant.yaml"), tenant.to_string()).unwrap();
    fs::write(path("clouds.yaml"), clouds).unwrap();
    let (tenant, clouds) = (path("tenant.yaml"), path("clouds.yaml"));
    let args = ["check", "-f", tenant.as_str(), "--clouds", clouds.as_str()];
    run_in(environment, &[&args[..], more].concat())
}

fn run(arguments: &[&str]) -> (i32, String) {
    run_in(&[], arguments)
}

fn run_in(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let binary = env!("CARGO_BIN_EXE_cloudtenant-operator");
    // Nothing of the environment: it may name a proxy, or a cluster. The simulated cloud is on this host.
    let mut command = Command::new(binary);
    command.args(arguments).env_clear().env("ALLOW_CLOUD_CIDR", "127.0.0.0/8").envs(environment.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{arguments:?} printed a secret:\n{text}");
    (status.code().unwrap(), text)
}

fn spec(more: &Value) -> Value {
    let mut spec = json!({ "projectID": "p1", "cloudCredentialsRef": { "secretName": "cloud" }, "timeout": "20s" });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

async fn cloud() -> SimulatedCloud {
    let cloud = SimulatedCloud::start().await.unwrap();
    cloud.add_tenant("p1");
    cloud
}

/// What is made of the cloud, and of the clouds.yaml.
type Make = fn(&SimulatedCloud) -> String;

fn as_it_is(cloud: &SimulatedCloud) -> String {
    cloud.clouds_yaml("openstack")
}

#[tokio::test]
async fn what_is_seen_decides_how_it_ends() {
    let rows: &[(&str, Value, Make, i32, &[&str])] = &[
        (
            "well",
            json!({}),
            as_it_is,
            0,
            &["✔ engines", "allowed; 2/2 engines up.", "The operator would write:", "reason: Healthy"],
        ),
        (
            "with an application credential",
            json!({}),
            |cloud| cloud.clouds_yaml_application_credential("openstack"),
            0,
            &["✔ login        as operator"],
        ),
        (
            "unknown keys are named",
            json!({}),
            |cloud| as_it_is(cloud) + "    regionname: x\n    password-file: /hunter2\n",
            0,
            &["! clouds.yaml", "not read: password_file, regionname"],
        ),
        (
            "a password that ends",
            json!({}),
            |cloud| {
                cloud.set_password_expiry(Some(Timestamp::now() + Duration::from_secs(86_400)));
                as_it_is(cloud)
            },
            0,
            &["! login        as operator, with a credential that ends at ", "credentialsExpireAt: "],
        ),
        (
            "what is disabled is not asked",
            json!({"probes": {"engines": {"policy": "Disabled"}}}),
            |cloud| {
                cloud.fault(Service::Heat, Fault::Unreachable);
                as_it_is(cloud)
            },
            0,
            &["- engines", "probes.engines.policy is Disabled"],
        ),
        (
            "what is not offered does not count",
            json!({}),
            |cloud| {
                cloud.set_in_catalogue("dcs", false);
                as_it_is(cloud)
            },
            0,
            &["- caches", "not in the catalogue"],
        ),
        (
            "an engine is down",
            json!({}),
            |cloud| {
                cloud.kill_engine("engine-1.lab");
                cloud.advance(Duration::from_secs(600));
                as_it_is(cloud)
            },
            1,
            &["✘ engines", "1/2 engines up", "reason: EnginesDown"],
        ),
        (
            "an engine is down, at once whatever the threshold",
            json!({"probes": {"engines": {"failureThreshold": 9}}}),
            |cloud| {
                cloud.kill_engine("engine-1.lab");
                cloud.advance(Duration::from_secs(600));
                as_it_is(cloud)
            },
            1,
            &["reason: EnginesDown"],
        ),
        (
            "caches are in error",
            json!({}),
            |cloud| {
                cloud.set_caches("p1", CacheCounts::redis(&[("error", 1)]));
                as_it_is(cloud)
            },
            1,
            &["✘ caches", "0 running. 1 redis instance is in error: look at", "reason: CacheErrors"],
        ),
        (
            "a region that sends kinds alone",
            json!({}),
            |cloud| {
                let kind = |running| Some([("running".to_owned(), running), ("error".to_owned(), 0)].into());
                let counts = CacheCounts { redis: kind(2), memcached: kind(1), ..CacheCounts::default() };
                cloud.set_caches("p1", counts);
                as_it_is(cloud)
            },
            0,
            &[
                "✔ caches       allowed; 3 running (1 memcached, 2 redis). No cache instance is in error.",
                "running: 3\n",
            ],
        ),
        (
            "three frozen and none running",
            json!({}),
            |cloud| {
                cloud.set_caches("p1", CacheCounts::redis(&[("frozen", 3)]));
                as_it_is(cloud)
            },
            0,
            &[
                "✔ caches       allowed; 0 running. No cache instance is in error; none runs, in other states: 3 frozen.",
            ],
        ),
        (
            "the same where that is unhealthy",
            json!({"probes": {"caches": {"unhealthyStates": ["frozen"]}}}),
            |cloud| {
                cloud.set_caches("p1", CacheCounts::redis(&[("frozen", 3)]));
                as_it_is(cloud)
            },
            1,
            &["✘ caches       allowed; 0 running. 3 redis instances are frozen: ", "reason: CacheStateUnhealthy"],
        ),
        (
            "a gateway that throttles",
            json!({}),
            |cloud| {
                cloud.fault(Service::Dcs, Fault::throttled());
                as_it_is(cloud)
            },
            2,
            &["✘ caches       DCS limits the rate of requests: the operator retries later (error code APIGW.0308)."],
        ),
        (
            "sick, and Ready is to say that it was looked at",
            json!({"readyWhen": "Observed"}),
            |cloud| {
                cloud.set_caches("p1", CacheCounts::redis(&[("error", 1)]));
                as_it_is(cloud)
            },
            0,
            &["✘ caches", "reason: Observed"],
        ),
        (
            "the probes in readyOn decide how it ends, and the others are still probed",
            json!({"readyOn": ["Engines", "Usage"]}),
            |cloud| {
                cloud.set_caches("p1", CacheCounts::redis(&[("error", 1)]));
                as_it_is(cloud)
            },
            0,
            &["✘ caches", "reason: CacheErrors", "message: All probes that count for Ready are healthy."],
        ),
        (
            "a wrong password",
            json!({}),
            |cloud| as_it_is(cloud).replace("operator-secret", "hunter2"),
            2,
            &["✘ login", "Fix first: login. Keystone refuses the credential", "type: Stalled"],
        ),
        (
            "no such entry",
            json!({"cloudCredentialsRef": {"secretName": "cloud", "cloudName": "other"}}),
            as_it_is,
            2,
            &["Fix first: clouds.yaml.", "(it has: openstack)"],
        ),
        (
            "no Keystone",
            json!({}),
            |cloud| {
                cloud.fault(Service::Keystone, Fault::Unreachable);
                as_it_is(cloud)
            },
            2,
            &["✘ address", "Fix first: address.", "reason: ConnectionFailed"],
        ),
        (
            "no Heat",
            json!({}),
            |cloud| {
                cloud.fault(Service::Heat, Fault::Unreachable);
                as_it_is(cloud)
            },
            2,
            &["✘ engines", "Fix first: engines. No connection to Heat", "✔ usage"],
        ),
        (
            "no role",
            json!({}),
            |cloud| {
                cloud.remove_admin_role();
                as_it_is(cloud)
            },
            2,
            &[
                "roles: member, reader",
                "Fix first: engines.",
                "grant the credential the admin role",
                "reason: Forbidden",
            ],
        ),
        (
            "no such project",
            json!({"projectID": "p2"}),
            as_it_is,
            2,
            &["Fix first: caches. Keystone does not know the project", "reason: ProjectNotFound"],
        ),
        (
            "what is required is missed",
            json!({"probes": {"caches": {"policy": "Required"}}}),
            |cloud| {
                cloud.set_in_catalogue("dcs", false);
                as_it_is(cloud)
            },
            2,
            &[
                "✘ caches",
                "Fix first: caches. The cloud's catalogue does not offer the service",
                "reason: EndpointNotFound",
            ],
        ),
        (
            "engines for the whole system's admins alone",
            json!({}),
            |cloud| {
                cloud.require_system_scope();
                as_it_is(cloud)
            },
            2,
            &["Fix first: engines.", "set probes.engines.cloudName"],
        ),
        (
            "and by a credential of theirs",
            json!({"probes": {"engines": {"cloudName": "system"}}}),
            |cloud| {
                cloud.require_system_scope();
                as_it_is(cloud) + &cloud.system_entry("system")
            },
            0,
            &["✔ engines", "2/2 engines up"],
        ),
        (
            "whose catalogue borrows what there is not",
            json!({"probes": {"engines": {"cloudName": "system"}}}),
            |cloud| {
                cloud.set_in_catalogue("orchestration", false);
                as_it_is(cloud) + &cloud.system_entry("system")
            },
            0,
            &["- engines", "not in the catalogue"],
        ),
        (
            "and which clouds.yaml lacks",
            json!({"probes": {"engines": {"cloudName": "system"}}}),
            as_it_is,
            2,
            &["Fix first: engines. clouds.yaml has no cloud named system"],
        ),
    ];
    judge(rows).await;
}

async fn judge(rows: &[(&str, Value, Make, i32, &[&str])]) {
    for (name, more, make, exit, texts) in rows {
        let cloud = cloud().await;
        let (status, text) = check(&spec(more), &make(&cloud), &[]);
        assert_eq!(status, *exit, "{name}:\n{text}");
        for part in *texts {
            assert!(text.contains(part), "{name}: {part:?} is not in\n{text}");
        }
        assert_eq!(text.contains("Fix first"), *exit == 2, "{name}:\n{text}");
    }
}

/// The rights and the place that the entry asks for are the ones that are used, or the entry is refused.
#[tokio::test]
async fn rights_and_places() {
    let rows: &[(&str, Value, Make, i32, &[&str])] = &[
        (
            "by a trust",
            json!({}),
            |cloud| cloud.clouds_yaml_trust("openstack", &cloud.create_trust(&["admin"])),
            0,
            &[
                "✔ scope        project admin (ec556a52de3448f0b8b5f8fc5ac83529) by a trust, roles: admin (",
                "2/2 engines up",
            ],
        ),
        (
            "by a trust that delegates too little",
            json!({}),
            |cloud| cloud.clouds_yaml_trust("openstack", &cloud.create_trust(&["reader"])),
            2,
            &["by a trust, roles: reader", "Fix first: engines. Heat refused the engine list"],
        ),
        (
            "by a trust that is gone",
            json!({}),
            |cloud| cloud.clouds_yaml_trust("openstack", "0123456789abcdef"),
            2,
            &["Fix first: login. Keystone refuses the credential"],
        ),
        (
            "a trust beside a project",
            json!({}),
            |cloud| {
                let trust = cloud.create_trust(&["admin"]);
                cloud.clouds_yaml_trust("openstack", &trust) + "    project_id: p1\n"
            },
            2,
            &["Fix first: clouds.yaml. auth.trust_id cannot stand beside project_id"],
        ),
        (
            "a profile",
            json!({}),
            |cloud| as_it_is(cloud) + "    profile: ovh\n",
            2,
            &["Fix first: clouds.yaml. profile is not followed", "reason: InvalidCloudConfig", "type: Stalled"],
        ),
        (
            "a project beside auth",
            json!({}),
            |cloud| {
                cloud.add_user("operator", "", "5cc8d7fe980e4781a7752052282b49a1", &["reader"]);
                as_it_is(cloud) + "    project_name: demo\n"
            },
            2,
            &["project demo (5cc8d7fe980e4781a7752052282b49a1), roles: reader"],
        ),
        (
            "no region named",
            json!({}),
            |cloud| {
                cloud.set_regions(&["RegionTwo", "RegionOne"]);
                as_it_is(cloud).replace("    region_name: RegionOne\n", "")
            },
            0,
            &["✔ catalogue    region RegionOne (the first in the catalogue); Heat at ", "    region: RegionOne\n"],
        ),
        (
            "the first of a list of regions",
            json!({}),
            |cloud| {
                cloud.set_regions(&["Alpha", "RegionOne"]);
                as_it_is(cloud).replace("region_name: RegionOne", "regions: [RegionOne, Alpha]")
            },
            0,
            &["region RegionOne (the first of regions)", "    region: RegionOne\n"],
        ),
        (
            "a region that the entry does not list",
            json!({"region": "Beta"}),
            |cloud| as_it_is(cloud).replace("region_name: RegionOne", "regions: [RegionOne, Alpha]"),
            2,
            &["Fix first: clouds.yaml. regions lists RegionOne, Alpha, but not Beta"],
        ),
        (
            "the interface of a service",
            json!({}),
            |cloud| {
                cloud.set_reachable_interface("internal");
                as_it_is(cloud)
                    + "    interface: [admin]\n    orchestration_interface: internal\n    compute-interface: internal\n    \
                       dcs_endpoint_type: internalURL\n"
            },
            0,
            &["2/2 engines up"],
        ),
        (
            "a service that another region offers",
            json!({}),
            |cloud| {
                cloud.set_in_catalogue("dcs", false);
                cloud.add_odd_rows(&[of("dcs", "Other")]);
                as_it_is(cloud)
            },
            0,
            &["- caches       Not probed: DCS is not offered in region RegionOne, only in Other: set spec.region"],
        ),
        (
            "and that is required",
            json!({"probes": {"caches": {"policy": "Required"}}}),
            |cloud| {
                cloud.set_in_catalogue("dcs", false);
                cloud.add_odd_rows(&[of("dcs", "Other"), of("dcs", "Another")]);
                as_it_is(cloud)
            },
            2,
            &["Fix first: caches. DCS is not offered in region RegionOne, only in Another, Other: set spec.region"],
        ),
        (
            "odd rows of the catalogue",
            json!({}),
            |cloud| {
                cloud.add_odd_rows(&[
                    json!({"type": "image", "endpoints": null}),
                    json!({"type": "volume", "endpoints": [{"interface": "public", "region": "RegionOne", "url": null}]}),
                    json!({"type": "ec2", "endpoints": [{"region": "RegionOne", "publicURL": "http://x"}]}),
                    json!({"type": "dcs", "endpoints": [{"interface": "public", "region": "RegionOne", "url": null}]}),
                    json!({"type": null}),
                    json!(7),
                ]);
                as_it_is(cloud)
            },
            0,
            &["2/2 engines up"],
        ),
        (
            "a domain's token",
            json!({}),
            |cloud| {
                cloud.grant_domain_role("reader");
                cloud.clouds_yaml_domain("openstack")
            },
            2,
            &[
                "✔ scope        domain Default, roles: reader",
                "Fix first: engines. The token is for a domain and not for a project: name a project",
                "✘ usage        The token is for a domain and not for a project: name a project",
                "reason: InvalidCloudConfig",
            ],
        ),
        (
            "a domain's token whose catalogue has Keystone alone",
            json!({}),
            |cloud| {
                cloud.grant_domain_role("reader");
                cloud.show_domains_keystone_alone();
                cloud.clouds_yaml_domain("openstack")
            },
            2,
            &[
                "Fix first: engines. The token is for a domain and not for a project: name a project",
                "✘ caches       The token is for a domain and not for a project: name a project",
            ],
        ),
        (
            "a token for the whole system",
            json!({}),
            |cloud| format!("clouds:\n{}", cloud.system_entry("openstack")),
            2,
            &["✘ caches       The token is for the whole system and not for a project: name a project"],
        ),
        (
            "access rules for what the probes ask",
            json!({}),
            |cloud| {
                cloud.set_access_rules(&[
                    ("GET", "/v1/*/services", "orchestration"),
                    ("GET", "/v1.0/**", "dcs"),
                    ("GET", "/v2.1/os-simple-tenant-usage/*", "compute"),
                ]);
                cloud.clouds_yaml_application_credential("openstack")
            },
            0,
            &["! scope", "access rules: it may make the calls that they list, and no others", "✔ usage"],
        ),
        (
            "access rules for something else",
            json!({}),
            |cloud| {
                cloud.set_access_rules(&[("GET", "/v2.1/servers", "compute"), ("GET", "/v1.0/**", "dcs")]);
                cloud.clouds_yaml_application_credential("openstack")
            },
            2,
            &[
                "Fix first: engines. Heat refuses the token, whose application credential has access rules: add a \
                 rule for GET /v1/*/services of the service orchestration",
                "✔ caches",
                "✘ usage        Nova refuses the token, whose application credential has access rules",
                "reason: TokenRejected",
            ],
        ),
        (
            "a call that the vendor's gateway does not publish",
            json!({}),
            |cloud| {
                let body =
                    r#"{"error_code": "APIGW.0101", "error_msg": "The API does not exist or has not been published"}"#;
                cloud.fault(Service::Dcs, Fault::status(404, body));
                as_it_is(cloud)
            },
            2,
            &["Fix first: caches. DCS is not at the address that the catalogue gives: set probes.caches.policy to"],
        ),
    ];
    judge(rows).await;
}

/// One entry for the observed project, and what the operator would write for the engines.
#[tokio::test]
async fn a_login_for_the_observed_project() {
    let scoped = || json!({"cloudCredentialsRef": {"secretName": "cloud", "scope": "ObservedProject"}});
    let rows: &[(&str, Value, Make, i32, &[&str])] = &[
        (
            "a role in the project",
            scoped(),
            |cloud| {
                cloud.add_tenant_of_operator("p1");
                as_it_is(cloud)
            },
            0,
            &[
                "✔ scope        project admin",
                "✔ project      project p1 (p1), roles: reader; by cloudCredentialsRef.scope, for caches and usage",
                "    tokenProjectID: p1\n",
            ],
        ),
        (
            "no role in the project",
            scoped(),
            as_it_is,
            2,
            &[
                "✘ project      Keystone gives this user no token for the project: grant a role, or enable it.",
                "✔ engines",
                "reason: Forbidden",
            ],
        ),
        (
            "no such project",
            scoped(),
            |cloud| {
                cloud.remove_tenant("p1");
                as_it_is(cloud)
            },
            2,
            &["✘ project      Keystone does not know the project", "✔ engines", "reason: ProjectNotFound"],
        ),
        (
            "a wrong password",
            scoped(),
            |cloud| as_it_is(cloud).replace("operator-secret", "hunter2"),
            2,
            &["✘ login        Keystone refuses the credential", "reason: AuthenticationFailed"],
        ),
        (
            "an entry without a project",
            scoped(),
            |cloud| {
                cloud.add_tenant_of_operator("p1");
                cloud.clouds_yaml_unscoped("openstack")
            },
            2,
            &[
                "✔ scope        no project",
                "✔ caches",
                "✔ usage",
                "Fix first: engines. The token is for no project: name the project in the Secret's clouds.yaml, set \
                 probes.engines.cloudName, or set probes.engines.policy to Disabled.",
                "reason: InvalidCloudConfig",
            ],
        ),
        (
            "an application credential",
            scoped(),
            |cloud| cloud.clouds_yaml_application_credential("openstack"),
            2,
            &[
                "Fix first: clouds.yaml. auth.application_credential_id belongs to a credential that is for its own \
                 project alone: use a password, or set spec.cloudCredentialsRef.scope to Entry",
                "reason: InvalidCloudConfig",
            ],
        ),
        (
            "the operator's user is enough where it is an administrator",
            json!({}),
            as_it_is,
            0,
            &["    tokenProjectID: ec556a52de3448f0b8b5f8fc5ac83529\n"],
        ),
    ];
    judge(rows).await;
}

/// A row of the catalogue with one public address, which leads nowhere.
fn of(service_type: &str, region: &str) -> Value {
    let url = format!("http://{region}.invalid/v1.0");
    json!({"type": service_type, "endpoints": [{"interface": "public", "region": region, "url": url}]})
}

#[tokio::test]
async fn as_json() {
    let cloud = cloud().await;
    for (clouds, exit, first) in [
        (as_it_is(&cloud), 0, Value::Null),
        (as_it_is(&cloud).replace("operator-secret", "hunter2"), 2, json!("login")),
    ] {
        let (status, text) = check(&spec(&json!({})), &clouds, &["-o", "json"]);
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &told["exitCode"], &told["firstFailure"]), (exit, &json!(exit), &first), "{text}");
        let steps: Vec<_> =
            told["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
        let all = ["clouds.yaml", "address", "TLS", "login", "scope", "catalogue", "engines", "caches", "usage"];
        assert_eq!(steps, all[..if exit == 0 { 9 } else { 4 }]);
        assert_eq!(told["status"]["conditions"][0]["type"], "Ready");
    }
}

#[tokio::test]
async fn over_tls() {
    let cloud = SimulatedCloud::builder().tls().start().await.unwrap();
    cloud.add_tenant("p1");
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    fs::write(&authority, cloud.ca_pem().unwrap()).unwrap();
    let cacert = ["--cacert", authority.to_str().unwrap()];
    for (name, more, clouds, exit, part) in [
        ("trusted", &cacert[..], as_it_is(&cloud), 0, "✔ TLS          the certificate is trusted"),
        ("not trusted", &[], as_it_is(&cloud), 2, "Fix first: TLS. The certificate of Keystone is not trusted"),
        ("not checked", &[], as_it_is(&cloud) + "    verify: false\n", 0, "! TLS          verify is false"),
    ] {
        let (status, text) = check(&spec(&json!({})), &clouds, more);
        assert_eq!(status, exit, "{name}:\n{text}");
        assert!(text.contains(part), "{name}:\n{text}");
    }
}

/// The Secret's `cacert` stands in the place of the system's authorities; the deprecated flag keeps both.
#[tokio::test]
async fn cacert_replaces_the_systems_authorities() {
    let [public, private, third] = ["public", "private", "third"].map(|name| Authority::root(name).unwrap());
    let cloud = SimulatedCloud::builder()
        .certificate(Service::Keystone, private.issue(|_| ()).unwrap())
        .certificate(Service::Heat, public.issue(|_| ()).unwrap())
        .certificate(Service::Dcs, private.issue(|_| ()).unwrap())
        .certificate(Service::Nova, private.issue(|_| ()).unwrap())
        .start()
        .await
        .unwrap();
    cloud.add_tenant("p1");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name).display().to_string();
        fs::write(&path, pem).unwrap();
        path
    };
    let (system, third) = (file("system.pem", &public.pem), file("third.pem", &third.pem));
    let (private, both) = (file("private.pem", &private.pem), file("both.pem", &(private.pem + &public.pem)));
    let merge = "--cloud-ca-merge-system";
    let replaced = "cacert replaces the system's authorities: add this service's authority to it";
    let will = "only the system's authorities trust the certificate of";
    type Row<'a> = (&'a str, &'a [&'a str], i32, &'a [&'a str], &'a [&'a str]);
    let rows: &[Row<'_>] = &[
        (
            "of its own",
            &["--cacert", &private],
            2,
            &["✔ TLS", &format!("✘ engines      The certificate of Heat is not trusted, since {replaced}")],
            &[will],
        ),
        ("of both", &["--cacert", &both], 0, &["✔ TLS", "✔ engines"], &[will, replaced]),
        ("and the operator's", &["--cacert", &private, "--cloud-ca-file", &system], 0, &["✔ engines"], &[will]),
        ("the operator's alone", &["--cloud-ca-file", &private], 0, &["✔ TLS", "✔ engines"], &[will, replaced]),
        ("of nobody", &["--cacert", &third], 2, &["✘ TLS", "its authority is unknown"], &[replaced]),
        (
            "merged",
            &["--cacert", &private, merge],
            0,
            &["✔ TLS", "✔ engines", &format!("! TLS          {will} Heat, and")],
            &[replaced],
        ),
        ("none, merged", &["--cloud-ca-file", &private, merge], 0, &["✔ TLS", "✔ engines"], &[will]),
        ("of nobody, merged", &["--cacert", &third, merge], 2, &["✘ TLS", "its authority is unknown"], &[replaced]),
        ("an old authority's", &["--cacert", &system], 2, &["✘ TLS", "its authority is unknown"], &[replaced]),
    ];
    for (name, more, exit, parts, absent) in rows {
        let environment = [("SSL_CERT_FILE", system.as_str())];
        let (status, text) = check_in(&environment, &spec(&json!({})), &as_it_is(&cloud), more);
        assert_eq!(status, *exit, "{name}:\n{text}");
        for part in *parts {
            assert!(text.contains(part), "{name}: {part:?} is not in\n{text}");
        }
        assert!(!absent.iter().any(|part| text.contains(part)), "{name}:\n{text}");
    }

    // Keystone itself may be the one that the system's authorities trust.
    let environment = [("SSL_CERT_FILE", private.as_str())];
    for (more, exit, part) in [
        (
            &["--cacert", &system][..],
            2,
            format!("✘ TLS          The certificate of Keystone is not trusted, since {replaced}"),
        ),
        (&["--cacert", &system, merge], 0, format!("! TLS          {will} Keystone, and")),
    ] {
        let (status, text) = check_in(&environment, &spec(&json!({})), &as_it_is(&cloud), more);
        assert!(status == exit && text.contains(&part), "{more:?}:\n{text}");
    }
    let environment = [("SSL_CERT_FILE", private.as_str()), ("CLOUD_CA_MERGE_SYSTEM", "true")];
    let (status, text) = check_in(&environment, &spec(&json!({})), &as_it_is(&cloud), &["--cacert", &system]);
    assert!(status == 0 && text.contains(will), "by the environment:\n{text}");
}

/// The sentences that people see, each with the certificate that it is about.
#[tokio::test]
async fn certificates_that_are_not_trusted() {
    let by_itself = |change: fn(&mut rcgen::CertificateParams)| Issued::by_itself(change).unwrap();
    let (plain, nameless) = (by_itself(authority), by_itself(|params| params.subject_alt_names.clear()));
    let expired = by_itself(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for (issued, listed, exit, part) in [
        (&plain, true, 0, "✔ TLS          the certificate is trusted"),
        (&plain, false, 2, "it is self-signed, and is not itself in the Secret's key cacert"),
        (&nameless, true, 2, "it has no subjectAltName, and a host name in CN alone does not count"),
        (&expired, true, 2, "it has expired"),
    ] {
        let cloud = Service::ALL
            .into_iter()
            .fold(SimulatedCloud::builder(), |cloud, service| cloud.certificate(service, issued.clone()));
        let cloud = cloud.start().await.unwrap();
        cloud.add_tenant("p1");
        let folder = tempfile::tempdir().unwrap();
        let cacert = folder.path().join("cacert.pem").display().to_string();
        fs::write(&cacert, &issued.pem).unwrap();
        let more = ["--cacert", &cacert];
        let (status, text) = check(&spec(&json!({})), &as_it_is(&cloud), if listed { &more } else { &[] });
        assert!(status == exit && text.contains(part), "{part}:\n{text}");
        let reasons = text.matches("reason: CertificateUntrusted").count();
        assert_eq!(reasons > 0, exit == 2, "{text}");
        assert!(exit == 0 || text.contains("type: Stalled"), "{text}");
    }
}

fn authority(params: &mut rcgen::CertificateParams) {
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
}

#[test]
fn wrong_usage() {
    for (name, arguments, exit) in [
        ("nothing to check", &["check"][..], 64),
        ("no clouds.yaml", &["check", "-f", "tenant.yaml"], 64),
        ("both ways", &["check", "t", "-f", "tenant.yaml", "--clouds", "clouds.yaml"], 64),
        ("no such file", &["check", "-f", "/nowhere/tenant.yaml", "--clouds", "/nowhere/clouds.yaml"], 64),
        ("an unknown option", &["check", "-x"], 64),
        ("an unknown output", &["check", "t", "-o", "xml"], 64),
        ("no CloudTenant in it", &["check", "-f", "Cargo.toml", "--clouds", "Cargo.toml"], 64),
        ("help", &["check", "--help"], 0),
        ("no cluster", &["check", "t"], 2),
    ] {
        let (status, text) = run(arguments);
        assert_eq!(status, exit, "{name}:\n{text}");
    }
    for field in [json!({"interval": "1s"}), json!({"projectID": "../x"})] {
        let (status, text) = check(&spec(&field), "clouds: {}", &[]);
        assert_eq!(status, 64, "{field}:\n{text}");
    }
}

/// The API server judges these files as well: tests/cluster/validation.rs.
#[test]
fn a_file_is_held_to_the_schema_as_the_api_server_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("clouds.yaml"), "clouds: {}").unwrap();
    let refused = subjects::refused().into_iter().map(|(pointer, value, says)| {
        let text = subjects::with(pointer, value.clone()).to_string();
        (format!("{pointer} = {value}"), text, Some(says))
    });
    let accepted = subjects::accepted()
        .into_iter()
        .map(|(pointer, value)| (format!("{pointer} = {value}"), subjects::with(pointer, value).to_string(), None));
    let files = subjects::files().into_iter().map(|(name, text, says)| (name.to_owned(), text, says));
    let mut wrong = Vec::new();
    for (name, text, says) in refused.chain(accepted).chain(files) {
        fs::write(path("tenant.yaml"), &text).unwrap();
        let (status, said) = run(&["check", "-f", &path("tenant.yaml"), "--clouds", &path("clouds.yaml")]);
        // The cloud is missing from clouds.yaml, so that what is accepted ends there.
        let right = match says {
            Some(says) => status == 64 && said.contains(says),
            None => status == 2 && said.contains("Fix first: clouds.yaml"),
        };
        if !right {
            wrong.push(format!("{name}: expected {says:?}, got {status}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A proxy that opens tunnels, and what it was asked for: the first lines and the headers with credentials.
async fn proxy() -> (std::net::SocketAddr, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = Vec::new();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    head.push(line.trim().to_owned());
                }
                let target = head[0].split(' ').nth(1).unwrap().to_owned();
                heard.lock().unwrap().extend(head);
                let mut there = tokio::net::TcpStream::connect(target).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_is_reached_by_its_proxy_and_trusted_by_a_file() {
    let cloud = SimulatedCloud::builder().tls().start().await.unwrap();
    cloud.add_tenant("p1");
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("authorities.pem").display().to_string();
    fs::write(&authorities, cloud.ca_pem().unwrap()).unwrap();
    let (address, asked) = proxy().await;
    let clouds = as_it_is(&cloud);
    let spec = spec(&json!({}));

    let (code, text) = check(&spec, &clouds, &[]);
    assert!(code == 2 && text.contains("CertificateUntrusted"), "{text}");
    let direct = format!("elsewhere.example=http://{address}");
    let (code, text) = check(&spec, &clouds, &["--cloud-ca-file", &authorities, "--cloud-proxies", &direct]);
    assert!(code == 0 && text.contains("accepts connections at"), "{text}");
    assert!(asked.lock().unwrap().is_empty(), "no host of this cloud has that proxy");
    let rule = format!("127.0.0.1=http://user:hunter2@{address}");
    let (code, text) = check(&spec, &clouds, &["--cloud-ca-file", &authorities, "--cloud-proxies", &rule]);
    assert!(code == 0 && text.contains("127.0.0.1") && text.contains("is reached by a proxy"), "{text}");
    let asked = asked.lock().unwrap().clone();
    assert!(asked.iter().any(|line| line.starts_with("CONNECT 127.0.0.1:")), "{asked:?}");
    assert!(asked.iter().any(|line| line.to_lowercase() == "proxy-authorization: basic dxnlcjpodw50zxiy"), "{asked:?}");

    for (rule, says) in [("hunter2", "a proxy is written HOST=URL"), ("*=hunter2", "the proxy for \"*\" is no address")]
    {
        let (code, text) = check(&spec, &clouds, &["--cloud-proxies", rule]);
        assert!(code == 64 && text.contains("--cloud-proxies") && text.contains(says), "{code} {text}");
    }
    let missing = folder.path().join("none.pem").display().to_string();
    let (code, text) = check(&spec, &clouds, &["--cloud-ca-file", &missing]);
    assert!(code == 64 && text.contains("--cloud-ca-file"), "{code} {text}");
}

/// A check has its user's own reach: it calls what the operator would refuse, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_the_operator_refuses_are_only_warned_about() {
    let cloud = cloud().await;
    let spec = spec(&json!({}));
    let services = cloud.base_url(Service::Nova).replace("127.0.0.1", "localhost");
    let by_name = format!("{}    compute_endpoint_override: {services}/v2.1\n", as_it_is(&cloud));
    let loopback = "would refuse this: Keystone is not called, since its address is a loopback address: correct \
                    auth_url in clouds.yaml, or allow the address by the operator's --allow-cloud-cidr";
    for (name, arguments, clouds, says, omits) in [
        (
            "allowed",
            &["--allow-cloud-cidr=127.0.0.0/8"][..],
            as_it_is(&cloud),
            &["✔ address", "✔ catalogue"][..],
            "would refuse",
        ),
        (
            "a loopback address",
            &["--allow-cloud-cidr="],
            as_it_is(&cloud),
            &["! address", loopback, "! catalogue"],
            "Fix",
        ),
        (
            "a name of one",
            &["--allow-cloud-cidr=", "--cloud-hosts=127.0.0.1,localhost"],
            by_name,
            &["Nova at http://localhost", "refuse this: Nova is not called, since its address is a loopback address"],
            "--cloud-hosts",
        ),
        (
            "another host",
            &["--cloud-hosts=keystone.example.com"],
            as_it_is(&cloud),
            &["! address", "its host is not among those of --cloud-hosts"],
            "Fix",
        ),
        (
            "plain HTTP",
            &["--require-https"],
            as_it_is(&cloud),
            &["! address", "its URL begins with http, which --require-https refuses"],
            "Fix",
        ),
    ] {
        let (code, text) = check(&spec, &clouds, arguments);
        assert_eq!(code, 0, "{name}:\n{text}");
        assert!(says.iter().all(|says| text.contains(says)), "{name}:\n{text}");
        assert!(!text.contains(omits), "{name}:\n{text}");
    }
    let own = self::spec(&json!({ "probes": { "engines": { "cloudName": "other" } } }));
    let other = cloud.clouds_yaml("other").replace("127.0.0.1", "127.0.0.2").replace("clouds:\n", "");
    let hosts = &["--allow-cloud-cidr=127.0.0.0/8", "--cloud-hosts=127.0.0.1"];
    let (_, text) = check(&own, &(as_it_is(&cloud) + &other), hosts);
    for says in ["! address", "cloud other for the engines at 127.0.0.2", "is not among those of --cloud-hosts"] {
        assert!(text.contains(says), "{text}");
    }
    for (argument, says) in [
        ("--allow-cloud-cidr=127.0.0.1/8", "give 127.0.0.0/8"),
        ("--allow-cloud-cidr=localhost", "is no range of addresses"),
        ("--cloud-hosts=http://keystone", "is no host"),
    ] {
        let (code, text) = check(&spec, &as_it_is(&cloud), &[argument]);
        assert!(code == 64 && text.contains(says), "{argument}: {code} {text}");
    }
}
