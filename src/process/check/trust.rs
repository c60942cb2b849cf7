//! Finds the services that the operator will refuse once the Secret's `cacert` replaces the system's authorities.

use std::sync::Arc;

use super::{Mark, Step, Subject};
use crate::openstack::{CloudConfig, Distrust, Endpoint, Error, NoCounters, Service, Session};

/// The message for services that only the system's authorities trust although the Secret has a `cacert`.
pub(super) fn warning(services: &[Service]) -> String {
    let names: Vec<_> = services.iter().map(Service::to_string).collect();
    format!(
        "only the system's authorities trust the certificate of {}, and cacert will replace them: add their \
         authorities to the Secret's key cacert before --cloud-ca-merge-system is removed",
        names.join(", ")
    )
}

/// Returns an additional step if a service other than Keystone is affected.
///
/// [`Network`](crate::openstack::Network) records hosts, and two services on one host may have different certificates.
/// Therefore this calls the services on such a host again without the system's authorities.
pub(super) async fn of_services(subject: &Subject, config: &Arc<CloudConfig>, session: &Session) -> Option<Step> {
    let (network, deadline) = (&subject.network, subject.target.timeout);
    let strictly = network.clone().keeping_system(false);
    let mut concerned = Vec::new();
    for service in Service::PROBED {
        let Ok(Endpoint { url, .. }) = session.endpoint(service, deadline).await else { continue };
        if network.relies_on_system(&url) {
            let strict = Session::new(config.clone(), &strictly, Arc::new(NoCounters)).ok()?;
            let greeted = strict.greet_at(service, url, deadline).await;
            let replaced = Error::CertificateUntrusted(Distrust::SystemReplaced);
            if greeted.is_err_and(|failure| failure.error == replaced) {
                concerned.push(service);
            }
        }
    }
    let found = (!concerned.is_empty()).then(|| warning(&concerned))?;
    Some(Step { name: "TLS", mark: Mark::Note, found, milliseconds: 0 })
}
