//! How often this database was restored from a dump. Numbers drawn after a restore must be larger than all that the
//! dumped database has drawn, before the dump and after it.
//!
//! The sequence `lineage` holds that number and a fingerprint of the database's place: the cluster's system identifier,
//! and the oids of the database and of the sequence. A dump contains both. If the fingerprint is that of another place,
//! the number is raised before the first token is drawn. That happens after a restore, in a copy by `CREATE DATABASE
//! ... TEMPLATE`, and after `pg_upgrade`, which begins a new WAL timeline. A physical copy keeps its place, and gets a
//! new timeline when it is promoted.
//!
//! It is a sequence and not a row because a sequence is set at once and for good, whether the transaction commits or
//! not. So all sessions agree on the number, and no session waits for another one's transaction.

use super::sql;
use crate::pg::error::Error;
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::wait::tag::{Mode, Tag, TagKind};
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
use xxhash_rust::xxh3::Xxh3;

/// The lower bits of the sequence. Two places have the same fingerprint with a chance of one in ten million million.
const FINGERPRINT_BITS: u32 = 44;

/// What fits into the bits above the timeline of a token.
const MOST_RESTORES: i64 = 127;

thread_local! {
    static KNOWN: Cell<Option<Known>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Known {
    /// That of our tables, which changes with DROP EXTENSION.
    generation: u64,
    restores: i64,
}

/// The number of restores, looked up once a backend. Only after a lookup in one of our tables, which delivers a change
/// of the generation.
pub fn restores() -> Result<i64, Error> {
    let generation = owner::tables_generation();
    match KNOWN.get() {
        Some(known) if known.generation == generation => Ok(known.restores),
        _ => {
            let restores = look_up()?;
            KNOWN.set(Some(Known { generation, restores }));
            Ok(restores)
        }
    }
}

fn look_up() -> Result<i64, Error> {
    if sabotage::removed(Guard::Lineage) {
        return Ok(0);
    }
    let here = fingerprint()?;
    if let Some(restores) = restores_here(lineage()?, here) {
        return Ok(restores);
    }
    // Of several sessions at the same time, one raises the number. The lock is held for that moment only.
    let lock = Tag::of_number(TagKind::Lineage, 0);
    lock.lock(Mode::Exclusive)?;
    let before = lineage()?;
    let restores = match restores_here(before, here) {
        Some(restores) => restores,
        None => {
            let restores = next(before)?;
            let lineage = (restores << FINGERPRINT_BITS) | here;
            sql::SET_LINEAGE.count(&[arg(lineage)])?;
            restores
        }
    };
    lock.unlock(Mode::Exclusive);
    Ok(restores)
}

fn lineage() -> Result<i64, Error> {
    sql::LINEAGE.run(&[], |rows| rows.get(0, 0).unwrap_or(0))
}

/// The number of restores, if the lineage is that of this place.
fn restores_here(lineage: i64, here: i64) -> Option<i64> {
    let there = lineage & ((1 << FINGERPRINT_BITS) - 1);
    (there == here).then_some(lineage >> FINGERPRINT_BITS)
}

/// The number of restores in a new place. Zero is the lineage of a database that has never drawn a token.
fn next(lineage: i64) -> Result<i64, Error> {
    match lineage {
        0 => Ok(0),
        _ if lineage >> FINGERPRINT_BITS >= MOST_RESTORES => Err(Error::Unsupported {
            what: format!("this database comes from {MOST_RESTORES} restores of one another"),
            hint: "There are no larger tokens left. Start again: DROP EXTENSION volguard, CREATE EXTENSION volguard.",
        }),
        _ => Ok((lineage >> FINGERPRINT_BITS) + 1),
    }
}

/// The database's place. Never zero.
fn fingerprint() -> Result<i64, Error> {
    let sequence = owner::relation(c"lineage").ok_or(Error::NotInstalled)?;
    // SAFETY: plain reads of shared memory and of a variable of the backend.
    let (cluster, database) = unsafe { (pg_sys::GetSystemIdentifier(), pg_sys::MyDatabaseId) };
    Ok(of_place(cluster, database, sequence))
}

fn of_place(cluster: u64, database: Oid, sequence: Oid) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(&cluster.to_le_bytes());
    hash.update(&database.to_u32().to_le_bytes());
    hash.update(&sequence.to_u32().to_le_bytes());
    let bits = hash.digest() >> (u64::BITS - FINGERPRINT_BITS);
    bits.cast_signed().max(1)
}

#[cfg(test)]
#[path = "../../tests/units/lineage.rs"]
mod tests;
