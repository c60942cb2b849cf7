//! Decides which waiter gets the next free place. Pure: it knows no clock and waits for nobody.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

/// How often waiters may overtake a namespace whose first waiter needs more places than are free. Without this bound,
/// small requests could keep a large one waiting without end.
const OVERTAKES: u32 = 16;

/// How much one namespace may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everything while nobody else waits. For places that are free again soon.
    Everything,
    /// At most as much as it leaves free. For places that a cloud can hold for long: others need not wait for it.
    /// A namespace that holds nothing may take the rest. Work for no namespace has no limit.
    LeavesAsMuch,
}

/// The order of the waiters within a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Work that has begun: before all others of the namespace.
    Begun,
    /// Before the following ones.
    First,
    /// After them.
    Later,
    /// After them, the smallest first.
    BySize(usize),
}

/// The number of a waiter. Within a namespace the lowest goes first: by priority, then the small before the large, then
/// by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(Priority, u32, u64);

/// Free places, and who holds and awaits the others.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    capacity: u32,
    free: u32,
    rule: Sharing,
    arrivals: u64,
    /// Only namespaces that hold something.
    held: HashMap<Arc<str>, u32>,
    /// Only namespaces that wait.
    waiting: HashMap<Arc<str>, BTreeSet<Ticket>>,
    /// The namespaces that wait. The first has waited longest for its turn.
    order: VecDeque<Arc<str>>,
    /// How often waiters overtook the first namespace.
    overtaken: u32,
}

impl Queue {
    pub(super) fn new(capacity: u32, rule: Sharing) -> Self {
        let (held, waiting, order) = Default::default();
        Self { capacity, free: capacity, rule, arrivals: 0, held, waiting, order, overtaken: 0 }
    }

    pub(super) const fn free(&self) -> u32 {
        self.free
    }

    /// Gives places at once if nobody waits and they are free. Returns how many. It is what [`Self::join`] and
    /// [`Self::next`] would do.
    pub(super) fn take(&mut self, namespace: &Arc<str>, places: u32) -> Option<u32> {
        let places = places.min(self.capacity);
        if !self.order.is_empty() || places > self.free || !self.may_take(namespace, places) {
            return None;
        }
        self.hold(namespace, places);
        Some(places)
    }

    /// Adds a waiter. Returns its ticket.
    pub(super) fn join(&mut self, namespace: &Arc<str>, places: u32, priority: Priority) -> Ticket {
        self.arrivals += 1;
        let ticket = Ticket(priority, places.min(self.capacity), self.arrivals);
        let waiting = self.waiting.entry(namespace.clone()).or_default();
        if waiting.is_empty() {
            self.order.push_back(namespace.clone());
        }
        waiting.insert(ticket);
        ticket
    }

    /// Removes a waiter. One that has its places already is unaffected.
    pub(super) fn leave(&mut self, namespace: &Arc<str>, ticket: Ticket) {
        if let Some(waiting) = self.waiting.get_mut(namespace)
            && waiting.remove(&ticket)
            && waiting.is_empty()
        {
            self.waiting.remove(namespace);
            if self.order.front() == Some(namespace) {
                self.overtaken = 0;
            }
            self.order.retain(|other| other != namespace);
        }
    }

    /// Gives places to the next waiter, if it may have them now.
    pub(super) fn next(&mut self) -> Option<(Ticket, Arc<str>, u32)> {
        let (at, ticket) = self.find()?;
        let namespace = self.order.remove(at)?;
        self.overtaken = if at == 0 { 0 } else { self.overtaken + 1 };
        if let Some(waiting) = self.waiting.get_mut(&namespace) {
            waiting.remove(&ticket);
            if waiting.is_empty() {
                self.waiting.remove(&namespace);
            } else {
                self.order.push_back(namespace.clone());
            }
        }
        let places = ticket.1;
        self.hold(&namespace, places);
        Some((ticket, namespace, places))
    }

    fn hold(&mut self, namespace: &Arc<str>, places: u32) {
        self.free -= places;
        *self.held.entry(namespace.clone()).or_default() += places;
    }

    /// Returns places.
    pub(super) fn release(&mut self, namespace: &Arc<str>, places: u32) {
        self.free += places;
        if let Some(held) = self.held.get_mut(namespace) {
            *held -= places;
            if *held == 0 {
                self.held.remove(namespace);
            }
        }
    }

    /// The first namespace that may have places now, and its first waiter.
    fn find(&self) -> Option<(usize, Ticket)> {
        if self.free == 0 {
            return None;
        }
        let first = |namespace| self.waiting.get(namespace)?.first().copied();
        for (at, namespace) in self.order.iter().enumerate() {
            let Some(ticket) = first(namespace) else { continue };
            if ticket.1 <= self.free && self.may_take(namespace, ticket.1) {
                return Some((at, ticket));
            }
            // Only a lack of free places counts. A namespace at its limit waits for itself.
            if at == 0 && self.overtaken >= OVERTAKES && self.may_take(namespace, ticket.1) {
                return None;
            }
        }
        None
    }

    fn may_take(&self, namespace: &Arc<str>, places: u32) -> bool {
        let held = self.held.get(namespace).copied().unwrap_or_default();
        match self.rule {
            Sharing::Everything => true,
            Sharing::LeavesAsMuch => {
                held == 0 || namespace.is_empty() || held + places <= self.free.saturating_sub(places)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn ns(name: &str) -> Arc<str> {
        name.into()
    }

    /// Everyone who gets a place now, as `namespace` and `places`.
    fn all(queue: &mut Queue) -> String {
        let mut given = Vec::new();
        while let Some((_, namespace, places)) = queue.next() {
            given.push(format!("{namespace}{places}"));
        }
        given.join(" ")
    }

    /// The waiters in their order: a namespace, `!` for the first priority, and the number of places. Then who gets a
    /// place of how many, and who gets the next one after the first of these is free again.
    #[test]
    fn namespaces_take_turns() {
        let (all_of_it, half) = (Sharing::Everything, Sharing::LeavesAsMuch);
        for (rule, capacity, waiters, given, then) in [
            (all_of_it, 4, "a1 a1 a1 a1 a1 a1", "a1 a1 a1 a1", "a1"),
            (all_of_it, 4, "a1 a1 a1 a1 a1 a1 b1", "a1 b1 a1 a1", "a1"),
            (all_of_it, 3, "a1 a1 a1 b1 b1 c1", "a1 b1 c1", "a1"),
            (all_of_it, 2, "a1 a1 a!1", "a1 a1", "a1"),
            (all_of_it, 8, "a4 a2 a1 b8", "a1 a2 a4", ""),
            (half, 8, "a1 a1 a1 a1 a1 a1", "a1 a1 a1 a1", "a1"),
            (half, 8, "a1 a1 a1 a1 a1 a1 b1 b1 b1 b1", "a1 b1 a1 b1 a1", "b1"),
            (half, 4, "a2 a2 b2 c2", "a2 b2", "c2"),
            (half, 4, "a4 b1", "a4", "b1"),
            (half, 4, "a1 b9", "a1", "b4"),
        ] {
            let mut queue = Queue::new(capacity, rule);
            for waiter in waiters.split(' ') {
                let (name, rest) = waiter.split_at(1);
                let priority = if rest.starts_with('!') { Priority::First } else { Priority::Later };
                queue.join(&ns(name), rest.trim_start_matches('!').parse().unwrap(), priority);
            }
            assert_eq!(all(&mut queue), given, "{waiters}");
            let (name, places) = given.split(' ').next().unwrap().split_at(1);
            queue.release(&ns(name), places.parse().unwrap());
            assert_eq!(all(&mut queue), then, "{waiters}");
        }
    }

    #[test]
    fn the_first_priority_goes_first_within_its_namespace() {
        let mut queue = Queue::new(1, Sharing::Everything);
        let priorities = [Priority::Later, Priority::First, Priority::Begun];
        let tickets = priorities.map(|priority| queue.join(&ns("a"), 1, priority));
        for expected in tickets.into_iter().rev() {
            assert_eq!(queue.next().unwrap().0, expected);
            queue.release(&ns("a"), 1);
        }
    }

    #[test]
    fn the_small_goes_before_the_large_within_its_namespace() {
        let mut queue = Queue::new(2, Sharing::Everything);
        let tickets = [9, 3, 5].map(|size| queue.join(&ns("a"), 2, Priority::BySize(size)));
        for expected in [tickets[1], tickets[2], tickets[0]] {
            assert_eq!(queue.next().unwrap().0, expected);
            queue.release(&ns("a"), 2);
        }
    }

    #[test]
    fn work_for_no_namespace_may_take_everything() {
        let mut queue = Queue::new(4, Sharing::LeavesAsMuch);
        for _ in 0..5 {
            queue.join(&ns(""), 1, Priority::Later);
        }
        assert_eq!(all(&mut queue), "1 1 1 1");
    }

    #[test]
    fn small_requests_do_not_keep_a_large_one_waiting_without_end() {
        let mut queue = Queue::new(4, Sharing::Everything);
        queue.join(&ns("small"), 1, Priority::Later);
        assert_eq!(all(&mut queue), "small1");
        queue.join(&ns("large"), 4, Priority::Later);
        for round in 0..OVERTAKES {
            queue.join(&ns("small"), 1, Priority::Later);
            assert_eq!(all(&mut queue), "small1", "{round}");
            queue.release(&ns("small"), 1);
        }
        queue.join(&ns("small"), 1, Priority::Later);
        assert_eq!(all(&mut queue), "");
        queue.release(&ns("small"), 1);
        assert_eq!(all(&mut queue), "large4");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join(u8, u32, bool),
        /// The waiter or the holder at this position gives up.
        Leave(usize),
        Release(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        vec(
            prop_oneof![
                (0..5_u8, 1..6_u32, any::<bool>()).prop_map(|(name, places, first)| Step::Join(name, places, first)),
                any::<usize>().prop_map(Step::Leave),
                any::<usize>().prop_map(Step::Release),
            ],
            0..200,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Never more than the capacity is held. No places are lost. Nobody waits for a place that it could have. Once
        /// all others leave, each waiter gets its places. A namespace that takes places at once gets what a waiter would get.
        #[test]
        fn places_are_neither_lost_nor_invented(
            steps in steps(), capacity in 1..12_u32, everything in any::<bool>()
        ) {
            let rule = if everything { Sharing::Everything } else { Sharing::LeavesAsMuch };
            let mut queue = Queue::new(capacity, rule);
            let (mut waiting, mut holding) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Join(name, places, first) => {
                        let priority = if first { Priority::First } else { Priority::Later };
                        let name = ns(&name.to_string());
                        let mut other = queue.clone();
                        let ticket = other.join(&name, places, priority);
                        let given = other.next().filter(|(given, ..)| *given == ticket);
                        match queue.take(&name, places) {
                            Some(taken) => {
                                prop_assert!(waiting.is_empty());
                                prop_assert_eq!(given, Some((ticket, name.clone(), taken)));
                                prop_assert_eq!(other.free(), queue.free());
                                prop_assert_eq!(other.held, queue.held.clone());
                                holding.push((name, taken));
                            }
                            None => {
                                prop_assert!(given.is_none() || !waiting.is_empty());
                                waiting.push((queue.join(&name, places, priority), name));
                            }
                        }
                    }
                    Step::Leave(at) if !waiting.is_empty() => {
                        let (ticket, name) = waiting.swap_remove(at % waiting.len());
                        queue.leave(&name, ticket);
                    }
                    Step::Release(at) if !holding.is_empty() => {
                        let (name, places) = holding.swap_remove(at % holding.len());
                        queue.release(&name, places);
                    }
                    Step::Leave(_) | Step::Release(_) => {}
                }
                while let Some((ticket, name, places)) = queue.next() {
                    waiting.retain(|(other, _)| *other != ticket);
                    holding.push((name, places));
                }
                let held: u32 = holding.iter().map(|(_, places)| places).sum();
                prop_assert_eq!(held + queue.free(), capacity);
                prop_assert!(waiting.is_empty() || !holding.is_empty(), "nobody holds, and {:?} wait", waiting);
                if rule == Sharing::Everything && waiting.iter().any(|(ticket, _)| ticket.1 == 1) {
                    prop_assert!(queue.free() == 0 || queue.overtaken >= OVERTAKES || waiting.len() > 1);
                }
            }
            let mut rounds = 0;
            while !waiting.is_empty() {
                rounds += 1;
                prop_assert!(rounds < 1000, "{:?} starve", waiting);
                let (name, places) = holding.remove(0);
                queue.release(&name, places);
                while let Some((ticket, name, places)) = queue.next() {
                    waiting.retain(|(other, _)| *other != ticket);
                    holding.push((name, places));
                }
            }
            for (name, places) in holding {
                queue.release(&name, places);
            }
            prop_assert!(queue.held.is_empty() && queue.waiting.is_empty() && queue.order.is_empty());
            prop_assert_eq!(queue.free(), capacity);
        }

        /// With places of one size, a namespace waits for at most one place of each other namespace.
        #[test]
        fn a_newcomer_waits_for_one_place_of_each_other_namespace(many in 1..200_usize, others in 1..20_usize) {
            let mut queue = Queue::new(4, Sharing::Everything);
            for other in 0..others {
                for _ in 0..many {
                    queue.join(&ns(&format!("other-{other}")), 1, Priority::First);
                }
            }
            let mut holding = VecDeque::new();
            while let Some((_, name, _)) = queue.next() {
                holding.push_back(name);
            }
            let mine = queue.join(&ns("newcomer"), 1, Priority::Later);
            for round in 0..=others {
                let name = holding.pop_front().unwrap();
                queue.release(&name, 1);
                let Some((ticket, name, _)) = queue.next() else { continue };
                if ticket == mine {
                    return Ok(());
                }
                holding.push_back(name);
                prop_assert!(round < others);
            }
        }
    }
}
