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
    /// `verdict` checks the clock, before and after each step of `work`. `lost` only wakes the task: a timer may be late.
    pub(crate) async fn run<T>(
        &self,
        verdict: impl Fn() -> Option<Loss>,
        lost: impl Future<Output = Loss>,
        work: impl Future<Output = T>,
    ) -> Result<T, Loss> {
        // Entered before the first check: either the check sees the end of the session, or the end of the session sees
        // this entry. Declared before `work`, so that it is dropped after it.
        let _running = self.enter();
        let (mut lost, mut work) = (pin!(lost), pin!(work));
        poll_fn(|cx| {
            if let Poll::Ready(loss) = verdict().map_or_else(|| lost.as_mut().poll(cx), Poll::Ready) {
                return Poll::Ready(Err(loss));
            }
            work.as_mut().poll(cx).map(|output| verdict().map_or(Ok(output), Err))
        })
        .await
    }

    /// Resolves when nothing runs.
    pub(crate) async fn none_left(&self) {
        // The sender lives as long as this value.
        let _ = self.running.subscribe().wait_for(|count| *count == 0).await;
    }

    fn enter(&self) -> Running<'_> {
        self.running.send_modify(|count| *count += 1);
        Running(self)
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
    use std::cell::Cell;
    use std::future::pending;

    #[tokio::test]
    async fn nothing_begins_under_a_guard_that_is_lost() {
        let never = async { unreachable!() };
        let lost = Guarded::default().run(|| Some(Loss::Fenced), pending(), never).await;
        assert_eq!(lost, Err::<(), _>(Loss::Fenced));
    }

    /// The timer that should wake the task is late. A result means that the lock was held all the time.
    #[tokio::test]
    async fn no_step_begins_after_the_deadline_and_its_result_is_none() {
        let (guarded, steps) = (Guarded::default(), Cell::new(0));
        let step = async || {
            steps.set(steps.get() + 1);
            tokio::task::yield_now().await;
        };
        let verdict = || (steps.get() == 3).then_some(Loss::LeaseRanOut);
        let endless = async {
            while steps.get() < 10 {
                step().await
            }
        };
        assert_eq!((guarded.run(verdict, pending(), endless).await, steps.get()), (Err(Loss::LeaseRanOut), 3));
        steps.set(2);
        let too_late = guarded.run(verdict, pending(), async { steps.set(3) }).await;
        assert_eq!(too_late, Err(Loss::LeaseRanOut));
    }
}
