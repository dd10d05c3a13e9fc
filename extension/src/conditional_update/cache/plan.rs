//! Plans, prepared once for each backend and shape of statement, and kept.
//!
//! A shape has all names and types that were looked up in the catalog, so a changed table makes another shape. Postgres
//! itself watches what else a plan depends on: indexes, row-level security, the role.

use crate::conditional_update::sql::writer::{Shape, WrittenStatement};
use crate::pg::error::Error;
use crate::pg::spi::{Plan, Rows, View};
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// How many plans are kept.
const MOST_PLANS: usize = 256;
/// The length of their SQL, all together, in bytes. A plan takes about thirty times the memory of its SQL.
const MOST_SQL: usize = 256 << 10;

#[derive(Default)]
struct Plans {
    of: HashMap<Shape, Rc<Plan>>,
    sql: usize,
}

thread_local! {
    // Never dropped: no function of Postgres may be called when the backend exits.
    static PLANS: ManuallyDrop<RefCell<Plans>> = ManuallyDrop::new(RefCell::default());
}

/// Runs a statement on the user's table, as the user and in the user's transaction.
pub fn run<R>(statement: &WrittenStatement, read: impl FnOnce(&Rows) -> R) -> Result<R, Error> {
    let args = statement.bind()?;
    plan(&statement.shape)?.run(View::Transaction, &args, read)
}

/// A copy of the pointer, because the statement may fire a trigger that calls us again and forgets the plans.
pub fn plan(shape: &Shape) -> Result<Rc<Plan>, Error> {
    if let Some(plan) = PLANS.with(|plans| plans.borrow().of.get(shape).cloned()) {
        return Ok(plan);
    }
    for probe in &shape.probes {
        // Without parameters, so that the caller's SQL can't use ours.
        Plan::prepare(&probe.sql, &[]).map_err(|error| error.at(&probe.path))?;
    }
    let plan = Rc::new(Plan::prepare(&shape.sql, &shape.types)?);
    PLANS.with(|plans| plans.borrow_mut().keep(shape.clone(), Rc::clone(&plan)));
    Ok(plan)
}

impl Plans {
    fn keep(&mut self, shape: Shape, plan: Rc<Plan>) {
        self.sql += shape.sql.len();
        if self.of.len() >= MOST_PLANS || self.sql > MOST_SQL {
            // An application has few shapes. With hundreds of them a better choice would gain nothing.
            self.of.clear();
            self.sql = shape.sql.len();
        }
        self.of.insert(shape, plan);
    }
}
