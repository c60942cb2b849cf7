//! The command line: arguments, telemetry, wiring, shutdown. The only place that exits.

use std::{
    collections::BTreeSet, io::IsTerminal as _, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::{ArgAction, Parser, Subcommand, ValueEnum, builder::FalseyValueParser};
use cloudtenant_operator::{
    api,
    check::{Report, Subject},
    cloud::{Network, ProxyRule},
    context::Settings,
    leader::Elector,
    metrics::Metrics,
    rights::Duties,
    roster::Roster,
    run::Process,
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
    /// Tells whether an installed operator is ready and its account has the rights that it needs, and no others.
    ///
    /// Run it as the operator's account, with the operator's environment, as `helm test` does. Exit status: 0 or 1.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Where the operator serves /readyz, such as http://cloudtenant-operator:8080.
    #[arg(long)]
    url: String,
    #[command(flatten)]
    duties: DutyArguments,
}

/// What the rights of the operator's account depend on.
#[derive(Debug, clap::Args)]
struct DutyArguments {
    /// A namespace whose CloudTenants are looked at; may be repeated. All namespaces if not given.
    #[arg(long = "namespace", env = "WATCH_NAMESPACE", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Watch Secrets, so that a changed one acts within seconds. Needs the right to list all Secrets there.
    #[arg(long, env = "WATCH_SECRETS", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    watch_secrets: bool,
    /// Work only while holding a Lease, so that several replicas may run.
    #[arg(long, env = "LEADER_ELECTION", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    leader_election: bool,
    /// The Lease's name.
    #[arg(long, env = "LEASE_NAME", default_value = "cloudtenant-operator")]
    lease_name: String,
    /// The Lease's namespace; that of the account or the kubeconfig if not given.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
}

impl DutyArguments {
    fn namespaces(&self) -> Vec<String> {
        let names = self.namespaces.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Namespace and name.
    fn lease(&self, client: &Client) -> Option<(String, String)> {
        let namespace = || self.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        self.leader_election.then(|| (namespace(), self.lease_name.clone()))
    }

    fn read(&self, client: &Client) -> Duties {
        Duties { namespaces: self.namespaces(), watches_secrets: self.watch_secrets, lease: self.lease(client) }
    }
}

/// How clouds are reached. The Kubernetes API is not.
#[derive(Debug, clap::Args)]
struct NetworkArguments {
    /// A file of certificate authorities (PEM) that are trusted for clouds, besides the system's.
    #[arg(long, env = "CLOUD_CA_FILE")]
    cloud_ca_file: Option<PathBuf>,
    /// Proxies by host of the cloud: HOST=URL, where HOST is a name, *.suffix, or *. The first that fits counts.
    /// If none is given, those of HTTPS_PROXY, HTTP_PROXY and NO_PROXY count.
    #[arg(long, env = "CLOUD_PROXIES", value_delimiter = ',', hide_env_values = true)]
    cloud_proxies: Vec<String>,
}

impl NetworkArguments {
    fn read(&self) -> anyhow::Result<Network> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("--cloud-ca-file {}", path.display()))
        };
        let authorities = self.cloud_ca_file.as_ref().map(read).transpose()?;
        // Not by clap, which would repeat a wrong value, and with it a password.
        let rules = self.cloud_proxies.iter().filter(|rule| !rule.trim().is_empty()).map(|rule| rule.parse());
        let rules = rules.collect::<Result<Vec<ProxyRule>, _>>().context("--cloud-proxies")?;
        Network::new(authorities.as_deref(), rules).context("--cloud-ca-file")
    }
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
    #[command(flatten)]
    network: NetworkArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    duties: DutyArguments,
    #[command(flatten)]
    network: NetworkArguments,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// What is logged, as the crate tracing-subscriber reads it, such as `debug` or `cloudtenant_operator=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log: String,
    /// How it is logged.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// The name of this process, in events and in the Lease: no other process may have it.
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
        Command::Verify(arguments) => (verify(&arguments), 1),
    };
    done.unwrap_or_else(|error| {
        eprintln!("cloudtenant-operator: {error:#}");
        failed
    })
    .into()
}

fn check(arguments: &Check) -> anyhow::Result<u8> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let network = arguments.network.read()?;
        let subject = match (&arguments.file, &arguments.clouds, &arguments.name) {
            (Some(file), Some(clouds), _) => Subject::from_files(file, clouds, arguments.cacert.as_deref(), network)?,
            (_, _, Some(name)) => {
                let found = async {
                    Subject::from_cluster(client().await?, arguments.namespace.as_deref(), name, network).await
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
    let network = arguments.network.read()?;
    let client = client().await?;
    let elector = arguments
        .duties
        .lease(&client)
        .map(|(namespace, name)| Elector::new(client.clone(), &namespace, &name, &arguments.instance));
    let listener =
        TcpListener::bind(arguments.listen).await.with_context(|| format!("--listen {}", arguments.listen))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %listener.local_addr()?, "started");
    let roster = Roster::default();
    let metrics = Arc::new(Metrics::with_tenants(roster.clone()));
    let readiness = server::Readiness::default();
    let settings = Settings {
        namespaces: arguments.duties.namespaces(),
        watch_secrets: arguments.duties.watch_secrets,
        instance: arguments.instance.clone(),
        network,
    };
    let stopped = CancellationToken::new();
    let served = server::serve(listener, metrics.clone(), readiness.clone(), stopped.clone());
    let mut server = tokio::spawn(served);
    let process = Process::new(client, settings, metrics, roster, readiness, shutdown);
    tokio::select! {
        ended = tokio::spawn(process.run(elector)) => ended.context("the process broke off")??,
        ended = &mut server => ended?.context("the server for /metrics broke off")?,
    }
    stopped.cancel();
    tracing::info!("stopped");
    Ok(())
}

/// The way to the Kubernetes API: never by the proxies of the environment, which are for clouds.
async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context("no way to the Kubernetes API")?;
    config.proxy_url = None;
    // A call that hangs or that the API server refuses for now is ours to try again, and not for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    Ok(Client::try_from(config)?)
}

fn verify(arguments: &Verify) -> anyhow::Result<u8> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = client().await?;
        let duties = arguments.duties.read(&client);
        let fine = cloudtenant_operator::verify::verify(client, &arguments.url, &duties, |line| println!("{line}"));
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
