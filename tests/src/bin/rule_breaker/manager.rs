//! The manager: registration, heartbeats, cleanup, and its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::breach::Breach;
use crate::lease::{Lease, boot_time};
use crate::link::{Failure, Link};
use crate::work::Worker;

/// For statements that don't wait.
pub const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Manager {
    url: String,
    host: String,
    service: i64,
    lease: Arc<Lease>,
    breach: Option<Breach>,
}

impl Manager {
    pub async fn register(url: String, host: String, length: Duration, breach: Option<Breach>) -> anyhow::Result<Self> {
        let register =
            format!("SELECT volguard.register_service('{host}', 'manager', lease => '{} ms')", length.as_millis());
        let mut link = Link::new(&url);
        let (since, rows) = loop {
            let since = boot_time();
            match link.ask(&register, LIMIT * 6).await {
                Ok(rows) => break (since, rows),
                Err(_) if breach == Some(Breach::StartsForEver) => sleep(LIMIT / 10).await,
                Err(failure) => bail!("no registration: {failure:?}"),
            }
        };
        let id = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        let service = id.context("register_service returns a number")?;
        let lease = Lease::new(length, breach, since);
        lease.say(&format!("registered {service}"));
        Ok(Self { url, host, service, lease, breach })
    }

    pub async fn run(self) -> anyhow::Result<()> {
        let (stop, stopping) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            terminate.recv().await;
            stop.send_replace(true);
            // Without a sender each wait for it would end at once: the program that is deaf would call without a pause.
            std::future::pending::<()>().await;
        });
        let work = Arc::new(Mutex::new(Link::new(&self.url)));
        let shared = self.breach == Some(Breach::SharedConnection);
        let heartbeat = if shared { Arc::clone(&work) } else { Arc::new(Mutex::new(Link::new(&self.url))) };
        tokio::spawn(beat(heartbeat, self.service, Arc::clone(&self.lease), self.breach));
        if self.breach != Some(Breach::NoCleanup) {
            tokio::spawn(clean_up(Link::new(&self.url), self.lease.third(), self.breach));
        }
        let mut worker = Worker {
            service: self.service,
            host: self.host.clone(),
            lease: Arc::clone(&self.lease),
            breach: self.breach,
            link: Arc::clone(&work),
            stopping,
            doubtful: Vec::new(),
        };
        worker.serve().await?;
        if self.breach != Some(Breach::StopsRegistered) {
            self.leave(&mut *work.lock().await).await?;
        }
        self.lease.say("stopped");
        Ok(())
    }

    /// Until the server has heard of it; the watching thread ends the process before the lease is over.
    async fn leave(&self, link: &mut Link) -> anyhow::Result<()> {
        self.lease.leaving.store(true, Ordering::SeqCst);
        let deregister = format!("SELECT volguard.deregister_service({})", self.service);
        if self.breach == Some(Breach::StopsUnheard) {
            // Errors are what is broken here.
            let _ = timeout(LIMIT / 2, link.insist(&deregister, LIMIT)).await;
            return Ok(());
        }
        loop {
            match link.insist(&deregister, LIMIT).await {
                (Ok(_), _) => return Ok(()),
                // The answer was lost.
                (Err(Failure::Refused(code)), true) if code == "VG001" => return Ok(()),
                (Err(Failure::Refused(code)), _) if code == "55P03" => sleep(LIMIT / 10).await,
                (Err(failure), _) => bail!("deregister_service: {failure:?}"),
            }
        }
    }
}

async fn beat(link: Arc<Mutex<Link>>, service: i64, lease: Arc<Lease>, breach: Option<Breach>) {
    let heartbeat = format!("SELECT volguard.heartbeat({service})");
    let limit = if breach == Some(Breach::PatientHeartbeat) { lease.third() * 100 } else { lease.third() };
    loop {
        let sent = lease.now();
        lease.check();
        if lease.over.load(Ordering::SeqCst) {
            return;
        }
        let mut link = link.lock().await;
        let sent = if breach == Some(Breach::SharedConnection) { lease.now() } else { sent };
        let answer = link.ask(&heartbeat, limit).await;
        drop(link);
        match answer {
            Ok(_) => {
                lease.renew(sent);
                sleep(lease.third().saturating_sub(lease.now().saturating_sub(sent))).await;
            }
            Err(Failure::Refused(code)) if code == "VG001" => {
                lease.fence();
                lease.check();
                sleep(lease.third() / 10).await;
            }
            Err(_) => sleep(lease.third() / 20).await,
        }
    }
}

async fn clean_up(mut link: Link, pause: Duration, breach: Option<Breach>) {
    let round = "SELECT bool_or(state = 'more') FROM volguard.auto_cleanup('default')";
    loop {
        let more = link.ask(round, LIMIT * 8).await;
        if !more.is_ok_and(|rows| rows == [[Some("t".to_owned())]]) {
            let begun = Instant::now();
            sleep(pause).await;
            // After a pause of the process it would fence itself before a heartbeat revives it: what is broken would
            // stay hidden.
            if breach == Some(Breach::ClockStops) && begun.elapsed() > pause * 2 {
                sleep(pause).await;
            }
        }
    }
}
