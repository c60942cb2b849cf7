//! Projects and domains, and how Keystone lists them.

use crate::cloud::{
    SimulatedCloud,
    projects::{Listing, Project},
};

impl SimulatedCloud {
    /// Adds a project, or replaces the one with this ID.
    pub fn put_project(&self, id: &str, project: Project) {
        self.shared.lock().identity.projects.insert(id.to_owned(), project);
    }

    /// Adds a project of the domain `default` on which the operator has the role `reader`, or replaces the one with this
    /// ID.
    pub fn put_project_of_operator(&self, id: &str, name: &str) {
        self.put_project(id, Project::named(name));
        self.add_tenant_of_operator(id);
    }

    /// Changes a project, if there is one.
    pub fn change_project(&self, id: &str, change: impl FnOnce(&mut Project)) {
        if let Some(project) = self.shared.lock().identity.projects.get_mut(id) {
            change(project);
        }
    }

    /// Renames a project.
    pub fn rename_project(&self, id: &str, name: &str) {
        self.change_project(id, |project| name.clone_into(&mut project.name));
    }

    /// Sets a project's tags. Keystone sorts them.
    pub fn set_project_tags(&self, id: &str, tags: &[&str]) {
        let mut tags: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        tags.sort();
        self.change_project(id, |project| project.tags = tags);
    }

    /// Adds a domain, or renames it.
    pub fn put_domain(&self, id: &str, name: &str) {
        self.shared.lock().identity.domains.insert(id.to_owned(), name.to_owned());
    }

    /// How Keystone answers lists of projects from now on. For other failures see [`Self::fault_on`] with the paths
    /// `/auth/projects` and `/v3/projects`.
    pub fn set_listing(&self, listing: Listing) {
        self.shared.lock().identity.listing = listing;
    }
}
