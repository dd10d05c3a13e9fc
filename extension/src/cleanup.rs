//! What becomes of the locks and the work of dead services.

pub mod auto;
pub mod claim;
pub mod claim_request;
#[expect(
    clippy::module_inception,
    reason = "a file is named after its verb, the folder after what its files have in common"
)]
pub mod cleanup;
pub mod failures;
pub mod kind;
pub mod on_the_way;
pub mod pool;
pub mod repair;
pub mod rules;
pub mod tally;
