//! Pure: the verdict on Heat's engines, from what was last said and what Heat has answered since.

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
        engine_count::{Known, count},
    },
    observation::{
        EngineAnswers,
        engines::{Silence, age},
    },
    target::EnginesTarget,
};

/// So many 503s in a row mean that no engine is left, where they also span more than three report intervals.
/// Three in a row have been recorded with one of two engines hung.
const ALL_DOWN_AFTER: u32 = 4;

/// What the stored block says was last said. Unknown conditions leave it alone, so a restart repeats nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// No verdict yet.
    Nothing,
    /// `AllEnginesUp`, or nothing to count.
    Well,
    /// `EnginesDown`.
    Down,
    /// `EngineUnresponsive`.
    Unresponsive,
    /// `AllEnginesDown`.
    AllDown,
}

/// What was last said of the engines.
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

/// Whether what was last said is bad.
#[must_use]
pub fn is_bad(block: Option<&EnginesStatus>) -> bool {
    matches!(said(block), Said::Down | Said::Unresponsive | Said::AllDown)
}

/// The verdict on what Heat last answered, which must be an answer. `seen` is the number of the answer that this
/// tenant judged last: a 503 that came and went since must not be lost.
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
    let nobody_left = silence.count >= ALL_DOWN_AFTER && span > answers.report_interval().saturating_mul(3);
    let mut block = old.cloned().unwrap_or_default();
    let reason = match said(old) {
        Said::AllDown => Reason::AllEnginesDown,
        _ if nobody_left => {
            for host in &mut block.hosts {
                host.down += std::mem::take(&mut host.up);
            }
            block.hosts.sort_by_key(|host| host.down == 0);
            // Nobody has listed these engines, and nobody answers.
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

/// The longest row, at most 4, and less where `up: 0` would make it read as `AllEnginesDown`.
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
        // Unknown takes nothing back of what was said.
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

/// What the status and earlier answers say of each host.
fn known<'a>(old: Option<&'a EnginesStatus>, answers: &'a EngineAnswers, rules: &EnginesTarget) -> Known<'a> {
    let mut recorded: HashMap<&str, _> = answers.beats.iter().map(|(host, beat)| (&**host, *beat)).collect();
    let mut newest_report = answers.newest_report.as_ref().map(|(report, host)| (*report, &**host));
    let cloud_now = answers.list.as_ref().map(|list| list.cloud_now);
    for host in old.into_iter().flat_map(|block| &block.hosts) {
        if let Some(stored) = &host.last_heartbeat {
            let newest = recorded.entry(&host.host).or_insert(stored.0);
            *newest = stored.0.max(*newest);
            // One in the cloud's future is no memory: that clock was set back.
            let report = cloud_now.filter(|now| stored.0 <= *now).map(|_| (stored.0, host.host.as_str()));
            newest_report = newest_report.max(report);
        }
    }
    Known {
        recorded,
        newest_report,
        setbacks: Cow::Borrowed(&answers.setbacks),
        kept: kept(old, answers, rules),
        now: answers.at,
    }
}

/// The hosts that AllEnginesDown counted, until Heat has answered for longer than forgetAfter: how long they have been
/// silent says nothing while their engines had no Heat to report to.
fn kept<'a>(old: Option<&'a EnginesStatus>, answers: &EngineAnswers, rules: &EnginesTarget) -> HashSet<&'a str> {
    let Some(old) = old else { return HashSet::new() };
    let since = answering_since(Some(old), answers);
    if since.is_none_or(|since| age(since.0, answers.at) > rules.forget_after) {
        return HashSet::new();
    }
    old.hosts.iter().filter(|host| host.down > 0).map(|host| host.host.as_str()).collect()
}

/// When Heat first answered after AllEnginesDown: now, or as the status has it. A later time than now is a clock's that
/// was set back since.
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
    Judged { reason, message, block }
}

/// `2/2`; `?/2` while the current state could not be seen; `?` for a figure that was never seen.
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
