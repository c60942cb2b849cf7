//! The fault matrix: each fault, and what the operator says of it for each service.
//!
//! The expectations come from docs/reasons.md. `UPDATE=1 cargo test --test faults` writes docs/faults.md from this table.

use std::time::Duration;

use cloudtenant_operator::api::Reason;

use crate::{
    content, framing,
    front::{Fault, Part, Tls},
    http::Reply,
    secrets::MARK,
};

/// The columns. The first one is a login, which all probes need.
pub const SERVICES: [&str; 4] = ["Keystone", "Heat", "DCS", "Nova"];

/// What the operator says of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The answer counts as if there were no fault.
    Tolerated,
    /// The answer is read: the condition is True with the usual reason, and the data are those of the answer.
    Read,
    /// Heat's own word: False, at once.
    Unhealthy(Reason),
    /// One failure changes nothing. The second one makes the condition Unknown.
    Second(Reason),
    /// The same, and the next call comes after a pause that the cloud asked for, in seconds.
    SecondAfter(Reason, u64),
    /// Unknown at once. It may pass by itself.
    AtOnce(Reason),
    /// The same, and the next call comes after an interval.
    AtOnceUntilInterval(Reason),
    /// Unknown at once, and Stalled.
    Stalled(Reason),
    /// The same, and the next call comes after an interval.
    StalledUntilInterval(Reason),
    /// Unknown at once, Stalled, and at most one login in five minutes.
    LoginRefused,
}

/// Why a cell makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    NovaAloneHasPages,
    NoNumberInALogin,
    KeystoneHasNoNewToken,
    FieldOfAnother,
}

impl Rule {
    pub const ALL: [Self; 4] =
        [Self::NovaAloneHasPages, Self::NoNumberInALogin, Self::KeystoneHasNoNewToken, Self::FieldOfAnother];

    pub const fn name(self) -> &'static str {
        match self {
            Self::NovaAloneHasPages => "no pages",
            Self::NoNumberInALogin => "no numbers",
            Self::KeystoneHasNoNewToken => "no token",
            Self::FieldOfAnother => "no field",
        }
    }

    pub const fn why(self) -> &'static str {
        match self {
            Self::NovaAloneHasPages => "Only Nova's answer has links to further pages.",
            Self::NoNumberInALogin => "The operator reads no number in the answer to a login.",
            Self::KeystoneHasNoNewToken => {
                "A login has no token that a new one could replace: see the row of a 401 at each request."
            }
            Self::FieldOfAnother => "Another service's answer has this field.",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Cell {
    Is(Class),
    Left(Rule),
}

pub struct Row {
    pub list: &'static str,
    pub name: String,
    pub fault: Fault,
    pub cells: [Cell; 4],
    /// A part of the message of each condition that fails.
    pub says: &'static str,
}

impl Row {
    fn saying(self, says: &'static str) -> Self {
        Self { says, ..self }
    }
}

const TOLERATED: Class = Class::Tolerated;
const READ: Class = Class::Read;
const UNEXPECTED: Class = Class::AtOnce(Reason::UnexpectedAnswer);
const CONNECTION: Class = Class::Second(Reason::ConnectionFailed);
const UNTRUSTED: Class = Class::Stalled(Reason::CertificateUntrusted);
const UNAVAILABLE: Class = Class::Second(Reason::ServiceUnavailable);
const SERVER_ERROR: Class = Class::Second(Reason::ServerError);
const RATE_LIMITED: Class = Class::Second(Reason::RateLimited);
const TIMEOUT: [Class; 4] = {
    let second = Class::Second(Reason::Timeout);
    [second, Class::AtOnceUntilInterval(Reason::Timeout), second, second]
};

fn row(list: &'static str, name: &str, fault: Fault, classes: [Class; 4]) -> Row {
    Row { list, name: name.to_owned(), fault, cells: classes.map(Cell::Is), says: "" }
}

fn all(list: &'static str, name: &str, fault: Fault, class: Class) -> Row {
    row(list, name, fault, [class; 4])
}

fn without_keystone(rule: Rule, mut row: Row) -> Row {
    row.cells[0] = Cell::Left(rule);
    row
}

fn nova_alone(name: &str, fault: Fault, class: Class) -> Row {
    let left = Cell::Left(Rule::NovaAloneHasPages);
    Row { list: CONTENT, name: name.to_owned(), fault, cells: [left, left, left, Cell::Is(class)], says: "" }
}

pub const NETWORK: &str = "Network";
pub const FRAMING: &str = "Framing";
pub const CONTENT: &str = "Content";
pub const FIELDS: &str = "Missing fields";
pub const STATUS: &str = "Status";
pub const LISTS: [&str; 5] = [NETWORK, FRAMING, CONTENT, FIELDS, STATUS];

pub fn rows() -> Vec<Row> {
    [network(), framing(), content(), fields(), statuses()].into_iter().flatten().collect()
}

fn network() -> Vec<Row> {
    let list = NETWORK;
    vec![
        all(list, "connection refused", Fault::Refused, CONNECTION),
        all(list, "the host name does not resolve", Fault::Dns, Class::Second(Reason::DNSFailed)),
        all(list, "no connection in time", Fault::ConnectTimeout, CONNECTION),
        all(list, "a certificate of an unknown authority", Fault::Tls(Tls::Untrusted), UNTRUSTED)
            .saying("its authority is unknown"),
        all(list, "an expired certificate", Fault::Tls(Tls::Expired), UNTRUSTED).saying("it has expired"),
        all(list, "a certificate for another host", Fault::Tls(Tls::OtherHost), UNTRUSTED)
            .saying("it is for another name"),
        all(list, "plain text on a TLS port", Fault::Tls(Tls::PlainText), CONNECTION).saying("is not TLS"),
        row(list, "no answer", Fault::Hang(Part::Nothing), TIMEOUT),
        row(list, "silence within the headers", Fault::Hang(Part::HalfOfHead), TIMEOUT),
        row(list, "silence after the headers", Fault::Hang(Part::Head), TIMEOUT),
        row(list, "silence within the body", Fault::Hang(Part::HalfOfBody), TIMEOUT),
        row(list, "one byte a second", Fault::Drip, TIMEOUT),
        all(list, "reset without an answer", Fault::Reset(Part::Nothing), CONNECTION),
        all(list, "reset within the headers", Fault::Reset(Part::HalfOfHead), CONNECTION),
        all(list, "reset after the headers", Fault::Reset(Part::Head), CONNECTION),
        all(list, "reset of an idle connection", Fault::ResetIdle, TOLERATED),
        all(list, "closed without an answer", Fault::Close(Part::Nothing), CONNECTION),
    ]
}

fn framing() -> Vec<Row> {
    let list = FRAMING;
    vec![
        all(list, "the connection closes within the headers", Fault::Close(Part::HalfOfHead), CONNECTION),
        all(list, "the connection closes within the body", Fault::Close(Part::HalfOfBody), CONNECTION),
        all(list, "a Content-Length of half of the body", Fault::Bytes(framing::short_length), UNEXPECTED),
        all(list, "a Content-Length of more than the body", Fault::Bytes(framing::long_length), CONNECTION),
        all(list, "garbage in the place of a chunk's size", Fault::Bytes(framing::garbage), UNEXPECTED)
            .saying("since the answer is not framed as HTTP requires"),
        all(
            list,
            "gzip that is none",
            Fault::Answer(|_, reply| reply.clone().with("content-encoding", "gzip")),
            UNEXPECTED,
        )
        .saying("since the answer could not be decompressed"),
        all(list, "a gzip bomb", Fault::Flood(framing::bomb), UNEXPECTED).saying("exceeds the size limit"),
        all(list, "a body of 1 GB", Fault::Flood(framing::long_body), UNEXPECTED).saying("exceeds the size limit"),
        all(list, "an empty body", Fault::Answer(|_, reply| reply.holding("")), UNEXPECTED),
        all(list, "60 KB of headers", Fault::Answer(framing::long_headers), TOLERATED),
        // Between 64 and 128 KB the result depends on how the bytes arrive.
        all(list, "300 KB of headers", Fault::Answer(framing::too_long_headers), UNEXPECTED)
            .saying("head of the answer"),
        row(list, "interim answers (103) without an end", Fault::Flood(framing::interim), TIMEOUT),
        all(list, "no answer of HTTP", Fault::Bytes(|_| b"SSH-2.0-OpenSSH_9.2\r\n".repeat(9)), CONNECTION),
    ]
}

fn content() -> Vec<Row> {
    let list = CONTENT;
    let answer = |name, change, classes| row(list, name, Fault::Answer(change), classes);
    let same = |name, change, class| all(list, name, Fault::Answer(change), class);
    let numbers = |name, change, classes| without_keystone(Rule::NoNumberInALogin, answer(name, change, classes));
    vec![
        same("HTML with status 200", |_, reply| reply.holding("<html><body>Log in</body></html>"), UNEXPECTED),
        same("another JSON object", |_, reply| reply.holding(r#"{"result": "ok"}"#), UNEXPECTED),
        same("a JSON list", |_, reply| reply.holding("[]"), UNEXPECTED),
        answer("bytes after the JSON", content::stray_bytes, [UNEXPECTED, UNEXPECTED, TOLERATED, UNEXPECTED]),
        same("an object in the place of a needed value", content::wrong_type, UNEXPECTED),
        same("null in the place of every value", content::nulls, UNEXPECTED),
        numbers("a number as a string", content::number_as_string, [UNEXPECTED; 4]),
        numbers("1e400", content::huge_float, [UNEXPECTED; 4]),
        numbers("-1", content::negative, [UNEXPECTED; 4]),
        numbers("2^63", content::two_to_63, [UNEXPECTED, READ, UNEXPECTED, UNEXPECTED]),
        answer("invalid UTF-8", content::invalid_utf8, [TOLERATED, UNEXPECTED, UNEXPECTED, UNEXPECTED]),
        same("a byte order mark", content::byte_order_mark, UNEXPECTED),
        answer("a key twice", content::duplicate_key, [UNEXPECTED, UNEXPECTED, TOLERATED, UNEXPECTED]),
        same("10,000 lists within lists", |_, reply| reply.holding(content::nested()), UNEXPECTED),
        answer(
            "10,000 lists within lists, in an unknown field",
            content::nested_field,
            [TOLERATED, TOLERATED, UNEXPECTED, TOLERATED],
        ),
        answer("100,000 rows", content::many_rows, [TOLERATED, UNEXPECTED, UNEXPECTED, READ]),
        answer("a string of 1 MB", content::long_string, [READ, UNEXPECTED, UNEXPECTED, UNEXPECTED]),
        answer("an unknown value of an enumeration", content::unknown_value, [TOLERATED, READ, READ, READ]),
        nova_alone("a page link that leads back", Fault::Answer(content::looping_link), UNEXPECTED),
        nova_alone("a page link to another host", Fault::Answer(content::foreign_link), TOLERATED),
        nova_alone("a page link without a marker", Fault::Answer(content::link_without_marker), UNEXPECTED),
    ]
}

/// One row for each field that an answer may lack.
fn fields() -> Vec<Row> {
    let mut rows = Vec::new();
    for (service, fields) in content::FIELDS.iter().enumerate() {
        for (name, fault, class) in *fields {
            // The other services' answers have no such field.
            let mut cells = [None; 4];
            cells[service] = Some(Cell::Is(*class));
            rows.push((name, fault, cells));
        }
    }
    rows.into_iter()
        .map(|(name, fault, cells)| Row {
            list: FIELDS,
            name: (*name).to_owned(),
            fault: Fault::Answer(*fault),
            cells: cells.map(|cell| cell.unwrap_or(Cell::Left(Rule::FieldOfAnother))),
            says: "",
        })
        .collect()
}

/// An answer with this status and a body that says nothing.
macro_rules! status {
    ($code:literal) => {
        Fault::Answer(|_, _| Reply::json($code, r#"{"message": "no"}"#))
    };
    ($code:literal, $name:literal: $value:expr) => {
        Fault::Answer(|_, reply| Reply { status: $code, ..reply.clone() }.holding("{}").with($name, $value))
    };
}

/// A redirect to the same address, once.
macro_rules! moved {
    ($code:literal) => {
        Fault::Once(|request, _| Reply::json($code, "").with("location", &request.path))
    };
}

/// A redirect to another host. Its address has a secret.
macro_rules! elsewhere {
    ($code:literal) => {
        Fault::Answer(|_, _| {
            Reply::json($code, "").with("location", &format!("http://user:{MARK}secret@elsewhere.test/"))
        })
    };
}

fn statuses() -> Vec<Row> {
    let list = STATUS;
    let each = |name: &str, fault, class| all(list, name, fault, class);
    let stalled =
        |reason| [Class::LoginRefused, Class::Stalled(reason), Class::Stalled(reason), Class::Stalled(reason)];
    let refused = Class::Stalled(Reason::AddressRefused);
    let wait = |reason, seconds| Class::SecondAfter(reason, seconds);
    vec![
        each("204", status!(204), UNEXPECTED),
        each("206 with the whole body", Fault::Answer(|_, reply| Reply { status: 206, ..reply.clone() }), UNEXPECTED),
        each("300", status!(300), UNEXPECTED).saying("the unexpected status 300"),
        each("301 to the same host", moved!(301), TOLERATED),
        each("302 to the same host", moved!(302), TOLERATED),
        each("307 to the same host", moved!(307), TOLERATED),
        each("301 to another host", elsewhere!(301), refused),
        each("302 to another host", elsewhere!(302), refused),
        each("307 to another host", elsewhere!(307), refused),
        each("301 to itself without an end", Fault::Answer(content::endless_redirect), refused),
        each("301 without an address", status!(301), UNEXPECTED),
        each("304", status!(304), UNEXPECTED),
        each("400", status!(400), UNEXPECTED),
        without_keystone(
            Rule::KeystoneHasNoNewToken,
            each("401 once", Fault::Once(|_, _| Reply::json(401, "{}")), TOLERATED),
        ),
        row(list, "401 at each request", Fault::Answer(content::unauthorized), stalled(Reason::TokenRejected)),
        row(list, "403", status!(403), stalled(Reason::Forbidden)),
        row(list, "404", status!(404), stalled(Reason::EndpointNotFound)),
        each("405", status!(405), UNEXPECTED),
        each("406", status!(406), UNEXPECTED),
        each("408", status!(408), UNEXPECTED),
        each("409", status!(409), UNEXPECTED),
        each("413", status!(413), UNEXPECTED),
        each("413 with Retry-After: 120", status!(413, "retry-after": "120"), wait(Reason::RateLimited, 120)),
        each("413 with Nova's `overLimit`", Fault::Answer(|_, _| Reply::json(413, OVER_LIMIT)), RATE_LIMITED),
        each("418", status!(418), UNEXPECTED).saying("the unexpected status 418"),
        each("429", status!(429), RATE_LIMITED),
        each("429 with Retry-After: 120", status!(429, "retry-after": "120"), wait(Reason::RateLimited, 120)),
        each("429 with Retry-After: a date in 120 s", Fault::Answer(content::retry_at), wait(Reason::RateLimited, 120)),
        each("429 with Retry-After: a date in the past", status!(429, "retry-after": PAST), RATE_LIMITED),
        each(
            "429 with Retry-After: 99999999999",
            status!(429, "retry-after": "99999999999"),
            wait(Reason::RateLimited, 3600),
        ),
        each("429 with Retry-After: no time", status!(429, "retry-after": "soon"), RATE_LIMITED),
        each("500", status!(500), SERVER_ERROR),
        each("501", status!(501), SERVER_ERROR),
        each("502", status!(502), SERVER_ERROR),
        each("503 of a proxy", Fault::Answer(|_, _| Reply::json(503, "<html>503</html>")), UNAVAILABLE),
        each("503 with Retry-After: 120", status!(503, "retry-after": "120"), wait(Reason::ServiceUnavailable, 120)),
        row(
            list,
            "503 with Heat's JSON about its engines",
            Fault::Answer(|_, _| Reply::json(503, ENGINES_DOWN)),
            [UNAVAILABLE, Class::Unhealthy(Reason::EngineUnresponsive), UNAVAILABLE, UNAVAILABLE],
        ),
        each("504", status!(504), UNAVAILABLE).saying("A proxy in front of"),
        each("599", status!(599), SERVER_ERROR),
    ]
}

const PAST: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const OVER_LIMIT: &str = r#"{"overLimit": {"code": 413, "message": "This request was rate-limited."}}"#;
const ENGINES_DOWN: &str = r#"{"code": 503, "title": "Service Unavailable", "explanation": "x",
    "error": {"type": "HTTPServiceUnavailable", "traceback": null, "message": "All heat engines are down."}}"#;

impl Class {
    /// The cell of the page.
    pub fn text(self) -> String {
        match self {
            Self::Tolerated => "as without the fault".to_owned(),
            Self::Read => "True".to_owned(),
            Self::Unhealthy(reason) => format!("**False** {}", link(reason)),
            Self::Second(reason) => format!("2nd: {}", link(reason)),
            Self::SecondAfter(reason, seconds) => format!("2nd: {}, {seconds} s", link(reason)),
            Self::AtOnce(reason) => link(reason),
            Self::AtOnceUntilInterval(reason) => format!("{}, interval", link(reason)),
            Self::Stalled(reason) => format!("{}, Stalled", link(reason)),
            Self::StalledUntilInterval(reason) => format!("{}, Stalled, interval", link(reason)),
            Self::LoginRefused => format!("{}, Stalled, 465 s", link(Reason::AuthenticationFailed)),
        }
    }

    /// The wait from the first failure to the next call.
    pub const fn wait(self) -> Duration {
        Duration::from_secs(match self {
            Self::Tolerated | Self::Read | Self::AtOnceUntilInterval(_) | Self::StalledUntilInterval(_) => 300,
            // The probes' waits of 15, 30, 60, 120 and 240 s. No login is sent in the first five minutes of them.
            Self::LoginRefused => 465,
            Self::Unhealthy(_) => 5,
            Self::Second(_) | Self::AtOnce(_) | Self::Stalled(_) => 15,
            Self::SecondAfter(_, seconds) => seconds,
        })
    }

    /// The reason of the condition while the probe fails.
    pub const fn failure(self) -> Option<Reason> {
        match self {
            Self::Tolerated | Self::Read | Self::Unhealthy(_) => None,
            Self::Second(reason)
            | Self::SecondAfter(reason, _)
            | Self::AtOnce(reason)
            | Self::AtOnceUntilInterval(reason)
            | Self::Stalled(reason)
            | Self::StalledUntilInterval(reason) => Some(reason),
            Self::LoginRefused => Some(Reason::AuthenticationFailed),
        }
    }
}

fn link(reason: Reason) -> String {
    format!("[`{reason}`](reasons.md#{})", reason.as_str().to_lowercase())
}
