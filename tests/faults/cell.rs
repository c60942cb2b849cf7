//! One cell: a tenant is healthy, a service fails twice, and recovers.

use std::{sync::Arc, time::Duration};

use cloudtenant_operator::{
    api::{CloudTenantStatus, Reason, condition_type as ty},
    decide::event::{EventReason, Notice},
    observation::ProbeKind,
};

use crate::{
    front::{Certificates, Fault},
    secrets,
    table::Class,
    world::{INTERVAL, Pass, World, conditions, data},
};

/// The probes that need the service of each column.
const NEED: [&[ProbeKind]; 4] = [&ProbeKind::ALL, &[ProbeKind::Engines], &[ProbeKind::Caches], &[ProbeKind::Usage]];

/// In bytes, by the column of the service: at least its body limit. A page of Nova is parsed while it arrives.
const LONGEST_BODY: [u64; 4] = [8 << 20, 8 << 20, 8 << 20, 64 << 20];

/// In bytes. The system's buffers of both ends of a connection.
const BUFFERS: u64 = 16 << 20;

/// What is found wrong in a cell.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

/// A cell of the table.
#[derive(Clone, Copy)]
pub struct Case {
    /// The service's column.
    pub service: usize,
    pub fault: Fault,
    pub class: Class,
    /// A part of the message of each condition that fails.
    pub says: &'static str,
}

/// A cell, and what the tenant had before the fault.
struct Cell {
    class: Class,
    says: &'static str,
    probes: &'static [ProbeKind],
    before: CloudTenantStatus,
    wrong: Wrong,
}

/// Returns what is wrong.
pub async fn run(case: Case, certificates: &Arc<Certificates>) -> Vec<String> {
    let Case { service, fault, class, says } = case;
    let tls = matches!(fault, Fault::Tls(_)).then_some(certificates);
    let mut world = World::start(tls, service == 0).await;
    let probes = NEED[service];
    let kind = probes[0];
    let queried = |world: &World, times: usize| world.queries[kind] >= times;
    world.until(|world| queried(world, 1)).await;
    let (healthy, _, _) = world.until(|world| queried(world, 2)).await;
    let mut cell = Cell { class, says, probes, before: world.stored.clone(), wrong: Wrong::default() };
    let ready = &conditions(&healthy.status)[ty::READY];
    cell.wrong.check(ready.0 == "True", || format!("not healthy before the fault: {ready:?}"));

    world.set(service, Some(fault), probes);
    let (first, notices, waited) = world.until(|world| queried(world, 3)).await;
    cell.wrong.check(waited == INTERVAL, || format!("the call came after {waited:?}"));
    cell.first(&first, &notices);
    let requests = world.front(service).requests();
    let (second, later, waited) = match class {
        Class::LoginRefused => world.until(|world| world.front(service).requests() > requests).await,
        _ => world.until(|world| queried(world, 4)).await,
    };
    cell.wrong.check(waited == class.wait(), || format!("the next call came after {waited:?}"));
    cell.second(&second, [notices, later].concat());
    let flooded = world.front(service).flooded();
    cell.wrong.check(flooded < 2 * (LONGEST_BODY[service] + BUFFERS), || format!("{flooded} bytes were read"));

    world.set(service, None, probes);
    cell.heals(&mut world).await;
    cell.wrong.0
}

impl Cell {
    /// After one failure.
    fn first(&mut self, pass: &Pass, notices: &[Notice]) {
        self.always(pass);
        match self.class {
            Class::Second(_) | Class::SecondAfter(..) => {
                self.says_before(&pass.status);
                self.tells(notices, &[]);
            }
            Class::Tolerated => {
                self.says_before(&pass.status);
                self.tells(notices, &[]);
                let same = data(&pass.status) == data(&self.before);
                self.wrong.check(same, || format!("{} was {}", data(&pass.status), data(&self.before)));
            }
            Class::Read => {
                self.says_before(&pass.status);
                let fell = notices.iter().all(|notice| notice.reason == EventReason::UsageFell);
                self.wrong.check(fell, || format!("{notices:?}"));
            }
            Class::Unhealthy(reason) => {
                self.has(&pass.status, "False", reason);
                self.tells(notices, &[EventReason::EngineUnresponsive]);
            }
            Class::AtOnce(_)
            | Class::AtOnceUntilInterval(_)
            | Class::Stalled(_)
            | Class::StalledUntilInterval(_)
            | Class::LoginRefused => self.fails(&pass.status, notices),
        }
    }

    /// After the second failure. `notices` are those of both.
    fn second(&mut self, pass: &Pass, notices: Vec<Notice>) {
        self.always(pass);
        if self.class.failure().is_some() {
            self.fails(&pass.status, &notices);
        }
    }

    /// What holds at any time of any fault.
    fn always(&mut self, pass: &Pass) {
        let (now, before) = (conditions(&pass.status), conditions(&self.before));
        for kind in ProbeKind::ALL {
            let type_ = kind.condition_type();
            let (status, reason) = &now[type_];
            if !self.probes.contains(&kind) {
                self.wrong.check(now[type_] == before[type_], || format!("{type_} became {reason}"));
                continue;
            }
            let may_be_false = matches!(self.class, Class::Unhealthy(_));
            self.wrong.check(may_be_false || status != "False", || format!("{type_} is False: {reason}"));
            let observed = |status: &CloudTenantStatus| status.block_observed_at(kind).cloned();
            let is_new = observed(&pass.status) != observed(&self.before);
            let is_seen = self.class.failure().is_none();
            self.wrong.check(is_new == is_seen, || format!("{type_} {status} {reason}: observed anew is {is_new}"));
        }
        if self.class.failure().is_some() {
            let same = data(&pass.status) == data(&self.before);
            self.wrong.check(same, || format!("{} was {}", data(&pass.status), data(&self.before)));
        }
        for condition in &pass.status.conditions {
            let message = &condition.message;
            let is_sentence = message.ends_with('.') && message.len() < 1000 && !message.contains("://");
            self.wrong.check(is_sentence, || format!("the message is {message}"));
        }
        secrets::search("a status", &serde_json::to_string(&pass.status).unwrap());
        secrets::search("events", &format!("{:?}", pass.notices));
    }

    /// All conditions are as before the fault.
    fn says_before(&mut self, status: &CloudTenantStatus) {
        let (now, before) = (conditions(status), conditions(&self.before));
        self.wrong.check(now == before, || format!("{:?}", reasons(status)));
    }

    fn has(&mut self, status: &CloudTenantStatus, word: &str, reason: Reason) {
        let all = conditions(status);
        for kind in self.probes {
            let (is, found) = &all[kind.condition_type()];
            let message = status.conditions.iter().find(|condition| condition.type_ == kind.condition_type());
            let message = message.map(|condition| condition.message.clone());
            let says = message.as_ref().is_some_and(|message| message.contains(self.says));
            let holds = is == word && found == reason.as_str() && says;
            self.wrong.check(holds, || format!("{} is {is} {found}: {message:?}", kind.condition_type()));
        }
    }

    /// The conditions are Unknown, Stalled where a person has to act, and one event says so.
    fn fails(&mut self, status: &CloudTenantStatus, notices: &[Notice]) {
        let Some(reason) = self.class.failure() else { return };
        self.has(status, "Unknown", reason);
        let stalled = conditions(status).get(ty::STALLED).map(|(_, reason)| reason.clone());
        let needs_person =
            matches!(self.class, Class::Stalled(_) | Class::StalledUntilInterval(_) | Class::LoginRefused);
        let expected = needs_person.then(|| reason.as_str().to_owned());
        self.wrong.check(stalled == expected, || format!("Stalled is {stalled:?}"));
        let event = match self.class {
            Class::LoginRefused => EventReason::AuthenticationFailed,
            _ => EventReason::ObservationFailed,
        };
        self.tells(notices, &[event]);
    }

    fn tells(&mut self, notices: &[Notice], expected: &[EventReason]) {
        let told: Vec<_> = notices.iter().map(|notice| notice.reason).collect();
        self.wrong.check(told == expected, || format!("the events are {told:?}"));
    }

    /// After the fault everything is as before it, and an event says so.
    async fn heals(&mut self, world: &mut World) {
        let (before, mut notices, mut pass) = (conditions(&self.before), Vec::new(), None);
        let mut passed = Duration::ZERO;
        for _ in 0..60 {
            let (next, mut told, waited) = world.until(|_| true).await;
            notices.append(&mut told);
            passed += waited;
            let observed_since = |kind: &ProbeKind| {
                next.status.block_observed_at(*kind).is_some_and(|at| at.0 >= next.now - 2 * INTERVAL)
            };
            let heals = conditions(&next.status) == before && self.probes.iter().all(observed_since);
            pass = Some(next);
            if heals && passed >= INTERVAL {
                break;
            }
        }
        let status = &pass.as_ref().unwrap().status;
        self.says_before(status);
        let same = data(status) == data(&self.before);
        self.wrong.check(same, || format!("after the fault {}, before {}", data(status), data(&self.before)));
        let expected = match self.class {
            Class::Tolerated | Class::Read => None,
            Class::Unhealthy(_) => Some(EventReason::EngineRecovered),
            _ => Some(EventReason::ObservationRecovered),
        };
        let mut told: Vec<_> = notices.iter().map(|notice| notice.reason).collect();
        told.retain(|reason| self.class != Class::Read || *reason != EventReason::UsageFell);
        let expected: Vec<_> = expected.into_iter().collect();
        self.wrong.check(told == expected, || format!("the events after the fault are {told:?}"));
    }
}

fn reasons(status: &CloudTenantStatus) -> Vec<String> {
    let words = |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{} {} {}: {}", condition.type_, condition.status, condition.reason, condition.message)
    };
    status.conditions.iter().map(words).collect()
}
