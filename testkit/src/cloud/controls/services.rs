//! What Heat allows, and the cache instances and servers that tenants have.

use crate::cloud::{SimulatedCloud, caches::CacheCounts, usage::Server};

impl SimulatedCloud {
    /// Has Heat show its engines to admins of the whole system alone, as its newer policies may: a project's admin is
    /// answered 403.
    pub fn require_system_scope(&self) {
        self.shared.lock().system_scope_for_engines = true;
    }

    /// Sets a tenant's cache instances; none of any kind at first.
    pub fn set_caches(&self, tenant: &str, counts: CacheCounts) {
        self.shared.lock().dcs.caches.insert(tenant.to_owned(), counts);
    }

    /// Takes any token for an admin's: for a DCS that stands in the catalogue of another, real Keystone.
    pub fn trust_foreign_tokens(&self) {
        self.shared.lock().dcs.trusts_foreign_tokens = true;
    }

    /// Lets a stray closing brace follow each answer, as in the document's example.
    pub fn set_stray_brace(&self, on: bool) {
        self.shared.lock().dcs.stray_brace = on;
    }

    /// Sets a tenant's servers; none at first.
    pub fn set_servers(&self, tenant: &str, servers: Vec<Server>) {
        self.shared.lock().nova.servers.insert(tenant.to_owned(), servers);
    }

    /// At most so many servers in one answer; 1000 at first. Below microversion 2.40 the rest is left out silently.
    pub fn set_max_limit(&self, limit: usize) {
        self.shared.lock().nova.max_limit = limit;
    }

    /// Makes Nova one that knows no microversions.
    pub fn disable_microversions(&self) {
        self.shared.lock().nova.microversions = false;
    }

    /// Scheme, host and port in the links to next pages: Nova's own idea of itself, which may lead nowhere.
    pub fn set_link_host(&self, base: &str) {
        self.shared.lock().nova.link_host = Some(base.to_owned());
    }
}
