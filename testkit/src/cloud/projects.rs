//! Projects, and how Keystone lists them.

/// The id and the name of the domain of users and of most projects.
pub(super) const DEFAULT_DOMAIN: (&str, &str) = ("default", "Default");

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// The ID of its domain.
    pub domain: String,
    /// The ID of the project or domain above it.
    pub parent: String,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Whether tokens are given out for it.
    pub enabled: bool,
    /// A text for people.
    pub description: String,
}

impl Project {
    /// An enabled project of the domain `default`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let domain = || DEFAULT_DOMAIN.0.to_owned();
        let (name, tags, description) = (name.to_owned(), Vec::new(), String::new());
        Self { name, domain: domain(), parent: domain(), tags, enabled: true, description }
    }
}

/// How Keystone answers the lists of projects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Listing {
    /// With all of them.
    #[default]
    Whole,
    /// With none, as if there were none.
    Empty,
    /// With the first half. Nothing says that others are missing.
    Half,
    /// With this many of `GET /v3/projects` at most, and says so, as Keystone's `list_limit` makes it.
    Limited(usize),
    /// With pages of this many at most, and links by `limit` and `marker`.
    Paged(usize),
    /// With pages of this many, whose links have this in place of Keystone's own address.
    PagedElsewhere(usize, String),
    /// With the first page of this many, whose link leads to itself.
    Loop(usize),
}
