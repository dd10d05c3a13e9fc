//! Work that ends with its guard.

use crate::loss::Loss;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use tokio::sync::watch;

/// The futures that run under the guards of a session: each has a receiver.
#[derive(Debug, Default)]
pub(crate) struct Guarded {
    running: watch::Sender<()>,
}

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
        let _running = self.running.subscribe();
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
        self.running.closed().await;
    }
}
