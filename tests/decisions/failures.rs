//! What a tenant is told of each way to fail, and whether a single time is enough to say it.

use std::time::Duration;

use cloudtenant_operator::{
    api::{Reason, reason::Class},
    openstack::{
        AddressRule, ClockGap, ConfigError, Distrust, Error, ErrorCode, Failure, NoProject, Refusal, Service,
        SignatureRefusal, TlsFault,
    },
    probe::failure::{SecretError, of_call, of_config, of_secret},
};

/// The message names the rule and the flag that lifts it, and never the address.
#[test]
fn refused_addresses() {
    let correct = "correct its catalogue entry or orchestration_endpoint_override";
    let cidr = ", or allow the address by the operator's --allow-cloud-cidr";
    for (refusal, since, flag) in [
        (Refusal::Address(AddressRule::Loopback), "its address is a loopback address", cidr),
        (Refusal::Address(AddressRule::LinkLocal), "its address is a link-local address", cidr),
        (Refusal::Address(AddressRule::Metadata), "its address is the address of a cloud's metadata service", cidr),
        (Refusal::Address(AddressRule::Unspecified), "its address is an unspecified address", cidr),
        (Refusal::Address(AddressRule::Multicast), "its address is a multicast address", cidr),
        (Refusal::Address(AddressRule::Reserved), "its address is a reserved address", cidr),
        (Refusal::Address(AddressRule::ApiServer), "its address is the address of the Kubernetes API server", ""),
        (
            Refusal::Unlisted,
            "its host is not among those of --cloud-hosts",
            ", or add the host to the operator's --cloud-hosts",
        ),
        (
            Refusal::PlainHttp,
            "its URL begins with http, which --require-https refuses",
            ", or start the operator without --require-https",
        ),
        (Refusal::OtherOrigin, "the address is not the service's own", ""),
        (Refusal::Redirect, "the service redirected to another address", ""),
    ] {
        let failure = of_call(&Error::AddressRefused(refusal).at(Service::Orchestration)).unwrap();
        assert_eq!(failure.message, format!("Heat is not called, since {since}: {correct}{flag}."));
        assert_eq!(failure.reason.class(), Class::Stalled);
    }
}

#[test]
fn failed_calls() {
    let wait = Some(Duration::from_secs(7));
    let region = Error::RegionNotFound { region: "mars".to_owned(), known: vec!["earth".to_owned()] };
    for (error, reason, at_once) in [
        (Error::Timeout, Reason::Timeout, false),
        (Error::ConnectionFailed, Reason::ConnectionFailed, false),
        (Error::Dns, Reason::DNSFailed, false),
        (Error::TlsFailed(TlsFault::PlainText), Reason::ConnectionFailed, false),
        (Error::CertificateUntrusted(Distrust::Expired), Reason::CertificateUntrusted, true),
        (Error::AddressRefused(Refusal::Redirect), Reason::AddressRefused, true),
        (Error::AddressRefused(Refusal::OtherOrigin), Reason::AddressRefused, true),
        (Error::AddressRefused(Refusal::Address(AddressRule::Loopback)), Reason::AddressRefused, true),
        (Error::AddressRefused(Refusal::Address(AddressRule::ApiServer)), Reason::AddressRefused, true),
        (Error::AddressRefused(Refusal::Unlisted), Reason::AddressRefused, true),
        (Error::AddressRefused(Refusal::PlainHttp), Reason::AddressRefused, true),
        (Error::LoginRefused, Reason::AuthenticationFailed, true),
        (Error::LoginBraked, Reason::AuthenticationFailed, true),
        (Error::SignatureRefused(SignatureRefusal::Keys), Reason::AuthenticationFailed, true),
        (Error::SignatureRefused(SignatureRefusal::Expired), Reason::AuthenticationFailed, true),
        (Error::SignatureRefused(SignatureRefusal::Locked), Reason::AuthenticationFailed, true),
        (Error::SignatureRefused(SignatureRefusal::Clock(behind(16))), Reason::AuthenticationFailed, true),
        (Error::SignatureRefused(SignatureRefusal::ByService), Reason::TokenRejected, true),
        (Error::ProjectNotListed, Reason::InvalidCloudConfig, true),
        (Error::ProjectRefused, Reason::Forbidden, true),
        (Error::ProjectFixed, Reason::Forbidden, true),
        (Error::Unscoped, Reason::InvalidCloudConfig, true),
        (Error::NoProject(NoProject::Domain), Reason::InvalidCloudConfig, true),
        (Error::NoProject(NoProject::System), Reason::InvalidCloudConfig, true),
        (Error::TokenRejected, Reason::TokenRejected, true),
        (Error::OutsideAccessRules, Reason::TokenRejected, true),
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
    let elsewhere = Error::ServiceElsewhere { region: "a".to_owned(), offered_in: vec!["b".to_owned()] };
    for error in [Error::ServiceNotInCatalogue, elsewhere] {
        assert_eq!(of_call(&error.at(Service::Cache)), None);
    }
}

#[test]
fn what_a_message_says_to_do() {
    let message = |service, error: Error| of_call(&error.at(service)).unwrap().message;
    for (service, error, advice) in [
        (Service::Orchestration, Error::GatewayTimeout, "time-out above Heat's rpc_response_timeout"),
        (Service::Orchestration, Error::Forbidden, "grant the credential the admin role"),
        (
            Service::Cache,
            Error::TokenRejected,
            "add access_key and secret_key to the Secret's clouds.yaml, or set probes",
        ),
        (Service::Cache, Error::SignatureRefused(SignatureRefusal::Keys), "correct access_key and secret_key"),
        (Service::Cache, Error::SignatureRefused(SignatureRefusal::Expired), "put a new access_key, secret_key and"),
        (
            Service::Cache,
            Error::SignatureRefused(SignatureRefusal::Clock(behind(16))),
            "since the operator's clock is more than 15 minutes behind the cloud's: set the clocks",
        ),
        (Service::Compute, Error::SignatureRefused(SignatureRefusal::ByService), "set probes.usage.policy to Disabled"),
        (Service::Identity, Error::ProjectNotListed, "set project_id"),
        (Service::Compute, Error::NotFound, "compute_endpoint_override"),
        (Service::Orchestration, Error::NotFound, "set probes.engines.policy to Disabled, or correct"),
        (Service::Cache, Error::NotFound, "set probes.caches.policy to Disabled, or correct"),
        (Service::Compute, Error::NotFound, "set probes.usage.policy to Disabled, or correct"),
        (Service::Identity, Error::NotFound, "correct auth_url"),
        (Service::Orchestration, Error::NoProject(NoProject::Domain), "for a domain and not for a project: name a"),
        (Service::Orchestration, Error::OutsideAccessRules, "add a rule for GET /v1/*/services of the service orch"),
        (Service::Compute, Error::OutsideAccessRules, "add a rule for GET /v2.1/os-simple-tenant-usage/*"),
        (Service::Identity, Error::Dns, "auth_url"),
        (Service::Identity, Error::CertificateUntrusted(Distrust::UnknownAuthority), "cacert"),
    ] {
        assert!(message(service, error.clone()).contains(advice), "{service} {error}");
    }
}

/// Each verdict on a certificate has a sentence of its own, which names the service, and is Stalled.
#[test]
fn each_distrust_says_what_to_do() {
    let rows = [
        (Distrust::Absent, "the server presents none: configure one"),
        (Distrust::Unreadable, "it cannot be read as X.509: issue it again"),
        (Distrust::Key("Ed448"), "does not support its key (Ed448): issue it with RSA of 2048 to 8192 bits"),
        (Distrust::Expired, "it has expired: renew it"),
        (Distrust::NotYetValid, "it is not valid yet: check the clocks"),
        (Distrust::NoNames, "it has no subjectAltName, and a host name in CN alone does not count"),
        (Distrust::OtherName, "it is for another name"),
        (Distrust::Purpose, "issue it with serverAuth"),
        (Distrust::SelfSigned, "it is self-signed, and is not itself in the Secret's key cacert: add it there"),
        (Distrust::Authority, "CA:TRUE"),
        (Distrust::UnknownAuthority, "its authority is unknown: add its authority to the Secret's key cacert"),
        (Distrust::NoIntermediates, "the server sends no intermediate certificate"),
        (Distrust::SystemReplaced, "cacert replaces the system's authorities: add this service's authority to it"),
        (Distrust::ChainDates, "a certificate between it and its authority has expired"),
        (Distrust::ChainKey("DSA"), "the key of its authority (DSA)"),
        (Distrust::Signature("RSA with SHA-1"), "a signature in its chain (RSA with SHA-1)"),
        (Distrust::WrongSignature, "add the authority's present certificate"),
        (Distrust::Revoked, "it has been revoked: renew it"),
        (Distrust::NoProof, "configure the key that belongs to it"),
        (Distrust::Chain, "breaks a rule of X.509"),
    ];
    let mut messages = Vec::new();
    for (why, part) in rows {
        for service in Service::ALL {
            let told = of_call(&Error::CertificateUntrusted(why).at(service)).unwrap();
            assert_eq!((told.reason, told.reason.class()), (Reason::CertificateUntrusted, Class::Stalled), "{why:?}");
            assert!(told.message.starts_with(&format!("The certificate of {service} is not trusted, since ")));
            assert!(told.message.contains(part), "{}", told.message);
            one_sentence(&told.message);
            messages.push(told.message);
        }
    }
    let count = messages.len();
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), count, "two verdicts have the same sentence");
}

#[test]
fn no_tls_says_what_to_do() {
    for (fault, part) in [
        (TlsFault::NothingInCommon, "let its server speak TLS 1.2 or 1.3"),
        (TlsFault::Curve("P-521"), "exchanges keys only on P-521"),
        (TlsFault::PlainText, "correct the port or the scheme"),
        (TlsFault::Refused, "ask for no certificate of its callers"),
        (TlsFault::UnknownName, "does not know the host name"),
        (TlsFault::Other, "check its server's log"),
    ] {
        for service in Service::ALL {
            let told = of_call(&Error::TlsFailed(fault).at(service)).unwrap();
            assert_eq!((told.reason, told.transient), (Reason::ConnectionFailed, true), "{fault:?}");
            assert!(told.message.contains(part) && told.message.contains(&service.to_string()), "{}", told.message);
            assert!(!told.message.contains("No connection"), "{}", told.message);
            one_sentence(&told.message);
        }
    }
}

#[test]
fn secrets_and_clouds_yaml() {
    let secret = || "cloud".to_owned();
    for (error, reason) in [
        (SecretError::NotFound { secret: secret() }, Reason::SecretNotFound),
        (SecretError::KeyMissing { secret: secret() }, Reason::SecretKeyMissing),
        (SecretError::Denied { secret: secret() }, Reason::Forbidden),
        (SecretError::ProjectNotListed { secret: secret() }, Reason::Forbidden),
        (SecretError::Unavailable, Reason::ConnectionFailed),
    ] {
        let told = of_secret(&error);
        assert_eq!((told.reason, told.transient), (reason, reason.class() == Class::Passing), "{error:?}");
        one_sentence(&told.message);
    }
    let invalid = ConfigError::Invalid { field: "auth.password".to_owned(), problem: "is missing: add it.".to_owned() };
    assert_eq!(of_config(&invalid).reason, Reason::InvalidCloudConfig);
}

fn behind(minutes: i64) -> ClockGap {
    ClockGap::of(jiff::SignedDuration::from_mins(minutes))
}

fn one_sentence(message: &str) {
    assert!(message.ends_with('.') && !message.contains(['\n', '\t']) && message.len() < 1000, "{message}");
    assert!(message.contains(": "), "it says what to do: {message}");
}
