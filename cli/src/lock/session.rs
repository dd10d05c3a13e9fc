//! The process that holds the lock: connections, heartbeats, acquire and release. It ends the command when the lock is
//! lost, and when the front is gone.

mod front;

use self::front::Front;
use super::clock::{nanos, now};
use super::deadline::Deadline;
use super::group::Group;
use super::message::{News, Order};
use crate::args::{Database, Lock as Asked};
use crate::connect::TIME_LIMIT;
use crate::error::Failure;
use crate::sabotage::{Guard, is_removed};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep};
use volguard::{Held, Key, Lock, Loss, Session, Volguard, serde_json::json, uuid::Uuid};

/// The grace is a part of the lease: at most four tenths, so that a heartbeat may fail once before the command is asked
/// to end.
const MOST_GRACE: f64 = 0.4;

/// How long it may take to notice that a process has ended which is no child of this one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Runs the session, and ends the process.
pub(super) fn main(database: &Database, lock: &Asked, socket: UnixStream, deadline: &Deadline) -> ! {
    detach(&socket);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => runtime.block_on(run(database, lock, socket, deadline)).is_err(),
        Err(_) => true,
    };
    std::process::exit(i32::from(code))
}

/// Leaves the terminal, and all that the caller may wait for the end of.
fn detach(socket: &UnixStream) {
    // It was forked, so it leads no group yet.
    let _ = rustix::process::setsid();
    if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ =
            (rustix::stdio::dup2_stdin(&null), rustix::stdio::dup2_stdout(&null), rustix::stdio::dup2_stderr(&null));
    }
    let numbers = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let open: Vec<i32> =
        std::fs::read_dir("/proc/self/fd").map(|all| all.flatten().filter_map(numbers).collect()).unwrap_or_default();
    for fd in open.into_iter().filter(|fd| *fd > 2 && *fd != socket.as_raw_fd()) {
        // SAFETY: this process has one thread, which has opened nothing but the socket; the others are the caller's.
        unsafe { libc::close(fd) };
    }
}

async fn run(database: &Database, asked: &Asked, socket: UnixStream, deadline: &Deadline) -> std::io::Result<()> {
    let mut front = Front::over(socket)?;
    let volguard = match front.unless_gone(connect(database, asked)).await {
        None => return Ok(()),
        Some(Err(failure)) => return front.refuse(&failure).await,
        Some(Ok(volguard)) => volguard,
    };
    // Not dropped when the front is gone: the service may be there already, and would count as crashed.
    let session = match register(&volguard, asked).await {
        Err(failure) => return front.refuse(&failure).await,
        Ok(session) => session,
    };
    match front.unless_gone(acquire(&session, asked)).await {
        None => {}
        Some(Err(failure)) => _ = front.refuse(&failure).await,
        Some(Ok(lock)) => {
            let grace = asked.grace.unwrap_or(session.lease() / 4);
            deadline.set_grace(grace);
            let mut hold = Hold { session: session.clone(), deadline, published: None, group: None };
            hold.publish();
            // A front that is gone by now is noticed next, and the lock given back.
            let _ = front.tell(&News::Granted { token: lock.token() }).await;
            hold.until_ended(&mut front, lock).await?;
        }
    }
    // Without it, the service would count as crashed. The front waits for it: the socket is open until then.
    let _ = session.stop().await;
    drop(front);
    Ok(())
}

async fn connect(database: &Database, asked: &Asked) -> Result<Volguard, Failure> {
    let mut builder = crate::connect::builder(database)?;
    if let Some(lease) = asked.lease {
        // A call that takes as long as a lease is of no use.
        builder = builder.time_limit(lease.clamp(Duration::from_secs(1), TIME_LIMIT));
    }
    Ok(builder.connect().await?)
}

async fn register(volguard: &Volguard, asked: &Asked) -> Result<Session, Failure> {
    let machine = rustix::system::uname();
    let host = asked.host.clone().unwrap_or_else(|| machine.nodename().to_string_lossy().into_owned());
    // A name of its own: registering it again would end the other one's service.
    let random = Uuid::new_v4().simple().to_string();
    let name = format!("volguard-lock-{}-{}", std::os::unix::process::parent_id(), &random[..8]);
    let mut registration = volguard.register(&host, &name).cluster(&asked.cluster).janitor(None);
    if let Some(lease) = asked.lease {
        registration = registration.lease(lease);
    }
    let session = registration.await?;
    let most = session.lease().mul_f64(MOST_GRACE);
    match asked.grace {
        Some(grace) if grace > most => {
            let _ = session.stop().await;
            Err(Failure::Usage(format!("--grace: {most:?} at most, four tenths of the lease")))
        }
        _ => Ok(session),
    }
}

async fn acquire(session: &Session, asked: &Asked) -> Result<Lock, Failure> {
    let (kind, id) = &asked.resource.resource;
    let program = asked.command.first().map(|program| program.to_string_lossy().into_owned());
    let details = json!({ "program": program, "pid": std::os::unix::process::parent_id() });
    let key = Key::new(kind, id).lock_name(&asked.resource.lock_name).details(details);
    match session.acquire(key).wait(asked.wait).await? {
        Some(lock) => Ok(lock),
        None if asked.wait.is_zero() => Err(Failure::Busy(format!("the lock of {kind}/{id} is held"))),
        None => Err(Failure::Busy(format!("the lock of {kind}/{id} was not free within {:?}", asked.wait))),
    }
}

/// The time in which the lock is held.
struct Hold<'a> {
    session: Session,
    deadline: &'a Deadline,
    /// The end of the lease that the front was told last.
    published: Option<Instant>,
    group: Option<Group>,
}

impl Hold<'_> {
    /// Tells the front until when the lock can be relied on. The clock is read before the rest is computed, so what the
    /// front sees is rather too early; and each end is converted once, since the clock of the lease does not count a
    /// suspension of the machine.
    fn publish(&mut self) {
        let (now, at) = (now(), self.session.lost_at());
        if self.published != Some(at) {
            self.published = Some(at);
            self.deadline.set(now + nanos(at.saturating_duration_since(Instant::now())));
        }
    }

    /// Returns when the command has ended, and the lock is released or lost.
    async fn until_ended(mut self, front: &mut Front, lock: Lock) -> std::io::Result<()> {
        let asking = tokio::spawn(ask_again(Held::clone(&lock), self.session.lease() / 3));
        let mut ticks = interval((self.session.lease() / 30).clamp(Duration::from_millis(5), Duration::from_secs(1)));
        loop {
            tokio::select! {
                biased;
                loss = lock.lost() => {
                    asking.abort();
                    // The front may be gone, or stopped. What counts is that the command ends.
                    let is_taken = is_taken(loss);
                    let _ = front.tell(&News::Lost { is_taken, why: loss.to_string() }).await;
                    self.deadline.set(self.deadline.get().min(now()));
                    self.kill_on(front).await;
                    return Ok(());
                }
                order = front.order() => match order {
                    Some(Order::Group(leader)) => self.group = Group::new(leader),
                    Some(Order::Ended) => break,
                    None => {
                        self.end_without_front(&lock).await;
                        break;
                    }
                },
                _ = ticks.tick() => self.publish(),
            }
        }
        asking.abort();
        let (held, why) = match lock.release().await {
            Ok(true) => (Some(true), String::new()),
            Ok(false) => (Some(false), "the lock was taken away before the command had ended".to_owned()),
            Err(error) => match self.session.loss().filter(|loss| is_taken(*loss)) {
                Some(loss) => (Some(false), format!("{loss}, before the command had ended")),
                None => (None, error.to_string()),
            },
        };
        let _ = front.tell(&News::Released { held, why }).await;
        Ok(())
    }

    /// The lock is lost: ends what there is of the command, until the front says that nothing is left, or is gone with
    /// nothing left.
    async fn kill_on(&mut self, front: &mut Front) {
        let mut is_gone = false;
        loop {
            if let Some(group) = self.group
                && !is_removed(Guard::SessionKill)
            {
                group.kill();
            }
            if is_gone && self.group.is_none_or(Group::is_over) {
                return;
            }
            tokio::select! {
                order = front.order(), if !is_gone => match order {
                    Some(Order::Group(leader)) => self.group = Group::new(leader),
                    Some(Order::Ended) => return,
                    None => is_gone = true,
                },
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// The front is gone, by SIGKILL most likely: ends the command in its place.
    async fn end_without_front(&mut self, lock: &Lock) {
        let Some(group) = self.group.filter(|_| !is_removed(Guard::SessionKill)) else { return };
        let kill_at = now() + self.deadline.grace();
        group.ask_to_end();
        while !group.is_over() {
            self.publish();
            if now() >= kill_at || lock.loss().is_some() {
                group.kill();
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Whether the server has said that the lock is not held: maybe long after it was taken away.
fn is_taken(loss: Loss) -> bool {
    !matches!(loss, Loss::LeaseRanOut)
}

/// An administrator may take the lock away: the server is the one to ask. The answer is noted in what is held.
async fn ask_again(held: Held, pause: Duration) {
    while !is_removed(Guard::AskAgain) {
        sleep(pause).await;
        let _ = held.assert_held().await;
    }
}
