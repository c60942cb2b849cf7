//! A service's list of versions.
#![no_main]

use cloudtenant_operator::{openstack::Service, probe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for service in Service::ALL {
        let _ = probe::offers_version(body, service);
    }
});
