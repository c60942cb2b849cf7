//! Keystone's list of projects, as a whole and in parts, and the state of one project.
#![no_main]

use cloudtenant_operator::openstack::readers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let whole = readers::projects(body);
    for least in [1, 7, 64] {
        assert_eq!(readers::projects_in_parts(body, least), whole);
    }
    if let Some(list) = whole {
        assert!(list.projects.iter().all(|project| (1..=64).contains(&project.id.len()) && project.name.len() <= 255));
    }
    let _ = readers::project_state(body, "p");
});
