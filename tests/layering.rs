//! Who may import whom. The crate's documentation draws a line that data go along, and these rules keep it one.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    iter::Peekable,
    path::{Path, PathBuf},
    str::Chars,
};

/// Each module and the modules that it may import, group by group. A row names only rows above it, and a group's rows
/// stand together, so there are no circles, neither of modules nor of groups. Of some groups each module has a row; the
/// other groups' inner imports are their own business, and so is what tests import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // Plain data and small helpers that know nothing of clouds and Kubernetes.
    ("words", &[]),
    ("identity", &[]),
    ("panics", &[]),
    ("budget", &[]),
    ("shard", &[]),
    ("share", &[]),
    ("api", &[]),
    ("observation", &["api"]),
    ("target", &["api", "observation"]),
    // The clients of a cloud. Counters are handed to them. Keystone's list of projects is plain data.
    ("trust", &[]),
    ("openstack", &["observation", "share", "trust", "words"]),
    ("probe", &["api", "budget", "observation", "openstack", "target", "words"]),
    // Pure decisions.
    ("decide::condition", &["api", "words"]),
    ("decide::schedule", &["api", "observation"]),
    ("decide::status", &["api", "decide::condition", "observation", "target"]),
    ("decide::event", &["api", "decide::condition", "decide::status", "observation", "target"]),
    (
        "decide::set",
        &[
            "api",
            "decide::condition",
            "decide::event",
            "decide::schedule",
            "decide::status",
            "observation",
            "target",
            "words",
        ],
    ),
    (
        "decide",
        &["api", "decide::condition", "decide::event", "decide::schedule", "decide::status", "observation", "target"],
    ),
    ("watched::object", &["api", "words"]),
    ("watched::store", &["identity", "watched::object"]),
    ("watched::kept", &["api", "identity", "watched::object", "watched::store"]),
    ("watched::roster", &["watched::kept", "watched::object", "watched::store"]),
    ("watched", &[]),
    (
        "metrics",
        &[
            "api",
            "budget",
            "decide::event",
            "decide::status",
            "identity",
            "observation",
            "openstack",
            "panics",
            "shard",
            "target",
            "watched::kept",
            "watched::roster",
        ],
    ),
    // The clouds in use, and what each tenant holds of them.
    (
        "clouds",
        &[
            "api",
            "budget",
            "decide",
            "decide::schedule",
            "identity",
            "metrics",
            "observation",
            "openstack",
            "panics",
            "probe",
            "share",
        ],
    ),
    // What speaks to Kubernetes.
    ("cluster::api_server", &["trust"]),
    ("cluster::readiness", &[]),
    ("cluster::rights", &[]),
    ("cluster::passes", &["identity", "panics"]),
    ("cluster::schema", &["api", "cluster::readiness"]),
    ("cluster::verify", &["cluster::rights"]),
    ("cluster::standby", &["api", "cluster::api_server", "cluster::readiness"]),
    ("cluster::leader", &["cluster::api_server", "shard", "watched::object"]),
    ("cluster::doubt", &[]),
    (
        "cluster::secrets",
        &["budget", "cluster::doubt", "identity", "observation", "openstack", "probe", "target", "watched::object"],
    ),
    (
        "cluster::writer",
        &[
            "api",
            "cluster::leader",
            "decide",
            "decide::event",
            "decide::set",
            "decide::status",
            "identity",
            "metrics",
            "watched::object",
            "words",
        ],
    ),
    (
        "cluster::context",
        &[
            "budget",
            "clouds",
            "cluster::leader",
            "cluster::secrets",
            "cluster::writer",
            "decide",
            "metrics",
            "openstack",
            "shard",
            "share",
            "watched::kept",
            "watched::roster",
        ],
    ),
    (
        "cluster::secret_watch",
        &["cluster::api_server", "cluster::context", "identity", "watched::object", "watched::roster"],
    ),
    (
        "cluster::observe",
        &[
            "api",
            "clouds",
            "cluster::context",
            "decide",
            "decide::schedule",
            "decide::status",
            "identity",
            "metrics",
            "observation",
            "openstack",
            "probe",
            "share",
            "target",
            "words",
        ],
    ),
    (
        "cluster::reconcile",
        &[
            "api",
            "clouds",
            "cluster::context",
            "cluster::observe",
            "cluster::passes",
            "cluster::writer",
            "decide",
            "decide::status",
            "identity",
            "panics",
            "share",
            "target",
            "watched::kept",
        ],
    ),
    (
        "cluster::sets",
        &[
            "api",
            "clouds",
            "cluster::api_server",
            "cluster::context",
            "cluster::doubt",
            "cluster::passes",
            "cluster::readiness",
            "cluster::schema",
            "cluster::secrets",
            "cluster::writer",
            "decide",
            "decide::event",
            "decide::schedule",
            "decide::set",
            "identity",
            "observation",
            "openstack",
            "panics",
            "probe",
            "share",
            "watched::object",
            "watched::store",
            "words",
        ],
    ),
    (
        "cluster::controller",
        &[
            "cluster::api_server",
            "cluster::context",
            "cluster::leader",
            "cluster::observe",
            "cluster::passes",
            "cluster::readiness",
            "cluster::reconcile",
            "cluster::secret_watch",
            "cluster::sets",
            "identity",
            "metrics",
            "panics",
            "shard",
            "share",
            "watched::kept",
            "watched::object",
            "watched::roster",
            "watched::store",
        ],
    ),
    ("cluster", &[]),
    // The process.
    ("process::server", &["cluster::readiness", "metrics"]),
    (
        "process::check",
        &[
            "api",
            "cluster::observe",
            "cluster::secrets",
            "decide::condition",
            "decide::status",
            "observation",
            "openstack",
            "probe",
            "target",
            "watched::object",
            "words",
        ],
    ),
    (
        "process::run",
        &[
            "cluster::context",
            "cluster::controller",
            "cluster::leader",
            "cluster::readiness",
            "cluster::schema",
            "cluster::standby",
            "metrics",
            "shard",
            "watched::roster",
        ],
    ),
    ("process", &[]),
];

/// The same of testkit. Each file of the simulated cloud has a row, so that they form a line: plain data, the state that
/// holds it, what answers from the state, what listens, and the cloud that tests start and change.
const TESTKIT_MAY_IMPORT: &[(&str, &[&str])] = &[
    ("eventually", &[]),
    ("recorded", &[]),
    ("router", &[]),
    ("signature", &[]),
    ("certificates", &[]),
    ("tools", &[]),
    ("control_plane", &[]),
    ("machine", &[]),
    ("operator", &["control_plane"]),
    ("gateway", &["control_plane", "router"]),
    // The simulated cloud: the forms of its answers, and plain data.
    ("cloud::service", &[]),
    ("cloud::clock", &[]),
    ("cloud::ids", &[]),
    ("cloud::answer", &[]),
    ("cloud::microversion", &["cloud::answer"]),
    ("cloud::projects", &[]),
    ("cloud::identity", &["cloud::answer", "cloud::clock", "cloud::ids", "cloud::projects"]),
    ("cloud::catalogue", &["cloud::ids", "cloud::service"]),
    ("cloud::engines", &["cloud::clock", "cloud::ids"]),
    ("cloud::caches", &[]),
    ("cloud::usage", &["cloud::clock", "cloud::ids"]),
    ("cloud::faults", &["cloud::service"]),
    ("cloud::log", &["cloud::answer", "cloud::service"]),
    (
        "cloud::state",
        &[
            "cloud::caches",
            "cloud::catalogue",
            "cloud::clock",
            "cloud::engines",
            "cloud::faults",
            "cloud::identity",
            "cloud::log",
            "cloud::service",
            "cloud::usage",
        ],
    ),
    // What answers. No service's handlers know another's.
    ("cloud::refusal", &["cloud::answer", "cloud::service"]),
    ("cloud::login", &["cloud::clock", "cloud::identity", "cloud::ids", "cloud::projects", "cloud::refusal"]),
    (
        "cloud::keystone",
        &[
            "cloud::answer",
            "cloud::clock",
            "cloud::identity",
            "cloud::ids",
            "cloud::login",
            "cloud::projects",
            "cloud::refusal",
            "cloud::service",
            "cloud::state",
        ],
    ),
    ("cloud::heat", &["cloud::answer", "cloud::engines", "cloud::ids", "cloud::service", "cloud::state"]),
    ("cloud::dcs", &["cloud::answer", "cloud::caches", "cloud::ids", "cloud::state"]),
    (
        "cloud::nova",
        &[
            "cloud::answer",
            "cloud::identity",
            "cloud::ids",
            "cloud::microversion",
            "cloud::service",
            "cloud::state",
            "cloud::usage",
        ],
    ),
    // What listens.
    (
        "cloud::signed",
        &[
            "cloud::answer",
            "cloud::clock",
            "cloud::identity",
            "cloud::ids",
            "cloud::service",
            "cloud::state",
            "signature",
        ],
    ),
    (
        "cloud::layer",
        &["cloud::answer", "cloud::faults", "cloud::log", "cloud::service", "cloud::signed", "cloud::state"],
    ),
    ("cloud::listener", &["cloud::layer"]),
    ("cloud::tls", &["certificates"]),
    (
        "cloud::server",
        &[
            "cloud::dcs",
            "cloud::heat",
            "cloud::keystone",
            "cloud::layer",
            "cloud::listener",
            "cloud::nova",
            "cloud::service",
            "cloud::state",
        ],
    ),
    // The cloud itself, and its further methods.
    (
        "cloud",
        &[
            "certificates",
            "cloud::caches",
            "cloud::catalogue",
            "cloud::faults",
            "cloud::identity",
            "cloud::listener",
            "cloud::log",
            "cloud::projects",
            "cloud::server",
            "cloud::service",
            "cloud::state",
            "cloud::tls",
            "cloud::usage",
        ],
    ),
    (
        "cloud::controls",
        &[
            "cloud",
            "cloud::caches",
            "cloud::catalogue",
            "cloud::clock",
            "cloud::engines",
            "cloud::faults",
            "cloud::identity",
            "cloud::ids",
            "cloud::log",
            "cloud::projects",
            "cloud::service",
            "cloud::usage",
        ],
    ),
];

/// What the program may use of the library.
const MAIN: &[&str] = &[
    "api",
    "budget",
    "cluster::api_server",
    "cluster::context",
    "cluster::leader",
    "cluster::readiness",
    "cluster::rights",
    "cluster::verify",
    "metrics",
    "openstack",
    "panics",
    "process::check",
    "process::run",
    "process::server",
    "shard",
    "watched::roster",
    "words",
];

/// Files and folders of decisions. They are given the time and the observations, and ask nobody.
const PURE: &[&str] = &[
    "src/api",
    "src/cluster/leader/candidate",
    "src/cluster/rights",
    "src/decide",
    "src/identity",
    "src/observation",
    "src/probe/failure",
    "src/shard",
    "src/target",
];

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

/// A source file of a crate without comments and tests.
struct Source {
    /// Relative to the repository.
    path: String,
    /// The parts of its path below the crate's `src/`, joined by `::`.
    module: String,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources in `src` or `testkit/src`.
fn sources(src: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(src)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !name.ends_with("tests") {
                let inside = path.strip_prefix(root().join(src)).unwrap();
                let parts = inside.with_extension("");
                let parts: Vec<_> = parts.iter().map(|part| part.to_string_lossy()).collect();
                sources.push(Source {
                    path: format!("{src}/{}", inside.display()),
                    module: parts.join("::"),
                    code: code(&fs::read_to_string(&path).unwrap()),
                });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "{src}/ was not found");
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

/// The paths after `root`, whether imported or written in place: `crate::{a::{b, c}, d}` gives `a::b`, `a::c` and `d`.
fn paths_after(code: &str, root: &str) -> Vec<String> {
    let is_root = |at: &usize| !code[..*at].ends_with(|c: char| is_word(c) || c == '$' || c == ':');
    let roots = code.match_indices(root).map(|(at, _)| at).filter(is_root);
    roots.flat_map(|at| tree(&mut code[at + root.len()..].chars().peekable(), "")).collect()
}

/// The paths of one tree of imports, of which `before` has been read.
fn tree(rest: &mut Peekable<Chars<'_>>, before: &str) -> Vec<String> {
    let mut path = before.to_owned();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.next_if_eq(&'{').is_some() {
            let mut paths = Vec::new();
            loop {
                while rest.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
                if rest.peek().is_none() || rest.next_if_eq(&'}').is_some() {
                    return paths;
                }
                paths.extend(tree(rest, &path));
            }
        }
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| is_word(*c) || *c == '*') {
            name.push(c);
        }
        if name != "self" && !name.is_empty() {
            path = if path.is_empty() { name } else { format!("{path}::{name}") };
        }
        if rest.next_if_eq(&':').is_none() {
            // `as` and a name.
            while rest.next_if(|c| !matches!(c, ',' | '}' | ';' | '{' | ')' | '(')).is_some() {}
            return if path.is_empty() { Vec::new() } else { vec![path] };
        }
        rest.next();
    }
}

/// The row that a path belongs to: the longest one that begins it.
fn row<'a>(rows: &[&'a str], path: &str) -> Option<&'a str> {
    let begins = |row: &&&str| path == **row || path.strip_prefix(**row).is_some_and(|rest| rest.starts_with("::"));
    rows.iter().filter(begins).max_by_key(|row| row.len()).copied()
}

/// Whether the words stand in the code, not as a part of others.
fn mentions(code: &str, words: &str) -> bool {
    code.match_indices(words)
        .any(|(at, _)| !code[..at].ends_with(is_word) && !code[at + words.len()..].starts_with(is_word))
}

/// What the sources import against the table.
fn broken_imports(table: &[(&str, &[&str])], sources: &[Source]) -> Vec<String> {
    let table: BTreeMap<_, _> = table.iter().copied().collect();
    let rows: Vec<_> = table.keys().copied().collect();
    let mut broken = Vec::new();
    for Source { path, module, code } in sources {
        let own = row(&rows, module);
        let (root, may): (_, &[&str]) = match (module.as_str(), own) {
            ("lib", _) => ("crate::", &[]),
            ("main", _) => ("cloudtenant_operator::", MAIN),
            (module, _) if module.starts_with("main::") => ("cloudtenant_operator::", MAIN),
            (_, Some(own)) => ("crate::", table[own]),
            (module, None) => {
                broken.push(format!("{path}: the module {module} has no row in tests/layering.rs"));
                continue;
            }
        };
        for import in paths_after(code, root) {
            let imported = row(&rows, &import);
            if imported != own && !imported.is_some_and(|row| may.contains(&row)) {
                broken.push(format!("{path} imports {root}{import}, but may import only {may:?}"));
            }
        }
        // From the first file of a row, `super` is outside of it.
        let is_first = own.is_some_and(|own| own == module);
        let inner = code.replace("pub(super)", "");
        if mentions(&inner, "super::super") || is_first && mentions(&inner, "super") {
            broken.push(format!("{path} reaches out of its module by super: write crate:: instead"));
        }
    }
    broken
}

#[test]
fn imports_keep_to_the_table() {
    let mut broken = broken_imports(MAY_IMPORT, &sources("src"));
    broken.extend(broken_imports(TESTKIT_MAY_IMPORT, &sources("testkit/src")));
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// The modules that a file declares.
fn declared(path: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let lines = text.lines().map(|line| line.strip_prefix("pub ").unwrap_or(line));
    lines.filter_map(|line| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())).collect()
}

#[test]
fn the_tables_have_every_module_once_and_no_circle() {
    for (table, src, split) in
        [(MAY_IMPORT, "src", &["cluster", "process", "watched"][..]), (TESTKIT_MAY_IMPORT, "testkit/src", &["cloud"])]
    {
        let rows: Vec<_> = table.iter().map(|(module, _)| *module).collect();
        for (at, (module, may)) in table.iter().enumerate() {
            for import in *may {
                assert!(
                    rows[..at].contains(import),
                    "{module} may import {import}, which has no row above it: the two could form a circle"
                );
            }
        }
        let mut groups: Vec<_> = rows.iter().map(|row| row.split("::").next().unwrap()).collect();
        groups.dedup();
        groups.sort_unstable();
        let mut modules = declared(&format!("{src}/lib.rs"));
        modules.sort_unstable();
        assert_eq!(modules, groups, "the modules of {src}/lib.rs, and the groups of its table, each in one piece");
        for group in split {
            for module in declared(&format!("{src}/{group}.rs")) {
                assert!(rows.contains(&format!("{group}::{module}").as_str()), "{group}::{module} has no row");
            }
        }
    }
}

/// What is wrong with a file's imports: the standard library stands first, then other crates, then this one, with an
/// empty line between, and each root has one `use` in its group. rustfmt can do it, but holds to it on nightly alone.
fn badly_imported(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    // The group and the roots of the imports right before, and whether an empty line came after them.
    let mut before: Option<(usize, Vec<String>, bool)> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let indented = line.len() - line.trim_start().len();
        let Some(import) = line.trim_start().strip_prefix("use ").filter(|_| indented.is_multiple_of(4)) else {
            before = before.filter(|_| line.is_empty()).map(|(group, roots, _)| (group, roots, true));
            continue;
        };
        let root: String = import.trim_start_matches("::").chars().take_while(|c| is_word(*c)).collect();
        let group = match root.as_str() {
            "std" | "core" | "alloc" => 0,
            "crate" | "self" | "super" => 2,
            _ => 1,
        };
        if !line.ends_with(';') {
            lines.by_ref().find(|line| line.ends_with(';'));
        }
        before = match before {
            Some((other, mut roots, empty)) => {
                if group < other || (group != other) != empty {
                    broken.push(format!("`{line}` stands in the wrong group"));
                }
                if roots.contains(&root) {
                    broken.push(format!("`{line}` is a second import of {root}"));
                }
                roots.push(root);
                Some((group, roots, false))
            }
            None => Some((group, vec![root], false)),
        };
    }
    broken
}

#[test]
fn imports_have_one_form() {
    let mut folders: Vec<PathBuf> = ["src", "tests", "testkit", "image", "demo", "examples", "benches"]
        .iter()
        .map(|folder| root().join(folder))
        .collect();
    let (mut files, mut broken) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files += 1;
                let found = badly_imported(&fs::read_to_string(&path).unwrap());
                broken.extend(found.into_iter().map(|what| format!("{}: {what}", path.display())));
            }
        }
    }
    assert!(files > 100, "the sources were not found");
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_form_of_imports_is_seen() {
    for (text, wrong) in [
        ("use std::fs;\n\nuse kube::Api;\nuse serde::{\n    de,\n};\n\nuse crate::api;\nuse super::x;\n", 0),
        ("use std::fs;\nuse kube::Api;\n", 1),
        ("use kube::Api;\n\nuse std::fs;\n", 1),
        ("use kube::Api;\nuse kube::Client;\n", 1),
        ("use kube::Api;\n\nuse serde::de;\n", 1),
        ("use crate::api;\n\nmod tests {\n    use std::fs;\n}\n", 0),
    ] {
        assert_eq!(badly_imported(text).len(), wrong, "{text}");
    }
}

#[test]
fn decisions_wait_for_nobody_and_read_no_clock() {
    let mut broken = Vec::new();
    for source in sources("src").iter().filter(|source| PURE.iter().any(|pure| source.path.starts_with(pure))) {
        for words in IMPURE.iter().filter(|words| mentions(&source.code, words)) {
            broken.push(format!("{} uses {words}, but {} only decides: pass it in", source.path, source.module));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_reader_of_imports_reads_imports() {
    let text = "use crate::{\n    api::{self, Reason},\n    clouds::{\n        Cloud,\n        engines::Demand as D,\n    },\n    condition, event,\n};\n\
                use crate::metrics::Metrics; // crate::not\n//! [`crate::status`]\nlet x = crate::schedule::after(mycrate::y());\n\
                #[cfg(test)]\nmod tests { use crate::tenant; }\n";
    let paths = paths_after(&code(text), "crate::");
    let expected = [
        "api",
        "api::Reason",
        "clouds::Cloud",
        "clouds::engines::Demand",
        "condition",
        "event",
        "metrics::Metrics",
        "schedule::after",
    ];
    assert_eq!(paths, expected);
    assert_eq!(row(&["clouds", "clouds::engines"], "clouds::engines::Demand"), Some("clouds::engines"));
    assert_eq!(row(&["clouds"], "cloudsome::x"), None);
    assert!(mentions("use kube::Api;", "Api") && !mentions("ApiServer(MyApi)", "Api"));
}
