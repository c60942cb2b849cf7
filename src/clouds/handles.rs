//! What one tenant holds of the outside between two passes: its cloud, its subscription to Heat's answers, and the queries
//! under way. It decides nothing; what is remembered for decisions is [`decide::Memory`](crate::decide::Memory).

mod query;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

pub use query::Query;

use crate::{
    clouds::{
        Cloud, Wake,
        engines::{Demand, Subscription},
    },
    decide::{Access, Answer, Plan, Shared},
    identity::TenantName,
    observation::{Caches, Periods, ProbeFailure, engines::age},
};

/// What one tenant holds.
#[derive(Debug, Default)]
pub struct Handles {
    cloud: Option<Arc<Cloud>>,
    engines: Option<Engines>,
    /// How many subscriptions there have been.
    subscriptions: u64,
    /// The query of DCS.
    pub caches: Query<Caches>,
    /// The query of Nova.
    pub usage: Query<Periods>,
}

/// The subscription to a cloud's engines: the tenant's own cloud, or the one that another credential sees.
#[derive(Debug)]
struct Engines {
    cloud: Arc<Cloud>,
    subscription: Subscription,
    number: u64,
    /// A pass has waited for its answer.
    is_awaited: bool,
}

impl Engines {
    /// Requests an answer to a call that begins from now on.
    fn request(&mut self, now: Timestamp) {
        self.is_awaited = false;
        self.subscription.request(now);
    }

    /// Waits for another answer where the last one is older than this.
    fn refresh(&mut self, oldest: Duration, now: Timestamp) {
        let (answers, is_current, _) = self.subscription.read();
        if is_current && age(answers.at, now) > oldest {
            self.is_awaited = false;
            self.subscription.refresh(now);
        }
    }
}

impl Handles {
    /// Holds this cloud. What belongs to another one ends.
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

    /// Ends what the plan ends, and requests what it requests.
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
        self.caches.stop();
        self.usage.stop();
    }

    /// Subscribes to the cloud's engines. Answers that came to others longer ago than this tenant's interval are not
    /// news, and those to calls that began before a request do not serve it.
    pub fn subscribe_engines(&mut self, uid: &str, cloud: &Arc<Cloud>, demand: Demand, plan: Plan, now: Timestamp) {
        if let Some(engines) = self.engines.as_mut().filter(|engines| Arc::ptr_eq(&engines.cloud, cloud)) {
            // Later than any answer may be: this machine's clock was put forward, and Heat's turn has come.
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

    /// The entry for the engines alone cannot be used. Where that may pass by itself, the subscription goes on.
    pub fn miss_engines(&mut self, failure: &ProbeFailure) {
        if !failure.transient {
            self.leave_engines();
        }
    }

    /// Heat's answers, while there is a subscription.
    #[must_use]
    pub fn engines(&self) -> Option<Shared> {
        let engines = self.engines.as_ref()?;
        let (answers, is_current, serves_request) = engines.subscription.read();
        Some(Shared { subscription: engines.number, answers, is_current, serves_request })
    }

    /// The cloud that the engines are asked of.
    #[must_use]
    pub fn engines_cloud(&self) -> Option<&Arc<Cloud>> {
        self.engines.as_ref().map(|engines| &engines.cloud)
    }

    /// Has the tokens renewed before the next call.
    pub fn doubt_tokens(&self) {
        self.cloud.iter().chain(self.engines_cloud()).for_each(|cloud| cloud.session.doubt_token());
    }

    /// Waits for what is under way, once; at once where nothing is.
    pub async fn finish(&mut self) {
        let engines = async {
            if let Some(engines) = self.engines.as_mut().filter(|engines| !engines.is_awaited) {
                engines.is_awaited = true;
                engines.subscription.current().await;
            }
        };
        tokio::join!(engines, self.caches.finish(), self.usage.finish());
    }

    /// Has the tenant woken by the queries that have not ended.
    pub fn wake_later(&mut self, wake: &Wake, tenant: &TenantName) {
        self.caches.wake_later(wake, tenant);
        self.usage.wake_later(wake, tenant);
    }

    /// What came of the queries.
    pub fn take(&mut self) -> (Answer<Caches>, Answer<Periods>) {
        (self.caches.take(), self.usage.take())
    }
}
