//! Host names: those of URLs, and those in the operator's own settings (one name, all names below a domain, or all).

use std::str::FromStr;

use url::Url;

/// The host that a URL names, without the optional dot at the end of a name.
pub(super) fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_end_matches('.')
}

/// The hosts that a setting applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    All,
    /// The suffix with its leading dot.
    Below(String),
    One(String),
}

impl Hosts {
    /// `host` is in lower case, as in a parsed URL.
    pub(super) fn include(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Below(suffix) => host.ends_with(suffix),
            Self::One(name) => host == name,
        }
    }
}

impl FromStr for Hosts {
    type Err = String;

    /// Returns the text as the error if it is not a host.
    fn from_str(text: &str) -> Result<Self, String> {
        let host = text.trim().to_ascii_lowercase();
        let name = |name: &str| {
            let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let fine = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
            let named = !name.is_empty() && name.chars().all(fine);
            named || address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        };
        match host.strip_prefix('*') {
            Some("") => Ok(Self::All),
            Some(suffix) if suffix.starts_with('.') && name(&suffix[1..]) => Ok(Self::Below(suffix.to_owned())),
            None if name(&host) => Ok(Self::One(host)),
            _ => Err(host),
        }
    }
}
