//! The clouds, their CloudTenants, and the faults of the clouds.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::cloud::{CacheCounts, Fault, Server, Service, SimulatedCloud};

use crate::{oracle::Oracle, pages::Bound, random::Random, truth::State};

/// CloudTenants of each cloud.
pub const TENANTS: usize = 40;
/// CloudTenants of the cloud without faults.
const STEADY: usize = 3;
/// Clouds with faults.
pub const CLOUDS: usize = 5;
/// A cloud without faults, for some of the hostile CloudTenants and for requests that nothing may delay.
pub const QUIET: usize = CLOUDS;
const HOSTS: [&str; 2] = ["engine-1.lab", "engine-2.lab"];

/// One CloudTenant of a cloud, as the cloud has it.
pub struct Account {
    /// The CloudTenant's name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// The spec that makes it differ from the others.
    pub spec: Value,
    errors: u64,
    failed: u64,
    servers: usize,
}

/// A fault that lasts.
struct Lasting {
    name: String,
    ends: f64,
    /// The first of its kind.
    is_first: bool,
}

/// One simulated cloud.
pub struct Cloud {
    /// The services.
    pub sim: SimulatedCloud,
    /// Its CloudTenants.
    pub accounts: Vec<Account>,
    number: usize,
    passwords: usize,
    fault: Option<Lasting>,
    next: f64,
}

/// Whether all services answer at once during this fault, though with errors. A pause of `Retry-After` is no answer.
fn is_prompt(fault: &str) -> bool {
    let slow = ["unreachable", "limited", "hang", "hung", "killed", "deleted", "changed"];
    !slow.iter().any(|kind| fault.ends_with(kind)) && !fault.starts_with("keystone")
}

/// What has to be done in Kubernetes for a fault of a cloud.
pub enum Request {
    /// Nothing.
    Nothing,
    /// The Secret of this cloud with this text, or none.
    Secret(usize, Option<String>),
}

/// The variants of the specs.
fn variant(number: usize) -> Value {
    match number % 10 {
        3 => json!({ "probes": { "engines": { "failureThreshold": 2 }, "caches": { "failureThreshold": 2 } } }),
        5 => json!({ "readyWhen": "Observed" }),
        7 => json!({ "readyOn": ["Caches"] }),
        8 => json!({ "probes": { "usage": { "policy": "Disabled" } } }),
        _ => json!({}),
    }
}

impl Cloud {
    /// A cloud with its projects.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(number: usize, random: &mut Random) -> Result<Self> {
        let sim = SimulatedCloud::start().await?;
        sim.set_report_interval(10);
        sim.set_rpc_timeout(Duration::from_secs(2));
        sim.set_broker_drop_after(Duration::from_secs(60));
        sim.set_token_lifetime(Duration::from_secs(120));
        sim.change_password(&format!("chaos-password-{number}-0-{:x}", random.below(usize::MAX)));
        let mut accounts = Vec::new();
        for tenant in 0..if number == QUIET { STEADY } else { TENANTS } {
            let (name, project) = (format!("tenant-{number}-{tenant:02}"), format!("project{number}x{tenant:02}"));
            accounts.push(Account { name, project, spec: variant(tenant), errors: 0, failed: 0, servers: 1 });
        }
        let cloud = Self { sim, accounts, number, passwords: 0, fault: None, next: random.between(10.0, 30.0) };
        for account in &cloud.accounts {
            cloud.sim.add_tenant(&account.project);
            cloud.furnish(account);
        }
        Ok(cloud)
    }

    fn furnish(&self, account: &Account) {
        let counts = [("running", 3), ("error", account.errors), ("createfailed", account.failed)];
        self.sim.set_caches(&account.project, CacheCounts::redis(&counts));
        let launched = self.sim.now() - Duration::from_secs(600);
        let servers = (0..account.servers).map(|server| Server::new(&format!("server-{server}"), launched));
        self.sim.set_servers(&account.project, servers.collect());
    }

    /// Its number.
    pub const fn number(&self) -> usize {
        self.number
    }

    /// The Secret's name.
    pub fn secret(number: usize) -> String {
        format!("cloud-{number}")
    }

    /// The password that clouds.yaml has now.
    pub fn password(&self) -> Option<String> {
        let yaml = self.sim.clouds_yaml("openstack");
        Some(yaml.lines().find_map(|line| line.trim().strip_prefix("password: "))?.trim_matches('"').to_owned())
    }

    /// What is right to say of a probe of an account now.
    pub fn state(&self, oracle: &Oracle, account: &Account, probe: usize) -> State {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let mut meanwhile = BTreeSet::new();
        if account.spec["probes"]["engines"]["failureThreshold"].is_u64() {
            meanwhile.insert("Progressing".to_owned());
        }
        let plain = |word: &str, fact| State { words: words(&[word]), meanwhile: meanwhile.clone(), fact };
        let mut state = match probe {
            0 => plain("AllEnginesUp", Some(("/status/engines/summary", json!("2/2")))),
            1 => {
                let word = match (account.errors, account.failed) {
                    (0, 0) => "AllCachesHealthy",
                    (0, _) => "CacheCreateFailed",
                    _ => "CacheErrors",
                };
                plain(word, Some(("/status/caches/all/error", json!(account.errors))))
            }
            _ if account.spec["probes"]["usage"]["policy"] == "Disabled" => return plain("ProbeDisabled", None),
            _ => plain("Reported", Some(("/status/usage/servers", json!(account.servers)))),
        };
        let fault = self.fault.as_ref().and_then(|fault| oracle.pages.bounds.get(&fault.name).map(|row| (fault, row)));
        if let Some((fault, row)) = fault
            && row.probes.contains(&probe)
        {
            state.meanwhile.extend(row.meanwhile.iter().cloned());
            if row.words.is_empty() {
                state.words.extend(row.meanwhile.iter().cloned());
            } else {
                // The fault may hide a change of the caches that came after it began, and need not do so at once.
                let hidden = std::mem::replace(&mut state.words, row.words.iter().cloned().collect());
                state.meanwhile.extend(hidden);
                // Without a verdict for S, which is 30 s for caches.
                state.meanwhile.insert("ObservationStale".to_owned());
                state.fact = match fault.name.as_str() {
                    "engine-killed" => Some(("/status/engines/summary", json!("1/2"))),
                    "all-engines-killed" => Some(("/status/engines/summary", json!("0/2"))),
                    _ => None,
                };
            }
        }
        state
    }

    fn tell(&self, oracle: &mut Oracle, row: &Bound, bound: f64) {
        for account in &self.accounts {
            for probe in &row.probes {
                let state = self.state(oracle, account, *probe);
                oracle.change(&account.name, *probe, state, bound);
            }
        }
    }

    /// Begins or ends a fault where it is time for it.
    pub fn turn(&mut self, oracle: &mut Oracle, random: &mut Random, now: f64, cap: f64) -> Request {
        if self.fault.as_ref().is_some_and(|fault| now >= fault.ends) {
            return self.heal(oracle, random, now);
        }
        if self.fault.is_some() || now < self.next {
            return Request::Nothing;
        }
        let lasting = |(name, row): &(&String, &Bound)| {
            // Those of one CloudTenant are chosen elsewhere.
            let own = ["caches-error", "caches-create-failed", "servers-changed", "resumed", "created"];
            // A refused credential is tried once in five minutes, and three contents are.
            let paced = name.as_str() != "password-changed" || now > 320.0 * self.passwords as f64;
            !own.contains(&name.as_str()) && row.seen <= cap && row.gone <= cap && paced
        };
        let mut rows: Vec<_> = oracle.pages.bounds.iter().filter(lasting).collect();
        // Each fault once before one is there again, so that a short run has many of them.
        let count = |name: &String| oracle.tally.faults.get(name).copied().unwrap_or_default();
        let fewest = rows.iter().map(|(name, _)| count(name)).min().unwrap_or_default();
        rows.retain(|(name, _)| count(name) == fewest);
        // This one takes long to show, so it is the first one of a cloud.
        if self.number == 0 && rows.iter().any(|(name, _)| *name == "secret-deleted") {
            rows.retain(|(name, _)| *name == "secret-deleted");
        }
        let Some((name, row)) = random.one_of(&rows).map(|(name, row)| ((*name).clone(), (*row).clone())) else {
            return Request::Nothing;
        };
        // Longer than its bound, or a fault that is never shown is not noticed.
        let seen = row.seen * oracle.slack;
        let lasts = if seen > 0.0 { seen + random.between(3.0, 20.0) } else { random.between(15.0, 50.0) };
        self.fault = Some(Lasting { name: name.clone(), ends: now + lasts, is_first: fewest == 0 });
        oracle.note(Some(self.number), &format!("{name} begins, for {lasts:.0} s"));
        // The oracle has to know before the operator can.
        self.tell(oracle, &row, row.seen);
        if row.probes.contains(&1) {
            // It hides them.
            for account in &self.accounts {
                oracle.no_longer("caches-error", &account.name);
                oracle.no_longer("caches-create-failed", &account.name);
            }
        }
        let first = self.accounts.first().map(|account| account.name.clone()).unwrap_or_default();
        oracle.await_fault(&name, &first, &row);
        if !is_prompt(&name) {
            oracle.answers(self.number, None);
        }
        self.inflict(&name, oracle)
    }

    /// Ends the fault.
    pub fn heal(&mut self, oracle: &mut Oracle, random: &mut Random, now: f64) -> Request {
        let Some(fault) = self.fault.take() else { return Request::Nothing };
        self.next = now + random.between(10.0, 40.0);
        oracle.note(Some(self.number), &format!("{} ends", fault.name));
        if let Some(row) = oracle.pages.bounds.get(&fault.name).cloned() {
            self.tell(oracle, &row, row.gone);
            if !is_prompt(&fault.name) {
                oracle.answers(self.number, Some(row.gone));
            }
        }
        if let Some(account) = self.accounts.first() {
            oracle.no_longer(&fault.name, &account.name);
        }
        match fault.name.as_str() {
            "engine-killed" => self.sim.restart_engine(HOSTS[0]),
            "engine-hung" => self.sim.resume_engine(HOSTS[1]),
            "all-engines-killed" => HOSTS.iter().for_each(|host| self.sim.restart_engine(host)),
            "password-changed" | "secret-deleted" => {
                return Request::Secret(self.number, Some(self.sim.clouds_yaml("openstack")));
            }
            _ => Service::ALL.iter().for_each(|service| self.sim.clear_faults(*service)),
        }
        Request::Nothing
    }

    fn inflict(&mut self, name: &str, oracle: &mut Oracle) -> Request {
        let sim = &self.sim;
        let limited = || Fault::Status {
            code: 429,
            body: b"{}".to_vec(),
            content_type: "application/json".to_owned(),
            headers: vec![("Retry-After".to_owned(), "15".to_owned())],
        };
        match name {
            "engine-killed" => sim.kill_engine(HOSTS[0]),
            "engine-hung" => sim.hang_engine(HOSTS[1]),
            "all-engines-killed" => HOSTS.iter().for_each(|host| sim.kill_engine(host)),
            "tokens-revoked" => sim.revoke_tokens(),
            "password-changed" => {
                self.passwords += 1;
                let password = format!("chaos-password-{}-{}", self.number, self.passwords);
                oracle.keep_secret(&password);
                sim.change_password(&password);
            }
            "secret-deleted" => return Request::Secret(self.number, None),
            _ => {
                let (service, kind) = name.split_once('-').unwrap_or((name, ""));
                let service = match service {
                    "heat" => Service::Heat,
                    "dcs" => Service::Dcs,
                    "nova" => Service::Nova,
                    _ => Service::Keystone,
                };
                let fault = match kind {
                    "unreachable" => Fault::Unreachable,
                    "error" => Fault::status(500, "{}"),
                    "page" => Fault::keystone_behind_is_down(),
                    "limited" => limited(),
                    "nonsense" => Fault::Body(b"<html>Log in</html>".to_vec()),
                    "forbidden" => Fault::status(403, "{}"),
                    "hang" => Fault::Hang,
                    _ => Fault::Reset.times(1),
                };
                sim.fault(service, fault);
            }
        }
        Request::Nothing
    }

    /// Changes the cache instances or the servers of one account.
    pub fn change_account(&mut self, number: usize, oracle: &mut Oracle, random: &mut Random) -> Option<()> {
        let account = self.accounts.get_mut(number)?;
        let (fault, probe) = match random.below(10) {
            0..4 if account.errors + account.failed == 0 => {
                account.errors = 1 + random.below(3) as u64;
                ("caches-error", 1)
            }
            4..6 if account.errors + account.failed == 0 => {
                account.failed = 1;
                ("caches-create-failed", 1)
            }
            0..6 => {
                account.errors = 0;
                account.failed = 0;
                ("caches-error", 1)
            }
            _ => {
                account.servers = 1 + random.below(5);
                ("servers-changed", 2)
            }
        };
        let row = oracle.pages.bounds.get(fault)?.clone();
        let account = self.accounts.get(number)?;
        let state = self.state(oracle, account, probe);
        let healthy = probe == 1 && account.errors + account.failed == 0;
        oracle.note(
            Some(self.number),
            &format!(
                "{}: {} errors, {} failed, {} servers",
                account.name, account.errors, account.failed, account.servers
            ),
        );
        oracle.change(&account.name, probe, state, if healthy { row.gone } else { row.seen });
        if !healthy && self.fault.is_none() {
            oracle.await_fault(fault, &account.name, &row);
        } else {
            oracle.no_longer("caches-error", &account.name);
            oracle.no_longer("caches-create-failed", &account.name);
        }
        self.furnish(account);
        Some(())
    }

    /// Whether the credential or the Secret of the cloud is broken now.
    pub fn has_no_login(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| ["password-changed", "secret-deleted"].contains(&fault.name.as_str()))
    }

    /// Whether another leader would hide a fault that is now there for the first time: it reads each Secret itself.
    pub fn keeps_leader(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.name == "secret-deleted" && fault.is_first)
    }

    /// Adds an account to the oracle, as one that was just created.
    ///
    /// # Errors
    /// docs/chaos.md has no row `created`.
    pub fn introduce(&self, account: &Account, oracle: &mut Oracle) -> Result<()> {
        let bound = oracle.pages.bounds.get("created").context("no row for created")?.clone();
        let states = [0, 1, 2].map(|probe| {
            let mut state = self.state(oracle, account, probe);
            state.meanwhile.insert("Progressing".to_owned());
            state
        });
        let patient = account.spec["probes"]["engines"]["failureThreshold"].is_u64();
        oracle.add(&account.name, self.number, if patient { 2.0 } else { 1.0 }, states, bound.gone);
        Ok(())
    }
}

/// The object of a CloudTenant.
pub fn tenant(name: &str, project: &str, secret: &str, more: &Value) -> Value {
    let mut spec = json!({
        "projectID": project, "cloudCredentialsRef": { "secretName": secret }, "interval": "10s", "timeout": "5s",
        "probes": { "usage": { "interval": "1m" } }, "suspend": false,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        if key == "probes" {
            for (probe, rules) in value.as_object().into_iter().flatten() {
                for (rule, value) in rules.as_object().into_iter().flatten() {
                    spec["probes"][probe][rule] = value.clone();
                }
            }
        } else {
            spec[key] = value.clone();
        }
    }
    json!({
        "apiVersion": "cloudtenant.dev/v1alpha1", "kind": "CloudTenant", "metadata": { "name": name }, "spec": spec,
    })
}
