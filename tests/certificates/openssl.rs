//! Certificates that OpenSSL makes, and servers that it runs: keys, curves and versions that rustls has none of.
//!
//! Without the program these tests say that they are skipped, and fail where `CI` is `true`.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use cloudtenant_operator::openstack::{Distrust, Error, Network, TlsFault};
use tempfile::TempDir;

use super::{greet, sentence};

const NAMED: &[&str] = &["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];

/// LibreSSL, which some systems have by this name, lacks what is asked here.
fn is_missing() -> bool {
    let version = Command::new("openssl").arg("version").output();
    let version = version.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let major = version.strip_prefix("OpenSSL ").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    let found = major >= Some(3);
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "openssl 3 is not installed");
    if !found {
        eprintln!("skipped: openssl 3 is not installed");
    }
    !found
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with `key.pem` and `cert.pem`, as a person makes them.
fn self_signed(key: &[&str], more: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let request = ["req", "-x509", "-nodes", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"];
    openssl(folder.path(), &[&request[..], key, more].concat());
    folder
}

fn certificate(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("cert.pem")).unwrap()
}

/// `openssl s_server`, ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    /// It prints a little at each connection. Nobody reads that, and the pipe holds it.
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(folder: &TempDir, more: &[&str]) -> Self {
        // Somebody else may take the port meanwhile: s_server cannot be told to take any.
        let started = (0..5).find_map(|_| Self::try_start(folder, more));
        assert!(started.is_some(), "s_server does not start: {more:?}");
        started.unwrap()
    }

    fn try_start(folder: &TempDir, more: &[&str]) -> Option<Self> {
        let path = |name: &str| folder.path().join(name);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-accept", &address.to_string()]);
        command.arg("-cert").arg(path("cert.pem")).arg("-key").arg(path("key.pem")).args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { output: BufReader::new(child.stdout.take().unwrap()), child, address };
        let mut line = String::new();
        while server.output.read_line(&mut line).unwrap() > 0 {
            if line.starts_with("ACCEPT") {
                return Some(server);
            }
            line.clear();
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_plain_self_signed_certificate_is_taken() {
    if is_missing() {
        return;
    }
    let rsa = &["-newkey", "rsa:2048"];
    type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Result<(), Distrust>);
    let rows: &[Row<'_>] = &[
        ("as people make it", rsa, NAMED, Ok(())),
        ("without CA:TRUE", rsa, &[NAMED, &["-addext", "basicConstraints=critical,CA:FALSE"]].concat(), Ok(())),
        ("without names", rsa, &[], Err(Distrust::NoNames)),
        ("with another name", rsa, &["-addext", "subjectAltName=DNS:elsewhere"], Err(Distrust::OtherName)),
        (
            "with an address as if it were a name",
            rsa,
            &["-addext", "subjectAltName=DNS:127.0.0.1"],
            Err(Distrust::OtherName),
        ),
        (
            "with an address of mail alone",
            rsa,
            &["-addext", "subjectAltName=email:me@localhost"],
            Err(Distrust::NoNames),
        ),
        ("with a signature by SHA-1", rsa, &[NAMED, &["-sha1"]].concat(), Ok(())),
        ("RSA of 4096 bits", &["-newkey", "rsa:4096"], NAMED, Ok(())),
        ("P-256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], NAMED, Ok(())),
        ("P-384", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], NAMED, Ok(())),
        ("Ed25519", &["-newkey", "ed25519"], NAMED, Ok(())),
    ];
    for (name, key, more, expected) in rows {
        let folder = self_signed(key, more);
        let cacert = certificate(&folder);
        for version in ["-tls1_2", "-tls1_3"] {
            let server = Server::start(&folder, &[version]);
            let verdict =
                greet(server.address, "127.0.0.1", Some(&cacert), &Network::default().allowing_loopback()).await;
            assert_eq!(verdict, expected.map_err(Error::CertificateUntrusted), "{name}, {version}");
        }
        let server = Server::start(&folder, &[]);
        let verdict = greet(server.address, "127.0.0.1", None, &Network::default().allowing_loopback()).await;
        let unlisted = expected.err().unwrap_or(Distrust::SelfSigned);
        assert_eq!(verdict, Err(Error::CertificateUntrusted(unlisted)), "{name}, not listed");
    }
}

/// What Go and OpenSSL take and our TLS does not is named, with both versions of TLS where that can be seen.
#[tokio::test]
async fn unsupported_keys_are_named() {
    if is_missing() {
        return;
    }
    let curve = |name: &'static str| vec!["-newkey", "ec", "-pkeyopt", name];
    let both = &["-tls1_2", "-tls1_3"][..];
    for (key, versions, part) in [
        (vec!["-newkey", "rsa:1024"], both, "RSA of less than 2048 bits"),
        (curve("ec_paramgen_curve:P-521"), both, "ECDSA on the curve P-521"),
        (vec!["-newkey", "ed448"], both, "Ed448"),
        (vec!["-newkey", "rsa-pss"], both, "RSASSA-PSS"),
        (curve("ec_paramgen_curve:brainpoolP384r1"), both, "AES-GCM"),
        (curve("ec_paramgen_curve:secp256k1"), both, "AES-GCM"),
    ] {
        let folder = self_signed(&key, NAMED);
        let cacert = certificate(&folder);
        for version in versions {
            let server = Server::start(&folder, &[version, "-cipher", "DEFAULT:@SECLEVEL=0"]);
            let verdict =
                greet(server.address, "127.0.0.1", Some(&cacert), &Network::default().allowing_loopback()).await;
            let message = sentence(verdict.unwrap_err());
            assert!(message.contains(part), "{key:?}, {version}: {message}");
        }
    }
}

/// Chains whose authority has a key, or signs in a way, that our TLS does not support.
#[tokio::test]
async fn unsupported_chains_are_named() {
    if is_missing() {
        return;
    }
    let p521 = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"][..];
    for (authority, digest, expected) in [
        (&["-newkey", "rsa:2048"][..], "-sha256", Ok(())),
        (&["-newkey", "rsa:2048"], "-sha1", Err(Distrust::Signature("RSA with SHA-1"))),
        (&["-newkey", "rsa:1024"], "-sha256", Err(Distrust::ChainKey("RSA of less than 2048 bits"))),
        (p521, "-sha256", Err(Distrust::ChainKey("ECDSA on the curve P-521"))),
        (p521, "-sha512", Err(Distrust::ChainKey("ECDSA on the curve P-521"))),
        (&["-newkey", "ed448"], "-sha256", Err(Distrust::ChainKey("Ed448"))),
    ] {
        let root = tempfile::tempdir().unwrap();
        let request = ["req", "-x509", "-nodes", "-subj", "/CN=root", "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(root.path(), &[&request, authority].concat());
        let request = ["req", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=localhost", "-keyout", "key.pem"];
        openssl(root.path(), &[&request[..], NAMED, &["-out", "request.pem"]].concat());
        let sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        let digest = if authority.contains(&"ed448") { &[][..] } else { &[digest] };
        openssl(root.path(), &[&sign[..], &["-copy_extensions", "copy", "-out", "cert.pem"], digest].concat());

        let list = std::fs::read_to_string(root.path().join("ca.pem")).unwrap();
        let server = Server::start(&root, &["-cipher", "DEFAULT:@SECLEVEL=0"]);
        let verdict = greet(server.address, "127.0.0.1", Some(&list), &Network::default().allowing_loopback()).await;
        assert_eq!(verdict, expected.map_err(Error::CertificateUntrusted), "{authority:?}, {digest:?}");
        // The way out that the sentence names.
        let verdict =
            greet(server.address, "127.0.0.1", Some(&certificate(&root)), &Network::default().allowing_loopback())
                .await;
        assert_eq!(verdict, Ok(()), "{authority:?}, {digest:?}: listed itself");
    }
}

/// The parser of dates refuses the same attribute twice in a set, and webpki does not look there. What webpki trusts
/// stays trusted; for itself it is not, since its dates are unknown.
#[tokio::test]
async fn a_certificate_that_only_webpki_reads() {
    if is_missing() {
        return;
    }
    let odd = ["-newkey", "rsa:2048", "-subj", "/O=one+O=one/CN=localhost"];
    let folder = self_signed(&odd, &[NAMED, &["-addext", "basicConstraints=critical,CA:FALSE"]].concat());
    let server = Server::start(&folder, &[]);
    let cacert = certificate(&folder);
    let verdict = greet(server.address, "127.0.0.1", Some(&cacert), &Network::default().allowing_loopback()).await;
    assert_eq!(verdict, Ok(()), "by its own signature");
    let verdict = greet(server.address, "127.0.0.1", None, &Network::default().allowing_loopback()).await;
    assert_eq!(verdict, Err(Error::CertificateUntrusted(Distrust::UnknownAuthority)));

    let folder = self_signed(&odd, NAMED);
    let server = Server::start(&folder, &[]);
    let cacert = certificate(&folder);
    let verdict = greet(server.address, "127.0.0.1", Some(&cacert), &Network::default().allowing_loopback()).await;
    assert_eq!(verdict, Err(Error::CertificateUntrusted(Distrust::Chain)), "an authority's");
}

/// A server that speaks no TLS that we speak is no matter of certificates, and not "no connection" either.
#[tokio::test]
async fn servers_without_our_tls() {
    if is_missing() {
        return;
    }
    let folder = self_signed(&["-newkey", "rsa:2048"], NAMED);
    let cacert = certificate(&folder);
    let weak = ["-cipher", "ALL:@SECLEVEL=0"];
    let other = TlsFault::Curve("a curve other than X25519, P-256 and P-384");
    for (more, expected) in [
        (&["-tls1_1"][..], TlsFault::NothingInCommon),
        (&["-tls1"], TlsFault::NothingInCommon),
        (&["-tls1_2", "-cipher", "AES128-SHA256:@SECLEVEL=0"], TlsFault::NothingInCommon),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256:@SECLEVEL=0"], TlsFault::NothingInCommon),
        (&["-tls1_2", "-sigalgs", "RSA+SHA1"], TlsFault::Refused),
        (&["-curves", "P-521", "-tls1_3"], TlsFault::Curve("P-521")),
        (&["-curves", "X448", "-tls1_3"], TlsFault::Curve("X448")),
        (&["-curves", "P-521", "-tls1_2"], other),
        (&["-Verify", "1", "-verify_return_error", "-tls1_2"], TlsFault::Refused),
        (&["-Verify", "1", "-verify_return_error", "-tls1_3"], TlsFault::Refused),
    ] {
        let more = if more.contains(&"-cipher") { more.to_vec() } else { [more, &weak].concat() };
        let server = Server::start(&folder, &more);
        let verdict = greet(server.address, "127.0.0.1", Some(&cacert), &Network::default().allowing_loopback()).await;
        assert_eq!(verdict, Err(Error::TlsFailed(expected)), "{more:?}");
        sentence(verdict.unwrap_err());
    }
}
