//! The queues that are compared, and their statements. Each but the broker changes the status of the volume in the same commit.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Volguard,
    /// `FOR UPDATE SKIP LOCKED`, as in River and graphile-worker. A manager that finds nothing asks again.
    Hand,
    /// The same in a table of the shape of `volguard.workers`, with its indexes.
    HandShape,
    /// As [`Kind::Hand`], with `NOTIFY` in each submit.
    HandNotify,
    /// The statements of pgmq's functions.
    Pgmq,
    /// RabbitMQ beside the database, as Cinder has it: the status and the message are two commits.
    Broker,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Volguard, Kind::Hand, Kind::HandShape, Kind::HandNotify, Kind::Pgmq, Kind::Broker];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Volguard => "volguard",
            Kind::Hand => "by hand",
            Kind::HandShape => "by hand, same shape",
            Kind::HandNotify => "by hand, NOTIFY",
            Kind::Pgmq => "pgmq",
            Kind::Broker => "RabbitMQ and a database",
        }
    }

    /// Of one volume: returns a row if it was submitted.
    pub fn submit(self) -> &'static str {
        match self {
            Kind::Volguard => include_str!("../../sql/queue/volguard/submit.sql"),
            Kind::Hand => include_str!("../../sql/queue/hand/submit.sql"),
            Kind::HandShape => include_str!("../../sql/queue/shape/submit.sql"),
            Kind::HandNotify => include_str!("../../sql/queue/hand/submit_and_notify.sql"),
            Kind::Pgmq => include_str!("../../sql/queue/pgmq/submit.sql"),
            Kind::Broker => include_str!("../../sql/queue/broker/submit.sql"),
        }
    }

    /// Returns the number of a piece of work, and its volume. The one of volguard waits for a second. A broker needs
    /// none.
    pub fn take(self) -> Option<&'static str> {
        match self {
            Kind::Volguard => Some(include_str!("../../sql/queue/volguard/take.sql")),
            Kind::Hand | Kind::HandNotify => Some(include_str!("../../sql/queue/hand/take.sql")),
            Kind::HandShape => Some(include_str!("../../sql/queue/shape/take.sql")),
            Kind::Pgmq => Some(include_str!("../../sql/queue/pgmq/take.sql")),
            Kind::Broker => None,
        }
    }

    /// Of the work with a number, or of the broker's with a volume: returns 1.
    pub fn finish(self) -> &'static str {
        match self {
            Kind::Volguard => include_str!("../../sql/queue/volguard/finish.sql"),
            Kind::Hand | Kind::HandNotify => include_str!("../../sql/queue/hand/finish.sql"),
            Kind::HandShape => include_str!("../../sql/queue/shape/finish.sql"),
            Kind::Pgmq => include_str!("../../sql/queue/pgmq/finish.sql"),
            Kind::Broker => include_str!("../../sql/queue/broker/finish.sql"),
        }
    }

    /// Whether `take` says which service takes the work.
    pub fn names_the_service(self) -> bool {
        self != Kind::Pgmq
    }

    /// Inserts waiting work; makes the procedure `wear`.
    pub fn preparation(self) -> [&'static str; 2] {
        match self {
            Kind::Volguard => {
                [include_str!("../../sql/queue/volguard/fill.sql"), include_str!("../../sql/queue/volguard/wear.sql")]
            }
            _ => [include_str!("../../sql/queue/hand/fill.sql"), include_str!("../../sql/queue/hand/wear.sql")],
        }
    }

    /// The tables whose rows come and go.
    pub const TABLES: &str = "volguard.workers, jobs, shaped_jobs, q_work, a_work, volumes";
}
