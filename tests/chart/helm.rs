//! Helm, and what it renders.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;
use testkit::tools;

/// The release, as docs/installation.md names it and deploy/ has it.
pub const RELEASE: &str = "cloudtenant-operator";
pub const NAMESPACE: &str = "cloudtenant-system";

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn chart() -> PathBuf {
    root().join("charts/cloudtenant-operator")
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values that matter, by name: those in the chart's ci/.
pub fn cases() -> BTreeMap<String, PathBuf> {
    let files = fs::read_dir(chart().join("ci")).unwrap().map(|entry| entry.unwrap().path());
    let cases: BTreeMap<_, _> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            (name.strip_suffix("-values.yaml").unwrap().to_owned(), path)
        })
        .collect();
    assert!(cases.len() > 2, "{cases:?}");
    cases
}

/// Runs a program with something on its standard input. Returns what it wrote, as an error if it failed.
pub fn run(program: &Path, args: &[&str], stdin: &str) -> Result<String, String> {
    // Neither the user's settings nor their plugins belong in a test.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    let mut child = Command::new(program)
        .args(args)
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_DATA_HOME", home.join("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = stdin.to_owned();
    // It may fail before it has read everything: its own message says more.
    let feeder = thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(stdout.into_owned()) } else { Err(format!("{stdout}{stderr}")) }
}

pub fn helm(args: &[&str], stdin: &str) -> Result<String, String> {
    run(&tools::helm().unwrap(), args, stdin)
}

/// What the chart makes of these values, or Helm's message.
pub fn render(values: &str) -> Result<String, String> {
    let chart = chart();
    helm(&["template", RELEASE, chart.to_str().unwrap(), "--namespace", NAMESPACE, "--values", "-"], values)
}

pub fn render_case(path: &Path) -> String {
    render(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects of a stream of YAML documents. A key that is there twice is a defect: readers differ in which one counts.
pub fn objects(yaml: &str) -> Vec<Value> {
    let strict = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(yaml, strict).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// Kind, namespace and name, which no two objects have in common.
pub fn identity(object: &Value) -> String {
    let metadata = &object["metadata"];
    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}/{}", part(&object["kind"]), part(&metadata["namespace"]), part(&metadata["name"]))
}

/// Objects by their identity. One that is there twice is a defect.
pub fn by_identity(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for object in objects {
        let identity = identity(&object);
        assert!(found.insert(identity.clone(), object).is_none(), "there are two of {identity}");
    }
    found
}
