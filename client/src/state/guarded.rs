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
    /// `verdict` checks the clock, and is called before and after each step of `work`. `lost` only wakes the task: a
    /// timer may be late.
    pub(crate) async fn run<T>(
        &self,
        verdict: impl Fn() -> Option<Loss>,
        lost: impl Future<Output = Loss>,
        work: impl Future<Output = T>,
    ) -> Result<T, Loss> {
        // Entered before the first check: either the check sees the end of the session, or the end of the session sees
        // this entry. Declared before `work`, so that it is dropped after it.
        let _running = self.enter();
        let mut lost = pin!(lost);
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Some(loss) = verdict() {
                return Poll::Ready(Err(loss));
            }
            if let Poll::Ready(loss) = lost.as_mut().poll(cx) {
                return Poll::Ready(Err(loss));
            }
            let Poll::Ready(output) = work.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            Poll::Ready(match verdict() {
                // By `work` itself, as its last step.
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
    use std::future::{pending, ready};

    /// Records that it was dropped.
    struct Work<'a>(&'a Cell<&'static str>);

    impl Drop for Work<'_> {
        fn drop(&mut self) {
            self.0.set("dropped");
        }
    }

    #[tokio::test]
    async fn work_that_ends_in_time_has_its_result() {
        let guarded = Guarded::default();
        assert_eq!(guarded.run(|| None, pending(), ready(7)).await, Ok(7));
        guarded.none_left().await;
    }

    #[tokio::test]
    async fn nothing_begins_under_a_guard_that_is_lost() {
        let guarded = Guarded::default();
        let never = async { unreachable!() };
        let lost = guarded.run(|| Some(Loss::Fenced), pending(), never).await;
        assert_eq!(lost, Err::<(), _>(Loss::Fenced));
    }

    #[tokio::test]
    async fn work_is_gone_when_its_loss_is_told() {
        let (guarded, state) = (Guarded::default(), Cell::new("not begun"));
        let work = async {
            let _work = Work(&state);
            state.set("begun");
            pending::<()>().await;
        };
        let lost = async {
            tokio::task::yield_now().await;
            assert_eq!(state.get(), "begun");
            Loss::Stopped
        };
        let loss = guarded.run(|| None, lost, work).await;
        assert_eq!((loss, state.get()), (Err(Loss::Stopped), "dropped"));
        guarded.none_left().await;
    }

    /// The timer that should wake the task is late.
    #[tokio::test]
    async fn no_step_begins_after_the_deadline_whatever_the_timers_do() {
        let (guarded, steps) = (Guarded::default(), Cell::new(0));
        let work = async {
            while steps.get() < 10 {
                steps.set(steps.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let verdict = || (steps.get() == 3).then_some(Loss::LeaseRanOut);
        let loss = guarded.run(verdict, pending(), work).await;
        assert_eq!((loss, steps.get()), (Err(Loss::LeaseRanOut), 3));
    }

    /// A result means that the lock was held all the time.
    #[tokio::test]
    async fn a_result_that_came_too_late_is_none() {
        let (guarded, done) = (Guarded::default(), Cell::new(false));
        let work = async { done.set(true) };
        let verdict = || done.get().then_some(Loss::LeaseRanOut);
        let loss = guarded.run(verdict, pending(), work).await;
        assert_eq!(loss, Err(Loss::LeaseRanOut));
    }

    #[tokio::test]
    async fn the_end_waits_for_the_work_to_be_dropped() {
        let (guarded, state) = (Guarded::default(), Cell::new("not begun"));
        let mut run = Box::pin(guarded.run(|| None, pending(), async {
            let _work = Work(&state);
            pending::<()>().await;
        }));
        let started = poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx).is_pending()));
        assert!(started.await);
        let mut end = Box::pin(guarded.none_left());
        let waits = poll_fn(|cx| Poll::Ready(end.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
        drop(run);
        end.await;
        assert_eq!(state.get(), "dropped");
    }
}
