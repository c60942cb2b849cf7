//! The resources of one tenant between two passes: its cloud, its subscription to Heat's answers and its queries. They
//! make no decision; the state for decisions is [`decide::Memory`](crate::decide::Memory).

mod query;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
pub use query::Query;
use tokio::time::timeout;

use crate::{
    clouds::{
        Cloud, Place, Wake,
        engines_task::{Demand, Subscription},
    },
    decide::{Access, Answer, Plan, Shared},
    identity::TenantName,
    observation::{ByProbe, ProbeFailure, engine_answers::age},
};

/// The time for which a pass that waits for its queries keeps its place from other passes although no query ends at the
/// host. A cloud that does not answer may have many CloudTenants, and each of them shows that its queries are under
/// way.
const PROMPT: Duration = Duration::from_secs(1);

/// The resources of one tenant.
#[derive(Debug, Default)]
pub struct Handles {
    cloud: Option<Arc<Cloud>>,
    engines: Option<Engines>,
    /// Number of subscriptions so far.
    subscriptions: u64,
    /// The tenant's own queries. There is none for the engines.
    pub queries: ByProbe<Query>,
}

/// The subscription to a cloud's engines, with the tenant's own credential or the engines' own.
#[derive(Debug)]
struct Engines {
    cloud: Arc<Cloud>,
    subscription: Subscription,
    number: u64,
    /// A pass has waited for the subscription's answer.
    is_awaited: bool,
}

impl Engines {
    /// Requests an answer to a call that begins after this.
    fn request(&mut self, now: Timestamp) {
        self.is_awaited = false;
        self.subscription.request(now);
    }

    /// Waits for another answer if the last one is older than `oldest`.
    fn refresh(&mut self, oldest: Duration, now: Timestamp) {
        let (answers, is_current, _) = self.subscription.read();
        if is_current && age(answers.at, now) > oldest {
            self.is_awaited = false;
            self.subscription.refresh(now);
        }
    }
}

impl Handles {
    /// Uses this cloud. Subscription and queries of another cloud end.
    pub fn turn_to(&mut self, cloud: &Arc<Cloud>) -> Access {
        match self.cloud.replace(cloud.clone()) {
            None => Access::First,
            Some(before) if Arc::ptr_eq(&before, cloud) => Access::Same,
            Some(_) => {
                self.leave_engines();
                self.stop_queries();
                Access::Other
            }
        }
    }

    /// Whether the tenant uses this cloud.
    #[must_use]
    pub fn is_at(&self, cloud: &Arc<Cloud>) -> bool {
        self.cloud.as_ref().is_some_and(|own| Arc::ptr_eq(own, cloud))
    }

    /// Whether the tenant has not used a cloud yet.
    #[must_use]
    pub const fn is_unused(&self) -> bool {
        self.cloud.is_none()
    }

    /// Carries out the plan: stops queries and requests answers.
    pub fn follow(&mut self, plan: Plan, now: Timestamp) {
        if plan.stop {
            self.leave_engines();
            self.cloud = None;
        }
        if plan.stop || plan.restart {
            self.stop_queries();
        }
        if let Some(engines) = self.engines.as_mut().filter(|_| plan.restart) {
            engines.request(now);
        }
    }

    fn stop_queries(&mut self) {
        self.queries.values_mut().for_each(Query::stop);
    }

    /// Subscribes to the cloud's engines. An answer older than this tenant's interval does not count. An answer to a
    /// call that began before a request does not serve it.
    pub fn subscribe_engines(&mut self, uid: &str, cloud: &Arc<Cloud>, demand: Demand, plan: Plan, now: Timestamp) {
        if let Some(engines) = self.engines.as_mut().filter(|engines| Arc::ptr_eq(&engines.cloud, cloud)) {
            // No regular answer is this late. The local clock stepped forward, and a query of Heat is due.
            let late = demand.interval.saturating_add(demand.deadline);
            engines.subscription.change(demand);
            engines.refresh(late, now);
            return;
        }
        self.leave_engines();
        self.subscriptions += 1;
        let interval = demand.interval;
        let subscription = cloud.subscribe(uid, demand, now);
        let (cloud, number) = (cloud.clone(), self.subscriptions);
        let mut engines = Engines { cloud, subscription, number, is_awaited: false };
        if plan.is_requested {
            engines.request(now);
        } else {
            engines.refresh(interval, now);
        }
        self.engines = Some(engines);
    }

    /// Ends the subscription.
    pub fn leave_engines(&mut self) {
        self.engines = None;
    }

    /// Handles an unusable entry for the engines alone. After a transient failure the subscription continues.
    pub fn miss_engines(&mut self, failure: &ProbeFailure) {
        if !failure.transient {
            self.leave_engines();
        }
    }

    /// Returns Heat's answers. `None` without a subscription.
    #[must_use]
    pub fn engines(&self) -> Option<Shared> {
        let engines = self.engines.as_ref()?;
        let (answers, is_current, serves_request) = engines.subscription.read();
        Some(Shared { subscription: engines.number, answers, is_current, serves_request })
    }

    /// Returns the cloud of the engines' subscription.
    #[must_use]
    pub fn engines_cloud(&self) -> Option<&Arc<Cloud>> {
        self.engines.as_ref().map(|engines| &engines.cloud)
    }

    /// Makes the next calls renew their tokens.
    pub fn doubt_tokens(&self) {
        self.cloud.iter().chain(self.engines_cloud()).for_each(|cloud| cloud.session.doubt_token());
    }

    /// Waits for queries and a subscription under way, at most once for each.
    pub async fn finish(&mut self) {
        self.finish_with(None).await;
    }

    /// The same. It drops the place once the queries have ended, or once no query at the host has ended for a second.
    pub async fn finish_with(&mut self, mut place: Option<Place>) {
        let engines = async {
            if let Some(engines) = self.engines.as_mut().filter(|engines| !engines.is_awaited) {
                engines.is_awaited = true;
                engines.subscription.current().await;
            }
        };
        let queries = async {
            let mut queries = join_all(self.queries.values_mut().map(Query::finish));
            while timeout(PROMPT, &mut queries).await.is_err() {
                if !place.as_mut().is_some_and(Place::is_served) {
                    drop(place);
                    queries.await;
                    break;
                }
            }
        };
        tokio::join!(engines, queries);
    }

    /// Makes the queries that have not ended wake the tenant.
    pub fn wake_later(&mut self, wake: &Wake, tenant: &TenantName) {
        self.queries.values_mut().for_each(|query| query.wake_later(wake, tenant));
    }

    /// Returns the results of the queries.
    pub fn take(&mut self) -> ByProbe<Answer> {
        ByProbe::from_fn(|kind| self.queries[kind].take())
    }
}
