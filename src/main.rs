//! The command line: arguments, telemetry, wiring, shutdown. The only place that exits.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use cloudtenant_operator::{
    api,
    check::{Report, Subject},
    controller::Operator,
    metrics::Metrics,
    server,
};
use kube::{Client, Config};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What `check` exits with where there is nothing to judge.
const COULD_NOT_SEE: u8 = 2;

/// `EX_USAGE` of sysexits.h.
const WRONG_USAGE: u8 = 64;

/// How long the passes that are under way may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(4);

/// Reports the health and the usage of OpenStack tenants as Kubernetes resources.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator until SIGTERM.
    Run(Run),
    /// Looks once at what a CloudTenant describes, tells each step, and writes nothing.
    ///
    /// Exit status: 0 well, 1 not well, 2 could not see, 64 wrong usage.
    Check(Check),
    /// Prints the CustomResourceDefinition as YAML.
    Crd,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The name of a CloudTenant in the cluster.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Its namespace; the kubeconfig's if not given.
    #[arg(short, long, requires = "name")]
    namespace: Option<String>,
    /// A file with a CloudTenant, instead of one in a cluster.
    #[arg(short, long, conflicts_with = "name", requires = "clouds")]
    file: Option<PathBuf>,
    /// The clouds.yaml that goes with it.
    #[arg(long, requires = "file")]
    clouds: Option<PathBuf>,
    /// The certificate authority (PEM) that goes with it.
    #[arg(long, requires = "file")]
    cacert: Option<PathBuf>,
    /// How it is told.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The namespace whose CloudTenants are looked at; all namespaces if not given.
    #[arg(long, env = "WATCH_NAMESPACE")]
    namespace: Option<String>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// What is logged, as the crate tracing-subscriber reads it, such as `debug` or `cloudtenant_operator=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log: String,
    /// How it is logged.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// The name of this process in events.
    #[arg(long, env = "POD_NAME", default_value = "cloudtenant-operator")]
    instance: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let asked_for = !error.use_stderr();
            // Nothing is left to be done where even this cannot be printed.
            let _ = error.print();
            return if asked_for { ExitCode::SUCCESS } else { WRONG_USAGE.into() };
        }
    };
    // One provider for the API server and the clouds; nothing else in the process can have installed another.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (done, failed) = match arguments.command {
        Command::Run(arguments) => (run(&arguments).map(|()| 0), 1),
        Command::Check(arguments) => (check(&arguments), WRONG_USAGE),
        Command::Crd => (print_crd().map(|()| 0), 1),
    };
    done.unwrap_or_else(|error| {
        eprintln!("cloudtenant-operator: {error:#}");
        failed
    })
    .into()
}

fn check(arguments: &Check) -> anyhow::Result<u8> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let subject = match (&arguments.file, &arguments.clouds, &arguments.name) {
            (Some(file), Some(clouds), _) => Subject::from_files(file, clouds, arguments.cacert.as_deref())?,
            (_, _, Some(name)) => {
                let found = async {
                    let client = Client::try_default().await.context("no way to the Kubernetes API")?;
                    Subject::from_cluster(client, arguments.namespace.as_deref(), name).await
                };
                match found.await {
                    Ok(subject) => subject,
                    Err(error) => {
                        eprintln!("cloudtenant-operator: {error:#}");
                        return Ok(COULD_NOT_SEE);
                    }
                }
            }
            _ => anyhow::bail!("give the NAME of a CloudTenant, or --file and --clouds"),
        };
        let mut report = Report::new(arguments.output == Output::Json, std::io::stdout().is_terminal());
        let outlook = cloudtenant_operator::check::check(&subject, &mut |step| print!("{}", report.step(step))).await;
        print!("{}", report.outlook(&outlook)?);
        Ok(outlook.exit_code())
    })
}

fn print_crd() -> anyhow::Result<()> {
    print!("{}", api::crd_yaml()?);
    Ok(())
}

fn run(arguments: &Run) -> anyhow::Result<()> {
    // The TLS library logs as an error what the status tells: an untrusted certificate of a cloud.
    let filter = format!("rustls_platform_verifier=off,{}", arguments.log);
    let filter = EnvFilter::try_new(&filter).with_context(|| format!("--log {}", arguments.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(operate(arguments));
    // What only reads is not waited for.
    runtime.shutdown_background();
    done
}

async fn operate(arguments: &Run) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    tokio::spawn(signalled(shutdown.clone())?);
    let mut config = Config::infer().await.context("no way to the Kubernetes API")?;
    // A call that hangs or that the API server refuses for now is ours to try again, and not for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    let client = Client::try_from(config)?;
    let listener =
        TcpListener::bind(arguments.listen).await.with_context(|| format!("--listen {}", arguments.listen))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %listener.local_addr()?, "started");
    let metrics = Arc::new(Metrics::new());
    let readiness = server::Readiness::default();
    let server = tokio::spawn(server::serve(listener, metrics.clone(), readiness.clone(), shutdown.clone()));
    let operator =
        Operator::new(client, arguments.namespace.clone(), arguments.instance.clone(), metrics, shutdown.clone());
    let mut operator = tokio::spawn(operator.run(move || readiness.ready()));
    tokio::select! {
        ended = &mut operator => ended.context("the controller broke off")?,
        () = shutdown.cancelled() => {
            // Passes stop waiting at once; a write that is under way may end.
            if tokio::time::timeout(GRACE, &mut operator).await.is_err() {
                tracing::warn!("passes were still under way");
            }
        }
        ended = server => ended?.context("the server for /metrics broke off")?,
    }
    tracing::info!("stopped");
    Ok(())
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
