//! Failures of listing projects for a CloudTenantSet, which has neither a timeout nor a project of its own.

use super::{fatal, not_found, of_call, outside_access_rules, with_code};
use crate::{
    api::Reason,
    observation::ProbeFailure,
    openstack::{self, Error, Service, projects::Source},
};

/// The failure of a listing of projects: that of [`of_call`] with a sentence for a CloudTenantSet.
#[must_use]
pub fn of_listing(failure: &openstack::Failure, source: &Source) -> ProbeFailure {
    let found = of_call(failure);
    // Keystone is called at auth_url and not at an address from the catalogue.
    let found = found.unwrap_or_else(|| fatal(Reason::EndpointNotFound, not_found(Service::Identity)));
    let sentence = match failure.error {
        Error::Timeout => "Keystone did not answer in time: look at the service.".to_owned(),
        Error::Forbidden => match source {
            Source::Accessible => {
                "Keystone refused the list of the user's own projects: ask its administrator to allow \
                                   GET /v3/auth/projects for the user."
                    .to_owned()
            }
            Source::All(_) => {
                "Keystone refused the list of projects: grant the user a reading role on its domain or on \
                               the system, or set spec.source to AccessibleProjects."
                    .to_owned()
            }
        },
        Error::OutsideAccessRules => outside_access_rules(
            Service::Identity,
            match source {
                Source::Accessible => "GET /v3/auth/projects",
                Source::All(_) => "GET /v3/projects",
            },
        ),
        _ => return found,
    };
    ProbeFailure { message: with_code(sentence, failure.code.as_ref()), ..found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openstack::{Failure, projects::Narrow};

    #[test]
    fn sentences_for_a_set() {
        let (own, all) = (Source::Accessible, Source::All(Narrow::default()));
        for (error, source, reason, sentence) in [
            (Error::Timeout, &own, Reason::Timeout, "Keystone did not answer in time: look at the service."),
            (
                Error::Forbidden,
                &all,
                Reason::Forbidden,
                "Keystone refused the list of projects: grant the user a reading role on its domain or on the system, \
                 or set spec.source to AccessibleProjects.",
            ),
            (
                Error::Forbidden,
                &own,
                Reason::Forbidden,
                "Keystone refused the list of the user's own projects: ask its administrator to allow GET \
                 /v3/auth/projects for the user.",
            ),
            (
                Error::OutsideAccessRules,
                &own,
                Reason::TokenRejected,
                "Keystone refuses the token, whose application credential has access rules: add a rule for GET \
                 /v3/auth/projects of the service identity, or create the credential without access rules.",
            ),
            (
                Error::OutsideAccessRules,
                &all,
                Reason::TokenRejected,
                "Keystone refuses the token, whose application credential has access rules: add a rule for GET \
                 /v3/projects of the service identity, or create the credential without access rules.",
            ),
            (
                Error::LoginRefused,
                &own,
                Reason::AuthenticationFailed,
                "Keystone refuses the credential: correct it, or auth_url, in the Secret's clouds.yaml.",
            ),
            (
                Error::Unexpected("the answer is not Keystone's list of projects"),
                &all,
                Reason::UnexpectedAnswer,
                "The call to Keystone failed, since the answer is not Keystone's list of projects: check auth_url in \
                 clouds.yaml.",
            ),
        ] {
            let failure = of_listing(&error.clone().at(Service::Identity), source);
            assert_eq!((failure.reason, failure.message.as_str()), (reason, sentence), "{error:?}");
            assert_eq!(failure.transient, error == Error::Timeout, "{error:?}");
        }
        let retry_after = Some(std::time::Duration::from_secs(7));
        let limited = Failure { code: None, ..Error::RateLimited { retry_after }.at(Service::Identity) };
        assert_eq!(of_listing(&limited, &own).retry_after, retry_after);
    }
}
