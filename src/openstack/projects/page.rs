//! Parses one page of Keystone's projects, within bounds.

use std::collections::HashSet;

use serde::Deserialize;

use crate::{
    observation::projects::{Project, ProjectList},
    openstack::{
        Error,
        rows::{self, List, Odd},
        stream::{Parts, RowStream, StreamRows},
    },
    words::{whole_word, word},
};

/// The maximum number of projects of one listing.
const MOST_PROJECTS: usize = 20_000;

/// In bytes: the maximum memory for the projects of one listing (estimated). 20,000 ordinary projects take half of it.
const MOST_BYTES: usize = 12 << 20;

/// In bytes: the longest ID that Keystone stores.
const LONGEST_ID: usize = 64;

/// The maximum number of tags of a project. Keystone allows 80.
const MOST_TAGS: usize = 100;

/// In bytes: the longest query of a link to the next page.
const LONGEST_QUERY: usize = 2048;

/// In bytes: the estimated overhead of one text.
const TEXT: usize = size_of::<Box<str>>() + 16;

/// One parsed page.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::openstack) struct Page {
    /// Its projects.
    pub(super) rows: Rows,
    /// Keystone left out projects, and gives no further page.
    pub(super) is_truncated: bool,
    /// The query of the link to the next page.
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    projects: List<Rows>,
    #[serde(default)]
    truncated: Option<Odd<bool>>,
    #[serde(default)]
    links: Option<Links>,
}

#[derive(Deserialize)]
struct Links {
    #[serde(default)]
    next: Option<String>,
}

impl Page {
    /// The listing, if there is no other page.
    pub(in crate::openstack) fn listed(self) -> ProjectList {
        self.rows.finish(self.is_truncated || self.next.is_some())
    }
}

/// A project as Keystone sends it. Clouds have more members, and some lack all but the first two.
#[derive(Deserialize)]
pub(in crate::openstack) struct Row {
    id: String,
    name: String,
    #[serde(default)]
    domain_id: Option<String>,
    #[serde(default)]
    parent_id: Option<String>,
    #[serde(default)]
    tags: Option<List<Tags>>,
    #[serde(default = "is_enabled")]
    enabled: bool,
    #[serde(default)]
    is_domain: bool,
}

const fn is_enabled() -> bool {
    true
}

/// A project's tags; `None` if there are too many, or one is too long.
struct Tags(Option<Vec<Box<str>>>);

impl Default for Tags {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl rows::Rows for Tags {
    type Row<'de> = String;

    fn add(&mut self, tag: String) {
        match (&mut self.0, whole_word(&tag)) {
            (Some(tags), Some(tag)) if tags.len() < MOST_TAGS => tags.push(tag.into()),
            _ => self.0 = None,
        }
    }
}

/// The projects of a listing so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::openstack) struct Rows {
    projects: Vec<Project>,
    /// In bytes (estimated).
    bytes: usize,
    /// Whether there are more than fit.
    is_full: bool,
    /// Whether there was a row that is no project.
    has_unreadable: bool,
}

impl rows::Rows for Rows {
    type Row<'de> = Odd<Row>;

    fn add(&mut self, Odd(row): Odd<Row>) {
        match row.and_then(Row::read) {
            Some(project) => self.push(project),
            None => self.has_unreadable = true,
        }
    }
}

impl StreamRows for Rows {
    const PATH: &'static [&'static str] = &["projects"];
    // Enough for 20,000 projects with long descriptions.
    const BODY_LIMIT: usize = 64 << 20;
    const MEMORY: usize = 16 << 20;
}

impl Rows {
    fn push(&mut self, project: Project) {
        let bytes = bytes_of(&project);
        if self.is_full || self.projects.len() >= MOST_PROJECTS || self.bytes + bytes > MOST_BYTES {
            self.is_full = true;
            return;
        }
        self.bytes += bytes;
        self.projects.push(project);
    }

    /// Adds the next page.
    pub(super) fn append(&mut self, page: Self) {
        self.has_unreadable |= page.has_unreadable;
        page.projects.into_iter().for_each(|project| self.push(project));
        self.is_full |= page.is_full;
    }

    /// Whether further pages are useless.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// The listing, without duplicates.
    pub(super) fn finish(self, is_truncated: bool) -> ProjectList {
        let mut projects = self.projects;
        let mut seen = HashSet::with_capacity(projects.len());
        projects.retain(|project| seen.insert(project.id.clone()));
        projects.shrink_to_fit();
        ProjectList { projects, whole: !(is_truncated || self.is_full || self.has_unreadable) }
    }
}

fn bytes_of(project: &Project) -> usize {
    let Project { id, name, domain_id, parent_id, tags, .. } = project;
    let texts = [id, name, domain_id].into_iter().chain(parent_id).chain(tags);
    size_of::<Project>() + texts.map(|text| text.len() + TEXT).sum::<usize>()
}

impl Row {
    /// `None` if an ID or a tag is longer than any that Keystone has: its beginning may be another one.
    fn read(self) -> Option<Project> {
        let id = |text: String| whole_word(&text).filter(|id| id.len() <= LONGEST_ID).map(Into::into);
        let List(Tags(tags)) = self.tags.unwrap_or_default();
        Some(Project {
            id: id(Some(self.id).filter(|id| !id.is_empty())?)?,
            // It is shown, and identifies nothing.
            name: word(&self.name).into(),
            domain_id: id(self.domain_id.unwrap_or_default())?,
            parent_id: self.parent_id.map_or(Some(None), |parent| id(parent).map(Some))?,
            tags: tags?,
            enabled: self.enabled,
            is_domain: self.is_domain,
        })
    }
}

const UNREADABLE: Error = Error::Unexpected("the answer is not Keystone's list of projects");

/// Parses one page.
pub(in crate::openstack) fn parse(body: &[u8]) -> Result<Page, Error> {
    page(serde_json::from_slice(body).map_err(|_| UNREADABLE)?)
}

/// Parses one page in parts, as it is parsed while it arrives; for tests.
pub(in crate::openstack) fn parse_in_parts(body: &[u8], least: usize) -> Result<Page, Error> {
    of_parts(RowStream::default().read_in_parts(body, least))
}

/// Parses the end of an answer. A short answer has nothing before it.
pub(super) fn finish(rows: RowStream<Rows>, rest: &[u8]) -> Result<Page, Error> {
    if rows.is_new() { parse(rest) } else { of_parts(rows.finish(rest)) }
}

fn of_parts(parts: Option<Parts<Rows>>) -> Result<Page, Error> {
    let Parts { document, rows } = parts.ok_or(UNREADABLE)?;
    let mut document: Document = serde_json::from_slice(&document).map_err(|_| UNREADABLE)?;
    if let Some(rows) = rows {
        document.projects = List(rows);
    }
    page(document)
}

fn page(document: Document) -> Result<Page, Error> {
    let List(rows) = document.projects;
    let next = document.links.and_then(|links| links.next).map(|link| query_of(&link)).transpose()?;
    let says_truncated = document.truncated.is_some_and(|Odd(truncated)| truncated != Some(false));
    // A Keystone with pages may call each page but the last one truncated.
    Ok(Page { rows, is_truncated: says_truncated && next.is_none(), next })
}

/// The query of a link.
fn query_of(link: &str) -> Result<String, Error> {
    let link = link.split_once('#').map_or(link, |(link, _)| link);
    match link.split_once('?') {
        Some((_, query)) if query.len() > LONGEST_QUERY => {
            Err(Error::Unexpected("Keystone's link to the next page is too long"))
        }
        Some((_, query)) if !query.is_empty() => Ok(query.to_owned()),
        _ => Err(Error::Unexpected("Keystone's link to the next page has no query")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(body: &str) -> Option<ProjectList> {
        parse(body.as_bytes()).ok().map(|page| page.rows.finish(page.is_truncated))
    }

    fn project(id: &str) -> Project {
        Project {
            id: id.into(),
            name: "n".into(),
            domain_id: "".into(),
            parent_id: None,
            tags: Vec::new(),
            enabled: true,
            is_domain: false,
        }
    }

    /// Each line: the row, and what is read of it.
    #[test]
    fn rows_that_are_projects() {
        let full = Project {
            domain_id: "d".into(),
            parent_id: Some("r".into()),
            tags: vec!["a".into(), "b".into()],
            enabled: false,
            is_domain: true,
            ..project("p")
        };
        for (row, read) in [
            (
                r#"{"id": "p", "name": "n", "domain_id": "d", "parent_id": "r", "tags": ["a", "b"], "enabled": false,
                   "is_domain": true, "description": "x", "links": {"self": "http://k"}, "options": {}}"#,
                full,
            ),
            (r#"{"id": "p", "name": "n"}"#, project("p")),
            (
                r#"{"id": "p", "name": "n", "domain_id": null, "parent_id": null, "tags": null, "description": null}"#,
                project("p"),
            ),
            (r#"{"id": "eu-de_x", "name": "n"}"#, project("eu-de_x")),
            (r#"{"id": "p", "name": ""}"#, Project { name: "".into(), ..project("p") }),
            (r#"{"id": "p", "name": "a\u202eb\n"}"#, Project { name: r"a\u{202e}b\u{a}".into(), ..project("p") }),
        ] {
            let list = listed(&format!(r#"{{"projects": [{row}]}}"#));
            assert_eq!(list, Some(ProjectList { projects: vec![read], whole: true }), "{row}");
        }
        let long = format!(r#"{{"projects": [{{"id": "p", "name": "{}"}}]}}"#, "n".repeat(300));
        assert_eq!(listed(&long).unwrap().projects[0].name.len(), 255);
    }

    /// A row that is no project leaves the others, and the listing is not whole.
    #[test]
    fn rows_that_are_none() {
        let longer = |length: usize| "x".repeat(length);
        for row in [
            "null".to_owned(),
            "7".to_owned(),
            r#""p""#.to_owned(),
            "{}".to_owned(),
            r#"{"id": "q"}"#.to_owned(),
            r#"{"name": "n"}"#.to_owned(),
            r#"{"id": 7, "name": "n"}"#.to_owned(),
            r#"{"id": "", "name": "n"}"#.to_owned(),
            r#"{"id": "q", "name": null}"#.to_owned(),
            r#"{"id": "q", "name": "n", "enabled": "no"}"#.to_owned(),
            r#"{"id": "q", "name": "n", "enabled": null}"#.to_owned(),
            r#"{"id": "q", "name": "n", "is_domain": 0}"#.to_owned(),
            r#"{"id": "q", "name": "n", "domain_id": []}"#.to_owned(),
            r#"{"id": "q", "name": "n", "tags": "a"}"#.to_owned(),
            r#"{"id": "q", "name": "n", "tags": [1]}"#.to_owned(),
            r#"{"id": "q", "id": "r", "name": "n"}"#.to_owned(),
            r#"{"id": "q\ud83d", "name": "n"}"#.to_owned(),
            format!(r#"{{"id": "{}", "name": "n"}}"#, longer(65)),
            format!(r#"{{"id": "q", "name": "n", "domain_id": "{}"}}"#, longer(65)),
            format!(r#"{{"id": "q", "name": "n", "parent_id": "{}"}}"#, longer(65)),
            format!(r#"{{"id": "q", "name": "n", "tags": ["{}"]}}"#, longer(256)),
            format!(r#"{{"id": "q", "name": "n", "tags": [{}"t"]}}"#, r#""t","#.repeat(100)),
        ] {
            let list = listed(&format!(r#"{{"projects": [{row}, {{"id": "p", "name": "n"}}]}}"#));
            assert_eq!(list, Some(ProjectList { projects: vec![project("p")], whole: false }), "{row}");
        }
    }

    /// Each line: the rest of the document, and whether the listing is whole.
    #[test]
    fn documents() {
        for (rest, whole) in [
            ("", Some(true)),
            (r#", "links": {"next": null, "self": "http://k/v3/projects", "previous": null}"#, Some(true)),
            (r#", "links": null"#, Some(true)),
            (r#", "links": {}"#, Some(true)),
            (r#", "truncated": true"#, Some(false)),
            (r#", "truncated": false"#, Some(true)),
            (r#", "truncated": null"#, Some(true)),
            (r#", "truncated": "yes""#, Some(false)),
            (r#", "truncated": 0"#, Some(false)),
            (r#", "truncated": true, "links": {"next": "http://k/v3/projects?marker=p"}"#, Some(true)),
            (r#", "links": {"next": 7}"#, None),
            (r#", "links": "next""#, None),
            (r#", "links": {"next": "http://k/v3/projects"}"#, None),
            (r#", "links": {"next": ""}"#, None),
            (r#", "projects": []"#, None),
        ] {
            let list = listed(&format!(r#"{{"projects": [{{"id": "p", "name": "n"}}]{rest}}}"#));
            assert_eq!(list.map(|list| list.whole), whole, "{rest}");
        }
        for body in ["", "null", "[]", "{}", r#"{"projects": null}"#, r#"{"projects": {}}"#, r#"{"projects": [}"#] {
            assert_eq!(listed(body), None, "{body}");
        }
        assert_eq!(listed(r#"{"projects": []}"#), Some(ProjectList { projects: Vec::new(), whole: true }));
    }

    #[test]
    fn links() {
        let next = |link: &str| {
            let body = serde_json::json!({"projects": [], "links": {"next": link}});
            parse(body.to_string().as_bytes()).map(|page| page.next.unwrap())
        };
        for (link, query) in [
            ("http://k:5000/v3/projects?limit=2&marker=p", "limit=2&marker=p"),
            ("https://elsewhere/x?marker=p#f?g", "marker=p"),
            ("?page=2", "page=2"),
        ] {
            assert_eq!(next(link).unwrap(), query, "{link}");
        }
        assert!(next(&format!("?m={}", "x".repeat(LONGEST_QUERY - 2))).is_ok());
        assert!(next(&format!("?m={}", "x".repeat(LONGEST_QUERY - 1))).is_err());
    }

    #[test]
    fn duplicates_are_dropped() {
        let rows = ["a", "b", "a"].map(|id| format!(r#"{{"id": "{id}", "name": "n"}}"#)).join(",");
        let list = listed(&format!(r#"{{"projects": [{rows}]}}"#)).unwrap();
        assert_eq!((list.projects, list.whole), (vec![project("a"), project("b")], true));
    }

    #[test]
    fn more_than_fits_is_cut() {
        let rows = |count: usize, tag: &str| {
            let mut rows = Rows::default();
            for number in 0..count {
                rows.push(Project { tags: vec![tag.into(); 100], ..project(&number.to_string()) });
            }
            rows
        };
        let plain = |count: usize| {
            let mut rows = Rows::default();
            (0..count).for_each(|number| rows.push(project(&number.to_string())));
            rows.finish(false)
        };
        assert!(plain(MOST_PROJECTS).whole);
        let cut = plain(MOST_PROJECTS + 1);
        assert_eq!((cut.projects.len(), cut.whole), (MOST_PROJECTS, false));
        let long = "t".repeat(255);
        let cut = rows(1000, &long).finish(false);
        assert!((100..1000).contains(&cut.projects.len()) && !cut.whole, "{}", cut.projects.len());
        let mut pages = rows(200, &long);
        pages.append(rows(300, &long));
        assert!(pages.is_full() && pages.bytes <= MOST_BYTES);
        let cut = pages.finish(false);
        assert!((200..300).contains(&cut.projects.len()) && !cut.whole, "{}", cut.projects.len());
    }

    proptest! {
        #[test]
        fn any_text_in_parts_is_read_as_the_whole(
            rows in prop::collection::vec(
                prop::sample::select(vec![
                    r#"{"id":"p","name":"n"}"#, r#"{"id":"q","name":"n","tags":["a","b"]}"#, "{}", "null", "[1", "\"",
                    r#"{"id":"r","name":"n","enabled":false}"#,
                ]),
                0..6,
            ),
            rest in prop::sample::select(vec!["", r#","truncated":true"#, r#","links":{"next":"?m=1"}"#, ",,", "}"]),
            least in 1..40_usize,
            noise in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let body = format!(r#"{{"projects":[{}]{rest}}}"#, rows.join(","));
            prop_assert_eq!(parse_in_parts(body.as_bytes(), least).ok(), parse(body.as_bytes()).ok());
            let _ = parse(&noise);
        }
    }
}
