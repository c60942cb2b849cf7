//! What a row of the table of scenarios is made of.

use std::time::Duration;

/// One thing that happens to a cloud, and what a tenant must be told of it.
pub struct Scenario {
    pub name: &'static str,
    /// What is done, and what is right, for people.
    pub what: &'static str,
    pub tenant: Tenant,
    pub steps: &'static [Step],
    /// Reasons and events that may be seen besides those that must be. All others must not.
    pub may: &'static [&'static str],
    /// What puts the lab right again beyond `lab/up`.
    pub after: &'static [&'static str],
}

/// The CloudTenant.
pub struct Tenant {
    /// The entry of the lab's clouds.yaml.
    pub cloud: &'static str,
    pub project: &'static str,
    pub forget_after: &'static str,
    /// How far the operator's clock is off, as libfaketime writes it.
    pub clock: Option<&'static str>,
    /// It can be Ready, and is before the first step.
    pub starts_ready: bool,
}

impl Tenant {
    /// An administrator's application credential, and a project with five servers.
    pub const USUAL: Self =
        Self { cloud: "operator-ac", project: "tenant-a", forget_after: "24h", clock: None, starts_ready: true };
}

pub enum Step {
    Do(Action),
    /// All of these, in any order among themselves, after what was seen before.
    See(Duration, &'static [Seen]),
    /// Time in which what must not be seen could be.
    Stay(Duration),
}

pub enum Action {
    /// A command of lab/ctl.
    Lab(&'static str),
    /// So many times.
    Often(u32, &'static str),
    /// A command of lab/identity.py.
    Keystone(&'static str),
    /// Replaces one text by another in the Secret.
    Secret(&'static str, &'static str),
    /// The engines alone are asked for by this entry of the Secret.
    EnginesBy(&'static str),
    /// The Secret gets the certificate of the Keystone behind TLS.
    TrustCertificate,
    /// A condition's message has this text.
    Says(&'static str, &'static str),
    /// The operator is ended and started again.
    RestartOperator,
    /// Asks for all probes now.
    Request,
    /// A question to the lab's databases whose answer must be 1: what the scenario is about is really there.
    Holds(&'static str),
    /// The operator has logged in since the scenario began.
    LoggedInAgain,
    /// The times in the status are off by so many minutes.
    ClockIsOff(i64),
    /// The usage in the status is what Nova's own database comes to.
    UsageIsExact,
}

/// What can be seen of a tenant.
#[derive(Debug, Clone, Copy)]
pub enum Seen {
    /// Type, status, reason.
    Condition(&'static str, &'static str, &'static str),
    /// `status.engines.summary`.
    Summary(&'static str),
    /// The reason, and something that the note has.
    Event(&'static str, &'static str),
}

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
