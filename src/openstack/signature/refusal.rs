//! Why a cloud refuses a signature, as far as its answer says it.

use std::fmt;

use jiff::SignedDuration;

use super::Keys;
use crate::openstack::{Answer, words::ErrorBody};

/// A smaller difference between the clocks is not why a signature is refused. Gateways allow up to 15 minutes.
pub(super) const SMALL_GAP: SignedDuration = SignedDuration::from_mins(1);

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureRefusal {
    /// The access key is not known, or the secret key is not its own.
    Keys,
    /// The temporary access key has expired.
    Expired,
    /// The cloud has locked the access key after several wrong signatures.
    Locked,
    /// The time of the signature is too far from the cloud's.
    Clock(ClockGap),
    /// Keystone accepts the signatures and the service does not.
    ByService,
}

/// How far the operator's clock is from the cloud's, in steps, so that a message does not change at each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockGap {
    /// Whether the operator's clock is behind.
    behind: bool,
    /// `None` if the answer does not say.
    more_than: Option<&'static str>,
}

impl ClockGap {
    /// The gap if the cloud's clock is so far ahead of the operator's.
    #[must_use]
    pub fn of(ahead: SignedDuration) -> Self {
        const STEPS: [(i64, &str); 7] = [
            (24 * 60, "a day"),
            (6 * 60, "6 hours"),
            (60, "an hour"),
            (30, "30 minutes"),
            (15, "15 minutes"),
            (5, "5 minutes"),
            (1, "a minute"),
        ];
        let minutes = i64::try_from(ahead.unsigned_abs().as_secs() / 60).unwrap_or(i64::MAX);
        let more_than = STEPS.iter().find(|(step, _)| minutes >= *step).map(|(_, text)| *text);
        Self { behind: ahead.is_positive(), more_than }
    }
}

/// Prints the gap as the part of a sentence that follows "the operator's clock is".
impl fmt::Display for ClockGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.behind { "behind" } else { "ahead of" };
        match self.more_than {
            Some(text) => write!(f, "more than {text} {side} the cloud's"),
            None => f.write_str("not the cloud's"),
        }
    }
}

/// Whether the answer refuses the signature itself, and not what the request asks for.
pub(super) fn refuses(answer: &Answer) -> bool {
    answer.status == 401 || answer.status == 403 && is_of_gateway(&ErrorBody::of(&answer.body))
}

/// Whether it is a gateway's refusal of the authentication: `APIGW.0301`, or `APIG.0301` of older gateways, and the
/// codes beside it.
fn is_of_gateway(error: &ErrorBody) -> bool {
    let code = error.code.as_ref().map(ToString::to_string).unwrap_or_default();
    let number = code.strip_prefix("APIGW.").or_else(|| code.strip_prefix("APIG."));
    number.is_some_and(|number| matches!(number, "0301" | "0303" | "0305" | "0307"))
}

/// Whether the answer to a call with a token asks for a signature: the gateway refuses the authentication, or the answer
/// names the scheme.
pub(super) fn asks_for_signature(answer: &Answer) -> bool {
    let error = ErrorBody::of(&answer.body);
    let text = error.text.to_ascii_lowercase();
    let scheme = answer.header("www-authenticate").is_some_and(|scheme| scheme.contains(super::ALGORITHM));
    scheme || is_of_gateway(&error) || ["ak/sk", "aksk", "sdk-hmac-sha256"].iter().any(|part| text.contains(part))
}

/// Why the answer refuses the signature. `ahead` is how far the cloud's clock was ahead of the signature's time, if the
/// answer says it.
pub(super) fn why(answer: &Answer, keys: &Keys, ahead: Option<SignedDuration>) -> SignatureRefusal {
    let text = ErrorBody::of(&answer.body).text.to_ascii_lowercase();
    let says = |part: &str| text.contains(part);
    let far = ahead.filter(|ahead| ahead.abs() > SMALL_GAP);
    if let Some(ahead) = far {
        return SignatureRefusal::Clock(ClockGap::of(ahead));
    }
    // "calc aksk signature fail:signature expired, signature time:…,server time:…"
    if says("signature expired") || says("signature time") {
        return SignatureRefusal::Clock(ClockGap::of(ahead.unwrap_or_default()));
    }
    // "AK access failed to reach the limit,forbidden"
    if says("reach the limit") {
        return SignatureRefusal::Locked;
    }
    // "verify aksk signature fail" says that the access key is known, and that its secret key is another one.
    let known = says("signature fail") || says("signature does not match");
    if keys.security_token.is_some() && !known {
        return SignatureRefusal::Expired;
    }
    SignatureRefusal::Keys
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::openstack::{Secret, answer::Held};

    /// The texts are those in the vendor's documentation and in reports of its users.
    #[test]
    fn why_a_signature_is_refused() {
        let said = |text: &str| {
            format!(
                r#"{{"error_msg": "Incorrect IAM authentication information: {text}", "error_code": "APIGW.0301"}}"#
            )
        };
        let gap = |minutes| SignatureRefusal::Clock(ClockGap::of(SignedDuration::from_mins(minutes)));
        let unknown = SignatureRefusal::Clock(ClockGap::of(SignedDuration::ZERO));
        let expired = said(
            "calc aksk signature fail:signature expired, signature time:20211217T064303Z,server time:20211217T065804Z",
        );
        let wrong = said("verify aksk signature fail, canonicalRequest:GET|/v1/p/vpcs/||host:vpc|");
        let no_key = said("Get secretKey failed,ak:******,err:ak not exist");
        let locked = said("AK access failed to reach the limit,forbidden.");
        let token = said("decrypt securityToken fail");
        for (body, temporary, minutes, expected) in [
            (&expired, false, Some(15), gap(15)),
            (&expired, true, Some(-20), gap(-20)),
            (&expired, false, None, unknown),
            (&expired, false, Some(0), unknown),
            (&wrong, false, Some(0), SignatureRefusal::Keys),
            (&wrong, true, None, SignatureRefusal::Keys),
            (&wrong, false, Some(30), gap(30)),
            (&no_key, false, None, SignatureRefusal::Keys),
            (&no_key, true, None, SignatureRefusal::Expired),
            (&token, true, None, SignatureRefusal::Expired),
            (&locked, false, None, SignatureRefusal::Locked),
            (&locked, true, None, SignatureRefusal::Locked),
            (&"<html>".to_owned(), false, None, SignatureRefusal::Keys),
            (&"<html>".to_owned(), true, None, SignatureRefusal::Expired),
        ] {
            let answer = Answer::new(401, HeaderMap::new(), body.clone().into_bytes(), Held::default());
            let secret = |text: &str| Secret::from(text.to_owned());
            let token = temporary.then(|| secret("t"));
            let keys = Keys { access: secret("a"), secret: secret("s"), security_token: token };
            assert_eq!(why(&answer, &keys, minutes.map(SignedDuration::from_mins)), expected, "{body} {minutes:?}");
        }
    }

    #[test]
    fn which_answers_refuse_a_signature() {
        for (status, code, expected) in [
            (401, "", true),
            (401, "APIGW.0301", true),
            (403, "APIGW.0301", true),
            (403, "APIG.0301", true),
            (403, "APIGW.0302", false),
            (403, "DCS.4003", false),
            (403, "", false),
            (404, "APIGW.0101", false),
            (429, "APIGW.0308", false),
            (200, "APIGW.0301", false),
        ] {
            let body = format!(r#"{{"error_code": "{code}", "error_msg": "x"}}"#);
            let answer = Answer::new(status, HeaderMap::new(), body.into_bytes(), Held::default());
            assert_eq!(refuses(&answer), expected, "{status} {code}");
        }
    }

    #[test]
    fn which_answers_ask_for_a_signature() {
        for (scheme, body, expected) in [
            ("", r#"{"error_code": "APIGW.0301", "error_msg": "decrypt token fail"}"#, true),
            ("", r#"{"error_code": "APIG.0301", "error_msg": "decrypt token fail"}"#, true),
            ("", r#"{"error_code": "DCS.4001", "error_msg": "use AK/SK authentication"}"#, true),
            ("SDK-HMAC-SHA256 realm=dcs", "", true),
            ("Keystone uri=\"http://k\"", r#"{"error": {"code": 401, "message": "requires authentication"}}"#, false),
            ("", r#"{"error_code": "APIGW.0308", "error_msg": "throttled"}"#, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("www-authenticate", scheme.parse().unwrap());
            let answer = Answer::new(401, headers, body.as_bytes().to_vec(), Held::default());
            assert_eq!(asks_for_signature(&answer), expected, "{scheme} {body}");
        }
    }

    #[test]
    fn a_gap_is_shown_in_steps() {
        for (seconds, text) in [
            (0, "not the cloud's"),
            (59, "not the cloud's"),
            (61, "more than a minute behind the cloud's"),
            (899, "more than 5 minutes behind the cloud's"),
            (-901, "more than 15 minutes ahead of the cloud's"),
            (3600, "more than an hour behind the cloud's"),
            (-90_000, "more than a day ahead of the cloud's"),
            (i64::MIN, "more than a day ahead of the cloud's"),
        ] {
            assert_eq!(ClockGap::of(SignedDuration::from_secs(seconds)).to_string(), text, "{seconds}");
        }
    }
}
