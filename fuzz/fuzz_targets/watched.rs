//! A CloudTenant as the API server returns it, read field by field.
#![no_main]

use cloudtenant_operator::{target::Target, watched::object::Watched};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Watched::read(text).0 {
        Ok(tenant) => {
            let _ = Target::new(&tenant.spec);
        }
        Err(unreadable) => assert!(unreadable.why.len() < 1000 && unreadable.why.ends_with('.')),
    }
});
