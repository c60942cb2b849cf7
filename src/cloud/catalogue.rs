//! The service catalogue that comes with a token.

use serde::Deserialize;
use url::Url;

use super::config::{CloudConfig, web_url};
use super::{Error, Service};

/// A token's catalogue. A token without a project has an empty one.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Catalogue(Vec<Entry>);

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    interface: String,
    #[serde(default)]
    region_id: Option<String>,
    /// The older name of `region_id`; Keystone sends both.
    #[serde(default)]
    region: Option<String>,
    url: String,
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

impl Catalogue {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
            let entries = self.0.iter().filter(|entry| entry.kind == kind);
            entries
                .flat_map(|entry| &entry.endpoints)
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
        let addresses = self.0.iter().flat_map(|entry| &entry.endpoints);
        let mut known: Vec<String> =
            addresses.map(|address| address.region().to_owned()).filter(|region| !region.is_empty()).collect();
        known.sort();
        known.dedup();
        match config.region() {
            Some(region) if !known.is_empty() && !known.iter().any(|name| name == region) => {
                Error::RegionNotFound { region: region.to_owned(), known }
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
