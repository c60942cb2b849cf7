//! Which projects a set selects, what their CloudTenants are called, and which specs are unusable.

use cloudtenant_operator::{
    api::set::{CloudTenantSet, ProjectFilter},
    decide::set::{Filter, SetTarget, name},
    observation::projects::Project,
};
use serde_json::{Value, json};

use super::world::{World, project};

#[test]
fn names() {
    let long = "a".repeat(63);
    let longer = "a".repeat(64);
    for (set, id, expected) in [
        ("web", "ec556a52de3448f0b8b5f8fc5ac83529", "web-ec556a52de3448f0b8b5f8fc5ac83529".to_owned()),
        ("web", "a-b", "web-a-b".to_owned()),
        ("web", "ABC", "web-abc-b5d4045c".to_owned()),
        ("web", "a_b", "web-a-b-648fa9b3".to_owned()),
        ("web.eu", "1", "web.eu-1".to_owned()),
        ("web", "-", "web-3973e022".to_owned()),
        ("web", "Ä", "web-2fe5ca1c".to_owned()),
        ("web", &long, format!("web-{long}")),
        // Longer than a label.
        ("web", &longer, format!("web-{long}-ffe054fe")),
    ] {
        assert_eq!(name::of(set, id), expected, "{set} {id}");
    }
}

#[test]
fn what_a_filter_selects() {
    let base = || project("p1");
    for (name, filter, project, selected) in [
        ("nothing is asked", json!({}), base(), true),
        ("disabled", json!({}), Project { enabled: false, ..base() }, false),
        ("stands for a domain", json!({}), Project { is_domain: true, ..base() }, false),
        ("one of the domains", json!({ "domainIDs": ["d0", "d1"] }), base(), true),
        ("another domain", json!({ "domainIDs": ["d0", "D1"] }), base(), false),
        ("right below", json!({ "parentID": "top" }), base(), true),
        ("below another", json!({ "parentID": "d1" }), base(), false),
        ("no parent", json!({ "parentID": "top" }), Project { parent_id: None, ..base() }, false),
        ("all tags", json!({ "tags": ["b", "a"] }), base(), true),
        ("not all tags", json!({ "tags": ["a", "c"] }), base(), false),
        ("no tags", json!({ "tags": ["a"] }), Project { tags: Vec::new(), ..base() }, false),
        ("the pattern is found inside", json!({ "namePattern": "me-p" }), base(), true),
        ("the pattern is bound to the ends", json!({ "namePattern": "^me-p" }), base(), false),
        ("excluded", json!({ "excludeIDs": ["p1"] }), base(), false),
        ("another is excluded", json!({ "excludeIDs": ["p", "p11"] }), base(), true),
        (
            "all of it",
            json!({ "tags": ["a"], "domainIDs": ["d1"], "namePattern": "p1$", "parentID": "top" }),
            base(),
            true,
        ),
        (
            "all but one",
            json!({ "tags": ["a"], "domainIDs": ["d1"], "namePattern": "p2$", "parentID": "top" }),
            base(),
            false,
        ),
    ] {
        let filter: ProjectFilter = serde_json::from_value(filter).unwrap();
        assert_eq!(Filter::new(&filter).unwrap().selects(&project), selected, "{name}");
    }
}

/// RE2's syntax as far as it is supported: `\d`, `\w`, `\s` and `\b` are ASCII there.
#[test]
fn patterns() {
    for (pattern, name, matches) in [
        (r"^eu-de(_|$)", "eu-de_web", true),
        (r"^eu-de(_|$)", "eu-de", true),
        (r"^eu-de(_|$)", "eu-de2", false),
        (r"^team-\d+$", "team-7", true),
        (r"^team-\d+$", "team-٧", false),
        (r"^[\w-]+$", "a-b_c", true),
        (r"^[\w-]+$", "grün", false),
        (r"^\W$", "ü", true),
        (r"\bprod\b", "eu prod 1", true),
        (r"\bprod\b", "products", false),
        (r"^a\\d$", r"a\d", true),
        (r"^a\\d$", "a7", false),
        (r"(?i)^PROD", "prod-1", true),
        (r"^.{3}$", "äöü", true),
        (r"^gr[üu]n", "grün", true),
        (r"^[^\s]+$", "a b", false),
        (r"x*", "", true),
    ] {
        let filter = ProjectFilter { name_pattern: Some(pattern.to_owned()), ..ProjectFilter::default() };
        let project = Project { name: name.into(), ..project("p") };
        assert_eq!(Filter::new(&filter).unwrap().selects(&project), matches, "{pattern} {name}");
    }
    let unusable = "spec.filter.namePattern is not a regular expression (RE2): correct the field.";
    let large = "spec.filter.namePattern is too large when compiled: use fewer or smaller repetitions.";
    for (pattern, message) in [
        ("(", unusable),
        (r"(a)\1", unusable),
        ("(?=a)", unusable),
        ("\\", unusable),
        ("(a{1000}){1000}", large),
        ("((a{50}){50}){50}", large),
        (&"(".repeat(255), unusable),
    ] {
        let filter = ProjectFilter { name_pattern: Some(pattern.to_owned()), ..ProjectFilter::default() };
        assert_eq!(Filter::new(&filter).unwrap_err(), message, "{pattern}");
    }
}

fn target(set: Value) -> Result<SetTarget, String> {
    SetTarget::new(&serde_json::from_value::<CloudTenantSet>(set).unwrap())
}

#[test]
fn unusable_sets_are_told() {
    let long = "x".repeat(64);
    for (name, at, value, message) in [
        (
            "an interval",
            "/spec/interval",
            json!("soon"),
            "spec.interval is not a duration such as 90s or 5m: correct the field.",
        ),
        ("a short interval", "/spec/interval", json!("59s"), "spec.interval is out of its range: correct the field."),
        ("a long interval", "/spec/interval", json!("24h1ms"), "spec.interval is out of its range: correct the field."),
        ("a share", "/spec/maxLossPercent", json!(101), "spec.maxLossPercent is out of its range: correct the field."),
        ("a number", "/spec/maxTenants", json!(0), "spec.maxTenants is out of its range: correct the field."),
        (
            "a pattern",
            "/spec/filter",
            json!({ "namePattern": "[" }),
            "spec.filter.namePattern is not a regular expression (RE2): correct the field.",
        ),
        (
            "the template's range",
            "/spec/template",
            json!({ "spec": { "interval": "1s" } }),
            "spec.template.spec.interval is out of its range: correct the field.",
        ),
        (
            "the template's type",
            "/spec/template",
            json!({ "spec": { "suspend": "yes" } }),
            "spec.template.spec cannot be read: invalid type: string \"yes\", expected a boolean.",
        ),
        (
            "the template's scope",
            "/spec/template",
            json!({ "spec": { "cloudCredentialsRef": { "scope": "All" } } }),
            "spec.template.spec cannot be read: unknown variant `All`, expected `Entry` or `ObservedProject`.",
        ),
        (
            "the name",
            "/metadata/name",
            json!(long),
            "The name of the CloudTenantSet is longer than 63 characters: create it anew under another name.",
        ),
    ] {
        let mut set = World::new(
            json!({ "interval": "10m", "filter": {}, "template": {}, "maxTenants": 5, "maxLossPercent": 1 }),
        )
        .set;
        *set.pointer_mut(at).unwrap() = value;
        assert_eq!(target(set).unwrap_err(), message, "{name}");
    }
}
