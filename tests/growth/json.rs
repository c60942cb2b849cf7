//! The answers of clouds.

use std::hint::black_box;

use cloudtenant_operator::{
    openstack::{CloudConfig, Service, readers},
    probe::{
        self,
        usage::{Sum, Window},
    },
};
use jiff::Timestamp;

use super::measure::{Case, Shape, cases, numbered, same};

/// Any JSON value.
const VALUES: &[Shape] = &[
    same!("zeros", "[", "0,", "0]"),
    same!("empty objects", "[", "{},", "{}]"),
    same!("empty lists", "[", "[],", "[]]"),
    same!("lists within lists", "", "[", ""),
    same!("objects within objects", "", r#"{"a":"#, ""),
    same!("one text", "\"", "a", "\""),
    same!("escapes", "\"", r"\u0041\n", "\""),
    same!("surrogates", "\"", r"\ud83d\ude00", "\""),
    same!("halves of surrogates", "\"", r"\ud83d", "\""),
    same!("characters of three bytes", "\"", "\u{200b}", "\""),
    same!("one number", "1", "1", ""),
    same!("one fraction", "0.", "1", "e5"),
    same!("spaces", "", " ", "0"),
    same!("one key", "{", r#""k":0,"#, r#""k":0}"#),
    numbered!("many keys", "{", r#""k{n}":{n},"#, r#""k":0}"#),
    numbered!("objects of one key", "[", r#"{{"k{n}":"v{n}"}},"#, "0]"),
    same!("one long key", "{\"", "k", "\":0}"),
    same!("no JSON", "", "<", ""),
    same!("bytes that are controls", "\"", "\u{1}", "\""),
];

const LOGINS: &[Shape] = &[
    same!("services without addresses", "[", r#"{"type":"dcs"},"#, "{}]"),
    numbered!("types", "[", r#"{{"type":"t{n}"}},"#, "{}]"),
    same!("services of no address", "[", r#"{"type":"compute","endpoints":[]},"#, "{}]"),
    same!("services of odd addresses", "[", r#"{"type":"compute","endpoints":[{"url":[]},0,{}]},"#, "{}]"),
    numbered!(
        "services of one address",
        "[",
        r#"{{"type":"compute","endpoints":[{{"interface":"public","region":"r{n}","url":"http://x/{n}"}}]}},"#,
        "{}]"
    ),
    numbered!(
        "addresses of one service",
        r#"[{"type":"compute","endpoints":["#,
        r#"{{"interface":"public","region":"r{n}","url":"http://x/{n}"}},"#,
        "{}]}]"
    ),
    numbered!(
        "regions of other services",
        "[",
        r#"{{"type":"image","endpoints":[{{"interface":"public","region_id":"r{n}","url":"u"}}]}},"#,
        "{}]"
    ),
];

const ROLES: &[Shape] =
    &[numbered!("roles", "[", r#"{{"name":"r{n}"}},"#, "{}]"), same!("odd ones", "[", r#"{"name":0},"#, "0]")];

const ENGINES: &[Shape] = &[
    numbered!(
        "engines",
        "[",
        r#"{{"id":"{n}","host":"h{n}","status":"up","updated_at":"2026-11-22T05:09:46.0"}},"#,
        "0]"
    ),
    numbered!(
        "engines of one host",
        "[",
        r#"{{"id":"{n}","host":"h","status":"down"}},"#,
        r#"{"host":"h","status":"up"}]"#
    ),
    same!("deleted ones", "[", r#"{"host":"h","status":"up","deleted_at":"x"},"#, r#"{"host":"h","status":"up"}]"#),
];

const PROJECTS: &[Shape] = &[
    numbered!("projects", "[", r#"{{"id":"p{n}","name":"n{n}","domain_id":"d","tags":["a","b"]}},"#, "0]"),
    same!("one project", "[", r#"{"id":"p","name":"n"},"#, r#"{"id":"p","name":"n"}]"#),
    same!("tags", r#"[{"id":"p","name":"n","tags":["#, r#""t","#, r#""t"]}]"#),
    same!("names to clean", "[", r#"{"id":"p","name":"\u200b\n\u202e"},"#, "0]"),
];

const SERVERS: &[Shape] = &[
    numbered!("flavors", "[", r#"{{"flavor":"f{n}","hours":1.5,"vcpus":2}},"#, "{}]"),
    same!("one flavor", "[", r#"{"flavor":"f","hours":1.5,"vcpus":2},"#, "{}]"),
    same!("odd values", "[", r#"{"flavor":[[{}]],"hours":"x","vcpus":{"a":null}},"#, "{}]"),
    same!("names to clean", "[", r#"{"flavor":"\u200b\n\u202e","hours":1},"#, "{}]"),
];

const LINKS: &[Shape] = &[
    same!("other links", "[", r#"{"rel":"prev","href":"h?marker=m"},"#, r#"{"rel":"next","href":"h?marker=m"}]"#),
    same!("next links", "[", r#"{"rel":"next","href":"h?marker=m"},"#, r#"{"rel":"next","href":"h?marker=m"}]"#),
    same!("parameters", r#"[{"rel":"next","href":"h?"#, "a=b&", r#"marker=m"}]"#),
    same!("escaped marker", r#"[{"rel":"next","href":"h?marker="#, "%20+", r#""}]"#),
    same!("question marks", r#"[{"rel":"next","href":"h"#, "?", r#"marker=m"}]"#),
];

const COUNTS: &[Shape] = &[
    numbered!("counts", "{", r#""n{n}_count":1,"#, r#""running_count":1}"#),
    numbered!("kinds", "{", r#""k{n}":{{"running_count":1,"n{n}_count":2}},"#, r#""running_count":1}"#),
    numbered!("counts of one kind", r#"{"redis":{"#, r#""n{n}_count":1,"#, r#""running_count":1}}"#),
];

const VERSIONS: &[Shape] = &[
    numbered!("versions", "[", r#"{{"links":[{{"rel":"self","href":"http://x/v{n}/"}}]}},"#, "{}]"),
    numbered!("links", r#"[{"links":["#, r#"{{"rel":"self","href":"http://x/v{n}/"}},"#, r#"{"href":""}]}]"#),
    same!("slashes", r#"[{"links":[{"rel":"self","href":"http://x"#, "/", r#""}]}]"#),
];

const REFUSALS: &[Shape] = &[
    same!("the secret", r#"{"message":""#, "secret ", r#""}"#),
    same!("words", r#"{"message":""#, "a b ", r#""}"#),
    numbered!("envelopes", "{", r#""e{n}":{{"code":1}},"#, r#""x":{"message":"m"}}"#),
];

const KIB: usize = 1024;
/// Bodies of more than 256 KiB are parsed in parts of this size.
const PART: usize = 128 * KIB;

pub fn cases_of_all() -> Vec<Case> {
    let yaml = "clouds: {c: {auth: {auth_url: 'http://k', token: t}}}";
    let config = CloudConfig::parse(yaml, "c", None, None).unwrap();
    let login = move |body: &[u8]| black_box(readers::login(body, &config));
    let now: Timestamp = "2026-11-22T05:10:00Z".parse().unwrap();
    let engines = move |body: &[u8]| {
        for status in [200, 503] {
            black_box(probe::engines::parse(status, body, now, now));
        }
        black_box(probe::engines::parse_in_parts(body, PART, now).is_ok());
    };
    let caches = |body: &[u8]| black_box(probe::caches::parse(body));
    let usage = move |body: &[u8]| {
        black_box(probe::usage::parse_in_parts(body, PART).is_ok());
        let Ok(page) = probe::usage::parse(body) else { return };
        black_box(page.next_marker().is_ok());
        let mut sum = Sum::new(Window { start: now, end: now });
        black_box(sum.add(page).is_ok());
        black_box(sum.finish(true));
    };
    let versions = |body: &[u8]| {
        black_box(probe::offers_version(body, Service::Compute));
    };
    let not_found = |body: &[u8]| {
        black_box(readers::not_found(body));
    };
    let projects = |body: &[u8]| {
        black_box(readers::projects(body));
        black_box(readers::projects_in_parts(body, PART));
        black_box(readers::project_state(body, "p"));
    };
    let ends = |body: &[u8]| {
        black_box(readers::application_credential(body));
    };
    let refusal = |body: &[u8]| {
        black_box(readers::refusal(body, "secret"));
    };
    let totals = r#""total_hours":1,"total_vcpus_usage":1,"total_memory_mb_usage":1,"total_local_gb_usage":1,
        "start":"2026-11-22T05:10:00","stop":"2026-11-22T05:10:00""#;
    let servers: &'static str = format!(r#"{{"tenant_usage":{{{totals},"server_usages":"#).leak();
    let links: &'static str =
        format!(r#"{{"tenant_usage":{{{totals},"server_usages":[]}},"tenant_usage_links":"#).leak();
    let expires = r#"{"token":{"expires_at":"2126-11-22T06:00:00Z","#;
    let member = |name: &str| -> &'static str { format!(r#"{expires}"{name}":"#).leak() };
    // More rows than any reader keeps.
    [
        cases("login, catalog", (member("catalog"), "}}"), 32 * KIB, VALUES, login.clone()),
        cases("login, catalog", (member("catalog"), "}}"), 64 * KIB, LOGINS, login.clone()),
        cases("login, roles", (member("roles"), "}}"), 32 * KIB, VALUES, login.clone()),
        cases("login, roles", (member("roles"), "}}"), 64 * KIB, ROLES, login.clone()),
        cases("login, user", (member("user"), "}}"), 32 * KIB, VALUES, login.clone()),
        cases("login, unknown", (member("x"), "}}"), 32 * KIB, VALUES, login.clone()),
        cases("login", (r#"{"token":"#, "}"), 32 * KIB, VALUES, login),
        cases("engines", (r#"{"services":"#, "}"), 32 * KIB, VALUES, engines),
        cases("engines", (r#"{"services":"#, "}"), 64 * KIB, ENGINES, engines),
        cases("caches", ("", ""), 16 * KIB, VALUES, caches),
        cases("caches", ("", ""), 16 * KIB, COUNTS, caches),
        cases("usage, servers", (servers, "}}"), 32 * KIB, VALUES, usage),
        cases("usage, servers", (servers, "}}"), 64 * KIB, SERVERS, usage),
        cases("usage, links", (links, "}"), 32 * KIB, VALUES, usage),
        cases("usage, links", (links, "}"), 64 * KIB, LINKS, usage),
        cases("versions", (r#"{"versions":"#, "}"), 4 * KIB, VALUES, versions),
        cases("versions", (r#"{"versions":"#, "}"), 4 * KIB, VERSIONS, versions),
        cases("projects", (r#"{"projects":"#, "}"), 32 * KIB, VALUES, projects),
        cases("projects", (r#"{"projects":"#, "}"), 64 * KIB, PROJECTS, projects),
        cases("projects, links", (r#"{"projects":[],"links":{"next":"#, "}}"), 32 * KIB, VALUES, projects),
        cases("Keystone's 404", ("", ""), 4 * KIB, VALUES, not_found),
        cases("application credential", ("", ""), 32 * KIB, VALUES, ends),
        cases("refusal", ("", ""), 4 * KIB, VALUES, refusal),
        cases("refusal", ("", ""), 4 * KIB, REFUSALS, refusal),
    ]
    .into_iter()
    .flatten()
    .collect()
}
