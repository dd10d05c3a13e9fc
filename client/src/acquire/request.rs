//! A request to the server, which stays the same when it is repeated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use serde_json::{Map, Value};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::interval::Interval;
use crate::queue::Key;
use crate::session::Core;
use crate::statements::{self, Params};
use crate::update::{Documents, UpdatedRow};

/// One of the locks of a request by [`Session::acquire_all`](crate::Session::acquire_all).
///
/// ```
/// use volguard::Wanted;
///
/// let source = Wanted::from(("volume", "v-17")).status("copying");
/// let target = Wanted::new("volume", "v-18").status("creating");
/// ```
#[derive(Debug, Clone)]
#[must_use = "it is to be passed to `acquire_all`"]
pub struct Wanted {
    pub(super) key: Arc<Key>,
    pub(super) status: Option<String>,
    pub(super) details: Option<Value>,
}

impl Wanted {
    /// The lock named `""` of a resource.
    pub fn new(resource_type: &str, resource_id: &str) -> Wanted {
        Wanted::of(Arc::new(Key {
            resource_type: resource_type.to_owned(),
            resource_id: resource_id.to_owned(),
            lock_name: String::new(),
        }))
    }

    pub(crate) fn of(key: Arc<Key>) -> Wanted {
        Wanted { key, status: None, details: None }
    }

    /// See [`Acquire::lock_name`](crate::Acquire::lock_name).
    pub fn lock_name(mut self, name: &str) -> Self {
        Arc::make_mut(&mut self.key).lock_name = name.to_owned();
        self
    }

    /// See [`Acquire::status`](crate::Acquire::status).
    pub fn status(mut self, status: &str) -> Self {
        self.status = Some(status.to_owned());
        self
    }

    /// See [`Acquire::details`](crate::Acquire::details).
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    fn to_json(&self) -> Value {
        let Key { resource_type, resource_id, lock_name } = &*self.key;
        let mut lock = Map::from_iter([
            ("resource_type".to_owned(), Value::from(&**resource_type)),
            ("resource_id".to_owned(), Value::from(&**resource_id)),
            ("lock_name".to_owned(), Value::from(&**lock_name)),
        ]);
        if let Some(status) = &self.status {
            lock.insert("status".to_owned(), Value::from(&**status));
        }
        if let Some(details) = &self.details {
            lock.insert("details".to_owned(), details.clone());
        }
        Value::Object(lock)
    }
}

impl From<(&str, &str)> for Wanted {
    /// The resource's type and id, in this order.
    fn from((resource_type, resource_id): (&str, &str)) -> Wanted {
        Wanted::new(resource_type, resource_id)
    }
}

/// One request. It keeps its id when it is sent again.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) id: Uuid,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    One(Wanted),
    All(Vec<Wanted>),
    Work(Arc<Key>, Arc<Documents>),
}

/// A lock that the server has granted.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) key: Arc<Key>,
    pub(crate) token: i64,
    /// The row of the resource, if the request started work.
    pub(crate) row: Option<UpdatedRow>,
}

/// Why nothing is held.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Not free in time.
    NotFree,
    /// Conditions of the work did not hold.
    Unmet(Vec<String>),
    /// The resource of the work has no row.
    NotFound,
}

/// The server's answer: all requested locks, in the order of the request, or none.
pub(crate) type Reply = Result<Vec<Granted>, Refused>;

impl Request {
    pub(crate) fn one(id: Uuid, wanted: Wanted) -> Request {
        let what = What::One(wanted);
        Request { id, what }
    }

    pub(super) fn all(id: Uuid, wanted: Vec<Wanted>) -> Request {
        let what = What::All(wanted);
        Request { id, what }
    }

    pub(crate) fn work(id: Uuid, key: Arc<Key>, documents: Documents) -> Request {
        let what = What::Work(key, Arc::new(documents));
        Request { id, what }
    }

    /// Whether it starts work. Then its lock must not be released without a final state of the row.
    pub(super) fn is_work(&self) -> bool {
        matches!(self.what, What::Work(..))
    }

    pub(crate) fn keys(&self) -> Vec<Arc<Key>> {
        let wanted = match &self.what {
            What::One(wanted) => std::slice::from_ref(wanted),
            What::All(wanted) => wanted,
            What::Work(key, _) => return vec![Arc::clone(key)],
        };
        wanted.iter().map(|one| Arc::clone(&one.key)).collect()
    }

    /// Asks the server.
    pub(crate) async fn send(&self, core: &Core, client: &ClientWrapper, wait: Duration) -> Result<Reply, Error> {
        let granted = match &self.what {
            What::One(wanted) => self.send_one(core, client, wait, wanted).await?,
            What::All(wanted) => self.send_all(core, client, wait, wanted).await?,
            What::Work(key, documents) => {
                return self.send_work(core, client, wait, key, documents).await;
            }
        };
        Ok(match granted.is_empty() {
            true => Err(Refused::NotFree),
            false => Ok(granted),
        })
    }

    async fn send_work(
        &self,
        core: &Core,
        client: &ClientWrapper,
        wait: Duration,
        key: &Arc<Key>,
        documents: &Documents,
    ) -> Result<Reply, Error> {
        let params: Params<'_> = &[
            &core.service_id,
            &key.resource_type,
            &key.resource_id,
            &documents.values,
            &documents.expected,
            &documents.filter,
            &key.lock_name,
            &Interval(wait),
            &self.id,
        ];
        let mode = core.volguard.mode();
        let row = statements::START_WORK.row(client, mode, params).await?;
        let token: Option<i64> = row.try_get("token")?;
        Ok(match (token, row.try_get("outcome")?) {
            (Some(token), _) => {
                let key = Arc::clone(key);
                let row = Some(UpdatedRow::read(&row)?);
                Ok(vec![Granted { key, token, row }])
            }
            (None, "unmet") => Err(Refused::Unmet(row.try_get("unmet")?)),
            (None, "not_found") => Err(Refused::NotFound),
            (None, _) => Err(Refused::NotFree),
        })
    }

    async fn send_one(
        &self,
        core: &Core,
        client: &ClientWrapper,
        wait: Duration,
        wanted: &Wanted,
    ) -> Result<Vec<Granted>, Error> {
        let params: Params<'_> = &[
            &core.service_id,
            &wanted.key.resource_type,
            &wanted.key.resource_id,
            &wanted.key.lock_name,
            &wanted.status,
            &Interval(wait),
            &self.id,
            &wanted.details,
        ];
        let mode = core.volguard.mode();
        let row = statements::ACQUIRE.row(client, mode, params).await?;
        let token: Option<i64> = row.try_get(0)?;
        let key = || Arc::clone(&wanted.key);
        Ok(token.map(|token| Granted { key: key(), token, row: None }).into_iter().collect())
    }

    async fn send_all(
        &self,
        core: &Core,
        client: &ClientWrapper,
        wait: Duration,
        wanted: &[Wanted],
    ) -> Result<Vec<Granted>, Error> {
        let locks = Value::Array(wanted.iter().map(Wanted::to_json).collect());
        let params: Params<'_> = &[&core.service_id, &locks, &Interval(wait), &self.id];
        let mode = core.volguard.mode();
        let rows = statements::ACQUIRE_ALL.rows(client, mode, params).await?;
        let mut tokens = rows.iter().map(read).collect::<Result<HashMap<Key, i64>, Error>>()?;
        let granted = wanted.iter().filter_map(|one| {
            let token = tokens.remove(&*one.key)?;
            let key = Arc::clone(&one.key);
            let row = None;
            Some(Granted { key, token, row })
        });
        Ok(granted.collect())
    }
}

fn read(row: &Row) -> Result<(Key, i64), Error> {
    let key = Key { resource_type: row.try_get(0)?, resource_id: row.try_get(1)?, lock_name: row.try_get(2)? };
    Ok((key, row.try_get(3)?))
}
