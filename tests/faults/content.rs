//! Answers whose framing is right and whose content is not.

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use serde_json::{Value, json};

use crate::{
    http::{Reply, Request},
    secrets::MARK,
    table::Class,
};

/// The service whose answer this is, as the index of a column.
fn service(body: &Value) -> usize {
    let known = ["token", "services", "running_count", "tenant_usage"];
    known.iter().position(|name| body.get(name).is_some()).unwrap()
}

/// A value that the operator needs, by service.
const NEEDED: [&str; 4] = ["/token/expires_at", "/services/0/host", "/running_count", "/tenant_usage/total_hours"];
/// A number that the operator reads, by service. There is none in the answer to a login.
const NUMBER: [&str; 4] = ["", "/services/0/report_interval", "/running_count", "/tenant_usage/total_hours"];

fn read(reply: &Reply) -> (Value, usize) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let service = service(&body);
    (body, service)
}

/// Puts this text in the place of a value.
fn replaced(reply: &Reply, pointers: [&str; 4], text: impl Fn(&Value) -> String) -> Reply {
    const PLACE: &str = "the place of the value";
    let (mut body, service) = read(reply);
    let value = body.pointer_mut(pointers[service]).unwrap();
    let text = text(value);
    *value = PLACE.into();
    reply.holding(body.to_string().replace(&format!("\"{PLACE}\""), &text))
}

/// Puts a member before the others.
fn with_member(reply: &Reply, member: &[u8]) -> Reply {
    reply.holding([b"{", member, b",", &reply.body[1..]].concat())
}

pub fn stray_bytes(_: &Request, reply: &Reply) -> Reply {
    reply.holding([&reply.body[..], b"\n}"].concat())
}

pub fn wrong_type(_: &Request, reply: &Reply) -> Reply {
    replaced(reply, NEEDED, |_| "{}".to_owned())
}

pub fn nulls(_: &Request, reply: &Reply) -> Reply {
    fn nulled(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(nulled),
            Value::Object(members) => members.values_mut().for_each(nulled),
            other => *other = Value::Null,
        }
    }
    let (mut body, _) = read(reply);
    nulled(&mut body);
    reply.holding(body.to_string())
}

pub fn number_as_string(_: &Request, reply: &Reply) -> Reply {
    replaced(reply, NUMBER, |number| format!("\"{number}\""))
}

pub fn huge_float(_: &Request, reply: &Reply) -> Reply {
    replaced(reply, NUMBER, |_| "1e400".to_owned())
}

pub fn negative(_: &Request, reply: &Reply) -> Reply {
    replaced(reply, NUMBER, |_| "-1".to_owned())
}

pub fn two_to_63(_: &Request, reply: &Reply) -> Reply {
    replaced(reply, NUMBER, |_| (1_u64 << 63).to_string())
}

pub fn invalid_utf8(_: &Request, reply: &Reply) -> Reply {
    with_member(reply, b"\"\xff\xfe\": 1")
}

pub fn byte_order_mark(_: &Request, reply: &Reply) -> Reply {
    reply.holding([b"\xef\xbb\xbf", &reply.body[..]].concat())
}

pub fn duplicate_key(_: &Request, reply: &Reply) -> Reply {
    let (body, service) = read(reply);
    let name = ["token", "services", "running_count", "tenant_usage"][service];
    with_member(reply, format!("\"{name}\": {}", body[name]).as_bytes())
}

pub fn nested() -> String {
    format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))
}

pub fn nested_field(_: &Request, reply: &Reply) -> Reply {
    with_member(reply, format!("\"x\": {}", nested()).as_bytes())
}

/// 100,000 of what the answer lists.
pub fn many_rows(_: &Request, reply: &Reply) -> Reply {
    const ROWS: usize = 100_000;
    let (mut body, service) = read(reply);
    match service {
        0 => body["token"]["catalog"].as_array_mut().unwrap().extend(vec![json!({ "type": "x" }); ROWS]),
        1 => body["services"] = vec![json!({ "host": "h", "status": "up" }); ROWS].into(),
        2 => {
            let kinds = (0..ROWS).map(|number| (format!("kind-{number}"), json!({ "running_count": 1 })));
            body.as_object_mut().unwrap().extend(kinds);
        }
        _ => body["tenant_usage"]["server_usages"] = vec![json!({ "hours": 1, "flavor": "f" }); ROWS].into(),
    }
    reply.holding(body.to_string())
}

pub fn long_string(_: &Request, reply: &Reply) -> Reply {
    let long = "x".repeat(1 << 20);
    let (mut body, service) = read(reply);
    match service {
        0 => body["token"]["project"]["name"] = long.into(),
        1 => body["services"][0]["host"] = long.into(),
        2 => body[long] = 1.into(),
        _ => body["tenant_usage"]["server_usages"][0]["flavor"] = long.into(),
    }
    reply.holding(body.to_string())
}

pub fn unknown_value(_: &Request, reply: &Reply) -> Reply {
    let (mut body, service) = read(reply);
    match service {
        0 => {
            let odd = json!({ "type": "odd", "endpoints": [{ "interface": "odd", "region": "odd", "url": "odd" }] });
            body["token"]["catalog"].as_array_mut().unwrap().push(odd);
        }
        1 => body["services"][0]["status"] = "odd".into(),
        2 => body["odd_count"] = 1.into(),
        _ => body["tenant_usage"]["server_usages"][0]["state"] = "odd".into(),
    }
    reply.holding(body.to_string())
}

/// A link to the next page. Only the first page of each window has one, unless it is to lead back.
fn with_link(reply: &Reply, href: &str) -> Reply {
    let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
    body["tenant_usage_links"] = json!([{ "rel": "next", "href": href }]);
    reply.holding(body.to_string())
}

pub fn looping_link(_: &Request, reply: &Reply) -> Reply {
    // Nova does not know the marker.
    let page = Reply { status: 200, ..reply.clone() }.holding(r#"{"tenant_usage": {}}"#);
    with_link(&page, "http://nova.test/os-simple-tenant-usage/x?marker=again")
}

pub fn foreign_link(request: &Request, reply: &Reply) -> Reply {
    let (body, _) = read(reply);
    if request.path.contains("marker=") {
        return reply.clone();
    }
    let rows = body["tenant_usage"]["server_usages"].as_array().unwrap();
    let last = rows.iter().filter_map(|row| row["instance_id"].as_str()).max().unwrap_or_default();
    with_link(reply, &format!("http://user:{MARK}secret@elsewhere.test/x?marker={last}"))
}

pub fn link_without_marker(_: &Request, reply: &Reply) -> Reply {
    with_link(reply, "http://nova.test/os-simple-tenant-usage/x")
}

pub fn endless_redirect(request: &Request, _: &Reply) -> Reply {
    Reply::json(301, "").with("location", &request.path)
}

/// The service repeats what it was sent: the token, or the password.
pub fn unauthorized(request: &Request, _: &Reply) -> Reply {
    let sent = format!("refused: {} {}", request.header("x-auth-token"), request.body());
    Reply::json(401, json!({ "error": { "code": 401, "message": sent, "title": "Unauthorized" } }).to_string())
        .with("x-openstack-request-id", "req-1")
}

/// 120 s after the cloud's time.
pub fn retry_at(_: &Request, reply: &Reply) -> Reply {
    let date = reply.headers.iter().find(|(name, _)| name == "date").unwrap();
    let now: Timestamp = DateTimeParser::new().parse_timestamp(&date.1).unwrap();
    let at = now.checked_add(std::time::Duration::from_secs(120)).unwrap();
    let at = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    Reply { status: 429, ..reply.clone() }.holding("{}").with("retry-after", &at)
}

/// A field by name, the answer without it, and what the operator says of that.
type Field = (&'static str, fn(&Request, &Reply) -> Reply, Class);

/// The answer without this value. The last part of the pointer is the value's name.
fn without(reply: &Reply, pointer: &str) -> Reply {
    let (mut body, _) = read(reply);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    assert!(parent.remove(name).is_some(), "the answer has no {pointer}");
    reply.holding(body.to_string())
}

macro_rules! field {
    ($pointer:literal, $class:expr) => {
        ($pointer, |_: &Request, reply: &Reply| without(reply, $pointer), $class)
    };
}

const UNEXPECTED: Class = Class::AtOnce(cloudtenant_operator::api::Reason::UnexpectedAnswer);
/// Without the catalogue, services that were observed are gone.
const GONE: Class = Class::StalledUntilInterval(cloudtenant_operator::api::Reason::EndpointNotFound);
const READ: Class = Class::Read;
const TOLERATED: Class = Class::Tolerated;

fn without_token(_: &Request, reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    reply.headers.retain(|(name, _)| name != "x-subject-token");
    reply
}

/// Each field that the operator reads or that the service always sends, by service.
pub const FIELDS: [&[Field]; 4] = [
    &[
        ("the header X-Subject-Token", without_token, UNEXPECTED),
        field!("/token", UNEXPECTED),
        field!("/token/expires_at", UNEXPECTED),
        field!("/token/issued_at", TOLERATED),
        field!("/token/methods", TOLERATED),
        field!("/token/user", TOLERATED),
        field!("/token/user/id", TOLERATED),
        field!("/token/user/name", TOLERATED),
        field!("/token/user/domain", TOLERATED),
        field!("/token/roles", TOLERATED),
        field!("/token/project", READ),
        field!("/token/project/id", READ),
        field!("/token/project/name", READ),
        field!("/token/catalog", GONE),
    ],
    &[
        field!("/services", UNEXPECTED),
        field!("/services/0/host", UNEXPECTED),
        field!("/services/0/status", UNEXPECTED),
        field!("/services/0/id", TOLERATED),
        field!("/services/0/engine_id", TOLERATED),
        field!("/services/0/hostname", TOLERATED),
        field!("/services/0/binary", TOLERATED),
        field!("/services/0/topic", TOLERATED),
        field!("/services/0/report_interval", TOLERATED),
        field!("/services/0/created_at", TOLERATED),
        field!("/services/0/updated_at", READ),
        field!("/services/0/deleted_at", TOLERATED),
    ],
    &[
        field!("/running_count", READ),
        field!("/error_count", READ),
        field!("/createfailed_count", READ),
        field!("/redis", READ),
        field!("/redis/running_count", READ),
        field!("/redis/error_count", READ),
    ],
    &[
        field!("/tenant_usage", UNEXPECTED),
        field!("/tenant_usage/server_usages", UNEXPECTED),
        field!("/tenant_usage/start", UNEXPECTED),
        field!("/tenant_usage/stop", UNEXPECTED),
        field!("/tenant_usage/total_hours", UNEXPECTED),
        field!("/tenant_usage/total_vcpus_usage", UNEXPECTED),
        field!("/tenant_usage/total_memory_mb_usage", UNEXPECTED),
        field!("/tenant_usage/total_local_gb_usage", UNEXPECTED),
        field!("/tenant_usage/tenant_id", TOLERATED),
        field!("/tenant_usage/server_usages/0/hours", READ),
        field!("/tenant_usage/server_usages/0/flavor", READ),
        field!("/tenant_usage/server_usages/0/vcpus", READ),
        field!("/tenant_usage/server_usages/0/memory_mb", READ),
        field!("/tenant_usage/server_usages/0/local_gb", READ),
        field!("/tenant_usage/server_usages/0/ended_at", TOLERATED),
        field!("/tenant_usage/server_usages/0/state", TOLERATED),
    ],
];
