//! The faults of the control plane and of the operator, one at a time.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::control_plane::{Component, ControlPlane};

use crate::{
    kubernetes::{Kubernetes, Shared, locked},
    random::Random,
    replicas::{Replicas, Shard, signal},
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
    shards: usize,
    /// When the next clock is set.
    next_clock: f64,
}

/// When a fault may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// At its time.
    Begin,
    /// Later: a fault of a cloud lasts that another leader would hide.
    Wait,
    /// Never again: the run ends.
    End,
}

impl Control {
    /// Nothing until the CloudTenants have had their first passes.
    pub const fn new(first: f64, slack: f64, shards: usize) -> Self {
        Self { stage: Stage::Quiet { next: first }, slack, shards, next_clock: first }
    }

    /// Whether the API server answers and a replica leads, as far as the run knows.
    pub const fn is_quiet(&self) -> bool {
        matches!(self.stage, Stage::Quiet { .. })
    }

    /// The next fault. Each comes once before one comes again.
    fn choose(shared: &Shared, random: &mut Random) -> &'static str {
        let tally = &locked(shared).tally;
        let count = |name: &str| tally.faults.get(name).copied().unwrap_or_default();
        let fewest = ALL.iter().map(|name| count(name)).min().unwrap_or_default();
        let rare: Vec<_> = ALL.into_iter().filter(|name| count(name) == fewest).collect();
        random.one_of(&rare).copied().unwrap_or_default()
    }

    fn rest(&self, random: &mut Random, now: f64) -> Stage {
        Stage::Quiet { next: now + random.between(30.0, 90.0) * self.slack }
    }

    /// The holders of all Leases, if each has one that runs and is of its shard.
    pub async fn leaders(&self, field: &Field<'_>) -> Option<Vec<String>> {
        let mut leaders = Vec::new();
        for shard in Shard::all(self.shards) {
            let leader = field.kubernetes.leader(shard).await?;
            if !field.replicas.runs(&leader, shard) {
                return None;
            }
            leaders.push(leader);
        }
        Some(leaders)
    }

    /// Whether the API server or the leader stands still until [`Self::turn`] lets it continue.
    pub const fn is_frozen(&self) -> bool {
        matches!(self.stage, Stage::Frozen { .. })
    }

    /// Begins, continues or ends a fault.
    ///
    /// # Errors
    /// A program does not start again, or no replica leads in time.
    pub async fn turn(&mut self, field: &mut Field<'_>, random: &mut Random, now: f64, may: May) -> Result<()> {
        let Field { kubernetes, shared, .. } = *field;
        if self.is_quiet() && now >= self.next_clock && may != May::End {
            self.next_clock = now + random.between(30.0, 90.0) * self.slack;
            self.set_clock(field, random).await?;
        }
        match self.stage {
            Stage::Quiet { next } if now >= next && may == May::Begin => {
                let name = Self::choose(shared, random);
                let shard = Shard { index: random.below(self.shards), count: self.shards };
                let leader = kubernetes.leader(shard).await.unwrap_or_default();
                {
                    let mut oracle = locked(shared);
                    oracle.note(None, &format!("{name} begins, {leader} leads"));
                    *oracle.tally.faults.entry(name.to_owned()).or_default() += 1;
                    oracle.disturb(true);
                }
                self.stage = Self::begin(name, (shard, &leader), field, random, now).await?;
            }
            Stage::Frozen { pid, ends } if now >= ends => {
                signal(pid, "-CONT")?;
                locked(shared).note(None, "it continues");
                self.stage = Stage::Recovering { since: now };
            }
            Stage::Recovering { since } => match self.leaders(field).await {
                Some(leaders) => {
                    locked(shared).note(None, &format!("{} leads", leaders.join(", ")));
                    self.stage = Stage::Grace { until: now + GRACE * self.slack };
                }
                None if now - since > LEADER * self.slack => {
                    locked(shared).wrong.get_or_insert_with(|| format!("no replica leads after {LEADER} s"));
                }
                None => {}
            },
            Stage::Grace { until } if now >= until => {
                locked(shared).disturb(false);
                self.stage = self.rest(random, now);
            }
            Stage::Quiet { .. } | Stage::Frozen { .. } | Stage::Grace { .. } => {}
        }
        Ok(())
    }

    /// Sets the clock of a leader. This excuses nothing.
    async fn set_clock(&self, field: &mut Field<'_>, random: &mut Random) -> Result<()> {
        let shard = Shard { index: random.below(self.shards), count: self.shards };
        let leader = field.kubernetes.leader(shard).await.unwrap_or_default();
        let mut oracle = locked(field.shared);
        let done = field.replicas.set_clock(&leader, random)?;
        oracle.note(None, &done);
        oracle.clocks_are_right = false;
        *oracle.tally.faults.entry("clock-set".to_owned()).or_default() += 1;
        drop(oracle);
        Ok(())
    }

    async fn begin(
        name: &str,
        (shard, leader): (Shard, &str),
        field: &mut Field<'_>,
        random: &mut Random,
        now: f64,
    ) -> Result<Stage> {
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
            "lease-deleted" => kubernetes.delete_lease(shard).await?,
            "lease-stolen" => kubernetes.steal_lease(shard).await?,
            _ => {
                let shard = replicas.end(replicas.pid(leader)?, name == "operator-killed", shared).await?;
                replicas.start(plane, shard).await?;
            }
        }
        Ok(Stage::Recovering { since: now })
    }
}
