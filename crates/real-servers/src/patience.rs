use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::TryFutureExt;
use tokio::time::{Instant, sleep};

/// How long anything may take on a busy machine. A failover takes about three seconds on an idle one.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough not to occupy a processor, and too short to be noticed.
const INTERVAL: Duration = Duration::from_millis(10);

/// Asks again until the answer is `true`. Fails when [`PATIENCE`] is over, with `what` was waited for and what the last
/// question failed with, if it did: servers on their way up fail questions.
pub async fn until<Answer: Future<Output = Result<bool>>>(
    what: &str,
    mut question: impl FnMut() -> Answer,
) -> Result<()> {
    found(what, || question().map_ok(|it| it.then_some(()))).await
}

/// The same until there is an answer, which is returned.
pub async fn found<Thing, Answer: Future<Output = Result<Option<Thing>>>>(
    what: &str,
    mut question: impl FnMut() -> Answer,
) -> Result<Thing> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = question().await;
        if let Ok(Some(thing)) = answer {
            return Ok(thing);
        }
        if Instant::now() >= deadline {
            let in_vain = format!("waited in vain for {what}");
            return Err(match answer {
                Ok(_) => anyhow!(in_vain),
                Err(e) => e.context(in_vain),
            });
        }
        sleep(INTERVAL).await;
    }
}
