//! Stories of Heat's engines: a table that is played answer by answer.
//!
//! A line is: seconds | answer | reason summary up down forgotten unanswered | events. `~` before an answer: the
//! tenant makes no pass at it. `503 took=60` is a 503 whose request was sent 60 s before.

use std::time::Duration;

use crate::{
    words::{START, later},
    world::{World, compare, lines, said, told},
};

/// Plays a story. An operator that starts anew after any of its lines says the same.
pub fn story(name: &str, table: &str) {
    play(name, table, true);
}

/// Plays a story in which the operator needs what a restart loses.
pub fn story_without_restarts(name: &str, table: &str) {
    play(name, table, false);
}

fn play(name: &str, table: &str, restarts: bool) {
    let expected = lines(table);
    // How far the cloud's clock is from ours changes nothing.
    for ahead in [0, 600, -600] {
        let mut world = World::of_engines();
        world.ahead = ahead;
        let actual: Vec<_> = expected.iter().map(|cells| step(&mut world, cells, restarts)).collect();
        compare(name, &expected, &actual);
    }
}

fn step(world: &mut World, cells: &[String], restarts: bool) -> Vec<String> {
    world.now = later(START, cells[0].parse().unwrap());
    let (said, told) = match cells[1].as_str() {
        "restart" => {
            world.restart();
            Default::default()
        }
        words if words.starts_with('~') => {
            world.hear(&words[1..]);
            Default::default()
        }
        words if words.starts_with("threshold=") => {
            world.set_thresholds(words[10..].parse().unwrap());
            Default::default()
        }
        words if words.starts_with("forgetAfter=") => {
            world.target.engines.forget_after = Duration::from_secs(words[12..].parse().unwrap());
            Default::default()
        }
        words if words.starts_with("clock") => {
            world.ahead += words[5..].trim().parse::<i64>().unwrap();
            Default::default()
        }
        words => {
            let (status, notices) = world.pass_in_words_of_engines(words);
            if restarts {
                restart_repeats_nothing(world, words);
            }
            (said(&status), told(&notices))
        }
    };
    vec![cells[0].clone(), cells[1].clone(), said, told]
}

/// An operator that starts anew and gets the same answer once more says the same and tells nothing.
fn restart_repeats_nothing(world: &World, words: &str) {
    let mut again = world.clone();
    again.restart();
    let before = said(&again.stored);
    let (status, notices) = again.pass_in_words_of_engines(words);
    assert_eq!((said(&status), told(&notices)), (before, String::new()), "after a restart at {words}");
}
