//! The pages under `docs/` say what the code says: every reason, every event, every field, and links that lead
//! somewhere.

// clippy.toml lets tests unwrap and panic, but not the helpers of an integration test.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cloudtenant_operator::{
    api::{
        self, CloudTenant, Reason, condition_type,
        reason::Class,
        set::{CloudTenantSet, SetClass, SetReason, SkipReason},
    },
    decide::event::EventReason,
    target::Target,
};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// A table's cells by row, without headings and rules, with the heading of the section that it stands in.
fn rows(page: &str) -> Vec<(String, Vec<String>)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            section = heading.trim_start_matches('#').trim().to_owned();
        } else if let Some(row) = line.strip_prefix('|') {
            let row = row.trim_end().trim_end_matches('|');
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
            if cells[0].starts_with(['`', '[']) {
                found.push((section.clone(), cells));
            }
        }
    }
    found
}

/// What stands between the backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether a line of the text begins so, and goes on.
fn says(text: &str, beginning: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(beginning).is_some_and(|rest| !rest.trim().is_empty()))
}

fn section_of(class: Class) -> &'static str {
    match class {
        Class::Well => "True: observed and healthy",
        Class::Bad => "False: observed and unhealthy",
        Class::NotAsked => "Unknown: not probed, or no result yet",
        Class::Passing => "Unknown: the probe failed and may recover by itself",
        Class::Stalled => "Unknown: the probe failed and a person must act",
    }
}

#[test]
fn every_reason_has_its_text_in_the_section_of_its_class() {
    let page = read("docs/reasons.md");
    let classes = [Class::Well, Class::Bad, Class::NotAsked, Class::Passing, Class::Stalled].map(section_of);
    let mut found = BTreeMap::new();
    for section in page.split("\n## ").filter(|section| classes.iter().any(|class| section.starts_with(class))) {
        let title = section.lines().next().unwrap();
        for part in section.split("\n### ").skip(1) {
            let (word, text) = part.split_once('\n').unwrap();
            let reason = Reason::parse(word).unwrap_or_else(|| panic!("docs/reasons.md: no reason is called {word}"));
            assert_eq!(title, section_of(reason.class()), "docs/reasons.md has {word} in the wrong section");
            assert!(found.insert(word.to_owned(), ()).is_none(), "docs/reasons.md has {word} twice");
            assert!(!text.trim().is_empty(), "docs/reasons.md does not say what {word} means");
            assert!(says(text, "To see: "), "docs/reasons.md: how is {word} seen?");
            assert!(
                says(text, "To do: ") || reason.class() == Class::Well,
                "docs/reasons.md: what is to be done on {word}?"
            );
        }
    }
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !found.contains_key(reason.as_str())).collect();
    assert!(missing.is_empty(), "docs/reasons.md has no heading for {missing:?}");
}

#[test]
fn the_tables_have_every_reason_with_its_status() {
    let page = read("docs/reasons.md");
    let mut found = BTreeSet::new();
    for (section, cells) in rows(&page).iter().filter(|(section, _)| section != "Events") {
        let word = words(&cells[0])[0];
        let reason = Reason::parse(word).unwrap_or_else(|| panic!("docs/reasons.md: no reason is called {word}"));
        let stalled = match reason.class() {
            Class::Stalled if reason.may_still_arrive() => "after 2 minutes",
            Class::Stalled => "yes",
            _ => "no",
        };
        assert_eq!((cells[1].as_str(), cells[2].as_str()), (reason.condition_status(), stalled), "{section}: {word}");
        assert_eq!(cells[0], format!("[`{word}`](#{})", word.to_lowercase()));
        assert!(found.insert(reason), "docs/reasons.md has {word} in two tables");
    }
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !found.contains(reason)).collect();
    assert!(missing.is_empty(), "docs/reasons.md has no row for {missing:?}");
    for condition in condition_type::ALL {
        assert!(page.contains(condition), "docs/reasons.md does not name the condition {condition}");
    }
}

/// The events that the page's table tells, with their types. Each row says when it comes, and what is to be done.
fn told_events(page: &str) -> Result<Vec<(String, String)>, String> {
    let events = rows(page).into_iter().filter(|(section, _)| section == "Events");
    events
        .map(|(_, cells)| match &cells[..] {
            [event, type_, when, todo] if !when.is_empty() && !todo.is_empty() => {
                Ok((words(event)[0].to_owned(), type_.clone()))
            }
            _ => Err(cells.join(" | ")),
        })
        .collect()
}

#[test]
fn the_events_table_has_every_event_with_its_type() {
    let page = read("docs/reasons.md");
    let mut told =
        told_events(&page).unwrap_or_else(|row| panic!("docs/reasons.md: a cell is empty or missing: {row}"));
    let mut events: Vec<_> =
        EventReason::ALL.iter().map(|event| (event.to_string(), event.type_().to_owned())).collect();
    told.sort();
    events.sort();
    assert_eq!(told, events, "the table of events in docs/reasons.md, and event::EventReason");
}

#[test]
fn an_event_without_what_is_to_be_done_is_found() {
    let page = read("docs/reasons.md");
    let row = page.lines().find(|line| line.starts_with("| `EngineDown` |")).unwrap();
    let cells: Vec<_> = row.split(" | ").collect();
    for wrong in [
        format!("{} | |", cells[..3].join(" | ")),
        format!("{} |", cells[..3].join(" | ")),
        format!("{} | | {}", cells[..2].join(" | "), cells[3]),
    ] {
        let told = told_events(&page.replace(row, &wrong));
        assert!(told.as_ref().is_err_and(|row| row.starts_with("`EngineDown`")), "{wrong}: {told:?}");
    }
}

/// The words of the regular expressions and values that an alert compares the label `reason` with.
fn words_in(expr: &str) -> impl Iterator<Item = &str> {
    let values = expr.split("reason").skip(1).filter_map(|rest| {
        rest.strip_prefix('=').or_else(|| rest.strip_prefix('!'))?.trim_start_matches('~').split('"').nth(1)
    });
    values.flat_map(|value| value.split('|'))
}

/// The reasons of CloudTenants that an alert compares with.
fn reasons_in(expr: &str) -> BTreeSet<Reason> {
    let parse = |word: &str| Reason::parse(word).unwrap_or_else(|| panic!("alerts.yaml: no reason is called {word}"));
    words_in(expr).map(parse).collect()
}

/// Whether conditions of sets, or their skipped projects, have a reason with this word.
fn is_of_sets(word: &str) -> bool {
    SetReason::parse(word).is_some() || serde_json::from_value::<SkipReason>(word.into()).is_ok()
}

#[test]
fn every_reason_of_sets_has_its_text() {
    let page = read("docs/tenant-sets.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Reasons\n")).unwrap();
    let parts: Vec<_> = section.split("\n### ").skip(1).map(|part| part.split_once('\n').unwrap()).collect();
    let words: Vec<_> = parts.iter().map(|(word, _)| *word).collect();
    assert_eq!(words, SetReason::OWN.map(SetReason::as_str), "docs/tenant-sets.md, and api::set::SetReason");
    for (word, text) in parts {
        let is_well = SetReason::parse(word).unwrap().class() == SetClass::Well;
        assert!(says(text, "To see: "), "docs/tenant-sets.md: how is {word} seen?");
        assert!(says(text, "To do: ") || is_well, "docs/tenant-sets.md: what is to be done on {word}?");
    }
}

#[test]
fn every_alert_has_its_text_and_leads_to_it() {
    const RUNBOOKS: &str = "https://github.com/cloudtenant/cloudtenant-operator/blob/main/docs/reasons.md#";
    let rules: Value = serde_saphyr::from_str(&read("charts/cloudtenant-operator/files/alerts.yaml")).unwrap();
    let page = read("docs/reasons.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Alerts\n")).unwrap();
    let texts: Vec<_> = section.split("\n### ").skip(1).map(|part| part.split_once('\n').unwrap()).collect();
    let table = read("docs/monitoring.md");
    let rows: Vec<_> = rows(&table).into_iter().filter(|(section, _)| section == "Alerts").collect();
    let mut told = Vec::new();
    for rule in rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = rule["alert"].as_str().unwrap();
        let (_, text) = texts.iter().find(|(heading, _)| heading == &name).unwrap_or_else(|| {
            panic!("docs/reasons.md does not say what the alert {name} means");
        });
        assert!(says(text, "To see: ") && says(text, "To do: "), "docs/reasons.md: how is {name} seen, and done?");
        assert_eq!(rule["annotations"]["runbook_url"], format!("{RUNBOOKS}{}", anchor(name)));
        for annotation in ["summary", "description"] {
            assert!(
                rule["annotations"][annotation].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {annotation}"
            );
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        let row = rows.iter().find(|(_, cells)| words(&cells[0]) == [name]);
        let (_, row) = row.unwrap_or_else(|| panic!("docs/monitoring.md has no row for {name}"));
        assert_eq!((row[1].as_str(), row[3].as_str()), (severity, rule["for"].as_str().unwrap()), "{name}");
        match rule["expr"].as_str().unwrap() {
            of_sets if of_sets.contains("cloudtenant_set_") => {
                let unknown: Vec<_> = words_in(of_sets).filter(|word| !is_of_sets(word)).collect();
                assert!(unknown.is_empty(), "alerts.yaml: {name}: no reason of sets is called {unknown:?}");
            }
            of_tenants => drop(reasons_in(of_tenants)),
        }
        told.push(name);
    }
    assert_eq!(told, texts.iter().map(|(heading, _)| *heading).collect::<Vec<_>>(), "alerts.yaml, and docs/reasons.md");
    assert_eq!(rows.len(), told.len(), "alerts.yaml, and docs/monitoring.md");
}

/// What is left out is meant so, or told by another alert; a new reason is not.
#[test]
fn nothing_that_cannot_be_seen_is_passed_over() {
    let rules: Value = serde_saphyr::from_str(&read("charts/cloudtenant-operator/files/alerts.yaml")).unwrap();
    let mut rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let rule = rules.find(|rule| rule["alert"] == "CloudTenantCannotSee").unwrap();
    let meant = Reason::ALL.iter().copied().filter(|reason| reason.class() == Class::NotAsked);
    let told = [Reason::AuthenticationFailed, Reason::ObservationStale];
    let left_out: BTreeSet<_> = meant.filter(|reason| *reason != Reason::Progressing).chain(told).collect();
    assert_eq!(reasons_in(rule["expr"].as_str().unwrap()), left_out);
}

/// The paths of all fields below this one. `byKind` has the counts of `all`, which are told once.
fn fields(schema: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let told_elsewhere = path.starts_with("caches.byKind[].") && name != "kind";
        // A condition's own fields are Kubernetes'.
        if told_elsewhere || path.starts_with("conditions[]") {
            continue;
        }
        fields(field, &path, into);
        fields(&field["items"], &format!("{path}[]"), into);
        into.insert(path, field.clone());
    }
}

#[test]
fn the_pages_have_every_field_and_its_default() {
    let tenants = serde_json::to_value(api::crd()).unwrap();
    every_field_is_told("docs/resource.md", &tenants, |_| false);
    let sets = serde_json::to_value(api::set::crd()).unwrap();
    // The other page has the fields of a CloudTenant.
    every_field_is_told("docs/tenant-sets.md", &sets, |path| {
        path.starts_with("template.spec.") && !path.starts_with("template.spec.cloudCredentialsRef")
    });
}

fn every_field_is_told(page: &str, crd: &Value, is_told_elsewhere: fn(&str) -> bool) {
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let text = read(page);
    for block in ["spec", "status"] {
        let mut schema = BTreeMap::new();
        fields(&root[block], "", &mut schema);
        schema.retain(|path, _| !is_told_elsewhere(path));
        let mut told = BTreeSet::new();
        for (_, cells) in rows(&text).into_iter().filter(|(section, _)| section == block) {
            for path in words(&cells[0]) {
                let field = schema.get(path).unwrap_or_else(|| panic!("{page}: there is no {block}.{path}"));
                if block == "spec" {
                    assert_eq!(cells[1], default_of(field, path), "{page}: the default of spec.{path}");
                }
                assert!(told.insert(path.to_owned()), "{page} has {block}.{path} twice");
            }
        }
        let missing: Vec<_> = schema.keys().filter(|path| !told.contains(*path)).collect();
        assert!(missing.is_empty(), "{page} has no row for these of {block}: {missing:?}");
    }
}

/// Whether nothing stands in the object, or only objects of which that is true.
fn is_hollow(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| fields.values().all(is_hollow))
}

fn default_of(field: &Value, path: &str) -> String {
    match &field["default"] {
        Value::String(text) => format!("`{text}`"),
        Value::Bool(yes) => format!("`{yes}`"),
        Value::Number(number) => format!("`{number}`"),
        hollow if is_hollow(hollow) => "none".to_owned(),
        Value::Object(_) => "all of it".to_owned(),
        _ if field["nullable"] == true || field["type"] == "array" => "none".to_owned(),
        _ if field.get("additionalProperties").is_some() => "none".to_owned(),
        _ if ["projectID", "cloudCredentialsRef", "cloudCredentialsRef.secretName"].contains(&path) => {
            "required".into()
        }
        other => panic!("spec.{path} has the default {other}"),
    }
}

/// Every `CloudTenant` on a page is accepted, and no field in it is one that does not exist.
#[test]
fn examples_are_accepted() {
    let mut seen = 0;
    for (path, page) in pages() {
        for block in page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let written: Value = serde_saphyr::from_str(block).unwrap();
            if written["kind"] != "CloudTenant" {
                continue;
            }
            let tenant: CloudTenant = serde_json::from_value(written.clone()).unwrap();
            Target::new(&tenant.spec).unwrap();
            let understood = serde_json::to_value(&tenant).unwrap();
            assert_within(&written["spec"], &understood["spec"], &path.display().to_string());
            seen += 1;
        }
    }
    assert!(seen > 0);
}

/// The CloudTenantSet that people apply. tests/chart gives it to an API server.
#[test]
fn the_example_of_a_set_is_accepted() {
    let written: Value = serde_saphyr::from_str(&read("examples/tenant-set.yaml")).unwrap();
    let set: CloudTenantSet = serde_json::from_value(written.clone()).unwrap();
    assert_within(&written["spec"], &serde_json::to_value(&set).unwrap()["spec"], "examples/tenant-set.yaml");
}

fn assert_within(written: &Value, understood: &Value, at: &str) {
    match written.as_object() {
        None => assert_eq!(written, understood, "{at}"),
        Some(fields) => {
            for (name, value) in fields {
                assert_within(value, &understood[name], &format!("{at}: {name}"));
            }
        }
    }
}

/// Without a time-out it is 30 s, and Heat takes 60 to say that no engine answers.
#[test]
fn kubectl_waits_long_enough_for_a_sick_heat() {
    let mut seen = 0;
    for (path, page) in pages() {
        for command in page.split("kubectl wait ").skip(1).map(|rest| rest.split(['\n', '`']).next().unwrap()) {
            assert!(command.contains(" --timeout=3m"), "{}: kubectl wait {command}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 2, "{seen}");
}

/// The repository's pages.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    for folder in [root().to_owned(), root().join("docs"), root().join("docs/decisions")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    pages
}

/// A heading's anchor, as forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    for (path, page) in pages() {
        for link in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.contains("://") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{} links to {link}, which does not exist", path.display());
            if !fragment.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let has = text.lines().any(|line| line.starts_with('#') && anchor(line) == fragment);
                assert!(has, "{} links to {link}, which has no such heading", path.display());
            }
        }
    }
}

/// The files below a folder that contain Rust.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// How many properties a file has, and the cases of each, which are proptest's default where nothing else is said.
fn properties(source: &str) -> Option<[usize; 2]> {
    let block = source.lines().skip_while(|line| line.trim() != "proptest! {");
    let end = format!("{}}}", block.clone().next()?.trim_end_matches("proptest! {"));
    let block: Vec<_> = block.take_while(|line| **line != end).collect();
    let said = block.iter().find_map(|line| line.split_once("cases: ").or_else(|| line.split_once("with_cases(")));
    let cases =
        said.map_or(256, |(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap());
    Some([block.iter().filter(|line| line.trim_start().starts_with("fn ")).count(), cases])
}

#[test]
fn the_table_of_properties_has_every_file_with_its_cases() {
    let mut files = Vec::new();
    ["src", "tests", "testkit"].iter().for_each(|folder| sources(&root().join(folder), &mut files));
    let row = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        properties(&fs::read_to_string(path).unwrap()).map(|found| (name, found))
    };
    let found: BTreeMap<_, _> = files.iter().filter_map(row).collect();
    let page = read("CONTRIBUTING.md");
    let told = rows(&page).into_iter().filter(|(section, _)| section == "Properties");
    let told: BTreeMap<_, _> = told
        .map(|(_, cells)| (words(&cells[0])[0].to_owned(), [&cells[1], &cells[2]].map(|cell| cell.parse().unwrap())))
        .collect();
    assert_eq!(told, found);
}
