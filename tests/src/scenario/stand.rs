//! The servers that all scenarios of one test process share.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::site::add_roles;
use crate::{Error, PgBouncer, PrivateServer, Profile};

/// A server, and a pooler in front of it from the first time that one is needed.
///
/// It lives in a static, which is never dropped; its guardian stops it when the process ends.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) server: PrivateServer,
    pooler: Once<PgBouncer>,
}

impl Stand {
    /// With the extension as it is built by default.
    pub(crate) fn sound() -> Result<&'static Self, Error> {
        static STAND: Once<Stand> = Once::new();
        STAND.get_or_make(|| Self::start(Profile::Debug))
    }

    /// With guards that can be removed.
    pub(crate) fn sabotaged() -> Result<&'static Self, Error> {
        static STAND: Once<Stand> = Once::new();
        STAND.get_or_make(|| Self::start(Profile::Sabotage))
    }

    fn start(profile: Profile) -> Result<Self, Error> {
        let server = PrivateServer::builder()
            .profile(profile)
            // Crashes are tested on servers of their own; durability would only cost time here.
            .durable(false)
            // The pooler keeps its connections to one test's database while the next ones run.
            .setting("max_connections", "600")
            // All tests share the server's seats for waiting calls, and some have hundreds of them.
            .setting("volguard.max_waiters", "600")
            .start()?;
        add_roles(&server)?;
        Ok(Self { server, pooler: Once::new() })
    }

    pub(crate) fn pooler(&self) -> Result<&PgBouncer, Error> {
        let start = || PgBouncer::in_front_of(&self.server.url());
        self.pooler.get_or_make(start)
    }
}

/// A cell that is filled once, by the first call that succeeds: `OnceLock::get_or_try_init`, which is not stable yet.
#[derive(Debug)]
struct Once<T> {
    cell: OnceLock<T>,
    making: Mutex<()>,
}

impl<T> Once<T> {
    const fn new() -> Self {
        Self { cell: OnceLock::new(), making: Mutex::new(()) }
    }

    fn get_or_make(&self, make: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = self.cell.get() {
            return Ok(made);
        }
        let made = make()?;
        Ok(self.cell.get_or_init(|| made))
    }
}
