//! The arguments of the command line and the environment.

use std::{collections::BTreeSet, error::Error, net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::Context as _;
use clap::{ArgAction, Parser, Subcommand, ValueEnum, builder::FalseyValueParser};
use cloudtenant_operator::{
    budget::{Bytes, Limits},
    cluster::rights::Duties,
    openstack::{Cidr, CloudHost, Network, ProxyRule, Rules},
    shard::Shard,
};
use kube::Client;

/// Reports the health and the usage of OpenStack tenants as Kubernetes resources.
#[derive(Debug, Parser)]
#[command(version)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs the operator until SIGTERM.
    Run(Run),
    /// Runs all probes of a CloudTenant once, prints each step, and writes nothing.
    ///
    /// Exit status: 0 healthy, 1 unhealthy, 2 unknown, 64 wrong usage.
    Check(Check),
    /// Prints the CustomResourceDefinition as YAML.
    Crd(Crd),
    /// Checks that all Pods of an installed operator are ready, and that its account has the necessary rights and
    /// cannot list Secrets without need.
    ///
    /// Run it with the operator's account and environment, as `helm test` does. Exit status: 0 or 1.
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub(super) struct Crd {
    /// Print the definition of CloudTenantSets instead of that of CloudTenants.
    #[arg(long)]
    pub(super) sets: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The URL at which the operator serves /readyz, such as http://cloudtenant-operator:8080.
    #[arg(long)]
    pub(super) url: String,
    #[command(flatten)]
    pub(super) duties: DutyArguments,
}

/// What the rights of the operator's account depend on.
#[derive(Debug, clap::Args)]
pub(super) struct DutyArguments {
    /// A namespace whose CloudTenants the operator observes; may be repeated. Default: all namespaces.
    #[arg(long = "namespace", env = "WATCH_NAMESPACE", value_delimiter = ',')]
    pub(super) namespaces: Vec<String>,
    /// Watch Secrets, so that a change takes effect within seconds. Needs the right to list all Secrets there.
    #[arg(long, env = "WATCH_SECRETS", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) watch_secrets: bool,
    /// Elect a leader with a Lease, so that several replicas can run.
    #[arg(long, env = "LEADER_ELECTION", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) leader_election: bool,
    /// The name of the Lease.
    #[arg(long, env = "LEASE_NAME", default_value = "cloudtenant-operator")]
    pub(super) lease_name: String,
    /// The namespace of the Lease. Default: the namespace of the account or the kubeconfig.
    #[arg(long, env = "POD_NAMESPACE")]
    pub(super) lease_namespace: Option<String>,
    /// Serve one of several shards of the CloudTenants, as in 0/2 and 1/2 for two processes. Needs --leader-election. Each
    /// shard has its own Lease, and a process also serves shards whose processes have ended. Default: all CloudTenants.
    #[arg(long, env = "SHARD", default_value_t = Shard::default(), hide_default_value = true)]
    pub(super) shard: Shard,
    /// Serve CloudTenantSets: create, change and delete CloudTenants for the projects that Keystone lists. Needs the CRD of
    /// CloudTenantSets, and rights to write CloudTenants. Of several shards, the first one serves all sets.
    #[arg(long, env = "TENANT_SETS", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) tenant_sets: bool,
}

impl DutyArguments {
    pub(super) fn namespaces(&self) -> Vec<String> {
        let names = self.namespaces.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The Lease's namespace and name.
    pub(super) fn lease(&self, client: &Client) -> Option<(String, String)> {
        let namespace = || self.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        self.leader_election.then(|| (namespace(), self.lease_name.clone()))
    }

    /// Refuses shards without leader election.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.shard.is_only() || self.leader_election,
            "--shard {} (SHARD) needs --leader-election (LEADER_ELECTION), so that no two processes serve a CloudTenant",
            self.shard
        );
        Ok(())
    }

    pub(super) fn read(&self, client: &Client) -> Duties {
        let leases = self.lease(client).map(|(namespace, name)| (namespace, self.shard.lease_names(&name)));
        Duties {
            namespaces: self.namespaces(),
            watches_secrets: self.watch_secrets,
            leases,
            serves_sets: self.tenant_sets,
        }
    }
}

/// How the operator connects to clouds. Not for the Kubernetes API.
#[derive(Debug, clap::Args)]
pub(super) struct NetworkArguments {
    /// A file with certificates (PEM) of authorities or servers that the operator trusts for all clouds, in addition to
    /// a Secret's key `cacert`, or to the system's authorities if the Secret has none.
    #[arg(long, env = "CLOUD_CA_FILE")]
    pub(super) cloud_ca_file: Option<PathBuf>,
    /// Deprecated, and removed in the next minor version: trust the system's authorities also if a Secret has the key
    /// `cacert`, which otherwise replaces them.
    #[arg(long, env = "CLOUD_CA_MERGE_SYSTEM", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) cloud_ca_merge_system: bool,
    /// A proxy for hosts of clouds: HOST=URL, where HOST is a name, *.suffix, or *. The first match applies. Default:
    /// the proxies of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
    #[arg(long, env = "CLOUD_PROXIES", value_delimiter = ',', hide_env_values = true)]
    pub(super) cloud_proxies: Vec<String>,
    /// Ranges of addresses that the operator calls although it refuses them by default: loopback, link-local, metadata,
    /// multicast and reserved addresses. As in 127.0.0.0/8; an address alone is a range, too. Never the API server.
    #[arg(long, env = "ALLOW_CLOUD_CIDR", value_delimiter = ',')]
    pub(super) allow_cloud_cidr: Vec<String>,
    /// The only hosts that the operator calls: a name, *.suffix, or a range of addresses. Ranges apply to the addresses
    /// of all other names, too. Default: all hosts.
    #[arg(long, env = "CLOUD_HOSTS", value_delimiter = ',')]
    pub(super) cloud_hosts: Vec<String>,
    /// Refuse addresses of clouds that begin with http.
    #[arg(long, env = "REQUIRE_HTTPS", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) require_https: bool,
}

/// The parsed values without the empty ones.
fn parsed<T: FromStr<Err: Error + Send + Sync + 'static>>(
    values: &[String],
    flag: &'static str,
) -> anyhow::Result<Vec<T>> {
    let values = values.iter().map(|value| value.trim()).filter(|value| !value.is_empty());
    values.map(str::parse).collect::<Result<_, _>>().context(flag)
}

impl NetworkArguments {
    /// `api_servers` are hosts and ports of the Kubernetes API, which is never called as a cloud.
    pub(super) fn read(&self, api_servers: Vec<(String, u16)>) -> anyhow::Result<Network> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("--cloud-ca-file {}", path.display()))
        };
        let authorities = self.cloud_ca_file.as_ref().map(read).transpose()?;
        // clap would print a wrong value, which may contain a password.
        let proxies: Vec<ProxyRule> = parsed(&self.cloud_proxies, "--cloud-proxies")?;
        if self.cloud_ca_merge_system {
            tracing::warn!(
                "--cloud-ca-merge-system (CLOUD_CA_MERGE_SYSTEM, chart: cloudCA.mergeSystem) is deprecated and will be \
                 removed in the next minor version: add all authorities of a cloud to its Secret's key cacert"
            );
        }
        let network = Network::new(authorities.as_deref(), proxies).context("--cloud-ca-file")?;
        let rules = Rules {
            allowed: parsed::<Cidr>(&self.allow_cloud_cidr, "--allow-cloud-cidr")?,
            hosts: parsed::<CloudHost>(&self.cloud_hosts, "--cloud-hosts")?,
            https_only: self.require_https,
            api_servers,
        };
        Ok(network.keeping_system(self.cloud_ca_merge_system).guarded_by(rules))
    }
}

/// The memory for data from tenants and their clouds.
#[derive(Debug, clap::Args)]
pub(super) struct BudgetArguments {
    /// The memory for the credentials, sessions and engine lists of one namespace, as in 96Mi. The operator shows it on
    /// CloudTenants that would need more.
    #[arg(long, env = "KEPT_PER_NAMESPACE", default_value = "96Mi")]
    pub(super) kept_per_namespace: Bytes,
    /// The same for all namespaces together. Keep it at least 128Mi below the memory limit: the process itself and answers
    /// that it reads need that memory.
    #[arg(long, env = "KEPT_IN_ALL", default_value = "128Mi")]
    pub(super) kept_in_all: Bytes,
}

impl HostArguments {
    pub(super) fn apply(&self, network: Network) -> Network {
        let network = network.with_requests_per_second(self.cloud_requests_per_second);
        network.with_queries_in_flight(self.cloud_requests_in_flight)
    }
}

impl BudgetArguments {
    pub(super) const fn read(&self) -> Limits {
        Limits { namespace: self.kept_per_namespace.0, all: self.kept_in_all.0 }
    }
}

/// How much of a cloud's host the operator uses.
#[derive(Debug, clap::Args)]
pub(super) struct HostArguments {
    /// The number of requests a second to one host of a cloud. Further requests wait.
    #[arg(long, env = "CLOUD_REQUESTS_PER_SECOND", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) cloud_requests_per_second: u32,
    /// The number of queries under way for one host of a cloud, at most half of them for one namespace. Queries for Heat's
    /// engines, one for each credential, do not count. Further queries wait, and their deadlines begin after that.
    #[arg(long, env = "CLOUD_REQUESTS_IN_FLIGHT", default_value_t = 128,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) cloud_requests_in_flight: u32,
}

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The name of a CloudTenant in the cluster.
    #[arg(required_unless_present = "file")]
    pub(super) name: Option<String>,
    /// The namespace of the CloudTenant. Default: the namespace of the kubeconfig.
    #[arg(short, long, requires = "name")]
    pub(super) namespace: Option<String>,
    /// A file with a CloudTenant, instead of one in the cluster.
    #[arg(short, long, conflicts_with = "name", requires = "clouds")]
    pub(super) file: Option<PathBuf>,
    /// The clouds.yaml for --file.
    #[arg(long, requires = "file")]
    pub(super) clouds: Option<PathBuf>,
    /// The certificates (PEM) for --file, as in the Secret's key `cacert`.
    #[arg(long, requires = "file")]
    pub(super) cacert: Option<PathBuf>,
    /// The output format.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) network: NetworkArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) duties: DutyArguments,
    #[command(flatten)]
    pub(super) network: NetworkArguments,
    #[command(flatten)]
    pub(super) budget: BudgetArguments,
    #[command(flatten)]
    pub(super) hosts: HostArguments,
    /// The number of CloudTenants that a CloudTenantSet creates, changes or deletes a minute. Further ones follow later.
    #[arg(long, env = "TENANT_SET_WRITES_PER_MINUTE", default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..=6000))]
    pub(super) tenant_set_writes_per_minute: u32,
    /// The address for /healthz, /readyz and /metrics. `[::]` accepts IPv4 and IPv6, and only IPv4 on a node without
    /// IPv6.
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "[::]:8080")]
    pub(super) listen: SocketAddr,
    /// Add the label `project` with spec.projectID to the metrics of each CloudTenant.
    #[arg(long, env = "METRICS_PROJECT_LABEL", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(super) metrics_project_label: bool,
    /// The log filter, in the syntax of the crate tracing-subscriber, such as `debug` or `cloudtenant_operator=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub(super) log: String,
    /// The log format.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// The unique name of this process, for events and the Lease.
    #[arg(long, env = "POD_NAME")]
    pub(super) instance: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}
