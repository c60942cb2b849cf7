//! Nova: `GET {endpoint}/os-simple-tenant-usage/{project}`, the usage of the project's servers.
//!
//! Before microversion 2.40 Nova truncates its answer without notice. Since 2.40 it paginates, and the totals are per
//! page.

mod flavors;
mod row;
mod window;

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use flavors::Flavors;
use jiff::Timestamp;
use row::Row;
use serde::Deserialize;
use url::Url;
pub use window::{Window, Windows, windows};

use super::{Link, join, project, read, version};
use crate::{
    observation::{Periods, Previous, Usage},
    openstack::{
        Answer, Error, Failure, Service, Session, openstack_time,
        rows::{List, Rows},
        stream::{Parts, RowStream, StreamRows},
    },
    target::Target,
};

/// The headers that request pagination.
const PAGED: &[(&str, &str)] = Service::Compute.row().microversion;

/// Nova's default `max_limit`. An unpaginated answer with this number of rows may be truncated.
const MAX_LIMIT: u64 = 1000;

/// The maximum number of pages in one pass.
const MOST_PAGES: usize = 1000;

/// The largest sum of hours that is read. A million servers with a terabyte of memory each use less in a month, and a
/// larger number is no longer exact to a thousandth.
const MOST_HOURS: f64 = 1e15;

/// In bytes. Enough for a hundred thousand servers in one page. Only some sums of a page stay in memory.
const PAGE_LIMIT: usize = 64 << 20;

/// In bytes. A marker is a server's ID, which has 36.
const LONGEST_MARKER: usize = 255;

/// Queries Nova for the current period, and for the closed one before it unless that is `frozen`.
///
/// # Errors
/// A failed login, no answer, or an answer that is not Nova's; or Keystone does not know the project.
/// [`Error::Timeout`] if all pages together take longer than [`Target::usage_deadline`].
pub async fn ask(
    session: &Session,
    target: &Target,
    frozen: Option<Window>,
    now: Timestamp,
) -> Result<Periods, Failure> {
    let reading = tokio::time::timeout(target.usage_deadline(), read_periods(session, target, frozen, now));
    reading.await.unwrap_or_else(|_| Err(Error::Timeout.at(Service::Compute)))
}

async fn read_periods(
    session: &Session,
    target: &Target,
    frozen: Option<Window>,
    now: Timestamp,
) -> Result<Periods, Failure> {
    let service = Service::Compute;
    let address = version::address(session, service, target.timeout).await?;
    project::ensure_known(session, target).await?;
    let url = join(&address, &["os-simple-tenant-usage", &target.project_id]);
    let url = url.map_err(|error| error.at(service))?;
    let Windows { current, previous } = windows(target.usage.period, session.cloud_time(service, now));
    let previous = if frozen == Some(previous) {
        Previous::Kept
    } else {
        let (usage, matches_request) = read_window(session, target, &url, previous).await?;
        if matches_request { Previous::Read(usage) } else { Previous::OtherWindow }
    };
    let (current, _) = read_window(session, target, &url, current).await?;
    Ok(Periods { current, previous })
}

/// Reads a window page by page. Of a page, only the sums and the marker stay in memory. Also returns whether Nova
/// echoed that window.
async fn read_window(session: &Session, target: &Target, url: &Url, window: Window) -> Result<(Usage, bool), Failure> {
    let service = Service::Compute;
    let mut sum = Sum::new(window);
    let mut headers = PAGED;
    let mut marker: Option<String> = None;
    // Hashes bound the memory that a thousand markers take.
    let (hasher, mut followed) = (RandomState::new(), HashSet::new());
    for _ in 0..MOST_PAGES {
        let address = page_address(url, window, marker.as_deref());
        // A Nova without pagination returns 406.
        let older: &[u16] = if headers.is_empty() { &[] } else { &[406] };
        let (answer, servers) =
            session.get_into::<RowStream<Servers>>(older, service, address, headers, target.timeout).await?;
        if older.contains(&answer.status) {
            headers = &[];
            continue;
        }
        let answer = answer.of(service)?;
        let paged = is_paged(&answer);
        let hasher = hasher.clone();
        let read = move |body: &[u8]| {
            let page = finish(servers, body)?;
            let next = page.next_marker()?.filter(|_| paged);
            if next.as_deref().is_some_and(|next| !followed.insert(hasher.hash_one(next))) {
                return Err(Error::Unexpected("Nova's links lead back to a page that was read already"));
            }
            sum.add(page)?;
            Ok((sum, followed, next))
        };
        (sum, followed, marker) = answer.read(service, read).await?;
        if marker.is_none() {
            let matches_request = sum.is_as_asked();
            return Ok((sum.finish(paged), matches_request));
        }
    }
    Err(Error::Unexpected("Nova has more pages than can be read").at(service))
}

/// `/v2` ignores microversions and echoes nothing. `/v2.1` echoes the one that it uses.
fn is_paged(answer: &Answer) -> bool {
    PAGED.iter().any(|(name, value)| answer.header(name).is_some_and(|echo| echo.eq_ignore_ascii_case(value)))
}

fn page_address(url: &Url, window: Window, marker: Option<&str>) -> Url {
    let mut url = url.clone();
    // Nova accepts neither a time zone nor a date alone.
    let time = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    url.query_pairs_mut().append_pair("start", &time(window.start)).append_pair("end", &time(window.end));
    if let Some(marker) = marker {
        url.query_pairs_mut().append_pair("marker", marker);
    }
    url
}

/// One parsed answer.
#[derive(Debug, Deserialize)]
pub struct Page {
    tenant_usage: TenantUsage,
    #[serde(default)]
    tenant_usage_links: List<Next>,
}

/// The first link to the next page.
#[derive(Debug, Default)]
struct Next(Option<Link>);

impl Rows for Next {
    type Row<'de> = Link;

    fn add(&mut self, link: Link) {
        if self.0.is_none() && link.rel == "next" {
            self.0 = Some(link);
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct TenantUsage {
    #[serde(default)]
    server_usages: Option<List<Servers>>,
    start: Option<String>,
    stop: Option<String>,
    total_hours: Option<f64>,
    total_vcpus_usage: Option<f64>,
    total_memory_mb_usage: Option<f64>,
    total_local_gb_usage: Option<f64>,
}

#[derive(Debug, Default)]
struct Servers {
    all: u64,
    active: u64,
    flavors: Flavors,
}

impl Rows for Servers {
    type Row<'de> = Row<'de>;

    fn add(&mut self, row: Row<'_>) {
        self.all += 1;
        self.active += u64::from(row.is_active());
        self.flavors.add(row.flavor(), 1, row.hours());
    }
}

impl StreamRows for Servers {
    const PATH: &'static [&'static str] = &["tenant_usage", "server_usages"];
    const BODY_LIMIT: usize = PAGE_LIMIT;
    // The sums of a thousand flavors with the longest names.
    const MEMORY: usize = 1 << 20;
}

const UNREADABLE: &str = "Nova's usage cannot be read";

/// Parses one answer.
///
/// # Errors
/// The body does not match Nova's API.
pub fn parse(body: &[u8]) -> Result<Page, Error> {
    read(body, UNREADABLE)
}

/// Parses one answer in parts, as it is parsed while it arrives. Each part has at least `least` new bytes.
///
/// # Errors
/// The errors of [`parse`].
#[doc(hidden)]
pub fn parse_in_parts(body: &[u8], least: usize) -> Result<Page, Error> {
    page(RowStream::default().read_in_parts(body, least))
}

/// Parses the end of an answer. A short answer has nothing before it.
fn finish(servers: RowStream<Servers>, rest: &[u8]) -> Result<Page, Error> {
    if servers.is_new() { parse(rest) } else { page(servers.finish(rest)) }
}

fn page(parts: Option<Parts<Servers>>) -> Result<Page, Error> {
    let Parts { document, rows } = parts.ok_or(Error::Unexpected(UNREADABLE))?;
    let mut page = parse(&document)?;
    if rows.is_some() {
        page.tenant_usage.server_usages = rows.map(List);
    }
    Ok(page)
}

impl Page {
    /// The marker of the next page. The link's host may be an internal name, so the operator uses only the marker.
    ///
    /// # Errors
    /// The link has no marker, or one that is too long.
    pub fn next_marker(&self) -> Result<Option<String>, Error> {
        let List(Next(Some(link))) = &self.tenant_usage_links else { return Ok(None) };
        let query = link.href.split_once('?').map_or("", |(_, query)| query);
        let marker = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "marker");
        let (_, marker) = marker.ok_or(Error::Unexpected("Nova's link to the next page has no marker"))?;
        if marker.len() > LONGEST_MARKER {
            return Err(Error::Unexpected("Nova's link to the next page has a marker of more than 255 bytes"));
        }
        Ok(Some(marker.into_owned()))
    }
}

/// The sum over pages.
#[derive(Debug)]
pub struct Sum {
    requested: Window,
    /// Whether every page so far had the requested window.
    matches_request: bool,
    usage: Usage,
    flavors: Flavors,
}

impl Sum {
    /// A sum without any usage.
    #[must_use]
    pub fn new(window: Window) -> Self {
        let usage = Usage {
            start: window.start,
            end: window.end,
            complete: None,
            servers: 0,
            active_servers: 0,
            server_hours: 0.0,
            vcpu_hours: 0.0,
            memory_mb_hours: 0.0,
            disk_gb_hours: 0.0,
            by_flavor: Vec::new(),
            flavors_omitted: 0,
        };
        Self { requested: window, matches_request: true, usage, flavors: Flavors::default() }
    }

    /// Whether every page had the requested window, to the second.
    #[must_use]
    pub const fn is_as_asked(&self) -> bool {
        self.matches_request
    }

    /// Adds a page; `{}` adds nothing.
    ///
    /// # Errors
    /// Totals without rows, rows without totals, negative or implausibly large totals, or a window that ends before it
    /// starts. A start in
    /// the future causes such answers.
    pub fn add(&mut self, page: Page) -> Result<(), Error> {
        let usage = page.tenant_usage;
        let totals =
            [usage.total_hours, usage.total_vcpus_usage, usage.total_memory_mb_usage, usage.total_local_gb_usage];
        let Some(List(servers)) = usage.server_usages else {
            let empty = totals.iter().all(Option::is_none);
            return if empty { Ok(()) } else { Err(Error::Unexpected("Nova's usage has totals but no servers")) };
        };
        let [Some(hours), Some(vcpu), Some(memory), Some(disk)] = totals else {
            return Err(Error::Unexpected("Nova's usage lacks one of its totals"));
        };
        if [hours, vcpu, memory, disk].iter().any(|total| *total < 0.0) {
            return Err(Error::Unexpected("Nova's usage is negative"));
        }
        let time = |text: &Option<String>| text.as_deref().and_then(openstack_time);
        let (Some(start), Some(stop)) = (time(&usage.start), time(&usage.stop)) else {
            return Err(Error::Unexpected("Nova's usage lacks its window"));
        };
        if stop < start {
            return Err(Error::Unexpected("Nova's window ends before it starts"));
        }
        let seconds = |start: Timestamp, end: Timestamp| (start.as_second(), end.as_second());
        self.matches_request &= seconds(start, stop) == seconds(self.requested.start, self.requested.end);
        self.flavors.merge(servers.flavors);
        let sum = &mut self.usage;
        (sum.start, sum.end) = (start, stop);
        sum.servers = sum.servers.saturating_add(servers.all);
        sum.active_servers = sum.active_servers.saturating_add(servers.active);
        sum.server_hours += hours;
        sum.vcpu_hours += vcpu;
        sum.memory_mb_hours += memory;
        sum.disk_gb_hours += disk;
        let sums = [sum.server_hours, sum.vcpu_hours, sum.memory_mb_hours, sum.disk_gb_hours];
        // False for infinity, too, and for what is no number.
        if sums.iter().all(|sum| *sum <= MOST_HOURS) {
            Ok(())
        } else {
            Err(Error::Unexpected("Nova's usage is more than 10^15 hours, which no project has"))
        }
    }

    /// Returns the usage. Without pagination, the maximum number of rows means a truncated answer. With fewer rows,
    /// completeness is unknown.
    #[must_use]
    pub fn finish(self, paged: bool) -> Usage {
        let complete = if paged { Some(true) } else { (self.usage.servers >= MAX_LIMIT).then_some(false) };
        let (by_flavor, flavors_omitted) = self.flavors.finish();
        Usage { complete, by_flavor, flavors_omitted, ..self.usage }
    }
}
