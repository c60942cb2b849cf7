//! Who may import whom. The crate's documentation draws a line that data go along, and these rules keep it one.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each module and the modules that it may import. A row names only rows above it, so there are no circles.
/// What a module's own files import from each other is their business, and so is what tests import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("identity", &[]),
    ("panics", &[]),
    ("trust", &[]),
    ("api_server", &["trust"]),
    ("api", &[]),
    ("condition", &["api"]),
    ("observation", &["api"]),
    ("target", &["api"]),
    ("schedule", &["observation"]),
    ("status", &["api", "condition", "observation", "target"]),
    ("event", &["api", "condition", "observation", "status", "target"]),
    ("object", &["api"]),
    ("roster", &["object"]),
    ("metrics", &["api", "event", "observation", "panics", "roster", "status", "target"]),
    ("server", &["metrics"]),
    ("candidate", &["api", "server"]),
    ("leader", &["api_server", "object"]),
    ("rights", &[]),
    ("schema", &["api"]),
    ("verify", &["rights"]),
    ("cloud", &["metrics", "panics", "trust"]),
    ("failure", &["api", "cloud", "observation"]),
    ("probe", &["api", "cloud", "failure", "observation", "target"]),
    ("clouds", &["api", "cloud", "identity", "metrics", "observation", "panics", "probe", "schedule"]),
    ("secrets", &["cloud", "failure", "object", "observation", "target"]),
    (
        "tenant",
        &["api", "clouds", "condition", "event", "identity", "observation", "panics", "schedule", "status", "target"],
    ),
    ("writer", &["api", "event", "identity", "leader", "metrics", "object"]),
    ("context", &["cloud", "clouds", "leader", "metrics", "object", "secrets", "tenant", "writer"]),
    ("secret_watch", &["api_server", "context", "identity", "object", "roster"]),
    (
        "observe",
        &[
            "api",
            "cloud",
            "clouds",
            "context",
            "failure",
            "identity",
            "observation",
            "probe",
            "schedule",
            "status",
            "target",
            "tenant",
        ],
    ),
    (
        "reconcile",
        &[
            "api",
            "clouds",
            "condition",
            "context",
            "event",
            "identity",
            "metrics",
            "observation",
            "observe",
            "panics",
            "roster",
            "schedule",
            "status",
            "target",
            "tenant",
            "writer",
        ],
    ),
    (
        "check",
        &[
            "api",
            "cloud",
            "condition",
            "failure",
            "metrics",
            "object",
            "observation",
            "observe",
            "probe",
            "secrets",
            "status",
            "target",
        ],
    ),
    (
        "controller",
        &["api_server", "context", "identity", "leader", "metrics", "reconcile", "roster", "secret_watch", "server"],
    ),
    ("run", &["candidate", "context", "controller", "leader", "metrics", "roster", "schema", "server"]),
];

/// What the program may use of the library.
const MAIN: &[&str] = &[
    "api",
    "api_server",
    "check",
    "cloud",
    "context",
    "leader",
    "metrics",
    "panics",
    "rights",
    "roster",
    "run",
    "server",
    "verify",
];

/// Modules that decide. They are given the time and what was seen, and ask nobody.
const PURE: &[&str] =
    &["api", "condition", "event", "failure", "identity", "observation", "rights", "schedule", "status", "target"];

/// What a decision has no use for: waiting, the network, a Kubernetes client, the clock.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "futures",
    "async",
    "await",
    "reqwest",
    "Client",
    "Api",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "std::env",
    "std::fs",
    "std::net",
];

/// A file of `src/` without comments and tests.
struct Source {
    /// Relative to the repository.
    path: String,
    /// The first part of its path below `src/`.
    module: String,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !name.ends_with("tests") {
                let inside = path.strip_prefix(root().join("src")).unwrap();
                let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
                sources.push(Source {
                    path: format!("src/{}", inside.display()),
                    module: first.trim_end_matches(".rs").to_owned(),
                    code: code(&fs::read_to_string(&path).unwrap()),
                });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "src/ was not found");
    sources
}

/// The text without comments, up to the tests, which stand last.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.trim()).filter(|line| !line.starts_with("//"));
    lines.map(|line| line.split(" // ").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first names after `root::`, whether imported or written in place: `crate::{a::{b, c}, d}` gives a and d.
fn names_after(code: &str, root: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(root) {
        if code[..at].ends_with(|c: char| is_word(c) || c == '$' || c == ':') {
            continue;
        }
        let rest = &code[at + root.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.push(rest.chars().take_while(|c| is_word(*c)).collect());
            continue;
        };
        let (mut depth, mut part) = (0_u32, String::new());
        for c in group.chars() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => names.push(std::mem::take(&mut part)),
                _ if depth == 0 => part.push(c),
                _ => {}
            }
        }
        names.push(part);
    }
    let first = |name: &String| name.trim().chars().take_while(|c| is_word(*c)).collect::<String>();
    names.iter().map(first).filter(|name| !name.is_empty()).collect()
}

/// Whether the words stand in the code, not as a part of others.
fn mentions(code: &str, words: &str) -> bool {
    code.match_indices(words)
        .any(|(at, _)| !code[..at].ends_with(is_word) && !code[at + words.len()..].starts_with(is_word))
}

#[test]
fn imports_keep_to_the_table() {
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let Source { path, module, code } = &source;
        let (root, may): (_, &[&str]) = match module.as_str() {
            "lib" => ("crate::", &[]),
            "main" => ("cloudtenant_operator::", MAIN),
            module => match table.get(module) {
                Some(may) => ("crate::", may),
                None => {
                    broken.push(format!("{path}: the module {module} has no row in MAY_IMPORT in tests/layering.rs"));
                    continue;
                }
            },
        };
        for import in names_after(code, root) {
            if import != *module && !may.contains(&import.as_str()) {
                broken.push(format!("{path} imports {root}{import}, but {module} may import only {may:?}"));
            }
        }
        // From a module's first file, `super` is the crate.
        let is_first = path.matches('/').count() == 1;
        let inner = code.replace("pub(super)", "");
        if mentions(&inner, "super::super") || is_first && mentions(&inner, "super") {
            broken.push(format!("{path} reaches out of its module by super: write crate:: instead"));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_table_has_every_module_once_and_no_circle() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut modules: Vec<_> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut rows: Vec<_> = MAY_IMPORT.iter().map(|(module, _)| *module).collect();
    for (at, (module, may)) in MAY_IMPORT.iter().enumerate() {
        for import in *may {
            assert!(
                rows[..at].contains(import),
                "{module} may import {import}, which has no row above it: the two could form a circle"
            );
        }
    }
    modules.sort_unstable();
    rows.sort_unstable();
    assert_eq!(modules, rows, "the modules of src/lib.rs, and the rows of MAY_IMPORT");
}

#[test]
fn decisions_wait_for_nobody_and_read_no_clock() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.module.as_str())) {
        for words in IMPURE.iter().filter(|words| mentions(&source.code, words)) {
            broken.push(format!("{} uses {words}, but {} only decides: pass it in", source.path, source.module));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_reader_of_imports_reads_imports() {
    let text = "use crate::{\n    api::{self, Reason},\n    clouds::{\n        Cloud,\n        engines::Wish,\n    },\n    condition, event,\n};\n\
                use crate::metrics::Metrics; // crate::not\n//! [`crate::status`]\nlet x = crate::schedule::after(mycrate::y());\n\
                #[cfg(test)]\nmod tests { use crate::tenant; }\n";
    assert_eq!(names_after(&code(text), "crate::"), ["api", "clouds", "condition", "event", "metrics", "schedule"]);
    assert!(mentions("use kube::Api;", "Api") && !mentions("ApiServer(MyApi)", "Api"));
}
