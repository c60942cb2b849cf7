//! A clouds.yaml. An error never repeats a long part of it.
#![no_main]

use cloudtenant_operator::openstack::CloudConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for (cacert, region) in [(None, None), (Some(text), Some("RegionOne"))] {
        if let Err(error) = CloudConfig::parse(text, "openstack", cacert, region) {
            assert!(error.to_string().len() < 2000);
        }
    }
});
