//! Asks /healthz all the time, and /metrics now and then, on a thread of its own.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::process::{Memory, memory};

const PAUSE: Duration = Duration::from_millis(200);
/// /metrics is read once in so many times, each 2 s.
const SCRAPE: usize = 10;
/// The kubelet's probe waits no longer.
const SLOW: Duration = Duration::from_secs(1);
/// After this an answer has not come.
const LATE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Requests for /healthz.
    pub requests: usize,
    /// The slowest answer.
    pub slowest: Duration,
    /// Consecutive answers after more than a second, or none: the most.
    pub slow: usize,
    /// Answers that did not come, or were not 200.
    pub missing: usize,
    /// The last that was seen of the process' memory.
    pub memory: Memory,
    /// The most memory of its own, in bytes.
    pub own: u64,
    /// The most bytes that the program had allocated, by its own metric; 0 if the build has no such metric.
    pub allocated: u64,
}

impl Seen {
    pub fn and(self, other: Self) -> Self {
        let peak = self.memory.peak.max(other.memory.peak);
        Self {
            requests: self.requests + other.requests,
            slowest: self.slowest.max(other.slowest),
            slow: self.slow.max(other.slow),
            missing: self.missing + other.missing,
            memory: Memory { peak, ..other.memory },
            own: self.own.max(other.own),
            allocated: self.allocated.max(other.allocated),
        }
    }
}

pub struct Health {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Health {
    pub fn of(address: SocketAddr, pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut slow = 0;
            for round in 0.. {
                if stopped.load(Relaxed) {
                    break;
                }
                let began = Instant::now();
                let answered = answers(address);
                seen.requests += 1;
                seen.missing += usize::from(!answered);
                slow = if answered && began.elapsed() < SLOW { 0 } else { slow + 1 };
                seen.slow = seen.slow.max(slow);
                seen.slowest = seen.slowest.max(began.elapsed());
                seen.memory = memory(pid).unwrap_or(seen.memory);
                seen.own = seen.own.max(seen.memory.own);
                if round % SCRAPE == 0 {
                    seen.allocated = seen.allocated.max(allocated(address).unwrap_or_default());
                }
                thread::sleep(PAUSE);
            }
            seen
        });
        Self { stop, thread }
    }

    pub fn end(self) -> Seen {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

fn answers(address: SocketAddr) -> bool {
    get(address, "/healthz", "").is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// The bytes that the program has allocated, as Prometheus reads them. `None` if the build has no such metric.
pub fn allocated(address: SocketAddr) -> Option<u64> {
    let answer = get(address, "/metrics", "Accept: application/openmetrics-text\r\n").ok()?;
    answer.lines().find_map(|line| line.strip_prefix("cloudtenant_allocated_bytes "))?.parse().ok()
}

fn get(address: SocketAddr, path: &str, headers: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LATE)?;
    stream.set_read_timeout(Some(LATE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n{headers}\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
