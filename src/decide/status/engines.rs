//! The verdict on Heat's engines, from the last stored verdict and the answers since.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt::Write as _,
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{EnginesStatus, Reason, time},
    decide::status::{
        Judged,
        engine_count::{KnownHosts, count},
    },
    observation::{
        EngineAnswers,
        engine_answers::{Silence, age},
    },
    target::EnginesTarget,
};

/// Number of consecutive 503s after which no engine is left, if they also span more than three report intervals. Three
/// were recorded while one of two engines was hung.
const ALL_DOWN_AFTER: u32 = 4;

/// The last verdict according to the stored block. Unknown conditions do not affect it, so a restart repeats no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// There is no verdict yet.
    Nothing,
    /// `AllEnginesUp`, or there was nothing to count.
    Well,
    /// `EnginesDown`.
    Down,
    /// `EngineUnresponsive`.
    Unresponsive,
    /// `AllEnginesDown`.
    AllDown,
}

/// Returns the last verdict on the engines.
#[must_use]
pub fn said(block: Option<&EnginesStatus>) -> Said {
    match block {
        None => Said::Nothing,
        Some(block) if block.up == 0 && block.unanswered >= ALL_DOWN_AFTER => Said::AllDown,
        Some(block) if block.unanswered > 0 => Said::Unresponsive,
        Some(block) if block.down > 0 => Said::Down,
        Some(_) => Said::Well,
    }
}

/// Whether the last verdict on the engines is unhealthy.
#[must_use]
pub fn is_bad(block: Option<&EnginesStatus>) -> bool {
    matches!(said(block), Said::Down | Said::Unresponsive | Said::AllDown)
}

/// Judges Heat's latest answer, which must exist. `seen` is the number of the answer that this tenant judged last, so
/// that a 503 in between is not lost.
#[must_use]
pub fn judge(
    old: Option<&EnginesStatus>,
    answers: &EngineAnswers,
    seen: u64,
    rules: &EnginesTarget,
) -> Judged<EnginesStatus> {
    let mut judged = match answers.unanswered() {
        Some(silence) => judge_silence(old, answers, silence),
        None => judge_list(old, answers, seen, rules),
    };
    judged.block.observed_at = answers.answered_at.map(time);
    judged
}

fn judge_silence(old: Option<&EnginesStatus>, answers: &EngineAnswers, silence: Silence) -> Judged<EnginesStatus> {
    let span = Duration::try_from(silence.last.duration_since(silence.since)).unwrap_or_default();
    let none_left = silence.count >= ALL_DOWN_AFTER && span > answers.report_interval().saturating_mul(3);
    let mut block = old.cloned().unwrap_or_default();
    let reason = match said(old) {
        Said::AllDown => Reason::AllEnginesDown,
        _ if none_left => {
            for host in &mut block.hosts {
                host.down += std::mem::take(&mut host.up);
            }
            block.hosts.sort_by_key(|host| host.down == 0);
            // No list shows these engines, and no engine answers.
            (block.down_engines, block.answering_since) = (Vec::new(), None);
            block.down = block.total;
            block.up = 0;
            block.unanswered = ALL_DOWN_AFTER;
            Reason::AllEnginesDown
        }
        Said::Down => Reason::EnginesDown,
        Said::Nothing | Said::Well | Said::Unresponsive => {
            block.unanswered = unanswered(&block, silence);
            Reason::EngineUnresponsive
        }
    };
    verdict(reason, block)
}

/// The longest streak, at most 4. With `up: 0` it stays below 4, because 4 would mean `AllEnginesDown`.
fn unanswered(block: &EnginesStatus, silence: Silence) -> u32 {
    let most = if block.up == 0 { ALL_DOWN_AFTER - 1 } else { ALL_DOWN_AFTER };
    silence.count.max(block.unanswered).min(most)
}

fn judge_list(
    old: Option<&EnginesStatus>,
    answers: &EngineAnswers,
    seen: u64,
    rules: &EnginesTarget,
) -> Judged<EnginesStatus> {
    let known = known(old, answers, rules);
    let mut block = answers.list.as_ref().map_or_else(EnginesStatus::default, |list| count(list, &known, rules));
    block.answering_since = answering_since(old, answers);
    if block.down > 0 {
        return verdict(Reason::EnginesDown, block);
    }
    if block.total == 0 {
        // An Unknown condition must not clear the last verdict.
        if said(old) == Said::Unresponsive {
            block.unanswered = old.map_or(0, |block| block.unanswered).min(ALL_DOWN_AFTER - 1);
        }
        return verdict(Reason::NoEnginesListed, block);
    }
    let missed = answers.silence.filter(|silence| silence.number > seen);
    let doubtful = match said(old) {
        Said::Unresponsive => true,
        Said::Nothing | Said::Well => missed.is_some(),
        Said::Down | Said::AllDown => false,
    };
    if doubtful && !answers.has_recovered(block.total) {
        block.unanswered = old.map_or(0, |block| block.unanswered);
        if let Some(silence) = missed {
            block.unanswered = unanswered(&block, silence);
        }
        block.unanswered = block.unanswered.max(1);
        return verdict(Reason::EngineUnresponsive, block);
    }
    verdict(Reason::AllEnginesUp, block)
}

/// Collects what the status and earlier answers record of each host.
fn known<'a>(old: Option<&'a EnginesStatus>, answers: &'a EngineAnswers, rules: &EnginesTarget) -> KnownHosts<'a> {
    let mut recorded: HashMap<&str, _> = answers.beats.iter().map(|(host, beat)| (&**host, *beat)).collect();
    let mut newest_report = answers.newest_report.as_ref().map(|(report, host)| (*report, &**host));
    let cloud_now = answers.list.as_ref().map(|list| list.cloud_now);
    for host in old.into_iter().flat_map(|block| &block.hosts) {
        if let Some(stored) = &host.last_heartbeat {
            let newest = recorded.entry(&host.host).or_insert(stored.0);
            *newest = stored.0.max(*newest);
            // A report in the cloud's future is invalid: the cloud's clock stepped back.
            let report = cloud_now.filter(|now| stored.0 <= *now).map(|_| (stored.0, host.host.as_str()));
            newest_report = newest_report.max(report);
        }
    }
    KnownHosts {
        recorded,
        newest_report,
        setbacks: Cow::Borrowed(&answers.setbacks),
        kept: kept(old, answers, rules),
        now: answers.at,
    }
}

/// Returns the hosts that AllEnginesDown counted, until Heat has answered for longer than forgetAfter. Their silence
/// proves nothing while they had no Heat to report to.
fn kept<'a>(old: Option<&'a EnginesStatus>, answers: &EngineAnswers, rules: &EnginesTarget) -> HashSet<&'a str> {
    let Some(old) = old else { return HashSet::new() };
    let since = answering_since(Some(old), answers);
    if since.is_none_or(|since| age(since.0, answers.at) > rules.forget_after) {
        return HashSet::new();
    }
    old.hosts.iter().filter(|host| host.down > 0).map(|host| host.host.as_str()).collect()
}

/// Returns when Heat first answered after AllEnginesDown. A stored time later than now is wrong: the clock stepped
/// back.
fn answering_since(old: Option<&EnginesStatus>, answers: &EngineAnswers) -> Option<Time> {
    let now = answers.answered_at.map(time);
    if said(old) == Said::AllDown {
        return now;
    }
    let since = old?.answering_since.clone()?;
    now.map(|now| since.min(now))
}

fn verdict(reason: Reason, mut block: EnginesStatus) -> Judged<EnginesStatus> {
    let message = match reason {
        Reason::EnginesDown => down_message(&block),
        Reason::AllEnginesDown => "No orchestration engine answers: start the heat-engine services, and look at the \
                                   message broker between them and heat-api."
            .to_owned(),
        Reason::EngineUnresponsive => "An orchestration engine did not answer a request, or none is running: look for \
                                       a hung heat-engine service."
            .to_owned(),
        Reason::NoEnginesListed => "Heat lists no engine that counts: start a heat-engine service, or set \
                                    probes.engines.policy to Disabled."
            .to_owned(),
        _ => "All orchestration engines report in time.".to_owned(),
    };
    block.summary = summary(&block, reason != Reason::EngineUnresponsive);
    let figures = format!("{} engines up", block.summary);
    Judged { reason, message, figures, block }
}

/// Formats `2/2`. It is `?/2` while the current state is unknown, and `?` stands for a figure that was never observed.
#[must_use]
pub fn summary(block: &EnginesStatus, seen: bool) -> String {
    let never_listed = block.total == 0 && block.hosts.is_empty() && block.unanswered > 0;
    let total = if never_listed { "?".to_owned() } else { block.total.to_string() };
    if seen { format!("{}/{total}", block.up) } else { format!("?/{total}") }
}

fn down_message(block: &EnginesStatus) -> String {
    const NAMED: usize = 5;
    let down: Vec<_> = block.hosts.iter().filter(|host| host.down > 0).map(|host| host.host.as_str()).collect();
    let mut message = format!("Orchestration engines are down on {}", down[..down.len().min(NAMED)].join(", "));
    if down.len() > NAMED {
        let _ = write!(message, " and {} more hosts", down.len() - NAMED);
    }
    message.push_str(": start heat-engine there, or run \"heat-manage service clean\" if it was removed on purpose.");
    message
}
