//! A call of `conditional_update`: its arguments, and its way, through the cache or by reading the documents.

use super::cache::{self, cache_key::CacheKey};
use super::grammar::{self, Columns, Scalar};
use super::moved;
use super::outcome::{Outcome, UpdatedRow};
use super::present::{self, Returned};
use super::update::{ParsedUpdate, require_columns, undone_without_row};
use crate::input::argument::required;
use crate::input::document::Path;
use crate::input::jsonb::Jsonb;
use crate::pg::error::Error;
use crate::service::fence;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{self, FunctionCallInfo, Oid, TimestampTz};

/// What an update does to a row that is known otherwise than by a key.
#[derive(Clone, Copy, Debug)]
pub struct Documents<'c> {
    pub changes: Jsonb<'c>,
    pub expected: Jsonb<'c>,
    pub filter: Option<Jsonb<'c>>,
    pub filter_sql: Option<&'c str>,
    pub changes_sql: Option<Jsonb<'c>>,
}

#[derive(Debug)]
pub struct Call<'c> {
    pub target: Oid,
    pub key: Jsonb<'c>,
    pub changes: Jsonb<'c>,
    pub expected: Jsonb<'c>,
    pub filter: Option<Jsonb<'c>>,
    pub filter_sql: Option<String>,
    pub changes_sql: Option<Jsonb<'c>>,
    /// Is the key the id of a tracked resource? Then the row is that of the id, also behind all triggers.
    pub by_id: bool,
    /// The token that must be held.
    pub fence: Option<i64>,
    /// The time for each `{"now": true}`.
    pub now: TimestampTz,
}

impl<'c> Call<'c> {
    /// # Safety
    /// `fcinfo` holds the arguments of `volguard.conditional_update`, and they and the current memory context live
    /// for `'c`.
    pub unsafe fn read(fcinfo: FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: each argument is read as the type that it is declared with.
        unsafe {
            let document = |number| pg_getarg_datum(fcinfo, number).map(|datum| Jsonb::new(datum));
            Ok(Call {
                target: required("target", pg_getarg::<Oid>(fcinfo, 0))?,
                key: required("key", document(1))?,
                changes: required("changes", document(2))?,
                expected: document(3).unwrap_or_else(Jsonb::empty),
                filter: document(4),
                by_id: false,
                fence: pg_getarg::<i64>(fcinfo, 5),
                filter_sql: pg_getarg::<String>(fcinfo, 6),
                changes_sql: document(7),
                now: pg_sys::GetCurrentTimestamp(),
            })
        }
    }

    /// An update of the row with this id, without a fence.
    pub fn of_id(target: Oid, key: Jsonb<'c>, documents: Documents<'c>) -> Self {
        let Documents { changes, expected, filter, filter_sql, changes_sql } = documents;
        let filter_sql = filter_sql.map(str::to_owned);
        // SAFETY: reads the clock.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        Call { target, key, changes, expected, filter, filter_sql, changes_sql, by_id: true, fence: None, now }
    }

    /// Is there a cached update for these documents? Then they have no mistakes.
    pub fn is_known(&self) -> bool {
        let key = self.cache_key();
        key.is_some_and(|key| cache::find(&key).is_some())
    }

    /// Finds mistakes in the documents without looking at a row.
    pub fn check(&self) -> Result<(), Error> {
        self.parse()?.check()
    }

    /// The row of the key as it is.
    pub fn present(&self) -> Result<Option<UpdatedRow>, Error> {
        present::row(self.target, &self.parse_key()?, self.now)
    }

    pub fn run(&self) -> Result<Outcome, Error> {
        match moved::may_move(self.target) {
            true => moved::again_if_moved(|| self.run_once()),
            false => self.run_once(),
        }
    }

    /// Runs the cached update of the documents, or reads them.
    ///
    /// The fence is checked first: a lock on the user's table, held while the call waits for a service lock, could
    /// deadlock with the cleanup that holds the service lock.
    fn run_once(&self) -> Result<Outcome, Error> {
        let key = self.cache_key();
        if let Some(key) = &key
            && let Some(cached) = cache::find(key)
        {
            if !self.fence_is_held()? {
                return Ok(Outcome::Fenced);
            }
            if cached.is_current()? {
                let effects = &*cached.side_effects;
                let row = |rows: &_| Returned::only(rows, self.target, effects);
                let update = || Ok(cached.run(&key.members, self.now, row)?.transpose()?.flatten());
                let Some(row) = undone_without_row(effects, update)? else {
                    return self.parse()?.explain(cached.reads_more());
                };
                let id = if effects.afterwards && self.by_id { Some(self.parse_key()?) } else { None };
                let row = row.after_triggers(self.target, effects, id.as_ref(), self.now)?;
                return Ok(Outcome::Updated(row));
            }
            cache::forget(key);
        }
        let update = self.parse()?;
        match self.fence_is_held()? {
            true => update.run(key),
            false => Ok(Outcome::Fenced),
        }
    }

    fn fence_is_held(&self) -> Result<bool, Error> {
        self.fence.map_or(Ok(true), fence::hold)
    }

    fn cache_key(&self) -> Option<CacheKey<'c>> {
        let others = [
            self.filter.map(Jsonb::bytes),
            self.changes_sql.map(Jsonb::bytes),
            self.filter_sql.as_deref().map(str::as_bytes),
        ];
        CacheKey::of(self.target, [self.key, self.changes, self.expected], others)
    }

    fn parse_key(&self) -> Result<Columns<Scalar>, Error> {
        Ok(grammar::key(self.key.members("key")?, &mut (0..))?)
    }

    fn parse(&self) -> Result<ParsedUpdate, Error> {
        let optional = |document: Option<Jsonb>, name| document.map(|it| it.members(name)).transpose();
        let mut numbers = 0..;
        let key = grammar::key(self.key.members("key")?, &mut numbers)?;
        require_columns("key", &key)?;
        let changes = grammar::changes(self.changes.members("changes")?, &mut numbers)?;
        let expected = grammar::expected(self.expected.members("expected")?, &mut numbers)?;
        let filter = optional(self.filter, "filter")?.map(grammar::filter);
        let changes_sql = optional(self.changes_sql, "changes_sql")?.map(grammar::changes_sql);
        let changes_sql = changes_sql.transpose()?.unwrap_or_default();
        if changes_sql.is_empty() {
            require_columns("changes", &changes)?;
        }
        let is_set_twice = |(name, _): &&(String, _)| changes.iter().any(|(other, _)| other == name);
        if let Some((name, _)) = changes_sql.iter().find(is_set_twice) {
            let hint = "Set each column in one of the two.";
            let path = Path::root("changes_sql");
            return Err(path.member(name).fault("is set in changes too", hint).into());
        }
        Ok(ParsedUpdate {
            target: self.target,
            key,
            by_id: self.by_id,
            changes,
            changes_sql,
            expected,
            filter: filter.transpose()?,
            filter_sql: self.filter_sql.clone(),
            now: self.now,
        })
    }
}
