//! Leases by a clock that the tests set.

#[cfg(target_os = "linux")]
use super::super::clock::SUSPENDED;
use super::*;
use tokio::time::advance;

const LEASE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn counts_from_before_the_heartbeat_was_sent_and_a_reply_after_the_deadline_revives_nothing() {
    let lease = Lease::new(Moment::now(), LEASE);
    let told = lease.over.child_token();
    let sent_at = Moment::now();
    advance(SECOND * 5).await; // the reply takes five seconds
    lease.renew(sent_at, LEASE).unwrap();
    assert_eq!(lease.lost_at(), sent_at.awake + SECOND * 9);
    let sent_at = Moment::now();
    advance(SECOND * 4 - Duration::from_millis(1)).await;
    assert_eq!(lease.check(), Ok(()));
    assert!(!told.is_cancelled());
    advance(Duration::from_millis(1)).await;
    assert_eq!(lease.renew(sent_at, LEASE), Err(Loss::LeaseRanOut));
    assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
    assert!(told.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_never_taken_back_nor_renamed() {
    let lease = Lease::new(Moment::now(), LEASE);
    lease.lose(Loss::Fenced);
    lease.lose(Loss::Stopped);
    assert_eq!(lease.renew(Moment::now(), LEASE), Err(Loss::Fenced));
    assert_eq!((lease.check(), lease.length()), (Err(Loss::Fenced), LEASE));
    assert!(lease.over.is_cancelled());
}

#[cfg(target_os = "linux")]
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
