//! The faults of the control plane and of the operator, one at a time.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::control_plane::{Component, ControlPlane};

use crate::{
    kubernetes::{Kubernetes, Shared, locked},
    random::Random,
    replicas::{Replicas, signal},
};

/// Seconds after a fault, in which the operator comes back.
const GRACE: f64 = 20.0;
/// Seconds until a replica has to be the leader again: the Lease, its renewals and a start.
const LEADER: f64 = 60.0;

const ALL: [&str; 8] = [
    "api-frozen",
    "api-restarted",
    "etcd-restarted",
    "operator-killed",
    "operator-frozen",
    "operator-terminated",
    "lease-deleted",
    "lease-stolen",
];

enum Stage {
    Quiet { next: f64 },
    Frozen { pid: u32, ends: f64 },
    Recovering { since: f64 },
    Grace { until: f64 },
}

/// What the faults touch.
pub struct Field<'a> {
    /// etcd and kube-apiserver.
    pub plane: &'a mut ControlPlane,
    /// The operator.
    pub replicas: &'a mut Replicas,
    /// The API server's clients.
    pub kubernetes: &'a Kubernetes,
    /// The oracle.
    pub shared: &'a Shared,
}

/// What is done to the control plane now.
pub struct Control {
    stage: Stage,
    slack: f64,
}

impl Control {
    /// Nothing until the CloudTenants have had their first passes.
    pub const fn new(first: f64, slack: f64) -> Self {
        Self { stage: Stage::Quiet { next: first }, slack }
    }

    /// Whether the API server answers and a replica leads, as far as the run knows.
    pub const fn is_quiet(&self) -> bool {
        matches!(self.stage, Stage::Quiet { .. })
    }

    /// Begins, continues or ends a fault. `last`: no new one begins.
    ///
    /// # Errors
    /// A program does not start again, or no replica leads in time.
    pub async fn turn(&mut self, field: &mut Field<'_>, random: &mut Random, now: f64, last: bool) -> Result<()> {
        let Field { kubernetes, shared, .. } = *field;
        match self.stage {
            Stage::Quiet { next } if now >= next && !last => {
                let name = random.one_of(&ALL).copied().unwrap_or_default();
                let leader = kubernetes.leader().await.unwrap_or_default();
                {
                    let mut oracle = locked(shared);
                    oracle.note(None, &format!("{name} begins, {leader} leads"));
                    *oracle.tally.faults.entry(name.to_owned()).or_default() += 1;
                    oracle.disturb(true);
                }
                self.stage = Self::begin(name, &leader, field, random, now).await?;
            }
            Stage::Frozen { pid, ends } if now >= ends => {
                signal(pid, "-CONT")?;
                locked(shared).note(None, "it continues");
                self.stage = Stage::Recovering { since: now };
            }
            Stage::Recovering { since } => match kubernetes.leader().await {
                Some(leader) if field.replicas.runs(&leader) => {
                    locked(shared).note(None, &format!("{leader} leads"));
                    self.stage = Stage::Grace { until: now + GRACE * self.slack };
                }
                _ if now - since > LEADER * self.slack => {
                    locked(shared).wrong.get_or_insert_with(|| format!("no replica leads after {LEADER} s"));
                }
                _ => {}
            },
            Stage::Grace { until } if now >= until => {
                locked(shared).disturb(false);
                self.stage = Stage::Quiet { next: now + random.between(30.0, 90.0) * self.slack };
            }
            Stage::Quiet { .. } | Stage::Frozen { .. } | Stage::Grace { .. } => {}
        }
        Ok(())
    }

    async fn begin(name: &str, leader: &str, field: &mut Field<'_>, random: &mut Random, now: f64) -> Result<Stage> {
        let Field { plane, replicas, kubernetes, shared } = field;
        let away = Duration::from_secs_f64(random.between(0.0, 5.0));
        match name {
            "api-frozen" => {
                let pid = plane.pid(Component::ApiServer)?;
                signal(pid, "-STOP")?;
                return Ok(Stage::Frozen { pid, ends: now + random.between(5.0, 20.0) });
            }
            "operator-frozen" => {
                let pid = replicas.pid(leader)?;
                signal(pid, "-STOP")?;
                return Ok(Stage::Frozen { pid, ends: now + random.between(20.0, 25.0) });
            }
            "api-restarted" => plane.restart(Component::ApiServer, away).await.context(name.to_owned())?,
            "etcd-restarted" => plane.restart(Component::Etcd, away).await.context(name.to_owned())?,
            "lease-deleted" => kubernetes.delete_lease().await?,
            "lease-stolen" => kubernetes.steal_lease().await?,
            _ => {
                replicas.end(replicas.pid(leader)?, name == "operator-killed", shared).await?;
                replicas.start(plane).await?;
            }
        }
        Ok(Stage::Recovering { since: now })
    }
}
