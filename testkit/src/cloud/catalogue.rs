//! The service catalogue that comes with a token.

use serde_json::{Value, json};

use crate::cloud::{
    ids,
    service::{Addresses, Service},
};

/// The region that leads somewhere.
pub const REGION: &str = "RegionOne";
/// Where an entry's path carries the token's project.
pub(super) const PROJECT: &str = "%(project_id)s";

pub(super) struct Entry {
    id: String,
    pub(super) service_type: &'static str,
    name: &'static str,
    service: Service,
    pub(super) path: String,
    pub(super) listed: bool,
}

impl Entry {
    fn new(service_type: &'static str, name: &'static str, service: Service, path: &str) -> Self {
        Self { id: ids::new_id(), service_type, name, service, path: path.to_owned(), listed: true }
    }
}

pub(super) struct Catalogue {
    pub(super) entries: Vec<Entry>,
    pub(super) regions: Vec<String>,
    pub(super) interfaces: Vec<String>,
    pub(super) reachable: Option<String>,
    /// Rows that a test adds, as they are.
    pub(super) odd: Vec<Value>,
    /// As on Huawei-like clouds.
    pub(super) domain_has_keystone_alone: bool,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        Self {
            entries: vec![
                Entry::new("compute_legacy", "nova_legacy", Service::Nova, "/v2/%(project_id)s"),
                Entry::new("compute", "nova", Service::Nova, "/v2.1"),
                Entry::new("orchestration", "heat", Service::Heat, "/v1/%(project_id)s"),
                Entry::new("identity", "keystone", Service::Keystone, "/v3"),
                Entry::new("dcs", "dcs", Service::Dcs, "/v1.0/%(project_id)s"),
            ],
            regions: vec![REGION.to_owned()],
            interfaces: ["internal", "public", "admin"].map(str::to_owned).to_vec(),
            reachable: None,
            odd: Vec::new(),
            domain_has_keystone_alone: false,
        }
    }

    pub(super) fn path(&self, service: Service) -> &str {
        let primary = |entry: &&Entry| entry.service == service && entry.service_type != "compute_legacy";
        self.entries.iter().find(primary).map_or("", |entry| &entry.path)
    }

    /// The catalogue as a token of that project has it. Without one, services whose addresses name a project are
    /// listed without any.
    fn listing(&self, addresses: &Addresses, project: Option<&str>) -> Value {
        self.entries
            .iter()
            .filter(|entry| entry.listed)
            .map(|entry| {
                let endpoints: Vec<Value> = self
                    .regions
                    .iter()
                    .filter(|_| project.is_some() || !entry.path.contains(PROJECT))
                    .flat_map(|region| self.interfaces.iter().map(move |interface| (region, interface)))
                    .map(|(region, interface)| {
                        let base = self.base(addresses, entry.service, region, interface);
                        json!({
                            "id": ids::new_id(),
                            "interface": interface,
                            "region_id": region,
                            "region": region,
                            "url": format!("{base}{}", entry.path.replace(PROJECT, project.unwrap_or_default())),
                        })
                    })
                    .collect();
                json!({"id": entry.id, "type": entry.service_type, "name": entry.name, "endpoints": endpoints})
            })
            .chain(self.odd.iter().cloned())
            .collect()
    }

    /// The catalogue as a token has it that is for this project, for a domain, or for the whole system.
    pub(super) fn of_scope(&self, addresses: &Addresses, project: Option<&str>, domain: bool) -> Value {
        let alone = domain && self.domain_has_keystone_alone;
        if alone { keystone_alone(addresses) } else { self.listing(addresses, project) }
    }

    /// Other regions and interfaces lead nowhere, so that a client that picks the wrong one shows it.
    fn base(&self, addresses: &Addresses, service: Service, region: &str, interface: &str) -> String {
        let reachable = self.reachable.as_deref().is_none_or(|reachable| reachable == interface);
        if region == REGION && reachable {
            addresses.of(service).to_owned()
        } else {
            format!("http://{interface}.{region}.invalid")
        }
    }
}

/// Keystone in a region that is none.
fn keystone_alone(addresses: &Addresses) -> Value {
    let url = format!("{}/v3", addresses.of(Service::Keystone));
    let endpoint = json!({"id": ids::new_id(), "interface": "public", "region_id": "*", "region": "*", "url": url});
    json!([{"id": ids::new_id(), "type": "identity", "name": "iam", "endpoints": [endpoint]}])
}
