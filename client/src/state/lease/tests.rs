//! Leases by a clock that the tests set.

use super::super::clock::SUSPENDED;
use super::*;

const LEASE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_suspension_beyond_the_lease_loses_it_and_a_heartbeat_revives_nothing() {
    let start = Instant::now();
    let lease = Lease::new(Moment::now(), LEASE);
    let sent_at = Moment::now();
    SUSPENDED.set(SECOND * 9);
    assert_eq!(lease.renew(sent_at, LEASE), Err(Loss::LeaseRanOut));
    assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
    assert_eq!(lease.lost().await, Loss::LeaseRanOut);
    assert_eq!((lease.lost_at(), Instant::now()), (start, start));
}
