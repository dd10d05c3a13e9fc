//! What a manager without a clock of its own would do next after its lease is over: go on.
//!
//! The client refuses to send anything under a lost lock. To show that nothing depends on the client's good manners, a manager that
//! finds itself stopped sends the statements itself, and reports which of them got through.

use anyhow::{Result, bail};
use deadpool_postgres::Object;
use serde_json::json;
use tokio_postgres::Row;
use volguard::{Error, Lock, Volguard};

use crate::event::{Attempt, Door, Event};
use crate::schema::CLUSTER;

const FENCED: &str = "VG001";
const NOT_HELD: &str = "VG002";

/// Tries everything that its old lock allowed. Nothing is tried by a service that may still come back to life.
pub(super) async fn rattle(volguard: &Volguard, lock: &Lock, attempt: Attempt) -> Result<()> {
    let client = volguard.pool().get().await?;
    if !is_fenced(&client, attempt.service_id).await? {
        return Ok(());
    }
    let doors = [
        Door::Session,
        Door::Heartbeat,
        Door::Acquire,
        Door::SetStatus,
        Door::AssertHeld,
        Door::ConditionalUpdate,
        Door::Release,
    ];
    for door in doors {
        let attempt = attempt.clone();
        match is_shut(&client, lock, door, &attempt).await? {
            true => Event::Refused { door, attempt },
            false => Event::Admitted { door, attempt },
        }
        .tell()?;
    }
    Ok(())
}

async fn is_fenced(client: &Object, service_id: i64) -> Result<bool> {
    let sql = "SELECT FROM volguard.service_status WHERE service_id = $1 AND state <> 'fenced'";
    let alive = client.query_opt(sql, &[&service_id]).await?;
    Ok(alive.is_none())
}

async fn is_shut(client: &Object, lock: &Lock, door: Door, attempt: &Attempt) -> Result<bool> {
    let Attempt {
        service_id,
        volume,
        token,
    } = attempt;
    let volume = volume.to_string();
    match door {
        Door::Session => Ok(matches!(
            lock.assert_held().await,
            Err(Error::SessionLost(_))
        )),
        Door::Heartbeat => {
            let sql = "SELECT volguard.heartbeat($1)::text";
            refused(client.query_one(sql, &[service_id]).await, FENCED)
        }
        Door::Acquire => {
            // A key of its own, which is free.
            let sql = "SELECT volguard.acquire($1, 'volguard_demo.door', $2)";
            let id = format!("{CLUSTER} {token}");
            refused(client.query_one(sql, &[service_id, &id]).await, FENCED)
        }
        Door::SetStatus => {
            let sql = "SELECT volguard.set_status($1, 'extending')::text";
            refused(client.query_one(sql, &[token]).await, NOT_HELD)
        }
        Door::AssertHeld => {
            let sql = "SELECT volguard.assert_held($1)::text";
            refused(client.query_one(sql, &[token]).await, NOT_HELD)
        }
        Door::ConditionalUpdate => {
            let sql = "SELECT outcome FROM volguard.conditional_update('volguard_demo.volumes', key => $1, \
                       changes => $2, fence => $3)";
            let (key, values) = (json!({ "id": volume }), json!({ "host": "a zombie" }));
            let row = client.query_one(sql, &[&key, &values, token]).await?;
            Ok(row.try_get::<_, &str>(0)? == "fenced")
        }
        Door::Release => {
            let row = client
                .query_one("SELECT volguard.release($1)", &[token])
                .await?;
            Ok(!row.try_get::<_, bool>(0)?)
        }
        Door::Storage => bail!("{door} is no statement"),
    }
}

/// Whether the statement failed for the reason that it should.
fn refused(answer: Result<Row, tokio_postgres::Error>, sqlstate: &str) -> Result<bool> {
    match answer {
        Ok(_) => Ok(false),
        Err(error) if error.code().is_some_and(|code| code.code() == sqlstate) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
