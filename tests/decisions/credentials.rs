//! When a credential ends: what the status shows of it, and what is told.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use cloudtenant_operator::{api::time, observe};
use jiff::Timestamp;
use testkit::cloud::{Fault, Service, SimulatedCloud};

use crate::{
    services::{aging, config, session},
    words::{START, later},
    world::{World, told},
};

const DAY: i64 = 86_400;

#[tokio::test]
async fn what_the_status_shows() {
    for (name, credential, days, shown) in [
        ("a password without an end", "password", None, false),
        ("more than seven days before", "password", Some(8), false),
        ("within seven days", "password", Some(6), true),
        ("afterwards", "password", Some(-1), true),
        ("an application credential without an end", "application", None, false),
        ("more than seven days before", "application", Some(8), false),
        ("within seven days", "application", Some(6), true),
        ("a token that was given ends within the hour", "token", None, true),
    ] {
        let cloud = SimulatedCloud::start().await.unwrap();
        let end = days.map(|days| later(Timestamp::now(), days * DAY));
        let yaml = match credential {
            "password" => {
                cloud.set_password_expiry(end);
                cloud.clouds_yaml("c")
            }
            "application" => {
                cloud.set_application_credential_expiry(end);
                // Its owner's password is another matter.
                cloud.set_password_expiry(Some(later(Timestamp::now(), DAY)));
                cloud.clouds_yaml_application_credential("c")
            }
            _ => cloud.clouds_yaml_token("c"),
        };
        let config = config(&yaml);
        let session = session(&config);
        let target = World::new().target;
        let now = Timestamp::now();
        assert_eq!(observe::source(&target, &config, &session, now).await, None, "before a login: {name}");
        assert_eq!(observe::credential_end(&session).await, None, "before a login: {name}");
        session.log_in(target.timeout).await.unwrap();
        let source = observe::source(&target, &config, &session, now).await.unwrap();
        let expires = source.credentials_expire_at.map(|at| at.0.as_second());
        assert_eq!(expires.is_some(), shown, "{credential}: {name}");
        // The metric has it, however far off it is.
        let known = observe::credential_end(&session).await.unwrap().map(Timestamp::as_second);
        assert_eq!(known.is_some(), days.is_some() || shown, "{credential}: {name}");
        if let Some(end) = end {
            assert_eq!(known, Some(end.as_second()), "{credential}: {name}");
        }
        if let (Some(end), true) = (end, shown) {
            assert_eq!(expires, Some(end.as_second()), "{credential}: {name}");
        }
    }
}

/// Keystone is asked once an hour, and what it has said stays while it says nothing.
#[tokio::test]
async fn an_application_credential_is_asked_about_once_an_hour() {
    let cloud = SimulatedCloud::start().await.unwrap();
    let end = later(Timestamp::now(), 6 * DAY);
    cloud.set_application_credential_expiry(Some(end));
    let config = config(&cloud.clouds_yaml_application_credential("c"));
    let (session, seconds) = aging(&config);
    session.log_in(Duration::from_secs(20)).await.unwrap();
    let holder = session.known_holder().unwrap();
    let asked = || cloud.requests(Service::Keystone).iter().filter(|seen| seen.path.contains("/users/")).count();
    let another = later(end, DAY);
    for (name, second, answers, ends, count) in [
        ("the first time", 0, true, end, 1),
        ("within the hour", 1799, true, end, 1),
        ("an hour later, without an answer", 3600, false, end, 2),
        ("another hour later", 7300, true, another, 3),
    ] {
        seconds.store(second, SeqCst);
        if !answers {
            cloud.fault_on(Service::Keystone, "/users/", Fault::status(500, "{}").times(1));
            cloud.set_application_credential_expiry(Some(another));
        }
        let told = session.credential_ends(&holder, Duration::from_secs(20)).await;
        assert_eq!(told.map(Timestamp::as_second), Some(ends.as_second()), "{name}");
        assert_eq!(asked(), count, "{name}");
    }
}

#[test]
fn an_end_is_told_once() {
    let mut world = World::new();
    let end = |days| Some(time(later(START, days * DAY)));
    for (name, second, restart, ends, events) in [
        ("the first visit", 0, false, None, ""),
        ("within seven days", 10, false, end(6), "CredentialsExpiring 2026-11-28T04:00:00Z"),
        ("no more", 20, false, end(6), ""),
        ("nor after a restart", 30, true, end(6), ""),
        ("another credential", 40, false, end(3), "CredentialsExpiring 2026-11-25T04:00:00Z"),
        ("it was replaced", 50, false, None, ""),
    ] {
        world.now = later(START, second);
        if restart {
            world.restart();
        }
        world.source.as_mut().unwrap().credentials_expire_at = ends;
        let (status, notices) = world.pass_in_words("up", "ok", "full");
        assert_eq!(told(&notices), events, "{name}");
        assert_eq!(status.source, world.source, "{name}");
    }
}
