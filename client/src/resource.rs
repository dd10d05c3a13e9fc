//! Tracked resources, crash rules, and what administrators do to locks and resources.

use std::future::IntoFuture;
use std::pin::Pin;

use serde_json::Value;

use crate::error::Error;
use crate::handle::Volguard;
use crate::statements;
use crate::update::{Expression, IntoExpression, document};

impl Volguard {
    /// Prepares to register the table of a resource type, so that crash cleanup can repair its rows.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard) -> Result<(), volguard::Error> {
    /// volguard.track_resource("volume", "cinder.volumes").await?;
    /// volguard.on_crash("volume", "extending").set("status", "error_extending").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn track_resource(&self, resource_type: &str, table: &str) -> TrackResource {
        TrackResource {
            volguard: self.clone(),
            resource_type: resource_type.to_owned(),
            table: table.to_owned(),
            id_column: "id".to_owned(),
            status_column: "status".to_owned(),
        }
    }

    /// Prepares a crash rule: what cleanup writes to a tracked resource whose service died while the lock had this
    /// status.
    pub fn on_crash(&self, resource_type: &str, status: &str) -> CrashRule {
        CrashRule {
            volguard: self.clone(),
            resource_type: resource_type.to_owned(),
            status: status.to_owned(),
            values: Vec::new(),
            removed: false,
        }
    }

    /// Takes a lock away from its holder. For administrators: the server logs it with the reason. Returns `false` if
    /// the token was not held.
    ///
    /// # Errors
    /// [`Error::Database`] with 42501 for a role that is neither a member of the role that registered the holder nor of
    /// the extension's owner; [`Error::Pool`], [`Error::NoReply`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the call may have taken effect or not; repeating it is safe.
    pub async fn force_release(&self, token: i64, reason: &str) -> Result<bool, Error> {
        let row = self.row(&statements::FORCE_RELEASE, &[&token, &reason]).await?;
        Ok(row.try_get(0)?)
    }

    /// Removes all locks and work of a resource, after an administrator has reset its state. Returns their number.
    ///
    /// # Errors
    /// As for [`force_release`](Self::force_release).
    ///
    /// # Cancel safety
    /// When the future is dropped, the call may have taken effect or not; repeating it is safe.
    pub async fn reset_resource(&self, resource_type: &str, resource_id: &str) -> Result<u64, Error> {
        let row = self.row(&statements::RESET_RESOURCE, &[&resource_type, &resource_id]).await?;
        Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
    }
}

/// A request to track a table. Made by [`Volguard::track_resource`]; `.await` it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct TrackResource {
    volguard: Volguard,
    resource_type: String,
    table: String,
    id_column: String,
    status_column: String,
}

impl TrackResource {
    /// The column that holds the resource's id. Default: `id`.
    pub fn id_column(mut self, column: &str) -> Self {
        self.id_column = column.to_owned();
        self
    }

    /// The column that holds the resource's status. Default: `status`.
    pub fn status_column(mut self, column: &str) -> Self {
        self.status_column = column.to_owned();
        self
    }

    /// Sends the request. A later one for the same resource type replaces it.
    ///
    /// # Errors
    /// [`Error::Database`] with 42P01 for a table that doesn't exist, 42703 for a column, 42501 without the
    /// privilege; [`Error::Pool`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the call may have taken effect or not; repeating it is safe.
    pub async fn run(self) -> Result<(), Error> {
        self.volguard
            .row(&statements::TRACK_RESOURCE, &[&self.resource_type, &self.table, &self.id_column, &self.status_column])
            .await
            .map(drop)
    }
}

impl IntoFuture for TrackResource {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// The same as [`run`](TrackResource::run).
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A request to set a crash rule. Made by [`Volguard::on_crash`]; `.await` it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct CrashRule {
    volguard: Volguard,
    resource_type: String,
    status: String,
    values: Vec<(String, Expression)>,
    removed: bool,
}

impl CrashRule {
    /// Sets a column, to a literal or an expression: see
    /// [`ConditionalUpdate::set`](crate::ConditionalUpdate::set).
    pub fn set(mut self, column: &str, value: impl IntoExpression) -> Self {
        self.values.push((column.to_owned(), value.into_expression()));
        self
    }

    /// Removes the rule instead: work that crashes in this status then waits.
    pub fn remove(mut self) -> Self {
        self.removed = true;
        self
    }

    /// Sends the request. A new rule replaces the old one.
    ///
    /// # Errors
    /// [`Error::InvalidDocument`] without asking the server; [`Error::MalformedDocument`], [`Error::Database`]
    /// if it refuses (a resource type that isn't tracked, a column that doesn't exist, a table that the role
    /// may not update); [`Error::Pool`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the call may have taken effect or not; repeating it is safe.
    pub async fn run(self) -> Result<(), Error> {
        let values = match self.removed {
            true => None,
            false => Some(Value::Object(document(self.values, Expression::into_json)?)),
        };
        self.volguard.row(&statements::ON_CRASH, &[&self.resource_type, &self.status, &values]).await.map(drop)
    }
}

impl IntoFuture for CrashRule {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// The same as [`run`](CrashRule::run).
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
