//! What kstatus, Flux and Argo CD have to say of a CloudTenant, by the table in docs/gitops.md, and what they do say.
//! Whatever status a test of this repository produces goes through [`judged`].

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
};

use serde_json::Value;
use testkit::tools::{Judge, Verdicts};

pub fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

pub fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap()
}

/// The directory with Argo CD's scripts.
pub const ARGO: &str = "integrations/argocd/resource_customizations/cloudtenant.dev/CloudTenant";
/// Where a Kustomization has healthCheckExprs.
pub const EXPRESSIONS: &str = "integrations/flux/health-check-expressions.yaml";

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// Ready's status under the reason.
    pub ready: String,
    /// Without the condition Stalled; `None` where the reason never stands without it.
    pub kstatus: Option<String>,
    pub argo: Option<String>,
    /// Whether the reason itself makes the CloudTenant Stalled, at once or later.
    pub stalls: bool,
}

/// The table by reason.
pub static TABLE: LazyLock<BTreeMap<String, Row>> = LazyLock::new(|| table(&read("docs/gitops.md")));

pub fn table(page: &str) -> BTreeMap<String, Row> {
    let mut found = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| [`")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let reason = cells[0].split('`').nth(1).unwrap().to_owned();
        // What is said at once, and what is said once it is Stalled.
        let (first, later) = match (cells[2].split_once(", later "), cells[3].split_once(", later ")) {
            (Some(kstatus), Some(argo)) => (Some((kstatus.0, argo.0)), Some((kstatus.1, argo.1))),
            (None, None) if cells[2] == "Failed" => (None, Some((cells[2], cells[3]))),
            (None, None) => (Some((cells[2], cells[3])), None),
            _ => panic!("docs/gitops.md: {line}"),
        };
        assert!(later.is_none_or(|later| later == ("Failed", "Degraded")), "docs/gitops.md: {line}");
        let row = Row {
            ready: cells[1].to_owned(),
            kstatus: first.map(|first| first.0.to_owned()),
            argo: first.map(|first| first.1.to_owned()),
            stalls: later.is_some(),
        };
        assert!(found.insert(reason, row).is_none(), "docs/gitops.md has it twice: {line}");
    }
    found
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// The words of kstatus, Argo CD and Flux, in this order.
pub fn expected(object: &Value) -> Result<[String; 3], String> {
    let words = |kstatus: &str, argo: &str| {
        // The expressions fail where Argo CD says Degraded.
        let flux = if argo == "Degraded" { "Failed" } else { kstatus };
        [kstatus.to_owned(), argo.to_owned(), flux.to_owned()]
    };
    let metadata = &object["metadata"];
    let mut said = if object["status"]["observedGeneration"] != metadata["generation"]
        || condition(object, "Reconciling").is_some()
    {
        words("InProgress", "Progressing")
    } else {
        let ready = condition(object, "Ready").ok_or("there is no Ready")?;
        let reason = ready["reason"].as_str().unwrap_or_default();
        let row = TABLE.get(reason).ok_or_else(|| format!("docs/gitops.md does not have {reason}"))?;
        if ready["status"] != row.ready.as_str() {
            return Err(format!("Ready is not {}", row.ready));
        }
        match (condition(object, "Stalled"), &row.kstatus, &row.argo) {
            (Some(stalled), ..) => {
                let reason = stalled["reason"].as_str().unwrap_or_default();
                if !TABLE.get(reason).is_some_and(|row| row.stalls) {
                    return Err(format!("{reason} makes nothing Stalled"));
                }
                words("Failed", "Degraded")
            }
            (None, Some(kstatus), Some(argo)) => words(kstatus, argo),
            (None, ..) => return Err(format!("Ready is {reason} without Stalled")),
        }
    };
    // Being suspended changes no condition.
    if object["spec"]["suspend"] == true {
        "Suspended".clone_into(&mut said[1]);
    }
    if metadata["deletionTimestamp"].is_string() {
        "Terminating".clone_into(&mut said[0]);
        "Progressing".clone_into(&mut said[1]);
    }
    Ok(said)
}

/// What is said of this object, or how it differs from what has to be said.
pub fn judge(judge: &mut Judge, object: &Value) -> Result<Verdicts, String> {
    let said = judge.verdicts(object).map_err(|error| format!("{error:#}"))?;
    let expected = expected(object)?;
    let actual = [&said.kstatus, &said.argo.status, &said.flux];
    if actual == expected.each_ref() { Ok(said) } else { Err(format!("{actual:?} and not {expected:?}")) }
}

/// The expressions that a Kustomization in `integrations/flux` has for CloudTenants.
pub fn expressions(yaml: &str) -> Value {
    let kustomization: Value = serde_saphyr::from_str(yaml).unwrap();
    let mut ours = kustomization["spec"]["healthCheckExprs"].as_array().unwrap().clone();
    ours.retain(|entry| entry["kind"] == "CloudTenant");
    assert_eq!(ours.len(), 1);
    ours.remove(0)
}

/// What is said of this object, which has to be what the table says.
pub fn judged(object: &Value) -> Verdicts {
    static JUDGE: LazyLock<Mutex<Judge>> = LazyLock::new(|| {
        let health = path(ARGO).join("health.lua");
        Mutex::new(Judge::start(&health, &expressions(&read(EXPRESSIONS))).unwrap())
    });
    // One test's wrong status is not the next one's.
    let mut shared = JUDGE.lock().unwrap_or_else(PoisonError::into_inner);
    let said = judge(&mut shared, object);
    drop(shared);
    said.unwrap_or_else(|error| panic!("{error}, of {object:#}"))
}
