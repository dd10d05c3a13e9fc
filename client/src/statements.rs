//! Every SQL text that this crate sends, and how it is sent.
//!
//! Names are schema-qualified and arguments named, so that neither a `search_path` nor a new argument with a default
//! changes the meaning of a statement. The types of parameters are given, which saves the round trip to learn them.
//! Results have built-in types only: for an unknown type, tokio-postgres would prepare statements to look it up.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, Transaction};

use crate::connect::StatementMode;

pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// An SQL text and the types of its parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    pub(crate) sql: &'a str,
    pub(crate) types: &'a [Type],
}

impl Statement<'_> {
    /// Runs the statement outside of any transaction of the caller.
    pub(crate) async fn rows(
        &self,
        client: &ClientWrapper,
        mode: StatementMode,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Error> {
        match mode {
            StatementMode::Prepared => {
                let statement = client.prepare_typed_cached(self.sql, self.types).await?;
                client.query(&statement, params).await
            }
            StatementMode::Unnamed => client.query_typed(self.sql, &self.typed(params)).await,
        }
    }

    /// Like [`rows`](Self::rows), for statements that return exactly one row.
    pub(crate) async fn row(
        &self,
        client: &ClientWrapper,
        mode: StatementMode,
        params: Params<'_>,
    ) -> Result<Row, Error> {
        match mode {
            StatementMode::Prepared => {
                let statement = client.prepare_typed_cached(self.sql, self.types).await?;
                client.query_one(&statement, params).await
            }
            StatementMode::Unnamed => client.query_typed_one(self.sql, &self.typed(params)).await,
        }
    }

    /// Runs the statement inside the caller's transaction. Its connection may come from any pool, so the statement is
    /// always unnamed.
    pub(crate) async fn row_in(&self, transaction: &Transaction<'_>, params: Params<'_>) -> Result<Row, Error> {
        transaction.query_typed_one(self.sql, &self.typed(params)).await
    }

    fn typed<'a>(&self, params: Params<'a>) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
        debug_assert_eq!(params.len(), self.types.len(), "{}", self.sql);
        params.iter().copied().zip(self.types.iter().cloned()).collect()
    }
}

pub(crate) static EXTENSION_VERSION: Statement =
    Statement { sql: "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'volguard'", types: &[] };

pub(crate) static REGISTER_SERVICE: Statement = Statement {
    sql: "SELECT volguard.register_service(host => $1, binary_name => $2, cluster => $3, \
          lease => $4, details => $5)",
    types: &[Type::TEXT, Type::TEXT, Type::TEXT, Type::INTERVAL, Type::JSONB],
};

pub(crate) static HEARTBEAT: Statement =
    Statement { sql: "SELECT volguard.heartbeat(service_id => $1)", types: &[Type::INT8] };

pub(crate) static LATER_INCARNATION: Statement = Statement {
    sql: "SELECT pg_catalog.max(service_id) FROM volguard.service_status \
          WHERE service_id OPERATOR(pg_catalog.>) $1 AND host OPERATOR(pg_catalog.=) $2 \
          AND binary_name OPERATOR(pg_catalog.=) $3 AND cluster OPERATOR(pg_catalog.=) coalesce($4, 'default') \
          AND state OPERATOR(pg_catalog.=) 'up'",
    types: &[Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT],
};

pub(crate) static DEREGISTER_SERVICE: Statement =
    Statement { sql: "SELECT volguard.deregister_service(service_id => $1)", types: &[Type::INT8] };

pub(crate) static RECONCILE: Statement = Statement {
    sql: "SELECT volguard.reconcile(service_id => $1, tokens => $2)",
    types: &[Type::INT8, Type::INT8_ARRAY],
};

pub(crate) static ACQUIRE: Statement = Statement {
    sql: "SELECT volguard.acquire(service_id => $1, resource_type => $2, resource_id => $3, lock_name => $4, \
          status => $5, wait => $6, request_id => $7, details => $8)",
    types: &[Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::INTERVAL, Type::UUID, Type::JSONB],
};

pub(crate) static ACQUIRE_ALL: Statement = Statement {
    sql: "SELECT resource_type, resource_id, lock_name, token FROM volguard.acquire_all(service_id => $1, locks => $2, \
          wait => $3, request_id => $4)",
    types: &[Type::INT8, Type::JSONB, Type::INTERVAL, Type::UUID],
};

pub(crate) static RELEASE: Statement = Statement { sql: "SELECT volguard.release(token => $1)", types: &[Type::INT8] };

pub(crate) static RELEASE_ALL: Statement =
    Statement { sql: "SELECT volguard.release_all(tokens => $1)", types: &[Type::INT8_ARRAY] };

// Functions that return void are called in FROM, where their result needs no type.
pub(crate) static SET_STATUS: Statement = Statement {
    sql: "SELECT true FROM volguard.set_status(token => $1, status => $2)",
    types: &[Type::INT8, Type::TEXT],
};

pub(crate) static ASSERT_HELD: Statement =
    Statement { sql: "SELECT true FROM volguard.assert_held(token => $1)", types: &[Type::INT8] };

pub(crate) static FORCE_RELEASE: Statement =
    Statement { sql: "SELECT volguard.force_release(token => $1, reason => $2)", types: &[Type::INT8, Type::TEXT] };

pub(crate) static RESET_RESOURCE: Statement = Statement {
    sql: "SELECT volguard.reset_resource(resource_type => $1, resource_id => $2)",
    types: &[Type::TEXT, Type::TEXT],
};

pub(crate) static SET_CLUSTER_DISABLED: Statement = Statement {
    sql: "SELECT true FROM volguard.set_cluster_disabled(cluster => $1, disabled => $2, reason => $3)",
    types: &[Type::TEXT, Type::BOOL, Type::TEXT],
};

pub(crate) static EVENT_LOG: Statement = Statement {
    sql: "SELECT event_id, at, kind, cluster, service_id, resource_type, resource_id, lock_name, token, role, details \
          FROM volguard.event_log \
          WHERE ($1 IS NULL OR kind OPERATOR(pg_catalog.=) $1) AND ($2 IS NULL OR cluster OPERATOR(pg_catalog.=) $2) \
          AND ($3 IS NULL OR service_id OPERATOR(pg_catalog.=) $3) AND ($4 IS NULL OR resource_type OPERATOR(pg_catalog.=) $4) \
          AND ($5 IS NULL OR resource_id OPERATOR(pg_catalog.=) $5) ORDER BY event_id DESC LIMIT $6",
    types: &[Type::TEXT, Type::TEXT, Type::INT8, Type::TEXT, Type::TEXT, Type::INT8],
};

pub(crate) static TRACK_RESOURCE: Statement = Statement {
    sql: "SELECT true FROM volguard.track_resource(resource_type => $1, target => $2::pg_catalog.regclass, \
          id_column => $3, status_column => $4)",
    types: &[Type::TEXT, Type::TEXT, Type::NAME, Type::NAME],
};

pub(crate) static ON_CRASH: Statement = Statement {
    sql: "SELECT true FROM volguard.on_crash(resource_type => $1, status => $2, changes => $3)",
    types: &[Type::TEXT, Type::TEXT, Type::JSONB],
};

pub(crate) static CLEANUP: Statement = Statement {
    sql: "SELECT service_id, cluster, host, state, locks_released, resources_cleaned, resources_stale, awaiting \
          FROM volguard.cleanup(service_id => $1, cluster => $2, host => $3, binary_name => $4, disabled => $5, \
          resource_type => $6, resource_id => $7, until => $8)",
    types: &[Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT, Type::BOOL, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
};

pub(crate) static CLAIM_CLEANUP: Statement = Statement {
    sql: "SELECT token, resource_type, resource_id, lock_name, status, crashed_service_id, details \
          FROM volguard.claim_cleanup(service_id => $1, max_rows => $2, resource_type => $3)",
    types: &[Type::INT8, Type::INT4, Type::TEXT],
};

pub(crate) static FINISH_CLEANUP: Statement =
    Statement { sql: "SELECT volguard.finish_cleanup(token => $1)", types: &[Type::INT8] };

// In the order of the list, which is the order of the claims.
pub(crate) static ABANDON_CLEANUP: Statement = Statement {
    sql: "SELECT pg_catalog.count(*) FILTER (WHERE volguard.abandon_cleanup(token => claim.token)) \
          FROM pg_catalog.unnest($1) AS claim (token)",
    types: &[Type::INT8_ARRAY],
};

/// What a service has claimed, according to the server.
pub(crate) static CLAIMS: Statement = Statement {
    sql: "SELECT token FROM volguard.lock_status \
          WHERE service_id OPERATOR(pg_catalog.=) $1 AND crashed_service_id IS NOT NULL",
    types: &[Type::INT8],
};

pub(crate) static SERVICE_NAMES: Statement = Statement {
    sql: "SELECT cluster, host, binary_name FROM volguard.service_status WHERE service_id OPERATOR(pg_catalog.=) $1",
    types: &[Type::INT8],
};

pub(crate) static AUTO_CLEANUP: Statement = Statement {
    sql: "SELECT service_id, cluster, host, state, locks_released, resources_cleaned, resources_stale, awaiting \
          FROM volguard.auto_cleanup(cluster => $1)",
    types: &[Type::TEXT],
};

pub(crate) static START_WORK: Statement = Statement {
    sql: "SELECT (once.result).token, (once.result).outcome, (once.result).new_row, (once.result).unmet FROM (SELECT \
          volguard.start_work(service_id => $1, resource_type => $2, resource_id => $3, changes => $4, expected => $5, \
          filter => $6, lock_name => $7, wait => $8, \
          request_id => $9) AS result) AS once",
    types: &[
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::JSONB,
        Type::JSONB,
        Type::JSONB,
        Type::TEXT,
        Type::INTERVAL,
        Type::UUID,
    ],
};

pub(crate) static FINISH_WORK: Statement = Statement {
    sql: "SELECT (once.result).outcome, (once.result).new_row, (once.result).unmet FROM (SELECT \
          volguard.finish_work(token => $1, changes => $2) AS result) AS once",
    types: &[Type::INT8, Type::JSONB],
};

pub(crate) static STARTED_WORK: Statement = Statement {
    sql: "SELECT token FROM volguard.lock_status WHERE service_id OPERATOR(pg_catalog.=) $1 AND request_id OPERATOR(pg_catalog.=) $2",
    types: &[Type::INT8, Type::UUID],
};

// The function is called in a select list: in FROM, its row would be stored before it is read. It is called once,
// because a subquery that calls a volatile function is never merged into the query around it.
pub(crate) static CONDITIONAL_UPDATE: Statement = Statement {
    sql: "SELECT (once.result).outcome, (once.result).new_row, (once.result).unmet FROM (SELECT volguard.conditional_update(\
          key => $1, changes => $2, fence => $3, target => $4::pg_catalog.regclass, expected => $5, filter => $6, \
          filter_sql => $7, changes_sql => $8) AS result) AS once",
    types: &[Type::JSONB, Type::JSONB, Type::INT8, Type::TEXT, Type::JSONB, Type::JSONB, Type::TEXT, Type::JSONB],
};

/// The same statement, with the arguments from the target on as literals between these two parts.
pub(crate) const UPDATE_WRITTEN: [&str; 2] = [
    "SELECT (once.result).outcome, (once.result).new_row, (once.result).unmet FROM (SELECT volguard.conditional_update(\
     key => $1, changes => $2, fence => $3, target => ",
    ") AS result) AS once",
];

/// The parameters of that statement.
pub(crate) const UPDATE_WRITTEN_TYPES: &[Type] = &[Type::JSONB, Type::JSONB, Type::INT8];
