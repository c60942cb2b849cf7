//! What a tenant is told of each way to fail, and whether a single time is enough to say it.

use std::time::Duration;

use cloudtenant_operator::{
    api::{Reason, reason::Class},
    cloud::{ConfigError, Error, ErrorCode, Failure, Refusal, Service},
    failure::{SecretError, of_call, of_config, of_secret},
};

#[test]
fn failed_calls() {
    let wait = Some(Duration::from_secs(7));
    let region = Error::RegionNotFound { region: "mars".to_owned(), known: vec!["earth".to_owned()] };
    for (error, reason, at_once) in [
        (Error::Timeout, Reason::Timeout, false),
        (Error::ConnectionFailed, Reason::ConnectionFailed, false),
        (Error::Dns, Reason::DNSFailed, false),
        (Error::CertificateUntrusted, Reason::CertificateUntrusted, true),
        (Error::AddressRefused(Refusal::Redirect), Reason::AddressRefused, true),
        (Error::AddressRefused(Refusal::OtherOrigin), Reason::AddressRefused, true),
        (Error::LoginRefused, Reason::AuthenticationFailed, true),
        (Error::Unscoped, Reason::InvalidCloudConfig, true),
        (Error::TokenRejected, Reason::TokenRejected, true),
        (Error::Forbidden, Reason::Forbidden, true),
        (Error::ForeignProject, Reason::UnexpectedAnswer, true),
        (Error::ProjectUnknown, Reason::ProjectNotFound, true),
        (Error::NotFound, Reason::EndpointNotFound, true),
        (region, Reason::RegionNotFound, true),
        (Error::RateLimited { retry_after: wait }, Reason::RateLimited, false),
        (Error::ServiceUnavailable { retry_after: wait }, Reason::ServiceUnavailable, false),
        (Error::GatewayTimeout, Reason::ServiceUnavailable, false),
        (Error::ServerError, Reason::ServerError, false),
        (Error::UnexpectedStatus(418), Reason::UnexpectedAnswer, true),
        (Error::Unexpected("it is odd"), Reason::UnexpectedAnswer, true),
        (Error::BodyTooLarge, Reason::UnexpectedAnswer, true),
    ] {
        for service in Service::ALL {
            // Heat has its RPC time-out to answer in, and what comes later does not come.
            let at_once = at_once || error == Error::Timeout && service == Service::Orchestration;
            let told = of_call(&error.clone().at(service)).unwrap();
            assert_eq!((told.reason, told.transient), (reason, !at_once), "{service} {error}");
            assert_eq!(told.retry_after, error.retry_after(), "{service} {error}");
            one_sentence(&told.message);
            // Whatever the service says, its code is told, and nothing else changes.
            let code = ErrorCode::new("APIGW.0308");
            let coded = of_call(&Failure { code, ..error.clone().at(service) }).unwrap();
            let message = told.message.strip_suffix('.').unwrap();
            assert_eq!(coded.message, format!("{message} (error code APIGW.0308)."), "{service} {error}");
            assert_eq!((coded.reason, coded.transient), (told.reason, told.transient), "{service} {error}");
        }
    }
    assert_eq!(of_call(&Error::ServiceNotInCatalogue.at(Service::Cache)), None);
}

#[test]
fn what_a_message_says_to_do() {
    let message = |service, error: Error| of_call(&error.at(service)).unwrap().message;
    for (service, error, advice) in [
        (Service::Orchestration, Error::GatewayTimeout, "time-out above Heat's rpc_response_timeout"),
        (Service::Orchestration, Error::Forbidden, "grant the credential the admin role"),
        (Service::Cache, Error::TokenRejected, "set probes.caches.policy to Disabled"),
        (Service::Compute, Error::NotFound, "compute_endpoint_override"),
        (Service::Identity, Error::Dns, "auth_url"),
        (Service::Identity, Error::CertificateUntrusted, "cacert"),
    ] {
        assert!(message(service, error.clone()).contains(advice), "{service} {error}");
    }
}

#[test]
fn secrets_and_clouds_yaml() {
    let secret = || "cloud".to_owned();
    for (error, reason) in [
        (SecretError::NotFound { secret: secret() }, Reason::SecretNotFound),
        (SecretError::KeyMissing { secret: secret() }, Reason::SecretKeyMissing),
        (SecretError::Denied { secret: secret() }, Reason::Forbidden),
        (SecretError::Unavailable, Reason::ConnectionFailed),
    ] {
        let told = of_secret(&error);
        assert_eq!((told.reason, told.transient), (reason, reason.class() == Class::Passing), "{error:?}");
        one_sentence(&told.message);
    }
    let invalid = ConfigError::Invalid { field: "auth.password".to_owned(), problem: "is missing: add it.".to_owned() };
    assert_eq!(of_config(&invalid).reason, Reason::InvalidCloudConfig);
}

fn one_sentence(message: &str) {
    assert!(message.ends_with('.') && !message.contains(['\n', '\t']) && message.len() < 1000, "{message}");
    assert!(message.contains(": "), "it says what to do: {message}");
}
