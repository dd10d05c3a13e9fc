//! What becomes of the locks and the work of dead services.

pub mod answer;
pub mod ask;
pub mod attempt;
pub mod auto;
pub mod awaiting;
pub mod claim;
pub mod claim_filter;
#[expect(
    clippy::module_inception,
    reason = "a file is named after its verb, the folder after what its files have in common"
)]
pub mod cleanup;
pub mod fences;
pub mod kind;
pub mod on_crash;
pub mod on_the_way;
pub mod order;
pub mod permission;
pub mod pool;
pub mod process;
pub mod repair;
pub mod repair_for_operator;
pub mod repairs;
pub mod retry;
pub mod round;
pub mod rules;
pub mod selection;
pub mod tally;
pub mod track_resource;
pub mod trust;
