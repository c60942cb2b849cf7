//! When a credential ends: what the status shows of it, and what is told.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use cloudtenant_operator::{api::time, cluster::observe};
use jiff::Timestamp;
use testkit::cloud::{Fault, Service, SimulatedCloud};

use crate::{
    services::{aging, config, session},
    words::{START, later},
    world::{World, source, told},
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
        assert_eq!(observe::source(&target, &config, &session, None, now).await, None, "before a login: {name}");
        assert_eq!(observe::credential_end(&session).await, None, "before a login: {name}");
        session.log_in(target.timeout).await.unwrap();
        let source = observe::source(&target, &config, &session, None, now).await.unwrap();
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
        assert_eq!(told.flatten().map(Timestamp::as_second), Some(ends.as_second()), "{name}");
        assert_eq!(asked(), count, "{name}");
    }
}

/// What a new session does not know yet, the status knows from the session before.
#[tokio::test]
async fn an_end_that_keystone_could_not_tell_stays_and_is_asked_for_again_soon() {
    let end = later(Timestamp::now(), 6 * DAY);
    let another = later(end, 3600);
    let hangs = || Fault::Hang;
    let fails = || Fault::status(503, "{}");
    let refuses = || Fault::status(403, "{}");
    for (name, fault, then, stored, shown, later_shown, count) in [
        ("it hangs", hangs(), Some(another), true, Some(end), Some(another), 2),
        ("it fails", fails(), Some(another), true, Some(end), Some(another), 2),
        ("it fails, and then says that there is no end", fails(), None, true, Some(end), None, 2),
        ("it fails, and nothing is stored", fails(), Some(another), false, None, Some(another), 2),
        ("the credential may not ask", refuses(), Some(another), true, None, None, 1),
    ] {
        let cloud = SimulatedCloud::start().await.unwrap();
        cloud.set_application_credential_expiry(then);
        let config = config(&cloud.clouds_yaml_application_credential("c"));
        let (session, seconds) = aging(&config);
        let target = World::new().target;
        session.log_in(target.timeout).await.unwrap();
        cloud.fault_on(Service::Keystone, "/users/", fault);
        let mut status = source(&config.host());
        (status.secret_name, status.cloud_name) = (target.secret_name.clone(), target.cloud_name.clone());
        status.credentials_expire_at = stored.then(|| time(end));
        let now = Timestamp::now();
        for (second, shown) in [(0, shown), (30, shown), (61, later_shown), (62, later_shown)] {
            seconds.store(second, SeqCst);
            if second > 60 {
                cloud.clear_faults(Service::Keystone);
            }
            let source = observe::source(&target, &config, &session, Some(&status), now).await.unwrap();
            assert_eq!(source.credentials_expire_at, shown.map(time), "{name}, after {second} s");
            // Not that of another place.
            status.host.push('x');
            let source = observe::source(&target, &config, &session, Some(&status), now).await.unwrap();
            let own = if second > 60 { later_shown } else { None };
            assert_eq!(source.credentials_expire_at, own.map(time), "{name}, after {second} s elsewhere");
            status.host.pop();
        }
        let asked = cloud.requests(Service::Keystone).iter().filter(|seen| seen.path.contains("/users/")).count();
        assert_eq!(asked, count, "{name}");
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
