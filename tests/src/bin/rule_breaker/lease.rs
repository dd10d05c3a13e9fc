//! The clock of the lease, and the thread that watches it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::breach::Breach;

/// The pause between two looks of the watching thread.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Lease {
    length: Duration,
    breach: Option<Breach>,
    /// When the last heartbeat that succeeded was sent.
    since: Mutex<Duration>,
    fenced: AtomicBool,
    /// The service is being deregistered: then heartbeats are refused.
    pub leaving: AtomicBool,
    /// It was lost. Only where that rule is broken does the process go on.
    pub over: AtomicBool,
    /// Milliseconds, for the clock that stands still.
    ticks: AtomicU64,
    voice: Mutex<()>,
}

impl Lease {
    pub fn new(length: Duration, breach: Option<Breach>, since: Duration) -> Arc<Self> {
        let lease = Arc::new(Self {
            length,
            breach,
            since: Mutex::new(since),
            fenced: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            over: AtomicBool::new(false),
            ticks: AtomicU64::new(0),
            voice: Mutex::new(()),
        });
        if breach == Some(Breach::ClockStops) {
            *lease.since.lock().unwrap_or_else(PoisonError::into_inner) = Duration::ZERO;
        }
        let watched = Arc::clone(&lease);
        thread::spawn(move || watched.watch());
        lease
    }

    pub fn third(&self) -> Duration {
        self.length / 3
    }

    /// The time by the clock of the lease: `CLOCK_BOOTTIME`, which goes on while the process is stopped.
    pub fn now(&self) -> Duration {
        if self.breach == Some(Breach::ClockStops) {
            return Duration::from_millis(self.ticks.load(Ordering::SeqCst));
        }
        boot_time()
    }

    /// A heartbeat has succeeded that was sent then. A lease that is over stays over.
    pub fn renew(&self, sent: Duration) {
        if !self.is_over() {
            let from = if self.breach == Some(Breach::FromAnswer) { self.now() } else { sent };
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = from;
        }
    }

    pub fn fence(&self) {
        if self.breach != Some(Breach::IgnoresFence) && !self.leaving.load(Ordering::SeqCst) {
            self.fenced.store(true, Ordering::SeqCst);
        }
    }

    pub fn is_over(&self) -> bool {
        let share = if self.breach == Some(Breach::WholeLease) { 1.2 } else { 0.9 };
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.fenced.load(Ordering::SeqCst) || self.now().saturating_sub(since) >= self.length.mul_f64(share)
    }

    /// Ends the process if the lease is over: the look before each step. Only where that rule is broken does it return.
    pub fn check(&self) {
        if self.is_over() {
            self.lose();
        }
    }

    /// Says a line, unless the lease is over.
    pub fn say(&self, line: &str) {
        let _voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.over.load(Ordering::SeqCst) {
            print(line);
        }
    }

    /// Two threads may find that it is over: the second one waits here until the first one has ended the process.
    fn lose(&self) {
        let _voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !self.over.swap(true, Ordering::SeqCst);
        if first {
            print("lost");
        }
        if self.breach != Some(Breach::WorksOn) {
            std::process::exit(3);
        }
        if first {
            thread::spawn(|| {
                thread::sleep(Duration::from_secs(3));
                std::process::exit(3);
            });
        }
    }

    fn watch(&self) {
        let mut last = boot_time();
        loop {
            thread::sleep(LOOK);
            let now = boot_time();
            let passed = (now - last).min(LOOK * 10);
            last = now;
            self.ticks.fetch_add(u64::try_from(passed.as_millis()).unwrap_or_default(), Ordering::SeqCst);
            self.check();
        }
    }
}

pub fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn print(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // A reader that is gone needs nothing.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
