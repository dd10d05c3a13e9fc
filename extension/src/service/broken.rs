//! Services whose lease or heartbeat are not what volguard writes. Only a superuser can do that to them.
//!
//! They count neither as alive nor as dead: every cleanup leaves them alone, and says so.

use crate::pg::error::Error;
use crate::pg::log;
use crate::store::sql;

/// Warns of each.
pub fn warn() -> Result<(), Error> {
    let broken = sql::BROKEN_SERVICES.run(&[], |rows| {
        rows.each(|row| Some((rows.get::<i64>(row, 0)?, rows.get::<String>(row, 1)?, rows.get::<String>(row, 2)?)))
    })?;
    for (service_id, host, binary_name) in broken {
        log::warning(
            &format!("service {service_id} ({binary_name} on {host}) has a lease or a heartbeat that makes no sense"),
            Some("It is left alone. Fence it with volguard.fence_service, or register it again."),
        );
    }
    Ok(())
}
