//! A call of `conditional_update`: its arguments, and the way to its answer.

use super::cache::cache_key::Signature;
use super::cache::cached_update::Recipe;
use super::cache::updates;
use super::outcome::{Outcome, Row};
use super::update::Request;
use super::{empty, grammar, not_empty};
use crate::input::argument::required;
use crate::input::document::Path;
use crate::input::jsonb::Jsonb;
use crate::pg::error::Error;
use crate::service::fence;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{self, FunctionCallInfo, Oid, TimestampTz};

#[derive(Debug)]
pub struct Call<'c> {
    pub target: Oid,
    pub key: Jsonb<'c>,
    pub changes: Jsonb<'c>,
    pub expected: Jsonb<'c>,
    pub filter: Option<Jsonb<'c>>,
    pub filter_sql: Option<String>,
    pub changes_sql: Option<Jsonb<'c>>,
    /// The token that must be held.
    pub fence: Option<i64>,
    /// What the database's clock says, the same in each place of the documents.
    pub now: TimestampTz,
}

impl<'c> Call<'c> {
    /// # Safety
    /// `fcinfo` holds the arguments of `volguard.conditional_update`, and they and the current memory context live for `'c`.
    pub unsafe fn read(fcinfo: FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: each argument is read as the type that it is declared with.
        unsafe {
            let document = |number| pg_getarg_datum(fcinfo, number).map(|datum| Jsonb::new(datum));
            Ok(Call {
                target: required("target", pg_getarg::<Oid>(fcinfo, 0))?,
                key: required("key", document(1))?,
                changes: required("changes", document(2))?,
                expected: required("expected", document(3))?,
                filter: document(4),
                fence: pg_getarg::<i64>(fcinfo, 5),
                filter_sql: pg_getarg::<String>(fcinfo, 6),
                changes_sql: document(7),
                now: pg_sys::GetCurrentTimestamp(),
            })
        }
    }

    /// An update of the row with this key, without a fence and without SQL of the caller.
    pub fn new(
        target: Oid,
        key: Jsonb<'c>,
        changes: Jsonb<'c>,
        expected: Jsonb<'c>,
        filter: Option<Jsonb<'c>>,
    ) -> Self {
        Call {
            target,
            key,
            changes,
            expected,
            filter,
            filter_sql: None,
            changes_sql: None,
            fence: None,
            // SAFETY: reads the clock.
            now: unsafe { pg_sys::GetCurrentTimestamp() },
        }
    }

    /// Were such documents read before, and found to be in order?
    pub fn is_known(&self) -> bool {
        Signature::of(self).is_some_and(|signature| updates::find(&signature).is_some())
    }

    /// Finds mistakes in the documents without looking at a row.
    pub fn check(&self) -> Result<(), Error> {
        self.request()?.check()
    }

    /// The row of the key as it is.
    pub fn present(&self) -> Result<Option<Row>, Error> {
        self.request()?.present()
    }

    /// By the statement that documents of the same signature came to before, or by reading them.
    ///
    /// The fence comes first: a lock on the user's table, held while we wait for a gate, could make a deadlock with the
    /// cleanup that holds the gate.
    pub fn run(&self) -> Result<Outcome, Error> {
        let signature = Signature::of(self);
        if let Some(signature) = &signature
            && let Some(recipe) = updates::find(signature)
        {
            if !self.fence_is_held()? {
                return Ok(Outcome::Fenced);
            }
            if recipe.is_current()? {
                return self.run_known(&recipe, signature);
            }
            updates::forget(signature);
        }
        let request = self.request()?;
        if !self.fence_is_held()? {
            return Ok(Outcome::Fenced);
        }
        request.run(signature)
    }

    fn run_known(&self, recipe: &Recipe, signature: &Signature) -> Result<Outcome, Error> {
        match recipe.run(&signature.parts, self.now)? {
            Some(row) => Ok(Outcome::Updated(row)),
            None => self.request()?.explain(recipe.reads_more()),
        }
    }

    fn fence_is_held(&self) -> Result<bool, Error> {
        self.fence.map_or(Ok(true), fence::hold)
    }

    fn request(&self) -> Result<Request, Error> {
        let key = self.key.members("key")?;
        let changes = self.changes.members("changes")?;
        let expected = self.expected.members("expected")?;
        let given = |document: Option<Jsonb>, name| document.map(|it| it.members(name)).transpose();
        let filter = given(self.filter, "filter")?;
        let changes_sql = given(self.changes_sql, "changes_sql")?;
        let request = Request {
            target: self.target,
            key: not_empty("key", grammar::key(key, &Path::root("key"))?)?,
            changes: grammar::changes(changes, &Path::root("changes"))?,
            changes_sql: match changes_sql {
                Some(values) => grammar::changes_sql(values, &Path::root("changes_sql"))?,
                None => Vec::new(),
            },
            expected: grammar::expectations(expected, &Path::root("expected"))?,
            filter: match filter {
                Some(filter) => Some(grammar::filter(filter, &Path::root("filter"))?),
                None => None,
            },
            filter_sql: self.filter_sql.clone(),
            now: self.now,
        };
        check_changes(&request)?;
        Ok(request)
    }
}

/// Something must be set, and nothing twice.
fn check_changes(request: &Request) -> Result<(), Error> {
    let Request {
        changes,
        changes_sql,
        ..
    } = request;
    if changes_sql.is_empty() && changes.is_empty() {
        return Err(empty("changes"));
    }
    let twice = |name: &String| changes.iter().any(|(other, _)| other == name);
    match changes_sql.iter().find(|(name, _)| twice(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Path::root("changes_sql")
            .member(name)
            .fault(
                "is set in changes too",
                "Set each column in one of the two.",
            )
            .into()),
    }
}
