//! What is shown, in order. Each scene begins with the operator installed by the chart and a CloudTenant that is Ready.

mod engine;
mod install;
mod rights;
mod sets;
mod takeover;
mod uninstall;
mod upgrade;
mod waiting;

use std::pin::Pin;

use anyhow::Result;

use crate::world::World;

type Playing<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

pub struct Scene {
    pub name: &'static str,
    pub what: &'static str,
    /// Whether one run for every change can afford it.
    pub smoke: bool,
    pub play: for<'a> fn(&'a mut World) -> Playing<'a>,
}

macro_rules! scenes {
    ($($name:literal $smoke:literal $play:path: $what:literal;)*) => {
        pub const SCENES: &[Scene] =
            &[$(Scene { name: $name, what: $what, smoke: $smoke, play: |world| Box::pin($play(world)) },)*];
    };
}

scenes! {
    "install" true install::play:
        "The chart is installed under pod security `restricted`, and a CloudTenant of a real OpenStack becomes Ready";
    "helm-test" true install::helm_test:
        "`helm test` finds the operator ready and its rights complete";
    "rights" true rights::play:
        "The ServiceAccount may do what it needs, and nothing else";
    "engine" true engine::play:
        "An engine is killed and started again: kubectl shows both events";
    "pod-deleted" true takeover::pod_deleted:
        "The leader's Pod is deleted: another leads within 2 s";
    "process-killed" false takeover::process_killed:
        "The leader's process is killed: there is a leader again within the lease and 2 s";
    "cut-off" false takeover::cut_off:
        "The leader is cut off from the API server: it stops before another leads, and nothing is told twice or lost";
    "new-field" false upgrade::new_field:
        "An upgrade brings a field to the CRD, which is served; a rollback goes back";
    "old-crd" false upgrade::old_crd:
        "Before an older CRD the new Pods say why they are not ready, and the old ones go on";
    "waiting" false waiting::play:
        "`helm install --wait` of a CloudTenant waits until it is Ready, and fails at once where a person has to act";
    "tenant-sets" false sets::play:
        "A CloudTenantSet makes CloudTenants, and they stay or go with it as `prune` and `--cascade` say";
    "uninstall" false uninstall::play:
        "`helm uninstall` leaves the CRD and the CloudTenants";
}
