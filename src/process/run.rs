//! The life of the process: it checks the CRD, waits for Leases, and runs the operator while it holds one.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::join_all;
use kube::Client;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    cluster::{
        context::{Common, Settings},
        controller::Operator,
        leader::{Election, Elector, Ended, Gate, LEASE, Mandate, RENEW_DEADLINE},
        readiness::{Readiness, Requirement},
        schema, standby,
    },
    metrics::Metrics,
    shard::{Served, Shard},
    watched::roster::Roster,
};

/// Longest time for passes under way to end. It is less than the rest of a Lease that could not be renewed.
const GRACE: Duration = Duration::from_secs(4);
const _: () = assert!(RENEW_DEADLINE.as_secs() + GRACE.as_secs() < LEASE.as_secs());

/// Wait until the operator checks an insufficient CRD again.
const SCHEMA_RETRY: Duration = Duration::from_secs(5);

/// The operator ended without a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the controller broke off")]
pub struct BrokeOff;

/// Why a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The process ends.
    Shutdown,
    /// A Lease is lost, or has to be released.
    Lease(Ended),
}

/// The process.
pub struct Process {
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    roster: Roster,
    readiness: Readiness,
    shutdown: CancellationToken,
}

impl Process {
    /// Creates a process that has not started. The metrics must be those that read the roster.
    #[must_use]
    pub fn new(
        client: Client,
        settings: Settings,
        metrics: Arc<Metrics>,
        roster: Roster,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) -> Self {
        let common = settings.common.clone().unwrap_or_else(|| Common::new(&settings.network));
        let settings = Settings { common: Some(common), ..settings };
        Self { client, settings, metrics, roster, readiness, shutdown }
    }

    /// Runs until the shutdown: either alone, or each time that it holds the Lease of a shard.
    ///
    /// # Errors
    /// The operator ended by itself.
    pub async fn run(self, election: Option<Election>) -> Result<(), BrokeOff> {
        if self.shutdown.run_until_cancelled(self.until_schema()).await.is_none() {
            return Ok(());
        }
        let Some(election) = election else {
            self.readiness.lacks(Requirement::Tenants, "no CloudTenants have been listed yet");
            self.readiness.has(Requirement::Definition);
            let operator = self.operator(Shard::default(), self.client.clone());
            let term = Term::begin(operator, Mandate::unlimited(), self.readiness.clone(), &self.metrics);
            return term.until(self.shutdown.cancelled()).await.map(drop);
        };
        let namespaces = self.settings.namespaces.clone();
        let rights = standby::until_allowed(self.client.clone(), namespaces, self.readiness.clone());
        let _rights = AbortOnDropHandle::new(tokio::spawn(rights));
        let gate = election.gate().map_err(|error| no_connection(&error))?;
        let campaign = Campaign {
            process: &self,
            election: &election,
            gate: gate.as_ref(),
            served: watch::Sender::new(Served::default()),
            stop: self.shutdown.child_token(),
        };
        let ended = join_all(election.shard().all().map(|shard| campaign.run(shard))).await;
        if let Some(gate) = &gate {
            gate.leave().await;
        }
        ended.into_iter().collect()
    }

    /// Creates the controller of the CloudTenants of one shard.
    fn operator(&self, shard: Shard, client: Client) -> Arc<Operator> {
        let settings = Settings { shard, ..self.settings.clone() };
        Arc::new(Operator::new(client, settings, self.metrics.clone(), self.roster.part(shard.index())))
    }

    /// Waits for a sufficient CRD.
    async fn until_schema(&self) {
        let check = || schema::check(&self.client);
        schema::until_sufficient(&self.readiness, Requirement::Definition, SCHEMA_RETRY, check).await;
    }
}

fn no_connection(error: &kube::Error) -> BrokeOff {
    tracing::error!(%error, "no connection for the Lease");
    BrokeOff
}

/// A standby is ready while it knows the holder of its Lease.
fn waits(readiness: &Readiness, seen: Result<(), String>) {
    match seen {
        Ok(()) => readiness.has(Requirement::Lease),
        Err(error) => readiness.lacks(Requirement::Lease, &format!("the Lease cannot be taken: {error}")),
    }
}

/// The process as a candidate for the Leases of all shards.
struct Campaign<'a> {
    process: &'a Process,
    election: &'a Election,
    gate: Option<&'a Gate>,
    /// The shards that this process serves now.
    served: watch::Sender<Served>,
    /// Cancelled at the shutdown, or once the controller of a shard has ended by itself.
    stop: CancellationToken,
}

impl Campaign<'_> {
    /// Serves one shard each time that the process holds its Lease, until the process ends.
    async fn run(&self, shard: Shard) -> Result<(), BrokeOff> {
        let ended = self.contend(shard).await;
        if ended.is_err() {
            self.stop.cancel();
        }
        ended
    }

    async fn contend(&self, shard: Shard) -> Result<(), BrokeOff> {
        let own = self.election.shard();
        let mut served = self.served.subscribe();
        let in_reach = async { served.wait_for(|served| own.reaches(shard, *served)).await.is_ok() };
        if self.stop.run_until_cancelled(in_reach).await.is_none() {
            return Ok(());
        }
        let mut elector = self.election.elector(shard).map_err(|error| no_connection(&error))?;
        let (client, readiness) = if shard == own {
            (self.process.client.clone(), self.process.readiness.clone())
        } else {
            // The process is ready without the shards of other processes.
            (self.election.client().map_err(|error| no_connection(&error))?, Readiness::default())
        };
        let operator = self.process.operator(shard, client);
        let ended = loop {
            readiness.lacks(Requirement::Lease, "the Lease has not been read yet");
            readiness.has(Requirement::Definition);
            let mandate = self.stop.run_until_cancelled(elector.acquire(|seen| waits(&readiness, seen))).await;
            let Some(mandate) = mandate else { break Ok(()) };
            match self.serve(shard, &mut elector, mandate, &operator, &readiness).await {
                Ok(Over::Shutdown) => break Ok(()),
                Ok(Over::Lease(Ended::Asked)) => elector.release().await,
                Ok(Over::Lease(Ended::Lost)) => {}
                Err(broke_off) => break Err(broke_off),
            }
        };
        elector.release().await;
        ended
    }

    /// Serves a shard until its Lease or the common one is lost, or until the process ends.
    async fn serve(
        &self,
        shard: Shard,
        elector: &mut Elector,
        mandate: Mandate,
        operator: &Arc<Operator>,
        readiness: &Readiness,
    ) -> Result<Over, BrokeOff> {
        let mut held = pin!(elector.hold(&mandate));
        let mut work = mandate.clone();
        if let Some(gate) = self.gate {
            tokio::select! {
                ended = &mut held => return Ok(Over::Lease(ended)),
                () = self.stop.cancelled() => return Ok(Over::Shutdown),
                () = gate.enter(|seen| waits(readiness, seen)) => {}
            }
            work = work.while_valid(gate.mandate());
        }
        // There is nothing to say of the only shard.
        let named = (!shard.is_only()).then(|| tracing::field::display(shard));
        tracing::info!(shard = named, "leading");
        readiness.lacks(Requirement::Tenants, "no CloudTenants have been listed yet");
        readiness.has(Requirement::Lease);
        self.served.send_modify(|served| *served = served.with(shard, true));
        let over = async {
            let gate_lost = async {
                match self.gate {
                    Some(gate) => gate.hold().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = &mut held => Over::Lease(ended),
                () = gate_lost => Over::Lease(Ended::Lost),
                () = self.stop.cancelled() => Over::Shutdown,
            }
        };
        let term = Term::begin(operator.clone(), work, readiness.clone(), &self.process.metrics);
        let ended = term.until(over).await;
        self.served.send_modify(|served| *served = served.with(shard, false));
        if matches!(ended, Ok(Over::Lease(_))) {
            tracing::info!(shard = named, "leading no more");
        }
        ended
    }
}

/// The time from taking a Lease to losing it.
struct Term<'a> {
    metrics: &'a Metrics,
    shard: Shard,
    mandate: Mandate,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl<'a> Term<'a> {
    fn begin(operator: Arc<Operator>, mandate: Mandate, readiness: Readiness, metrics: &'a Metrics) -> Self {
        // This token is not a child of the shutdown's. The term cancels it, and work that ends earlier has failed.
        let stop = CancellationToken::new();
        let shard = operator.shard();
        metrics.leads(shard, true);
        let (work, stopped) = (mandate.clone(), stop.clone());
        let work = tokio::spawn(async move { operator.run(work, readiness, stopped).await });
        Term { metrics, shard, mandate, stop, work }
    }

    /// Ends the term when `over` completes. Passes stop waiting at once, and a write under way may finish.
    async fn until<T>(mut self, over: impl Future<Output = T>) -> Result<T, BrokeOff> {
        let over = tokio::select! {
            over = over => Some(over),
            _ = &mut self.work => None,
        };
        self.stop.cancel();
        if over.is_some() && tokio::time::timeout(GRACE, &mut self.work).await.is_err() {
            tracing::warn!("passes were still under way");
            self.work.abort();
        }
        // Tasks that end a moment later must write nothing.
        self.mandate.revoke();
        self.metrics.leads(self.shard, false);
        over.ok_or(BrokeOff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The work of a term, whether the term is over, and its result.
    #[tokio::test]
    async fn work_that_ends_before_its_term_is_an_error() {
        let metrics = Metrics::new();
        for (name, work, over, expected) in [
            ("it panics", tokio::spawn(async { panic!("on purpose") }), false, Err(BrokeOff)),
            ("it ends", tokio::spawn(async {}), false, Err(BrokeOff)),
            ("it goes on until the term is over", tokio::spawn(std::future::pending()), true, Ok(())),
        ] {
            // The test does not wait for work that continues.
            let aborted = work.abort_handle();
            let stop = CancellationToken::new();
            let (shard, mandate) = (Shard::default(), Mandate::unlimited());
            let term = Term { metrics: &metrics, shard, mandate, stop: stop.clone(), work };
            let term = term.until(async {
                if !over {
                    std::future::pending::<()>().await;
                }
                aborted.abort();
            });
            let ended = tokio::time::timeout(Duration::from_secs(20), term).await;
            assert_eq!(ended, Ok(expected), "{name}");
            assert!(stop.is_cancelled(), "{name}");
        }
    }
}
