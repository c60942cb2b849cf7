//! Sessions for the observed projects of one entry.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cloudtenant_operator::openstack::{
    Clock, CloudConfig, Error, Failure, Network, NoCounters, NoProject, Service, Session,
};
use testkit::cloud::{Fault, Service as Simulated, SimulatedCloud};

use super::LONG;

/// The sessions of an entry and of the projects `p0`, `p1` and so on.
struct Fleet {
    cloud: SimulatedCloud,
    entry: Arc<Session>,
    projects: Vec<Arc<Session>>,
    network: Network,
    seconds: Arc<AtomicU64>,
}

impl Fleet {
    /// `yaml` has the entry `c` of a cloud with this number of projects.
    async fn start(projects: usize, yaml: impl Fn(&SimulatedCloud) -> String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cloud = SimulatedCloud::start().await.unwrap();
        for number in 0..projects {
            cloud.add_tenant_of_operator(&format!("p{number}"));
        }
        let (network, seconds) = (Network::default().allowing_loopback(), Arc::new(AtomicU64::new(0)));
        let yaml = yaml(&cloud);
        let (entry, opened) = open(&network, &yaml, projects, &seconds);
        Self { cloud, entry, projects: opened, network, seconds }
    }

    /// Uses this clouds.yaml from now on.
    fn change(&mut self, yaml: &str) {
        (self.entry, self.projects) = open(&self.network, yaml, self.projects.len(), &self.seconds);
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, SeqCst);
    }

    /// Reads the caches of each project at the same time. Returns how each ended.
    async fn read(&self) -> Vec<&'static str> {
        let read = async |(number, session): (usize, &Arc<Session>)| {
            let endpoint = session.endpoint(Service::Cache, LONG).await?;
            let url = format!("{}/instances/status", endpoint.url);
            assert!(url.ends_with(&format!("/v1.0/p{number}/instances/status")), "{url}");
            session.get(Service::Cache, url.parse().unwrap(), &[], LONG).await
        };
        let ended = futures::future::join_all(self.projects.iter().enumerate().map(read)).await;
        let kind = |ended: Result<_, Failure>| match ended.map_err(|end| end.error) {
            Ok(_) => "ok",
            Err(Error::LoginRefused) => "user",
            Err(Error::ProjectRefused) => "project",
            Err(Error::ProjectUnknown) => "unknown",
            Err(Error::ProjectFixed) => "fixed",
            Err(error) => error.kind(),
        };
        ended.into_iter().map(kind).collect()
    }
}

fn open(network: &Network, yaml: &str, projects: usize, seconds: &Arc<AtomicU64>) -> (Arc<Session>, Vec<Arc<Session>>) {
    let config = Arc::new(CloudConfig::parse(yaml, "c", None, None).unwrap());
    let (start, passed) = (Instant::now(), seconds.clone());
    let clock: Clock = Arc::new(move || start + Duration::from_secs(passed.load(SeqCst)));
    let entry = Arc::new(Session::with_clock(config.clone(), network, Arc::new(NoCounters), clock).unwrap());
    entry.used_by("team");
    let project = |number| {
        let config = config.for_project(&format!("p{number}")).unwrap();
        let session = entry.for_project(config, network).unwrap();
        session.used_by("team");
        Arc::new(session)
    };
    let projects = (0..projects).map(project).collect();
    (entry, projects)
}

fn by_password(cloud: &SimulatedCloud) -> String {
    cloud.clouds_yaml("c")
}

#[tokio::test]
async fn fifty_projects_are_a_login_for_each_and_one_for_the_entry() {
    let fleet = Fleet::start(50, by_password).await;
    assert_eq!(fleet.read().await, ["ok"; 50]);
    assert_eq!((fleet.cloud.logins(), fleet.cloud.refused_logins()), (51, 0));
    assert_eq!(fleet.cloud.peak_in_flight(Simulated::Keystone), 1, "one login of a user at a time");
    fleet.entry.log_in(LONG).await.unwrap();
    let known = fleet.projects[7].known_project().unwrap();
    assert_eq!((fleet.cloud.logins(), known.id.as_str()), (51, "p7"));
}

/// The entry has logged in before, for its engines or for a tenant of its own project.
#[tokio::test]
async fn a_login_of_the_entry_is_its_proof() {
    let fleet = Fleet::start(0, by_password).await;
    fleet.entry.log_in(LONG).await.unwrap();
    let yaml = by_password(&fleet.cloud);
    let config = Arc::new(CloudConfig::parse(&yaml, "c", None, None).unwrap());
    fleet.cloud.add_tenant_of_operator("p0");
    let session = fleet.entry.for_project(config.for_project("p0").unwrap(), &fleet.network).unwrap();
    session.log_in(LONG).await.unwrap();
    assert_eq!(fleet.cloud.logins(), 2);
}

#[tokio::test]
async fn a_wrong_password_is_one_refused_login_for_fifty_projects() {
    let fleet = Fleet::start(50, |cloud| by_password(cloud).replace("operator-secret", "wrong")).await;
    for refused in 1..=3 {
        for _ in 0..2 {
            assert_eq!(fleet.read().await, ["user"; 50]);
            assert_eq!(fleet.entry.log_in(LONG).await.unwrap_err().error, Error::LoginRefused);
            assert_eq!((fleet.cloud.logins(), fleet.cloud.refused_logins()), (refused, refused));
            fleet.pass(150);
        }
    }
}

/// Each line: what happens after four projects have logged in, how reading each of them ends then, how many logins
/// Keystone refuses, and how reading ends five minutes after it is undone.
#[tokio::test]
async fn what_happens_to_a_project_concerns_that_project_alone() {
    type Change = fn(&SimulatedCloud);
    let rows: [(&str, Change, Change, [&str; 4], usize); 7] = [
        ("nothing", |_| {}, |_| {}, ["ok"; 4], 0),
        (
            "the password is changed",
            |cloud| cloud.change_password("new"),
            |cloud| cloud.change_password("operator-secret"),
            ["user"; 4],
            2,
        ),
        (
            "a project is deleted",
            |cloud| cloud.remove_tenant("p1"),
            |cloud| cloud.add_tenant("p1"),
            ["ok", "unknown", "ok", "ok"],
            1,
        ),
        (
            "a project is disabled",
            |cloud| cloud.set_tenant_enabled("p1", false),
            |cloud| cloud.set_tenant_enabled("p1", true),
            ["ok", "project", "ok", "ok"],
            1,
        ),
        (
            "a role is taken away",
            |cloud| cloud.remove_roles("p1"),
            |cloud| cloud.add_tenant_of_operator("p1"),
            ["ok", "project", "ok", "ok"],
            1,
        ),
        (
            "three of these at the same time",
            |cloud| {
                cloud.remove_tenant("p0");
                cloud.set_tenant_enabled("p1", false);
                cloud.remove_roles("p2");
            },
            |cloud| {
                cloud.add_tenant("p0");
                cloud.set_tenant_enabled("p1", true);
                cloud.add_tenant_of_operator("p2");
            },
            ["unknown", "project", "project", "ok"],
            3,
        ),
        (
            "all roles but the entry's own are taken away",
            |cloud| ["p0", "p1", "p2", "p3"].iter().for_each(|id| cloud.remove_roles(id)),
            |cloud| ["p0", "p1", "p2", "p3"].iter().for_each(|id| cloud.add_tenant_of_operator(id)),
            ["project"; 4],
            4,
        ),
    ];
    for (name, change, undo, expected, refused) in rows {
        let fleet = Fleet::start(4, by_password).await;
        assert_eq!(fleet.read().await, ["ok"; 4], "{name}");
        change(&fleet.cloud);
        fleet.cloud.revoke_tokens();
        fleet.pass(10);
        assert_eq!(fleet.read().await, expected, "{name}");
        assert_eq!(fleet.cloud.refused_logins(), refused, "{name}");
        let logins = fleet.cloud.logins();
        fleet.pass(100);
        fleet.read().await;
        assert_eq!(fleet.cloud.refused_logins(), refused, "{name}: no second try within five minutes");
        assert_eq!(fleet.cloud.logins(), logins, "{name}");
        undo(&fleet.cloud);
        fleet.pass(300);
        assert_eq!(fleet.read().await, ["ok"; 4], "{name}: later");
    }
}

#[tokio::test]
async fn a_new_password_in_the_secret_heals_all_projects_at_once() {
    let mut fleet = Fleet::start(20, by_password).await;
    assert_eq!(fleet.read().await, ["ok"; 20]);
    fleet.cloud.change_password("new");
    fleet.pass(10);
    assert_eq!(fleet.read().await, ["user"; 20]);
    assert_eq!((fleet.cloud.logins(), fleet.cloud.refused_logins()), (23, 2));
    let yaml = by_password(&fleet.cloud);
    fleet.change(&yaml);
    assert_eq!(fleet.read().await, ["ok"; 20]);
    assert_eq!((fleet.cloud.logins(), fleet.cloud.refused_logins()), (23 + 21, 2));
}

/// Keystone asks for a pause of ten minutes after the login of the entry and one more.
#[tokio::test]
async fn a_pause_that_keystone_asks_for_holds_for_all_projects() {
    let fleet = Fleet::start(20, by_password).await;
    fleet.projects[0].log_in(LONG).await.unwrap();
    fleet.cloud.fault(Simulated::Keystone, pause_of_ten_minutes());
    let asked = fleet.cloud.count(Simulated::Keystone);
    for passed in [300, 299] {
        let logins = futures::future::join_all(fleet.projects[1..].iter().map(|session| session.log_in(LONG))).await;
        let limited = |login: Result<(), Failure>| matches!(login.unwrap_err().error, Error::RateLimited { .. });
        assert!(logins.into_iter().all(limited), "{passed}");
        assert_eq!(fleet.cloud.count(Simulated::Keystone), asked + 1, "{passed}");
        fleet.pass(passed);
    }
    fleet.cloud.clear_faults(Simulated::Keystone);
    fleet.pass(2);
    assert_eq!(fleet.read().await, ["ok"; 20]);
}

/// As of one credential: a gateway that limits a user's calls gets one more call, not one for each project.
#[tokio::test]
async fn a_pause_that_a_service_asks_for_holds_for_all_projects() {
    let fleet = Fleet::start(4, by_password).await;
    assert_eq!(fleet.read().await, ["ok"; 4]);
    fleet.cloud.fault(Simulated::Dcs, pause_of_ten_minutes());
    let asked = fleet.cloud.count(Simulated::Dcs);
    for (number, session) in fleet.projects.iter().enumerate() {
        let endpoint = session.endpoint(Service::Cache, LONG).await.unwrap();
        let answer = session.get(Service::Cache, endpoint.url, &[], LONG).await;
        match answer {
            Ok(answer) => assert_eq!((number, answer.status), (0, 429)),
            Err(failure) => assert!(number > 0 && matches!(failure.error, Error::RateLimited { .. }), "{failure}"),
        }
    }
    assert_eq!(fleet.cloud.count(Simulated::Dcs), asked + 1);
}

fn pause_of_ten_minutes() -> Fault {
    let headers = vec![("retry-after".to_owned(), "600".to_owned())];
    Fault::Status { code: 429, body: b"{}".to_vec(), content_type: "application/json".to_owned(), headers }
}

/// Twenty projects that Keystone refuses are no three refused credentials of the brake.
#[tokio::test]
async fn refused_projects_do_not_brake_the_user() {
    let fleet = Fleet::start(20, |cloud| {
        (0..19).for_each(|number| cloud.remove_roles(&format!("p{number}")));
        by_password(cloud)
    });
    let fleet = fleet.await;
    let ended = fleet.read().await;
    assert_eq!(ended[..19], ["project"; 19]);
    assert_eq!((ended[19], fleet.cloud.refused_logins()), ("ok", 19));
}

/// Two entries of one user, the first of them for a project that is gone.
#[tokio::test]
async fn two_entries_of_a_user_are_two_wrong_passwords_at_most() {
    let mut fleet = Fleet::start(3, |cloud| {
        cloud.add_tenant_of_operator("gone");
        cloud.remove_tenant("gone");
        by_password(cloud).replace("project_name: \"admin\"", "project_id: gone")
    })
    .await;
    let yaml = by_password(&fleet.cloud);
    let (entry, projects) = (fleet.entry.clone(), fleet.projects.clone());
    assert_eq!(fleet.read().await, ["user"; 3]);
    fleet.change(&yaml);
    assert_eq!(fleet.read().await, ["ok"; 3]);
    assert_eq!((fleet.cloud.logins(), fleet.cloud.refused_logins()), (5, 1));
    drop((entry, projects));
    // With a wrong password.
    let wrong = |yaml: &str| yaml.replace("operator-secret", "wrong");
    fleet.change(&wrong(&yaml.replace("project_name: \"admin\"", "project_id: gone")));
    let (_first, _projects) = (fleet.entry.clone(), fleet.projects.clone());
    assert_eq!(fleet.read().await, ["user"; 3]);
    for project in ["q0", "q1", "q2"] {
        fleet.change(&wrong(&yaml.replace("project_name: \"admin\"", &format!("project_id: {project}"))));
        let ended = futures::future::join_all(fleet.projects.iter().map(|session| session.log_in(LONG))).await;
        assert!(ended.into_iter().all(|ended| ended.is_err_and(|failure| failure.error == Error::LoginRefused)));
    }
    assert_eq!(fleet.cloud.refused_logins(), 1 + 2);
}

/// Each line: the entry, how reading the projects ends, and why there is no Heat for the entry.
#[tokio::test]
async fn the_entries_that_can_log_in_for_projects() {
    type Entry = fn(&SimulatedCloud) -> String;
    let rows: [(&str, Entry, &str, Option<Error>); 4] = [
        ("a password", by_password, "ok", None),
        ("a password for no project", |cloud| cloud.clouds_yaml_unscoped("c"), "ok", Some(Error::Unscoped)),
        (
            "a password for a domain",
            |cloud| {
                cloud.grant_domain_role("reader");
                cloud.clouds_yaml_domain("c")
            },
            "ok",
            Some(Error::NoProject(NoProject::Domain)),
        ),
        ("a token", |cloud| cloud.clouds_yaml_token("c"), "ok", None),
    ];
    for (name, entry, expected, no_heat) in rows {
        let fleet = Fleet::start(3, entry).await;
        assert_eq!(fleet.read().await, [expected; 3], "{name}");
        assert_eq!(fleet.cloud.logins(), 4, "{name}");
        let heat = fleet.entry.endpoint(Service::Orchestration, LONG).await;
        assert_eq!(heat.err().map(|failure| failure.error), no_heat, "{name}");
    }
}
