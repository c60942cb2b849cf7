//! When the next pass over a set starts.

use std::time::Duration;

use cloudtenant_operator::{
    api::Reason,
    decide::set::status::{Listed, Waits, Written, scheduled},
};
use serde_json::json;

use super::world::{Judged, World, failure};

/// Each row: whether the list failed, whether writes are left, the waits, and the seconds until the next pass of the set
/// whose time is shortened most.
#[test]
fn no_wait_for_the_pace_or_for_keystone_is_shortened() {
    let whole = Listed::Yes { whole: true };
    let refused = Listed::Failed(failure(Reason::AuthenticationFailed, false), 1);
    let slow = Listed::Failed(failure(Reason::Timeout, false), 3);
    let seconds = |seconds: u64| Some(Duration::from_secs(seconds));
    let none = Waits::default();
    let pace = |wait| Waits { pace: seconds(wait), ..none };
    let keystone = |wait| Waits { retry_after: seconds(wait), ..none };
    for (name, listed, is_unfinished, waits, next) in [
        ("the interval is spread", &whole, false, none, 540.0),
        ("writes are left", &whole, true, none, 13.5),
        ("the pace", &whole, true, pace(55), 55.0),
        ("the pace allows one soon", &whole, true, pace(3), 3.6),
        ("only writes are left that failed before", &whole, false, pace(55), 540.0),
        ("Keystone wants no list", &whole, false, keystone(700), 700.0),
        ("a list failed", &slow, false, none, 54.0),
        ("the pace does not shorten the wait after a failure", &slow, true, pace(3), 54.0),
        ("the pace is longer than that", &slow, true, pace(59), 59.0),
        ("a person has to act", &refused, false, Waits { longest: seconds(30), ..none }, 27.0),
    ] {
        let world = World::new(json!({}));
        let written = Written { is_unfinished, ..Written::default() };
        let judged = Judged { listed: listed.clone(), written, ..Judged::of(&world) };
        let found = scheduled(&judged.pass(world.now), waits, 1.0).unwrap().as_secs_f64();
        assert!((found - next).abs() < 0.001, "{name}: {found} and not {next}");
    }
}
