//! Verifies signed requests (`SDK-HMAC-SHA256`) as the vendor's gateway does. It shares no code with the operator.

use ring::{digest, hmac};
use url::form_urlencoded;

/// What the `Authorization` header of a signed request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The access key.
    pub access: String,
    /// The names of the signed headers, in the order of the header.
    pub signed_headers: Vec<String>,
    /// The signature in hexadecimal digits.
    pub signature: String,
}

/// A request as the gateway received it.
pub struct Received<'a> {
    /// The method.
    pub method: &'a str,
    /// The path as it was sent.
    pub path: &'a str,
    /// The query as it was sent, without the question mark.
    pub query: &'a str,
    /// All headers.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

impl Claim {
    /// Reads an `Authorization` header; `None` if it is no signature of this scheme.
    #[must_use]
    pub fn read(authorization: &str) -> Option<Self> {
        let mut fields = authorization.strip_prefix("SDK-HMAC-SHA256 ")?.split(',').map(str::trim);
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        Some(Self {
            access: field("Access")?,
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("Signature")?,
        })
    }
}

impl Received<'_> {
    fn header(&self, wanted: &str) -> &str {
        self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map_or("", |(_, value)| value.trim())
    }

    /// The canonical request, whose hash is signed.
    #[must_use]
    pub fn canonical(&self, claim: &Claim) -> String {
        let mut names = claim.signed_headers.clone();
        names.sort();
        let headers: Vec<_> = names.iter().map(|name| format!("{name}:{}", self.header(name))).collect();
        let mut pairs: Vec<_> = form_urlencoded::parse(self.query.as_bytes()).into_owned().collect();
        pairs.sort();
        let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        let mut path: String = self.path.split('/').map(|part| escaped(&unescaped(part))).collect::<Vec<_>>().join("/");
        // The vendor unescapes the path before it takes it apart.
        path = path.replace("%2F", "/");
        if !path.ends_with('/') {
            path.push('/');
        }
        let body = hex(digest::digest(&digest::SHA256, self.body).as_ref());
        [self.method, &path, &query.join("&"), &headers.join("\n"), "", &names.join(";"), &body].join("\n")
    }

    /// The signature that the request must have.
    #[must_use]
    pub fn signature(&self, claim: &Claim, secret: &str) -> String {
        let hash = hex(digest::digest(&digest::SHA256, self.canonical(claim).as_bytes()).as_ref());
        let text = ["SDK-HMAC-SHA256", self.header("x-sdk-date"), &hash].join("\n");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hex(hmac::sign(&key, text.as_bytes()).as_ref())
    }
}

fn unescaped(part: &str) -> String {
    let part = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(part.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let form: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    form.replace('+', "%20").replace('*', "%2A").replace("%7E", "~")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
