//! Connections: which are made, counted at the servers, and by which addresses of a name.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::openstack::{CloudConfig, Network, NoCounters, ProxyRule, Session};

const LONG: Duration = Duration::from_secs(20);

/// Servers on 127.0.0.1, .2 and .3 with one port, and their connections so far.
struct Servers {
    port: u16,
    connections: [Arc<AtomicUsize>; 3],
}

impl Servers {
    async fn start() -> Self {
        // Another process may have the port on one of the addresses.
        for _ in 0..20 {
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = first.local_addr().unwrap().port();
            let second = TcpListener::bind(("127.0.0.2", port)).await;
            let third = TcpListener::bind(("127.0.0.3", port)).await;
            if let (Ok(second), Ok(third)) = (second, third) {
                return Self { port, connections: [first, second, third].map(serve) };
            }
        }
        panic!("no port is free on three addresses");
    }

    fn connections(&self) -> [usize; 3] {
        self.connections.each_ref().map(|count| count.load(SeqCst))
    }
}

/// Answers one request on each connection.
fn serve(listener: TcpListener) -> Arc<AtomicUsize> {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    connections
}

/// Names with the addresses that each look-up returns; the last ones stay.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>, Arc<AtomicUsize>);

impl Names {
    fn of(rows: &[(&str, &[&str])]) -> Self {
        let addresses = |text: &&str| text.split_whitespace().map(|address| address.parse().unwrap()).collect();
        let rows = rows.iter().map(|(name, answers)| (name.to_string(), answers.iter().map(addresses).collect()));
        Self(Arc::new(Mutex::new(rows.collect())), Arc::default())
    }

    fn look_up(&self) -> LookUp {
        let names = self.clone();
        Arc::new(move |name| {
            names.1.fetch_add(1, SeqCst);
            let mut rows = names.0.lock().unwrap();
            let answers = rows.get_mut(&name);
            let found = answers.map(|answers| if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() });
            Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
        })
    }
}

fn network(rules: Rules, names: &Names, proxies: Vec<ProxyRule>) -> Network {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let guard = Guard { look_up: names.look_up(), ..Guard::new(rules, true) };
    Network::new(None, proxies).unwrap().with_guard(guard)
}

/// Calls Keystone at this URL without a login.
async fn greet(network: &Network, url: &str) -> Result<(), Error> {
    let auth = "username: u, password: p, user_domain_id: d, project_id: p";
    let yaml = format!("clouds: {{c: {{auth: {{auth_url: '{url}', {auth}}}}}}}");
    let config = CloudConfig::parse(&yaml, "c", None, None).unwrap();
    let session = Session::new(Arc::new(config), network, Arc::new(NoCounters)).unwrap();
    session.greet(LONG).await.map_err(|failure| failure.error)
}

fn only_second() -> Rules {
    Rules { allowed: vec!["127.0.0.2".parse().unwrap()], ..Rules::default() }
}

const fn refused(rule: AddressRule) -> Result<(), Error> {
    Err(Error::AddressRefused(Refusal::Address(rule)))
}

/// Only 127.0.0.2 may be called. A line is: what each look-up answers, the result of each call, and the number of
/// connections to 127.0.0.1, .2 and .3.
#[tokio::test]
async fn only_allowed_addresses_of_a_name_are_connected_to() {
    const LOOPBACK: Result<(), Error> = refused(AddressRule::Loopback);
    type Row<'a> = (&'a str, &'a [&'a str], &'a [Result<(), Error>], [usize; 3]);
    let rows: [Row<'_>; 8] = [
        ("one that may be called", &["127.0.0.2"], &[Ok(())], [0, 1, 0]),
        ("the others are dropped", &["127.0.0.1 127.0.0.2 127.0.0.3 ::1"], &[Ok(())], [0, 1, 0]),
        ("none is left", &["127.0.0.3 127.0.0.1 ::1"], &[LOOPBACK], [0, 0, 0]),
        (
            "the message does not depend on the order",
            &["0.0.0.0 127.0.0.1", "127.0.0.1 0.0.0.0"],
            &[LOOPBACK, LOOPBACK],
            [0, 0, 0],
        ),
        ("the name changes", &["127.0.0.2", "127.0.0.1"], &[Ok(()), LOOPBACK, LOOPBACK], [0, 1, 0]),
        ("and back", &["127.0.0.2", "127.0.0.1", "127.0.0.2"], &[Ok(()), LOOPBACK, Ok(())], [0, 2, 0]),
        ("mapped", &["::ffff:127.0.0.1"], &[LOOPBACK], [0, 0, 0]),
        ("NAT64", &["64:ff9b::127.0.0.1 64:ff9b:1::169.254.169.254"], &[LOOPBACK], [0, 0, 0]),
    ];
    for (name, answers, expected, connections) in rows {
        let servers = Servers::start().await;
        let names = Names::of(&[("cloud.test", answers)]);
        let network = network(only_second(), &names, Vec::new());
        for (call, expected) in expected.iter().enumerate() {
            let ended = greet(&network, &format!("http://cloud.test:{}/v3", servers.port)).await;
            assert_eq!(ended, *expected, "{name}, call {call}");
        }
        assert_eq!(servers.connections(), connections, "{name}");
        // What was judged is what was connected to: there is no second look-up between them.
        assert_eq!(names.1.load(SeqCst), expected.len(), "{name}");
    }
}

#[tokio::test]
async fn an_address_in_the_url_is_judged_before_the_request() {
    let servers = Servers::start().await;
    let network = network(only_second(), &Names::default(), Vec::new());
    for (host, expected) in [
        ("127.0.0.2", Ok(())),
        ("0x7f.2", Ok(())),
        ("[::ffff:127.0.0.2]", Ok(())),
        ("127.0.0.1", refused(AddressRule::Loopback)),
        ("2130706433", refused(AddressRule::Loopback)),
        ("[::1]", refused(AddressRule::Loopback)),
        ("[::ffff:7f00:1]", refused(AddressRule::Loopback)),
        ("0", refused(AddressRule::Unspecified)),
        ("169.254.169.254", refused(AddressRule::LinkLocal)),
    ] {
        assert_eq!(greet(&network, &format!("http://{host}:{}/v3", servers.port)).await, expected, "{host}");
    }
    assert_eq!(servers.connections()[0], 0);
    assert!(servers.connections()[1] >= 2);
}

/// The API server is at 127.0.0.2, once by its address and once by a name.
#[tokio::test]
async fn the_api_server_is_not_called_and_its_other_ports_are() {
    let (server, other) = (Servers::start().await, Servers::start().await);
    for api_server in ["127.0.0.2", "api.test"] {
        let names = Names::of(&[("cloud.test", &["127.0.0.2"]), ("api.test", &["127.0.0.2"])]);
        let rules = Rules { api_servers: vec![(api_server.to_owned(), server.port)], ..only_second() };
        let network = network(rules, &names, Vec::new());
        let before = other.connections()[1];
        for (host, port, expected) in [
            ("127.0.0.2", server.port, refused(AddressRule::ApiServer)),
            ("[::ffff:127.0.0.2]", server.port, refused(AddressRule::ApiServer)),
            ("cloud.test", server.port, refused(AddressRule::ApiServer)),
            ("cloud.test", other.port, Ok(())),
            ("127.0.0.2", other.port, Ok(())),
        ] {
            let ended = greet(&network, &format!("http://{host}:{port}/v3")).await;
            assert_eq!(ended, expected, "{api_server}: {host}:{port}");
        }
        assert!(greet(&network, &format!("http://api.test.:{}/v3", server.port)).await.is_err());
        assert_eq!((server.connections(), other.connections()[1]), ([0; 3], before + 2), "{api_server}");
    }
}

/// The proxy is at 127.0.0.1, which no cloud may be.
#[tokio::test]
async fn a_proxy_is_exempt_and_addresses_behind_it_are_judged() {
    let servers = Servers::start().await;
    for proxy in ["127.0.0.1", "proxy.test"] {
        let names = Names::of(&[("proxy.test", &["127.0.0.1"]), ("cloud.test", &["127.0.0.2"])]);
        let rule = format!("*.behind.test=http://{proxy}:{0},127.0.0.1=http://{proxy}:{0}", servers.port);
        let proxies = rule.split(',').map(|rule| rule.parse().unwrap()).collect();
        let network = network(only_second(), &names, proxies);
        let before = servers.connections();
        for (url, expected) in [
            ("http://keystone.behind.test/v3".to_owned(), Ok(())),
            ("http://127.0.0.1/v3".to_owned(), refused(AddressRule::Loopback)),
            // Who names the proxy as a cloud does not get there.
            (format!("http://127.0.0.1:{}/v3", servers.port), refused(AddressRule::Loopback)),
            (format!("http://cloud.test:{}/v3", servers.port), Ok(())),
        ] {
            assert_eq!(greet(&network, &url).await, expected, "{url} by {proxy}");
        }
        let named = greet(&network, &format!("http://proxy.test:{}/v3", servers.port)).await;
        assert_eq!(named, refused(AddressRule::Loopback), "{proxy}");
        assert_eq!(servers.connections(), [before[0] + 1, before[1] + 1, 0], "{proxy}");
    }
}

#[tokio::test]
async fn with_cloud_hosts_no_other_host_is_called() {
    let servers = Servers::start().await;
    let names = Names::of(&[
        ("keystone.cloud.test", &["127.0.0.2"]),
        ("other.test", &["127.0.0.2"]),
        ("third.test", &["127.0.0.3"]),
        ("mixed.test", &["127.0.0.2 127.0.0.3"]),
        ("inside.cloud.test", &["127.0.0.1"]),
    ]);
    let unlisted = || Err(Error::AddressRefused(Refusal::Unlisted));
    let rows: [(&str, &str, Result<(), Error>); 14] = [
        ("", "other.test", Ok(())),
        ("keystone.cloud.test", "keystone.cloud.test", Ok(())),
        ("Keystone.Cloud.Test", "keystone.cloud.test.", Err(Error::Dns)),
        ("keystone.cloud.test", "other.test", unlisted()),
        ("keystone.cloud.test", "127.0.0.2", unlisted()),
        ("*.cloud.test", "keystone.cloud.test", Ok(())),
        ("*.cloud.test", "cloud.test", unlisted()),
        ("*.cloud.test", "notcloud.test", unlisted()),
        ("*.cloud.test", "inside.cloud.test", refused(AddressRule::Loopback)),
        ("127.0.0.3", "other.test", unlisted()),
        ("127.0.0.3", "third.test", Ok(())),
        ("127.0.0.2/31", "mixed.test", Ok(())),
        ("127.0.0.2/31,keystone.cloud.test", "[::ffff:127.0.0.3]", Ok(())),
        ("*", "other.test", Ok(())),
    ];
    for (hosts, host, expected) in rows {
        let hosts = hosts.split(',').filter(|host| !host.is_empty()).map(|host| host.parse().unwrap());
        let allowed = vec!["127.0.0.2/31".parse().unwrap()];
        let rules = Rules { hosts: hosts.collect(), allowed, ..Rules::default() };
        let network = network(rules.clone(), &names, Vec::new());
        let ended = greet(&network, &format!("http://{host}:{}/v3", servers.port)).await;
        assert_eq!(ended, expected, "{host} with {:?}", rules.hosts);
    }
    assert_eq!(servers.connections()[0], 0);
}

#[tokio::test]
async fn plain_http_is_refused_where_https_is_required() {
    let servers = Servers::start().await;
    let rules = Rules { https_only: true, ..only_second() };
    let network = network(rules, &Names::default(), Vec::new());
    let plain = greet(&network, &format!("http://127.0.0.2:{}/v3", servers.port)).await;
    assert_eq!(plain, Err(Error::AddressRefused(Refusal::PlainHttp)));
    assert_eq!(servers.connections(), [0; 3]);
    let safe = greet(&network, &format!("https://127.0.0.2:{}/v3", servers.port)).await;
    assert!(matches!(safe, Err(Error::TlsFailed(_) | Error::ConnectionFailed)), "{safe:?}");
    assert!(servers.connections()[1] > 0);
}

#[tokio::test]
async fn only_warning_calls_everything_and_still_objects() {
    let servers = Servers::start().await;
    let names = Names::of(&[("cloud.test", &["127.0.0.1"]), ("fine.test", &["127.0.0.2"])]);
    let strict = network(only_second(), &names, Vec::new());
    let guard = Guard { look_up: names.look_up(), ..Guard::new(only_second(), false) };
    let warning = strict.clone().with_guard(guard);
    for (host, expected) in [
        ("cloud.test", Some(Refusal::Address(AddressRule::Loopback))),
        ("127.0.0.1", Some(Refusal::Address(AddressRule::Loopback))),
        ("fine.test", None),
        ("127.0.0.2", None),
        ("unknown.test", None),
    ] {
        let url = format!("http://{host}:{}/v3", servers.port);
        for network in [&strict, &warning] {
            assert_eq!(network.objection(&url.parse().unwrap()).await, expected, "{host}");
        }
        let ended = greet(&warning, &url).await;
        assert_eq!(ended, if host == "unknown.test" { Err(Error::Dns) } else { Ok(()) }, "{host}");
    }
}

/// In a cluster with IPv6 only, DNS64 makes such addresses of a cloud's IPv4 addresses.
#[test]
fn ranges_of_cloud_hosts_include_ipv4_addresses_in_ipv6() {
    for (address, range, expected) in [
        ("198.51.100.1", "198.51.100.0/24", true),
        ("::ffff:198.51.100.1", "198.51.100.0/24", true),
        ("64:ff9b::198.51.100.1", "198.51.100.0/24", true),
        ("64:ff9b::198.51.101.1", "198.51.100.0/24", false),
        ("64:ff9b:1:c633:6401::", "198.51.100.0/24", false),
        ("2001:db8::1", "2001:db8::/32", true),
        ("2001:db9::1", "2001:db8::/32", false),
    ] {
        assert_eq!(is_within(address.parse().unwrap(), range.parse().unwrap()), expected, "{address}");
    }
}

#[test]
fn hosts_that_may_be_called() {
    for text in ["", "a b", "*b.test", "keystone:5000", "http://keystone", "10.0.0.0/33", "[keystone]", "**"] {
        assert_eq!(text.parse::<CloudHost>(), Err(NoCloudHost(text.to_owned())));
    }
    let range = |text: &str| Ok(CloudHost(Kind::Within(text.parse().unwrap())));
    for (text, expected) in [
        ("10.0.0.0/8", range("10.0.0.0/8")),
        ("192.0.2.1", range("192.0.2.1/32")),
        ("[2001:db8::1]", range("2001:db8::1/128")),
        ("2001:db8::/32", range("2001:db8::/32")),
        (" Keystone.Test ", Ok(CloudHost(Kind::Named(Hosts::One("keystone.test".to_owned()))))),
        ("*.test", Ok(CloudHost(Kind::Named(Hosts::Below(".test".to_owned()))))),
        ("*", Ok(CloudHost(Kind::Named(Hosts::All)))),
    ] {
        assert_eq!(text.parse::<CloudHost>(), expected, "{text}");
    }
}
