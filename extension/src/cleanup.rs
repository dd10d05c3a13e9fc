//! What becomes of the locks and the work of dead services.

pub mod auto;
pub mod claim;
pub mod claim_rules;
pub mod claimed;
pub mod cleanup;
pub mod failures;
pub mod on_the_way;
pub mod pool;
pub mod repair;
pub mod rules;
pub mod tally;
pub mod work;
