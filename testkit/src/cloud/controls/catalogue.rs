//! What the catalogue lists.

use serde_json::Value;

use crate::cloud::{SimulatedCloud, catalogue::PROJECT, identity::ADMIN_PROJECT, service::Service};

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
