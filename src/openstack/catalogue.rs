//! The service catalogue of a token.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use url::Url;

use super::{
    Error, Service,
    config::{CloudConfig, web_url},
    rows::{List, Odd, Rows},
};
use crate::words::is_unsafe;

/// The bounds for a catalogue, which stays in memory as long as its token. A region has three addresses per service.
const MOST_ADDRESSES: usize = 1000;
const MOST_ENTRIES: usize = 100;
const MOST_REGIONS: usize = 100;
/// In bytes. Keystone's database limits a region's ID to 255 characters.
const LONGEST_REGION: usize = 255;
/// In bytes. Longer addresses and names are ignored.
const LONGEST: usize = 1000;

/// The part of a token's catalogue that concerns the operator's services. It is empty for a token without a project.
///
/// Invalid entries are ignored, so that the valid ones can be used.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    entries: Vec<CatalogueEntry>,
    /// The regions of all services.
    regions: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CatalogueEntry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Odd<List<Addresses>>,
}

#[derive(Debug, Default)]
pub(super) struct Addresses(Vec<Address>);

#[derive(Debug, Deserialize)]
pub(super) struct Address {
    interface: String,
    #[serde(default)]
    region_id: Odd<String>,
    /// The older name of `region_id`; Keystone sends both.
    #[serde(default)]
    region: Odd<String>,
    url: String,
}

impl Rows for Addresses {
    type Row<'de> = Odd<Address>;

    fn add(&mut self, Odd(address): Odd<Address>) {
        let Some(address) = address.filter(|address| !address.url.is_empty()) else { return };
        let length = address.url.len() + address.region().len() + address.interface.len();
        if self.0.len() < MOST_ADDRESSES && length <= LONGEST && address.region().len() <= LONGEST_REGION {
            self.0.push(address);
        }
    }
}

impl Rows for Catalogue {
    type Row<'de> = Odd<CatalogueEntry>;

    fn add(&mut self, Odd(entry): Odd<CatalogueEntry>) {
        let Some(entry) = entry else { return };
        let addresses = entry.addresses();
        for region in addresses.iter().map(Address::region).filter(|region| is_region(region)) {
            if self.regions.len() < MOST_REGIONS {
                self.regions.insert(region.to_owned());
            }
        }
        if is_ours(&entry.kind) && self.entries.len() < MOST_ENTRIES {
            let kept: usize = self.entries.iter().map(|entry| entry.addresses().len()).sum();
            if kept + addresses.len() <= MOST_ADDRESSES {
                self.entries.push(entry);
            }
        }
    }
}

impl<'de> Deserialize<'de> for Catalogue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        List::deserialize(deserializer).map(|List(catalogue)| catalogue)
    }
}

impl CatalogueEntry {
    fn addresses(&self) -> &[Address] {
        self.endpoints.0.as_ref().map_or(&[], |List(Addresses(addresses))| addresses)
    }
}

impl Address {
    fn region(&self) -> &str {
        let mut named = [&self.region_id, &self.region].into_iter().filter_map(|Odd(region)| region.as_deref());
        named.find(|region| !region.is_empty()).unwrap_or_default()
    }
}

/// Some vendors use the region `*` for services without a region. A name with unsafe characters is not a region.
fn is_region(name: &str) -> bool {
    !matches!(name, "" | "*") && name.len() <= LONGEST_REGION && !name.contains(is_unsafe)
}

fn is_ours(kind: &str) -> bool {
    Service::ALL.into_iter().any(|service| service.row().types.contains(&kind))
}

impl Catalogue {
    /// Whether the catalogue lists the service, with or without an address.
    pub(super) fn lists(&self, service: Service) -> bool {
        self.entries.iter().any(|entry| service.row().types.contains(&entry.kind.as_str()))
    }

    /// The region whose addresses are used, the same for all services. It is the region in `config`, or else the first
    /// by name that offers a probed service.
    ///
    /// Keystone's order is not stable, and a new token must not change the choice.
    pub(super) fn region<'a>(&'a self, config: &'a CloudConfig) -> Option<&'a str> {
        let chosen = || {
            let all = Service::PROBED.into_iter().flat_map(|service| self.regions_of(service, config));
            all.filter(|region| is_region(region)).min()
        };
        config.region().or_else(chosen)
    }

    /// The service's address in the region, for the interfaces in `config`.
    pub(super) fn find(&self, service: Service, config: &CloudConfig) -> Result<Url, Error> {
        let region = self.region(config);
        let here = |address: &Address| region.is_none_or(|region| region == address.region());
        // If `config` names no region, an address without a region is as suitable as one in the chosen region.
        let anywhere = |address: &Address| config.region().is_none() && !is_region(address.region());
        match self.address(service, config, here).or_else(|| self.address(service, config, anywhere)) {
            Some(address) => web_url(&address.url)
                .ok_or(Error::Unexpected("the service catalogue has an address that is not a plain URL")),
            None => Err(self.absent(service, config)),
        }
    }

    /// Orders addresses by preferred type, then by preferred interface, then by URL.
    fn address(&self, service: Service, config: &CloudConfig, wanted: impl Fn(&Address) -> bool) -> Option<&Address> {
        service.row().types.iter().find_map(|&kind| {
            let entries = self.entries.iter().filter(|entry| entry.kind == kind);
            entries
                .flat_map(CatalogueEntry::addresses)
                .filter(|address| wanted(address))
                .filter_map(|address| Some((interface_rank(address, service, config)?, address)))
                // An invalid address must not take precedence over a valid one.
                .min_by_key(|(rank, address)| {
                    (*rank, web_url(&address.url).is_none(), address.region(), address.url.as_str())
                })
                .map(|(_, address)| address)
        })
    }

    /// The regions in which the service has an address for the interfaces in `config`.
    fn regions_of<'a>(&'a self, service: Service, config: &'a CloudConfig) -> impl Iterator<Item = &'a str> {
        let entries = self.entries.iter().filter(move |entry| service.row().types.contains(&entry.kind.as_str()));
        let addresses = entries.flat_map(CatalogueEntry::addresses);
        addresses.filter(move |address| interface_rank(address, service, config).is_some()).map(Address::region)
    }

    /// A region unknown to all services is a configuration error. A service that is missing in a known region is not.
    fn absent(&self, service: Service, config: &CloudConfig) -> Error {
        if let Some(region) = config.region()
            && !self.regions.is_empty()
            && !self.regions.contains(region)
        {
            return Error::RegionNotFound { region: region.to_owned(), known: self.regions.iter().cloned().collect() };
        }
        let elsewhere: BTreeSet<_> = self.regions_of(service, config).filter(|region| is_region(region)).collect();
        match self.region(config) {
            Some(region) if !elsewhere.is_empty() => Error::ServiceElsewhere {
                region: region.to_owned(),
                offered_in: elsewhere.into_iter().take(MOST_REGIONS).map(str::to_owned).collect(),
            },
            _ => Error::ServiceNotInCatalogue,
        }
    }
}

/// The rank of the address's interface in the order of preference; `None` if the interface is not requested.
fn interface_rank(address: &Address, service: Service, config: &CloudConfig) -> Option<usize> {
    config.interfaces(service).iter().position(|interface| interface.as_str() == address.interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> CloudConfig {
        let yaml = format!("clouds: {{c: {{{more} auth: {{auth_url: 'http://k', token: t, project_id: p}}}}}}");
        CloudConfig::parse(&yaml, "c", None, None).unwrap()
    }

    #[test]
    fn unneeded_parts_are_dropped_and_the_rest_is_bounded() {
        let address = |url: &str| serde_json::json!({"interface": "public", "region": "r", "url": url});
        let region = "r".repeat(LONGEST_REGION + 1);
        let far = serde_json::json!({"interface": "public", "region": region, "url": "http://far"});
        let of =
            |kind: &str, addresses: Vec<serde_json::Value>| serde_json::json!({"type": kind, "endpoints": addresses});
        let catalogue = read(&serde_json::json!([
            of("volume", vec![address("http://v"); 5000]),
            of("orchestration", vec![address(&format!("http://{}", "h".repeat(LONGEST))), address("http://heat"), far]),
            of("compute", vec![address("http://n"); 5000]),
            {"type": "dcs"},
        ]));
        let kept = catalogue.entries.iter().map(|entry| (entry.kind.as_str(), entry.addresses().len()));
        assert_eq!(kept.collect::<Vec<_>>(), [("orchestration", 1), ("dcs", 0)]);
        assert_eq!(catalogue.find(Service::Orchestration, &config("")).unwrap().as_str(), "http://heat/");
        let many = read(&serde_json::Value::Array(vec![serde_json::json!({"type": "dcs"}); 5000]));
        assert_eq!(many.entries.len(), MOST_ENTRIES);
        assert!(many.lists(Service::Cache) && !many.lists(Service::Compute));
    }

    fn read(rows: &serde_json::Value) -> Catalogue {
        serde_json::from_str(&rows.to_string()).unwrap()
    }

    /// The catalogue from a recorded login at Keystone 22.0.2.
    fn recorded() -> Catalogue {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testkit/fixtures/keystone/token-password-admin.http");
        let text = std::fs::read_to_string(path).unwrap();
        let body = text.lines().find(|line| line.starts_with('{')).unwrap();
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        read(&json["token"]["catalog"])
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
    fn unusual_catalogues() {
        let at = |kind: &str, region: &str, url: &str| {
            format!(r#"{{"type": "{kind}", "endpoints": [{{"interface": "public", {region} "url": "{url}"}}]}}"#)
        };
        let (a, b, star) = (r#""region": "a","#, r#""region_id": "b","#, r#""region": "*","#);
        let two = format!("[{}, {}]", at("dcs", b, "http://b/"), at("dcs", a, "http://a/"));
        let versions = format!("[{}, {}]", at("dcsv1", a, "http://v1"), at("dcsv2", a, "http://v2"));
        let elsewhere = format!("[{}, {}]", at("dcs", b, "http://b"), at("compute", a, "http://a"));
        let at_b = || Error::ServiceElsewhere { region: "a".into(), offered_in: vec!["b".into()] };
        let global = format!("[{}, {}]", at("dcs", star, "http://x"), at("compute", a, "http://a"));
        let alone = at_list(&at("identity", star, "http://k"));
        let internal = two.replace("public", "internal");
        let rows = [
            ("[]", "region_name: a,", Err(Error::ServiceNotInCatalogue)),
            (r#"[{"type": "dcs", "endpoints": []}]"#, "region_name: a,", Err(Error::ServiceNotInCatalogue)),
            (r#"[{"type": "dcs"}]"#, "", Err(Error::ServiceNotInCatalogue)),
            (&two, "", Ok("http://a/")),
            (&two, "region_name: b,", Ok("http://b/")),
            (&versions, "", Ok("http://v2/")),
            // The region exists and the service is only offered in another one: the service is not offered here.
            (&elsewhere, "region_name: a,", Err(at_b())),
            // All services use one region, also if the operator chooses it.
            (&elsewhere, "", Err(at_b())),
            (&at_list(&at("dcs", "", "http://x/v1/")), "", Ok("http://x/v1")),
            // Values that do not name a region.
            (&global, "", Ok("http://x/")),
            (&global, "region_name: a,", Err(Error::ServiceNotInCatalogue)),
            (&alone, "region_name: a,", Err(Error::ServiceNotInCatalogue)),
            // The order of preference of interfaces, and interfaces of one service.
            (&internal, "", Err(Error::ServiceNotInCatalogue)),
            (&internal, "interface: [public, internal],", Ok("http://a/")),
            (&internal, "dcs_interface: internal,", Ok("http://a/")),
            (&internal, "interface: internal, dcs-endpoint-type: publicURL,", Err(Error::ServiceNotInCatalogue)),
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

    #[test]
    fn the_region_that_is_chosen() {
        let at = |kind: &str, interface: &str, region: &str| {
            format!(
                r#"{{"type": "{kind}", "endpoints": [
                    {{"interface": "{interface}", "region": "{region}", "url": "http://x"}}]}}"#
            )
        };
        let rows = [
            (vec![at("dcs", "public", "b")], "", Some("b")),
            (vec![at("dcs", "public", "*")], "", None),
            // Neither another service's region nor a region of another interface counts.
            (
                vec![
                    at("dcs", "public", "d"),
                    at("image", "public", "a"),
                    at("compute", "admin", "b"),
                    at("compute", "public", "c"),
                ],
                "",
                Some("c"),
            ),
            (vec![at("dcs", "public", "b"), at("orchestration", "admin", "a")], "", Some("b")),
            (
                vec![at("dcs", "public", "b"), at("orchestration", "admin", "a")],
                "orchestration_interface: admin,",
                Some("a"),
            ),
            (Vec::new(), "region_name: x,", Some("x")),
        ];
        for (entries, more, expected) in rows {
            let catalogue: Catalogue = serde_json::from_str(&format!("[{}]", entries.join(", "))).unwrap();
            assert_eq!(catalogue.region(&config(more)), expected, "{entries:?} {more}");
        }
    }

    /// The operator ignores an invalid row and can still use the row of DCS beside it.
    #[test]
    fn an_invalid_row_does_not_affect_others() {
        let deep = format!(r#"{{"type": "image", "endpoints": {}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let rows = [
            "null",
            "7",
            r#""dcs""#,
            "[]",
            "{}",
            r#"{"type": null, "endpoints": []}"#,
            r#"{"type": ["dcs"], "endpoints": []}"#,
            r#"{"type": "image", "endpoints": null}"#,
            r#"{"type": "image", "endpoints": "http://x"}"#,
            r#"{"type": "image", "endpoints": {"public": "http://x"}}"#,
            r#"{"type": "image", "endpoints": [null, 7, "x", []]}"#,
            r#"{"type": "image", "endpoints": [{"interface": "public", "region": "r", "url": null}]}"#,
            r#"{"type": "dcs", "endpoints": [{"interface": "public", "region": "r", "url": null}]}"#,
            r#"{"type": "dcs", "endpoints": [{"interface": "public", "region": "r", "url": ""}]}"#,
            r#"{"type": "dcs", "endpoints": [{"interface": null, "region": "r", "url": "http://x"}]}"#,
            r#"{"type": "dcs", "endpoints": [{"interface": "public", "region": "r", "url": "ftp://x"}]}"#,
            r#"{"type": "dcs", "endpoints": [{"region": "r", "publicURL": "http://x", "adminURL": "http://x"}]}"#,
            r#"{"type": "dcs", "endpoints": [{"interface": "public", "region_id": 7, "region": {}, "url": "ftp://x"}]}"#,
            r#"{"type": "dcs", "type": "dcs", "endpoints": null}"#,
            r#"{"type": "\ud800", "endpoints": []}"#,
            &deep,
        ];
        let good = r#"{"type": "dcs", "endpoints": [{"interface": "public", "region": "r", "url": "http://good"}]}"#;
        for odd in rows {
            for json in [format!("[{odd}, {good}]"), format!("[{good}, {odd}]")] {
                let catalogue: Catalogue = serde_json::from_str(&json).unwrap();
                let found = catalogue.find(Service::Cache, &config("region_name: r,"));
                assert_eq!(found.map(String::from), Ok("http://good/".to_owned()), "{odd:.200}");
            }
            let alone: Catalogue = serde_json::from_str(&format!("[{odd}]")).unwrap();
            assert!(alone.find(Service::Cache, &config("")).is_err(), "{odd:.200}");
        }
    }

    fn at_list(entry: &str) -> String {
        format!("[{entry}]")
    }
}
