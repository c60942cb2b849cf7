//! What is right to say of one probe of one CloudTenant, over time.

use std::collections::BTreeSet;

use serde_json::Value;

/// What is so, from one moment on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The reasons that are right.
    pub words: BTreeSet<String>,
    /// The reasons that are right until the bound has passed.
    pub meanwhile: BTreeSet<String>,
    /// A field of the status with its value, where it is known. It counts while the condition is not Unknown.
    pub fact: Option<(&'static str, Value)>,
}

/// The states of one probe. Seconds are of the oracle's clock, which stands still while the control plane is disturbed.
#[derive(Debug, Default)]
pub struct Truth {
    /// Since the last one whose bound had passed.
    states: Vec<State>,
    /// Until then all of them can be right.
    until: f64,
    /// The bound of the last change.
    bound: f64,
    /// Until then a condition can be Unknown for any reason: the operator could not read the Secret.
    blind: f64,
    /// Until then any reason can stand.
    excused: f64,
    /// The first state, which no status has shown yet.
    is_new: bool,
}

impl Truth {
    /// This is so from the start.
    pub fn begin(&mut self, state: State, bound: f64, now: f64) {
        self.change(state, bound, now);
        self.is_new = true;
    }

    /// A status has this reason. Once the first state was shown, nothing else is right.
    pub fn shown(&mut self, word: &str, now: f64) {
        if self.is_new && self.states.last().is_some_and(|state| state.words.contains(word)) {
            self.is_new = false;
            self.until = now;
        }
    }

    /// From now on this is so. It has to be known before the operator can see it.
    pub fn change(&mut self, state: State, bound: f64, now: f64) {
        if self.states.last() == Some(&state) {
            return;
        }
        if now >= self.until
            && let Some(last) = self.states.pop()
        {
            self.states = vec![last];
        }
        self.is_new = false;
        self.states.push(state);
        self.until = self.until.max(now + bound);
        self.bound = bound;
    }

    /// The bound begins again: a new leader has no memory.
    pub fn again(&mut self, shortest: f64, now: f64) {
        self.is_new = false;
        self.until = self.until.max(now + self.bound.max(shortest));
        self.blind = self.until;
    }

    /// Whether a condition can be Unknown for any reason, after a fault of the control plane.
    pub fn blind(&self, now: f64) -> bool {
        now < self.blind
    }

    /// Any reason can stand until this bound has passed.
    pub fn excuse(&mut self, bound: f64, now: f64) {
        // The watch may still bring a status of another object of this name.
        self.is_new = false;
        self.until = self.until.max(now + bound);
        self.excused = self.until;
    }

    /// Whether any reason can stand.
    pub fn excused(&self, now: f64) -> bool {
        now < self.excused
    }

    /// Whether only the last state can be right.
    pub fn settled(&self, now: f64) -> bool {
        now >= self.until
    }

    /// The reasons that can be right now.
    pub fn right(&self, now: f64) -> BTreeSet<String> {
        match self.states.last() {
            Some(last) if self.settled(now) => last.words.clone(),
            _ => self.states.iter().flat_map(|state| state.words.iter().chain(&state.meanwhile)).cloned().collect(),
        }
    }

    /// The field that is known now.
    pub fn fact(&self, now: f64) -> Option<&(&'static str, Value)> {
        self.states.last().filter(|_| self.settled(now))?.fact.as_ref()
    }
}
