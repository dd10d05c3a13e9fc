//! What a private server does as one of several with the same data.

use super::PrivateServer;
use crate::Error;

impl PrivateServer {
    /// Ends all processes of the server by SIGKILL, as a power failure does. Returns when they are gone.
    ///
    /// # Errors
    /// [`Error::Server`] if it does not run.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.guardian.ask("kill")
    }

    /// Makes a standby the primary, with a timeline of its own. Returns when it takes writes.
    ///
    /// # Errors
    /// [`Error::Server`] if it is not a standby.
    pub fn promote(&mut self) -> Result<(), Error> {
        self.guardian.ask("promote")
    }

    /// Makes this server, which is a standby or does not run, a standby of `primary`. It streams under `name`, which
    /// `synchronous_standby_names` may list.
    ///
    /// # Errors
    /// [`Error::Server`] if its configuration can't be written.
    pub fn follow(&mut self, primary: &PrivateServer, name: &str) -> Result<(), Error> {
        let source = primary.replication_source(name).replace('\'', "''");
        self.guardian.ask(&format!("follow {source}"))
    }

    /// Makes a standby stream from no server. It goes on to answer, and lags from now on.
    ///
    /// # Errors
    /// [`Error::Server`] if its configuration can't be written.
    pub fn follow_none(&mut self) -> Result<(), Error> {
        self.guardian.ask("follow")
    }

    /// Takes the data of this server, which does not run, back to where those of `primary` went their own way, and
    /// forward to its state, by `pg_rewind`. [`follow`](Self::follow) and [`restart`](Self::restart) come next.
    ///
    /// # Errors
    /// [`Error::Server`] with the output of `pg_rewind`; an error of `primary`.
    pub fn rewind_to(&mut self, primary: &PrivateServer) -> Result<(), Error> {
        // pg_rewind reads the timeline of the source from its control file, which a checkpoint brings up to date. Until
        // then it finds nothing to do, and the standby can't follow.
        primary.psql("CHECKPOINT")?;
        let source = format!("rewind {} dbname=postgres", primary.replication_source("rewind"));
        self.guardian.ask(&source)
    }

    /// The connection string by which another private server copies this one's data. It leads through the socket, which
    /// needs no password.
    pub(super) fn replication_source(&self, name: &str) -> String {
        let socket = self.socket_dir();
        format!("host='{}' port={} user=postgres application_name={name}", socket.display(), self.port)
    }
}
