//! A server in front of one service of the simulated cloud. It forwards requests, until a test gives it a fault.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};
use testkit::certificates::{Authority, Issued, rcgen::date_time_ymd};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    http::{Reply, Request, forward, request},
    secrets::MARK,
};

/// What the front does instead of forwarding.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The host name resolves to an address where nothing listens.
    Refused,
    /// The host name does not resolve.
    Dns,
    /// The host name resolves to an address that accepts no further connection.
    ConnectTimeout,
    /// The server presents a bad certificate, or speaks no TLS.
    Tls(Tls),
    /// The server sends this many bytes of the answer and then nothing.
    Hang(Part),
    /// The server resets the connection after this many bytes.
    Reset(Part),
    /// The server closes the connection after this many bytes.
    Close(Part),
    /// The server resets connections that were open before the fault, at the next request.
    ResetIdle,
    /// One byte a second.
    Drip,
    /// These bytes in the place of the answer, repeated until the client closes the connection.
    Flood(fn(&Reply) -> Flood),
    /// Another answer, which is sent as it should be.
    Answer(fn(&Request, &Reply) -> Reply),
    /// The same for the first request only.
    Once(fn(&Request, &Reply) -> Reply),
    /// These bytes in the place of the answer; then the connection closes.
    Bytes(fn(&Reply) -> Vec<u8>),
}

impl Fault {
    /// Whether no answer comes, so that the call lasts until its deadline.
    pub fn is_silent(self) -> bool {
        match self {
            Self::Hang(_) | Self::Drip => true,
            Self::Flood(flood) => !flood(&Reply::json(200, "{}")).pause.is_zero(),
            _ => false,
        }
    }
}

/// The part of an answer that is sent.
#[derive(Clone, Copy)]
pub enum Part {
    Nothing,
    HalfOfHead,
    Head,
    HalfOfBody,
}

impl Part {
    fn of(self, reply: &Reply) -> Vec<u8> {
        let (head, bytes) = (reply.head().len(), reply.bytes());
        let end = match self {
            Self::Nothing => 0,
            Self::HalfOfHead => head / 2,
            Self::Head => head,
            Self::HalfOfBody => (head + bytes.len()) / 2,
        };
        bytes[..end].to_vec()
    }
}

/// A beginning, and what follows it without an end.
pub struct Flood {
    pub first: Vec<u8>,
    pub then: Vec<u8>,
    /// Between two pieces. The processor is busy enough without it.
    pub pause: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Untrusted,
    Expired,
    OtherHost,
    PlainText,
}

/// The certificates of all cells: making keys takes long.
pub struct Certificates {
    pub ca_pem: String,
    good: Issued,
    untrusted: Issued,
    expired: Issued,
    other_host: Issued,
}

impl Certificates {
    pub fn new() -> Self {
        let (authority, other) = (Authority::root("good").unwrap(), Authority::root("unknown").unwrap());
        let names = |params: &mut testkit::certificates::rcgen::CertificateParams| {
            let names = HOSTS.map(|host| testkit::certificates::rcgen::SanType::DnsName(host.try_into().unwrap()));
            params.subject_alt_names = names.to_vec();
        };
        let expired = |params: &mut testkit::certificates::rcgen::CertificateParams| {
            names(params);
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        };
        Self {
            good: authority.issue(names).unwrap(),
            untrusted: other.issue(names).unwrap(),
            expired: authority.issue(expired).unwrap(),
            other_host: authority.issue(|_| ()).unwrap(),
            ca_pem: authority.pem,
        }
    }

    fn of(&self, fault: Option<Tls>) -> Option<&Issued> {
        match fault {
            None => Some(&self.good),
            Some(Tls::Untrusted) => Some(&self.untrusted),
            Some(Tls::Expired) => Some(&self.expired),
            Some(Tls::OtherHost) => Some(&self.other_host),
            Some(Tls::PlainText) => None,
        }
    }
}

/// The host names of Keystone, Heat, DCS and Nova.
pub const HOSTS: [&str; 4] = ["keystone.test", "heat.test", "dcs.test", "nova.test"];

/// Nothing listens here.
const REFUSING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// A full queue of connections.
const FULL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

pub struct Front {
    pub port: u16,
    shared: Arc<Shared>,
    _accepting: tokio_util::task::AbortOnDropHandle<()>,
}

struct Shared {
    upstream: SocketAddr,
    /// Only requests whose path contains this text meet the fault.
    path: &'static str,
    /// Texts of the upstream's bodies that are replaced.
    replaced: Mutex<Vec<(String, String)>>,
    fault: Mutex<Option<Fault>>,
    used_once: AtomicBool,
    /// The number of faults so far, by which connections know whether they are older than the fault.
    generation: AtomicUsize,
    requests: AtomicUsize,
    /// The bytes of floods that the client's side took.
    flooded: AtomicU64,
    connections: Mutex<JoinSet<()>>,
    tls: Option<Arc<Certificates>>,
    /// While connections get no answer.
    full: Mutex<Option<Vec<Socket>>>,
}

impl Front {
    pub async fn start(upstream: &str, path: &'static str, tls: Option<Arc<Certificates>>) -> Self {
        let upstream = upstream.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            path,
            replaced: Mutex::default(),
            fault: Mutex::default(),
            used_once: AtomicBool::new(false),
            generation: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            flooded: AtomicU64::new(0),
            connections: Mutex::default(),
            tls,
            full: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { port, shared, _accepting: tokio_util::task::AbortOnDropHandle::new(accepting) }
    }

    pub fn replace(&self, texts: Vec<(String, String)>) {
        *self.shared.replaced.lock().unwrap() = texts;
    }

    pub fn requests(&self) -> usize {
        self.shared.requests.load(SeqCst)
    }

    pub fn flooded(&self) -> u64 {
        self.shared.flooded.load(SeqCst)
    }

    /// Begins or ends a fault. Open connections end, unless they are what the fault needs.
    pub fn set(&self, fault: Option<Fault>) {
        self.shared.generation.fetch_add(1, SeqCst);
        self.shared.used_once.store(false, SeqCst);
        *self.shared.fault.lock().unwrap() = fault;
        let full = matches!(fault, Some(Fault::ConnectTimeout)).then(|| fill_queue(self.port));
        *self.shared.full.lock().unwrap() = full;
        if !matches!(fault, Some(Fault::ResetIdle)) {
            self.shared.connections.lock().unwrap().abort_all();
        }
    }

    /// The address of the host name, as the resolver of a test tells it.
    pub fn address(&self) -> io::Result<Vec<IpAddr>> {
        let address = match *self.shared.fault.lock().unwrap() {
            Some(Fault::Dns) => return Err(io::Error::other("no such host")),
            Some(Fault::Refused) => REFUSING,
            Some(Fault::ConnectTimeout) => FULL,
            _ => Ipv4Addr::LOCALHOST,
        };
        Ok(vec![address.into()])
    }
}

/// A socket with a queue of one connection, and the connections that fill it.
fn fill_queue(port: u16) -> Vec<Socket> {
    let address = SocketAddr::from((FULL, port));
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = socket();
    listener.set_reuse_address(true).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let filler = socket();
        filler.set_nonblocking(true).unwrap();
        // The connection is under way when this returns with an error.
        let _ = filler.connect(&address.into());
        sockets.push(filler);
    }
    sockets
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let connection = serve(stream, shared.clone());
        shared.connections.lock().unwrap().spawn(async move {
            let _ = connection.await;
        });
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let generation = shared.generation.load(SeqCst);
    if let Some(certificates) = shared.tls.clone() {
        let fault = match *shared.fault.lock().unwrap() {
            Some(Fault::Tls(fault)) => Some(fault),
            _ => None,
        };
        let Some(issued) = certificates.of(fault) else {
            let _ = stream.read(&mut [0; 1024]).await?;
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        };
        let acceptor = issued.acceptor(rustls::DEFAULT_VERSIONS).map_err(io::Error::other)?;
        let mut stream = acceptor.accept(stream).await?;
        while let Some(request) = request(&mut stream).await? {
            shared.requests.fetch_add(1, SeqCst);
            let reply = shared.forward(&request).await?;
            stream.write_all(&reply.bytes()).await?;
        }
        return Ok(());
    }
    while let Some(request) = request(&mut stream).await? {
        shared.requests.fetch_add(1, SeqCst);
        let reply = shared.forward(&request).await?;
        let fault = *shared.fault.lock().unwrap();
        let Some(fault) = fault.filter(|_| request.path.contains(shared.path)) else {
            stream.write_all(&reply.bytes()).await?;
            continue;
        };
        let is_old = generation != shared.generation.load(SeqCst);
        if !misbehave(fault, &mut stream, (&request, &reply), is_old, &shared).await? {
            return Ok(());
        }
    }
    Ok(())
}

impl Shared {
    async fn forward(&self, request: &Request) -> io::Result<Reply> {
        let mut reply = forward(self.upstream, &request.without(MARK)).await?;
        let mut text = String::from_utf8_lossy(&reply.body).into_owned();
        for (from, to) in self.replaced.lock().unwrap().iter() {
            text = text.replace(from, to);
        }
        reply.body = text.into_bytes();
        // The token is a secret that every log, status and metric of the test is searched for.
        reply.change("x-subject-token", |token| format!("{MARK}{token}"));
        Ok(reply)
    }
}

/// Returns whether the connection stays open.
async fn misbehave(
    fault: Fault,
    stream: &mut TcpStream,
    (request, reply): (&Request, &Reply),
    is_old: bool,
    shared: &Shared,
) -> io::Result<bool> {
    match fault {
        // These concern the connection, and there is one.
        Fault::Refused | Fault::Dns | Fault::ConnectTimeout | Fault::Tls(_) => return Ok(false),
        Fault::Hang(part) => {
            stream.write_all(&part.of(reply)).await?;
            std::future::pending::<()>().await;
        }
        Fault::Reset(part) => {
            stream.write_all(&part.of(reply)).await?;
            // What was sent has to arrive before the reset.
            tokio::time::sleep(Duration::from_millis(50)).await;
            SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
        }
        Fault::Close(part) => stream.write_all(&part.of(reply)).await?,
        Fault::ResetIdle if is_old => SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?,
        Fault::ResetIdle => {
            stream.write_all(&reply.bytes()).await?;
            return Ok(true);
        }
        Fault::Drip => {
            for byte in reply.bytes() {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Fault::Flood(flood) => {
            let Flood { first, then, pause } = flood(reply);
            stream.write_all(&first).await?;
            loop {
                stream.write_all(&then).await?;
                shared.flooded.fetch_add(then.len() as u64, SeqCst);
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Fault::Once(_) if shared.used_once.swap(true, SeqCst) => {
            stream.write_all(&reply.bytes()).await?;
            return Ok(true);
        }
        Fault::Answer(answer) | Fault::Once(answer) => {
            stream.write_all(&answer(request, reply).bytes()).await?;
            return Ok(true);
        }
        Fault::Bytes(bytes) => stream.write_all(&bytes(reply)).await?,
    }
    Ok(false)
}

/// A connection of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
