//! Events of Heat's engines.

use super::{EventReason, Notice, notice};
use crate::{
    api::{CloudTenantStatus, EngineHost, EnginesStatus},
    decide::status::engines::{Said, said},
    observation::ProbeKind,
};

/// Number of hosts that change together and still have one event each. More hosts share one event.
const SINGLE_EVENTS: usize = 5;

pub(super) fn transitions(stored: &CloudTenantStatus, old: &CloudTenantStatus, new: &CloudTenantStatus) -> Vec<Notice> {
    let Some(block) = &new.engines else { return Vec::new() };
    let before = old.engines.as_ref();
    let event = |reason, about: &str, note: String| notice(reason, about, note, stored, &[ProbeKind::Engines]);
    match (said(before), said(Some(block))) {
        (Said::AllDown, Said::AllDown) => return Vec::new(),
        (_, Said::AllDown) => {
            let note = "No orchestration engine answers any more.";
            return vec![event(EventReason::AllEnginesDown, "", note.to_owned())];
        }
        (Said::Unresponsive, Said::Unresponsive) => {}
        (_, Said::Unresponsive) => {
            let note = "An orchestration engine did not answer a request, or none is running.";
            return vec![event(EventReason::EngineUnresponsive, "", note.to_owned())];
        }
        _ => {}
    }
    let nothing = EnginesStatus::default();
    let changes = changes(before.unwrap_or(&nothing), block);
    let mut notices = Vec::new();
    for (reason, hosts) in [
        (EventReason::EngineDown, &changes.down),
        (EventReason::EngineRecovered, &changes.recovered),
        (EventReason::EngineForgotten, &changes.forgotten),
    ] {
        let what = match reason {
            EventReason::EngineDown => "stopped reporting",
            EventReason::EngineRecovered => "reports again",
            _ => "no longer counts: it has not reported for too long, is ignored, or Heat no longer lists it",
        };
        if hosts.len() > SINGLE_EVENTS {
            let note = format!("The orchestration engine on {} hosts {what}, on {} first.", hosts.len(), hosts[0]);
            notices.push(event(reason, &hosts.join(","), note));
        } else {
            notices.extend(hosts.iter().map(|host| {
                let ids = if reason == EventReason::EngineDown { ids(block, host) } else { String::new() };
                event(reason, host, format!("The orchestration engine on {host} {what}{ids}."))
            }));
        }
    }
    let silent_before = match said(before) {
        Said::Unresponsive => true,
        Said::AllDown => before.is_some_and(|before| before.hosts.is_empty()),
        Said::Nothing | Said::Well | Said::Down => false,
    };
    if silent_before && said(Some(block)) == Said::Well {
        let note = "The orchestration engines answer every request again.";
        notices.push(event(EventReason::EngineRecovered, "", note.to_owned()));
    }
    notices
}

/// Formats the IDs that Heat lists for the host's down engines, as ` (engine ID a, b)`.
fn ids(block: &EnginesStatus, host: &str) -> String {
    const NAMED: usize = 3;
    let down = block.down_engines.iter().filter(|engine| engine.host == host);
    let ids: Vec<_> = down.filter_map(|engine| engine.engine_id.as_deref()).collect();
    match ids.len() {
        0 => String::new(),
        count if count > NAMED => format!(" (engine IDs {} and {} more)", ids[..NAMED].join(", "), count - NAMED),
        1 => format!(" (engine ID {})", ids[0]),
        _ => format!(" (engine IDs {})", ids.join(", ")),
    }
}

#[derive(Default)]
struct Changes {
    down: Vec<String>,
    recovered: Vec<String>,
    forgotten: Vec<String>,
}

/// While hosts are omitted, a host that is not listed counts as up.
fn changes(old: &EnginesStatus, new: &EnginesStatus) -> Changes {
    let find = |block: &EnginesStatus, name: &str| block.hosts.iter().find(|host| host.host == name).cloned();
    let mut changes = Changes::default();
    for host in new.hosts.iter().filter(|host| host.down > 0) {
        if find(old, &host.host).is_none_or(|before| before.down == 0) {
            changes.down.push(host.host.clone());
        }
    }
    for before in old.hosts.iter().filter(|host| host.down > 0) {
        let more_up = |now: &EngineHost| now.up > before.up;
        match find(new, &before.host) {
            Some(now) if now.down > 0 => {}
            Some(now) if more_up(&now) => changes.recovered.push(before.host.clone()),
            None if new.hosts_omitted > 0 => changes.recovered.push(before.host.clone()),
            _ => changes.forgotten.push(before.host.clone()),
        }
    }
    changes
}
