//! A process that writes to a disk without a fence: `disk-writer OPTIONS`, in JSON. It
//! reports on stdout, obeys `date` and `freeze` on stdin, and leaves when stdin ends.

use std::env;
use std::io::{Write, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;
use volguard::{Lock, Session, Volguard};
use volguard_tests::scenario::{Conduct, Disk, News, Sql, WriterOptions};

/// The pause between two writes.
const PAUSE: Duration = Duration::from_millis(4);
/// How long it waits for the lock at a time.
const WAIT: Duration = Duration::from_secs(2);
/// The pause before it asks an unreachable server again.
const AFTER_AN_ERROR: Duration = Duration::from_millis(50);
/// Shorter than a lease: a stranded connection must not keep it from another one.
fn time_limit(lease: Duration) -> Duration {
    Duration::from_secs(3).max(lease * 2 / 5)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let options = env::args().nth(1).context("usage: disk-writer OPTIONS")?;
    let options: WriterOptions = serde_json::from_str(&options)?;
    let disk = Disk::open(&options.disk)?;
    let mut orders = obey_stdin();
    match options.conduct {
        // It stops in order.
        Conduct::Guarded => guarded(&options, &disk, orders).await,
        _ => tokio::select! {
            done = unguarded(&options, &disk) => done,
            _ = orders.end.wait_for(|end| *end) => Ok(()),
        },
    }
}

async fn unguarded(options: &WriterOptions, disk: &Disk) -> anyhow::Result<()> {
    match options.conduct {
        Conduct::ByWallClock => by_wall_clock(options, disk).await,
        _ => heedless(options, disk).await,
    }
}

#[derive(Clone)]
struct Orders {
    end: watch::Receiver<bool>,
    /// To stop the process between two writes.
    freeze: Arc<AtomicBool>,
}

fn tell(news: News) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(&news)?;
    line.push(b'\n');
    let mut stdout = stdout().lock();
    stdout.write_all(&line)?;
    Ok(stdout.flush()?)
}

fn obey_stdin() -> Orders {
    let (sender, end) = watch::channel(false);
    let freeze = Arc::new(AtomicBool::new(false));
    let ordered = Arc::clone(&freeze);
    thread::spawn(move || {
        for order in stdin().lines().map_while(Result::ok) {
            match &*order {
                "freeze" => ordered.store(true, Ordering::SeqCst),
                _ => {
                    let date = SystemTime::now().duration_since(UNIX_EPOCH);
                    let _ = tell(News::Date(date.unwrap_or_default().as_secs()));
                }
            }
        }
        sender.send_replace(true);
    });
    Orders { end, freeze }
}

/// Without a connection: on a busy machine the first one may take too long, and the registration is tried again.
fn client(options: &WriterOptions) -> Result<Volguard, volguard::Error> {
    Volguard::builder().url(&options.url).time_limit(time_limit(options.lease)).lazy()
}

async fn guarded(options: &WriterOptions, disk: &Disk, orders: Orders) -> anyhow::Result<()> {
    let Orders { mut end, freeze } = orders;
    let registration = client(options)?.register(&options.host, "writer");
    let mut incarnations = registration.lease(options.lease).incarnations();
    while !*end.borrow() {
        let session = tokio::select! {
            session = incarnations.next() => session?.context("the session ended by itself")?,
            _ = end.wait_for(|end| *end) => return Ok(()),
        };
        tell(News::Registered(session.service_id()))?;
        let work = session.run(async {
            loop {
                guarded_turn(&session, disk, &freeze).await?;
            }
        });
        let done: Result<anyhow::Result<()>, _> = tokio::select! {
            done = work => done,
            _ = end.wait_for(|end| *end) => {
                // Without effect if the session is lost.
                let _ = session.stop().await;
                return Ok(());
            }
        };
        if let Ok(Err(error)) = done {
            return Err(error);
        }
        tell(News::Lost)?;
    }
    Ok(())
}

/// A future that never ends by itself.
async fn guarded_turn(session: &Session, disk: &Disk, freeze: &AtomicBool) -> anyhow::Result<()> {
    let Some(lock) = acquire(session).await else {
        return Ok(());
    };
    tell(News::Holds(lock.token()))?;
    let writes = lock.run(async {
        loop {
            disk.write(lock.token())?;
            if freeze.swap(false, Ordering::SeqCst) {
                kill_process(getpid(), Signal::STOP)?;
                // No timer is due: the next write would come at once.
                yield_now().await;
            } else {
                sleep(PAUSE).await;
            }
        }
    });
    match writes.await {
        Ok(failed) => failed,
        Err(_loss) => Ok(()),
    }
}

async fn acquire(session: &Session) -> Option<Lock> {
    match session.acquire(("volume", "disk")).wait(WAIT).await {
        Ok(lock) => lock,
        Err(_) => {
            sleep(AFTER_AN_ERROR).await;
            None
        }
    }
}

async fn heedless(options: &WriterOptions, disk: &Disk) -> anyhow::Result<()> {
    let volguard = client(options)?;
    let registration = volguard.register(&options.host, "writer");
    let session = registration.lease(options.lease).await?;
    tell(News::Registered(session.service_id()))?;
    let lock = acquire(&session).await.context("free")?;
    tell(News::Holds(lock.token()))?;
    loop {
        disk.write(lock.token())?;
        sleep(PAUSE).await;
    }
}

async fn by_wall_clock(options: &WriterOptions, disk: &Disk) -> anyhow::Result<()> {
    let sql = Sql::connect(&options.url).await?;
    let renewed_at = Arc::new(Mutex::new(SystemTime::now()));
    let service = sql.register(&options.host, options.lease).await?;
    tell(News::Registered(service))?;
    let token = sql.acquire(service, "disk", WAIT).await?.context("free")?;
    tell(News::Holds(token))?;
    let (heartbeats, lease) = (Arc::clone(&renewed_at), options.lease);
    tokio::spawn(async move {
        loop {
            let sent_at = SystemTime::now();
            sql.run(&format!("SELECT volguard.heartbeat({service})")).await?;
            *heartbeats.lock().unwrap_or_else(PoisonError::into_inner) = sent_at;
            sleep(lease / 3).await;
        }
        #[expect(unreachable_code, reason = "gives the task its error type")]
        anyhow::Ok(())
    });
    loop {
        let renewed_at = *renewed_at.lock().unwrap_or_else(PoisonError::into_inner);
        // A date before the heartbeat: no part of the lease seems to have passed.
        let passed = renewed_at.elapsed().unwrap_or_default();
        if passed >= lease * 9 / 10 {
            return tell(News::Lost);
        }
        disk.write(token)?;
        sleep(PAUSE).await;
    }
}
