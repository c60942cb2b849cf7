//! The Leases for which a process is a candidate.

use kube::{Client, Config};

use super::{Elector, Gate, candidate::Candidate, gate};
use crate::{cluster::api_server, shard::Shard};

/// Leader election of a process: for all CloudTenants, or for each shard of them.
pub struct Election {
    config: Config,
    namespace: String,
    lease: String,
    identity: String,
    shard: Shard,
}

impl Election {
    /// Creates the election of a process with this shard. `lease` is the name of the Lease of an installation without
    /// shards. The identity must be unique.
    #[must_use]
    pub fn new(config: Config, namespace: &str, lease: &str, identity: &str, shard: Shard) -> Self {
        let [namespace, lease, identity] = [namespace, lease, identity].map(str::to_owned);
        Self { config, namespace, lease, identity, shard }
    }

    /// The process' own shard.
    #[must_use]
    pub const fn shard(&self) -> Shard {
        self.shard
    }

    /// Returns the candidate for the Lease of a shard.
    ///
    /// # Errors
    /// The configuration gives no connection to the API server.
    pub fn elector(&self, shard: Shard) -> Result<Elector, kube::Error> {
        let own = self.shard.index();
        let candidate = match shard {
            _ if shard.is_only() => Candidate::Only,
            _ if shard == self.shard => Candidate::Own(own),
            _ => Candidate::Other(own),
        };
        self.candidate(candidate, &shard.lease_name(&self.lease), &self.identity)
    }

    /// Returns the process' part in the Lease that all processes with this number of shards hold together. `None`
    /// without shards.
    ///
    /// # Errors
    /// The configuration gives no connection to the API server.
    pub fn gate(&self) -> Result<Option<Gate>, kube::Error> {
        if self.shard.is_only() {
            return Ok(None);
        }
        let elector = self.candidate(Candidate::Common, &self.lease, &gate::identity(self.shard.count()))?;
        Ok(Some(Gate::new(elector, self.shard.all().map(|shard| shard.lease_name(&self.lease)).collect())))
    }

    /// Returns a further client. Each shard has its own, because a client makes pauses between watches on one path.
    ///
    /// # Errors
    /// The configuration gives no connection to the API server.
    pub fn client(&self) -> Result<Client, kube::Error> {
        api_server::client(self.config.clone())
    }

    fn candidate(&self, candidate: Candidate, lease: &str, identity: &str) -> Result<Elector, kube::Error> {
        Elector::of(candidate, self.config.clone(), &self.namespace, lease, identity)
    }
}
