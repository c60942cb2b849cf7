//! The life of the process: it checks the CRD, waits for the Lease, and runs the operator while it holds the Lease.

use std::{sync::Arc, time::Duration};

use kube::Client;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    cluster::{
        context::Settings,
        controller::Operator,
        leader::{Elector, LEASE, Mandate, RENEW_DEADLINE},
        readiness::{Readiness, Requirement},
        schema, standby,
    },
    metrics::Metrics,
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

/// The process.
pub struct Process {
    client: Client,
    namespaces: Vec<String>,
    operator: Arc<Operator>,
    metrics: Arc<Metrics>,
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
        let namespaces = settings.namespaces.clone();
        let operator = Arc::new(Operator::new(client.clone(), settings, metrics.clone(), roster));
        Self { client, namespaces, operator, metrics, readiness, shutdown }
    }

    /// Runs until the shutdown: either alone, or each time that the elector holds its Lease.
    ///
    /// # Errors
    /// The operator ended by itself.
    pub async fn run(self, elector: Option<Elector>) -> Result<(), BrokeOff> {
        if self.shutdown.run_until_cancelled(self.until_schema()).await.is_none() {
            return Ok(());
        }
        let Some(mut elector) = elector else {
            self.readiness.lacks(Requirement::Tenants, "no CloudTenants have been listed yet");
            self.readiness.has(Requirement::Definition);
            return self.lead(Mandate::unlimited()).until(self.shutdown.cancelled()).await;
        };
        let rights = standby::until_allowed(self.client.clone(), self.namespaces.clone(), self.readiness.clone());
        let _rights = AbortOnDropHandle::new(tokio::spawn(rights));
        let ended = loop {
            self.readiness.lacks(Requirement::Lease, "the Lease has not been read yet");
            self.readiness.has(Requirement::Definition);
            // A standby is ready while it knows the holder.
            let waits = |seen: Result<(), String>| match seen {
                Ok(()) => self.readiness.has(Requirement::Lease),
                Err(error) => self.readiness.lacks(Requirement::Lease, &format!("the Lease cannot be taken: {error}")),
            };
            let Some(mandate) = self.shutdown.run_until_cancelled(elector.acquire(waits)).await else { break Ok(()) };
            tracing::info!("leading");
            self.readiness.lacks(Requirement::Tenants, "no CloudTenants have been listed yet");
            self.readiness.has(Requirement::Lease);
            let over = async {
                self.shutdown.run_until_cancelled(elector.hold(&mandate)).await;
            };
            let ended = self.lead(mandate.clone()).until(over).await;
            if ended.is_err() || self.shutdown.is_cancelled() {
                break ended;
            }
            tracing::info!("leading no more");
        };
        elector.release().await;
        ended
    }

    fn lead(&self, mandate: Mandate) -> Term<'_> {
        // This token is not a child of the shutdown's. The term cancels it, and work that ends earlier has failed.
        let stop = CancellationToken::new();
        let (operator, readiness, stopped) = (self.operator.clone(), self.readiness.clone(), stop.clone());
        self.metrics.leads(true);
        let work = mandate.clone();
        let work = tokio::spawn(async move { operator.run(work, readiness, stopped).await });
        Term { metrics: &self.metrics, mandate, stop, work }
    }

    /// Waits for a sufficient CRD.
    async fn until_schema(&self) {
        let mut logged = String::new();
        while let Err(error) = schema::check(&self.client).await {
            let lacks = error.to_string();
            if lacks != logged {
                tracing::error!("{lacks}");
            }
            self.readiness.lacks(Requirement::Definition, &lacks);
            logged = lacks;
            tokio::time::sleep(SCHEMA_RETRY).await;
        }
    }
}

/// The time from taking the Lease to losing it.
struct Term<'a> {
    metrics: &'a Metrics,
    mandate: Mandate,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Term<'_> {
    /// Ends the term when `over` completes. Passes stop waiting at once, and a write under way may finish.
    async fn until(mut self, over: impl Future<Output = ()>) -> Result<(), BrokeOff> {
        let broke_off = tokio::select! {
            () = over => false,
            _ = &mut self.work => true,
        };
        self.stop.cancel();
        if !broke_off && tokio::time::timeout(GRACE, &mut self.work).await.is_err() {
            tracing::warn!("passes were still under way");
            self.work.abort();
        }
        // Tasks that end a moment later must write nothing.
        self.mandate.revoke();
        self.metrics.leads(false);
        if broke_off { Err(BrokeOff) } else { Ok(()) }
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
            let term = Term { metrics: &metrics, mandate: Mandate::unlimited(), stop: stop.clone(), work };
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
