//! The points where futures are dropped, and the check of what they leave.

use anyhow::Context;
use volguard::Session;
use volguard_tests::scenario::{Observer, Polls, Proxy, Site, Sql, When};

use super::{LEASE, LONG, SETTLED};

/// The point where a future is dropped.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    Await(When),
    /// When this many messages have passed between client and server, and another one is on its way.
    Message(usize),
}

impl Place {
    /// The future is dropped before its first poll.
    pub fn is_before_the_start(self) -> bool {
        matches!(self, Place::Await(When::AfterPoll(0) | When::BeforePollAfter(0)))
    }
}

/// All points of a kind, from the first on.
const KINDS: [fn(usize) -> Place; 3] = [
    |number| Place::Await(When::AfterPoll(number)),
    |number| Place::Await(When::BeforePollAfter(number)),
    Place::Message,
];

/// The client behind a proxy.
pub struct Stage {
    pub proxy: Proxy,
    pub session: Session,
    pub observer: Observer,
    /// Another service, which does not use the proxy.
    pub other: Sql,
    other_service: i64,
}

impl Stage {
    pub async fn new(site: &Site) -> anyhow::Result<Self> {
        let proxy = Proxy::in_front_of(site.port()).await?;
        let session = connect(site, &proxy).await?;
        // Connected before, so that the messages belong to the future and not to the login.
        session.acquire(("volume", "v0")).await?.context("free")?.release().await?;
        let other = site.sql().await?;
        Ok(Self {
            proxy,
            session,
            observer: site.observer().await?,
            other_service: other.register("other", LEASE).await?,
            other,
        })
    }

    /// Runs `future` up to that point; its output if it ended before.
    pub async fn run<F: Future>(&self, place: Place, future: F) -> Option<F::Output> {
        run(&self.proxy, place, future).await
    }

    pub async fn other_acquires(&self) -> anyhow::Result<i64> {
        let token = self.other.acquire(self.other_service, "v0", LONG).await?;
        token.context("v0 does not become free")
    }

    /// Nothing is left, and any service can take the locks.
    pub async fn is_clean(&self) -> anyhow::Result<()> {
        self.observer.until_settled(SETTLED).await?;
        let token = self.other_acquires().await?;
        self.other.release(token).await?;
        // Each waits in the process until what the dropped future has left of it is settled.
        for key in ["v2", "v1", "v0"] {
            let lock = self.session.acquire(("volume", key)).wait(LONG).await?;
            lock.with_context(|| format!("{key} does not become free"))?.release().await?;
        }
        self.observer.until_settled(SETTLED).await
    }

    pub async fn end(self) -> anyhow::Result<()> {
        self.session.stop().await?;
        self.observer.until_disconnected(SETTLED).await
    }
}

pub async fn connect(site: &Site, proxy: &Proxy) -> anyhow::Result<Session> {
    let url = site.url_by_port(proxy.port());
    let volguard = site.builder().url(&url).pool_size(4).connect().await?;
    let registration = volguard.register("dropper", "dropped").lease(LEASE);
    // Otherwise their messages would be counted, or cut, instead of those of the future.
    Ok(registration.janitor(None).await?)
}

pub async fn run<F: Future>(proxy: &Proxy, place: Place, future: F) -> Option<F::Output> {
    match place {
        Place::Await(when) => Polls::of(future, when).await,
        Place::Message(number) => {
            proxy.hold(number);
            let output = tokio::select! {
                output = future => Some(output),
                () = proxy.holding() => None,
            };
            proxy.resume();
            output
        }
    }
}

/// Runs `scene` for every point, one kind after the other, until it reports that its future has ended.
pub async fn everywhere(mut scene: impl AsyncFnMut(Place) -> anyhow::Result<bool>) -> anyhow::Result<()> {
    for kind in KINDS {
        for number in 0.. {
            let place = kind(number);
            if scene(place).await.with_context(|| format!("dropped at {place:?}"))? {
                anyhow::ensure!(number > 0, "{place:?} was never reached");
                break;
            }
        }
    }
    Ok(())
}
