//! The sections.

use super::Kind::{Age, Number, Text, Time, Word};
use super::{Column, Section};

/// All of them, in the order in which the live screen has them.
pub(crate) static ALL: [&Section; 6] = [&CLUSTERS, &SERVICES, &LOCKS, &WAITERS, &WORK, &EVENTS];

/// A type and an id as one text, as the command line takes them.
const RESOURCE: &str = "resource_type || '/' || resource_id";

pub(crate) static CLUSTERS: Section = Section {
    name: "clusters",
    rows: "clusters",
    from: "volguard.cluster_status AS v",
    columns: &[
        Column::new("CLUSTER", "cluster", Text, 0),
        Column::new("STATE", "state", Word, 0),
        Column::new("UP", "services_up", Number, 0),
        Column::new("DOWN", "services_down", Number, 0),
        Column::new("LOCKS", "held_locks", Number, 0),
        Column::new("WAITING", "waiting_work", Number, 0),
        Column::new("HEARTBEAT", "date_part('epoch', clock_timestamp() - last_heartbeat)::bigint", Age, 1),
        Column::new("OWNER", "owner", Text, 3),
        Column::new("NOTE", "CASE WHEN disabled THEN concat_ws(': ', 'disabled', disabled_reason) END", Text, 2),
    ],
    order: "state, cluster",
};

pub(crate) static SERVICES: Section = Section {
    name: "services",
    rows: "services",
    from: "(SELECT * FROM volguard.service_status WHERE state <> 'fenced' OR held_locks > 0) AS v",
    columns: &[
        Column::new("HOST", "host", Text, 0),
        Column::new("PROGRAM", "binary_name", Text, 1),
        Column::new("CLUSTER", "cluster", Text, 2),
        Column::new("STATE", "state", Word, 0),
        Column::new("HEARTBEAT", "date_part('epoch', silent_for)::bigint", Age, 0),
        Column::new("LEASE", "date_part('epoch', lease)::bigint", Age, 3),
        Column::new("LOCKS", "held_locks", Number, 0),
        Column::new("SERVICE", "service_id", Number, 5),
        Column::new("NOTE", "CASE WHEN disabled THEN concat_ws(': ', 'disabled', disabled_reason) END", Text, 4),
    ],
    order: "state = 'up', state, host, binary_name, service_id",
};

pub(crate) static LOCKS: Section = Section {
    name: "locks",
    rows: "locks",
    from: "(SELECT * FROM volguard.lock_status WHERE service_id IS NOT NULL) AS v",
    columns: &[
        Column::new("RESOURCE", RESOURCE, Text, 0),
        Column::new("LOCK", "nullif(lock_name, '')", Text, 3),
        Column::new("STATUS", "status", Text, 0),
        Column::new("HOLDER", "host", Text, 0),
        Column::new("ALIVE", "CASE WHEN alive THEN 'yes' ELSE 'dead' END", Word, 0),
        Column::new("HELD", "date_part('epoch', held_for)::bigint", Age, 0),
        Column::new("TOKEN", "token", Number, 4),
        Column::new("AWAITING", "awaiting_reason", Text, 2),
    ],
    order: "alive, acquired_at, token",
};

pub(crate) static WAITERS: Section = Section {
    name: "waiters",
    rows: "waiters",
    from: "volguard.waiters AS v",
    columns: &[
        Column::new("WANTS", "coalesce(concat_ws('/', resource_type, resource_id), '')", Text, 0),
        Column::new("LOCK", "nullif(lock_name, '')", Text, 4),
        Column::new("FOR", "waits_for", Word, 1),
        Column::new("PLACE", "place", Number, 0),
        Column::new("WAITER", "host", Text, 0),
        Column::new("WAITED", "date_part('epoch', waited)::bigint", Age, 0),
        Column::new("HOLDER", "holder_host", Text, 0),
        Column::new("ALIVE", "CASE holder_alive WHEN true THEN 'yes' WHEN false THEN 'dead' END", Word, 2),
        Column::new("PID", "pid", Number, 3),
    ],
    order: "waits_for = 'work', resource_type, resource_id, lock_name, waits_for, place",
};

static WORK: Section = Section {
    name: "waiting work",
    rows: "waiting work",
    from: "(SELECT * FROM volguard.lock_status WHERE service_id IS NULL) AS v",
    columns: &[
        Column::new("RESOURCE", RESOURCE, Text, 0),
        Column::new("OPERATION", "operation", Text, 0),
        Column::new("STATUS", "status", Text, 2),
        Column::new("CLUSTER", "cluster", Text, 0),
        Column::new("FOR HOST", "for_host", Text, 3),
        Column::new("PRIORITY", "priority", Number, 1),
        Column::new("ATTEMPT", "attempt", Number, 2),
        Column::new("WAITS", "date_part('epoch', held_for)::bigint", Age, 0),
        Column::new(
            "DUE IN",
            "nullif(greatest(date_part('epoch', not_before - clock_timestamp()), 0)::bigint, 0)",
            Age,
            1,
        ),
        Column::new("WORK", "work_id", Number, 4),
    ],
    order: "priority DESC, not_before, work_id",
};

pub(crate) static EVENTS: Section = Section {
    name: "events",
    rows: "events",
    from: "volguard.event_log AS v",
    columns: &[
        Column::new("AT", "at", Time, 0),
        Column::new("KIND", "kind", Word, 0),
        Column::new("CLUSTER", "cluster", Text, 3),
        Column::new("RESOURCE", RESOURCE, Text, 0),
        Column::new("SERVICE", "service_id", Number, 4),
        Column::new("ROLE", "role", Text, 2),
        Column::new("DETAILS", "nullif(details, '{}')", Text, 1),
    ],
    order: "event_id DESC",
};
