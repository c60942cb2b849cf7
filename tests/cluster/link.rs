//! A way to the API server that can be cut.

use std::sync::Arc;

use kube::config::Kubeconfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What happens to connections, by their number.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    /// So many have been opened.
    opened: u64,
    /// Nothing comes through those up to this one, and none of them is closed.
    frozen: u64,
    /// Those up to this one are closed.
    closed: u64,
    /// Nothing comes through any of them.
    all_frozen: bool,
}

pub struct Link(Arc<watch::Sender<Fate>>);

impl Link {
    /// A way to the same API server, with the same rights.
    pub async fn to(kubeconfig: &Kubeconfig) -> (Kubeconfig, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut through = kubeconfig.clone();
        let cluster = through.clusters[0].cluster.as_mut().unwrap();
        let server = cluster.server.replace(format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let server = server.strip_prefix("https://").unwrap().trim_end_matches('/').to_owned();
        let fate = Arc::new(watch::Sender::new(Fate::default()));
        let opened = fate.clone();
        tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                let outside = TcpStream::connect(&server).await.unwrap();
                let mut number = 0;
                opened.send_modify(|fate| {
                    fate.opened += 1;
                    number = fate.opened;
                });
                let ((from_inside, to_inside), (from_outside, to_outside)) =
                    (inside.into_split(), outside.into_split());
                tokio::spawn(pass_on(from_inside, to_outside, number, opened.subscribe()));
                tokio::spawn(pass_on(from_outside, to_inside, number, opened.subscribe()));
            }
        });
        (through, Self(fate))
    }

    /// Nothing comes through from now on, or all does.
    pub fn freeze_all(&self, frozen: bool) {
        self.0.send_modify(|fate| fate.all_frozen = frozen);
    }

    /// Nothing comes through what is open now.
    pub fn freeze_what_is_open(&self) {
        self.0.send_modify(|fate| fate.frozen = fate.opened);
    }

    /// Closes what is open now.
    pub fn close(&self) {
        self.0.send_modify(|fate| fate.closed = fate.opened);
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, mut fate: watch::Receiver<Fate>) {
    let mut until_closed = fate.clone();
    let passing = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let open = fate.wait_for(|fate| !fate.all_frozen && number > fate.frozen).await.is_ok();
            if !open || to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = passing => {}
        _ = until_closed.wait_for(|fate| number <= fate.closed) => {}
    }
}
