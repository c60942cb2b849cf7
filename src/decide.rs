//! Computes what one pass concludes, as pure functions. The rules are here and in `status` and `event`.
//!
//! `reconcile` and the table tests make the same three calls: [`Memory::begin`], [`decide`], [`Memory::commit`].

pub mod condition;
pub mod event;
pub mod schedule;
pub mod set;
pub mod status;

mod memory;
mod next;
mod observed;
mod probes;
mod writes;

use std::time::Duration;

use jiff::Timestamp;
pub use memory::{CONFLICT_RETRY, Memory, Next, Plan, REFUSED_RETRY, Start, Written, has_own_query};
pub use next::{SECRET_GRACE, STALLED_RETRY};
pub use observed::{Access, Answer, EnginesAnswer, Observed, Shared};
pub use writes::Writes;

use crate::{
    api::{Block, CloudTenantStatus, Reason},
    decide::{
        event::Notice,
        probes::ProbeMemory,
        schedule::ProbeSchedule,
        status::{Engines, Judged, Observation, Pass, engines, is_bad},
    },
    observation::{ByProbe, Data, Outcome, ProbeKind, engine_answers::age},
    target::Target,
};

/// Number of failed passes that hold back a status because its events could not be recorded.
const EVENT_RETRIES: u32 = 3;

/// Whether, and when, the operator writes the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// No change is worth a write.
    Nothing,
    /// The operator writes now.
    Now,
    /// The operator writes no earlier than after this duration.
    After(Duration),
}

/// The conclusion of one pass. The caller carries it out and hands it to [`Memory::commit`].
#[derive(Debug)]
#[must_use]
pub struct Decision {
    /// The new status.
    pub status: CloudTenantStatus,
    /// Resource version that the write replaces.
    pub version: Option<String>,
    /// Whether, and when, the operator writes the status.
    pub write: Write,
    /// Events that the operator records before it writes the status.
    pub notices: Vec<Notice>,
    /// If this is set and the events cannot be recorded, the operator does not write the status. The number of attempts
    /// is bounded: a status that nobody can read is worse than a lost event.
    pub waits_for_events: bool,
    /// The operator renews its tokens before the next call.
    pub doubts_tokens: bool,
    /// The operator reads the Secret again in the next pass.
    pub expires_secret: bool,
    /// Time until the next pass. `None` means that only a change starts one.
    pub next: Option<Duration>,
    memory: Memory,
    /// Number of Heat's answer that the status contains.
    engines_number: Option<u64>,
    decided_at: Timestamp,
    interval: Duration,
}

/// The verdicts on the observations.
struct Judgement {
    probes: ByProbe<Observation<Judged>>,
    streaks: ByProbe<u32>,
    engines_number: Option<u64>,
    serves_request: bool,
}

/// Computes the conclusion of one pass from its observations.
pub fn decide(memory: &Memory, target: &Target, start: Start<'_>, observed: Observed, now: Timestamp) -> Decision {
    let mut memory = memory.clone();
    let Start { stored, version, generation, in_progress, access, .. } = start;
    let stored = &*stored;
    let is_running = ByProbe::from_fn(|kind| observed.own[kind] == Answer::UnderWay);
    let source = observed.source.clone();
    let old = status::about(stored, source.as_ref());
    let judgement = judge(&mut memory, target, &access, observed, (stored, old.as_ref()), now);
    let Judgement { probes, streaks, engines_number, serves_request } = judgement;
    let mut pass = Pass {
        target,
        generation,
        probes,
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
    let is_refused = next::is_refused_now(stored, &new);
    let mut next = next::pass(target, &memory, is_running, (stored, &new), now);
    let mut notices = Vec::new();
    let mut write = Write::Nothing;
    let refused = memory.refused.as_ref().map(|refused| refused.wait(now));
    if let Some(wait) = refused {
        next = Some(next.map_or(wait, |next| next.min(wait)).max(next::SHORTEST_WAIT));
    }
    let is_retry = refused.is_some_and(|wait| wait.is_zero());
    if is_retry || status::differs(stored, &new) || status::is_heartbeat_due(target, stored, &new) {
        let wait = memory.writes.wait(in_progress, now).max(refused.filter(|wait| !wait.is_zero()));
        write = match wait {
            None => Write::Now,
            Some(wait) => {
                next = Some(next.map_or(wait, |next| next.min(wait)));
                Write::After(wait)
            }
        };
    }
    if write == Write::Now {
        let transitions = event::transitions(target, stored, &new);
        notices = memory.events.admit(event::named_as_before(&memory.unwritten, transitions), now);
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

/// Stores the observations in the memory, judges each answer once and counts it. `old` is the part of the stored status
/// that concerns this cloud.
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
            probes: ByProbe::from_fn(|_| Observation::Failed(failure(), times)),
            streaks: ByProbe::default(),
            engines_number: None,
            // A transient failure leaves the request open. Without a Secret, no probe can serve it.
            serves_request: !failure().transient,
        };
    }
    if *access == Access::Suspended {
        let probes = ByProbe::from_fn(|_| Observation::NotDue);
        return Judgement { probes, streaks: ByProbe::default(), engines_number: None, serves_request: false };
    }
    let mut streaks = ByProbe::default();
    let mut probes = ByProbe::from_fn(|_| Observation::NotDue);
    for (kind, answer) in observed.own {
        let probe = &mut memory.probes[kind];
        let data = probe.observe(answer, &after(target, kind, memory.share, now));
        probes[kind] = data.map(|data| status::judge(&data, target, old, now));
        streaks[kind] = probe.count(unhealthy(&probes[kind]));
    }
    let answered_at = observed.engines.answered_at(now);
    let (engines, serves_request) = memory.engines.observe(observed.engines, stored, now);
    let latest = match &engines {
        Observation::Seen(seen) => Some((seen.answers.number, seen.answers.number > seen.seen, seen.waits)),
        _ => None,
    };
    let judge_engines = |seen: Engines| engines::judge(old.engines.as_ref(), &seen.answers, seen.seen, &target.engines);
    let engines = engines.map(|seen| judge_engines(seen).map(Block::Engines));
    let (number, is_news, waits) = latest.unwrap_or_default();
    let unhealthy = unhealthy(&engines).filter(|_| is_news);
    let ProbeMemory { turn, streak, .. } = &mut memory.probes[ProbeKind::Engines];
    turn.verdict_at = turn.verdict_at.max(answered_at.unwrap_or(turn.verdict_at));
    streaks[ProbeKind::Engines] = memory.engines.count(streak, number, unhealthy);
    // A second answer must confirm this one.
    probes[ProbeKind::Engines] = if waits { Observation::UnderWay } else { engines };
    let engines_number = latest.map(|(number, ..)| number);
    Judgement { probes, streaks, engines_number, serves_request }
}

fn unhealthy(observation: &Observation<Judged>) -> Option<bool> {
    match observation {
        Observation::Seen(judged) => Some(is_bad(judged.reason)),
        _ => None,
    }
}

/// Sets the next query's due time after an answer.
fn after(target: &Target, kind: ProbeKind, share: f64, now: Timestamp) -> impl Fn(&mut ProbeSchedule, &Outcome<Data>) {
    let interval = target.interval_of(kind);
    move |turn, outcome| match outcome {
        Outcome::Seen(_) | Outcome::NotOffered(_) => turn.seen(interval, share, now),
        Outcome::Failed(failure) => turn.failed(failure, interval, share, now),
    }
}
