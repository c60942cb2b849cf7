//! The Lease that all processes with the same number of shards hold together.
//!
//! A CloudTenant belongs to another shard if the number of shards changes. So the processes of two numbers must not
//! work at the same time. The Lease with the name that an installation without shards uses decides between them. Its
//! holder is not a process but the number: `shards/4`. A process serves a shard only while it holds the Lease of that
//! shard and knows that this Lease belongs to its number. The process without shards holds it by its own name, so it is
//! excluded, too, as is a process of a version that knows no shards.

use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use super::{Elector, Mandate, RENEW_DEADLINE, RETRY};

/// A process' part in the common Lease.
pub struct Gate {
    elector: Mutex<Elector>,
    mandate: Mandate,
    /// The names of the Leases of all shards.
    shards: Vec<String>,
}

impl Gate {
    pub(super) fn new(elector: Elector, shards: Vec<String>) -> Self {
        Self { elector: Mutex::new(elector), mandate: Mandate::ended(), shards }
    }

    /// The time for which the Lease belongs to this number of shards, as far as this process knows.
    pub(crate) const fn mandate(&self) -> &Mandate {
        &self.mandate
    }

    /// Waits until the Lease belongs to this number of shards, and renews it. The process must hold the Lease of a shard:
    /// until it releases that, nobody releases the common one.
    pub async fn enter(&self, waits: impl Fn(Result<(), String>)) {
        let since = self.elector.lock().await.take(waits).await;
        self.mandate.renew(since);
    }

    /// Renews the Lease, and returns once it is lost. Several shards of a process may do so at the same time.
    pub async fn hold(&self) {
        let mut pause = RETRY;
        loop {
            sleep(pause.min(self.mandate.left())).await;
            // Another shard of this process may wait for the Lease for long.
            let Ok(mut elector) = timeout(self.mandate.left(), self.elector.lock()).await else { return };
            let just_renewed = self.mandate.left() > RENEW_DEADLINE.saturating_sub(RETRY);
            if just_renewed {
                pause = RETRY;
                continue;
            }
            match elector.renew(&self.mandate).await {
                Ok(next) => pause = next,
                Err(_) => return,
            }
        }
    }

    /// Releases the Lease if no shard has a holder, so that another number can take it now. Without a release it expires
    /// by itself.
    pub async fn leave(&self) {
        self.elector.lock().await.release_unless_held(&self.shards).await;
    }
}

/// The name that all processes with this number of shards use. A Pod's name has no slash.
pub(super) fn identity(count: u32) -> String {
    format!("shards/{count}")
}
