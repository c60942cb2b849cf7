//! The fault matrix: each fault at each service, by real connections, and what the operator says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cell;
mod content;
mod formats;
mod framing;
mod front;
mod http;
mod marked;
mod page;
mod secrets;
mod table;
mod world;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use futures::{StreamExt as _, stream};

use crate::{
    front::Certificates,
    table::{Cell, SERVICES},
};

/// Cells at the same time. Most of them wait.
const AT_ONCE: usize = 48;

/// The most memory that the process may have used, in KiB: cells at the same time, each with bodies up to the limits.
const MOST_MEMORY: u64 = 1 << 20;

/// One test, so that the memory and the log are those of all cells.
#[test]
fn every_fault_has_its_word_and_no_secret_appears() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(matrix());
}

async fn matrix() {
    secrets::watch();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let began = Instant::now();
    let certificates = Arc::new(Certificates::new());
    let (mut cells, mut left) = (Vec::new(), BTreeMap::new());
    let only = std::env::var("FAULT").unwrap_or_default();
    for row in table::rows() {
        for (service, cell) in row.cells.into_iter().enumerate() {
            match cell {
                Cell::Is(class) => {
                    let name = format!("{}: {}: {}", row.list, row.name, SERVICES[service]);
                    if name.contains(&only) {
                        cells.push((name, cell::Case { service, fault: row.fault, class, says: row.says }));
                    }
                }
                Cell::Left(rule) => *left.entry(rule).or_insert(0) += 1,
            }
        }
    }
    let count = cells.len();
    let runs = stream::iter(cells).map(|(name, case)| {
        let certificates = certificates.clone();
        let run = tokio::spawn(async move { cell::run(case, &certificates).await });
        async move {
            match run.await {
                Ok(wrong) => wrong.into_iter().map(|wrong| format!("{name}: {wrong}")).collect(),
                Err(error) => vec![format!("{name}: {error}")],
            }
        }
    });
    let marked = async {
        if marked::NAME.contains(&only) {
            marked::run().await;
        }
    };
    let (wrong, ()) = tokio::join!(runs.buffer_unordered(AT_ONCE).collect::<Vec<Vec<String>>>(), marked);
    let mut wrong: Vec<String> = wrong.into_iter().flatten().collect();
    wrong.sort();
    let (texts, secrets) = secrets::found();
    wrong.extend(secrets.into_iter().map(|place| format!("a secret in {place}")));
    println!("{count} cells in {} s, left out {left:?}; {texts} texts searched", began.elapsed().as_secs());
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(texts > 1000 * usize::from(only.is_empty()), "the log was not searched: {texts}");
    let used = peak_memory();
    assert!(used < MOST_MEMORY, "{used} KiB");
}

/// The most memory that the process has used, in KiB; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
