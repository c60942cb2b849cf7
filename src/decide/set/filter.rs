//! Which of the listed projects a set selects.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use crate::{
    api::set::ProjectFilter,
    observation::projects::{Project, ProjectList},
};

/// The largest compiled pattern, in bytes. The time for one name grows with it.
const LARGEST_PATTERN: usize = 32 << 10;

/// A filter whose pattern is compiled.
#[derive(Debug, Clone)]
pub struct Filter {
    domain_ids: BTreeSet<String>,
    parent_id: Option<String>,
    tags: Vec<String>,
    name_pattern: Option<Regex>,
    exclude_ids: BTreeSet<String>,
}

impl Filter {
    /// Compiles the filter.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn new(filter: &ProjectFilter) -> Result<Self, String> {
        Ok(Self {
            domain_ids: filter.domain_ids.iter().cloned().collect(),
            parent_id: filter.parent_id.clone(),
            tags: filter.tags.clone(),
            name_pattern: filter.name_pattern.as_deref().map(pattern).transpose()?,
            exclude_ids: filter.exclude_ids.iter().cloned().collect(),
        })
    }

    /// Whether it has a pattern, so that it can take long for many names.
    #[must_use]
    pub const fn has_pattern(&self) -> bool {
        self.name_pattern.is_some()
    }

    /// Whether the set wants a CloudTenant for the project.
    #[must_use]
    pub fn selects(&self, project: &Project) -> bool {
        project.enabled
            && !project.is_domain
            && (self.domain_ids.is_empty() || self.domain_ids.contains(&*project.domain_id))
            && self.parent_id.as_deref().is_none_or(|parent| project.parent_id.as_deref() == Some(parent))
            && self.tags.iter().all(|tag| project.tags.iter().any(|own| **own == **tag))
            && !self.exclude_ids.contains(&*project.id)
            && self.name_pattern.as_ref().is_none_or(|pattern| pattern.is_match(&project.name))
    }
}

/// A list of projects, and which of them the filter selects. A pattern can take long for many names, so a pass matches
/// each of them once.
#[derive(Debug, Clone)]
pub struct Selection {
    list: ProjectList,
    selects: Vec<bool>,
}

impl Selection {
    /// Matches all projects of the list.
    #[must_use]
    pub fn new(list: ProjectList, filter: &Filter) -> Self {
        let selects = list.projects.iter().map(|project| filter.selects(project)).collect();
        Self { list, selects }
    }

    /// The list.
    #[must_use]
    pub const fn list(&self) -> &ProjectList {
        &self.list
    }

    /// The projects that the filter selects.
    pub fn selected(&self) -> impl Iterator<Item = &Project> {
        let all = self.list.projects.iter().zip(&self.selects);
        all.filter(|(_, selects)| **selects).map(|(project, _)| project)
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(&ascii_classes(text)).size_limit(LARGEST_PATTERN).dfa_size_limit(1 << 20).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "spec.filter.namePattern is too large when compiled: use fewer or smaller repetitions.".to_owned()
        }
        _ => "spec.filter.namePattern is not a regular expression (RE2): correct the field.".to_owned(),
    })
}

/// In RE2, `\d`, `\w`, `\s` and `\b` stand for ASCII, and in Rust's crate for all of Unicode.
fn ascii_classes(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len() * 2);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            ascii.push(c);
            continue;
        }
        match chars.next() {
            Some(class @ ('b' | 'B')) => ascii.extend(["(?-u:\\", class.encode_utf8(&mut [0; 4]), ")"]),
            Some('d') => ascii.push_str("[0-9]"),
            Some('D') => ascii.push_str("[^0-9]"),
            Some('w') => ascii.push_str("[0-9A-Za-z_]"),
            Some('W') => ascii.push_str("[^0-9A-Za-z_]"),
            Some('s') => ascii.push_str(r"[\t\n\f\r ]"),
            Some('S') => ascii.push_str(r"[^\t\n\f\r ]"),
            Some(other) => ascii.extend(['\\', other]),
            None => ascii.push('\\'),
        }
    }
    ascii
}
