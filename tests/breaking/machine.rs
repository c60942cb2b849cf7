//! The node of the operator: its clock, its DNS, and its disk.

use std::{fs, path::PathBuf};

use testkit::{
    cloud::{Fault, Service},
    machine::Machine,
};

use crate::{
    lab::{Lab, SECRET, shared},
    stage::{ELECTED, SHOP, Stage, account, operator},
};

async fn stage(
    machine: &Machine,
    name: &str,
    more: &[(&str, &str)],
    auth: impl Fn(String) -> String,
) -> Stage<'static> {
    let (namespace, kubeconfig) = account(name).await;
    let machine = machine.environment();
    let own = machine.each_ref().map(|(name, value)| (*name, value.as_str()));
    let operator = operator(&kubeconfig, &namespace, &[&own, more].concat()).await;
    let lab = Lab::around(shared().await, namespace, operator).await;
    let clouds = auth(lab.cloud.clouds_yaml("openstack"));
    Stage::set_with(lab, kubeconfig, &clouds).await
}

/// The clock is stepped forward by an hour, back by two, and forward again. No condition changes, the Lease is kept, and
/// what happens in the cloud is seen as before.
pub async fn has_its_clock_set() {
    let machine = Machine::new().unwrap();
    let stage = stage(&machine, "clock", ELECTED, |clouds| clouds).await;
    let lab = &stage.lab;
    let conditions = ["Ready", "EnginesHealthy", "CachesHealthy", "UsageReported"];
    let records = conditions.map(|type_| (type_, lab.record(SHOP)));
    for seconds in [3600, -3600, 0] {
        machine.set(seconds, true).unwrap();
        stage.until_next_pass().await;
        lab.poke(SHOP).await;
        assert!(stage.leads());
    }
    let last = lab.get(SHOP).await;
    for (type_, record) in records {
        assert_eq!(record.statuses(type_, &last).await, ["True"], "{type_}");
    }
    assert!(!lab.operator.log().contains("leading no more"), "{}", lab.operator.log());
    machine.set(-3600, true).unwrap();
    stage.lose_engine();
    stage.until_down().await;
    machine.set(3600, true).unwrap();
    stage.heals(&["EngineDown", "EngineRecovered"]).await;
}

/// Without DNS a cloud is unknown, and never unhealthy. The operator writes to no disk, so one that is full or gone
/// changes nothing.
pub async fn has_no_dns_and_no_disk() {
    let machine = Machine::new().unwrap();
    let by_name = |clouds: String| {
        let named = clouds.replace("auth_url: \"http://127.0.0.1:", "auth_url: \"http://keystone.lab:");
        assert_ne!(named, clouds, "{SECRET} has no address to replace");
        named
    };
    let stage = stage(&machine, "dns", &[], by_name).await;
    let lab = &stage.lab;
    machine.set(0, false).unwrap();
    // An open connection needs no DNS, and neither does a token.
    lab.cloud.fault(Service::Keystone, Fault::Unreachable);
    lab.cloud.clear_faults(Service::Keystone);
    lab.cloud.revoke_tokens();
    lab.poke_until(SHOP, "Ready", "DNSFailed", 10).await;
    machine.set(0, true).unwrap();
    lab.until_ready(SHOP).await;
    // The three probes need not recover in one pass.
    let events = lab.events(SHOP).await;
    let named = |reason: &str| {
        let notes = events.iter().filter(|(event, _)| event == reason).map(|(_, note)| note.as_str());
        let mut probes: Vec<_> =
            notes.flat_map(|note| ["engines", "caches", "usage"].map(|probe| (probe, note))).collect();
        probes.retain(|(probe, note)| note.contains(probe));
        probes.into_iter().map(|(probe, _)| probe).collect::<Vec<_>>()
    };
    let (mut failed, mut recovered) = (named("ObservationFailed"), named("ObservationRecovered"));
    failed.sort_unstable();
    recovered.sort_unstable();
    assert_eq!(failed, recovered, "{events:?}");
    stage.lose_engine();
    stage.until_down().await;
    let before = events.iter().map(|(event, _)| event.as_str());
    stage.heals(&before.chain(["EngineDown", "EngineRecovered"]).collect::<Vec<_>>()).await;

    let process = PathBuf::from(format!("/proc/{}", lab.operator.pid()));
    let counted = fs::read_to_string(process.join("io")).unwrap();
    assert!(counted.contains("\nwrite_bytes: 0\n"), "{counted}");
    for open in fs::read_dir(process.join("fd")).unwrap() {
        let Ok(file) = fs::metadata(open.unwrap().path()) else { continue };
        assert!(!file.is_file(), "it has a file open");
    }
}
