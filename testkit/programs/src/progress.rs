//! What a person sees of a long build.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// A terminal shows one line that changes; anything else, such as a CI's log, gets a line now and then.
pub struct Progress {
    is_terminal: bool,
    began: Instant,
    next_line: Instant,
    drawn: bool,
}

const EVERY: Duration = Duration::from_mins(1);
/// A longer line would wrap, and the next one would not replace it.
const WIDTH: usize = 79;

impl Progress {
    /// For standard error.
    #[must_use]
    pub fn new() -> Self {
        let began = Instant::now();
        Self { is_terminal: io::stderr().is_terminal(), began, next_line: began + EVERY, drawn: false }
    }

    /// The state of the work. To be called about once in a second.
    pub fn show(&mut self, state: &str) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.began);
        if self.is_terminal {
            self.drawn = true;
            write(&format!("\r\x1b[K{}", line(elapsed, state)));
        } else if now >= self.next_line {
            self.next_line = now + EVERY;
            write(&format!("{}\n", line(elapsed, state)));
        }
    }

    /// Removes the line that changes, so that other output can follow.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            write("\r\x1b[K");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(elapsed: Duration, state: &str) -> String {
    let seconds = elapsed.as_secs();
    format!("[{}:{:02}] {state}", seconds / 60, seconds % 60).chars().take(WIDTH).collect()
}

/// Writes to the real standard error: the test harness captures what goes through `eprintln!`, and silent minutes look
/// like a hang.
pub(crate) fn write(text: &str) {
    // There is nobody to inform if standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_time_and_fits() {
        assert_eq!(line(Duration::from_secs(65), "Rust: 12 crates"), "[1:05] Rust: 12 crates");
        assert_eq!(line(Duration::ZERO, &"é".repeat(200)).chars().count(), WIDTH);
    }
}
