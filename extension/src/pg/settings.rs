//! Every setting of the extension. All are under the reserved prefix `volguard`.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;
use std::time::Duration;

/// `volguard.service_down_time`: the lease of a service that registers without one. Milliseconds; default 60 s.
/// Read at registration; a registered service keeps its lease.
static SERVICE_DOWN_TIME: GucSetting<i32> = GucSetting::<i32>::new(60_000);

/// `volguard.max_wait`: the longest `wait` of a call. Milliseconds; default 10 min.
static MAX_WAIT: GucSetting<i32> = GucSetting::<i32>::new(10 * 60 * 1000);

/// `volguard.max_waiters`: how many calls of the whole server may wait at a time. Default 0: half of `max_connections`.
static MAX_WAITERS: GucSetting<i32> = GucSetting::<i32>::new(0);

/// `volguard.gate_patience`: how long after the end of its lease a dead service's session may idle in a transaction
/// that holds the service lock, before a cleanup ends the session. Milliseconds; default -1: one lease of the service;
/// 0 never.
static GATE_PATIENCE: GucSetting<i32> = GucSetting::<i32>::new(-1);

/// `volguard.auto_cleanup`: whether dead services are cleaned up by an `acquire` that meets one, by `auto_cleanup()`
/// and by the background worker. Default on. The worker reads the value of its database.
static AUTO_CLEANUP: GucSetting<bool> = GucSetting::<bool>::new(true);

/// `volguard.rule_timeout`: how long one statement of a crash rule may take. Milliseconds; default 5 s. The work of a
/// rule that takes longer waits, and is tried again later.
static RULE_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(5000);

/// `volguard.service_retention`: how long a fenced service without rows stays visible before a cleanup removes it.
/// Seconds; default 1 day.
static SERVICE_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(24 * 60 * 60);

/// `volguard.request_retention`: how long the request id of submitted work is remembered after its end. Seconds;
/// default an hour.
static REQUEST_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(60 * 60);

/// `volguard.event_retention`: how long events are kept. Seconds; default 7 days; 0 keeps none.
static EVENT_RETENTION: GucSetting<i32> = GucSetting::<i32>::new(7 * 24 * 60 * 60);

/// `volguard.max_events`: how many events are kept, give or take a hundred. Default 10,000; 0 keeps none.
static MAX_EVENTS: GucSetting<i32> = GucSetting::<i32>::new(10_000);

/// `volguard.cleanup_interval`: how long the background worker sleeps between two cleanups. Milliseconds; default 10 s.
/// The worker, which exists only with `shared_preload_libraries`, reads this setting and the next one at each reload of
/// the configuration.
static CLEANUP_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(10_000);

/// `volguard.database`: the database in which the background worker cleans up. Default `postgres`.
static DATABASE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"postgres"));

/// As that of a lease that is passed. Milliseconds.
const SHORTEST_LEASE: i32 = 100;

/// A shorter limit would be one for the server's load. Milliseconds.
const SHORTEST_RULE: i32 = 10;

/// Each cleanup starts a process. Milliseconds.
const SHORTEST_INTERVAL: i32 = 100;

pub fn register() {
    GucRegistry::define_int_guc(
        c"volguard.service_down_time",
        c"Lease of a service that registers without one.",
        c"A service that sends no heartbeat for this long is down, and a cleanup fences it.",
        &SERVICE_DOWN_TIME,
        SHORTEST_LEASE,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"volguard.max_wait",
        c"The longest wait of a call.",
        c"A longer one is refused: most often it is a number of milliseconds that was taken for seconds.",
        &MAX_WAIT,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"volguard.max_waiters",
        c"How many calls may wait at a time, on the whole server.",
        c"One more is refused. 0 means half of max_connections.",
        &MAX_WAITERS,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"volguard.gate_patience",
        c"How long a session may idle in a transaction that keeps a dead service from being fenced.",
        c"Counted from the end of the service's lease; then a cleanup ends the session. -1 means one lease of the service, 0 never.",
        &GATE_PATIENCE,
        -1,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_bool_guc(
        c"volguard.auto_cleanup",
        c"Cleans up dead services when an acquire meets one, in auto_cleanup and in the background worker.",
        c"When off, only an explicit volguard.cleanup() frees the locks of dead services.",
        &AUTO_CLEANUP,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"volguard.rule_timeout",
        c"How long one statement of a crash rule may take.",
        c"It is cancelled then. Its work waits, and is tried again later.",
        &RULE_TIMEOUT,
        SHORTEST_RULE,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"volguard.service_retention",
        c"How long a fenced service without rows stays visible.",
        c"The next cleanup after that time removes it. Fenced and unknown services are refused alike.",
        &SERVICE_RETENTION,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"volguard.request_retention",
        c"How long the request id of submitted work is remembered after the work has ended.",
        c"A repeated submit_work within that time does not begin the work again.",
        &REQUEST_RETENTION,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"volguard.event_retention",
        c"How long events are kept.",
        c"New events and cleanups remove older ones. 0 keeps none; the server's log has them all the same.",
        &EVENT_RETENTION,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"volguard.max_events",
        c"How many events are kept, give or take a hundred.",
        c"Beyond that number the oldest are removed. 0 keeps none.",
        &MAX_EVENTS,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"volguard.cleanup_interval",
        c"How long the background worker sleeps between two cleanups.",
        c"The worker exists only if shared_preload_libraries lists volguard.",
        &CLEANUP_INTERVAL,
        SHORTEST_INTERVAL,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_string_guc(
        c"volguard.database",
        c"The database in which the background worker cleans up.",
        c"Both the database and the extension in it may be created later.",
        &DATABASE,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // Makes a misspelt `volguard.…` an error instead of a new setting.
    // SAFETY: a constant C string.
    unsafe { pgrx::pg_sys::MarkGUCPrefixReserved(c"volguard".as_ptr()) };
}

pub fn service_down_time_ms() -> i32 {
    SERVICE_DOWN_TIME.get()
}

pub fn max_wait() -> Duration {
    Duration::from_millis(MAX_WAIT.get().cast_unsigned().into())
}

pub fn max_waiters() -> u64 {
    // SAFETY: a plain variable of the backend, set when the server starts.
    let half_of_all = unsafe { pgrx::pg_sys::MaxConnections } / 2;
    match MAX_WAITERS.get() {
        0 => half_of_all.max(1).unsigned_abs().into(),
        seats => seats.unsigned_abs().into(),
    }
}

/// `None` for one lease of the service; zero for never.
pub fn gate_patience() -> Option<Duration> {
    u64::try_from(GATE_PATIENCE.get()).ok().map(Duration::from_millis)
}

pub fn auto_cleanup() -> bool {
    AUTO_CLEANUP.get()
}

pub fn rule_timeout() -> Duration {
    Duration::from_millis(RULE_TIMEOUT.get().cast_unsigned().into())
}

pub fn service_retention_s() -> i32 {
    SERVICE_RETENTION.get()
}

pub fn request_retention_s() -> i32 {
    REQUEST_RETENTION.get()
}

pub fn event_retention_s() -> i32 {
    EVENT_RETENTION.get()
}

pub fn max_events() -> i32 {
    MAX_EVENTS.get()
}

pub fn cleanup_interval() -> Duration {
    Duration::from_millis(CLEANUP_INTERVAL.get().cast_unsigned().into())
}

pub fn database() -> CString {
    DATABASE.get().unwrap_or_default()
}
