//! A server that may crash before releases get to its disk.

use anyhow::{bail, ensure};
use volguard::{ConnectBuilder, Session, StatementMode, Volguard};
use volguard_tests::scenario::{Route, Sql, url};
use volguard_tests::{PgBouncer, PrivateServer, Profile};

use super::LEASE;
use crate::server::{power_failure, server};

/// A server, and the way to it.
pub struct Stand {
    pub server: PrivateServer,
    pooler: Option<PgBouncer>,
}

impl Stand {
    pub fn new(route: Route) -> anyhow::Result<Self> {
        let server = server(Profile::Debug)?;
        let pooler = match route {
            Route::Direct => None,
            Route::Pooled => Some(PgBouncer::in_front_of(&server.url())?),
        };
        Ok(Self { server, pooler })
    }

    pub fn builder(&self) -> ConnectBuilder {
        let (port, mode) = match &self.pooler {
            None => (self.server.port(), StatementMode::Prepared),
            Some(pooler) => (pooler.port(), StatementMode::Unnamed),
        };
        let url = url("manager", port, "volguard");
        Volguard::builder().url(&url).statement_mode(mode)
    }

    pub async fn session(&self, host: &str) -> anyhow::Result<Session> {
        let volguard = self.builder().connect().await?;
        let registration = volguard.register(host, "relaxed").lease(LEASE);
        Ok(registration.relaxed_release(true).start().await?)
    }

    pub async fn superuser(&self) -> anyhow::Result<Sql> {
        Ok(Sql::connect(&self.server.url()).await?)
    }

    /// Crashes the server each time after `act` has released something, until one of these crashes has undone a release.
    pub async fn crash_after(
        &mut self,
        mut act: impl AsyncFnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // The log writer may come in between, on its own.
        for _ in 0..5 {
            act().await?;
            ensure!(self.left().await? == 0, "all was released");
            power_failure(&mut self.server)?;
            if self.left().await? > 0 {
                return Ok(());
            }
        }
        bail!("no crash has undone a release")
    }

    /// How many of the locks are held that were to be released.
    pub async fn left(&self) -> anyhow::Result<i64> {
        let look = "SELECT count(*) FROM volguard.workers WHERE resource_id LIKE 'released-%'";
        let left = self.superuser().await?.number(look).await?;
        Ok(left.unwrap_or_default())
    }
}
