//! Keystone's answers: a login with its catalogue, the expiry of a credential, and refusals.
#![no_main]

use std::sync::LazyLock;

use cloudtenant_operator::openstack::{CloudConfig, readers};
use libfuzzer_sys::fuzz_target;

static CONFIG: LazyLock<CloudConfig> = LazyLock::new(|| {
    let yaml = "clouds: {c: {region_name: RegionOne, auth: {auth_url: 'http://k', token: t}}}";
    CloudConfig::parse(yaml, "c", None, None).unwrap()
});

fuzz_target!(|body: &[u8]| {
    let _ = readers::login(body, &CONFIG);
    let _ = readers::application_credential(body);
    let _ = readers::not_found(body);
    let _ = readers::refusal(body, "secret");
});
