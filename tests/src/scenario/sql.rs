//! A connection that speaks plain SQL, as `psql` or a client in any other language does.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::{CancelToken, Client, Error, NoTls, SimpleQueryMessage};

/// One connection. Every statement uses the simple protocol,
/// which any pooler passes on and which leaves no state behind.
#[derive(Debug)]
pub struct Sql {
    client: Client,
    connection: JoinHandle<Result<(), Error>>,
}

impl Sql {
    /// Connects.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        Ok(Self { client, connection: tokio::spawn(connection) })
    }

    /// Runs statements and ignores their results.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn run(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    /// The rows of a query, as text.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let messages = self.client.simple_query(sql).await?;
        Ok(messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
                }
                _ => None,
            })
            .collect())
    }

    /// The rows of a query, as text by the names of their columns, without NULLs.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn named_rows(&self, sql: &str) -> Result<Vec<HashMap<String, String>>, Error> {
        let messages = self.client.simple_query(sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let named = rows.map(|row| {
            let columns = row.columns().iter().enumerate();
            let values =
                columns.filter_map(|(place, column)| Some((column.name().to_owned(), row.get(place)?.to_owned())));
            values.collect()
        });
        Ok(named.collect())
    }

    /// The first column of the first row; `None` if that is NULL or there is no row.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn text(&self, sql: &str) -> Result<Option<String>, Error> {
        let rows = self.rows(sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// As [`text`](Self::text), read as a number.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    ///
    /// # Panics
    /// If it is not a number.
    pub async fn number(&self, sql: &str) -> Result<Option<i64>, Error> {
        let text = self.text(sql).await?;
        Ok(text.map(|text| text.parse().expect("a number")))
    }

    /// As [`text`](Self::text), read as a boolean; NULL and no row are false.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub async fn holds(&self, sql: &str) -> Result<bool, Error> {
        Ok(self.text(sql).await?.as_deref() == Some("t"))
    }

    /// Registers a service of the cluster `default` and returns its id.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn register(&self, host: &str, lease: Duration) -> Result<i64, Error> {
        let lease = lease.as_millis();
        let id =
            self.number(&format!("SELECT volguard.register_service('{host}', 'test', lease => '{lease} ms')")).await?;
        Ok(id.expect("register_service returns an id or raises"))
    }

    /// Takes the lock of a resource of the type `volume`, with this wait at most.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn acquire(&self, service: i64, key: &str, wait: Duration) -> Result<Option<i64>, Error> {
        self.number(&acquire(service, key, wait)).await
    }

    /// Takes the locks of several resources of the type `volume`, all
    /// or none: their ids and tokens, in the order of the request.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn acquire_all(
        &self,
        service: i64,
        keys: &[String],
        wait: Duration,
    ) -> Result<Vec<(String, i64)>, Error> {
        let rows = self.rows(&acquire_all(service, keys, wait)).await?;
        let lock = |row: Vec<Option<String>>| {
            let mut row = row.into_iter().flatten();
            let key = row.next().expect("an id");
            let token = row.next().and_then(|token| token.parse().ok());
            (key, token.expect("a token"))
        };
        Ok(rows.into_iter().map(lock).collect())
    }

    /// Releases a lock.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn release(&self, token: i64) -> Result<bool, Error> {
        self.holds(&format!("SELECT volguard.release({token})")).await
    }

    /// The process that serves this connection. A pooler may have given it to another client by now.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn pid(&self) -> Result<i64, Error> {
        let pid = self.number("SELECT pg_backend_pid()").await?;
        Ok(pid.expect("never NULL"))
    }

    /// A handle that ends a statement of this connection from outside.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// A handle that closes the socket without a message, at any point, as the end of a process does.
    #[must_use]
    pub fn plug(&self) -> AbortHandle {
        self.connection.abort_handle()
    }
}

/// The statement that takes the lock of a resource of the type `volume`.
#[must_use]
pub fn acquire(service: i64, key: &str, wait: Duration) -> String {
    let wait = wait.as_millis();
    format!("SELECT volguard.acquire({service}, 'volume', '{key}', wait => '{wait} ms')")
}

/// The statement that takes the locks of several resources of the type `volume`.
#[must_use]
pub fn acquire_all(service: i64, keys: &[String], wait: Duration) -> String {
    let (keys, wait) = (keys.join(","), wait.as_millis());
    format!(
        "SELECT resource_id, token FROM volguard.acquire_all({service}, wait => '{wait} ms', locks => (
             SELECT jsonb_agg(jsonb_build_object('resource_type', 'volume', 'resource_id', key) ORDER BY place)
             FROM unnest('{{{keys}}}'::text[]) WITH ORDINALITY AS k (key, place)))"
    )
}

/// The SQLSTATE of the server's refusal, or the text of the error if it has none.
#[must_use]
pub fn sqlstate(error: &Error) -> String {
    error.code().map_or_else(|| error.to_string(), |state| state.code().to_owned())
}
