//! Pure: what one pass concludes. Every rule about a pass is here or in `status` and `event`, which this calls.
//!
//! `reconcile` and the tests' tables drive the same three calls: [`Memory::begin`], [`decide`], [`Memory::commit`].

pub mod condition;
pub mod event;
pub mod schedule;
pub mod status;

mod memory;
mod next;
mod observed;
mod probes;
mod writes;

use std::time::Duration;

use jiff::Timestamp;

pub use memory::{Memory, Next, Plan, Start, Written};
pub use observed::{Access, Answer, EnginesAnswer, Observed, Shared};
pub use writes::Writes;

use crate::{
    api::{CachesStatus, CloudTenantStatus, EnginesStatus, Reason, UsageStatus},
    decide::{
        event::Notice,
        schedule::Turn,
        status::{Judged, Observation, Pass, caches, engines, interval_of, is_bad, usage},
    },
    observation::{Outcome, ProbeKind, engines::age},
    target::Target,
};

/// So many times a status waits for its events.
const EVENT_RETRIES: u32 = 3;

/// Whether the status has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Nothing has changed that is worth a write.
    Nothing,
    /// Now.
    Now,
    /// Not before so long.
    After(Duration),
}

/// What a pass concludes. It is carried out, and then given to [`Memory::commit`].
#[derive(Debug)]
#[must_use]
pub struct Decision {
    /// The new status.
    pub status: CloudTenantStatus,
    /// The resource version that the write replaces.
    pub version: Option<String>,
    /// Whether the status is written.
    pub write: Write,
    /// The events that are recorded before it.
    pub notices: Vec<Notice>,
    /// A status whose events cannot be recorded is not written. A late event is better than none, but a status that
    /// nobody may see is worse than a lost event.
    pub waits_for_events: bool,
    /// The tokens are renewed before the next call.
    pub doubts_tokens: bool,
    /// The Secret is read again in the next pass.
    pub expires_secret: bool,
    /// After how long the next pass is; `None`: after the next change.
    pub next: Option<Duration>,
    memory: Memory,
    /// The number of Heat's answer that the status has.
    engines_number: Option<u64>,
    decided_at: Timestamp,
    interval: Duration,
}

/// The three observations, each judged.
struct Judgement {
    engines: Observation<Judged<EnginesStatus>>,
    caches: Observation<Judged<CachesStatus>>,
    usage: Observation<Judged<UsageStatus>>,
    streaks: [u32; 2],
    engines_number: Option<u64>,
    serves_request: bool,
}

/// What one pass concludes from what it has observed.
pub fn decide(memory: &Memory, target: &Target, start: Start, observed: Observed, now: Timestamp) -> Decision {
    let mut memory = memory.clone();
    let Start { stored, version, generation, in_progress, access, .. } = start;
    let is_running = [observed.caches == Answer::UnderWay, observed.usage == Answer::UnderWay];
    let source = observed.source.clone();
    let old = status::about(&stored, source.as_ref());
    let judgement = judge(&mut memory, target, &access, observed, (&stored, &old), now);
    let Judgement { engines, caches, usage, streaks, engines_number, serves_request } = judgement;
    let mut pass = Pass {
        target,
        generation,
        engines,
        caches,
        usage,
        source,
        verdict_at: memory.verdict_at(),
        streaks,
        waited: next::has_waited(&memory, now),
        handled: None,
        now,
    };
    if pass.has_ended() && serves_request {
        pass.handled = memory.requested.clone();
    }
    let new = status::compute(&pass, &old);
    let is_refused = next::is_refused_now(&stored, &new);
    let mut next = next::pass(target, &memory, is_running, (&stored, &new), now);
    let mut notices = Vec::new();
    let mut write = Write::Nothing;
    if status::differs(&stored, &new) || status::is_heartbeat_due(target, &stored, &new) {
        write = match memory.writes.wait(in_progress, now) {
            None => Write::Now,
            Some(wait) => {
                next = Some(next.map_or(wait, |next| next.min(wait)));
                Write::After(wait)
            }
        };
    }
    if write == Write::Now {
        notices = memory.events.admit(event::transitions(target, &stored, &new), now);
    }
    let may_still_arrive = matches!(&access, Access::Missing(failure) if failure.reason.may_still_arrive());
    Decision {
        version,
        write,
        notices,
        waits_for_events: memory.failed_writes < EVENT_RETRIES,
        doubts_tokens: !target.suspend && next::has(&new, Reason::EndpointNotFound),
        expires_secret: may_still_arrive || is_refused && !matches!(write, Write::After(_)),
        next,
        status: new,
        memory,
        engines_number,
        decided_at: now,
        interval: target.interval,
    }
}

/// Takes what came into the memory, judges each answer once, and counts it. `old` is the part of the stored status that
/// is about this cloud.
fn judge(
    memory: &mut Memory,
    target: &Target,
    access: &Access,
    observed: Observed,
    (stored, old): (&CloudTenantStatus, &CloudTenantStatus),
    now: Timestamp,
) -> Judgement {
    if let Access::Missing(failure) = access {
        let times = memory.missing.map_or(1, |missing| missing.times);
        let failure = || failure.clone();
        return Judgement {
            engines: Observation::Failed(failure(), times),
            caches: Observation::Failed(failure(), times),
            usage: Observation::Failed(failure(), times),
            streaks: [0; 2],
            engines_number: None,
            // What may pass by itself leaves the request open; without a Secret there is nothing to ask.
            serves_request: !failure().transient,
        };
    }
    if *access == Access::Suspended {
        let (engines, caches, usage) = (Observation::NotDue, Observation::NotDue, Observation::NotDue);
        return Judgement { engines, caches, usage, streaks: [0; 2], engines_number: None, serves_request: false };
    }
    let (engines, serves_request) = memory.engines.observe(observed.engines, stored, now);
    let heard = match &engines {
        Observation::Seen(seen) => Some((seen.answers.number, seen.answers.number > seen.seen, seen.waits)),
        _ => None,
    };
    let engines = engines.map(|seen| engines::judge(old.engines.as_ref(), &seen.answers, seen.seen, &target.engines));
    let (number, is_news, waits) = heard.unwrap_or_default();
    let bad = bad(&engines).filter(|_| is_news);
    let engines_streak = memory.engines.count(number, bad);
    // A second answer has to confirm it.
    let engines = if waits { Observation::UnderWay } else { engines };
    let caches = memory.caches.observe(observed.caches, &after(target, ProbeKind::Caches, memory.share, now));
    let caches = caches.map(|seen| caches::judge(&seen, &target.caches, now));
    let usage = memory.usage.observe(observed.usage, &after(target, ProbeKind::Usage, memory.share, now));
    let usage = usage.map(|seen| usage::judge(&seen, old.usage.as_ref(), now));
    let streaks = [engines_streak, memory.caches.count(self::bad(&caches))];
    let engines_number = heard.map(|(number, ..)| number);
    Judgement { engines, caches, usage, streaks, engines_number, serves_request }
}

fn bad<B>(observation: &Observation<Judged<B>>) -> Option<bool> {
    match observation {
        Observation::Seen(judged) => Some(is_bad(judged.reason)),
        _ => None,
    }
}

/// When a probe's next query is due after an answer.
fn after<T>(target: &Target, kind: ProbeKind, share: f64, now: Timestamp) -> impl Fn(&mut Turn, &Outcome<T>) {
    let interval = interval_of(target, kind);
    move |turn, outcome| match outcome {
        Outcome::Seen(_) | Outcome::NotOffered(_) => turn.seen(interval, share, now),
        Outcome::Failed(failure) => turn.failed(failure, interval, share, now),
    }
}
