//! One pass over a set: list, read, decide, write. All rules are in [`crate::decide::set`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Resource as _;

use super::{
    Controller,
    children::{self, Children, ListError},
    listing::{self, Listing},
    state::{State, Stored},
    write::Writes,
};
use crate::{
    api::{
        REQUESTED_AT, Reason,
        reason::Class,
        set::{CloudTenantSet, CloudTenantSetStatus},
    },
    clouds::Cloud,
    cluster::{
        passes::PANIC_RETRY,
        writer::{Base, WriteError},
    },
    decide::{
        CONFLICT_RETRY, REFUSED_RETRY, STALLED_RETRY, Written as StatusWritten,
        event::{Notice, fnv1a},
        schedule::backoff,
        set::{
            self, Apply, Claims, Input, OtherSet, Plan, Pruned, SetMemory, SetTarget, asks, event, given_back, plan,
            prune,
            status::{self, Full, Listed, SetPass, Waits, Written},
        },
    },
    identity::{TenantId, TenantName},
    observation::{ProbeFailure, engine_answers::age},
    panics::{Part, caught},
    share::Turn,
    watched::object::WatchedSet,
};

/// The number of failed writes of the status that hold back events.
const EVENT_RETRIES: u32 = 3;

/// A pass that has begun.
struct Begun<'a> {
    id: &'a TenantId,
    object: &'a CloudTenantSet,
    is_current: &'a (dyn Fn() -> bool + Send + Sync),
    stored: CloudTenantSetStatus,
    version: Option<String>,
    now: Timestamp,
}

/// What a pass concludes.
struct Conclusion {
    status: CloudTenantSetStatus,
    notices: Vec<Notice>,
    next: Option<Duration>,
    /// The status is written even if only its times differ.
    is_due: bool,
}

impl Controller {
    /// Runs one pass. Returns when the next one starts; `None` means that only a change starts it.
    pub(super) async fn pass(
        &self,
        set: &WatchedSet,
        is_current: &(dyn Fn() -> bool + Send + Sync),
        turn: &mut Turn,
    ) -> Option<Duration> {
        let metadata = set.meta();
        let id = TenantId {
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            name: TenantName::of(metadata),
        };
        let state = self.state(&id.uid);
        let mut state = state.lock().await;
        let done = match caught(Part::Pass, Box::pin(self.resume((&id, set), is_current, &mut state, turn))).await {
            Ok(done) => done,
            Err(_) => {
                // After a panic the state may be inconsistent.
                *state = State::default();
                self.miss_claims(&id.uid);
                let (generation, now) = (id.generation, self.now());
                let rewritten = self.rewrite(&id, |old| status::broke_off(generation, old, now), Some(PANIC_RETRY));
                caught(Part::Pass, Box::pin(rewritten)).await.unwrap_or(Ok(Some(PANIC_RETRY)))
            }
        };
        self.context.metrics.reconciled(done.is_ok());
        done.unwrap_or_else(|error| {
            state.stored.failed_writes = state.stored.failed_writes.saturating_add(1);
            let is_conflict = error.is_conflict();
            tracing::warn!(%error, "the status was not written");
            Some(if is_conflict { CONFLICT_RETRY } else { backoff(state.stored.failed_writes) })
        })
    }

    /// Says in the status that the operator does not serve the set. It writes that once for each generation.
    pub(super) async fn refuse(&self, set: &WatchedSet, full: Full) {
        let metadata = set.meta();
        let (generation, now) = (metadata.generation.unwrap_or_default(), self.now());
        let change = |old: &_| status::not_served(full, generation, old, now);
        let stored = set.0.as_ref().ok().and_then(|object| object.status.as_ref());
        if stored.is_some_and(|stored| !status::differs(stored, &change(stored))) {
            return;
        }
        tracing::warn!(?full, "the set is not served: the operator serves as many as it may");
        let id = TenantId { uid: metadata.uid.clone().unwrap_or_default(), generation, name: TenantName::of(metadata) };
        let written = self.rewrite(&id, change, None).await;
        self.context.metrics.reconciled(written.is_ok());
        if let Err(error) = written {
            tracing::warn!(%error, "the status was not written");
        }
    }

    fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    async fn resume(
        &self,
        (id, set): (&TenantId, &WatchedSet),
        is_current: &(dyn Fn() -> bool + Send + Sync),
        state: &mut State,
        turn: &mut Turn,
    ) -> Result<Option<Duration>, WriteError> {
        state.keep_time();
        let now = self.now();
        let target = match &set.0 {
            Ok(object) => SetTarget::new(object).map(|target| (object, target)),
            Err(unreadable) => Err(unreadable.why.clone()),
        };
        let (object, target) = match target {
            Ok(target) => target,
            Err(why) => {
                tracing::warn!("{why}");
                self.claim(&id.uid, Claims::Unknown);
                state.rest();
                state.stored = Stored::default();
                return self.rewrite(id, |old| status::invalid(&why, id.generation, old, now), None).await;
            }
        };
        let (mut stored, version) = state.stored.current(object);
        stored.pruning = given_back(stored.pruning.take(), state.undeleted);
        let begun = Begun { id, object, is_current, stored, version, now };
        self.tell(&begun, Vec::new(), state).await;
        if target.suspend {
            return self.suspend(begun, &target, state).await;
        }
        self.serve(begun, &target, state, turn).await
    }

    /// Lists and writes nothing but the status.
    async fn suspend(
        &self,
        begun: Begun<'_>,
        target: &SetTarget,
        state: &mut State,
    ) -> Result<Option<Duration>, WriteError> {
        self.claim(&begun.id.uid, Claims::Unknown);
        state.rest();
        let (plan, pruned, written) = (Plan::default(), Pruned::default(), Written::default());
        let pass = SetPass {
            target,
            listed: &Listed::Yes { whole: true },
            plan: &plan,
            pruned: &pruned,
            written: &written,
            waited: false,
            handled: None,
            recounts: 0,
            now: begun.now,
        };
        let new = status::compute(&pass, &begun.stored);
        let conclusion = Conclusion { status: new, notices: Vec::new(), next: None, is_due: false };
        self.conclude(begun, conclusion, state).await
    }

    async fn serve(
        &self,
        mut begun: Begun<'_>,
        target: &SetTarget,
        state: &mut State,
        turn: &mut Turn,
    ) -> Result<Option<Duration>, WriteError> {
        let namespace = begun.id.name.namespace.as_str();
        let is_known = begun.stored.observed_generation == Some(begun.id.generation);
        if let Some(wait) = state.not_before.filter(|at| is_known && *at > begun.now).map(|at| age(begun.now, at)) {
            // Keystone's Retry-After also holds for requests by annotation.
            return Ok(Some(wait));
        }
        let listing = async {
            let cloud = Box::pin(listing::open(&self.context, namespace, target)).await?;
            let place = turn.without(self.keystones.wait(cloud.config.called_host(), namespace.into())).await;
            let listing = Box::pin(listing::list(&cloud, target)).await?;
            Ok::<_, ProbeFailure>((cloud, listing, place))
        };
        // A pass that waits for Keystone must not delay the end of the term.
        let Some(listed) = self.context.shutdown.run_until_cancelled(listing).await else { return Ok(None) };
        let (listed, place) = match listed {
            Ok((cloud, found, place)) => {
                state.cloud = Some(cloud.clone());
                (Ok((cloud, found)), Some(place))
            }
            Err(failure) => (Err(failure), None),
        };
        let retry_after = listed.as_ref().err().and_then(|failure| failure.retry_after);
        state.not_before = retry_after.and_then(|wait| self.now().checked_add(wait).ok());
        let read = Box::pin(children::list(&self.client, namespace, target, &self.pages)).await;
        let others = self.others(begun.id);
        // The lists take seconds.
        state.keep_time();
        let now = self.now();
        begun.now = now;
        let (cloud, found) = listed.as_ref().ok().map(|(cloud, found)| (cloud, found)).unzip();
        let no_domains = BTreeMap::new();
        if let Err(error) = &read {
            tracing::warn!(%error, "the CloudTenants of the namespace cannot be listed");
        }
        let unread = state.note_unread(read.as_ref().err().map(ListError::why), now);
        let Children { all: children, unreadable } = read.unwrap_or_default();
        let input = Input {
            target,
            listing: found.map(|Listing { list, .. }| list),
            domains: found.map_or(&no_domains, |Listing { domains, .. }| domains),
            children: &children,
            others: &others,
        };
        let mut plan = match unread {
            Some((why, times)) => set::unread(input.listing, why, times),
            None => Plan { unreadable, ..plan(&input) },
        };
        match found {
            Some(_) => self.claim(&begun.id.uid, Claims::Known(Arc::new(plan.selected.clone()))),
            None => self.miss_claims(&begun.id.uid),
        }
        let pruned = match cloud {
            Some(cloud) if unread.is_none() => {
                state.memory.note(listing::basis(cloud, target), &input, now);
                self.pruned(cloud, &input, state, &begun).await
            }
            Some(_) => {
                // What the list lacked before may have been there this time.
                state.memory = SetMemory::default();
                Pruned::default()
            }
            None => Pruned::default(),
        };
        drop(place);
        let leaving = state.memory.waits_for_deletions(&plan, now);
        let applies = std::mem::take(&mut plan.creations).into_iter().chain(std::mem::take(&mut plan.changes));
        let (applies, first) = (applies.collect(), begun.stored.clone());
        let (written, wait) = match unread {
            None => self.write(applies, &pruned, target, state, &mut begun).await,
            Some(_) => (Written::default(), None),
        };
        let failure = listed.as_ref().err();
        let (waited, times) = state.note_failure(failure, now);
        let listed = match failure {
            Some(failure) => Listed::Failed(failure.clone(), times),
            None => Listed::Yes { whole: found.is_some_and(|found| found.list.list().whole) },
        };
        if let Some(failure) = failure
            .filter(|failure| failure.reason.may_still_arrive() || failure.reason == Reason::AuthenticationFailed)
        {
            tracing::debug!(reason = %failure.reason, "the Secret is read again");
            self.context.secrets.expire(namespace, &target.secret_name);
        }
        let is_done =
            !unread.is_some_and(|(why, _)| why.is_transient()) && failure.is_none_or(|failure| !failure.transient);
        let handled = requested(begun.object).filter(|_| is_done);
        let now = begun.now;
        let (plan, pruned, written) = (&plan, &pruned, &written);
        let recounts = if written.created.is_empty() && written.adopted == 0 { state.recounts } else { 0 };
        state.recounts = recounts.saturating_add(1);
        let pass = SetPass { target, listed: &listed, plan, pruned, written, waited, handled, recounts, now };
        let new = status::compute(&pass, &begun.stored);
        let is_stalled = failure.is_some_and(|failure| failure.reason.class() == Class::Stalled);
        let unread = unread.map(|(_, times)| backoff(times));
        let longest = [is_stalled.then_some(STALLED_RETRY), leaving, unread].into_iter().flatten().min();
        let waits = Waits { pace: wait, retry_after, longest };
        let next = status::scheduled(&pass, waits, share(&begun.id.uid));
        let conclusion = Conclusion {
            notices: event::transitions(&first, &new),
            is_due: state.undeleted > 0 || status::is_heartbeat_due(target.interval, &begun.stored, &new),
            status: new,
            next,
        };
        self.conclude(begun, conclusion, state).await
    }

    /// Asks for the states of projects that seem to be gone, and decides about their CloudTenants.
    async fn pruned(&self, cloud: &Cloud, input: &Input<'_>, state: &mut State, begun: &Begun<'_>) -> Pruned {
        let (stored, now) = (&begun.stored, begun.now);
        let asked = asks(input, &state.memory, stored, now);
        let states = if asked.is_empty() {
            BTreeMap::new()
        } else {
            let asking = Box::pin(listing::states(cloud, asked.clone()));
            // Without an answer, nothing is deleted.
            let states = self.context.shutdown.run_until_cancelled(asking).await.unwrap_or_default();
            state.memory.answered(&asked, &states);
            states
        };
        prune(input, &state.memory, &states, stored, now)
    }

    /// Writes the CloudTenants. Before it deletes some, the status counts them. Returns also the wait until the pace allows
    /// the next write.
    async fn write(
        &self,
        applies: Vec<Apply>,
        pruned: &Pruned,
        target: &SetTarget,
        state: &mut State,
        begun: &mut Begun<'_>,
    ) -> (Written, Option<Duration>) {
        let now = begun.now;
        let mut order = state.writes.order(applies, &pruned.deletions, &self.settings, now);
        if !order.reserved.is_empty() && !Box::pin(self.reserve(order.reserved.len(), target, state, begun)).await {
            order.reserved.clear();
        }
        let mut writes = Writes {
            writer: &self.context.writer,
            namespace: &begun.id.name.namespace,
            settings: &self.settings,
            is_current: begun.is_current,
            shutdown: &self.context.shutdown,
            state: &mut state.writes,
            written: Written::default(),
            wait: None,
        };
        Box::pin(writes.run(order)).await;
        let Writes { written, wait, .. } = writes;
        begun.stored.pruning = given_back(begun.stored.pruning.take(), written.undeleted);
        state.undeleted += written.undeleted;
        // At once, since after a change of the spec or the end of the process there is no later time.
        self.tell(begun, event::of_writes(&written), state).await;
        (written, wait)
    }

    /// Creates these events, and those that could not be created before.
    async fn tell(&self, begun: &Begun<'_>, notices: Vec<Notice>, state: &mut State) {
        let mut untold = std::mem::take(&mut state.untold);
        untold.extend(notices);
        let untold = Box::pin(self.context.writer.tell((begun.id, begun.object), untold)).await;
        state.keep(untold);
    }

    /// Counts deletions in the status before they happen. Returns whether the status was written.
    async fn reserve(&self, deletions: usize, target: &SetTarget, state: &mut State, begun: &mut Begun<'_>) -> bool {
        if !(begun.is_current)() {
            return false;
        }
        let reserved = status::reserved(target, &begun.stored, deletions, begun.now);
        match self
            .context
            .writer
            .write::<CloudTenantSet>(&begun.id.name, Base::Shared(begun.version.clone()), &reserved)
            .await
        {
            Ok(StatusWritten::As(Some(version))) => {
                state.stored.wrote(reserved.clone(), Some(&version));
                state.undeleted = 0;
                (begun.stored, begun.version) = (reserved, Some(version));
                true
            }
            Ok(StatusWritten::Refused(version)) => {
                begun.version = version;
                false
            }
            // Without a version, the set is gone.
            Ok(_) => false,
            Err(error) => {
                // It may have been written: see `conclude`.
                state.undeleted = 0;
                tracing::warn!(%error, "nothing is deleted, since the status was not written");
                false
            }
        }
    }

    /// Writes the events and the status, if there is something to write.
    async fn conclude(
        &self,
        begun: Begun<'_>,
        conclusion: Conclusion,
        state: &mut State,
    ) -> Result<Option<Duration>, WriteError> {
        let Conclusion { status: new, notices, mut next, is_due } = conclusion;
        let Begun { id, object, stored, version, .. } = begun;
        if !is_due && notices.is_empty() && !status::differs(&stored, &new) {
            return Ok(next);
        }
        if !(begun.is_current)() {
            // A change of the spec starts the next pass, and nothing is written for a set that is being deleted.
            return Ok(next);
        }
        let waits = state.stored.failed_writes < EVENT_RETRIES;
        // A write without an answer may have happened. To correct the count twice would hide deletions.
        let undeleted = std::mem::take(&mut state.undeleted);
        let written =
            self.context.writer.tell_and_write((id, object), &notices, waits, Base::Shared(version), &new).await?;
        match written {
            StatusWritten::As(version) => state.stored.wrote(new, version.as_deref()),
            StatusWritten::Refused(version) => {
                state.undeleted = undeleted;
                state.stored.wrote(new, version.as_deref());
                next = Some(next.map_or(REFUSED_RETRY, |next| next.min(REFUSED_RETRY)));
            }
            StatusWritten::Skipped | StatusWritten::Conflict => state.undeleted = undeleted,
            StatusWritten::Failed => {}
        }
        Ok(next)
    }

    /// Writes a changed status if it differs from the stored one.
    async fn rewrite(
        &self,
        id: &TenantId,
        change: impl FnOnce(&CloudTenantSetStatus) -> CloudTenantSetStatus,
        next: Option<Duration>,
    ) -> Result<Option<Duration>, WriteError> {
        let (old, base) = self.context.writer.stored::<CloudTenantSet>(&id.name).await?;
        let new = change(&old);
        if !status::differs(&old, &new) {
            return Ok(next);
        }
        let written = self.context.writer.write::<CloudTenantSet>(&id.name, base.shared(), &new).await?;
        Ok(if matches!(written, StatusWritten::Refused(_)) { Some(REFUSED_RETRY) } else { next })
    }

    /// The other sets of the namespace, with what they want.
    fn others(&self, id: &TenantId) -> Vec<OtherSet> {
        let sets = self.context.sets.all();
        let claims = self.claims();
        let others = sets.iter().map(|set| set.meta()).filter(|meta| {
            meta.namespace.as_ref() == Some(&id.name.namespace)
                && meta.uid.as_ref() != Some(&id.uid)
                && meta.deletion_timestamp.is_none()
        });
        let others = others.map(|meta| {
            let uid = meta.uid.clone().unwrap_or_default();
            OtherSet {
                name: meta.name.clone().unwrap_or_default(),
                claims: claims.get(&uid).cloned().unwrap_or(Claims::Waiting),
                created_at: meta.creation_timestamp.as_ref().map(|at| at.0),
                uid,
            }
        });
        others.collect()
    }
}

fn requested(object: &CloudTenantSet) -> Option<&str> {
    object.metadata.annotations.as_ref()?.get(REQUESTED_AT).map(String::as_str)
}

/// A stable number from 0 to 1 that spreads sets over their intervals.
fn share(uid: &str) -> f64 {
    (fnv1a(uid.as_bytes()) % 1000) as f64 / 1000.0
}
