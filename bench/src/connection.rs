//! A connection to Postgres with prepared statements; each client has one.

use std::future::poll_fn;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::Notify;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{AsyncMessage, Client, NoTls, Row, Statement};

pub type With<'a> = &'a [&'a (dyn ToSql + Sync)];

#[derive(Debug)]
pub struct Connection {
    client: Client,
    statements: Vec<Statement>,
    server_pid: i32,
}

impl Connection {
    /// Prepares the statements, which are identified by their position from now on.
    pub async fn prepare(client: Client, sql: &[&str]) -> Result<Connection> {
        let server_pid = server_pid(&client).await?;
        let mut statements = Vec::new();
        for sql in sql {
            statements.push(client.prepare(sql).await?);
        }
        Ok(Connection { client, statements, server_pid })
    }

    /// The process that serves it.
    pub fn server_pid(&self) -> i32 {
        self.server_pid
    }

    /// The row that a statement returns, if any.
    pub async fn row(&self, statement: usize, with: With<'_>) -> Result<Option<Row>> {
        let statement = &self.statements[statement];
        Ok(self.client.query_opt(statement, with).await?)
    }

    /// The first column of the row that a statement must return.
    pub async fn value<T: FromSqlOwned>(&self, statement: usize, with: With<'_>) -> Result<T> {
        let row = self.row(statement, with).await?.context("refused")?;
        let value: Option<T> = row.try_get(0)?;
        value.context("refused")
    }

    /// How many rows a statement changes.
    pub async fn execute(&self, statement: usize, with: With<'_>) -> Result<u64> {
        let statement = &self.statements[statement];
        Ok(self.client.execute(statement, with).await?)
    }
}

pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends with the client; an error that breaks it is also reported by the next statement.
    tokio::spawn(connection);
    Ok(client)
}

/// A connection that listens on this channel; each notification leaves a permit.
pub async fn connect_listening(url: &str, channel: &str) -> Result<(Client, Arc<Notify>)> {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
    let heard = Arc::new(Notify::new());
    let here = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message {
                here.notify_one();
            }
        }
    });
    client.batch_execute(&format!("LISTEN {channel}")).await?;
    Ok((client, heard))
}

/// The process that serves this client.
pub async fn server_pid(client: &Client) -> Result<i32> {
    let row = client.query_one("SELECT pg_catalog.pg_backend_pid()", &[]);
    Ok(row.await?.try_get(0)?)
}
