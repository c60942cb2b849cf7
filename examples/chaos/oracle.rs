//! Holds each status and each event against the truth.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use serde_json::Value;

use crate::{
    events::{Due, Verdicts},
    pages::{Bound, PROBES, Pages},
    status::{between, condition, reason, within},
    truth::{State, Truth},
};

/// Every bound begins again with at least so many seconds after a fault of the control plane.
const AFTER_DISTURBANCE: f64 = 40.0;
/// In seconds: an event is created before its status, so it is late only in the oracle's watch.
const EVENT_LATE: f64 = 20.0;
/// In seconds: after a conflict, the next try comes within this time.
const RETRIED: f64 = 15.0;
/// In seconds: events of the same reason and note that are closer together are a repetition.
const REPEATED: f64 = 120.0;
/// Entries of the history of one CloudTenant.
const HISTORY: usize = 400;
/// The history that a failure prints, in seconds.
const SHOWN: f64 = 240.0;

/// A change of a status that needs its event.
struct Owed {
    reason: String,
    about: String,
    at: f64,
    /// It may also be missing.
    may_lack: bool,
}

/// An event that no change has taken yet.
struct Spare {
    reason: String,
    note: String,
    at: f64,
    /// The number of disturbances when it came, unless it came during one.
    undisturbed: Option<usize>,
}

/// One CloudTenant.
pub struct Tenant {
    /// The number of its cloud.
    pub cloud: usize,
    /// What its bounds of engines and caches are multiplied by: its `failureThreshold`.
    pub patience: f64,
    truth: [Truth; 3],
    /// Being suspended: nobody observes it.
    pub suspended: bool,
    last: Option<Value>,
    verdicts: Verdicts,
    owed: Vec<Owed>,
    spare: Vec<Spare>,
    emitted: Vec<(String, String, f64)>,
    /// More events than the operator emits: they are no longer counted.
    flooded: bool,
    history: VecDeque<(f64, String)>,
    /// A request to run all probes, and when it was made.
    pub request: Option<(String, f64)>,
}

impl Tenant {
    /// If a status is not written because of a conflict, and further probes fail until the next try, another event names
    /// them all.
    fn is_emitted_again(&self, spare: &Spare) -> bool {
        let probes = |note: &str| ["engines", "caches", "usage"].map(|probe| note.contains(probe));
        let own = probes(&spare.note);
        let (emitted, others) = self
            .emitted
            .iter()
            .partition::<Vec<_>, _>(|(reason, note, _)| (reason, note) == (&spare.reason, &spare.note));
        emitted.last().is_some_and(|(.., at)| {
            let near =
                others.iter().filter(|(reason, _, other)| *reason == spare.reason && (at - other).abs() < RETRIED);
            near.map(|(_, note, _)| probes(note)).any(|all| own.iter().zip(all).all(|(own, other)| other || !own))
        })
    }
}

/// What the run has seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// Statuses that were judged.
    pub statuses: usize,
    /// Conditions that changed their status.
    pub transitions: usize,
    /// Events.
    pub events: usize,
    /// Events without a change of the status, around a fault of the control plane.
    pub extra: usize,
    /// Faults by name.
    pub faults: BTreeMap<String, usize>,
    /// By fault: the slowest time in seconds until its word was seen.
    pub slowest: BTreeMap<String, f64>,
}

/// Of a fault: its name, its cloud or CloudTenant, and when it began, until its word is seen.
struct Awaited {
    fault: String,
    tenant: String,
    probe: usize,
    words: Vec<String>,
    began: f64,
}

/// The judge.
pub struct Oracle {
    /// The pages that it judges by.
    pub pages: Pages,
    /// Multiplies all bounds.
    pub slack: f64,
    began: Instant,
    ticked: Instant,
    /// Seconds without those in which the control plane was disturbed.
    clock: f64,
    disturbed: bool,
    disturbances: usize,
    tenants: BTreeMap<String, Tenant>,
    /// The faults of the clouds and of the control plane, with the cloud's number.
    faults: VecDeque<(f64, Option<usize>, String)>,
    awaited: Vec<Awaited>,
    /// Since when each cloud answers at once. Infinite while it does not.
    prompt: BTreeMap<usize, f64>,
    secrets: BTreeSet<String>,
    /// No clock of a replica has been set yet.
    pub clocks_are_right: bool,
    /// What the run has seen.
    pub tally: Tally,
    /// The first thing that is wrong, with its history.
    pub wrong: Option<String>,
}

impl Oracle {
    /// `slack` multiplies all bounds.
    pub fn new(pages: Pages, slack: f64) -> Self {
        let now = Instant::now();
        Self {
            pages,
            slack,
            began: now,
            ticked: now,
            clock: 0.0,
            disturbed: false,
            disturbances: 0,
            tenants: BTreeMap::new(),
            faults: VecDeque::new(),
            awaited: Vec::new(),
            prompt: BTreeMap::new(),
            secrets: BTreeSet::new(),
            clocks_are_right: true,
            tally: Tally::default(),
            wrong: None,
        }
    }

    fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What must stand nowhere.
    pub fn keep_secret(&mut self, secret: &str) {
        self.secrets.insert(secret.to_owned());
    }

    /// A text that must hold no secret.
    pub fn holds_no_secret(&mut self, what: &str, text: &str) {
        if let Some(secret) = self.secrets.iter().find(|secret| text.contains(secret.as_str())) {
            let line = text.lines().find(|line| line.contains(secret.as_str())).unwrap_or_default();
            let text = format!("a password is in {what}: {}", line.chars().take(500).collect::<String>());
            self.wrong.get_or_insert(text);
        }
    }

    /// A CloudTenant that begins with these states.
    pub fn add(&mut self, name: &str, cloud: usize, patience: f64, states: [State; 3], bound: f64) {
        let mut truth: [Truth; 3] = Default::default();
        for (truth, state) in truth.iter_mut().zip(states) {
            truth.begin(state, bound * self.slack * patience, self.clock);
        }
        let tenant = Tenant {
            cloud,
            patience,
            truth,
            suspended: false,
            last: None,
            verdicts: Verdicts::default(),
            owed: Vec::new(),
            spare: Vec::new(),
            emitted: Vec::new(),
            flooded: false,
            history: VecDeque::new(),
            request: None,
        };
        self.tenants.insert(name.to_owned(), tenant);
    }

    /// It is deleted, or no longer judged.
    pub fn remove(&mut self, name: &str) {
        self.tenants.remove(name);
        self.awaited.retain(|awaited| awaited.tenant != name);
    }

    /// The CloudTenant of this name.
    pub fn tenant(&mut self, name: &str) -> Option<&mut Tenant> {
        self.tenants.get_mut(name)
    }

    /// All probes are requested now.
    pub fn request(&mut self, name: &str, value: &str) {
        let clock = self.clock;
        if let Some(tenant) = self.tenants.get_mut(name) {
            tenant.request = Some((value.to_owned(), clock));
        }
    }

    /// The request did not reach the API server.
    pub fn forget_request(&mut self, name: &str) {
        if let Some(tenant) = self.tenants.get_mut(name) {
            tenant.request = None;
        }
    }

    /// It is suspended from now on, or no longer. A suspended one is not judged.
    pub fn suspend(&mut self, name: &str, on: bool) {
        let cloud = self.tenants.get(name).map(|tenant| tenant.cloud);
        self.note(cloud, &format!("{name} is {}", if on { "suspended or resumed" } else { "resumed" }));
        if let Some(tenant) = self.tenants.get_mut(name) {
            tenant.suspended = on;
            tenant.request = None;
        }
        self.awaited.retain(|awaited| awaited.tenant != name);
        self.excuse(name);
    }

    /// Its words can be anything for a while: they are of the time before it was suspended, or of another object.
    pub fn excuse(&mut self, name: &str) {
        let bound = self.pages.bounds.get("resumed").map_or(0.0, |row| row.gone) * self.slack;
        let clock = self.clock;
        if let Some(tenant) = self.tenants.get_mut(name) {
            tenant.truth.iter_mut().for_each(|truth| truth.excuse(bound, clock));
        }
    }

    /// Whether every bound has passed.
    pub fn all_settled(&self) -> bool {
        let owes = |tenant: &Tenant| !tenant.owed.is_empty() || !tenant.truth.iter().all(|one| one.settled(self.clock));
        !self.disturbed && !self.tenants.values().any(owes)
    }

    /// A line of the history that a failure prints.
    pub fn note(&mut self, cloud: Option<usize>, text: &str) {
        self.faults.push_back((self.elapsed(), cloud, text.to_owned()));
        if self.faults.len() > 4 * HISTORY {
            self.faults.pop_front();
        }
    }

    /// What is so of a probe from now on.
    pub fn change(&mut self, name: &str, probe: usize, state: State, bound: f64) {
        let (now, slack) = (self.clock, self.slack);
        if let Some(tenant) = self.tenants.get_mut(name) {
            let patience = if probe < 2 { tenant.patience } else { 1.0 };
            tenant.truth[probe].change(state, bound * slack * patience, now);
        }
    }

    /// A fault has begun: the run notes how soon its words are seen at this CloudTenant.
    pub fn await_fault(&mut self, fault: &str, name: &str, bound: &Bound) {
        *self.tally.faults.entry(fault.to_owned()).or_default() += 1;
        let Some(probe) = bound.probes.first().copied() else { return };
        if !bound.words.is_empty() {
            let (tenant, words) = (name.to_owned(), bound.words.clone());
            let began = self.clock;
            self.awaited.push(Awaited { fault: fault.to_owned(), tenant, probe, words, began });
        }
    }

    /// The cloud does not answer at once from now on, or does so again after these seconds.
    pub fn answers(&mut self, cloud: usize, after: Option<f64>) {
        let slack = self.slack;
        self.prompt.insert(cloud, after.map_or(f64::INFINITY, |after| self.clock + after * slack));
    }

    /// A fault has ended: what has not been seen of it need not be seen any more.
    pub fn no_longer(&mut self, fault: &str, name: &str) {
        self.awaited.retain(|awaited| awaited.fault != fault || awaited.tenant != name);
    }

    /// The API server or the operator is disturbed from now on, or no longer.
    pub fn disturb(&mut self, on: bool) {
        self.tick();
        if on {
            self.disturbances += 1;
        } else {
            for truth in self.tenants.values_mut().flat_map(|tenant| &mut tenant.truth) {
                truth.again(AFTER_DISTURBANCE * self.slack, self.clock);
            }
            self.awaited.iter_mut().for_each(|awaited| awaited.began = self.clock);
            for tenant in self.tenants.values_mut() {
                tenant.owed.iter_mut().for_each(|owed| owed.at = self.clock);
                if let Some((_, at)) = &mut tenant.request {
                    *at = self.clock;
                }
            }
        }
        self.disturbed = on;
    }

    /// A state of a CloudTenant, as the API server has it.
    pub fn observed(&mut self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let now = self.elapsed();
        self.holds_no_secret("a status", &object["status"].to_string());
        let Some(tenant) = self.tenants.get_mut(&name) else { return };
        let uid = |object: &Value| object["metadata"]["uid"].clone();
        if tenant.last.as_ref().is_some_and(|last| uid(last) != uid(object)) {
            // Another object of the same name.
            tenant.last = None;
            tenant.verdicts = Verdicts::default();
            tenant.owed.clear();
        }
        if object["status"]["conditions"].is_null()
            || tenant.last.as_ref().is_some_and(|last| last["status"] == object["status"])
        {
            return;
        }
        self.tally.statuses += 1;
        let before = tenant.last.replace(object.clone());
        let words: Vec<_> = PROBES.iter().map(|probe| reason(object, probe)).collect();
        for (truth, word) in tenant.truth.iter_mut().zip(&words) {
            truth.shown(word, self.clock);
        }
        let handled = object["status"]["lastHandledReconcileAt"].as_str();
        if tenant.request.as_ref().is_some_and(|(wanted, _)| Some(wanted.as_str()) == handled) {
            tenant.request = None;
        }
        if before.as_ref().is_none_or(|before| words != PROBES.map(|probe| reason(before, probe))) {
            let summary = object["status"]["engines"]["summary"].as_str().unwrap_or("-");
            tenant.history.push_back((now, format!("status {} ({summary})", words.join(", "))));
            if tenant.history.len() > HISTORY {
                tenant.history.pop_front();
            }
        }
        let mut wrong = within(&self.pages, object);
        if let Some(before) = &before {
            wrong.extend(between(before, object, self.clocks_are_right));
            let moved = |probe: &&&str| {
                condition(before, probe).map(|old| &old["status"]) != condition(object, probe).map(|new| &new["status"])
            };
            self.tally.transitions += PROBES.iter().filter(moved).count();
        }
        for Due { reason, about, may_lack } in tenant.verdicts.step(&self.pages, object) {
            let same = |spare: &Spare| spare.reason == reason && spare.note.contains(&about);
            // If the write fails, the next status can show another failure, and the event is not repeated.
            let like = |spare: &Spare| spare.reason == reason && reason == "ObservationFailed";
            match tenant.spare.iter().rposition(same).or_else(|| tenant.spare.iter().rposition(like)) {
                Some(found) => drop(tenant.spare.remove(found)),
                None => tenant.owed.push(Owed { reason, about, at: self.clock, may_lack }),
            }
        }
        let clock = self.clock;
        self.awaited.retain(|awaited| {
            let seen = awaited.tenant == name && awaited.words.iter().any(|word| word == words[awaited.probe]);
            if seen {
                let slowest = self.tally.slowest.entry(awaited.fault.clone()).or_default();
                *slowest = slowest.max(clock - awaited.began);
            }
            !seen
        });
        if let Some(first) = wrong.first() {
            let text = format!("{first}; the status is {}", object["status"]);
            self.fail(&name, &text);
        }
        self.judge(&name);
    }

    /// An event on a CloudTenant. Each is given once.
    pub fn event(&mut self, event: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, reason, note) = (text(&event["regarding"]["name"]), text(&event["reason"]), text(&event["note"]));
        self.holds_no_secret("an event", &event.to_string());
        let (now, clock) = (self.elapsed(), self.clock);
        let undisturbed = (!self.disturbed).then_some(self.disturbances);
        let Some(tenant) = self.tenants.get_mut(&name) else { return };
        self.tally.events += 1;
        tenant.history.push_back((now, format!("event {reason}: {note}")));
        tenant.flooded |= reason == "EventsSuppressed";
        if ["CacheErrorsIncreased", "UsageFell", "EventsSuppressed", "EngineForgotten", "CredentialsExpiring"]
            .contains(&reason.as_str())
        {
            return;
        }
        // A status that has not come yet can need it, and one that has come does.
        let same = |owed: &Owed| owed.reason == reason && (note.contains(&owed.about) || reason == "ObservationFailed");
        let owed = tenant.owed.iter().position(same);
        let taken = owed.map(|found| tenant.owed.remove(found)).is_some();
        let since = tenant.emitted.iter().rev().find(|(r, n, _)| (r, n) == (&reason, &note)).map(|(.., at)| now - at);
        tenant.emitted.push((reason.clone(), note.clone(), now));
        if !taken {
            // Around a fault of the control plane, the first of the two can be one whose status was not written.
            let same = |spare: &Spare| {
                (&spare.reason, &spare.note) == (&reason, &note)
                    && spare.undisturbed.is_some()
                    && spare.undisturbed == undisturbed
            };
            let repeated = since.is_some_and(|since| since < REPEATED) && tenant.spare.iter().any(same);
            tenant.spare.push(Spare { reason: reason.clone(), note: note.clone(), at: clock, undisturbed });
            if repeated && !tenant.flooded {
                self.fail(&name, &format!("the event {reason} is there twice: {note}"));
            }
        }
    }

    /// Time goes on: what has stood for too long is wrong.
    pub fn tick(&mut self) {
        if !self.disturbed {
            self.clock += self.ticked.elapsed().as_secs_f64();
        }
        self.ticked = Instant::now();
        if self.disturbed {
            return;
        }
        for name in self.tenants.keys().cloned().collect::<Vec<_>>() {
            self.judge(&name);
        }
    }

    fn judge(&mut self, name: &str) {
        let (clock, disturbed, slack) = (self.clock, self.disturbed, self.slack);
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        let mut wrong = Vec::new();
        if let (Some(object), false) = (&tenant.last, tenant.suspended) {
            for (truth, probe) in tenant.truth.iter().zip(PROBES) {
                let word = reason(object, probe);
                if truth.excused(clock) {
                    continue;
                }
                let right = truth.right(clock);
                let unknown = self.pages.reasons.get(word).is_none_or(|row| row.status == "Unknown");
                // Without the API server there are no Secrets. A verdict that was never true is wrong all the same.
                if !right.contains(word) && !(unknown && (disturbed || truth.blind(clock))) {
                    wrong.push(format!("{probe} is {word}, and right are {right:?}"));
                } else if let (Some((pointer, value)), false, false) = (truth.fact(clock), unknown, disturbed)
                    && object.pointer(pointer) != Some(value)
                {
                    wrong.push(format!("{pointer} is {:?}, and {value} is right", object.pointer(pointer)));
                }
            }
        } else if tenant.last.is_none() && tenant.truth.iter().all(|truth| truth.settled(clock)) && !disturbed {
            wrong.push("there is no status".to_owned());
        }
        if !disturbed && !tenant.flooded {
            tenant.owed.retain(|owed| !owed.may_lack || clock - owed.at <= EVENT_LATE * slack);
            if let Some(owed) = tenant.owed.iter().find(|owed| clock - owed.at > EVENT_LATE * slack) {
                wrong.push(format!("there is no event {} {} for a change of the status", owed.reason, owed.about));
            }
            let late = |spare: &Spare| clock - spare.at > 2.0 * EVENT_LATE * slack;
            if let Some(found) = tenant.spare.iter().position(late) {
                let spare = tenant.spare.remove(found);
                // If the spec changes before the status is written, the pass is repeated with the new spec.
                let excused = tenant.truth.iter().any(|truth| truth.excused(clock));
                let excused = excused || tenant.is_emitted_again(&spare);
                if Some(self.disturbances) == spare.undisturbed && !excused {
                    wrong.push(format!("an event has no change of the status: {}: {}", spare.reason, spare.note));
                } else {
                    self.tally.extra += 1;
                }
            }
        }
        if let Some((value, at)) = &tenant.request
            && !disturbed
            && !tenant.suspended
            && clock - at.max(*self.prompt.get(&tenant.cloud).unwrap_or(at)) > 35.0 * slack
        {
            wrong.push(format!("requestedAt {value} is not handled after {:.0} s", clock - at));
        }
        if let Some(first) = wrong.first() {
            let text = first.clone();
            self.fail(name, &text);
        }
    }

    fn fail(&mut self, name: &str, text: &str) {
        if self.wrong.is_some() {
            return;
        }
        let now = self.elapsed();
        let Some(tenant) = self.tenants.get(name) else { return };
        let faults = self.faults.iter().filter(|(_, cloud, _)| cloud.is_none_or(|cloud| cloud == tenant.cloud));
        let mut lines: Vec<_> = faults.map(|(at, _, text)| (*at, format!("fault  {text}"))).collect();
        lines.extend(tenant.history.iter().cloned());
        lines.retain(|(at, _)| now - at < SHOWN * self.slack);
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut message = format!("after {now:.1} s, {name} (cloud {}): {text}\n", tenant.cloud);
        for (at, line) in lines {
            message.push_str(&format!("{at:>8.1}  {line}\n"));
        }
        self.wrong = Some(message);
    }
}
