//! A CloudTenant as the API server returns it, and any object's metadata, read field by field.
#![no_main]

use cloudtenant_operator::{
    target::Target,
    watched::object::{Watched, members, metadata},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = metadata(&members(text));
    match Watched::read(text).0 {
        Ok(tenant) => {
            let _ = Target::new(&tenant.spec);
        }
        Err(unreadable) => assert!(unreadable.why.len() < 1000 && unreadable.why.ends_with('.')),
    }
});
