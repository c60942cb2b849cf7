//! How etcd and kube-apiserver are told to run.

use std::{io, net::TcpListener, path::Path};

use super::pki;

/// The ports of one control plane, all on 127.0.0.1.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) api_server: u16,
    pub(super) etcd_clients: u16,
    pub(super) etcd_peers: u16,
}

impl Ports {
    /// Three ports that are free now. Nothing keeps them so: another process may take one before its
    /// program binds it.
    pub(super) fn free() -> io::Result<Self> {
        // All three are held until all are known, or the system could give the same one twice.
        let [a, b, c] = [listen()?, listen()?, listen()?];
        Ok(Self {
            api_server: a.local_addr()?.port(),
            etcd_clients: b.local_addr()?.port(),
            etcd_peers: c.local_addr()?.port(),
        })
    }
}

fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0))
}

pub(super) fn etcd(directory: &Path, ports: Ports) -> Vec<String> {
    let clients = format!("http://127.0.0.1:{}", ports.etcd_clients);
    let peers = format!("http://127.0.0.1:{}", ports.etcd_peers);
    vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--log-level=warn".to_owned(),
        // Benchmarks write more than the default of 2 GiB.
        "--quota-backend-bytes=8589934592".to_owned(),
        // The data die with the process: there is no crash to survive.
        "--unsafe-no-fsync".to_owned(),
    ]
}

pub(super) fn kube_apiserver(directory: &Path, ports: Ports) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let signing_key = file(pki::SERVICE_ACCOUNT_KEY);
    let verifying_key = file(pki::SERVICE_ACCOUNT_PUBLIC_KEY);
    vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd_clients),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.api_server),
        format!("--tls-cert-file={}", file(pki::SERVER_CERTIFICATE)),
        format!("--tls-private-key-file={}", file(pki::SERVER_KEY)),
        format!("--client-ca-file={}", file(pki::CA_CERTIFICATE)),
        format!("--service-account-signing-key-file={signing_key}"),
        format!("--service-account-key-file={verifying_key}"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        // It waits for the default ServiceAccounts, which kube-controller-manager makes: there is none.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--profiling=false".to_owned(),
    ]
}
