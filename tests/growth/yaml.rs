//! clouds.yaml.

use std::{hint::black_box, str};

use cloudtenant_operator::openstack::CloudConfig;

use super::measure::{Case, Shape, cases, numbered, reader_of, same};

const CLOUD: &str = "c: {auth: {auth_url: 'http://k', token: t}}";

/// Whole files.
const FILES: &[Shape] = &[
    numbered!("entries", "clouds:\n", "  e{n}: {{auth: {{token: t}}}}\n", "  c: {}\n"),
    same!("one entry", "clouds:\n", "  c: {auth: {token: t}}\n", ""),
    same!("clouds", "", "clouds: {c: {}}\n", ""),
    numbered!("other keys", "clouds: {c: {}}\n", "k{n}: v\n", ""),
    same!("documents", "clouds: {c: {}}\n", "---\na: b\n", ""),
    same!("ends of documents", "clouds: {c: {}}\n", "...\n", ""),
    same!("comments", "clouds: {c: {}}\n", "# c\n", ""),
    same!("one comment", "clouds: {c: {}} #", "c", "\n"),
    same!("empty lines", "clouds: {c: {}}\n", "\n", ""),
    same!("spaces", "clouds: {c: {}}", " ", "\n"),
    same!("lists within lists", "a: ", "[", ""),
    same!("mappings within mappings", "a: ", "{a: ", ""),
    same!("dashes", "a:\n  ", "- ", "a\n"),
    same!("question marks", "", "? ", "a\n"),
    same!("colons", "a", ":", "\n"),
    same!("tags", "a: ", "!t ", "b\n"),
    same!("directives", "", "%TAG ! tag:a,2000:\n", "---\na: b\n"),
    same!("anchors of nothing", "a: ", "&a ", "b\n"),
    same!("no YAML", "", "\u{1}", ""),
    same!("tabs", "a:", "\t", "b\n"),
    same!("carriage returns", "a: b", "\r", "\n"),
    numbered!("anchors", "a:\n", "- &a{n} v\n", ""),
    numbered!("anchors and aliases", "a:\n", "- &a{n} v\n- *a{n}\n", ""),
    same!("aliases of one text", "a: &a t\nb:\n", "- *a\n", ""),
    same!("aliases of a list", "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]\nb:\n", "- *a\n", ""),
    numbered!("aliases of lists within lists", "a0: &a0 [1, 2]\n", "a{n}: &x{n} [*a0, *a0, *a0, *a0]\n", ""),
    same!("aliases within an anchor", "a: &a t\nb: &b\n", "- *a\n", "c: [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n"),
    same!("merge keys", "a: &a {k: v}\nb:\n", "- {<<: *a}\n", ""),
    same!("merge keys of one mapping", "a: &a {k: v}\nb:\n", "  <<: *a\n", ""),
    same!("a list of merges", "a: &a {k: v}\nb:\n  <<: [", "*a, ", "*a]\n"),
    numbered!("keys of a merged mapping", "a: &a\n", "  k{n}: v\n", "clouds: {c: {<<: *a, auth: {<<: *a}}}\n"),
];

/// An entry.
const ENTRIES: &[Shape] = &[
    numbered!("keys", "", "    k{n}: v\n", ""),
    same!("one key", "", "    k: v\n", ""),
    same!("one key that is read", "", "    region_name: v\n", ""),
    numbered!("keys of the region", "    regions:\n    - name: r\n      values:\n", "        k{n}: v\n", ""),
    numbered!("regions", "    regions:\n", "    - r{n}\n", ""),
    same!("one region", "    regions:\n", "    - r\n", ""),
    same!("names of regions", "    region_name: [", "r, ", "r]\n"),
    same!("commas", "    region_name: '", ",", "'\n"),
    same!("interfaces", "    interface: [", "public, ", "public]\n"),
    same!("a long text", "    region_name: ", "r", "\n"),
    same!("a long quoted text", "    region_name: \"", "\\x41", "\"\n"),
    same!("a long key", "    ? ", "k", "\n    : v\n"),
    same!("a block of text", "    region_name: |\n", "      r\n", ""),
    same!("a folded text", "    region_name: >\n", "      r\n\n", ""),
    same!("a text of many lines", "    region_name: r\n", "      r\n", ""),
    same!("a password", "    password: ", "p", "\n"),
    same!("place holders", "    dcs_endpoint_override: http://x/", "%(project_id)s", "\n"),
    same!("regions in a URL", "    region_name: r\n    dcs_endpoint_override: http://x/", "{region_name}", "\n"),
    same!("the path of a URL", "    dcs_endpoint_override: http://x/", "../a/", "\n"),
    same!("hyphens in keys", "    ", "a-", "a: v\n"),
];

pub fn cases_of_all() -> Vec<Case> {
    let read = |bytes: &[u8]| {
        let yaml = str::from_utf8(bytes).unwrap();
        for region in [None, Some("r")] {
            black_box(CloudConfig::parse_with_notes(yaml, "c", None, region).is_ok());
        }
    };
    let begin: &'static str =
        format!("clouds:\n  {}\n", CLOUD.replace("c: {auth", "c:\n    auth").replace("}}", "}")).leak();
    // Short ones too: a limit hides how a reader grows up to there.
    let lengths = [512, 4 << 10];
    let of = |length| {
        let products = PRODUCTS.iter().map(move |(name, texts)| Case {
            name: format!("clouds.yaml: {name}"),
            length,
            make: Box::new(|length| product(texts, length)),
            read: reader_of(read),
        });
        let mut all = cases("clouds.yaml", ("", ""), length, FILES, read);
        all.extend(cases("entry", (begin, ""), length, ENTRIES, read));
        all.extend(products);
        all
    };
    lengths.into_iter().flat_map(of).collect()
}

/// Half of a file is what an alias stands for, and the other half is aliases.
#[rustfmt::skip]
const PRODUCTS: &[(&str, [&str; 5])] = &[
    ("a list by aliases", ["a: &a [", "v, ", "v]\nb:\n", "- *a\n", ""]),
    ("a mapping by merges", ["a: &a {", "k: v, ", "k: v}\nb:\n", "- {<<: *a}\n", ""]),
    ("a mapping by merges of one entry", ["a: &a {", "k: v, ", "k: v}\nclouds: {c: {<<: [", "*a, ", "*a]}}\n"]),
    ("a mapping by merges within auth", ["a: &a {", "k: v, ", "k: v}\nclouds: {c: {auth: {<<: [", "*a, ", "*a]}}}\n"]),
    ("a long text by aliases", ["a: &a ", "t", "\nclouds: {c: {region_name: [", "*a, ", "*a]}}\n"]),
    ("a long text by aliases that are not read", ["a: &a ", "t", "\nb: [", "*a, ", "*a]\n"]),
    ("a long key by merges", ["a: &a {? ", "t", " : v}\nclouds: {c: {<<: [", "*a, ", "*a]}}\n"]),
    ("regions by aliases", ["a: &a [", "r, ", "r]\nclouds: {c: {regions: [", "{values: *a, name: r}, ", "r]}}\n"]),
];

fn product([begin, part, between, alias, end]: &[&str; 5], length: usize) -> Vec<u8> {
    let (parts, aliases) = (part.repeat(length / 2 / part.len()), alias.repeat(length / 2 / alias.len()));
    [*begin, &parts, *between, &aliases, *end].concat().into_bytes()
}
