//! A set under random lists, restarts, steps of the clock and people who change things.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use cloudtenant_operator::{
    api::Reason,
    decide::set::name,
    observation::projects::{Project, ProjectList, ProjectState},
};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};
use serde_json::{Value, json};

use super::world::{World, failure, project};

/// The projects that Keystone may have.
const IDS: [&str; 12] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "pA", "p_b"];

/// What the list of a pass is.
#[derive(Debug, Clone)]
enum Listing {
    Failed,
    Empty,
    Incomplete(BTreeSet<usize>),
    /// Whole, without these projects.
    Without(BTreeSet<usize>),
    /// Whole, with these disabled.
    Disabled(BTreeSet<usize>),
    /// As the pass before.
    Same,
}

/// What happens before a pass.
#[derive(Debug, Clone)]
enum Between {
    Wait(i64),
    StepBack(i64),
    Restart,
    Credential(&'static str),
    Change(&'static str, Value),
    /// Somebody makes a CloudTenant: its project, its name and metadata.
    ByHand(usize, &'static str, Value),
    /// Somebody deletes a CloudTenant of the set.
    Deleted(usize),
    /// Keystone's answer about each project from now on.
    State(ProjectState),
}

fn some() -> impl Strategy<Value = BTreeSet<usize>> {
    prop_oneof![
        6 => prop::collection::btree_set(0..IDS.len(), 1..3),
        3 => prop::collection::btree_set(0..IDS.len(), 3..IDS.len()),
    ]
}

fn listing() -> impl Strategy<Value = Listing> {
    prop_oneof![
        2 => Just(Listing::Failed),
        2 => Just(Listing::Empty),
        2 => some().prop_map(Listing::Incomplete),
        5 => some().prop_map(Listing::Without),
        2 => some().prop_map(Listing::Disabled),
        12 => Just(Listing::Same),
    ]
}

fn between() -> impl Strategy<Value = Between> {
    use ProjectState::{Absent, Disabled, Enabled, Forbidden, Unknown};
    let metadata = select(vec![
        json!({}),
        json!({ "labels": { "cloudtenant.dev/set": "web" } }),
        json!({ "labels": { "cloudtenant.dev/set": "other" }, "annotations": { "cloudtenant.dev/set-uid": "u-web" } }),
        json!({ "ownerReferences": [{ "uid": "u-x", "controller": true, "kind": "Other", "name": "x" }],
                "labels": { "cloudtenant.dev/set": "web" }, "annotations": { "cloudtenant.dev/set-uid": "u-web" } }),
    ]);
    let by_hand = (0..IDS.len(), select(vec!["mine", "web-p1", "web-p2-x", "yours"]), metadata);
    prop_oneof![
        8 => (30_i64..1200).prop_map(Between::Wait),
        3 => (1200_i64..40_000).prop_map(Between::Wait),
        1 => (1_i64..30_000).prop_map(Between::StepBack),
        1 => Just(Between::Restart),
        1 => select(vec!["alice", "bob"]).prop_map(Between::Credential),
        1 => select(vec![
            ("interval", json!("5m")), ("maxLossPercent", json!(0)), ("maxLossPercent", json!(30)),
            ("maxLossPercent", json!(100)), ("prune", json!("Keep")), ("prune", json!("Delete")),
            ("filter", json!({ "excludeIDs": ["p3", "p4"] })), ("filter", json!({})),
        ]).prop_map(|(field, value)| Between::Change(field, value)),
        1 => by_hand.prop_map(|(id, name, metadata)| Between::ByHand(id, name, metadata)),
        1 => (0..IDS.len()).prop_map(Between::Deleted),
        1 => select(vec![Absent, Disabled, Enabled, Forbidden, Unknown]).prop_map(Between::State),
    ]
}

fn is_by_hand(world: &World, name: &str, by_hand: &BTreeMap<String, Value>) -> bool {
    by_hand.get(name).is_some_and(|object| world.cluster.get(name).is_some_and(|found| found == object))
}

/// What must hold of deletions, beside the world itself.
#[derive(Default)]
struct Judge {
    /// Seconds since the beginning, which no step of the clock changes.
    elapsed: i64,
    /// When CloudTenants were deleted, by that time, and how many.
    deletions: Vec<(i64, usize)>,
    /// Whether the next list is the first with its basis.
    is_first: bool,
    /// When each project was last in a list, or the basis changed.
    listed: BTreeMap<String, i64>,
}

/// The number of deletions in a story in which all holds.
fn run(steps: Vec<(Between, Listing)>) -> Result<usize, TestCaseError> {
    let mut world = World::new(json!({ "prune": "Delete" }));
    let mut judge = Judge { is_first: true, ..Judge::default() };
    let mut by_hand: BTreeMap<String, Value> = BTreeMap::new();
    let mut projects: Vec<Project> = IDS.iter().map(|id| project(id)).collect();
    world.pass(Ok(ProjectList { projects: projects.clone(), whole: true }));
    judge.is_first = false;
    for (between, listing) in steps {
        match between {
            Between::Wait(seconds) => {
                world.wait(seconds);
                judge.elapsed += seconds;
            }
            Between::StepBack(seconds) => world.wait(-seconds),
            Between::Restart => {
                world.memory = Default::default();
                judge.is_first = true;
            }
            Between::Credential(name) => {
                judge.is_first |= world.credential != name;
                world.credential = name;
            }
            Between::Change(field, value) => {
                world.change(field, value);
                judge.is_first = true;
            }
            Between::ByHand(id, name, metadata) => {
                if !world.cluster.contains_key(name) {
                    world.by_hand(name, IDS[id], metadata);
                    by_hand.insert(name.to_owned(), world.cluster[name].clone());
                }
            }
            Between::Deleted(id) => {
                let name = name::of("web", IDS[id]);
                if !by_hand.contains_key(&name) {
                    world.cluster.remove(&name);
                }
            }
            Between::State(state) => world.states = IDS.iter().map(|id| ((*id).to_owned(), state)).collect(),
        }
        let all = || IDS.iter().map(|id| project(id)).enumerate();
        let mut whole = true;
        let mut failed = false;
        match &listing {
            Listing::Failed => failed = true,
            Listing::Empty => {}
            Listing::Incomplete(left_out) => {
                whole = false;
                projects = all().filter(|(at, _)| !left_out.contains(at)).map(|(_, project)| project).collect();
            }
            Listing::Without(gone) => {
                projects = all().filter(|(at, _)| !gone.contains(at)).map(|(_, project)| project).collect();
            }
            Listing::Disabled(disabled) => {
                let states = all().map(|(at, project)| Project { enabled: !disabled.contains(&at), ..project });
                projects = states.collect();
            }
            Listing::Same => {}
        }
        let list = match listing {
            Listing::Empty => Vec::new(),
            _ => projects.clone(),
        };
        let is_usable = !failed && whole && !list.is_empty();
        let is_own = |uid: &Option<String>| uid.as_deref() == Some("u-web");
        let own_before = world.children().iter().filter(|child| is_own(&child.set_uid)).count();
        let old = world.cluster.clone();
        let passed = world.pass(match failed {
            true => Err(failure(Reason::ServerError, true)),
            false => Ok(ProjectList { projects: list.clone(), whole }),
        });

        for (name, object) in &by_hand {
            // A label and a name by the rule hand it over to the set.
            let is_handed_over = name == "web-p1"
                && object["metadata"]["labels"]["cloudtenant.dev/set"] == "web"
                && object["metadata"].get("ownerReferences").is_none()
                && object["spec"]["projectID"] == "p1";
            prop_assert!(is_handed_over || is_by_hand(&world, name, &by_hand), "{name} was changed or deleted");
        }
        let deleted = passed.pruned.deletions.len();
        if deleted > 0 {
            prop_assert!(is_usable, "deleted after {listing:?}");
            prop_assert!(!judge.is_first, "the first list deletes");
            prop_assert_eq!(&world.set["spec"]["prune"], "Delete");
        }
        for deletion in &passed.pruned.deletions {
            let selected = list.iter().any(|project| project.enabled && *project.id == *deletion.project_id);
            let excluded = world.set["spec"]["filter"]["excludeIDs"]
                .as_array()
                .is_some_and(|ids| ids.contains(&json!(deletion.project_id)));
            prop_assert!(!selected || excluded, "{} is listed", deletion.project_id);
            let last = judge.listed.get(&deletion.project_id).copied().unwrap_or_default();
            prop_assert!(judge.elapsed - last >= 600, "{} was listed a moment ago", deletion.project_id);
            let state = world.states.get(&deletion.project_id).copied().unwrap_or(ProjectState::Absent);
            let told = list.iter().find(|project| *project.id == *deletion.project_id).map(|project| project.enabled);
            let exists = told.unwrap_or(matches!(state, ProjectState::Enabled | ProjectState::Unknown));
            prop_assert!(!exists, "{} exists", deletion.project_id);
            prop_assert_eq!(&old[&deletion.name]["metadata"]["uid"], &json!(deletion.uid));
        }
        judge.deletions.push((judge.elapsed, deleted));
        let of_a_day = judge.deletions.iter().filter(|(at, _)| judge.elapsed - at < 86_400);
        let of_a_day: usize = of_a_day.map(|(_, deleted)| deleted).sum();
        let of_two_days = judge.deletions.iter().filter(|(at, _)| judge.elapsed - at < 2 * 86_400);
        let of_two_days: usize = of_two_days.map(|(_, deleted)| deleted).sum();
        let percent = world.target().max_loss_percent as usize;
        let most = ((own_before + of_two_days - deleted) * percent / 100).max(1);
        prop_assert!(deleted == 0 || of_a_day <= most, "{of_a_day} of at most {most} in a day");

        if !failed {
            if judge.is_first {
                judge.listed = IDS.iter().map(|id| ((*id).to_owned(), judge.elapsed)).collect();
            }
            judge.is_first = false;
            let filter = world.target().filter;
            let selected = list.iter().filter(|project| filter.selects(project));
            let elapsed = judge.elapsed;
            judge.listed.extend(selected.map(|project| (project.id.to_string(), elapsed)));
        }
    }
    Ok(judge.deletions.iter().map(|(_, deleted)| deleted).sum())
}

#[test]
fn what_people_made_stays_and_no_doubtful_list_deletes() {
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    let (mut runner, deleted) = (TestRunner::new(config), Cell::new(0));
    let stories = vec((between(), listing()), 1..40);
    let judged = runner.run(&stories, |steps| {
        deleted.set(deleted.get() + run(steps)?);
        Ok(())
    });
    judged.unwrap_or_else(|error| panic!("{error}"));
    assert!(deleted.get() > 0, "no story deletes");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_are_dns_subdomains_and_differ(
        set in "[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?",
        ids in prop::collection::btree_set("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", 1..20),
    ) {
        let set = set.replace("..", ".a").replace(".-", "a-").replace("-.", "-a");
        let mut names = BTreeSet::new();
        for id in ids.iter().flat_map(|id| [id.clone(), id.to_lowercase(), id.to_uppercase()]).collect::<BTreeSet<_>>() {
            let name = name::of(&set, &id);
            prop_assert!(name.len() <= 253, "{name}");
            for label in name.split('.') {
                let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                prop_assert!(!label.is_empty() && label.chars().all(inner), "{name}");
                prop_assert!(!label.starts_with('-') && !label.ends_with('-'), "{name}");
            }
            prop_assert!(names.insert(name), "{id} has the name of another project");
        }
    }
}
