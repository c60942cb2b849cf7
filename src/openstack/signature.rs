//! Signatures of requests by an access key (AK/SK): the vendor's scheme `SDK-HMAC-SHA256`.
//!
//! [`authorization`] is pure. A signature covers the method, the path, the query, the host, the project and the time, so
//! each request needs one of its own, also after a redirect.

mod refusal;
mod signer;

use jiff::Timestamp;
pub use refusal::{ClockGap, SignatureRefusal};
use reqwest::{
    Request,
    header::{AUTHORIZATION, HOST, HeaderName, HeaderValue},
};
use ring::{digest, hmac};
pub(super) use signer::Signer;
use url::Url;

use super::{Error, Secret};

const ALGORITHM: &str = "SDK-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-sdk-date");
const PROJECT: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");

/// An access key with its secret key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Keys {
    /// The access key, which the cloud receives. It is not confidential, but it is shown nowhere either.
    pub(super) access: Secret,
    /// The secret key, which never leaves the process.
    pub(super) secret: Secret,
    /// Only temporary access keys have it.
    pub(super) security_token: Option<Secret>,
}

impl Keys {
    /// The total length of its texts, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        let token = self.security_token.as_ref().map_or(0, |token| token.expose().len());
        self.access.expose().len() + self.secret.expose().len() + token
    }

    /// The part of a signed request that must not appear in the log: a cloud repeats signed headers in its refusals.
    pub(super) fn confidential(&self) -> &str {
        self.security_token.as_ref().map_or("", Secret::expose)
    }
}

/// The parts of a request that a signature covers.
struct Parts<'a> {
    method: &'a str,
    /// The path of the URL, percent-encoded.
    path: &'a str,
    /// The query of the URL, percent-encoded.
    query: &'a str,
    /// The signed headers.
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

/// The value of `Authorization` for a request whose `X-Sdk-Date` is `date`.
fn authorization(parts: &Parts<'_>, date: &str, keys: &Keys) -> String {
    let mut headers: Vec<_> =
        parts.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim())).collect();
    headers.sort();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (path, query) = (canonical_path(parts.path), canonical_query(parts.query));
    let canonical = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{}", parts.method, sha256(parts.body));
    let text = format!("{ALGORITHM}\n{date}\n{}", sha256(canonical.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, keys.secret.expose().as_bytes());
    let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    format!("{ALGORITHM} Access={}, SignedHeaders={names}, Signature={signature}", keys.access.expose())
}

/// Signs a request for a project, in place of an earlier signature.
fn sign(request: &mut Request, project: Option<&str>, at: Timestamp, keys: &Keys) -> Result<(), Error> {
    let host = host_header(request.url());
    let date = at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut signed = vec![(HOST, host.as_str()), (DATE, date.as_str())];
    signed.extend(project.map(|id| (PROJECT, id)));
    signed.extend(keys.security_token.as_ref().map(|token| (SECURITY_TOKEN, token.expose())));
    let named: Vec<_> = signed.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let url = request.url();
    let (method, path) = (request.method().as_str(), url.path());
    let parts = Parts { method, path, query: url.query().unwrap_or_default(), headers: &named, body };
    let authorization = authorization(&parts, &date, keys);
    signed.push((AUTHORIZATION, &authorization));
    for (name, value) in signed {
        let mut header =
            HeaderValue::from_str(value).map_err(|_| Error::Unexpected("the access key is no header value"))?;
        header.set_sensitive(name == AUTHORIZATION || name == SECURITY_TOKEN);
        request.headers_mut().insert(name, header);
    }
    Ok(())
}

/// The host as the HTTP client sends it: with the port unless it is the scheme's default.
fn host_header(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The path decoded, each segment encoded again, with a slash at the end.
fn canonical_path(path: &str) -> String {
    let decoded = decoded(path.as_bytes());
    let mut canonical = decoded.split(|byte| *byte == b'/').map(encoded).collect::<Vec<_>>().join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// The parameters decoded, sorted by name and value, and encoded again.
fn canonical_query(query: &str) -> String {
    let field = |text: &str| decoded(text.replace('+', " ").as_bytes());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (field(name), field(value))
    };
    let mut pairs: Vec<_> = query.split('&').filter(|text| !text.is_empty()).map(pair).collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

/// Decodes `%41`. Other text stays as it is.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escape = digit(text.get(at + 1)).zip(digit(text.get(at + 2))).filter(|_| *byte == b'%');
        match escape.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                at += 3;
            }
            None => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    bytes
}

/// Encodes each byte that is not unreserved in RFC 3986.
fn encoded(bytes: impl AsRef<[u8]>) -> String {
    let encode = |byte: &u8| match *byte {
        plain @ (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~') => char::from(plain).to_string(),
        other => format!("%{other:02X}"),
    };
    bytes.as_ref().iter().map(encode).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::Method;
    use testkit::signature::{Claim, Received};

    use super::*;

    fn keys(access: &str, secret: &str, token: Option<&str>) -> Keys {
        let secret_of = |text: &str| Secret::from(text.to_owned());
        Keys { access: secret_of(access), secret: secret_of(secret), security_token: token.map(secret_of) }
    }

    /// The test vectors of the vendor's SDKs: huaweicloud-sdk-go-v3 (`signer_test.go`) and huaweicloud-sdk-python-v3
    /// (`test_signer.py`).
    #[test]
    fn the_vendors_vectors() {
        let go = [("X-Sdk-Date", "20060102T150405Z")];
        let python = [("Host", "service.endpoint.myhuaweicloud.com"), ("X-Sdk-Date", "20200608T023900Z")];
        for (method, path, query, headers, body, names, signature) in [
            (
                "GET",
                "/path",
                "limit=1",
                &go[..],
                "",
                "x-sdk-date",
                "5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624",
            ),
            (
                "POST",
                "/path",
                "key=value",
                &go,
                "{\"Name\":\"test\",\"Id\":1}\n",
                "x-sdk-date",
                "cecc2af119b18ab70b4d094c0750f3b42c02f254903179a0fc2cc72fc9db4f59",
            ),
            (
                "GET",
                "/resources",
                "size=1",
                &python,
                "",
                "host;x-sdk-date",
                "cfb4171acec81de07d50e53d57eb77edd537414d66ddb1d7d780f128e12cd842",
            ),
            (
                "POST",
                "/resources",
                "size=1",
                &python,
                r#"{"name":"test","id":1}"#,
                "host;x-sdk-date",
                "436b1ac0a1ae03705934bb70ef2f2e09f7bfed2117d731a38235053199323a1f",
            ),
        ] {
            let parts = Parts { method, path, query, headers, body: body.as_bytes() };
            let date = headers.iter().find(|(name, _)| *name == "X-Sdk-Date").unwrap().1;
            let expected = format!("SDK-HMAC-SHA256 Access=AccessKey, SignedHeaders={names}, Signature={signature}");
            assert_eq!(authorization(&parts, date, &keys("AccessKey", "SecretKey", None)), expected, "{method} {path}");
        }
        assert_eq!(
            canonical_query(
                "limit=1&enable=true&test=%E4%B8%80+(%26%3D?!%23%25.*)&path=/tmp/123&multi=3&multi=1&multi=2"
            ),
            "enable=true&limit=1&multi=1&multi=2&multi=3&path=%2Ftmp%2F123&test=%E4%B8%80%20%28%26%3D%3F%21%23%25.%2A%29"
        );
    }

    #[test]
    fn canonical_paths() {
        for (path, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/v3/auth/catalog", "/v3/auth/catalog/"),
            ("/v1.0/p/instances/status/", "/v1.0/p/instances/status/"),
            ("/a%20b/~c", "/a%20b/~c/"),
            ("/a+b/%2a", "/a%2Bb/%2A/"),
            ("/%zz", "/%25zz/"),
        ] {
            assert_eq!(canonical_path(path), canonical, "{path}");
        }
    }

    #[test]
    fn a_signed_request_has_these_headers_and_shows_none_of_them() {
        let keys = keys("AKIDAKID", "SKSKSKSK", Some("STSTSTST"));
        let url = Url::parse("https://DCS.example:8443/v1.0/p/instances/status?b=2&a=1").unwrap();
        let mut request = Request::new(Method::GET, url);
        let at = "2026-11-22T05:00:00.9Z".parse().unwrap();
        sign(&mut request, Some("p1"), at, &keys).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("host"), "dcs.example:8443");
        assert_eq!(header("x-sdk-date"), "20261122T050000Z");
        assert_eq!((header("x-project-id"), header("x-security-token")), ("p1", "STSTSTST"));
        assert!(header("authorization").starts_with(
            "SDK-HMAC-SHA256 Access=AKIDAKID, SignedHeaders=host;x-project-id;x-sdk-date;x-security-token, Signature="
        ));
        let shown = format!("{request:?} {keys:?}");
        assert!(!["AKIDAKID", "SKSKSKSK", "STSTSTST"].iter().any(|secret| shown.contains(secret)), "{shown}");
        let first = header("authorization").to_owned();
        request.url_mut().set_path("/elsewhere");
        sign(&mut request, Some("p1"), at, &keys).unwrap();
        assert_ne!(request.headers()["authorization"].to_str().unwrap(), first, "a redirect is signed again");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the URL holds, the verifier of the simulated cloud computes the same signature.
        #[test]
        fn every_url_is_signed_as_it_is_verified(
            path in "([a-zA-Z0-9/ .~_+*!'()ü-]|%20|%2F|%25|%41|%C3%BC){0,30}",
            pairs in proptest::collection::vec(("\\PC{0,8}", "\\PC{0,8}"), 0..5),
            raw in "[a-z&=+]{0,12}",
            project in proptest::option::of("[a-f0-9]{1,8}"),
            token in proptest::option::of("[!-~]{1,20}"),
        ) {
            let mut url = Url::parse("http://dcs.example:8080").unwrap();
            url.set_path(&path);
            url.set_query(Some(&raw).filter(|raw| !raw.is_empty()).map(String::as_str));
            url.query_pairs_mut().extend_pairs(pairs);
            let mut request = Request::new(Method::GET, url);
            let keys = keys("ak", "sk", token.as_deref());
            sign(&mut request, project.as_deref(), Timestamp::UNIX_EPOCH, &keys).unwrap();
            let headers: Vec<_> = request.headers().iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
            let claim = Claim::read(request.headers()["authorization"].to_str().unwrap()).unwrap();
            let url = request.url();
            let received = Received {
                method: "GET", path: url.path(), query: url.query().unwrap_or_default(), headers: &headers, body: b"",
            };
            prop_assert_eq!(received.signature(&claim, "sk"), claim.signature, "{}", url);
        }
    }
}
