//! One task for each cloud asks Heat for its engines, with one call in flight, and its tenants read the answers.

mod requests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tracing::Instrument as _;

use requests::Requests;

use super::{Cloud, Wake};
use crate::{
    api::Reason,
    identity::TenantName,
    observation::{
        EngineAnswers, Failure, Outcome,
        engines::{EngineAnswer, age},
    },
    panics::{Part, caught},
    probe,
    schedule::{FIRST_RETRY, LEAST_PAUSE, Turn, after},
};

/// After a 503 of Heat's own, which another engine may contradict. Heat is never asked sooner after an answer, whatever
/// it says of its report interval and however often a tenant wants an answer now.
const ASK_AGAIN: Duration = LEAST_PAUSE;

/// What one tenant asks of the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The tenant that is woken.
    pub tenant: TenantName,
    /// How often it wants to know.
    pub interval: Duration,
    /// How long it is willing to wait.
    pub deadline: Duration,
    /// Its status says that an engine does not answer.
    pub doubts: bool,
}

#[derive(Debug)]
struct Inner {
    answers: watch::Sender<Arc<EngineAnswers>>,
    state: Mutex<State>,
    /// Demands or requests have changed.
    changed: Notify,
    wake: Wake,
}

#[derive(Debug, Default)]
struct State {
    /// By the tenant's UID.
    demands: HashMap<String, Demand>,
    running: bool,
    /// Tenants that wait for an answer, whatever it says.
    requests: Requests,
    /// A call is under way.
    is_asking: bool,
    turn: Option<Turn>,
    asked_at: Timestamp,
    /// Heat's last answer has to be so old before it is asked again.
    rest: Duration,
    /// The last request was given up, so Heat may still be busy with it: such requests pile up in heat-api, and the
    /// next one comes no sooner than the interval.
    gave_up: bool,
}

impl State {
    fn interval(&self) -> Option<Duration> {
        self.demands.values().map(|demand| demand.interval).min()
    }

    /// Whether Heat must be left alone, whatever a tenant requests.
    fn is_resting(&self, now: Timestamp) -> bool {
        let is_busy = self.gave_up && self.interval().is_some_and(|interval| after(self.asked_at, interval) > now);
        is_busy || self.turn.as_ref().and_then(|turn| turn.not_before).is_some_and(|until| until > now)
    }

    /// A clock that was put back must not put off the next question.
    fn keep_time(&mut self, now: Timestamp) {
        if now < self.asked_at {
            let by = now.duration_since(self.asked_at);
            self.asked_at = now;
            self.turn.iter_mut().for_each(|turn| turn.shift(by));
        }
    }
}

/// Heat's answers for one cloud, and the task that asks while somebody wants to know.
#[derive(Debug)]
pub struct EnginesTask(Arc<Inner>);

/// A tenant's demand; it ends when this is dropped, and the task with the last of them.
#[derive(Debug)]
pub struct Subscription {
    inner: Arc<Inner>,
    uid: String,
}

impl EnginesTask {
    pub(super) fn new(wake: Wake) -> Self {
        let inner = Inner { answers: watch::Sender::default(), state: Mutex::default(), changed: Notify::new(), wake };
        Self(Arc::new(inner))
    }
}

impl Cloud {
    /// Subscribes to Heat's answers. Starts the task where it is not running.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, uid: &str, demand: Demand, now: Timestamp) -> Subscription {
        let inner = &self.engines.0;
        let mut state = inner.lock();
        let interval = demand.interval;
        state.demands.insert(uid.to_owned(), demand);
        if !state.running {
            state.running = true;
            let answers = inner.answers.borrow().clone();
            if age(answers.at, now) > interval {
                inner.answers.send_replace(Arc::new(answers.as_ref().clone().resumed()));
            }
            let host = self.config.host();
            tokio::spawn(run(self.clone()).instrument(tracing::info_span!("engines", %host)));
        }
        drop(state);
        inner.changed.notify_one();
        Subscription { inner: inner.clone(), uid: uid.to_owned() }
    }
}

impl Subscription {
    /// Changes the demand.
    pub fn change(&self, demand: Demand) {
        if self.inner.lock().demands.insert(self.uid.clone(), demand.clone()).as_ref() != Some(&demand) {
            self.inner.changed.notify_one();
        }
    }

    /// Heat's answers up to now.
    #[must_use]
    pub fn answers(&self) -> Arc<EngineAnswers> {
        self.inner.answers.borrow().clone()
    }

    /// The answers, whether the latest one is current for this tenant, and whether it serves its latest request.
    #[must_use]
    pub fn read(&self) -> (Arc<EngineAnswers>, bool, bool) {
        let state = self.inner.lock();
        let (is_current, serves_request) = state.requests.state(&self.uid);
        (self.answers(), is_current, serves_request)
    }

    /// Waits for an answer that is current for this tenant.
    pub async fn current(&self) {
        let mut changes = self.inner.answers.subscribe();
        loop {
            let (answers, is_current, _) = self.read();
            // The sender lives as long as `self`, so this cannot fail.
            if answers.number > 0 && is_current || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Requests an answer to a call that begins from now on.
    pub fn request(&self, now: Timestamp) {
        self.hurry(now, |state, uid, latest| state.requests.add(uid, latest + u64::from(state.is_asking)));
    }

    /// The last answer is too old for this tenant: it waits for another one, be it of a call under way, unless it waits
    /// already.
    pub fn refresh(&self, now: Timestamp) {
        self.hurry(now, |state, uid, latest| state.requests.refresh(uid, latest));
    }

    /// Nothing happens where no call may be made: Heat may have asked for a pause, or may still be busy with a call that
    /// was given up.
    fn hurry(&self, now: Timestamp, note: impl FnOnce(&mut State, &str, u64)) {
        let mut state = self.inner.lock();
        state.keep_time(now);
        if !state.is_asking && state.is_resting(now) {
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
        drop(state);
        self.inner.changed.notify_one();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shortest interval and the shortest deadline, so that no tenant's verdict waits for another tenant's longer
    /// deadline; `None` ends the task.
    fn demand(&self) -> Option<(Duration, Duration)> {
        let mut state = self.lock();
        let interval = state.interval();
        let deadline = state.demands.values().map(|demand| demand.deadline).min();
        state.running = interval.is_some();
        interval.zip(deadline)
    }

    /// The work on the last answer panicked. It may have left the answers half changed, so they begin again with this
    /// failure.
    async fn break_off(&self) {
        let (now, outcome) = (Timestamp::now(), Outcome::Failed(Failure::broke_off()));
        let interval = self.lock().interval().unwrap_or(FIRST_RETRY);
        let answers = self.answers.borrow().as_ref().clone().resumed().and(outcome.clone(), now);
        self.publish(answers, &outcome, (interval, now), true).await;
    }

    /// Gives out the answers with their latest one, and wakes the tenants that waited for it, or all if it is news.
    async fn publish(
        &self,
        answers: EngineAnswers,
        outcome: &Outcome<EngineAnswer>,
        (soon, now): (Duration, Timestamp),
        is_news: bool,
    ) {
        let number = answers.number;
        let tenants: Vec<_> = {
            // In one step, so that no request can come between.
            let mut state = self.lock();
            self.answers.send_replace(Arc::new(answers));
            state.is_asking = false;
            take_turn(&mut state, outcome, soon, now);
            let is_last = state.is_resting(now);
            let waited = state.requests.answered(number, is_last);
            if !state.requests.is_empty() {
                state.turn.iter_mut().for_each(|turn| turn.hurry(now));
            }
            let woken =
                |(uid, demand): (&String, &Demand)| (is_news || waited.contains(uid)).then(|| demand.tenant.clone());
            state.demands.iter().filter_map(woken).collect()
        };
        for tenant in tenants {
            // Nobody listens any more only while the work ends.
            let _ = self.wake.send(tenant).await;
        }
    }

    /// How long to wait until Heat is asked again, under a demand that may have become more urgent.
    fn wait(&self, interval: Duration, now: Timestamp) -> Duration {
        let mut state = self.lock();
        state.keep_time(now);
        let Some(turn) = &state.turn else { return Duration::ZERO };
        let next = turn.next.min(after(state.asked_at, interval)).max(turn.not_before.unwrap_or(now));
        let next = next.max(after(state.asked_at, state.rest));
        Duration::try_from(next.duration_since(now)).unwrap_or_default()
    }
}

/// Asks until nobody wants to know. After a panic it asks again, like after any other failure.
async fn run(cloud: Arc<Cloud>) {
    let asked = |deadline| {
        let cloud = cloud.clone();
        async move { ask(&cloud, deadline).await }
    };
    serve(&cloud.engines.0, asked).await;
}

async fn serve<F: Future<Output = Outcome<EngineAnswer>>>(inner: &Inner, ask: impl Fn(Duration) -> F) {
    while caught(Part::Engines, ask_in_turn(inner, &ask)).await.is_err() {
        if caught(Part::Engines, inner.break_off()).await.is_err() {
            tokio::time::sleep(FIRST_RETRY).await;
        }
    }
}

async fn ask_in_turn<F: Future<Output = Outcome<EngineAnswer>>>(inner: &Inner, ask: &impl Fn(Duration) -> F) {
    while let Some((interval, deadline)) = inner.demand() {
        let wait = inner.wait(interval, Timestamp::now());
        if wait > Duration::ZERO {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = inner.changed.notified() => {}
            }
            continue;
        }
        inner.lock().is_asking = true;
        let outcome = ask(deadline).await;
        let now = Timestamp::now();
        let before = inner.answers.borrow().clone();
        let answers = before.as_ref().clone().and(outcome.clone(), now);
        let undecided = answers.is_undecided(inner.lock().demands.values().any(|demand| demand.doubts));
        let soon = match undecided {
            // Engines that were started after the failed request need no time: their answers alone decide.
            true if answers.has_new_engines() => ASK_AGAIN,
            // The engines have had time to report then.
            true => answers.report_interval().max(ASK_AGAIN),
            false => interval,
        };
        let is_news = answers.is_news_after(&before);
        inner.publish(answers, &outcome, (soon.min(interval), now), is_news).await;
    }
}

async fn ask(cloud: &Cloud, deadline: Duration) -> Outcome<EngineAnswer> {
    probe::outcome(&cloud.session, probe::engines::ask(&cloud.session, deadline, Timestamp::now()).await)
}

fn take_turn(state: &mut State, outcome: &Outcome<EngineAnswer>, interval: Duration, now: Timestamp) {
    let mut turn = state.turn.take().unwrap_or_else(|| Turn::first(None, interval, 0.0, now));
    let mut gave_up = false;
    match outcome {
        Outcome::Seen(EngineAnswer::Listed(_)) | Outcome::NotOffered(_) => turn.seen(interval, 0.0, now),
        Outcome::Seen(EngineAnswer::Unanswered { .. }) => turn.seen(ASK_AGAIN, 0.0, now),
        Outcome::Failed(failure) => {
            turn.failed(failure, interval, 0.0, now);
            gave_up = failure.reason == Reason::Timeout && !failure.transient;
            if gave_up {
                turn.next = after(now, interval);
            }
        }
    }
    (state.asked_at, state.gave_up) = (now, gave_up);
    state.rest = if matches!(outcome, Outcome::Seen(_)) { ASK_AGAIN } else { Duration::ZERO };
    state.turn = Some(turn);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::EngineList;

    fn demand(name: &str, interval: u64, deadline: u64) -> Demand {
        let tenant = TenantName { namespace: "n".to_owned(), name: name.to_owned() };
        let secs = Duration::from_secs;
        Demand { tenant, interval: secs(interval), deadline: secs(deadline), doubts: false }
    }

    fn inner(demands: &[Demand]) -> Inner {
        let EnginesTask(inner) = EnginesTask::new(tokio::sync::mpsc::channel(1).0);
        let inner = Arc::into_inner(inner).unwrap();
        inner.lock().demands = demands.iter().map(|demand| (demand.tenant.name.clone(), demand.clone())).collect();
        inner
    }

    #[test]
    fn the_shortest_interval_and_the_shortest_deadline_count() {
        let inner = inner(&[demand("slow", 300, 600), demand("quick", 10, 90), demand("other", 60, 75)]);
        assert_eq!(inner.demand(), Some((Duration::from_secs(10), Duration::from_secs(75))));
    }

    /// A panic is a failure, and Heat is asked again: here at once, since a tenant wants to know.
    #[tokio::test]
    async fn a_panic_over_an_answer_silences_no_cloud() {
        let (wake, mut woken) = tokio::sync::mpsc::channel(10);
        let EnginesTask(inner) = EnginesTask::new(wake);
        inner.lock().demands.insert("uid".to_owned(), demand("t", 10, 75));
        let subscription = Subscription { inner: inner.clone(), uid: "uid".to_owned() };
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
                let told = answers.failed.as_ref().map(|(failure, times)| (failure.reason, *times));
                let broke_off = (number < 3).then_some((Reason::UnexpectedAnswer, number));
                assert_eq!((answers.number, told, answers.not_offered), (number.into(), broke_off, number == 3));
                let turn = inner.lock().turn.clone().unwrap();
                assert!(age(Timestamp::now(), turn.next) > Duration::from_secs(5), "no herd of calls: {turn:?}");
                subscription.request(Timestamp::now());
                assert!(!subscription.read().1, "it waits for the next answer");
            }
            drop(subscription);
        };
        tokio::join!(serve(&inner, ask), story);
        assert!(Part::Engines.count() >= before + 2);
        assert!(!inner.lock().running);
    }

    fn flags(subscription: &Subscription) -> (bool, bool) {
        let (_, is_current, serves_request) = subscription.read();
        (is_current, serves_request)
    }

    /// A call that began before a request may be older than what the request is about. One call serves all who asked
    /// before it, and wakes them alone if it brings no news.
    #[tokio::test]
    async fn a_request_is_served_by_a_call_that_begins_after_it() {
        let (wake, mut woken) = tokio::sync::mpsc::channel(100);
        let EnginesTask(inner) = EnginesTask::new(wake);
        let [a, b, c] = ["a", "b", "c"].map(|name| {
            inner.lock().demands.insert(name.to_owned(), demand(name, 300, 75));
            Subscription { inner: inner.clone(), uid: name.to_owned() }
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
            // The tenants that request, and whose last answer is too old, while a call is under way | the tenants that
            // its answer wakes | whose request is served then.
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
        tokio::join!(serve(&inner, ask), story);
    }

    async fn timeout<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::time::timeout(Duration::from_secs(20), future).await.ok().flatten()
    }

    /// What was answered, what the cloud or a tenant wants then, and how long Heat is left alone at least.
    #[test]
    fn heat_is_never_asked_sooner_than_five_seconds_after_an_answer() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let unanswered = || Outcome::Seen(EngineAnswer::Unanswered { sent: now });
        let list = EngineList { rows: Vec::new(), cloud_now: now };
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
            let subscription = Subscription { inner: Arc::new(inner), uid: "t".to_owned() };
            if hurry {
                subscription.request(now);
                assert!(!subscription.read().1, "{name}");
            }
            let waits = subscription.inner.wait(Duration::from_secs(10), now);
            assert_eq!(waits, Duration::from_secs(wait), "{name}");
        }
    }
}
