//! How services misbehave.

use crate::cloud::{
    SimulatedCloud,
    faults::{Fault, Rule},
    service::Service,
};

impl SimulatedCloud {
    /// Makes a service misbehave until [`Self::clear_faults`]. Earlier faults go first.
    pub fn fault(&self, service: Service, fault: Fault) {
        self.fault_on(service, "", fault);
    }

    /// Makes a service misbehave for paths that contain this text. `Unreachable` knows no path.
    pub fn fault_on(&self, service: Service, path_contains: &str, fault: Fault) {
        if matches!(fault, Fault::Unreachable) {
            return self.listen(service, false);
        }
        let rule = Rule { path_contains: path_contains.to_owned(), fault };
        self.shared.lock().faults.rules.entry(service).or_default().push(rule);
    }

    /// Makes a service well again. Requests that hang go on hanging.
    pub fn clear_faults(&self, service: Service) {
        self.shared.lock().faults.rules.remove(&service);
        self.listen(service, true);
    }

    /// Answers with gzip where the client takes it; off at first, as Heat's own API does.
    pub fn compress(&self, on: bool) {
        self.shared.lock().compress = on;
    }
}
