//! How statements are sent.

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StatementMode {
    /// Named prepared statements, kept per connection: the fastest, for direct connections and session pooling.
    #[default]
    Prepared,
    /// Unnamed statements that leave nothing behind on the connection: for poolers in transaction mode that don't keep
    /// track of prepared statements, such as PgBouncer before 1.21.
    ///
    /// No cancel requests are sent either: tokio-postgres hangs up before a pooler has passed them on, and PgBouncer
    /// 1.18 may crash over them. So a wait that is given up continues on the server until its end, with its connection;
    /// a lock that it gets is released at once. The pooler needs room for all waiting acquires and a heartbeat of each
    /// session. Otherwise heartbeats wait in the pooler's queue, and sessions are lost.
    Unnamed,
}
