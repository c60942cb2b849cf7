//! Plain data: the projects that Keystone lists for a CloudTenantSet.

/// A project as Keystone describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Keystone's ID.
    pub id: Box<str>,
    /// The name, unique within its domain only.
    pub name: Box<str>,
    /// The ID of its domain.
    pub domain_id: Box<str>,
    /// The ID of the project or the domain above it.
    pub parent_id: Option<Box<str>>,
    /// Its tags.
    pub tags: Vec<Box<str>>,
    /// Whether tokens are given out for it.
    pub enabled: bool,
    /// Whether it stands for a domain. Those are never CloudTenants.
    pub is_domain: bool,
}

/// One listing of projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectList {
    /// What was listed, in Keystone's order, without duplicates.
    pub projects: Vec<Project>,
    /// Whether the listing has all: Keystone did not truncate it and the operator did not cut it.
    pub whole: bool,
}

/// What `GET /v3/projects/{id}` says about one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectState {
    /// It exists and is enabled.
    Enabled,
    /// It exists and is disabled.
    Disabled,
    /// Keystone answers 404.
    Absent,
    /// The user may not read it.
    Forbidden,
    /// The call failed.
    Unknown,
}
