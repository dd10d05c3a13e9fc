//! Drops a future at a chosen point.

use std::pin::Pin;
use std::task::{Context, Poll};

/// When a future is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When it has been polled this often without a result.
    AfterPoll(usize),
    /// When it would be polled once more after that: the event that it waited for has come, but it never learns of it.
    BeforePollAfter(usize),
}

/// A future that is polled at most this often. It resolves to `None` once the inner one has been dropped.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Polls<F> {
    future: Option<Pin<Box<F>>>,
    when: When,
    polled: usize,
}

impl<F: Future> Polls<F> {
    /// Will drop `future` at that moment, unless it has ended before.
    pub fn of(future: F, when: When) -> Self {
        Self { future: Some(Box::pin(future)), when, polled: 0 }
    }

    fn is_over(&self, next: bool) -> bool {
        match self.when {
            When::AfterPoll(polls) => self.polled >= polls,
            When::BeforePollAfter(polls) => next && self.polled >= polls,
        }
    }
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_over(true) {
            self.future = None;
        }
        let Some(future) = &mut self.future else {
            return Poll::Ready(None);
        };
        let polled = future.as_mut().poll(context);
        self.polled += 1;
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.is_over(false) => {
                self.future = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
