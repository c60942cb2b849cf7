//! The command line: arguments, telemetry, wiring, shutdown. Only this file ends the process.

#[path = "main/allocator.rs"]
mod allocator;
#[path = "main/arguments.rs"]
mod arguments;
#[path = "main/log.rs"]
mod log;

use std::{io::IsTerminal as _, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use arguments::{Arguments, Check, Command, Crd, Output, Run, Verify};
use clap::Parser as _;
use cloudtenant_operator::{
    api,
    budget::Budget,
    cluster::{
        api_server,
        context::{Clock, SetSettings, Settings},
        leader::Election,
        readiness::Readiness,
    },
    metrics::{Metrics, ProjectLabel},
    openstack::Network,
    panics,
    process::{
        check::{Report, Subject},
        run::Process,
        server,
    },
    watched::roster::{Roster, Sets},
    words,
};
use kube::Client;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

/// The exit status of `check` if it cannot judge the tenant's health.
const EXIT_UNKNOWN: u8 = 2;

const API_UNREACHABLE: &str = "no way to the Kubernetes API";

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let requested = !error.use_stderr();
            // If even this cannot be printed, nothing else can be done.
            let _ = error.print();
            return if requested { ExitCode::SUCCESS } else { EXIT_USAGE.into() };
        }
    };
    // One provider serves the API server and the clouds. Nothing else in the process can have installed another one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (done, failed) = match arguments.command {
        Command::Run(arguments) => (run(&arguments).map(|()| 0), 1),
        Command::Check(arguments) => (check(&arguments), EXIT_USAGE),
        Command::Crd(arguments) => (print_crd(&arguments).map(|()| 0), 1),
        Command::Verify(arguments) => (verify(&arguments), 1),
    };
    done.unwrap_or_else(|error| {
        report(&error);
        failed
    })
    .into()
}

/// Prints why a command failed. The causes may quote objects, files and answers of the API server.
fn report(error: &anyhow::Error) {
    eprintln!("cloudtenant-operator: {}", words::lines(&format!("{error:#}")));
}

fn check(arguments: &Check) -> anyhow::Result<u8> {
    tokio::runtime::Runtime::new()?.block_on(async {
        // A check has its user's own reach.
        let network = |config: Option<&kube::Config>| {
            arguments.network.read(api_server::addresses(config)).map(Network::only_warning)
        };
        let subject = match (&arguments.file, &arguments.clouds, &arguments.name) {
            (Some(file), Some(clouds), _) => {
                Subject::from_files(file, clouds, arguments.cacert.as_deref(), network(None)?)?
            }
            (_, _, Some(name)) => {
                // Wrong arguments end the check before the cluster is called.
                network(None)?;
                let found = async {
                    let config = api_server::config().await.context(API_UNREACHABLE)?;
                    let network = network(Some(&config))?;
                    let client = api_server::client(config)?;
                    Subject::from_cluster(client, arguments.namespace.as_deref(), name, network).await
                };
                match found.await {
                    Ok(subject) => subject,
                    Err(error) => {
                        report(&error);
                        return Ok(EXIT_UNKNOWN);
                    }
                }
            }
            _ => anyhow::bail!("give the NAME of a CloudTenant, or --file and --clouds"),
        };
        let mut report = Report::new(arguments.output == Output::Json, std::io::stdout().is_terminal());
        let outlook =
            cloudtenant_operator::process::check::check(&subject, &mut |step| print!("{}", report.step(step))).await;
        print!("{}", report.outlook(&outlook)?);
        Ok(outlook.exit_code())
    })
}

fn print_crd(arguments: &Crd) -> anyhow::Result<()> {
    print!("{}", if arguments.sets { api::set::crd_yaml()? } else { api::crd_yaml()? });
    Ok(())
}

fn run(arguments: &Run) -> anyhow::Result<()> {
    log::begin(&arguments.log, arguments.log_format)?;
    std::panic::set_hook(Box::new(panics::log));
    allocator::return_free_memory();
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(operate(arguments));
    // Tasks that only read need no orderly end.
    runtime.shutdown_background();
    done
}

async fn operate(arguments: &Run) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    tokio::spawn(signalled(shutdown.clone())?);
    let shard = arguments.duties.shard;
    arguments.duties.check()?;
    let config = api_server::config().await.context(API_UNREACHABLE)?;
    let network = arguments.hosts.apply(arguments.network.read(api_server::addresses(Some(&config)))?);
    let client = api_server::client(config.clone())?;
    let lease = arguments.duties.lease(&client);
    let named = arguments.instance.clone().filter(|name| !name.trim().is_empty());
    anyhow::ensure!(
        named.is_some() || lease.is_none(),
        "--leader-election needs --instance (POD_NAME): a name that no other process has, or two would lead"
    );
    let instance = named.unwrap_or_else(|| api::FIELD_MANAGER.to_owned());
    let election = lease.map(|(namespace, name)| Election::new(config, &namespace, &name, &instance, shard));
    let listener = server::listen(arguments.listen).with_context(|| format!("--listen {}", arguments.listen))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %listener.local_addr()?, "started");
    let roster = Roster::default();
    let project = if arguments.metrics_project_label { ProjectLabel::On } else { ProjectLabel::Off };
    let metrics = Arc::new(Metrics::with_tenants(roster.clone(), project));
    let readiness = Readiness::default();
    let budget = Budget::new(arguments.budget.read());
    let sets = Sets::default();
    metrics.show_sets(sets.clone());
    metrics.show_shards(shard);
    metrics.show_budget(budget.clone());
    metrics.show_allocated(allocator::allocated_bytes);
    let settings = Settings {
        namespaces: arguments.duties.namespaces(),
        watch_secrets: arguments.duties.watch_secrets,
        instance,
        network,
        budget,
        sets: arguments.duties.tenant_sets.then(|| SetSettings {
            writes_per_minute: arguments.tenant_set_writes_per_minute,
            sets: sets.clone(),
            clock: Clock::default(),
        }),
        ..Settings::default()
    };
    let server = tokio::spawn(server::serve(listener, metrics.clone(), readiness.clone()));
    let process = Process::new(client, settings, metrics, roster, readiness, shutdown);
    tokio::select! {
        ended = tokio::spawn(process.run(election)) => ended.context("the process broke off")??,
        ended = server => match ended.context("the server for /metrics broke off")? {},
    }
    tracing::info!("stopped");
    Ok(())
}

async fn client() -> anyhow::Result<Client> {
    Ok(api_server::client(api_server::config().await.context(API_UNREACHABLE)?)?)
}

fn verify(arguments: &Verify) -> anyhow::Result<u8> {
    arguments.duties.check()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = client().await?;
        let duties = arguments.duties.read(&client);
        let fine = cloudtenant_operator::cluster::verify::verify(client, &arguments.url, &duties, |line| {
            println!("{}", words::lines(line));
        });
        Ok(u8::from(!fine.await?))
    })
}

fn signalled(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        shutdown.cancel();
    })
}
