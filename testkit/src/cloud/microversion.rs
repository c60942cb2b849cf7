//! Nova's microversions.

use std::fmt;

use axum::http::HeaderMap;

use crate::cloud::answer;

pub(super) const NEWER_HEADER: &str = "openstack-api-version";
pub(super) const OLDER_HEADER: &str = "x-openstack-nova-api-version";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Microversion {
    major: u32,
    minor: u32,
}

impl Microversion {
    pub(super) const OLDEST: Self = Self { major: 2, minor: 1 };
    pub(super) const LATEST: Self = Self { major: 2, minor: 93 };

    pub(super) fn is_supported(self) -> bool {
        (Self::OLDEST..=Self::LATEST).contains(&self)
    }

    /// From 2.40 usage comes in pages.
    pub(super) fn has_usage_pages(self) -> bool {
        self >= Self { major: 2, minor: 40 }
    }

    /// From 2.75 a parameter that the API does not know is an error.
    pub(super) fn refuses_unknown_parameters(self) -> bool {
        self >= Self { major: 2, minor: 75 }
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        let canonical = |number: &str| number == "0" || !number.starts_with(['0', '+']);
        if !canonical(major) || !canonical(minor) {
            return None;
        }
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// The version asked for by either header, the newer one first; the text that is none otherwise.
pub(super) fn asked(headers: &HeaderMap) -> Result<Microversion, String> {
    let newer = answer::get(headers, NEWER_HEADER)
        .and_then(|value| value.split(',').find_map(|service| service.trim().strip_prefix("compute ")).map(str::trim));
    match newer.or_else(|| answer::get(headers, OLDER_HEADER)) {
        None => Ok(Microversion::OLDEST),
        Some("latest") => Ok(Microversion::LATEST),
        Some(text) => Microversion::parse(text).ok_or_else(|| text.to_owned()),
    }
}
