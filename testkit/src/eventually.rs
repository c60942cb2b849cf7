//! Waiting for what has no watch.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::time::sleep;

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer, and returns it. `what` names the expected state, for the error.
///
/// # Errors
/// The time is over: the error shows why the last question had no answer.
pub async fn eventually<T, E: Display>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(last) if began.elapsed() >= within => bail!("not within {within:?}: {what}; last seen: {last:#}"),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// [`eventually`] for a condition; `shown` is what the error shows of a state that does not meet it.
///
/// # Errors
/// As [`eventually`].
pub async fn until(
    what: &str,
    within: Duration,
    mut holds: impl FnMut() -> bool,
    shown: impl Fn() -> String,
) -> Result<()> {
    eventually(what, within, async || if holds() { Ok(()) } else { Err(shown()) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_waited_for_and_a_deadline_names_the_last_state() {
        let mut asked = 0;
        let ask = async || {
            asked += 1;
            if asked == 3 { Ok(asked) } else { Err(format!("answer {asked}")) }
        };
        assert_eq!(eventually("a third answer", Duration::from_secs(10), ask).await.unwrap(), 3);
        let never = eventually("never", Duration::from_millis(1), async || Err::<(), _>("no")).await;
        assert_eq!(never.unwrap_err().to_string(), "not within 1ms: never; last seen: no");
    }
}
