//! Reads the CloudTenants of a namespace in pages, and keeps only what the decisions need.

use std::time::Duration;

use kube::{
    Client, Resource as _,
    api::{ListParams, Request},
};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    api::CloudTenant,
    decide::set::{Child, SetTarget, Unread},
    share::{Priority, Shares},
    watched::object::{Members, members, value},
    words::word,
};

/// Objects in a page. One object can have more than 1 MiB, and a page is in memory twice.
const PAGE: u32 = 20;

/// CloudTenants of one namespace that the operator reads. One without a label of a set takes some 300 bytes.
const MOST: usize = 100_000;

/// Longest wait for a page.
const DEADLINE: Duration = Duration::from_secs(10);

/// The metadata that are kept. `managedFields` say which fields the sets' field manager owns.
const METADATA: [&str; 8] = [
    "name",
    "uid",
    "resourceVersion",
    "labels",
    "annotations",
    "ownerReferences",
    "deletionTimestamp",
    "managedFields",
];

/// The reasons why the CloudTenants cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    /// There was no answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
    /// There are more than the operator reads.
    #[error("the namespace has more than {MOST} CloudTenants")]
    TooMany,
    /// The answer is not a list.
    #[error("the answer is not a list of CloudTenants")]
    Unexpected,
    /// The API server refused the list or was not reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

impl ListError {
    /// Why the CloudTenants cannot be read, as the set says it.
    pub(super) fn why(&self) -> Unread {
        match self {
            Self::Timeout => Unread::Timeout,
            Self::TooMany => Unread::TooMany,
            Self::Unexpected => Unread::Unexpected,
            Self::Kube(kube::Error::Api(status)) if status.code == 403 => Unread::Forbidden,
            Self::Kube(kube::Error::FromUtf8(_) | kube::Error::SerdeError(_)) => Unread::Unexpected,
            Self::Kube(_) => Unread::Unavailable,
        }
    }
}

/// The CloudTenants of a namespace.
#[derive(Debug, Default)]
pub(super) struct Children {
    pub(super) all: Vec<Child>,
    /// The name of the first one that cannot be read.
    pub(super) unreadable: Option<String>,
}

/// Lists all CloudTenants of the set's namespace. One that cannot be read is left out and named in the log. `pages` has one
/// place, since a page of large objects takes tens of megabytes.
pub(super) async fn list(
    client: &Client,
    namespace: &str,
    target: &SetTarget,
    pages: &Shares,
) -> Result<Children, ListError> {
    let mut children = Children::default();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let request = Request::new(CloudTenant::url_path(&(), Some(namespace))).list(&parameters);
        let request = request.map_err(kube::Error::BuildRequest)?;
        let next = {
            let _page = pages.one(namespace.into(), Priority::Later).await;
            let page = tokio::time::timeout(DEADLINE, client.request_text(request)).await;
            let page = page.map_err(|_| ListError::Timeout)??;
            let known = children.all.len();
            let next = read(&page, &mut children).ok_or(ListError::Unexpected)?;
            children.all.iter_mut().skip(known).for_each(|child| child.trim(target));
            next
        };
        if children.all.len() > MOST {
            return Err(ListError::TooMany);
        }
        match next {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(children),
        }
    }
}

/// Reads a page. Returns the token of the next one, or `None` if the text is no list. A page without objects ends the list.
fn read(page: &str, children: &mut Children) -> Option<Option<String>> {
    let page = members(page);
    let items: Option<Vec<&RawValue>> = serde_json::from_str(page.get("items")?.get()).ok()?;
    let items = items.unwrap_or_default();
    for item in &items {
        let object = members(item.get());
        match Child::read(&kept(&object)) {
            Some(child) => children.all.push(child),
            None => {
                let name = name_of(&object);
                tracing::warn!(tenant = name, "a CloudTenant without a name or a UID is left out");
                children.unreadable.get_or_insert(name);
            }
        }
    }
    let metadata = page.get("metadata").map(|text| members(text.get())).unwrap_or_default();
    let next: Option<String> = value(&metadata, "continue");
    Some(next.filter(|token| !token.is_empty() && !items.is_empty()))
}

/// The name of an object that cannot be read, as the log and the status show it.
fn name_of(object: &Members<'_>) -> String {
    let fields = object.get("metadata").map(|text| members(text.get())).unwrap_or_default();
    let name: Option<String> = value(&fields, "name");
    name.map(|name| word(&name)).filter(|name| !name.is_empty()).unwrap_or_else(|| "one without a name".to_owned())
}

/// Returns the used parts of an object, each if it can be read. Anyone may write values of any depth into the others.
fn kept(object: &Members<'_>) -> Value {
    let fields = object.get("metadata").map(|text| members(text.get())).unwrap_or_default();
    let metadata = METADATA.into_iter().filter_map(|name| Some((name.to_owned(), value(&fields, name)?)));
    let status = object.get("status").map(|text| members(text.get())).unwrap_or_default();
    let conditions = value(&status, "conditions").map(|conditions: Value| ("conditions".to_owned(), conditions));
    let mut kept = Map::new();
    kept.insert("metadata".to_owned(), Value::Object(metadata.collect()));
    kept.insert("spec".to_owned(), value(object, "spec").unwrap_or_default());
    kept.insert("status".to_owned(), Value::Object(conditions.into_iter().collect()));
    Value::Object(kept)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::{share::Sharing, watched::object::WatchedSet};

    #[tokio::test]
    async fn pages_are_read_until_the_last_one_and_odd_objects_end_no_list() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let object = |name: &str, project: &str| {
            let metadata = json!({ "name": name, "uid": format!("uid-{name}"), "managedFields": "DEEP" });
            json!({ "metadata": metadata, "spec": { "projectID": project } }).to_string().replace("\"DEEP\"", &deep)
        };
        let page = |items: &[String], next: &str| {
            format!(r#"{{"metadata":{{"continue":"{next}"}},"items":[{}]}}"#, items.join(","))
        };
        let odd = r#"{"metadata":{"name":"odd one"}}"#.to_owned();
        let first = page(&[object("a", "1"), odd, "{}".to_owned(), "5".to_owned()], "n/e&xt");
        let second = page(&[object("b", "2")], "");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let queries = asked.clone();
        let server = axum::Router::new().fallback(async move |uri: axum::http::Uri| {
            let query = uri.query().unwrap_or_default().to_owned();
            let is_first = !query.contains("continue=");
            queries.lock().unwrap().push(query);
            if is_first { first.clone() } else { second.clone() }
        });
        let client = testkit::router::kube_client(server).await.unwrap();
        let set = json!({
            "metadata": { "name": "s", "namespace": "n", "uid": "u" },
            "spec": { "cloudCredentialsRef": { "secretName": "c" } },
        });
        let set = WatchedSet::read(&set.to_string()).0.unwrap();
        let target = SetTarget::new(&set).unwrap();
        let pages = Shares::new(1, Sharing::Everything);
        let children = list(&client, "n", &target, &pages).await.unwrap();
        assert_eq!(children.unreadable.as_deref(), Some("odd one"));
        let found: Vec<_> = children.all.iter().map(|child| (child.name.as_str(), child.project_id.as_str())).collect();
        assert_eq!(found, [("a", "1"), ("b", "2")]);
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_page_without_objects_ends_the_list() {
        for (page, next) in [
            (r#"{"metadata":{"continue":"t"},"items":[{}]}"#, Some(Some("t"))),
            (r#"{"metadata":{"continue":"t"},"items":[]}"#, Some(None)),
            (r#"{"metadata":{"continue":"t"},"items":null}"#, Some(None)),
            (r#"{"metadata":{"continue":5},"items":[{}]}"#, Some(None)),
            (r#"{"metadata":{"continue":"t"}}"#, None),
            (r#"{"metadata":{},"items":{}}"#, None),
            (r#"{"metadata":{},"items":[{]}"#, None),
            ("[]", None),
            ("<html>", None),
            ("", None),
        ] {
            let read = read(page, &mut Children::default());
            assert_eq!(read.as_ref().map(Option::as_deref), next, "{page}");
        }
    }

    /// Each line: what the API server answers | what the set says of it.
    #[tokio::test]
    async fn a_list_that_fails_has_a_reason() {
        for (code, body, why) in [
            (403, r#"{"kind":"Status","status":"Failure","code":403,"message":"no"}"#, Unread::Forbidden),
            (410, r#"{"kind":"Status","status":"Failure","code":410,"message":"expired"}"#, Unread::Unavailable),
            (503, "starting", Unread::Unavailable),
            (200, "<html>", Unread::Unexpected),
            (200, r#"{"items":5}"#, Unread::Unexpected),
        ] {
            let answer = (axum::http::StatusCode::from_u16(code).unwrap(), body);
            let client =
                testkit::router::kube_client(axum::Router::new().fallback(async move || answer)).await.unwrap();
            let set = json!({
                "metadata": { "name": "s", "namespace": "n", "uid": "u" },
                "spec": { "cloudCredentialsRef": { "secretName": "c" } },
            });
            let set = WatchedSet::read(&set.to_string()).0.unwrap();
            let pages = Shares::new(1, Sharing::Everything);
            let read = list(&client, "n", &SetTarget::new(&set).unwrap(), &pages).await;
            assert_eq!(read.unwrap_err().why(), why, "{code} {body}");
        }
    }
}
