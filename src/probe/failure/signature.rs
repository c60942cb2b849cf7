//! The messages about signatures by an access key, one per cause, because each needs another remedy.

use super::fatal;
use crate::{
    api::Reason,
    observation::ProbeFailure,
    openstack::{Service, SignatureRefusal},
};

/// The failure for a signature that a service refuses.
pub(super) fn of_signature(service: Service, why: SignatureRefusal) -> ProbeFailure {
    let (reason, message) = match why {
        SignatureRefusal::Keys => (
            Reason::AuthenticationFailed,
            format!(
                "{service} refuses the signature: correct access_key and secret_key, or auth_url, in the Secret's \
                 clouds.yaml."
            ),
        ),
        SignatureRefusal::Expired => (
            Reason::AuthenticationFailed,
            format!(
                "{service} refuses the temporary access key, which has expired or been revoked: put a new access_key, \
                 secret_key and security_token into the Secret's clouds.yaml."
            ),
        ),
        SignatureRefusal::Locked => (
            Reason::AuthenticationFailed,
            format!(
                "{service} has locked the access key for some minutes after wrong signatures: correct access_key and \
                 secret_key in the Secret's clouds.yaml, and wherever else the access key is used."
            ),
        ),
        SignatureRefusal::Clock(gap) => (
            Reason::AuthenticationFailed,
            format!("{service} refuses the signature, since the operator's clock is {gap}: set the clocks."),
        ),
        SignatureRefusal::ByService => (
            Reason::TokenRejected,
            format!(
                "{service} refuses signatures that Keystone accepts: use a password or an application credential \
                 for it{}.",
                match service.row().advice.policy {
                    Some(policy) => format!(", or set {policy} to Disabled"),
                    None => String::new(),
                }
            ),
        ),
    };
    fatal(reason, message)
}
