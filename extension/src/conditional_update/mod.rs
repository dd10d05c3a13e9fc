//! STAND-IN by the lead until the author's own mod.rs arrives: replace the whole file.
use crate::error::Error;
use pgrx::pg_sys::Oid;
pub struct RulePlan;
impl RulePlan {
    pub fn prepare(
        _t: Oid,
        _v: Option<&serde_json::Value>,
        _i: &str,
        _s: &str,
    ) -> Result<Self, Error> {
        Ok(RulePlan)
    }
    pub fn run(&self, _i: &str, _s: &str) -> Result<u64, Error> {
        Ok(1)
    }
}
pub fn validate_values(_t: Oid, _v: &serde_json::Value) -> Result<(), Error> {
    Ok(())
}
pub fn relation_name(t: Oid) -> String {
    t.to_string()
}
