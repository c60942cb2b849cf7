//! The operator itself, with the environment and the rights that the chart gives it.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;
use testkit::{
    control_plane::ControlPlane,
    eventually::{eventually, until},
    operator::{Account, Operator},
};

use crate::{
    helm::{NAMESPACE, cases, objects, render, render_case},
    server::prepared,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudtenant-operator");

/// The container's variables, as the kubelet would set them.
fn environment(control_plane: &ControlPlane, pod: &Value) -> Vec<(String, String)> {
    let variables = pod["containers"][0]["env"].as_array().unwrap().iter();
    let environment = variables.map(|variable| {
        let name = variable["name"].as_str().unwrap();
        let value = match (name, variable["valueFrom"]["fieldRef"]["fieldPath"].as_str()) {
            (_, Some("metadata.name")) => "pod-1".to_owned(),
            (_, Some("metadata.namespace")) => NAMESPACE.to_owned(),
            // Any authority will do, but nothing is mounted here.
            ("CLOUD_CA_FILE", _) => control_plane.directory().join("ca.crt").to_str().unwrap().to_owned(),
            _ => variable["value"].as_str().unwrap_or_else(|| panic!("{variable}")).to_owned(),
        };
        (name.to_owned(), value)
    });
    environment.collect()
}

fn pod(rendered: &[Value], kind: &str) -> Value {
    let object = rendered.iter().find(|object| object["kind"] == kind).unwrap();
    if kind == "Pod" { object["spec"].clone() } else { object["spec"]["template"]["spec"].clone() }
}

/// What `helm test` would run, at the operator's address here instead of its Service's.
async fn verify(control_plane: &ControlPlane, rendered: &[Value], account: &str, at: &str) -> Result<String, String> {
    let kubeconfig = control_plane.kubeconfig_for_service_account(NAMESPACE, account).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kubeconfig");
    std::fs::write(&file, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
    let pod = pod(rendered, "Pod");
    let mut args: Vec<_> =
        pod["containers"][0]["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    assert!(args.pop().unwrap().starts_with("http://"), "{pod}");
    args.push(at);
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().envs(environment(control_plane, &pod)).env("KUBECONFIG", &file);
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// Its roles may be a moment behind.
async fn until_verified(control_plane: &ControlPlane, rendered: &[Value], account: &str, at: &str) {
    let verify = async || verify(control_plane, rendered, account, at).await;
    eventually("verify succeeds", Duration::from_secs(30), verify).await.unwrap();
}

#[tokio::test]
async fn the_operator_gets_ready_and_helm_test_succeeds() {
    let control_plane = prepared().await;
    let mut installed = Vec::new();
    for (name, values) in [
        ("agent-wide", "{ crds: { enabled: false }, fullnameOverride: agent-wide }"),
        (
            "agent-narrow",
            "{ crds: { enabled: false }, fullnameOverride: agent-narrow, rbac: { scope: namespaces, namespaces: [web, archive] },
               secrets: { watch: true }, log: { level: 'info,cloudtenant_operator=debug', format: json },
               cloudCA: { configMap: { name: authorities }, mergeSystem: true },
               cloudProxies: [{ host: a.example.com, url: 'http://[2001:db8::1]:3128/' },
                              { host: '*.example.com', url: 'http://p.example.com:3128' },
                              { host: '*', url: 'http://192.0.2.1:3128' }] }",
        ),
        ("agent-shards", "{ crds: { enabled: false }, fullnameOverride: agent-shards, shards: 2 }"),
        (
            "agent-sets",
            "{ crds: { enabled: false }, fullnameOverride: agent-sets, rbac: { scope: namespaces, namespaces: [web] },
               tenantSets: { enabled: true, admissionPolicy: false } }",
        ),
    ] {
        // The definition is there, and is tests/chart/lifecycle.rs' to install.
        let yaml = render(values).unwrap();
        control_plane.apply_yaml(None, &yaml).await.unwrap();
        let rendered = objects(&yaml);
        let environment = environment(control_plane, &pod(&rendered, "Deployment"));
        let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let account = Account { namespace: NAMESPACE, name };
        let operator = Operator::start(control_plane, Path::new(PROGRAM), account, &environment).await.unwrap();
        operator.until_ready().await.unwrap();
        let leads = || operator.metric("cloudtenant_leader", &[]).unwrap() == 1.0;
        until(&format!("{name} leads"), Duration::from_secs(60), leads, || operator.log()).await.unwrap();
        let at = format!("http://{}", operator.address());
        until_verified(control_plane, &rendered, name, &at).await;
        installed.push((rendered, at, operator));
    }
    let [(wide, at, _), (narrow, ..), _, (sets, ..)] = &installed[..] else { panic!("four") };
    // It tells a right too few, one too many, and an operator that does not answer.
    let said = verify(control_plane, narrow, "agent-wide", at).await.unwrap_err();
    assert!(said.contains("MAY NOT watch secrets"), "{said}");
    let said = verify(control_plane, sets, "agent-wide", at).await.unwrap_err();
    assert!(said.contains("MAY NOT create cloudtenants"), "{said}");
    let said = verify(control_plane, wide, "agent-narrow", at).await.unwrap_err();
    assert!(said.contains("MAY NOT list cloudtenants"), "{said}");
    let said = verify(control_plane, wide, "agent-wide", "http://127.0.0.1:9").await.unwrap_err();
    assert!(said.contains("NOT READY"), "{said}");
}

fn help() -> String {
    let help = Command::new(PROGRAM).args(["run", "--help"]).output().unwrap();
    String::from_utf8(help.stdout).unwrap()
}

/// It would be there twice, or stand above a value.
#[test]
fn no_variable_of_the_program_is_taken_from_outside() {
    let help = help();
    let names: Vec<_> = help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap()).collect();
    assert!(names.len() > 9, "{help}");
    for name in names {
        let error = render(&format!("extraEnv: [{{ name: {name}, value: a }}]")).unwrap_err();
        assert!(error.contains(&format!("extraEnv: {name} is the chart's to set")), "{error}");
    }
}

/// A variable that the program does not know has no effect, and nobody would notice.
#[tokio::test]
async fn the_program_knows_every_variable() {
    let help = help();
    let knows = |name: &str| help.contains(&format!("[env: {name}=")) || help.contains(&format!("[env: {name}]"));
    assert!(!knows("LEADER"), "{help}");
    let mut seen = 0;
    for (case, path) in cases() {
        let pod = pod(&objects(&render_case(&path)), "Deployment");
        for variable in pod["containers"][0]["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            // Those that the case adds are not the chart's.
            if !["RUST_BACKTRACE", "SSL_CERT_FILE"].contains(&name) {
                assert!(knows(name), "{case}: the program does not know {name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}
