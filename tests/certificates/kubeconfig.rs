//! An API server whose own certificate is the kubeconfig's authority.

use cloudtenant_operator::cluster::api_server;
use k8s_openapi::ByteString;
use kube::config::Kubeconfig;
use serde_json::json;
use testkit::certificates::{
    Authority, Issued,
    rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd},
    serve,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::with_provider;

/// A proxy that connects to whatever it is asked for. Returns its URL.
async fn relay() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
                let mut server = TcpStream::connect(target).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                // A client that refuses the certificate breaks off.
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    url
}

fn with_proxy(kubeconfig: &Kubeconfig, url: &str) -> Kubeconfig {
    let mut kubeconfig = kubeconfig.clone();
    kubeconfig.clusters[0].cluster.as_mut().unwrap().proxy_url = Some(url.to_owned());
    kubeconfig
}

fn as_it_is(_: &mut CertificateParams) {}

fn authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

#[tokio::test]
async fn a_servers_own_certificate_may_be_the_authority() {
    with_provider();
    let root = Authority::root("root").unwrap();
    let own = Issued::by_itself(authority).unwrap();
    let expired = Issued::by_itself(|params| {
        authority(params);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let elsewhere = Issued::by_itself(|params| {
        authority(params);
        params.subject_alt_names = CertificateParams::new(["api.example".to_owned()]).unwrap().subject_alt_names;
    });
    let (expired, elsewhere) = (expired.unwrap(), elsewhere.unwrap());
    let other = Issued::by_itself(authority).unwrap();
    let by_root = || root.issue(as_it_is).unwrap();
    for (name, issued, authority, server_name, expected) in [
        ("an authority's", by_root(), root.pem.clone(), None, Ok(())),
        ("its own, CA:TRUE", own.clone(), own.pem.clone(), None, Ok(())),
        ("both", own.clone(), format!("{}{}", root.pem, own.pem), None, Ok(())),
        ("an authority's, beside a server's own", by_root(), format!("{}{}", root.pem, own.pem), None, Ok(())),
        ("another's", own.clone(), other.pem.clone(), None, Err("self-signed")),
        ("its own, expired", expired.clone(), expired.pem.clone(), None, Err("expired")),
        ("its own, for another name", elsewhere.clone(), elsewhere.pem.clone(), None, Err("another name")),
        ("its own, by tls-server-name", elsewhere.clone(), elsewhere.pem.clone(), Some("api.example"), Ok(())),
    ] {
        let acceptor = issued.acceptor(rustls::DEFAULT_VERSIONS).unwrap();
        let server = serve(acceptor, |head| {
            assert!(head.to_lowercase().contains("authorization: bearer hunter2"), "{head}");
            assert!(head.starts_with("GET /version HTTP/1.1"), "{head}");
            let empty = ["buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform", "gitVersion"];
            let mut info = json!({ "major": "1", "minor": "36" });
            info.as_object_mut().unwrap().extend(empty.map(|key| (key.to_owned(), json!(""))));
            info.to_string()
        });
        let kubeconfig: Kubeconfig = serde_json::from_value(json!({
            "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "users": [{ "name": "u", "user": { "token": "hunter2" } }],
            "clusters": [{ "name": "c", "cluster": {
                "server": format!("https://{}", server.await.unwrap()),
                "tls-server-name": server_name,
                "certificate-authority-data": ByteString(authority.clone().into_bytes()),
            } }],
        }))
        .unwrap();
        let proxied = with_proxy(&kubeconfig, &relay().await);
        for kubeconfig in [kubeconfig, proxied] {
            let config = api_server::from_kubeconfig(kubeconfig).await.unwrap();
            let client = api_server::client(api_server::settled(config)).unwrap();
            let version = client.apiserver_version().await.map(|info| assert_eq!(info.major, "1"));
            match (version, expected) {
                (Ok(()), Ok(())) => {}
                (Err(error), Err(part)) => {
                    // As the program prints it.
                    let told = format!("{:#}", anyhow::Error::from(error));
                    assert!(told.contains(part), "{name}: {told}");
                }
                (version, _) => panic!("{name}: {version:?}"),
            }
        }
    }
}
