//! Two standbys that are promoted and know nothing of one another: both take writes, on a timeline with the same
//! number. What one of them hands out must not be handed out by the other.

use std::time::Duration;

use anyhow::Context;
use tokio::task::block_in_place;
use uuid::Uuid;

use super::by_hand::{received, start};
use crate::Profile;
use crate::history::{Act, Answer, Call, Offence, check_numbers};
use crate::scenario::{Sql, until_within, url};
use crate::time::now;

use super::cluster::{NAMES, PATIENCE};

const LEASE: Duration = Duration::from_secs(3600);
/// More than the sequence writes to the log at once.
const LOCKS: usize = 50;

/// Kills the primary, promotes both standbys, and takes locks of the same keys on all three. Returns what is wrong with
/// the tokens and the service ids.
///
/// # Errors
/// An error of a server.
pub async fn fork(profile: Profile) -> anyhow::Result<Vec<Offence>> {
    let mut nodes = start(profile).await?;
    let mut calls = Vec::new();
    take(&mut calls, nodes[0].port(), NAMES[0]).await?;
    let end = nodes[0].psql("SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')")?.parse::<i64>()?;
    for standby in &nodes[1..] {
        until_received(&standby.url(), end).await?;
    }
    block_in_place(|| nodes[0].kill())?;
    for standby in &nodes[1..] {
        received(&standby.url()).await?;
    }
    for standby in &mut nodes[1..] {
        block_in_place(|| standby.promote())?;
    }
    for (standby, name) in nodes.iter().zip(NAMES).skip(1) {
        take(&mut calls, standby.port(), name).await?;
    }
    Ok(check_numbers(&calls))
}

async fn until_received(url: &str, end: i64) -> anyhow::Result<()> {
    let sql = Sql::connect(url).await?;
    let received = format!("SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') >= {end}");
    until_within(PATIENCE, "a standby with all", async || Ok(sql.holds(&received).await?.then_some(()))).await
}

/// Registers a service on a server, and takes and releases locks.
async fn take(calls: &mut Vec<Call>, port: u16, name: &str) -> anyhow::Result<()> {
    let sql = Sql::connect(&url("manager", port, "volguard")).await?;
    let mut call = |act, asked, answer| {
        let client = format!("a client of {name}");
        calls.push(Call { client, act, asked, answered: Some(now()), answer });
    };
    let asked = now();
    let service = sql.register("host", LEASE).await?;
    call(Act::Register { host: "host".to_owned() }, asked, Answer::Service(service));
    for number in 0..LOCKS {
        let key = format!("fork-{number}");
        let asked = now();
        let token = sql.acquire(service, &key, Duration::ZERO).await?.context("free")?;
        let request = Uuid::new_v4();
        call(Act::Acquire { key, request, service }, asked, Answer::Token(token));
        sql.release(token).await?;
    }
    Ok(())
}
