//! The chaos run: `cargo run --release --example chaos -- --minutes 15 --seed 7`. docs/chaos.md describes it.
//!
//! It shares no code with the operator: the oracle is written from the pages and reads their tables.

mod control;
mod events;
mod hostile;
mod kubernetes;
mod oracle;
mod pages;
mod random;
mod replicas;
mod status;
mod truth;
mod world;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use control::{Control, Field, May};
use kubernetes::{Kubernetes, Shared, locked};
use oracle::Oracle;
use pages::Pages;
use random::Random;
use replicas::{ACCOUNT, Replicas, Shard};
use serde_json::json;
use testkit::{control_plane::ControlPlane, operator::Right};
use tokio::time::sleep;
use world::{CLOUDS, Cloud, QUIET, Request, tenant};

const CRD: &str = include_str!("../../crds/cloudtenants.cloudtenant.dev.yaml");
const RBAC: &str = include_str!("../../deploy/rbac.yaml");
const LAST_RIGHT: Right<'_> = Right { verb: "create", group: "events.k8s.io", resource: "events" };
const USAGE: &str = "usage: chaos [--minutes N] [--seed N] [--slack N] [--cap SECONDS] [--shards 1|2] [--program FILE]";
/// Seconds after the end, in which all has to be well again.
const LAST: f64 = 60.0;
/// With two shards, each has one of them, and takes over the other's shard while that is away.
const REPLICAS: usize = 2;
/// The pause between two turns of the run.
const TURN: Duration = Duration::from_millis(250);

struct Arguments {
    minutes: f64,
    seed: u64,
    slack: f64,
    cap: f64,
    shards: Option<usize>,
    program: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut parsed = Self { minutes: 15.0, seed, slack: 1.0, cap: f64::MAX, shards: None, program: None };
        let mut rest = env::args().skip(1);
        while let Some(name) = rest.next() {
            let value = rest.next().context(USAGE)?;
            match name.as_str() {
                "--minutes" => parsed.minutes = value.parse().context(USAGE)?,
                "--seed" => parsed.seed = value.parse().context(USAGE)?,
                "--slack" => parsed.slack = value.parse().context(USAGE)?,
                "--cap" => parsed.cap = value.parse().context(USAGE)?,
                "--shards" => {
                    parsed.shards = Some(value.parse().ok().filter(|shards| [1, 2].contains(shards)).context(USAGE)?)
                }
                "--program" => parsed.program = Some(value.into()),
                _ => bail!(USAGE),
            }
        }
        Ok(parsed)
    }

    /// Without the argument, an odd seed has two shards.
    fn shards(&self) -> usize {
        self.shards.unwrap_or(if self.seed % 2 == 1 { 2 } else { 1 })
    }
}

/// The rules of deploy/, with the Leases of the shards.
fn rbac(shards: usize) -> Result<String> {
    let names = format!("resourceNames: [{}]", ACCOUNT.name);
    ensure!(RBAC.contains(&names), "deploy/rbac.yaml names no Lease");
    let leases: Vec<_> = Shard::all(shards).map(Shard::lease).collect();
    Ok(RBAC.replace(&names, &format!("resourceNames: [{}, {}]", ACCOUNT.name, leases.join(", "))))
}

/// Builds the operator as this program was built.
fn operator() -> Result<PathBuf> {
    let own = env::current_exe()?;
    let directory = own.ancestors().nth(2).context("this program is in no directory of cargo")?;
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--locked", "--quiet", "--bin", "cloudtenant-operator"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if directory.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "the operator does not build");
    Ok(directory.join("cloudtenant-operator"))
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse()?;
    let program = arguments.program.clone().map_or_else(operator, Ok)?;
    println!(
        "seed {}, {} minutes, bounds × {}, shards: {}",
        arguments.seed,
        arguments.minutes,
        arguments.slack,
        arguments.shards()
    );
    let shared: Shared = Arc::new(Mutex::new(Oracle::new(Pages::read()?, arguments.slack)));
    let ended = run(&arguments, &program, &shared).await;
    let mut oracle = locked(&shared);
    if let Err(error) = ended {
        oracle.wrong.get_or_insert_with(|| format!("the run cannot go on: {error:#}"));
    }
    let tally = &oracle.tally;
    println!(
        "{} statuses judged, {} transitions, {} events, {} of them without a change of the status around a fault of \
         the control plane",
        tally.statuses, tally.transitions, tally.events, tally.extra
    );
    for (fault, count) in &tally.faults {
        let slowest =
            tally.slowest.get(fault).map_or(String::new(), |slowest| format!(", seen after at most {slowest:.1} s"));
        let bound = oracle.pages.bounds.get(fault).filter(|row| row.seen > 0.0);
        let bound = bound.map_or(String::new(), |row| format!(", bound {} s", row.seen));
        println!("{fault:<22} {count:>4} times{slowest}{bound}");
    }
    let Some(wrong) = &oracle.wrong else {
        println!("nothing wrong");
        return Ok(ExitCode::SUCCESS);
    };
    println!("WRONG, seed {}: {wrong}", arguments.seed);
    Ok(ExitCode::FAILURE)
}

async fn run(arguments: &Arguments, program: &Path, shared: &Shared) -> Result<()> {
    let mut random = Random::new(arguments.seed);
    let mut plane = ControlPlane::start().await?;
    plane.install(CRD, &rbac(arguments.shards())?, ACCOUNT, LAST_RIGHT).await?;
    let namespace = plane.namespace("chaos").await?;
    let kubernetes = Kubernetes::new(&plane.client().await?, &namespace);
    kubernetes.watch(shared);
    let mut clouds = Vec::new();
    for number in 0..=CLOUDS {
        let cloud = Cloud::start(number, &mut random).await?;
        locked(shared).keep_secret(&cloud.password().context("clouds.yaml has no password")?);
        let keys = json!({ "clouds.yaml": cloud.sim.clouds_yaml("openstack") });
        kubernetes.secret(&Cloud::secret(number), Some(&keys)).await?;
        clouds.push(cloud);
    }
    let mut replicas = Replicas::new(program.to_owned(), namespace.clone());
    let shards: Vec<_> = Shard::all(arguments.shards()).collect();
    for shard in shards.iter().cycle().take(REPLICAS) {
        replicas.start(&plane, *shard).await?;
    }
    for cloud in &clouds {
        for account in &cloud.accounts {
            cloud.introduce(account, &mut locked(shared))?;
            create(&kubernetes, cloud, account).await?;
        }
    }
    hostile::create(&kubernetes, shared, &clouds[CLOUDS]).await?;
    let mut field = Field { plane: &mut plane, replicas: &mut replicas, kubernetes: &kubernetes, shared };
    turns(arguments, &mut field, &mut clouds, &mut random).await?;
    if locked(shared).wrong.is_none() {
        for line in replicas.judge(&mut locked(shared)) {
            println!("{line}");
        }
    }
    Ok(())
}

async fn create(kubernetes: &Kubernetes, cloud: &Cloud, account: &world::Account) -> Result<()> {
    let secret = Cloud::secret(cloud.number());
    kubernetes.apply(&tenant(&account.name, &account.project, &secret, &account.spec)).await
}

async fn turns(arguments: &Arguments, field: &mut Field<'_>, clouds: &mut [Cloud], random: &mut Random) -> Result<()> {
    let Field { kubernetes, shared, .. } = *field;
    let (began, slack) = (Instant::now(), arguments.slack);
    let mut control = Control::new(random.between(30.0, 45.0), slack, arguments.shards());
    let length = arguments.minutes * 60.0;
    let mut next = 20.0;
    let mut shown = 60.0;
    let mut asked = 0.0;
    let mut healed = None;
    loop {
        sleep(TURN).await;
        let now = began.elapsed().as_secs_f64();
        locked(shared).tick();
        if locked(shared).wrong.is_some() {
            return Ok(());
        }
        let mut leaders = None;
        if now > asked && control.is_quiet() {
            asked = now + 5.0;
            leaders = control.leaders(field).await;
        }
        field.replicas.measure(leaders.as_deref())?;
        // In the end all is healed, and every CloudTenant has to be well again.
        let last = now > length;
        let may = if last {
            May::End
        } else if clouds.iter().any(Cloud::keeps_leader) {
            May::Wait
        } else {
            May::Begin
        };
        control.turn(field, random, now, may).await?;
        if last && healed.is_none() && control.is_quiet() {
            healed = Some(now);
            for cloud in clouds.iter_mut() {
                let request = cloud.heal(&mut locked(shared), random, now);
                serve(request, kubernetes).await?;
            }
        }
        if let Some(at) = healed {
            // With `--slack` some bounds are long.
            if locked(shared).all_settled() || now - at > arguments.cap.min(LAST) * slack {
                return Ok(());
            }
            continue;
        }
        if now > shown {
            shown += 60.0;
            let oracle = locked(shared);
            let tally = &oracle.tally;
            println!(
                "{now:>6.0} s: {} statuses, {} transitions, {} events",
                tally.statuses, tally.transitions, tally.events
            );
        }
        if control.is_frozen() {
            // A change of a Secret would wait for an API server that only the next turn lets continue.
            continue;
        }
        for cloud in clouds.iter_mut().take(CLOUDS) {
            let request = cloud.turn(&mut locked(shared), random, now, arguments.cap);
            serve(request, kubernetes).await?;
        }
        if now > next && control.is_quiet() {
            next = now + 0.5;
            act(kubernetes, clouds, shared, random).await?;
        }
    }
}

async fn serve(request: Request, kubernetes: &Kubernetes) -> Result<()> {
    match request {
        Request::Nothing => Ok(()),
        Request::Secret(number, text) => {
            let keys = text.map(|text| json!({ "clouds.yaml": text }));
            kubernetes.secret(&Cloud::secret(number), keys.as_ref()).await
        }
    }
}

/// Something happens to one CloudTenant. Where the API server does not answer, it does not happen.
async fn act(kubernetes: &Kubernetes, clouds: &mut [Cloud], shared: &Shared, random: &mut Random) -> Result<()> {
    let action = random.below(100);
    let asks = (60..85).contains(&action);
    let cloud = if asks && random.below(4) == 0 { QUIET } else { random.below(CLOUDS) };
    let Some(cloud) = clouds.get_mut(cloud) else { return Ok(()) };
    let number = random.below(cloud.accounts.len());
    let (name, suspended, requested) = {
        let Some(account) = cloud.accounts.get(number) else { return Ok(()) };
        let mut oracle = locked(shared);
        let Some(known) = oracle.tenant(&account.name) else { return Ok(()) };
        (account.name.clone(), known.suspended, known.request.is_some())
    };
    match action {
        0..60 => drop(cloud.change_account(number, &mut locked(shared), random)),
        _ if asks && !suspended && !requested => {
            let value = format!("{:.3}", random.between(0.0, 1e9));
            locked(shared).request(&name, &value);
            let patch = json!({ "metadata": { "annotations": { "reconcile.fluxcd.io/requestedAt": value } } });
            if kubernetes.merge(&name, &patch).await.is_err() {
                locked(shared).forget_request(&name);
            }
        }
        85..95 => {
            locked(shared).suspend(&name, true);
            let done = kubernetes.merge(&name, &json!({ "spec": { "suspend": !suspended } })).await;
            if suspended && done.is_ok() {
                locked(shared).suspend(&name, false);
            }
        }
        95..100 if !cloud.has_no_login() => {
            locked(shared).remove(&name);
            if kubernetes.delete(&name).await.is_ok()
                && let Some(account) = cloud.accounts.get(number)
            {
                cloud.introduce(account, &mut locked(shared))?;
                locked(shared).excuse(&name);
                create(kubernetes, cloud, account).await?;
            }
        }
        _ => {}
    }
    Ok(())
}
