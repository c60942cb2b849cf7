//! What kstatus, Flux and Argo CD have to say of a CloudTenant, by the table in docs/gitops.md, and what they do say.
//! Whatever status a test of this repository produces goes through [`judged`].

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
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
pub static TABLE: LazyLock<BTreeMap<String, Row>> = LazyLock::new(|| table(parts(&read("docs/gitops.md"))[0]));
/// The heading of the section on CloudTenantSets, which has a table of the reasons that only they have.
const SETS: &str = "\n## CloudTenantSets\n";

/// The page without the section on CloudTenantSets, and that section.
pub fn parts(page: &str) -> [&str; 2] {
    page.split_once(SETS).map(Into::into).unwrap_or_else(|| panic!("docs/gitops.md has no{SETS}"))
}

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

fn seconds(duration: &Value, default: &str) -> f64 {
    duration.as_str().unwrap_or(default).parse::<SignedDuration>().unwrap().as_secs_f64()
}

fn time(text: &Value) -> Option<i64> {
    Some(text.as_str()?.parse::<Timestamp>().ok()?.as_second())
}

/// The times of the last verdicts, each with the oldest that it can be while the operator runs, H + S: docs/resource.md.
/// Unknown conditions have no verdict.
pub fn verdicts(object: &Value) -> Vec<(i64, f64)> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (interval, timeout) = (seconds(&spec["interval"], "5m"), seconds(&spec["timeout"], "90s"));
    let usage = seconds(&spec["probes"]["usage"]["interval"], "1h");
    let probes = [
        ("EnginesHealthy", "engines", interval, timeout.max(75.0)),
        ("CachesHealthy", "caches", interval, timeout),
        ("UsageReported", "usage", usage, timeout),
    ];
    let known = |type_| condition(object, type_).is_some_and(|condition| condition["status"] != "Unknown");
    probes
        .iter()
        .filter(|(type_, ..)| known(type_))
        .filter_map(|(_, block, interval, deadline)| {
            Some((time(&status[block]["observedAt"])?, interval.max(600.0) + 2.0 * (interval + deadline)))
        })
        .collect()
}

/// The words of kstatus, Argo CD and Flux about a CloudTenant at a time, in this order.
pub fn expected(object: &Value, at: i64) -> Result<[String; 3], String> {
    let is_old = verdicts(object).iter().any(|(observed, longest)| (at - observed) as f64 > *longest);
    expected_by(|reason| TABLE.get(reason), object, is_old)
}

/// The same, by the rows of some table. Whether the status is older than the operator lets it become is the kind's own.
pub fn expected_by<'a>(
    row_of: impl Fn(&str) -> Option<&'a Row>,
    object: &Value,
    is_old: bool,
) -> Result<[String; 3], String> {
    let words = |kstatus: &str, argo: &str| {
        // The expressions fail where Argo CD says Degraded.
        let flux = if argo == "Degraded" { "Failed" } else { kstatus };
        [kstatus.to_owned(), argo.to_owned(), flux.to_owned()]
    };
    let metadata = &object["metadata"];
    let in_progress =
        object["status"]["observedGeneration"] != metadata["generation"] || condition(object, "Reconciling").is_some();
    let mut said = if in_progress {
        words("InProgress", "Progressing")
    } else {
        let ready = condition(object, "Ready").ok_or("there is no Ready")?;
        let reason = ready["reason"].as_str().unwrap_or_default();
        let row = row_of(reason).ok_or_else(|| format!("docs/gitops.md does not have {reason}"))?;
        if ready["status"] != row.ready.as_str() {
            return Err(format!("Ready is not {}", row.ready));
        }
        match (condition(object, "Stalled"), &row.kstatus, &row.argo) {
            (Some(stalled), ..) => {
                let reason = stalled["reason"].as_str().unwrap_or_default();
                if !row_of(reason).is_some_and(|row| row.stalls) {
                    return Err(format!("{reason} makes nothing Stalled"));
                }
                words("Failed", "Degraded")
            }
            (None, Some(kstatus), Some(argo)) => words(kstatus, argo),
            (None, ..) => return Err(format!("Ready is {reason} without Stalled")),
        }
    };
    // Only Argo CD has a clock.
    if !in_progress && is_old {
        "Degraded".clone_into(&mut said[1]);
    }
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

/// What is said of this object at a time, or how it differs from what has to be said.
pub fn judge(judge: &mut Judge, object: &Value, at: i64) -> Result<Verdicts, String> {
    let said = judge.verdicts(object, at).map_err(|error| format!("{error:#}"))?;
    let expected = expected(object, at)?;
    let actual = [&said.kstatus, &said.argo.status, &said.flux];
    if actual == expected.each_ref() { Ok(said) } else { Err(format!("{actual:?} and not {expected:?}")) }
}

/// The expressions that a Kustomization in `integrations/flux` has for CloudTenants.
pub fn expressions(yaml: &str) -> Value {
    expressions_for("CloudTenant", yaml)
}

/// The expressions that it has for a kind.
pub fn expressions_for(kind: &str, yaml: &str) -> Value {
    let kustomization: Value = serde_saphyr::from_str(yaml).unwrap();
    let mut ours = kustomization["spec"]["healthCheckExprs"].as_array().unwrap().clone();
    ours.retain(|entry| entry["kind"] == kind);
    assert_eq!(ours.len(), 1);
    ours.remove(0)
}

/// What is said of this object at the time of its newest verdict, which has to be what the table says. Tests that pass
/// the time in have statuses of any age.
pub fn judged(object: &Value) -> Verdicts {
    judged_at(object, verdicts(object).iter().map(|(observed, _)| *observed).max().unwrap_or_default())
}

/// What is said of this object at a time, in seconds since 1970, which has to be what the table says.
pub fn judged_at(object: &Value, at: i64) -> Verdicts {
    static JUDGE: LazyLock<Mutex<Judge>> = LazyLock::new(|| {
        let health = path(ARGO).join("health.lua");
        Mutex::new(Judge::start(&health, &expressions(&read(EXPRESSIONS))).unwrap())
    });
    // One test's wrong status is not the next one's.
    let mut shared = JUDGE.lock().unwrap_or_else(PoisonError::into_inner);
    let said = judge(&mut shared, object, at);
    drop(shared);
    said.unwrap_or_else(|error| panic!("{error}, of {object:#}"))
}
