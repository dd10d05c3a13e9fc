//! What a statement runs on.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, GenericClient, Row};

/// The parameters of a statement.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// An SQL text and the types of its parameters.
///
/// Names are schema-qualified and arguments named, so that neither a `search_path` nor a new argument with a default
/// changes the meaning of a statement. The types of parameters are given, which saves the round trip to learn them.
/// Results have built-in types only: for an unknown type, tokio-postgres would prepare statements to look it up.
#[derive(Debug)]
pub struct Statement {
    pub(crate) sql: &'static str,
    pub(crate) types: &'static [Type],
}

impl Statement {
    pub(crate) fn typed<'a>(&self, params: Params<'a>) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
        debug_assert_eq!(params.len(), self.types.len(), "{}", self.sql);
        params.iter().copied().zip(self.types.iter().cloned()).collect()
    }
}

/// Declares the statement `SQL` and the types of its parameters.
macro_rules! statement {
    ($sql:literal ($($type:ident),*)) => {
        static SQL: $crate::sql::Statement =
            $crate::sql::Statement { sql: $sql, types: &[$(::tokio_postgres::types::Type::$type),*] };
    };
}
pub(super) use statement;

/// What the verbs run on: a connection or a transaction of `tokio_postgres`, or a [`Connection`](crate::Connection).
///
/// On a foreign connection statements are unnamed, so that they leave nothing behind.
pub trait Executor: sealed::Sealed + Sync {
    #[doc(hidden)]
    fn rows(
        &self,
        statement: &'static Statement,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;

    /// For statements that return exactly one row.
    #[doc(hidden)]
    fn row(
        &self,
        statement: &'static Statement,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Row, crate::Error>> + Send {
        async move {
            let row = self.rows(statement, params).await?.pop();
            Ok(row.expect("the call of a function that is no set returns a row"))
        }
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl<C: tokio_postgres::GenericClient> Sealed for C {}
}

impl<C: GenericClient + Sync> Executor for C {
    async fn rows(&self, statement: &'static Statement, params: Params<'_>) -> Result<Vec<Row>, Error> {
        self.query_typed(statement.sql, &statement.typed(params)).await
    }
}
