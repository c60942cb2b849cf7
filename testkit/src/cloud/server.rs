//! The services on their ports, on a thread of their own.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc as std_mpsc},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use axum::{Router, middleware};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};
use tokio_rustls::TlsAcceptor;

use crate::cloud::{
    dcs, heat, keystone, layer,
    listener::{Command, Port, Serving},
    nova,
    service::Service,
    state::Shared,
};

/// The thread of the services. It ends when this is dropped.
pub(super) struct Running {
    commands: BTreeMap<Service, mpsc::UnboundedSender<Command>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts the thread. A service listens once [`Self::switch`] has opened its port.
    pub(super) fn start(
        shared: &Arc<Shared>,
        ports: BTreeMap<Service, Port>,
        acceptors: &BTreeMap<Service, TlsAcceptor>,
    ) -> Result<Self> {
        let mut commands = BTreeMap::new();
        let mut serving = Vec::new();
        for (service, port) in &ports {
            let (sender, receiver) = mpsc::unbounded_channel();
            commands.insert(*service, sender);
            let faults = middleware::from_fn_with_state((*service, shared.clone()), layer::layer);
            serving.push(Serving {
                address: port.address,
                app: router(*service, shared.clone()).layer(faults),
                tls: acceptors.get(service).cloned(),
                commands: receiver,
            });
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("simulated-cloud".to_owned()).spawn(move || {
            let _ports = ports;
            runtime.block_on(async move {
                for service in serving {
                    tokio::spawn(service.run());
                }
                let _ = stopped.await;
            });
        })?;
        Ok(Self { commands, stop: Some(stop), thread: Some(thread) })
    }

    /// Opens or closes a service's port, and waits until that is done.
    pub(super) fn switch(&self, service: Service, open: bool) -> Result<()> {
        let (done, waiting) = std_mpsc::channel();
        let commands = self.commands.get(&service).context("no such service")?;
        commands.send(Command { open, done }).ok().context("the service has ended")?;
        waiting.recv().context("the port is not to be had")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(service: Service, shared: Arc<Shared>) -> Router {
    match service {
        Service::Keystone => keystone::router(shared),
        Service::Heat => heat::router(shared),
        Service::Dcs => dcs::router(shared),
        Service::Nova => nova::router(shared),
    }
}
