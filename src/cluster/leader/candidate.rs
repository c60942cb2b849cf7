//! What a candidate for a Lease does about it. These rules read no clock.

use std::time::Duration;

/// Time for which a process leaves a released Lease of another shard to the processes of that shard. A new Pod that
/// replaces one needs about as long to start.
pub(super) const HEAD_START: Duration = Duration::from_secs(10);

/// The same for a Lease that expired, because its holder was killed or cut off. It decides only between a standby of
/// that shard and the processes of others.
pub(super) const HEAD_START_EXPIRED: Duration = Duration::from_millis(500);

/// Time for which a process runs before it asks for its Lease back, so that one that ends at once again causes no move.
pub(super) const SETTLED: Duration = Duration::from_secs(5);

/// Which Lease a process is a candidate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Candidate {
    /// The only Lease of an installation without shards.
    Only,
    /// The Lease of the process' own shard, with this index.
    Own(u32),
    /// The Lease of another shard. The index is that of the process' own.
    Other(u32),
    /// The Lease that all processes with the same number of shards hold together.
    Common,
}

/// What a candidate knows about a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// This process holds it, and a process of the Lease's own shard may have asked for it.
    Ours { asked: bool },
    /// Nobody has held it for this time: it was released, or never taken.
    Released(Duration),
    /// Nobody has held it for this time, since its holder did not renew it.
    Expired(Duration),
    /// Another process holds it for this time, unless it renews or releases it. The process may be of another shard.
    Held { left: Duration, by_shard: Option<u32>, asked: bool },
}

/// What the candidate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It takes or renews the Lease.
    Take,
    /// It asks the holder for the Lease, and waits for this time.
    Ask(Duration),
    /// It gives the Lease to the process that asks for it.
    GiveUp,
    /// It waits for this time, or for a change.
    Wait(Duration),
}

/// Decides what a candidate does that has run for this time.
pub(super) fn step(candidate: Candidate, standing: Standing, has_run: Duration) -> Step {
    let after = |start: Duration, free: Duration| match start.saturating_sub(free) {
        Duration::ZERO => Step::Take,
        rest => Step::Wait(rest),
    };
    match (candidate, standing) {
        (Candidate::Other(_), Standing::Ours { asked: true }) => Step::GiveUp,
        (Candidate::Other(_), Standing::Released(free)) => after(HEAD_START, free),
        (Candidate::Other(_), Standing::Expired(free)) => after(HEAD_START_EXPIRED, free),
        (_, Standing::Ours { .. } | Standing::Released(_) | Standing::Expired(_)) => Step::Take,
        (Candidate::Own(own), Standing::Held { left, by_shard: Some(shard), asked: false }) if shard != own => {
            match SETTLED.saturating_sub(has_run) {
                Duration::ZERO => Step::Ask(left),
                rest => Step::Wait(left.min(rest)),
            }
        }
        (_, Standing::Held { left, .. }) => Step::Wait(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_goes_to_a_process_of_its_shard_and_to_others_only_if_there_is_none() {
        use Candidate::{Common, Only, Other, Own};
        use Standing::{Expired, Held, Ours, Released};
        use Step::{Ask, GiveUp, Take, Wait};
        let s = Duration::from_secs;
        let ms = Duration::from_millis;
        let held = |by_shard, asked| Held { left: s(9), by_shard, asked };
        for (name, candidate, standing, has_run, expected) in [
            ("a free Lease", Only, Released(s(0)), s(0), Take),
            ("an expired Lease", Only, Expired(s(0)), s(0), Take),
            ("its own Lease", Only, Ours { asked: true }, s(0), Take),
            ("another holder", Only, held(None, false), s(60), Wait(s(9))),
            ("annotations that nobody wrote", Only, held(Some(1), false), s(60), Wait(s(9))),
            ("a free Lease of the own shard", Own(0), Released(s(0)), s(0), Take),
            ("an expired one", Own(0), Expired(s(0)), s(0), Take),
            ("one that it holds", Own(0), Ours { asked: false }, s(0), Take),
            ("one that it holds and another process of the shard asked for", Own(0), Ours { asked: true }, s(0), Take),
            ("one that a process of the same shard holds", Own(0), held(Some(0), false), s(60), Wait(s(9))),
            ("one of which the holder's shard is unknown", Own(0), held(None, false), s(60), Wait(s(9))),
            ("one that a process of another shard holds", Own(0), held(Some(1), false), s(5), Ask(s(9))),
            ("the same, just started", Own(0), held(Some(1), false), s(3), Wait(s(2))),
            ("the same, asked for", Own(0), held(Some(1), true), s(60), Wait(s(9))),
            ("a free Lease of another shard", Other(0), Released(s(0)), s(60), Wait(s(10))),
            ("free for a while", Other(0), Released(s(4)), s(60), Wait(s(6))),
            ("free for long", Other(0), Released(s(10)), s(0), Take),
            ("an expired Lease of another shard", Other(0), Expired(s(0)), s(60), Wait(ms(500))),
            ("expired for half a second", Other(0), Expired(ms(500)), s(0), Take),
            ("held by a process of a third shard", Other(0), held(Some(2), false), s(60), Wait(s(9))),
            ("another shard's that it serves", Other(0), Ours { asked: false }, s(60), Take),
            ("the same, asked for", Other(0), Ours { asked: true }, s(60), GiveUp),
            ("the common Lease", Common, Ours { asked: true }, s(0), Take),
            ("the common Lease, free", Common, Released(s(0)), s(0), Take),
            ("the common Lease of another number", Common, held(None, false), s(60), Wait(s(9))),
        ] {
            assert_eq!(step(candidate, standing, has_run), expected, "{name}");
        }
    }
}
