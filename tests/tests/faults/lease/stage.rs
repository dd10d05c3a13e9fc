//! One writer behind a proxy, which has the lock, and one that waits for it.

use std::time::Duration;

use anyhow::bail;
use tokio::time::sleep;
use volguard_tests::scenario::{
    Conduct, Disk, News, PATIENCE, Proxy, Site, Sql, Violation, Writer, WriterOptions, until, until_within,
};

pub(super) struct Stage {
    pub(super) proxy: Proxy,
    pub(super) disk: Disk,
    pub(super) first: Writer,
    pub(super) second: Writer,
    /// The service of the first writer.
    pub(super) service: i64,
    pub(super) token: i64,
    sql: Sql,
}

impl Stage {
    /// The first one already writes, the second is registered.
    pub(super) async fn set(
        site: &Site,
        lease: Duration,
        conduct: Conduct,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Stage> {
        let proxy = Proxy::in_front_of(site.port()).await?;
        let disk = Disk::create()?;
        let options = WriterOptions {
            url: site.url_by_port(proxy.port()),
            host: "first".to_owned(),
            lease,
            disk: disk.path().to_owned(),
            conduct,
        };
        let program = crate::DISK_WRITER.as_ref();
        let mut first = Writer::start(program, &options, environment)?;
        let service = first.until_it_registers().await?;
        let News::Holds(token) = first.news().await? else {
            bail!("the first writer has no lock");
        };
        until_written(&disk, token).await?;
        let options =
            WriterOptions { url: site.url(), host: "second".to_owned(), conduct: Conduct::Guarded, ..options };
        let mut second = Writer::start(program, &options, &[])?;
        second.until_it_registers().await?;
        Ok(Stage { proxy, disk, first, second, service, token, sql: site.sql().await? })
    }

    pub(super) async fn until_written(&self, token: i64) -> anyhow::Result<()> {
        until_written(&self.disk, token).await
    }

    /// For writers without protection: both write, and the audit sees it.
    pub(super) async fn must_show_two_writers(self, heir: i64) -> anyhow::Result<()> {
        self.until_both_have_written(heir).await?;
        let seen = self.disk.audit().unwrap_err();
        assert!(
            matches!(seen.downcast_ref(), Some(Violation::TokenWentBack { .. } | Violation::TwoHolders { .. })),
            "{seen:#}"
        );
        self.disk.remove()
    }

    /// Waits until the first has written after the heir, which goes on writing.
    pub(super) async fn until_both_have_written(&self, heir: i64) -> anyhow::Result<()> {
        self.until_written(heir).await?;
        self.until_written(self.token).await?;
        self.until_written(heir).await
    }

    /// Waits until the server has received heartbeats of the first for this long.
    pub(super) async fn until_heartbeats_of(&self, time: Duration) -> anyhow::Result<()> {
        let heartbeat =
            format!("(SELECT heartbeat_at FROM volguard.service_status WHERE service_id = {})", self.service);
        let now = self.sql.text(&format!("SELECT {heartbeat}")).await?;
        let later = format!(
            "SELECT {heartbeat} >= '{}'::timestamptz + interval '{} ms'",
            now.unwrap_or_default(),
            time.as_millis()
        );
        // It can't be sooner: the last heartbeat is a third of a lease old at most, and a fifth of it late.
        sleep(time / 3).await;
        until_within(time + PATIENCE, "heartbeats", async || Ok(self.sql.holds(&later).await?.then_some(()))).await
    }
}

/// Waits until the last write has this token.
pub(super) async fn until_written(disk: &Disk, token: i64) -> anyhow::Result<()> {
    until("a write", async || Ok((disk.last()? == Some(token)).then_some(()))).await
}
