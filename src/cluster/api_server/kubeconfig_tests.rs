//! Each field of a kubeconfig is honoured or refused by name.

use std::io::Write as _;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::cluster::api_server::{client, settled};

/// Builds a kubeconfig with these further lines in its cluster, user and context.
fn kubeconfig(server: &str, cluster: &str, user: &str, context: &str) -> Kubeconfig {
    let text = format!(
        "current-context: c\nclusters: [{{ name: c, cluster: {{ server: 'http://{server}', {cluster} }} }}]\n\
         users: [{{ name: u, user: {{ {user} }} }}]\ncontexts: [{{ name: c, context: {{ cluster: c, {context} }} }}]\n"
    );
    Kubeconfig::from_yaml(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

async fn refusal(cluster: &str, user: &str, context: &str) -> String {
    let error = from_kubeconfig(kubeconfig("api.example:1", cluster, user, context)).await.unwrap_err();
    format!("{:#}", anyhow::Error::from(error))
}

#[tokio::test]
async fn unsupported_fields_are_refused_by_name() {
    const USER: &str = "user: u";
    for (cluster, user, context, parts) in [
        ("proxy-url: 'ftp://hidden@p:1'", "", USER, ["cluster.proxy-url", "use http, https or socks5"]),
        ("proxy-url: 'socks4://p:1'", "", USER, ["cluster.proxy-url", "use http, https or socks5"]),
        ("proxy-url: 'http://u:hidden word@p:1'", "", USER, ["cluster.proxy-url", "percent-encoded"]),
        ("proxy-url: 'p:3128'", "", USER, ["cluster.proxy-url", "it is no URL"]),
        ("proxy-url: '/p'", "", USER, ["cluster.proxy-url", "it is no URL"]),
        (
            "insecure-skip-tls-verify: true, certificate-authority: /ca",
            "",
            USER,
            ["cluster.insecure-skip-tls-verify", "remove one"],
        ),
        (
            "insecure-skip-tls-verify: true, certificate-authority-data: YQ==",
            "",
            USER,
            ["cluster.insecure-skip-tls-verify", "remove one"],
        ),
        ("tls-servername: a", "", USER, ["cluster.tls-servername", "it is not known"]),
        ("certificate-authority: /no/such/file", "", USER, ["cannot be used", "/no/such/file"]),
        ("", "auth-provider: { name: oidc, config: { id-token: hidden } }", USER, ["user.auth-provider", "use exec"]),
        ("", "auth-provider: { name: gcp }", USER, ["user.auth-provider", "use exec"]),
        ("", "username: a, token: hidden", USER, ["user.username", "a token"]),
        ("", "username: a, password: hidden, tokenFile: /t", USER, ["user.username", "a token"]),
        ("", "password: hidden", USER, ["user.password", "no username"]),
        ("", "client-certificate: /c", USER, ["user.client-certificate", "no client-key"]),
        ("", "client-certificate-data: YQ==", USER, ["user.client-certificate", "no client-key"]),
        ("", "client-key-data: hidden", USER, ["user.client-key", "no client-certificate"]),
        ("", "as-groups: [a]", USER, ["user.as-groups", "no `as`"]),
        ("", "as-uid: a", USER, ["user.as-uid", "no `as`"]),
        ("", "as-user-extra: { a: [b] }", USER, ["user.as-user-extra", "no `as`"]),
        ("", "exec: { apiVersion: v1 }", USER, ["user.exec.command", "missing"]),
        ("", "exec: { command: a }, token: hidden", USER, ["user.exec", "a token"]),
        ("", "exec: { command: a }, username: b", USER, ["user.exec", "a username"]),
        ("", "exec: { command: a, env: [{ name: b }] }", USER, ["user.exec.env", "a value"]),
        ("", "exec: { command: a, arguments: [b] }", USER, ["user.exec.arguments", "it is not known"]),
        ("", "token-file: /t", USER, ["user.token-file", "it is not known"]),
        ("", "\"a\\nb\": /t", USER, ["user.a\\nb", "it is not known"]),
        ("", "", "user: other", ["context.user", "no such user"]),
        ("", "", "user: u, namespaces: a", ["context.namespaces", "it is not known"]),
    ] {
        let told = refusal(cluster, user, context).await;
        for part in parts {
            assert!(told.contains(part), "{cluster} {user} {context}: {part:?} is not in {told}");
        }
        assert!(!told.contains("hidden") && !told.contains('\n'), "{told}");
        // kube's own errors contain their cause twice.
        assert!(told.contains("cannot be used") || told.matches(parts[1]).count() == 1, "{told}");
    }
}

/// Reads a request and answers it as an API server answers a query of its version.
async fn answer(stream: &mut TcpStream) -> String {
    let head = read_head(stream).await;
    let body = r#"{"major":"1","minor":"36","gitVersion":"","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    head
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Returns the request that the API server receives from a client with this kubeconfig.
async fn request(cluster: &str, user: &str, context: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move { answer(&mut listener.accept().await.unwrap().0).await });
    let config = from_kubeconfig(kubeconfig(&server, cluster, user, context)).await;
    let config = config.unwrap_or_else(|error| panic!("{cluster} {user} {context}: {error:?}"));
    client(settled(config)).unwrap().apiserver_version().await.unwrap();
    serving.await.unwrap()
}

#[tokio::test]
async fn the_kubeconfigs_user_is_sent() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"from-file").unwrap();
    let path = file.path().display();
    let printed =
        r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"by-'$NAME'"}}"#;
    let exec = format!(
        "exec: {{ apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['-c', \"echo '{}'\"],
           env: [{{ name: NAME, value: exec }}], interactiveMode: Never, installHint: none }}",
        printed.replace('"', "\\\"")
    );
    for (user, expected) in [
        ("token: a", &["authorization: Bearer a\r\n"][..]),
        (&format!("tokenFile: {path}"), &["authorization: Bearer from-file\r\n"]),
        // client-go does the same.
        (&format!("token: a, tokenFile: {path}"), &["authorization: Bearer from-file\r\n"]),
        ("username: a, password: b", &["authorization: Basic YTpi\r\n"]),
        ("username: a", &["authorization: Basic YTo=\r\n"]),
        (&exec, &["authorization: Bearer by-exec\r\n"]),
        (
            "token: a, as: b, as-uid: c, as-groups: [d, e], as-user-extra: { f: [g] }",
            &[
                "impersonate-user: b\r\n",
                "impersonate-uid: c\r\n",
                "impersonate-group: d\r\n",
                "impersonate-group: e\r\n",
                "impersonate-extra-f: g\r\n",
            ],
        ),
        // Empty strings count as absent.
        (
            "token: a, tokenFile: '', username: '', password: '', as: '', as-groups: []",
            &["authorization: Bearer a\r\n"],
        ),
        ("token: a, extensions: [{ name: b, extension: { c: d } }]", &["authorization: Bearer a\r\n"]),
    ] {
        let head = request("", user, "user: u").await;
        for part in expected {
            assert!(head.contains(part), "{user}: {part:?} is not in\n{head}");
        }
    }
    let head = request("disable-compression: true, proxy-url: '', tls-server-name: ''", "", "user: ''").await;
    assert!(!head.contains("authorization") && !head.contains("accept-encoding"), "{head}");
}

#[tokio::test]
async fn the_kubeconfigs_cluster_is_in_the_configuration() {
    let config = from_kubeconfig(kubeconfig(
        "api.example:1",
        "insecure-skip-tls-verify: true, tls-server-name: name.example",
        "client-certificate-data: YQ==, client-key-data: YQ==",
        "user: u, namespace: web",
    ));
    let config = config.await.unwrap();
    assert!(config.accept_invalid_certs);
    assert_eq!(config.tls_server_name.as_deref(), Some("name.example"));
    assert_eq!(config.default_namespace, "web");
    assert!(config.auth_info.client_certificate_data.is_some() && config.auth_info.client_key_data.is_some());
    assert_eq!(config.proxy_url, None);
}

/// A proxy that serves one connection. It returns the target of CONNECT or SOCKS5, and the request that follows.
async fn proxy(listener: TcpListener) -> (String, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut first = [0];
    stream.peek(&mut first).await.unwrap();
    let requested = if first == [5] {
        let login = socks_login(&mut stream).await;
        let mut start = [0; 5];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(start[..4], [5, 1, 0, 3], "CONNECT to a name");
        let mut host = vec![0; usize::from(start[4])];
        stream.read_exact(&mut host).await.unwrap();
        let port = stream.read_u16().await.unwrap();
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        format!("{login}{}:{port}", String::from_utf8(host).unwrap())
    } else {
        let head = read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        head
    };
    (requested, answer(&mut stream).await)
}

/// Performs the SOCKS5 login, if the client offers one, and returns it.
async fn socks_login(stream: &mut TcpStream) -> String {
    let mut start = [0; 2];
    stream.read_exact(&mut start).await.unwrap();
    let mut methods = vec![0; usize::from(start[1])];
    stream.read_exact(&mut methods).await.unwrap();
    if !methods.contains(&2) {
        stream.write_all(&[5, 0]).await.unwrap();
        return String::new();
    }
    stream.write_all(&[5, 2]).await.unwrap();
    let _version = stream.read_u8().await.unwrap();
    let mut texts = Vec::new();
    for _ in 0..2 {
        let mut text = vec![0; usize::from(stream.read_u8().await.unwrap())];
        stream.read_exact(&mut text).await.unwrap();
        texts.push(String::from_utf8(text).unwrap());
    }
    stream.write_all(&[1, 0]).await.unwrap();
    format!("{}@", texts.join(":"))
}

#[tokio::test]
async fn the_api_server_is_reached_through_the_proxy() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for (scheme, login, requested) in [
        ("http", "", &["CONNECT api.example:8001 HTTP/1.1\r\n"][..]),
        (
            "http",
            "a:b%40c@",
            // a:b@c
            &["CONNECT api.example:8001 HTTP/1.1\r\n", "Proxy-Authorization: Basic YTpiQGM=\r\n"],
        ),
        ("socks5", "", &["api.example:8001"]),
        ("socks5h", "", &["api.example:8001"]),
        ("socks5", "a:b%40c@", &["a:b@c@api.example:8001"]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(proxy(listener));
        let cluster = format!("proxy-url: '{scheme}://{login}{at}'");
        let config =
            from_kubeconfig(kubeconfig("api.example:8001", &cluster, "token: hunter2", "user: u")).await.unwrap();
        client(settled(config)).unwrap().apiserver_version().await.unwrap();
        let (found, head) = serving.await.unwrap();
        for part in requested {
            assert!(found.contains(part), "{scheme}: {part:?} is not in {found:?}");
        }
        assert!(!found.contains("hunter2") && head.contains("authorization: Bearer hunter2\r\n"), "{head}");
    }
}
