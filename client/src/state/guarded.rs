//! Work that ends with its guard.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::watch;

use crate::loss::Loss;

/// How many futures run under the guards of a session.
#[derive(Debug, Default)]
pub(crate) struct Guarded {
    running: watch::Sender<usize>,
}

/// One running future.
struct Running<'a>(&'a Guarded);

impl Guarded {
    /// Runs `work` until it is done or its guard is lost. On a loss, `work` is dropped before the loss is returned.
    ///
    /// `verdict` checks the clock, before and after each step of `work`. `lost` only wakes the task: a timer may be
    /// late.
    pub(crate) async fn run<T>(
        &self,
        verdict: impl Fn() -> Option<Loss>,
        lost: impl Future<Output = Loss>,
        work: impl Future<Output = T>,
    ) -> Result<T, Loss> {
        // Entered before the first check: either the check sees the end of the session, or the end of the session sees
        // this entry. Declared before `work`, so that it is dropped after it.
        self.running.send_modify(|count| *count += 1);
        let _running = Running(self);
        let (mut lost, mut work) = (pin!(lost), pin!(work));
        poll_fn(|cx| {
            if let Poll::Ready(loss) = verdict().map_or_else(|| lost.as_mut().poll(cx), Poll::Ready) {
                return Poll::Ready(Err(loss));
            }
            work.as_mut().poll(cx).map(|output| match verdict() {
                // Released by `work` itself, as its last step.
                Some(Loss::Released) | None => Ok(output),
                Some(loss) => Err(loss),
            })
        })
        .await
    }

    /// Resolves when nothing runs.
    pub(crate) async fn none_left(&self) {
        // The sender lives as long as this value.
        let _ = self.running.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    /// A result means that the lock was held all the time.
    #[tokio::test]
    async fn a_result_that_came_too_late_is_none() {
        let done = std::cell::Cell::new(false);
        let verdict = || done.get().then_some(Loss::LeaseRanOut);
        let too_late = Guarded::default().run(verdict, pending(), async { done.set(true) }).await;
        assert_eq!((too_late, done.get()), (Err(Loss::LeaseRanOut), true));
    }
}
