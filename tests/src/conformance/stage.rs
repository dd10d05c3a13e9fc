//! The place where one check plays: a database, a network in front of it, and the program under test.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::network::{Call, Network};
use super::program::{PATIENCE, Program, Start};
use crate::scenario::{Route, Site, Sql, furnish, until_within, url};
use crate::{PgBouncer, PrivateServer, Profile};

/// The host of the program under test.
pub const HOST: &str = "node-1";

/// What is to be checked.
#[derive(Debug, Clone)]
pub struct Subject {
    /// A command of the shell, which starts the program.
    pub command: String,
    /// Variables of its environment, beside those of the contract.
    pub environment: Vec<(String, String)>,
    /// How it reaches the server.
    pub route: Route,
}

/// A database of its own for one check, with the network that the program uses.
#[derive(Debug)]
pub struct Stage {
    subject: Subject,
    pub(super) network: Network,
    /// A superuser's connection, which does not use the network.
    pub(super) admin: Sql,
    /// That of a program which submits work.
    api: Sql,
    database: String,
    /// The server, where the check has one of its own.
    pub(super) own: Option<OwnServer>,
}

/// A server that a check may restart.
#[derive(Debug)]
pub struct OwnServer {
    pub(super) server: PrivateServer,
    _pooler: Option<PgBouncer>,
}

/// A piece of work to submit.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// The volume.
    pub id: &'static str,
    /// How long it takes.
    pub takes: Duration,
    /// The size that the volume gets.
    pub size: i32,
}

impl Stage {
    /// A database on the server that all checks share.
    ///
    /// # Errors
    /// An error of the server.
    pub async fn new(subject: &Subject) -> anyhow::Result<Self> {
        let route = subject.route;
        let site = Site::new(route)?;
        let network = Network::in_front_of(site.port()).await?;
        let admin = Sql::connect(&site.server().url_of(site.database())).await?;
        let api = Sql::connect(&url("manager", site.server().port(), site.database())).await?;
        Self { subject: subject.clone(), network, admin, api, database: site.database().to_owned(), own: None }
            .furnished()
            .await
    }

    /// A server of its own.
    ///
    /// # Errors
    /// An error of the server.
    pub async fn with_own_server(subject: &Subject) -> anyhow::Result<Self> {
        let route = subject.route;
        let server = PrivateServer::builder().profile(Profile::Debug).durable(false).start()?;
        furnish(&server)?;
        let pooler = (route == Route::Pooled).then(|| PgBouncer::in_front_of(&server.url())).transpose()?;
        let network = Network::in_front_of(pooler.as_ref().map_or(server.port(), PgBouncer::port)).await?;
        let admin = Sql::connect(&server.url()).await?;
        let database = "volguard".to_owned();
        let api = Sql::connect(&url("manager", server.port(), &database)).await?;
        let own = Some(OwnServer { server, _pooler: pooler });
        Self { subject: subject.clone(), network, admin, api, database, own }.furnished().await
    }

    async fn furnished(self) -> anyhow::Result<Self> {
        self.admin.run("SET ROLE manager").await?;
        self.admin.run(include_str!("stage.sql")).await?;
        Ok(self)
    }

    /// Connects once more, after a restart of the server.
    pub(super) async fn reconnect(&mut self) -> anyhow::Result<()> {
        let own = self.own.as_ref().context("only a server of its own is restarted")?;
        self.admin = Sql::connect(&own.server.url()).await?;
        self.api = Sql::connect(&url("manager", own.server.port(), &self.database)).await?;
        Ok(())
    }

    pub(super) fn route(&self) -> Route {
        self.subject.route
    }

    /// The URL by which the program reaches a database, as a role whose password this is.
    pub(super) fn url_of(&self, database: &str, password: &str) -> String {
        format!("postgresql://manager:{password}@127.0.0.1:{}/{database}", self.network.port())
    }

    /// Starts the program.
    pub(super) fn program(&self, host: &str, lease: Duration) -> anyhow::Result<Program> {
        self.program_at(self.url_of(&self.database, "manager"), host, lease)
    }

    pub(super) fn program_at(&self, url: String, host: &str, lease: Duration) -> anyhow::Result<Program> {
        let Subject { command, environment, .. } = &self.subject;
        Program::start(&Start { command, url, host, lease, environment })
    }

    /// Starts the program, and returns when it has registered.
    pub(super) async fn registered(&self, lease: Duration) -> anyhow::Result<(Program, i64)> {
        let program = self.program(HOST, lease)?;
        let service = program.registered().await?;
        let host = format!(
            "SELECT host FROM volguard.service_status WHERE service_id = {service} AND binary_name = 'manager'
             AND cluster = 'default' AND lease = '{} ms'",
            lease.as_millis()
        );
        let host = self.admin.text(&host).await?;
        ensure!(
            host.as_deref() == Some(HOST),
            "there is no service {service} ({HOST}, manager, cluster default, lease {lease:?})"
        );
        Ok((program, service))
    }

    /// Submits a piece of work.
    pub(super) async fn submit(&self, job: Job) -> anyhow::Result<()> {
        let Job { id, takes, size } = job;
        let submit = format!(
            "INSERT INTO app.volumes VALUES ('{id}', 'available', 1);
             SELECT (volguard.submit_work('default', 'volume', '{id}', operation => 'extend',
                 changes => '{{\"status\": \"extending\"}}', expected => '{{\"status\": \"available\"}}',
                 details => '{{\"milliseconds\": {}, \"size\": {size}}}')).outcome",
            takes.as_millis()
        );
        let outcome = self.api.text(&submit).await?;
        ensure!(outcome.as_deref() == Some("updated"), "submit_work: {outcome:?}");
        Ok(())
    }

    /// Resolves when the work on a volume is done: the row is final, and no lock is left of it.
    pub(super) async fn done(&self, program: &Program, job: Job) -> anyhow::Result<()> {
        let Job { id, size, .. } = job;
        let look = format!(
            "SELECT status = 'available' AND size = {size}
                 AND NOT EXISTS (SELECT FROM volguard.workers WHERE resource_id = '{id}')
             FROM app.volumes WHERE id = '{id}'"
        );
        let what = format!("the work on {id} to be done");
        let done = self.until(&what, &look).await;
        done.with_context(|| program.words())?;
        program.ended(id).await?;
        let (begun, ended) = (program.count(|line| line.begins(id)), program.count(|line| line.ends(id)));
        ensure!((begun, ended) == (1, 1), "{id} was begun {begun} times and ended {ended} times");
        Ok(())
    }

    /// Resolves when no service has a lock.
    pub(super) async fn no_lock_is_left(&self) -> anyhow::Result<()> {
        let held = "SELECT count(*) = 0 FROM volguard.workers WHERE service_id IS NOT NULL";
        if let Err(error) = self.until("all locks to be given back", held).await {
            let left = "SELECT string_agg(concat_ws('/', resource_type, resource_id), ', ') FROM volguard.workers";
            return Err(error.context(format!("left: {}", self.admin.text(left).await?.unwrap_or_default())));
        }
        Ok(())
    }

    /// Resolves when this query returns true.
    pub(super) async fn until(&self, what: &str, query: &str) -> anyhow::Result<()> {
        until_within(PATIENCE, what, async || Ok(self.admin.holds(query).await?.then_some(()))).await
    }

    /// Resolves when a call is on record that this is true of.
    pub(super) async fn until_called(&self, what: &str, wanted: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
        until_within(PATIENCE, what, async || Ok(self.network.calls().into_iter().find(&wanted))).await
    }

    /// Resolves when the planned fault has struck a call of the verb.
    pub(super) async fn struck(&self, times: usize, verb: &str) -> anyhow::Result<()> {
        let struck = tokio::time::timeout(PATIENCE, self.network.struck(times)).await;
        struck.map_err(|_| anyhow::anyhow!("it has not called volguard.{verb} within {} s", PATIENCE.as_secs()))
    }

    /// Whether the service is alive.
    pub(super) async fn is_up(&self, service: i64) -> anyhow::Result<bool> {
        let up = format!("SELECT state = 'up' FROM volguard.service_status WHERE service_id = {service}");
        Ok(self.admin.holds(&up).await?)
    }

    /// What was written to a volume since its work was submitted, as `status size`. A repair does not count: the
    /// program may run it before it knows that it is fenced itself.
    pub(super) async fn writes(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let look = format!(
            "SELECT concat_ws(' ', status, size) FROM conformance.writes
             WHERE id = '{id}' AND status <> 'error_extending' ORDER BY number OFFSET 1"
        );
        Ok(self.admin.rows(&look).await?.into_iter().flatten().flatten().collect())
    }

    /// Nothing was written to a volume since its work was submitted.
    pub(super) async fn is_unwritten(&self, id: &str) -> anyhow::Result<()> {
        let writes = self.writes(id).await?;
        if !writes.is_empty() {
            bail!("it has written [{}] to {id}", writes.join(", "));
        }
        Ok(())
    }
}
