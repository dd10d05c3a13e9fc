//! A database of its own for one scenario.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use volguard::{StatementMode, Volguard};

use super::stand::Stand;
use super::{Observer, Sql};
use crate::{Error, PgBouncer, PrivateServer};

/// Roles that log in with their own name as password. `manager`
/// runs the scenarios, `stranger` tries what it may not do.
const ROLES: &str = "
    CREATE ROLE manager LOGIN PASSWORD 'manager';
    CREATE ROLE stranger LOGIN PASSWORD 'stranger';";

/// For servers that answer, however busy the machine is.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Adds the scenarios' roles to a server.
pub(crate) fn add_roles(server: &PrivateServer) -> Result<(), Error> {
    server.psql(ROLES).map(drop)
}

/// Makes the database `volguard` of a server a site, for scenarios that crash their own server.
///
/// # Errors
/// An error of the server.
pub fn furnish(server: &PrivateServer) -> Result<(), Error> {
    add_roles(server)?;
    server.psql(include_str!("site.sql")).map(drop)
}

/// As [`furnish`], by a connection of a superuser.
///
/// # Errors
/// An error of the server.
pub async fn furnish_by(superuser: &Sql) -> Result<(), tokio_postgres::Error> {
    for step in [ROLES, include_str!("site.sql"), "RESET ROLE"] {
        superuser.run(step).await?;
    }
    Ok(())
}

/// The route to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A direct connection.
    Direct,
    /// Through PgBouncer in transaction mode.
    Pooled,
}

/// A database of its own, with the extension and `site.sql` in it, on a server that the scenarios of one process share.
/// Scenarios act as the plain role `manager`.
#[derive(Debug)]
pub struct Site {
    stand: &'static Stand,
    route: Route,
    database: String,
}

impl Site {
    /// A site with every guard.
    ///
    /// # Errors
    /// Errors of [`PrivateServer::start`] and of the database.
    pub fn new(route: Route) -> Result<Self, Error> {
        Self::on(Stand::sound()?, route)
    }

    /// A site without these guards: names of the extension's `sabotage.rs`, separated by commas.
    ///
    /// # Errors
    /// As [`Site::new`].
    pub fn without(guards: &str) -> Result<Self, Error> {
        let site = Self::on(Stand::sabotaged()?, Route::Direct)?;
        let database = &site.database;
        site.psql(&format!("ALTER DATABASE \"{database}\" SET volguard.sabotage = '{guards}'"))?;
        Ok(site)
    }

    fn on(stand: &'static Stand, route: Route) -> Result<Self, Error> {
        if route == Route::Pooled {
            stand.pooler()?;
        }
        let database = unique_name();
        stand.server.create_database(&database)?;
        let site = Self { stand, route, database };
        site.psql(include_str!("site.sql"))?;
        Ok(site)
    }

    /// The server of this site.
    #[must_use]
    pub fn server(&self) -> &PrivateServer {
        &self.stand.server
    }

    /// The name of this site's database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Runs SQL as superuser in this database, as [`PrivateServer::psql`] does.
    ///
    /// # Errors
    /// As there.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        self.stand.server.psql_in(&self.database, sql)
    }

    /// The URL of the role `manager`, by this site's route.
    ///
    /// # Panics
    /// Never: a pooled site has started its pooler.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_as("manager")
    }

    /// The URL of a role whose password is its name, by this site's route.
    ///
    /// # Panics
    /// As [`Site::url`].
    #[must_use]
    pub fn url_as(&self, role: &str) -> String {
        url(role, self.port(), &self.database)
    }

    /// The URL of the role `manager` with another port, such as that of a proxy.
    #[must_use]
    pub fn url_by_port(&self, port: u16) -> String {
        url("manager", port, &self.database)
    }

    /// The port that [`Site::url`] names.
    ///
    /// # Panics
    /// As [`Site::url`].
    #[must_use]
    pub fn port(&self) -> u16 {
        match self.route {
            Route::Direct => self.stand.server.port(),
            Route::Pooled => self.pooler().port(),
        }
    }

    fn pooler(&self) -> &PgBouncer {
        self.stand.pooler().expect("started with the site")
    }

    /// Connects as `manager`.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn sql(&self) -> Result<Sql, tokio_postgres::Error> {
        Sql::connect(&self.url()).await
    }

    /// An observer as superuser, connected directly to the server.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn observer(&self) -> Result<Observer, tokio_postgres::Error> {
        let observer = Observer::of(&self.stand.server.url_of(&self.database)).await?;
        match self.route {
            Route::Direct => Ok(observer),
            Route::Pooled => Ok(observer.behind(Sql::connect(&self.pooler().admin_url()).await?)),
        }
    }

    /// The statement mode that this route needs.
    #[must_use]
    pub fn statement_mode(&self) -> StatementMode {
        match self.route {
            Route::Direct => StatementMode::Prepared,
            Route::Pooled => StatementMode::Unnamed,
        }
    }

    /// The client crate, set up for this site on a busy machine.
    pub fn builder(&self) -> volguard::Builder {
        let builder = Volguard::builder().url(&self.url()).statement_mode(self.statement_mode());
        builder.connect_timeout(CONNECT_TIMEOUT)
    }

    /// The client crate with its usual settings, connected as `manager`.
    ///
    /// # Errors
    /// An error of the client.
    pub async fn volguard(&self) -> Result<Volguard, volguard::Error> {
        self.builder().connect().await
    }
}

/// The URL of a role whose password is its name.
#[must_use]
pub fn url(role: &str, port: u16, database: &str) -> String {
    format!("postgresql://{role}:{role}@127.0.0.1:{port}/{database}")
}

/// Named after the running test, so that the server's log is readable.
fn unique_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    const LONGEST: usize = 55;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let test: String = thread::current()
        .name()
        .unwrap_or("test")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(LONGEST)
        .collect();
    format!("{test}_{number}")
}
