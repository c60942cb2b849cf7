//! Determines which of Heat's answers serve the tenants' requests, as pure functions.

use std::collections::HashMap;

/// The open requests by the tenants' UIDs. Answers have numbers. A call under way has the number of its answer.
#[derive(Debug, Default)]
pub(super) struct Requests(HashMap<String, Request>);

#[derive(Debug, Clone, Copy)]
struct Request {
    /// The tenant's verdict waits for an answer with a higher number.
    verdict_after: Option<u64>,
    /// An answer with a higher number serves the request.
    served_after: u64,
}

impl Requests {
    /// Requests an answer after the one with this number. Frequent requests do not postpone the verdict: it waits only
    /// for the answer that the first of them needs.
    pub(super) fn add(&mut self, uid: &str, after: u64) {
        let request = Request { verdict_after: Some(after), served_after: after };
        self.0.entry(uid.to_owned()).or_insert(request).served_after = after;
    }

    /// Requests an answer because the last one is too old, unless a request is open.
    pub(super) fn refresh(&mut self, uid: &str, after: u64) {
        if !self.0.contains_key(uid) {
            self.add(uid, after);
        }
    }

    /// Removes the tenant.
    pub(super) fn remove(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// Returns whether the latest answer counts for the tenant's verdict, and whether it serves the latest request.
    pub(super) fn state(&self, uid: &str) -> (bool, bool) {
        let request = self.0.get(uid);
        (request.is_none_or(|request| request.verdict_after.is_none()), request.is_none())
    }

    /// Whether no tenant waits for another answer.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes the answer with this number and returns the tenants that waited for it. `is_last` means that Heat
    /// requested a pause, so that this answer serves all of them.
    pub(super) fn answered(&mut self, number: u64, is_last: bool) -> Vec<String> {
        let mut waited = Vec::new();
        self.0.retain(|uid, request| {
            let is_served = is_last || number > request.served_after;
            let is_current = request.verdict_after.take_if(|after| number > *after).is_some();
            if is_served || is_current {
                waited.push(uid.clone());
            }
            !is_served
        });
        if self.0.is_empty() {
            // Most of the time there is none, and a table keeps its size.
            self.0 = HashMap::new();
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a1`: a requests an answer after the first. `a~1`: a's last answer, the first, is too old. `1`: the first answer
    /// arrives. `1!`: Heat also requests a pause. After `=`: the tenants that waited for it, `/`, and those that still
    /// wait, in capitals if their verdict waits too.
    #[test]
    fn which_answer_serves_which_request() {
        for story in [
            "a0 1=a/",
            "a1 1=/A 2=a/",
            "a0 b0 1=ab/",
            "a0 b1 1=a/B 2=b/",
            "a1 a1 a1 2=a/",
            "a1 1=/A a2 2=a/a 3=a/",
            "a1 1=/A a2 2=a/a a3 3=/a 4=a/",
            "a1 a~2 2=a/",
            "a~1 2=a/",
            "a1 1!=a/",
            "a0 b1 1!=ab/",
        ] {
            let mut requests = Requests::default();
            for word in story.split(' ') {
                if let Some((number, expected)) = word.split_once('=') {
                    let number = (number.trim_end_matches('!').parse().unwrap(), number.ends_with('!'));
                    let mut waited = requests.answered(number.0, number.1);
                    waited.sort();
                    let mut waiting: Vec<_> = requests.0.keys().cloned().collect();
                    waiting.sort();
                    let waiting = waiting.iter().map(|uid| match requests.state(uid) {
                        (false, false) => uid.to_uppercase(),
                        state => [format!("{state:?}"), uid.clone()][usize::from(state == (true, false))].clone(),
                    });
                    assert_eq!(format!("{}/{}", waited.concat(), waiting.collect::<String>()), expected, "{story}");
                } else if let Some((uid, after)) = word.split_once('~') {
                    requests.refresh(uid, after.parse().unwrap());
                } else {
                    requests.add(&word[..1], word[1..].parse().unwrap());
                }
            }
            assert!(requests.is_empty(), "{story}");
        }
    }
}
