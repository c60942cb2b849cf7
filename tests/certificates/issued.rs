//! The table of certificates: what a server presents, what is listed, and the verdict.

use cloudtenant_operator::openstack::{Distrust, Error, Network, TlsFault};
use rustls::version::{TLS12, TLS13};
use testkit::certificates::{
    Authority, Issued,
    rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
        NameConstraints, SerialNumber, date_time_ymd,
    },
    serve,
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::{greet, sentence};

type Change = fn(&mut CertificateParams);

fn as_it_is(_: &mut CertificateParams) {}

fn authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

fn expired(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2020, 1, 1);
}

fn not_yet(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(4000, 1, 1);
}

fn elsewhere(params: &mut CertificateParams) {
    params.subject_alt_names = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap().subject_alt_names;
}

fn without_names(params: &mut CertificateParams) {
    params.subject_alt_names.clear();
}

fn for_clients(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

fn for_servers(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
}

fn long_serial(params: &mut CertificateParams) {
    params.serial_number = Some(SerialNumber::from_slice(&[7; 40]));
}

fn critical(params: &mut CertificateParams) {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
}

/// What stands in `cacert`.
enum Listed {
    Nothing,
    /// The root that issued the certificate.
    Root,
    /// The server's certificate.
    Itself,
    /// A root of the same name with another key.
    Namesake,
    /// Another root.
    Other,
}

use Listed::{Itself, Namesake, Nothing, Other, Root};

/// Who issued it.
enum By {
    Itself,
    Root,
    /// An intermediate authority, which the server sends.
    Intermediate(Change),
    /// An intermediate authority, which the server does not send.
    Missing,
}

const TRUSTED: Option<Distrust> = None;

#[tokio::test]
async fn each_kind_has_its_verdict() {
    let root = Authority::root("root").unwrap();
    let namesake = Authority::root("root").unwrap();
    let other = Authority::root("other").unwrap();
    let name_limit: Change = |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("elsewhere.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    };
    let no_authority: Change = |params| params.is_ca = IsCa::ExplicitNoCa;
    let rows: Vec<(&str, By, Change, Listed, Option<Distrust>)> = vec![
        ("of a listed authority", By::Root, as_it_is, Root, TRUSTED),
        ("with serverAuth", By::Root, for_servers, Root, TRUSTED),
        ("with a long serial number", By::Root, long_serial, Root, TRUSTED),
        ("by an intermediate", By::Intermediate(as_it_is), as_it_is, Root, TRUSTED),
        ("of an unknown authority", By::Root, as_it_is, Nothing, Some(Distrust::NoIntermediates)),
        ("of another authority than the listed", By::Root, as_it_is, Other, Some(Distrust::NoIntermediates)),
        ("without its intermediate", By::Missing, as_it_is, Root, Some(Distrust::NoIntermediates)),
        ("a whole chain", By::Intermediate(as_it_is), as_it_is, Nothing, Some(Distrust::UnknownAuthority)),
        ("an old authority is listed", By::Root, as_it_is, Namesake, Some(Distrust::WrongSignature)),
        ("expired", By::Root, expired, Root, Some(Distrust::Expired)),
        ("expired, of an unknown authority", By::Root, expired, Nothing, Some(Distrust::Expired)),
        ("not valid yet", By::Root, not_yet, Root, Some(Distrust::NotYetValid)),
        ("for another name", By::Root, elsewhere, Root, Some(Distrust::OtherName)),
        ("CN alone", By::Root, without_names, Root, Some(Distrust::NoNames)),
        ("CN alone, of an unknown authority", By::Root, without_names, Nothing, Some(Distrust::NoNames)),
        ("for clients", By::Root, for_clients, Root, Some(Distrust::Purpose)),
        ("an authority's", By::Root, authority, Root, Some(Distrust::Authority)),
        ("an unknown critical extension", By::Root, critical, Root, Some(Distrust::Chain)),
        ("an expired intermediate", By::Intermediate(expired), as_it_is, Root, Some(Distrust::ChainDates)),
        ("a name that it may not have", By::Intermediate(name_limit), as_it_is, Root, Some(Distrust::Chain)),
        ("by what is no authority", By::Intermediate(no_authority), as_it_is, Root, Some(Distrust::Chain)),
        // A certificate that is listed itself is trusted whoever issued it, and whatever for.
        ("itself", By::Itself, as_it_is, Itself, TRUSTED),
        ("itself, CA:TRUE", By::Itself, authority, Itself, TRUSTED),
        ("itself, with a long serial number", By::Itself, long_serial, Itself, TRUSTED),
        ("itself, of an unknown authority", By::Root, as_it_is, Itself, TRUSTED),
        ("itself, CA:TRUE of an unknown authority", By::Root, authority, Itself, TRUSTED),
        ("itself, without its intermediate", By::Missing, as_it_is, Itself, TRUSTED),
        ("itself, but expired", By::Itself, expired, Itself, Some(Distrust::Expired)),
        ("itself, but not valid yet", By::Itself, not_yet, Itself, Some(Distrust::NotYetValid)),
        ("itself, but for another name", By::Itself, elsewhere, Itself, Some(Distrust::OtherName)),
        ("itself, but CN alone", By::Itself, without_names, Itself, Some(Distrust::NoNames)),
        ("itself, CA:TRUE, but CN alone", By::Itself, authority_in_cn, Itself, Some(Distrust::NoNames)),
        ("itself, but for clients", By::Itself, for_clients, Itself, Some(Distrust::Purpose)),
        ("self-signed and not listed", By::Itself, as_it_is, Nothing, Some(Distrust::SelfSigned)),
        ("self-signed, CA:TRUE, and not listed", By::Itself, authority, Nothing, Some(Distrust::SelfSigned)),
        ("self-signed, and another is listed", By::Itself, authority, Other, Some(Distrust::SelfSigned)),
    ];
    for (name, by, change, listed, expected) in rows {
        let issued = match by {
            By::Itself => Issued::by_itself(change).unwrap(),
            By::Root => root.issue(change).unwrap(),
            By::Intermediate(limit) => root.intermediate("middle", limit).unwrap().issue(change).unwrap(),
            By::Missing => {
                let mut issued = root.intermediate("middle", as_it_is).unwrap().issue(change).unwrap();
                issued.chain.truncate(1);
                issued
            }
        };
        let list = match listed {
            Nothing => None,
            Root => Some(root.pem.as_str()),
            Itself => Some(issued.pem.as_str()),
            Namesake => Some(namesake.pem.as_str()),
            Other => Some(other.pem.as_str()),
        };
        // A file of the operator's counts as the Secret's key does, and beside it.
        let file = Network::new(list, Vec::new()).unwrap().allowing_loopback();
        let both = ("by cacert", list, Network::default().allowing_loopback());
        let beside = ("by file, beside a cacert", Some(other.pem.as_str()), file.clone());
        for (way, cacert, network) in [both, ("by file", None, file), beside] {
            for versions in [&[&TLS12], &[&TLS13]] {
                let server = serve(issued.acceptor(versions).unwrap(), |_| String::new()).await.unwrap();
                let verdict = greet(server, "127.0.0.1", cacert, &network).await;
                let expected = expected.map_or(Ok(()), |why| Err(Error::CertificateUntrusted(why)));
                assert_eq!(verdict, expected, "{name}, {way}, {versions:?}");
            }
        }
    }
}

fn authority_in_cn(params: &mut CertificateParams) {
    authority(params);
    without_names(params);
}

#[tokio::test]
async fn what_is_no_proof_of_a_certificate() {
    let root = Authority::root("root").unwrap();
    let with = |change: fn(&mut Issued)| {
        let mut issued = root.issue(as_it_is).unwrap();
        change(&mut issued);
        issued
    };
    for (name, issued, expected) in [
        ("another's key", with(|issued| issued.key = Issued::by_itself(as_it_is).unwrap().key), Distrust::NoProof),
        ("no certificate", with(|issued| issued.chain = vec![vec![1, 2, 3].into()]), Distrust::Unreadable),
        ("one cut short", with(cut), Distrust::Unreadable),
    ] {
        for versions in [&[&TLS12], &[&TLS13]] {
            let server = serve(issued.acceptor(versions).unwrap(), |_| String::new()).await.unwrap();
            let verdict = greet(server, "127.0.0.1", Some(&root.pem), &Network::default().allowing_loopback()).await;
            assert_eq!(verdict, Err(Error::CertificateUntrusted(expected)), "{name}, {versions:?}");
        }
    }
}

fn cut(issued: &mut Issued) {
    let certificate = issued.chain[0].to_vec();
    issued.chain[0] = certificate[..certificate.len() - 1].to_vec().into();
}

#[tokio::test]
async fn a_name_is_the_hosts_and_a_list_may_be_long() {
    let (one, two) = (Issued::by_itself(authority).unwrap(), Issued::by_itself(as_it_is).unwrap());
    let list = format!("# The first\r\n{}\n# The second\n{}", one.pem, two.pem);
    for issued in [one, two] {
        let acceptor = issued.acceptor(rustls::DEFAULT_VERSIONS).unwrap();
        let server = serve(acceptor, |_| String::new()).await.unwrap();
        for host in ["127.0.0.1", "localhost"] {
            assert_eq!(
                greet(server, host, Some(&list), &Network::default().allowing_loopback()).await,
                Ok(()),
                "{host}"
            );
        }
    }
}

/// A server that speaks another protocol than TLS, and one that hangs up.
#[tokio::test]
async fn no_tls_is_no_matter_of_certificates() {
    for (greeting, error, advice) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Error::TlsFailed(TlsFault::PlainText), "the port or the scheme"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Error::TlsFailed(TlsFault::PlainText), "the port or the scheme"),
        // Alerts of TLS 1.2: protocol_version, unrecognized_name, certificate_required, internal_error.
        (&[21, 3, 3, 0, 2, 2, 70], Error::TlsFailed(TlsFault::NothingInCommon), "TLS 1.2 or 1.3"),
        (&[21, 3, 3, 0, 2, 2, 112], Error::TlsFailed(TlsFault::UnknownName), "does not know the host name"),
        (&[21, 3, 3, 0, 2, 2, 116], Error::TlsFailed(TlsFault::Refused), "ask for no certificate"),
        (&[21, 3, 3, 0, 2, 2, 80], Error::TlsFailed(TlsFault::Other), "its server's log"),
        (b"", Error::ConnectionFailed, "No connection to Keystone"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(greeting).await.unwrap();
                // What was sent is read before the end of the connection is.
                let mut rest = [0; 4096];
                let _ = stream.shutdown().await;
                while matches!(tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await, Ok(1..)) {}
            }
        });
        let verdict = greet(address, "127.0.0.1", None, &Network::default().allowing_loopback()).await;
        assert_eq!(verdict, Err(error.clone()), "{greeting:?}");
        let message = sentence(error);
        assert!(message.contains(advice), "{message}");
    }
}
