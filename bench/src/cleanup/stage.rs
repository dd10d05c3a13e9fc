//! The server, and what the crashed services have left there.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio_postgres::Client;
use volguard_tests::PrivateServerBuilder;

use super::contender::Contender;
use crate::machine;
use crate::servers::Postgres;

const DATABASE: &str = "cleanup";

#[derive(Debug)]
pub struct Stage {
    server: Postgres,
    superuser: Client,
    rows: u32,
}

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub rows: u32,
    pub time: Duration,
    /// Processor time of the server's process.
    pub server_time: Duration,
}

impl Stage {
    pub async fn set(fsync: bool, rows: u32) -> Result<Stage> {
        // Nor is a vacuum to come in the middle of one contender's turn.
        let settings = |server: PrivateServerBuilder| {
            let server = server.setting("autovacuum", "off");
            server.setting("shared_buffers", "1GB")
        };
        let server = Postgres::start(fsync, settings)?;
        server.create_role().await?;
        let superuser = server.create_database(DATABASE).await?;
        superuser
            .batch_execute(include_str!("../../sql/cleanup/schema.sql"))
            .await?;
        Ok(Stage {
            server,
            superuser,
            rows,
        })
    }

    /// Fills the tables and has them cleaned up, over a connection that has done nothing before, as after a crash.
    pub async fn turn(&self, contender: Contender) -> Result<Turn> {
        let rows = contender.share(self.rows);
        self.fill(rows).await?;
        let client = match contender {
            Contender::Ours => self.server.connect_as_role(DATABASE).await?,
            Contender::Bare | Contender::Rows => self.server.connect_to(DATABASE).await?,
        };
        let backend = Postgres::backend(&client).await?;
        let (start, before) = (Instant::now(), machine::processor_time(backend)?);
        contender.clean(&client).await?;
        let turn = Turn {
            rows,
            time: start.elapsed(),
            server_time: machine::processor_time(backend)? - before,
        };
        self.check(rows).await?;
        Ok(turn)
    }

    async fn fill(&self, rows: u32) -> Result<()> {
        let truncate = "TRUNCATE volguard.workers, volguard.services, volumes, snapshots";
        self.superuser.batch_execute(truncate).await?;
        let rows = i32::try_from(rows)?;
        let fill = include_str!("../../sql/cleanup/fill.sql");
        self.superuser.execute(fill, &[&rows]).await?;
        // One by one: it runs in no transaction, and a text of several statements is one.
        for table in [
            "volguard.workers",
            "volguard.services",
            "volumes",
            "snapshots",
        ] {
            let vacuum = format!("VACUUM (ANALYZE, FREEZE) {table}");
            self.superuser.batch_execute(&vacuum).await?;
        }
        Ok(())
    }

    /// Whoever it was, the same must have come of it.
    async fn check(&self, rows: u32) -> Result<()> {
        let sql = include_str!("../../sql/cleanup/state.sql");
        let row = self.superuser.query_one(sql, &[]).await?;
        let state: Vec<i64> = (0..5)
            .map(|column| row.try_get(column))
            .collect::<Result<_, _>>()?;
        let quarter = i64::from(rows) / 4;
        let expected = [0, 0, quarter, quarter, 2 * quarter];
        ensure!(
            state == expected,
            "left over {state:?}, expected {expected:?}"
        );
        Ok(())
    }

    pub async fn describe(&self) -> Result<String> {
        self.server.describe().await
    }
}
