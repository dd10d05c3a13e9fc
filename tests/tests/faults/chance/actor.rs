//! Who does what was planned.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use volguard::{ConnectBuilder, Error, Lock, LockSet, Session};
use volguard_tests::scenario::{Polls, Proxy, Site};

use super::LEASE;
use super::journal::Journal;
use super::plan::{Moment, Step};
use super::tally::Tally;

/// A process that reaches the server through a proxy of its own.
pub struct Process {
    pub proxy: Proxy,
    builder: ConnectBuilder,
    pub session: Session,
}

impl Process {
    pub async fn start(site: &Site, host: &str, relaxed_release: bool) -> anyhow::Result<Self> {
        let proxy = Proxy::in_front_of(site.port()).await?;
        let url = site.url_by_port(proxy.port());
        let builder = site.builder().url(&url).pool_size(4);
        let volguard = builder.clone().connect().await?;
        let registration = volguard.register(host, "chance").lease(LEASE);
        let registration = registration.relaxed_release(relaxed_release);
        Ok(Self {
            session: registration.start().await?,
            builder,
            proxy,
        })
    }
}

/// One lock, or several as one.
pub enum Guard {
    One(Lock),
    Set(LockSet),
}

impl Guard {
    fn locks(&self) -> &[Lock] {
        match self {
            Guard::One(lock) => std::slice::from_ref(lock),
            Guard::Set(set) => set.locks(),
        }
    }

    pub fn tokens(&self) -> Vec<i64> {
        self.locks().iter().map(Lock::token).collect()
    }

    pub async fn release(self) -> Result<(), Error> {
        match self {
            Guard::One(lock) => lock.release().await.map(drop),
            Guard::Set(set) => set.release().await.map(drop),
        }
    }
}

/// One task of a process.
pub struct Actor {
    process: Arc<Process>,
    journal: Journal,
    /// Of the service that it starts.
    pub host: String,
    pub held: Vec<Guard>,
    pub tally: Tally,
}

impl Actor {
    pub fn new(process: Arc<Process>, journal: Journal, host: String) -> Self {
        Self {
            process,
            journal,
            host,
            held: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub async fn act(mut self, steps: Vec<Step>) -> anyhow::Result<Self> {
        for step in steps {
            self.step(&step)
                .await
                .with_context(|| format!("{step:?}"))?;
        }
        Ok(self)
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Acquire { keys, wait, until } => self.acquire(keys, *wait, *until).await,
            Step::Release { held, until } => {
                let Some(guard) = self.leave(*held).await? else {
                    return Ok(());
                };
                let released = self.run(guard.release(), *until).await;
                self.note(released).map(drop)
            }
            Step::Forget { held } => self.leave(*held).await.map(drop),
            Step::Reconcile { until } => {
                let session = self.process.session.clone();
                let reconciled = self.run(session.reconcile(), *until).await;
                self.note(reconciled).map(drop)
            }
            Step::Start { until } => self.start(*until).await,
            Step::Cut {
                direction,
                after,
                times,
            } => {
                let proxy = &self.process.proxy;
                self.tally.cut += usize::from(proxy.has_struck());
                proxy.cut_within(*direction, *after, *times);
                Ok(())
            }
        }
    }

    async fn acquire(&mut self, keys: &[usize], wait: u64, until: Moment) -> anyhow::Result<()> {
        let session = self.process.session.clone();
        let names: Vec<_> = keys.iter().map(|key| format!("v{key}")).collect();
        let wait = Duration::from_millis(wait);
        let answer = if let [name] = &names[..] {
            let one = session.acquire("volume", name).wait(wait).run();
            let lock = self.run(one, until).await;
            lock.map(|lock| lock.map(|lock| lock.map(Guard::One)))
        } else {
            let keys = names.iter().map(|name| ("volume", &**name));
            let all = session.acquire_all(keys).wait(wait).run();
            let set = self.run(all, until).await;
            set.map(|set| set.map(|set| set.map(Guard::Set)))
        };
        match self.note(answer)? {
            Some(Some(guard)) => {
                self.tally.granted += 1;
                self.enter(&guard, true).await?;
                self.held.push(guard);
            }
            Some(None) => self.tally.refused += 1,
            None => {}
        }
        Ok(())
    }

    async fn start(&mut self, until: Moment) -> anyhow::Result<()> {
        let (builder, host) = (self.process.builder.clone(), self.host.clone());
        let start = async move {
            let volguard = builder.connect().await?;
            let registration = volguard.register(&host, "test").lease(LEASE);
            registration.start().await
        };
        let started = self.run(start, until).await;
        // Without a stop, as a process ends that crashes.
        if self.note(started)?.is_some() {
            self.tally.started += 1;
        }
        Ok(())
    }

    /// What is given back by whatever comes next.
    async fn leave(&mut self, held: usize) -> anyhow::Result<Option<Guard>> {
        if self.held.is_empty() {
            return Ok(None);
        }
        let guard = self.held.remove(held % self.held.len());
        self.enter(&guard, false).await?;
        Ok(Some(guard))
    }

    async fn enter(&self, guard: &Guard, enters: bool) -> anyhow::Result<()> {
        for lock in guard.locks() {
            let (key, token) = (lock.resource_id(), lock.token());
            self.journal.write(key, token, enters).await?;
        }
        Ok(())
    }

    /// The future's output, unless it is dropped before.
    async fn run<F: Future>(&self, future: F, until: Moment) -> Option<F::Output> {
        match until {
            Moment::End => Some(future.await),
            Moment::Poll(when) => Polls::of(future, when).await,
            Moment::Bytes(bytes) => tokio::select! {
                output = future => Some(output),
                () = self.process.proxy.carried(bytes) => None,
            },
        }
    }

    /// What a call came to, if it came to anything. A broken connection is what it is all about; anything else is wrong.
    fn note<T>(&mut self, answer: Option<Result<T, Error>>) -> anyhow::Result<Option<T>> {
        match answer {
            None => self.tally.dropped += 1,
            Some(Ok(output)) => return Ok(Some(output)),
            Some(Err(error)) if error.is_retryable() => self.tally.broken += 1,
            Some(Err(error)) => return Err(error.into()),
        }
        Ok(None)
    }
}
