//! The service catalogue that comes with a token.

use serde_json::{Value, json};

use super::{
    ADMIN_PROJECT, REGION, Service, SimulatedCloud,
    state::{self, Shared},
};

/// Where an entry's path carries the token's project.
const PROJECT: &str = "%(project_id)s";

struct Entry {
    id: String,
    service_type: &'static str,
    name: &'static str,
    service: Service,
    path: String,
    listed: bool,
}

impl Entry {
    fn new(service_type: &'static str, name: &'static str, service: Service, path: &str) -> Self {
        Self { id: state::new_id(), service_type, name, service, path: path.to_owned(), listed: true }
    }
}

pub(super) struct Catalogue {
    entries: Vec<Entry>,
    regions: Vec<String>,
    interfaces: Vec<String>,
    reachable: Option<String>,
    /// Rows that a test adds, as they are.
    odd: Vec<Value>,
    /// As on Huawei-like clouds.
    domain_has_keystone_alone: bool,
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

    fn path(&self, service: Service) -> &str {
        let primary = |entry: &&Entry| entry.service == service && entry.service_type != "compute_legacy";
        self.entries.iter().find(primary).map_or("", |entry| &entry.path)
    }

    /// The catalogue as a token of that project has it. Without one, services whose addresses name a project are
    /// listed without any.
    fn listing(&self, shared: &Shared, project: Option<&str>) -> Value {
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
                        let base = self.base(shared, entry.service, region, interface);
                        json!({
                            "id": state::new_id(),
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
    pub(super) fn of_scope(&self, shared: &Shared, project: Option<&str>, domain: bool) -> Value {
        let alone = domain && self.domain_has_keystone_alone;
        if alone { keystone_alone(shared) } else { self.listing(shared, project) }
    }

    /// Other regions and interfaces lead nowhere, so that a client that picks the wrong one shows it.
    fn base(&self, shared: &Shared, service: Service, region: &str, interface: &str) -> String {
        let reachable = self.reachable.as_deref().is_none_or(|reachable| reachable == interface);
        if region == REGION && reachable {
            shared.base(service).to_owned()
        } else {
            format!("http://{interface}.{region}.invalid")
        }
    }
}

/// Keystone in a region that is none.
fn keystone_alone(shared: &Shared) -> Value {
    let url = format!("{}/v3", shared.base(Service::Keystone));
    let endpoint = json!({"id": state::new_id(), "interface": "public", "region_id": "*", "region": "*", "url": url});
    json!([{"id": state::new_id(), "type": "identity", "name": "iam", "endpoints": [endpoint]}])
}

impl SimulatedCloud {
    /// The public endpoint of a service, as the catalogue of the project `admin` has it.
    #[must_use]
    pub fn endpoint(&self, service: Service) -> String {
        let path = self.shared.lock().catalogue.path(service).replace(PROJECT, ADMIN_PROJECT);
        format!("{}{path}", self.shared.base(service))
    }

    /// The DCS endpoint with `%(project_id)s` for the project, as catalogues are configured.
    #[must_use]
    pub fn dcs_url_template(&self) -> String {
        format!("{}{}", self.shared.base(Service::Dcs), self.shared.lock().catalogue.path(Service::Dcs))
    }

    /// The path of a service type's endpoint: `/v2.1`, `/v2/%(project_id)s`, …
    pub fn set_catalogue_path(&self, service_type: &str, path: &str) {
        for entry in &mut self.shared.lock().catalogue.entries {
            if entry.service_type == service_type {
                path.clone_into(&mut entry.path);
            }
        }
    }

    /// Takes a service type out of the catalogue, or puts it back.
    pub fn set_in_catalogue(&self, service_type: &str, listed: bool) {
        for entry in &mut self.shared.lock().catalogue.entries {
            if entry.service_type == service_type {
                entry.listed = listed;
            }
        }
    }

    /// Adds rows to the catalogue as they are, behind the others.
    pub fn add_odd_rows(&self, rows: &[Value]) {
        self.shared.lock().catalogue.odd.extend_from_slice(rows);
    }

    /// Gives a domain's tokens a catalogue of Keystone alone, in the region `*`, as Huawei-like clouds do.
    pub fn show_domains_keystone_alone(&self) {
        self.shared.lock().catalogue.domain_has_keystone_alone = true;
    }

    /// The catalogue's regions in order. Only `RegionOne` leads anywhere.
    pub fn set_regions(&self, regions: &[&str]) {
        self.shared.lock().catalogue.regions = owned(regions);
    }

    /// The interfaces of each entry in order; `internal`, `public`, `admin` at first.
    pub fn set_interfaces(&self, interfaces: &[&str]) {
        self.shared.lock().catalogue.interfaces = owned(interfaces);
    }

    /// Lets only one interface lead anywhere.
    pub fn set_reachable_interface(&self, interface: &str) {
        self.shared.lock().catalogue.reachable = Some(interface.to_owned());
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
