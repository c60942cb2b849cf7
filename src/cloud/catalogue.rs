//! The service catalogue that comes with a token.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use url::Url;

use super::config::{CloudConfig, web_url};
use super::rows::{List, Rows};
use super::{Error, Service};

/// What is kept of a catalogue, for as long as its token lives: a region has three addresses of a service.
const MOST_ADDRESSES: usize = 1000;
const MOST_REGIONS: usize = 100;
/// Longer addresses and names are none.
const LONGEST: usize = 1000;

/// A token's catalogue, as far as it is about our services. A token without a project has an empty one.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    entries: Vec<Entry>,
    /// Those of all services.
    regions: BTreeSet<String>,
    any: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: List<Addresses>,
}

#[derive(Debug, Default)]
pub(super) struct Addresses(Vec<Address>);

#[derive(Debug, Deserialize)]
pub(super) struct Address {
    interface: String,
    #[serde(default)]
    region_id: Option<String>,
    /// The older name of `region_id`; Keystone sends both.
    #[serde(default)]
    region: Option<String>,
    url: String,
}

impl Rows for Addresses {
    type Row = Address;

    fn add(&mut self, address: Address) {
        let length = address.url.len() + address.region().len() + address.interface.len();
        if self.0.len() < MOST_ADDRESSES && length <= LONGEST {
            self.0.push(address);
        }
    }
}

impl Rows for Catalogue {
    type Row = Entry;

    fn add(&mut self, entry: Entry) {
        self.any = true;
        let addresses = &entry.endpoints.0.0;
        for region in addresses.iter().map(Address::region).filter(|region| !region.is_empty()) {
            if self.regions.len() < MOST_REGIONS {
                self.regions.insert(region.to_owned());
            }
        }
        let kept: usize = self.entries.iter().map(|entry| entry.endpoints.0.0.len()).sum();
        if is_ours(&entry.kind) && kept + addresses.len() <= MOST_ADDRESSES {
            self.entries.push(entry);
        }
    }
}

impl<'de> Deserialize<'de> for Catalogue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        List::deserialize(deserializer).map(|List(catalogue)| catalogue)
    }
}

impl Address {
    fn region(&self) -> &str {
        let named = self.region_id.as_deref().or(self.region.as_deref());
        named.unwrap_or_default()
    }
}

/// A service's types in catalogues, the preferred first.
fn types(service: Service) -> &'static [&'static str] {
    match service {
        Service::Identity => &["identity"],
        Service::Orchestration => &["orchestration"],
        Service::Cache => &["dcs", "dcsv2", "dcsv1"],
        Service::Compute => &["compute", "compute_legacy"],
    }
}

fn is_ours(kind: &str) -> bool {
    Service::ALL.into_iter().any(|service| types(service).contains(&kind))
}

impl Catalogue {
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    /// The service's address in the region and for the interface of `config`.
    ///
    /// Without a region it is the first by the region's name, then by URL: Keystone lists in any order,
    /// and the choice must not change from token to token.
    pub(super) fn find(&self, service: Service, config: &CloudConfig) -> Result<Url, Error> {
        let wanted = |address: &&Address| {
            address.interface == config.interface.as_str()
                && config.region().is_none_or(|region| region == address.region())
        };
        let found = types(service).iter().find_map(|&kind| {
            let entries = self.entries.iter().filter(|entry| entry.kind == kind);
            entries
                .flat_map(|entry| &entry.endpoints.0.0)
                .filter(wanted)
                .min_by_key(|address| (address.region(), &address.url))
        });
        match found {
            Some(address) => web_url(&address.url)
                .ok_or(Error::Unexpected("the service catalogue has an address that is not a plain URL")),
            None => Err(self.absent(config)),
        }
    }

    /// A region that no service has is a mistake of the configuration; a service that our region lacks is not.
    fn absent(&self, config: &CloudConfig) -> Error {
        match config.region() {
            Some(region) if !self.regions.is_empty() && !self.regions.contains(region) => {
                Error::RegionNotFound { region: region.to_owned(), known: self.regions.iter().cloned().collect() }
            }
            _ => Error::ServiceNotInCatalogue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> CloudConfig {
        let yaml = format!("clouds: {{c: {{{more} auth: {{auth_url: 'http://k', token: t, project_id: p}}}}}}");
        CloudConfig::parse(&yaml, "c", None, None).unwrap()
    }

    #[test]
    fn no_more_is_kept_than_is_needed() {
        let address = |url: &str| serde_json::json!({"interface": "public", "region": "r", "url": url});
        let of =
            |kind: &str, addresses: Vec<serde_json::Value>| serde_json::json!({"type": kind, "endpoints": addresses});
        let catalogue: Catalogue = serde_json::from_value(serde_json::json!([
            of("volume", vec![address("http://v"); 5000]),
            of("orchestration", vec![address(&format!("http://{}", "h".repeat(LONGEST))), address("http://heat")]),
            of("compute", vec![address("http://n"); 5000]),
            {"type": "dcs"},
        ]))
        .unwrap();
        let kept = catalogue.entries.iter().map(|entry| (entry.kind.as_str(), entry.endpoints.0.0.len()));
        assert_eq!(kept.collect::<Vec<_>>(), [("orchestration", 1), ("dcs", 0)]);
        assert_eq!(catalogue.find(Service::Orchestration, &config("")).unwrap().as_str(), "http://heat/");
        let other: Catalogue = serde_json::from_value(serde_json::json!([of("volume", Vec::new())])).unwrap();
        assert!(!other.is_empty() && Catalogue::default().is_empty());
    }

    /// The catalogue of a recorded login with Keystone 22.0.2.
    fn recorded() -> Catalogue {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testkit/fixtures/keystone/token-password-admin.http");
        let text = std::fs::read_to_string(path).unwrap();
        let body = text.lines().find(|line| line.starts_with('{')).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(body).unwrap();
        serde_json::from_value(json["token"]["catalog"].take()).unwrap()
    }

    #[test]
    fn a_recorded_catalogue() {
        let project = "ec556a52de3448f0b8b5f8fc5ac83529";
        let heat = format!("http://127.0.0.1:25004/v1/{project}");
        let dcs = format!("http://127.0.0.1:25090/v1.0/{project}");
        let nova = "http://127.0.0.1:25074/v2.1".to_owned();
        let unknown = || Error::RegionNotFound { region: "mars".into(), known: vec!["RegionOne".into()] };
        let rows = [
            ("", Service::Orchestration, Ok(heat.clone())),
            ("region_name: RegionOne,", Service::Orchestration, Ok(heat.clone())),
            ("interface: adminURL,", Service::Orchestration, Ok(heat)),
            ("", Service::Compute, Ok(nova)),
            ("", Service::Cache, Ok(dcs)),
            ("interface: internal,", Service::Cache, Err(Error::ServiceNotInCatalogue)),
            ("region_name: mars,", Service::Cache, Err(unknown())),
            ("region_name: mars,", Service::Compute, Err(unknown())),
        ];
        for (more, service, expected) in rows {
            let found = recorded().find(service, &config(more));
            assert_eq!(found.map(String::from), expected, "{more} {service:?}");
        }
    }

    #[test]
    fn odd_catalogues() {
        let at = |kind: &str, region: &str, url: &str| {
            format!(r#"{{"type": "{kind}", "endpoints": [{{"interface": "public", {region} "url": "{url}"}}]}}"#)
        };
        let (a, b) = (r#""region": "a","#, r#""region_id": "b","#);
        let two = format!("[{}, {}]", at("dcs", b, "http://b/"), at("dcs", a, "http://a/"));
        let versions = format!("[{}, {}]", at("dcsv1", a, "http://v1"), at("dcsv2", a, "http://v2"));
        let elsewhere = format!("[{}, {}]", at("dcs", b, "http://b"), at("compute", a, "http://a"));
        let rows = [
            ("[]", "region_name: a,", Err(Error::ServiceNotInCatalogue)),
            (r#"[{"type": "dcs", "endpoints": []}]"#, "region_name: a,", Err(Error::ServiceNotInCatalogue)),
            (r#"[{"type": "dcs"}]"#, "", Err(Error::ServiceNotInCatalogue)),
            (&two, "", Ok("http://a/")),
            (&two, "region_name: b,", Ok("http://b/")),
            (&versions, "", Ok("http://v2/")),
            // The region exists, the service is offered in another one: not offered here.
            (&elsewhere, "region_name: a,", Err(Error::ServiceNotInCatalogue)),
            (&at_list(&at("dcs", "", "http://x/v1/")), "", Ok("http://x/v1")),
            (
                &at_list(&at("dcs", "", "ftp://x")),
                "",
                Err(Error::Unexpected("the service catalogue has an address that is not a plain URL")),
            ),
        ];
        for (json, more, expected) in rows {
            let catalogue: Catalogue = serde_json::from_str(json).unwrap();
            let found = catalogue.find(Service::Cache, &config(more));
            assert_eq!(found.map(String::from), expected.map(str::to_owned), "{json} {more}");
        }
    }

    fn at_list(entry: &str) -> String {
        format!("[{entry}]")
    }
}
