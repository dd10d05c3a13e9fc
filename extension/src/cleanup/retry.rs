//! Submitted work of dead services that is to be tried again: it goes back into its queue, which needs no code of the
//! user.

use crate::pg::error::Error;
use crate::pg::spi::{Rows, arg};
use crate::sabotage::{self, Guard};
use crate::store::events::{self, Event, EventKind};
use crate::store::sql;
use crate::wait::bell::Ring;
use serde_json::json;
use std::collections::BTreeMap;

/// A row that was put back.
struct Retried {
    cluster: String,
    resource_type: String,
    status: String,
    token: i64,
    service_id: i64,
}

/// Puts work back, of these tokens, whose services are fenced. The tokens of what was put back.
pub fn put_back(tokens: &[i64]) -> Result<Vec<i64>, Error> {
    if sabotage::removed(Guard::RetryFirst) {
        return Ok(Vec::new());
    }
    let retried = sql::RETRY.run(&[arg(tokens.to_vec())], |rows| rows.each(|row| Retried::read(rows, row)))?;
    let mut counts: BTreeMap<(i64, &str, &str, &str), usize> = BTreeMap::new();
    for work in &retried {
        *counts.entry((work.service_id, &work.cluster, &work.resource_type, &work.status)).or_default() += 1;
    }
    for ((service_id, cluster, resource_type, status), count) in counts {
        events::record(&Event {
            cluster: Some(cluster),
            service_id: Some(service_id),
            details: json!({"resource_type": resource_type, "status": status, "resources_retried": count}),
            ..Event::of(EventKind::Cleaned)
        })?;
    }
    Ok(retried.into_iter().map(|work| work.token).collect())
}

impl Retried {
    /// Rings for it, too.
    fn read(rows: &Rows, row: usize) -> Option<Self> {
        let text = |column| rows.get::<String>(row, column);
        let (cluster, resource_type) = (text(0)?, text(2)?);
        Ring::of(&cluster, &text(1)?, &resource_type, &text(3)?).after_commit();
        Some(Retried {
            cluster,
            resource_type,
            status: text(6)?,
            token: rows.get(row, 4)?,
            service_id: rows.get(row, 5)?,
        })
    }
}
