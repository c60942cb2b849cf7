//! One task per cloud queries Heat's engines, with one call under way. The tenants read its answers.

mod demands;
mod latest;
mod requests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use demands::Demands;
use jiff::{SignedDuration, Timestamp};
use latest::Latest;
use requests::Requests;
use tokio::{sync::Notify, task::AbortHandle};
use tracing::{Instrument as _, Span};

use super::{Cloud, Wake, account::Account, calls::HostCalls};
use crate::{
    budget::OverBudget,
    decide::schedule::{FIRST_RETRY, LEAST_PAUSE, ProbeSchedule, after},
    identity::TenantName,
    observation::{
        EngineAnswers, Outcome, ProbeFailure,
        engine_answers::{EngineAnswer, age, shift},
    },
    openstack::{ClockReading, Session},
    panics::{Part, caught},
    probe::{self, failure},
};

/// Wait after a 503 of Heat's own, which another engine may contradict. It is also the shortest wait after any answer,
/// whatever report interval Heat sends and however often tenants request an answer.
const SHORTEST_WAIT: Duration = LEAST_PAUSE;

/// A tenant's requirements for the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The tenant that the task wakes.
    pub tenant: TenantName,
    /// The tenant's interval.
    pub interval: Duration,
    /// The tenant's deadline for one call.
    pub deadline: Duration,
    /// The tenant's status reports that an engine does not answer.
    pub doubts: bool,
}

#[derive(Debug)]
struct Inner {
    answers: Latest,
    state: Mutex<State>,
    /// Signals that demands or requests have changed.
    changed: Notify,
    wake: Wake,
}

#[derive(Debug, Default)]
struct State {
    demands: Demands,
    running: bool,
    task: Option<AbortHandle>,
    /// Tenants that wait for an answer.
    requests: Requests,
    /// A call is under way.
    is_calling: bool,
    turn: Option<ProbeSchedule>,
    called_at: Timestamp,
    /// When the state was last used.
    clock: ClockReading,
    /// By how much the clock was set since the last answer.
    set_by: SignedDuration,
    /// Shortest time between Heat's last answer and the next call.
    rest: Duration,
    /// The last call was given up, so Heat may still be busy with it. Such calls accumulate in heat-api, so the next
    /// one waits for at least the interval.
    gave_up: bool,
}

impl State {
    fn interval(&self) -> Option<Duration> {
        self.demands.least().map(|(interval, _)| interval)
    }

    /// Whether no call may be made, even if a tenant requests it.
    fn is_resting(&self, now: Timestamp) -> bool {
        let is_busy = self.gave_up && self.interval().is_some_and(|interval| after(self.called_at, interval) > now);
        is_busy || self.turn.as_ref().and_then(|turn| turn.not_before).is_some_and(|until| until > now)
    }

    /// If the clock is set, the deadlines move with it.
    fn keep_time(&mut self, now: Timestamp) {
        let by = self.clock.renew();
        if !by.is_zero() {
            self.set_by = self.set_by.saturating_add(by);
            shift(&mut self.called_at, by);
            self.turn.iter_mut().for_each(|turn| turn.shift(by));
        }
        if now < self.called_at {
            let by = now.duration_since(self.called_at);
            self.called_at = now;
            self.turn.iter_mut().for_each(|turn| turn.shift(by));
        }
    }
}

/// Heat's answers for one cloud, and the task that queries while there are subscriptions.
#[derive(Debug)]
pub struct EnginesTask(Arc<Inner>);

/// A tenant's demand. It ends when this is dropped. The task ends with the last one.
#[derive(Debug)]
pub struct Subscription {
    inner: Arc<Inner>,
    uid: Arc<str>,
    account: Arc<Account>,
}

impl EnginesTask {
    pub(super) fn new(wake: Wake) -> Self {
        let inner = Inner { answers: Latest::default(), state: Mutex::default(), changed: Notify::new(), wake };
        Self(Arc::new(inner))
    }
}

impl Drop for EnginesTask {
    /// The cloud is unused. A call without an answer would keep the session for minutes.
    fn drop(&mut self) {
        if let Some(task) = self.0.lock().task.take() {
            task.abort();
        }
    }
}

impl Cloud {
    /// Subscribes to Heat's answers and starts the task if necessary.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, uid: &str, demand: Demand, now: Timestamp) -> Subscription {
        let inner = &self.engines.0;
        let mut state = inner.lock();
        let interval = demand.interval;
        let uid: Arc<str> = uid.into();
        state.demands.set(&uid, demand, &self.account);
        // The answers were dropped with the last tenant. Without a call, this one would wait for a whole interval.
        if inner.answers.get().was_emptied() && !state.is_resting(now) {
            state.turn.iter_mut().for_each(|turn| turn.hurry(now));
        }
        if !state.running {
            state.running = true;
            let answers = inner.answers.get();
            if age(answers.at, now) > interval {
                inner.answers.set(answers.as_ref().clone().resumed());
            }
            let task = run(self.session.clone(), self.calls.clone(), inner.clone());
            state.task = Some(tokio::spawn(task).abort_handle());
        }
        drop(state);
        // If the budget refuses it, the subscription reports that.
        let _ = self.account.charge_engines(inner.answers.get().kept_bytes());
        inner.changed.notify_one();
        Subscription { inner: inner.clone(), uid, account: self.account.clone() }
    }
}

impl Subscription {
    /// Changes the demand.
    pub fn change(&self, demand: Demand) {
        let has_changed = self.inner.lock().demands.set(&self.uid, demand, &self.account);
        if has_changed {
            self.inner.changed.notify_one();
        }
    }

    /// Returns Heat's answers so far. If the namespace may not keep them, the result contains only that failure.
    #[must_use]
    pub fn answers(&self) -> Arc<EngineAnswers> {
        let answers = self.inner.answers.get();
        match self.account.refused() {
            Some(over) => Arc::new(answers.withheld(failure::of_budget(&over))),
            None => answers,
        }
    }

    /// Returns the answers, whether the latest one counts for this tenant's verdict, and whether it serves the latest
    /// request.
    #[must_use]
    pub fn read(&self) -> (Arc<EngineAnswers>, bool, bool) {
        let state = self.inner.lock();
        let (is_current, serves_request) = state.requests.state(&self.uid);
        (self.answers(), is_current, serves_request)
    }

    /// Waits for an answer that counts for this tenant's verdict.
    pub async fn current(&self) {
        loop {
            // Before the answers are read, so that none is missed.
            let replaced = self.inner.answers.replaced();
            let (answers, is_current, _) = self.read();
            if answers.number > 0 && is_current {
                return;
            }
            drop(answers);
            replaced.await;
        }
    }

    /// Requests an answer to a call that begins after this.
    pub fn request(&self, now: Timestamp) {
        self.hurry(now, |state, uid, latest| state.requests.add(uid, latest + u64::from(state.is_calling)));
    }

    /// Waits for another answer because the last one is too old. A call under way suffices, and an open request stays
    /// as it is.
    pub fn refresh(&self, now: Timestamp) {
        self.hurry(now, |state, uid, latest| state.requests.refresh(uid, latest));
    }

    /// Does nothing while no call may be made: Heat may have requested a pause, or may still be busy with an abandoned
    /// call.
    fn hurry(&self, now: Timestamp, note: impl FnOnce(&mut State, &str, u64)) {
        let mut state = self.inner.lock();
        state.keep_time(now);
        if !state.is_calling && state.is_resting(now) {
            return;
        }
        note(&mut state, &self.uid, self.answers().number);
        state.turn.iter_mut().for_each(|turn| turn.hurry(now));
        drop(state);
        self.inner.changed.notify_one();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.demands.remove(&self.uid);
        state.requests.remove(&self.uid);
        if state.demands.is_empty() {
            // No namespace pays for the list any more.
            self.inner.answers.set(self.inner.answers.get().emptied());
        }
        drop(state);
        self.inner.changed.notify_one();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the shortest interval and the shortest deadline. No tenant's verdict therefore waits for another
    /// tenant's deadline. `None` ends the task.
    fn demand(&self) -> Option<(Duration, Duration)> {
        let mut state = self.lock();
        let least = state.demands.least();
        state.running = least.is_some();
        least
    }

    /// Returns the namespace for which the next call is made: the first one of those that are subscribed.
    fn namespace(&self) -> Arc<str> {
        let state = self.lock();
        let first = state.demands.all().map(|subscriber| subscriber.0.tenant.namespace.as_str()).min();
        first.unwrap_or_default().into()
    }

    /// Handles a panic during an answer. The answers may be inconsistent, so they start again with this failure.
    async fn break_off(&self) {
        let (now, outcome) = (Timestamp::now(), Outcome::Failed(ProbeFailure::broke_off()));
        let interval = self.lock().interval().unwrap_or(FIRST_RETRY);
        let answers = self.answers.get().as_ref().clone().resumed().and(outcome.clone(), now);
        self.publish(answers, &outcome, (interval, now), true).await;
    }

    /// Charges each subscribed namespace for answers of this size. Returns an error only if all namespaces' budgets
    /// refuse it.
    fn charge(&self, bytes: usize) -> Result<(), OverBudget> {
        let accounts: HashMap<_, _> =
            self.lock().demands.all().map(|of| (Arc::as_ptr(&of.1).addr(), of.1.clone())).collect();
        let charged: Vec<_> = accounts.values().map(|account| account.charge_engines(bytes)).collect();
        if charged.iter().any(Result::is_ok) { Ok(()) } else { charged.into_iter().collect() }
    }

    /// Takes the outcome of a call into the answers.
    async fn take(&self, mut outcome: Outcome<EngineAnswer>, interval: Duration) {
        let now = Timestamp::now();
        let before = self.answers.get();
        let set_by = {
            let mut state = self.lock();
            state.keep_time(now);
            std::mem::take(&mut state.set_by)
        };
        let mut answers = before.as_ref().clone().after_clock_was_set(set_by).and(outcome.clone(), now);
        if let Err(over) = self.charge(answers.kept_bytes()) {
            outcome = Outcome::Failed(failure::of_budget(&over));
            answers = before.emptied().and(outcome.clone(), now);
        }
        if self.lock().demands.is_empty() {
            // The last tenant left during the call, so no namespace pays for the list.
            answers = answers.emptied();
        }
        let undecided = answers.is_undecided(self.lock().demands.all().any(|subscriber| subscriber.0.doubts));
        let soon = match undecided {
            // The answers of engines that started after the failed request decide alone, so no wait is needed.
            true if answers.has_new_engines() => SHORTEST_WAIT,
            // By then the engines have had time to report.
            true => answers.report_interval().max(SHORTEST_WAIT),
            false => interval,
        };
        let is_news = answers.is_news_after(&before);
        drop(before);
        self.publish(answers, &outcome, (soon.min(interval), now), is_news).await;
    }

    /// Publishes the answers. Wakes the tenants that waited, or all tenants if the answer is news.
    async fn publish(
        &self,
        answers: EngineAnswers,
        outcome: &Outcome<EngineAnswer>,
        (soon, now): (Duration, Timestamp),
        is_news: bool,
    ) {
        let number = answers.number;
        let tenants: Vec<_> = {
            // This is one critical section, so that no request can arrive in between.
            let mut state = self.lock();
            self.answers.set(answers);
            state.is_calling = false;
            take_turn(&mut state, outcome, soon, now);
            let is_last = state.is_resting(now);
            let waited = state.requests.answered(number, is_last);
            if !state.requests.is_empty() {
                state.turn.iter_mut().for_each(|turn| turn.hurry(now));
            }
            let is_woken = |uid: &str| is_news || waited.iter().any(|waited| waited == uid);
            let woken = state.demands.by_uid().filter(|(uid, _)| is_woken(uid));
            woken.map(|(_, subscriber)| subscriber.0.tenant.clone()).collect()
        };
        for tenant in tenants {
            // The channel is closed only during a shutdown.
            let _ = self.wake.send(tenant).await;
        }
    }

    /// Returns the wait until the next call. The demand may have changed since the last one.
    fn wait(&self, interval: Duration, now: Timestamp) -> Duration {
        let mut state = self.lock();
        state.keep_time(now);
        let Some(turn) = &state.turn else { return Duration::ZERO };
        let next = turn.next.min(after(state.called_at, interval)).max(turn.not_before.unwrap_or(now));
        let next = next.max(after(state.called_at, state.rest));
        Duration::try_from(next.duration_since(now)).unwrap_or_default()
    }
}

/// Queries Heat until no tenant is subscribed. After a panic it continues, as after any other failure.
async fn run(session: Arc<Session>, calls: HostCalls, inner: Arc<Inner>) {
    // A waiting or idle task needs no memory for a call.
    let query = async |deadline| {
        // This call answers also a request that arrives while the call waits for its place.
        inner.lock().is_calling = false;
        let begin = || {
            inner.lock().is_calling = true;
            ask(&session, deadline)
        };
        match calls.engines(inner.namespace(), begin).await {
            Outcome::Seen(EngineAnswer::Listed(list)) => Outcome::Seen(EngineAnswer::Listed(calls.sharing(list))),
            outcome => outcome,
        }
    };
    let span = || tracing::info_span!("engines", host = %session.host());
    // An idle task is small: only a call, or its answer, has a box and a span of its own.
    serve(&inner, span, |deadline| Box::pin(query(deadline))).await;
}

async fn serve<F: Future<Output = Outcome<EngineAnswer>>>(
    inner: &Inner,
    span: impl Fn() -> Span,
    ask: impl Fn(Duration) -> F,
) {
    while caught(Part::Engines, query_repeatedly(inner, &span, &ask)).await.is_err() {
        if caught(Part::Engines, Box::pin(inner.break_off().instrument(span()))).await.is_err() {
            tokio::time::sleep(FIRST_RETRY).await;
        }
    }
}

async fn query_repeatedly<F: Future<Output = Outcome<EngineAnswer>>>(
    inner: &Inner,
    span: &impl Fn() -> Span,
    ask: &impl Fn(Duration) -> F,
) {
    while let Some((interval, deadline)) = inner.demand() {
        let wait = inner.wait(interval, Timestamp::now());
        if wait > Duration::ZERO {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = inner.changed.notified() => {}
            }
            continue;
        }
        inner.lock().is_calling = true;
        let call = async { inner.take(ask(deadline).await, interval).await };
        Box::pin(call.instrument(span())).await;
    }
}

async fn ask(session: &Session, deadline: Duration) -> Outcome<EngineAnswer> {
    probe::outcome(session, probe::engines::ask(session, deadline, Timestamp::now()).await)
}

fn take_turn(state: &mut State, outcome: &Outcome<EngineAnswer>, interval: Duration, now: Timestamp) {
    let mut turn = state.turn.take().unwrap_or_else(|| ProbeSchedule::first(None, interval, 0.0, now));
    let gave_up = turn.heard(outcome, interval, now);
    (state.called_at, state.gave_up) = (now, gave_up);
    state.rest = if matches!(outcome, Outcome::Seen(_)) { SHORTEST_WAIT } else { Duration::ZERO };
    state.turn = Some(turn);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Reason,
        budget::{Budget, Limits},
        observation::EngineList,
        openstack::CloudConfig,
    };

    fn account(budget: &Budget, namespace: &str) -> Arc<Account> {
        let yaml = "clouds: {c: {auth: {auth_url: 'http://k', token: t}}}";
        let config = CloudConfig::parse(yaml, "c", None, None).unwrap();
        Account::open(budget, namespace, &config, Session::ORDINARY_BYTES).unwrap()
    }

    fn demand(name: &str, interval: u64, deadline: u64) -> Demand {
        let tenant = TenantName { namespace: "n".to_owned(), name: name.to_owned() };
        let secs = Duration::from_secs;
        Demand { tenant, interval: secs(interval), deadline: secs(deadline), doubts: false }
    }

    fn inner(demands: &[Demand]) -> Inner {
        let inner = EnginesTask::new(tokio::sync::mpsc::channel(1).0).0.clone();
        let inner = Arc::into_inner(inner).unwrap();
        let account = account(&Budget::default(), "n");
        for demand in demands {
            inner.lock().demands.set(&demand.tenant.name.as_str().into(), demand.clone(), &account);
        }
        inner
    }

    #[test]
    fn the_shortest_interval_and_the_shortest_deadline_count() {
        let inner = inner(&[demand("slow", 300, 600), demand("quick", 10, 90), demand("other", 60, 75)]);
        assert_eq!(inner.demand(), Some((Duration::from_secs(10), Duration::from_secs(75))));
    }

    /// A panic is a failure. Heat gets the next call at once, because a tenant requests it.
    #[tokio::test]
    async fn queries_continue_after_a_panic() {
        let (wake, mut woken) = tokio::sync::mpsc::channel(10);
        let inner = EnginesTask::new(wake).0.clone();
        let account = account(&Budget::default(), "n");
        inner.lock().demands.set(&"uid".into(), demand("t", 10, 75), &account);
        let subscription = Subscription { inner: inner.clone(), uid: "uid".into(), account };
        let calls = std::sync::atomic::AtomicU32::new(0);
        let before = Part::Engines.count();
        let ask = async |_| {
            assert!(calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= 2, "on purpose");
            Outcome::NotOffered(None)
        };
        let story = async {
            for number in 1..=3 {
                assert_eq!(woken.recv().await.map(|tenant| tenant.name), Some("t".to_owned()));
                let answers = subscription.answers();
                let failed = answers.failed.as_ref().map(|(failure, times)| (failure.reason, *times));
                let broke_off = (number < 3).then_some((Reason::UnexpectedAnswer, number));
                assert_eq!((answers.number, failed, answers.not_offered), (number.into(), broke_off, number == 3));
                let turn = inner.lock().turn.clone().unwrap();
                assert!(age(Timestamp::now(), turn.next) > Duration::from_secs(5), "no herd of calls: {turn:?}");
                subscription.request(Timestamp::now());
                assert!(!subscription.read().1, "it waits for the next answer");
            }
            drop(subscription);
        };
        tokio::join!(serve(&inner, Span::none, ask), story);
        assert!(Part::Engines.count() >= before + 2);
        assert!(!inner.lock().running);
    }

    fn flags(subscription: &Subscription) -> (bool, bool) {
        let (_, is_current, serves_request) = subscription.read();
        (is_current, serves_request)
    }

    /// A call that began before a request may be older than the request's subject. One call serves all earlier
    /// requests. It wakes only their tenants if it brings no news.
    #[tokio::test]
    async fn a_request_is_served_by_a_call_that_begins_after_it() {
        let (wake, mut woken) = tokio::sync::mpsc::channel(100);
        let inner = EnginesTask::new(wake).0.clone();
        let account = account(&Budget::default(), "n");
        let [a, b, c] = ["a", "b", "c"].map(|name| {
            inner.lock().demands.set(&name.into(), demand(name, 300, 75), &account);
            Subscription { inner: inner.clone(), uid: name.into(), account: account.clone() }
        });
        let (calls, mut called) = tokio::sync::mpsc::channel(1);
        let (answer, answers) = tokio::sync::mpsc::channel(1);
        let answers = tokio::sync::Mutex::new(answers);
        let ask = async |_| {
            calls.send(()).await.unwrap();
            answers.lock().await.recv().await.unwrap()
        };
        let story = async move {
            let request = |subscription: &Subscription| subscription.request(Timestamp::now());
            let refresh = |subscription: &Subscription| subscription.refresh(Timestamp::now());
            // The tenants that request an answer, and those that refresh, during a call | the tenants that the answer
            // wakes | whose request it serves.
            for (name, requests, refreshes, wakes, served) in [
                ("the first answer is news", vec![&a, &a], vec![&c], "abc", [false, true, true]),
                ("the next call comes for the request", vec![&b], vec![&c], "ac", [true, false, true]),
                ("two requests of one, and one of another", vec![&c, &a, &c], vec![], "b", [false, true, false]),
                ("one call serves both", vec![], vec![&a], "ac", [true; 3]),
            ] {
                timeout(called.recv()).await.expect(name);
                requests.into_iter().for_each(request);
                refreshes.into_iter().for_each(refresh);
                answer.send(Outcome::NotOffered(None)).await.unwrap();
                let mut names = Vec::new();
                for _ in wakes.chars() {
                    names.push(timeout(woken.recv()).await.expect(name).name);
                }
                names.sort();
                assert_eq!(names.concat(), wakes, "{name}");
                assert_eq!([&a, &b, &c].map(|tenant| flags(tenant).1), served, "{name}");
                assert!(woken.try_recv().is_err(), "{name}: nobody else");
            }
            assert!(called.try_recv().is_err(), "nobody waits");
            drop((a, b, c));
        };
        tokio::join!(serve(&inner, Span::none, ask), story);
    }

    async fn timeout<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::time::timeout(Duration::from_secs(20), future).await.ok().flatten()
    }

    /// Each line: the answer, the report interval, whether a tenant requests an answer; the shortest wait.
    #[test]
    fn no_query_follows_an_answer_within_five_seconds() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let unanswered = || Outcome::Seen(EngineAnswer::Unanswered { sent: now });
        let list = EngineList { rows: Arc::default(), cloud_now: now };
        let listed = || Outcome::Seen(EngineAnswer::Listed(Arc::new(list.clone())));
        for (name, outcome, soon, hurry, wait) in [
            ("an undecided list with a report interval of 0", listed(), 0, false, 5),
            ("a tenant wants an answer now", listed(), 300, true, 5),
            ("a 503", unanswered(), 10, false, 5),
            ("nothing special", listed(), 10, false, 10),
            ("no answer, and a tenant wants one now", Outcome::NotOffered(None), 300, true, 0),
        ] {
            let inner = inner(&[demand("t", 10, 75)]);
            take_turn(&mut inner.lock(), &outcome, Duration::from_secs(soon), now);
            let account = account(&Budget::default(), "n");
            let subscription = Subscription { inner: Arc::new(inner), uid: "t".into(), account };
            if hurry {
                subscription.request(now);
                assert!(!subscription.read().1, "{name}");
            }
            let waits = subscription.inner.wait(Duration::from_secs(10), now);
            assert_eq!(waits, Duration::from_secs(wait), "{name}");
        }
    }

    /// Returns a list of this many engines with long, different names.
    fn long_list(rows: usize) -> Outcome<EngineAnswer> {
        let name = |kind, row| format!("{kind}{row:0>254}");
        let row = |row| {
            let [id, host, topic] = ["i", "h", "t"].map(|kind| name(kind, row));
            format!(r#"{{"id": "{id}", "engine_id": "{id}", "host": "{host}", "topic": "{topic}", "status": "down"}}"#)
        };
        let rows = (0..rows).map(row).collect::<Vec<_>>().join(",");
        let now = Timestamp::now();
        let answer = probe::engines::parse(200, format!(r#"{{"services": [{rows}]}}"#).as_bytes(), now, now);
        Outcome::Seen(answer.unwrap().unwrap())
    }

    /// Runs one query for these tenants, given by UID and account.
    async fn query_once(outcome: &Outcome<EngineAnswer>, accounts: &[(&str, &Arc<Account>)]) -> Vec<Subscription> {
        let (wake, mut woken) = tokio::sync::mpsc::channel(10);
        let inner = EnginesTask::new(wake).0.clone();
        let subscribe = |(uid, account): &(&str, &Arc<Account>)| {
            let (uid, account) = ((*uid).into(), Arc::clone(account));
            inner.lock().demands.set(&uid, demand("t", 10, 75), &account);
            Subscription { inner: inner.clone(), uid, account }
        };
        let subscriptions: Vec<_> = accounts.iter().map(subscribe).collect();
        tokio::select! {
            () = serve(&inner, Span::none, async |_| outcome.clone()) => {}
            _ = woken.recv() => {}
        }
        subscriptions
    }

    /// In the past, 30 lists of 7,000 long records took 358 MiB.
    #[tokio::test]
    async fn lists_of_engines_count_against_their_namespace() {
        // Lists may take a third of it.
        let budget = Budget::new(Limits { namespace: 60 << 20, all: 150 << 20 });
        let outcome = long_list(7000);
        let mut tasks = Vec::new();
        let mut refused = 0;
        let accounts: Vec<_> = (0..30).map(|_| account(&budget, "greedy")).collect();
        for account in &accounts {
            let subscriptions = query_once(&outcome, &[("uid", account)]).await;
            let answers = subscriptions[0].answers();
            assert_eq!(answers.number, 1);
            if let Some((failure, _)) = &answers.failed {
                refused += 1;
                assert_eq!(failure.reason, Reason::InvalidCloudConfig);
                assert!(subscriptions[0].inner.answers.get().list.is_none(), "nothing is kept");
            } else {
                assert_eq!(answers.list.as_ref().unwrap().rows.len(), 7000);
            }
            assert!(budget.used().largest <= 21 << 20, "with the sessions");
            tasks.push(subscriptions);
        }
        assert!((26..30).contains(&refused), "{refused}");
        let mut others = query_once(&long_list(100), &[("uid", &account(&budget, "other"))]).await;
        assert_eq!(others.remove(0).answers().failed, None, "nobody else notices");
        drop((tasks, others, accounts));
        assert_eq!(budget.used().all, 0);
    }

    #[tokio::test]
    async fn a_list_that_two_namespaces_share_is_withheld_from_the_one_that_may_not_keep_it() {
        let budget = Budget::new(Limits { namespace: 9 << 20, all: 50 << 20 });
        let (poor, rich) = (account(&budget, "poor"), account(&budget, "rich"));
        let used = budget.reserve("poor", 8 << 20).unwrap();
        let list = long_list(2000);
        let subscriptions = query_once(&list, &[("1", &poor), ("2", &rich)]).await;
        let [poor_sees, rich_sees] = [0, 1].map(|at| subscriptions[at].answers());
        assert!(poor_sees.list.is_none() && poor_sees.answered_at.is_none());
        let failure = failure::of_budget(&OverBudget::Namespace);
        assert_eq!((poor_sees.number, poor_sees.failed.as_ref()), (1, Some(&(failure, 1))));
        assert!(rich_sees.list.is_some() && rich_sees.failed.is_none());
        drop(used);
        assert_eq!(subscriptions[0].inner.charge(rich_sees.kept_bytes()), Ok(()));
        assert!(subscriptions[0].answers().list.is_some(), "there is room again");
    }

    /// There is one task per credential.
    #[test]
    fn an_idle_task_needs_no_memory_for_a_call() {
        fn size<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(run) <= 512, "{} bytes", size(run));
    }
}
