//! Listing projects, against the simulated cloud.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloudtenant_operator::{
    observation::projects::{ProjectList, ProjectState},
    openstack::{
        CloudConfig, Error, Failure, Network, NoCounters, Session,
        projects::{self, Narrow, Source},
        readers,
    },
};
use testkit::{
    cloud::{ADMIN_PROJECT, DEMO_PROJECT, Fault, Listing, Project, Service as Simulated, SimulatedCloud},
    recorded,
};

use super::{LONG, SHORT};

/// A cloud with the projects `a`, `b` and `c`, on which the operator has a role. `c` is disabled.
async fn cloud() -> SimulatedCloud {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cloud = SimulatedCloud::start().await.unwrap();
    for id in ["a", "b", "c"] {
        cloud.put_project_of_operator(id, &format!("name of {id}"));
    }
    cloud.set_tenant_enabled("c", false);
    cloud.set_project_tags("a", &["prod", "blue"]);
    cloud.change_project("b", |project| project.parent = "a".to_owned());
    cloud
}

fn session(yaml: &str) -> Session {
    let config = Arc::new(CloudConfig::parse(yaml, "c", None, None).unwrap());
    let session = Session::new(config, &Network::default().allowing_loopback(), Arc::new(NoCounters)).unwrap();
    session.used_by("team");
    session
}

fn all() -> Source {
    Source::All(Narrow::default())
}

/// The IDs of the operator's own projects, in place of long ones. `whole` is said at the end.
fn ids(list: Result<ProjectList, Failure>) -> String {
    match list {
        Ok(ProjectList { projects, whole }) => {
            let short = |id: &str| match id {
                ADMIN_PROJECT => "admin".to_owned(),
                DEMO_PROJECT => "demo".to_owned(),
                id => id.to_owned(),
            };
            let ids: Vec<_> = projects.iter().map(|project| short(&project.id)).collect();
            format!("{}{}", ids.join(" "), if whole { "" } else { " …" })
        }
        Err(failure) => failure.kind().to_owned(),
    }
}

/// Answers of a real Keystone.
#[test]
fn recorded_lists_are_read() {
    let mut read = 0;
    for (name, recorded) in recorded::all("projects").unwrap() {
        let list = readers::projects(&recorded.body);
        let in_parts = readers::projects_in_parts(&recorded.body, 100);
        assert_eq!(list, in_parts, "{name}");
        let is_list = recorded.status == 200 && (name.starts_with("auth-projects") || name.starts_with("projects"));
        assert_eq!(list.is_some(), is_list, "{name}");
        let Some(list) = list else { continue };
        let is_empty = ["nobody", "unknown", "truncated-domain"].iter().any(|part| name.contains(part));
        assert_eq!((list.projects.is_empty(), list.whole), (is_empty, !name.contains("truncated")), "{name}");
        assert!(list.projects.iter().all(|project| !project.domain_id.is_empty() && !project.is_domain), "{name}");
        read += 1;
    }
    assert_eq!(read, 13);
}

type Yaml = fn(&SimulatedCloud) -> String;

/// Each line: the entry, the projects on which the user has a role, and those that the user may list.
#[tokio::test]
async fn what_each_kind_of_entry_lists() {
    const OWN: &str = "a b c admin";
    // GET /v3/projects asks for enabled ones.
    const ALL: &str = "demo a b admin";
    let rows: [(&str, Yaml, &str, &str); 7] = [
        ("a project's administrator", |cloud| cloud.clouds_yaml("c"), OWN, ALL),
        ("no scope", |cloud| cloud.clouds_yaml_unscoped("c"), OWN, "forbidden"),
        ("the system", |cloud| format!("clouds:\n{}", cloud.system_entry("c")), OWN, ALL),
        ("a domain", |cloud| cloud.clouds_yaml_domain("c"), OWN, ALL),
        ("an application credential", |cloud| cloud.clouds_yaml_application_credential("c"), OWN, ALL),
        ("a token", |cloud| cloud.clouds_yaml_token("c"), OWN, ALL),
        ("an access key", |cloud| cloud.clouds_yaml_access_key("c", "AK", "SK", &[]), OWN, "a b admin"),
    ];
    for (name, yaml, own, listed) in rows {
        let cloud = cloud().await;
        cloud.grant_domain_role("reader");
        cloud.add_access_key("AK", "SK", None);
        let session = session(&yaml(&cloud));
        let sorted = |text: &str| {
            let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        let accessible = ids(projects::list(&session, &Source::Accessible, LONG).await);
        assert_eq!(sorted(&accessible), sorted(own), "{name}");
        let readable = ids(projects::list(&session, &all(), LONG).await);
        assert_eq!(sorted(&readable), sorted(listed), "{name}");
    }
}

#[tokio::test]
async fn a_project_is_described() {
    let cloud = cloud().await;
    let listed = projects::list(&session(&cloud.clouds_yaml("c")), &Source::Accessible, LONG).await.unwrap();
    let find = |id: &str| listed.projects.iter().find(|project| &*project.id == id).unwrap().clone();
    let a = find("a");
    assert_eq!((&*a.name, &*a.domain_id, a.parent_id.as_deref()), ("name of a", "default", Some("default")));
    assert_eq!((a.tags, a.enabled, a.is_domain), (vec!["blue".into(), "prod".into()], true, false));
    assert_eq!((find("b").parent_id.as_deref(), find("c").enabled), (Some("a"), false));
}

#[tokio::test]
async fn keystone_is_asked_to_leave_out_what_is_not_wanted() {
    let cloud = cloud().await;
    cloud.put_domain("d", "Other");
    cloud.put_project("x", Project { domain: "d".to_owned(), parent: "d".to_owned(), ..Project::named("x") });
    let session = session(&cloud.clouds_yaml("c"));
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).into()).collect();
    for (narrow, found) in [
        (Narrow { domain_id: Some("d".into()), ..Narrow::default() }, "x"),
        (Narrow { parent_id: Some("a".into()), ..Narrow::default() }, "b"),
        (Narrow { tags: tags(&["prod", "blue"]), ..Narrow::default() }, "a"),
        (Narrow { tags: tags(&["prod", "red"]), ..Narrow::default() }, ""),
    ] {
        let listed = projects::list(&session, &Source::All(narrow.clone()), LONG).await;
        assert_eq!(ids(listed), found, "{narrow:?}");
    }
    let known = session.domain_names(["default", "d", "unknown", ""], LONG).await;
    let names: BTreeMap<Box<str>, Box<str>> =
        [("default", "Default"), ("d", "Other")].map(|(id, name)| (id.into(), name.into())).into();
    assert_eq!(known, names);
}

/// Each line: how Keystone answers, and what is listed. The dots say that the listing is not whole.
#[tokio::test]
async fn answers_with_a_part_of_the_list() {
    let elsewhere = SimulatedCloud::start().await.unwrap();
    let other = format!("{}/v3/projects", elsewhere.base_url(Simulated::Keystone));
    for (listing, listed) in [
        (Listing::Whole, "demo a b admin"),
        (Listing::Empty, ""),
        (Listing::Half, "demo a"),
        (Listing::Limited(3), "demo a b …"),
        (Listing::Limited(4), "demo a b admin"),
        (Listing::Paged(1), "demo a b admin"),
        (Listing::Paged(2), "demo a b admin"),
        (Listing::Paged(4), "demo a b admin"),
        (Listing::PagedElsewhere(3, other), "demo a b admin"),
        (Listing::PagedElsewhere(3, "/identity/v3/projects".to_owned()), "demo a b admin"),
        (Listing::PagedElsewhere(3, String::new()), "demo a b admin"),
        (Listing::Loop(2), "unexpected"),
    ] {
        let cloud = cloud().await;
        cloud.set_listing(listing.clone());
        let list = projects::list(&session(&cloud.clouds_yaml("c")), &all(), LONG).await;
        // IDs are in the order of the alphabet.
        let order = |text: String| {
            let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(order(ids(list)), order(listed.to_owned()), "{listing:?}");
    }
    assert!(elsewhere.requests(Simulated::Keystone).is_empty(), "a token goes to its own Keystone alone");
}

/// Each line: what Keystone does instead, and the kind of the failure.
#[tokio::test]
async fn failures_list_nothing() {
    for (fault, kind) in [
        (Fault::status(403, r#"{"error": {"code": 403, "message": "no", "title": "Forbidden"}}"#), "forbidden"),
        (Fault::status(404, "<html>"), "not_found"),
        (Fault::status(429, "{}"), "rate_limited"),
        (Fault::status(500, "{}"), "server_error"),
        (Fault::status(503, "<html>"), "service_unavailable"),
        (Fault::status(401, r#"{"error": {"code": 401, "message": "no", "title": "Unauthorized"}}"#), "token_rejected"),
        (Fault::Hang, "timeout"),
        (Fault::Reset, "connection_failed"),
        (Fault::Body(b"<html>".to_vec()), "unexpected"),
        (Fault::Body(br#"{"error": {"code": 404}}"#.to_vec()), "unexpected"),
        (Fault::Body(br#"{"projects": [{"id": "a", "name": "a"}"#.to_vec()), "unexpected"),
        (Fault::Body(br#"{"projects": [], "links": {"next": "http://k/v3/projects"}}"#.to_vec()), "unexpected"),
    ] {
        let cloud = cloud().await;
        let session = session(&cloud.clouds_yaml("c"));
        session.log_in(LONG).await.unwrap();
        let deadline = if matches!(fault, Fault::Hang) { SHORT } else { LONG };
        cloud.fault_on(Simulated::Keystone, "projects", fault.clone());
        for source in [Source::Accessible, all()] {
            assert_eq!(ids(projects::list(&session, &source, deadline).await), kind, "{fault:?} {source:?}");
        }
        cloud.clear_faults(Simulated::Keystone);
    }
}

/// An answer of several hundred kilobytes is parsed while it arrives.
#[tokio::test]
async fn thousands_of_projects() {
    let cloud = cloud().await;
    for number in 0..2000 {
        cloud.put_project_of_operator(&format!("p{number:05}"), "n");
    }
    let session = session(&cloud.clouds_yaml("c"));
    let calls = || cloud.requests(Simulated::Keystone).iter().filter(|seen| seen.path.ends_with("/projects")).count();
    for (listing, expected) in [(Listing::Whole, 1), (Listing::Paged(1000), 3)] {
        cloud.set_listing(listing);
        let before = calls();
        let list = projects::list(&session, &Source::Accessible, LONG).await.unwrap();
        assert_eq!((list.projects.len(), list.whole, calls() - before), (2004, true, expected));
    }
    let row = |number: usize| format!(r#"{{"id": "p{number:05}", "name": "n", "description": "{}"}}"#, "x".repeat(100));
    let rows: Vec<_> = (0..20_001).map(row).collect();
    let body = format!(r#"{{"projects": [{}]}}"#, rows.join(","));
    cloud.fault_on(Simulated::Keystone, "/auth/projects", Fault::Body(body.into_bytes()));
    let list = projects::list(&session, &Source::Accessible, LONG).await.unwrap();
    assert_eq!((list.projects.len(), list.whole), (20_000, false));
}

#[tokio::test]
async fn what_keystone_says_about_one_project() {
    use ProjectState::{Absent, Disabled, Enabled, Forbidden, Unknown};
    let cloud = cloud().await;
    let session = session(&cloud.clouds_yaml("c"));
    for (id, expected) in
        [("a", Enabled), ("c", Disabled), ("none", Absent), ("..", Unknown), ("", Unknown), ("a/../c", Unknown)]
    {
        assert_eq!(projects::state(&session, id, LONG).await, expected, "{id}");
    }
    cloud.remove_admin_role();
    assert_eq!(projects::state(&session, "a", LONG).await, Forbidden, "no right to ask");
    assert_eq!(projects::state(&session, "none", LONG).await, Forbidden, "no right to ask");
    cloud.grant_admin_role();
    for fault in [
        Fault::status(404, "<html>"),
        Fault::status(500, "{}"),
        Fault::Body(b"{}".to_vec()),
        Fault::Body(br#"{"project": {"id": "other", "enabled": false}}"#.to_vec()),
        Fault::Reset,
    ] {
        cloud.fault_on(Simulated::Keystone, "/projects/", fault.clone());
        assert_eq!(projects::state(&session, "none", LONG).await, Unknown, "{fault:?}");
        cloud.clear_faults(Simulated::Keystone);
    }
    cloud.fault_on(Simulated::Keystone, "/projects/", Fault::Hang);
    assert_eq!(projects::state(&session, "none", SHORT).await, Unknown);
}

#[tokio::test]
async fn names_of_domains_are_asked_for_once_an_hour() {
    let cloud = cloud().await;
    let calls = || cloud.requests(Simulated::Keystone).iter().filter(|seen| seen.path.contains("/domains")).count();
    // Without a project, Keystone gives the names of the domains on which the user has a role.
    let unscoped = session(&cloud.clouds_yaml_unscoped("c"));
    for _ in 0..2 {
        assert_eq!(unscoped.domain_names(["default"], LONG).await, BTreeMap::new());
        assert_eq!(calls(), 2);
    }
    cloud.grant_domain_role("reader");
    let unscoped = session(&cloud.clouds_yaml_unscoped("c"));
    for _ in 0..2 {
        assert_eq!(unscoped.domain_names(["default"], LONG).await.len(), 1);
        assert_eq!(calls(), 3);
    }
    cloud.fault_on(Simulated::Keystone, "/domains", Fault::Hang);
    let late = session(&cloud.clouds_yaml("c"));
    late.log_in(LONG).await.unwrap();
    assert_eq!(late.domain_names(["default"], Duration::from_millis(50)).await, BTreeMap::new());
    cloud.clear_faults(Simulated::Keystone);
    assert_eq!(late.domain_names(["default"], LONG).await.len(), 1);
}

#[tokio::test]
async fn access_rules_without_the_list_are_named() {
    let cloud = cloud().await;
    cloud.set_access_rules(&[("GET", "/v3/projects", "identity")]);
    let session = session(&cloud.clouds_yaml_application_credential("c"));
    let failure = projects::list(&session, &Source::Accessible, LONG).await.unwrap_err();
    assert_eq!(failure.error, Error::OutsideAccessRules);
    assert!(projects::list(&session, &all(), LONG).await.is_ok());
    assert_eq!(projects::state(&session, "a", LONG).await, ProjectState::Forbidden);
}
