//! The front, as its session sees it.

use crate::error::Failure;
use crate::lock::message::{News, Order};
use std::io;
use std::os::unix::net::UnixStream as Socket;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

#[derive(Debug)]
pub(super) struct Front {
    orders: Lines<BufReader<OwnedReadHalf>>,
    news: OwnedWriteHalf,
}

impl Front {
    pub(super) fn over(socket: Socket) -> io::Result<Front> {
        socket.set_nonblocking(true)?;
        let (orders, news) = UnixStream::from_std(socket)?.into_split();
        Ok(Front { orders: BufReader::new(orders).lines(), news })
    }

    /// The next order; `None` when the front is gone. Nothing is lost if the future is dropped.
    pub(super) async fn order(&mut self) -> Option<Order> {
        loop {
            match self.orders.next_line().await {
                Ok(Some(line)) => match line.parse() {
                    Ok(order) => return Some(order),
                    Err(()) => continue,
                },
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Awaits `work`, or the end of the front, which drops it.
    pub(super) async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            _ = self.order() => None,
        }
    }

    pub(super) async fn tell(&mut self, news: &News) -> io::Result<()> {
        self.news.write_all(news.to_string().as_bytes()).await
    }

    pub(super) async fn refuse(&mut self, failure: &Failure) -> io::Result<()> {
        self.tell(&News::Refused { code: failure.code(), why: failure.to_string() }).await
    }
}
