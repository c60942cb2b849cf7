//! Asks /healthz all the time, on a thread of its own.

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
/// The kubelet's probe waits no longer.
const SLOW: Duration = Duration::from_secs(1);
/// After this an answer has not come.
const LATE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// The slowest answer.
    pub slowest: Duration,
    /// Consecutive answers after more than a second, or none: the most.
    pub slow: usize,
    /// Answers that did not come, or were not 200.
    pub missing: usize,
    /// The last that was seen of the process' memory.
    pub memory: Memory,
}

impl Seen {
    pub fn and(self, other: Self) -> Self {
        let peak = self.memory.peak.max(other.memory.peak);
        Self {
            slowest: self.slowest.max(other.slowest),
            slow: self.slow.max(other.slow),
            missing: self.missing + other.missing,
            memory: Memory { peak, ..other.memory },
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
            while !stopped.load(Relaxed) {
                let began = Instant::now();
                let answered = answers(address);
                seen.missing += usize::from(!answered);
                slow = if answered && began.elapsed() < SLOW { 0 } else { slow + 1 };
                seen.slow = seen.slow.max(slow);
                seen.slowest = seen.slowest.max(began.elapsed());
                seen.memory = memory(pid).unwrap_or(seen.memory);
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
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, LATE)?;
        stream.set_read_timeout(Some(LATE))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    asked().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}
