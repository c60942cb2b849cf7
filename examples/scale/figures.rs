//! What the operator has used so far.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};
use testkit::operator::Operator;

use crate::scene::Scene;

/// Requests at the API server: what they are | the resource | the subresource | the verb.
const REQUESTS: [(&str, &str, &str, &str); 5] = [
    ("statuses written", "cloudtenants", "status", "APPLY"),
    ("statuses replaced", "cloudtenants", "status", "PATCH"),
    ("Secrets read", "secrets", "", "GET"),
    ("events created", "events", "", "POST"),
    ("CloudTenants read", "cloudtenants", "", "GET"),
];

/// All counters at one moment.
#[derive(Default)]
pub struct Snapshot {
    calls: BTreeMap<String, usize>,
    requests: Vec<u64>,
    passes: f64,
    processor_seconds: f64,
    /// In bytes: the most memory so far, and the present one.
    peak: f64,
    memory: f64,
}

impl Snapshot {
    /// The counters before the operator starts.
    pub async fn of_api_server(scene: &Scene) -> Result<Self> {
        let metrics = scene.control_plane.metrics().await?;
        let count = |(_, resource, subresource, verb)| metrics.requests(resource, subresource, verb);
        Ok(Self { requests: REQUESTS.into_iter().map(count).collect(), calls: scene.calls(), ..Self::default() })
    }

    /// The counters now.
    pub async fn take(scene: &Scene, operator: &Operator) -> Result<Self> {
        let pid = operator.pid();
        let memory = |line| Ok::<_, anyhow::Error>(1024.0 * number_of(&format!("/proc/{pid}/status"), line)?);
        Ok(Self {
            processor_seconds: processor_seconds(pid)?,
            peak: memory("VmHWM:")?,
            memory: memory("VmRSS:")?,
            // A scrape of many CloudTenants takes processor time, so it comes last.
            passes: operator.metric("cloudtenant_reconciles_total", &[])?,
            ..Self::of_api_server(scene).await?
        })
    }

    /// Prints the changes. `tenants` divides the figures that are given for each CloudTenant.
    pub fn print_since(&self, before: &Self, tenants: f64) {
        for (service, calls) in &self.calls {
            let calls = calls.saturating_sub(before.calls.get(service).copied().unwrap_or_default());
            println!("{:<32}{calls:>10}", format!("calls to {service}"));
        }
        for ((what, ..), (now, then)) in REQUESTS.iter().zip(self.requests.iter().zip(&before.requests)) {
            println!("{what:<32}{:>10}", now.saturating_sub(*then));
        }
        let (passes, seconds) = (self.passes - before.passes, self.processor_seconds - before.processor_seconds);
        println!("passes                          {passes:>10}");
        println!(
            "processor time                  {seconds:>10.2} s, {:.2} ms a pass, {:.2} ms a CloudTenant",
            1000.0 * seconds / passes.max(1.0),
            1000.0 * seconds / tenants
        );
        let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
        let (peak, memory) = (mebibytes(self.peak), mebibytes(self.memory));
        println!("memory                          {memory:>10.1} MiB, at most {peak:.1} MiB so far");
    }
}

/// The number in the line of a file that begins with this text.
fn number_of(file: &str, line: &str) -> Result<f64> {
    let text = fs::read_to_string(file)?;
    let found = text.lines().find_map(|text| text.strip_prefix(line)).context("no such line")?;
    Ok(found.trim().trim_end_matches(" kB").parse()?)
}

/// The process' processor time, by Linux' clock of a hundred ticks a second.
fn processor_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("not a stat line")?;
    let ticks = |field: usize| fields.split_whitespace().nth(field).and_then(|ticks| ticks.parse::<u32>().ok());
    let sum = ticks(11).zip(ticks(12)).map(|(user, system)| user + system).context("no times")?;
    Ok(f64::from(sum) / 100.0)
}
