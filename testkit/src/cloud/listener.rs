//! One port of a service: listening, refusing, and the connections in between.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock, mpsc as std_mpsc},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::cloud::layer::NoAnswer;

/// Holds a port for as long as the cloud lives.
///
/// The socket is bound and never listens: while nothing else listens, connections are refused, and nobody
/// else gets the port in between.
pub(super) struct Port {
    _held: TcpSocket,
    pub(super) address: SocketAddr,
}

impl Port {
    pub(super) fn reserve() -> Result<Self> {
        let held = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = held.local_addr()?;
        Ok(Self { _held: held, address })
    }
}

fn bind(address: SocketAddr) -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address).with_context(|| format!("binding {address}"))?;
    Ok(socket)
}

/// Opens or closes a port, and tells when that is done.
pub(super) struct Command {
    pub(super) open: bool,
    pub(super) done: std_mpsc::Sender<()>,
}

/// A service's address, how it answers, and by what it is opened and closed.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    pub(super) app: Router,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
}

impl Serving {
    /// Serves until nobody can send a command any more.
    pub(super) async fn run(mut self) -> Result<()> {
        while let Some(mut command) = self.commands.recv().await {
            // Every turn but the last of this loop is a port that is open.
            while command.open {
                let listener = bind(self.address)?.listen(1024)?;
                let _ = command.done.send(());
                match self.accept(listener).await {
                    Some(next) => command = next,
                    None => return Ok(()),
                }
            }
            let _ = command.done.send(());
        }
        Ok(())
    }

    /// Accepts until the next command, which ends the connections.
    async fn accept(&mut self, listener: TcpListener) -> Option<Command> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) if command.open => {
                        let _ = command.done.send(());
                    }
                    closing => {
                        drop(listener);
                        connections.shutdown().await;
                        return closing;
                    }
                },
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let _ = stream.set_nodelay(true);
                        let (app, tls) = (self.app.clone(), self.tls.clone());
                        connections.spawn(async move {
                            match tls {
                                None => connection(stream, app).await,
                                Some(tls) => {
                                    if let Ok(stream) = tls.accept(stream).await {
                                        connection(stream, app).await;
                                    }
                                }
                            }
                        });
                    }
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }
}

/// Answers on one connection until it ends, or an answer says that there is none.
async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, app: Router) {
    let instead = Arc::new(OnceLock::new());
    let noted = instead.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (app, noted) = (app.clone(), noted.clone());
        Box::pin(async move {
            let Ok(response) = app.oneshot(request.map(Body::new)).await;
            if let Some(instead) = response.extensions().get::<NoAnswer>() {
                let _ = noted.set(*instead);
                return Err(io::Error::other("no answer"));
            }
            Ok(response)
        })
    });
    let mut serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = poll_fn(|context| serving.poll_without_shutdown(context)).await;
    let mut stream = serving.into_parts().io.into_inner();
    let _ = match instead.get() {
        Some(NoAnswer::EndlessInterim) => interim(&mut stream).await,
        Some(NoAnswer::SlowHead) => slow_head(&mut stream).await,
        Some(NoAnswer::Close) | None => stream.shutdown().await,
    };
}

async fn interim(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let heads = ["100 Continue", "102 Processing", "103 Early Hints"].map(|head| format!("HTTP/1.1 {head}\r\n\r\n"));
    let many = heads.concat().repeat(256);
    loop {
        stream.write_all(many.as_bytes()).await?;
    }
}

async fn slow_head(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await?;
    loop {
        stream.write_all(b"x").await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
