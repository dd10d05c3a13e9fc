//! The rows that are in the way of a lock, and what is to be said of them.

use super::sentence::{excerpt, short, span};
use super::waiting::InFront;
use crate::pg::error::Error;
use crate::pg::settings;
use crate::pg::spi::{Rows, arg};
use crate::service::patience;
use crate::store::sql;
use crate::wait::bell::Ring;

/// A row of `workers`, with its service.
pub struct Holder {
    resource_type: String,
    pub lock_name: String,
    token: i64,
    status: Option<String>,
    /// Zero: none.
    service_id: i64,
    cluster: String,
    crashed_service_id: Option<i64>,
    awaiting_reason: Option<String>,
    retry_in: Option<f64>,
    acquired_at: String,
    held_for: f64,
    host: String,
    binary_name: String,
    state: State,
    rule: Rule,
    submitted: Option<SubmittedWork>,
}

/// What `why` tells of submitted work.
struct SubmittedWork {
    work_id: i64,
    operation: String,
    host: String,
    attempt: i32,
    priority: i32,
    /// Seconds until it may be taken.
    due_in: f64,
    submitted_by: String,
    cluster_exists: bool,
    disabled: bool,
    /// Services that are up and not disabled in its cluster, on its host if it is for one.
    takers: i64,
}

/// The crash rule of the work.
enum Rule {
    None,
    Works,
    /// It does not run, for this reason.
    Suspended(String),
}

/// The state of its service; times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Its lease ends after this time.
    Up(f64),
    Down {
        since: f64,
        lease: f64,
    },
    FencedSince(f64),
    /// A superuser has given it a lease or a heartbeat that makes no sense.
    Broken,
    /// It has no row.
    Gone,
    /// There is none: the work waits for one.
    Waiting,
}

impl Holder {
    /// The row of the key, and that of the work slot, if it is another one.
    pub fn find(resource_type: &str, resource_id: &str, lock_name: &str) -> Result<Vec<Self>, Error> {
        let key = [arg(resource_type), arg(resource_id), arg(lock_name)];
        sql::WHO_HOLDS.run(&key, |rows| rows.each(|row| Holder::read(resource_type, rows, row)))
    }

    fn read(resource_type: &str, rows: &Rows, row: usize) -> Option<Self> {
        let text = |column| rows.get::<String>(row, column);
        let since: Option<f64> = rows.get(row, 13);
        let state = match (text(12)?.as_str(), since) {
            ("fenced", Some(since)) => State::FencedSince(since),
            ("down", Some(since)) => State::Down { since, lease: rows.get(row, 14)? },
            ("up", Some(since)) => State::Up(-since),
            ("broken", _) => State::Broken,
            ("waiting", _) => State::Waiting,
            _ => State::Gone,
        };
        Some(Holder {
            resource_type: resource_type.to_owned(),
            lock_name: text(0)?,
            token: rows.get(row, 1)?,
            status: text(2),
            service_id: rows.get(row, 3).unwrap_or_default(),
            cluster: text(4)?,
            crashed_service_id: rows.get(row, 5),
            awaiting_reason: text(6),
            retry_in: rows.get(row, 7),
            acquired_at: text(8)?,
            held_for: rows.get(row, 9)?,
            host: text(10).unwrap_or_default(),
            binary_name: text(11).unwrap_or_default(),
            state,
            rule: match text(15) {
                None => Rule::None,
                Some(reason) if reason.is_empty() => Rule::Works,
                Some(reason) => Rule::Suspended(reason),
            },
            submitted: SubmittedWork::read(rows, row),
        })
    }

    /// Who it is, its state, what a cleanup would do, and what an operator can do.
    pub fn describe(&self, what: &str, is_committed: bool) -> Result<Vec<String>, Error> {
        if let (State::Waiting, Some(work)) = (self.state, &self.submitted) {
            return self.describe_waiting(what, is_committed, work);
        }
        let Holder { token, service_id, .. } = self;
        let mut lines = vec![
            format!("{what} is held,"),
            match is_committed {
                true => format!("  since {} (for {}), committed.", self.acquired_at, span(self.held_for)),
                false => format!("  for {}, by this very transaction, not committed.", span(self.held_for)),
            },
            format!("Its holder is service {service_id}: {}.", self.service()),
        ];
        lines.push(match &self.status {
            None => format!("It is a plain lock; its token is {token}."),
            Some(status) => match &self.submitted {
                None => format!("It is work with the status {}; its token is {token}.", short(status)),
                Some(SubmittedWork { work_id, submitted_by, attempt, .. }) => format!(
                    "It is work {work_id}, submitted by {}, attempt {attempt}, with the status {}; its token is {token}.",
                    short(submitted_by),
                    short(status)
                ),
            },
        });
        if let Some(crashed) = self.crashed_service_id {
            lines.push(format!("The work was left by service {crashed}; this service has claimed its cleanup."));
        }
        lines.push(self.life());
        lines.extend(self.gate()?);
        lines.extend(self.future());
        lines.push(self.advice());
        Ok(lines)
    }

    /// Work that no service has yet: who may take it, and why none does.
    fn describe_waiting(&self, what: &str, is_committed: bool, work: &SubmittedWork) -> Result<Vec<String>, Error> {
        let status = self.status.as_deref().unwrap_or_default();
        let mut lines = vec![
            format!("{what} is taken by work that waits for a service,"),
            match is_committed {
                true => format!("  since {} (for {}), committed.", self.acquired_at, span(self.held_for)),
                false => format!("  for {}, submitted by this very transaction, not committed.", span(self.held_for)),
            },
            format!(
                "It is work {}, submitted by {}, with the status {}.",
                work.work_id,
                short(&work.submitted_by),
                short(status)
            ),
            match work.operation.as_str() {
                "" => format!("It names no operation; priority {}, attempt {}.", work.priority, work.attempt),
                operation => {
                    format!(
                        "Its operation is {}, priority {}, attempt {}.",
                        short(operation),
                        work.priority,
                        work.attempt
                    )
                }
            },
        ];
        let place = match work.host.as_str() {
            "" => format!("cluster {}", short(&self.cluster)),
            host => format!("cluster {} on host {}", short(&self.cluster), short(host)),
        };
        lines.push(match work.takers {
            _ if !work.cluster_exists => format!("The cluster {} does not exist.", short(&self.cluster)),
            _ if work.disabled => {
                format!("The cluster {} is disabled: its services take no work.", short(&self.cluster))
            }
            0 => format!("No service of {place} is up and takes work."),
            1 => format!("1 service of {place} is up, and may take it with next_work."),
            many => format!("{many} services of {place} are up, and may take it with next_work."),
        });
        if work.due_in > 0.0 {
            lines.push(format!("It may be taken in {}.", span(work.due_in)));
        }
        let ring = Ring::of(&self.cluster, &work.host, &self.resource_type, &work.operation);
        lines.push(match ring.waiting()? {
            0 => "No call of next_work waits for such work at this moment.".to_owned(),
            1 => "1 call of next_work waits for such work.".to_owned(),
            many => format!("{many} calls of next_work wait for such work."),
        });
        lines.push(format!("To take it out of the queue: SELECT volguard.cancel_work({});", work.work_id));
        Ok(lines)
    }

    fn service(&self) -> String {
        match self.state {
            State::Gone => "its row is gone".to_owned(),
            _ => format!("{} on {}, cluster {}", short(&self.binary_name), short(&self.host), short(&self.cluster)),
        }
    }

    fn life(&self) -> String {
        match self.state {
            State::Up(left) => {
                format!("The service is alive; its lease ends in {}, unless it sends a heartbeat.", span(left))
            }
            State::Down { since, .. } => format!("The service is down: its lease is over for {}.", span(since)),
            State::FencedSince(since) => {
                format!("The service is fenced, for {}: it can do nothing any more.", span(since))
            }
            State::Broken => {
                "Its lease or heartbeat makes no sense: no cleanup fences it. See fence_service.".to_owned()
            }
            State::Gone | State::Waiting => "The service is unknown, which counts as fenced.".to_owned(),
        }
    }

    /// What keeps a dead service from being fenced.
    fn gate(&self) -> Result<Vec<String>, Error> {
        let State::Down { since, lease } = self.state else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::new();
        for entry in patience::holders(self.service_id)? {
            match InFront::of(&entry) {
                InFront { pid: 0, .. } => lines.extend([
                    "A prepared transaction keeps the service from being fenced (pg_prepared_xacts has it):".to_owned(),
                    "  end it by COMMIT PREPARED or ROLLBACK PREPARED.".to_owned(),
                ]),
                front => {
                    lines.push(format!("{} keeps the service from being fenced.", front.describe()));
                    lines.push(match settings::gate_patience() {
                        Some(never) if never.is_zero() => {
                            format!(
                                "  No cleanup ends it (volguard.gate_patience is 0): pg_terminate_backend({}).",
                                front.pid
                            )
                        }
                        patience => {
                            let patience = patience.map_or(lease, |patience| patience.as_secs_f64());
                            match patience - since {
                                left if left > 0.0 => format!("  If it idles, a cleanup ends it in {}.", span(left)),
                                _ => "  If it idles, the next cleanup ends it.".to_owned(),
                            }
                        }
                    });
                }
            }
        }
        Ok(lines)
    }

    /// What a cleanup does, and when.
    fn future(&self) -> Vec<String> {
        let by_itself = match settings::auto_cleanup() {
            true => "the next cleanup, or acquire of this lock,",
            false => "only an explicit cleanup (volguard.auto_cleanup is off)",
        };
        let alive = matches!(self.state, State::Up(_));
        let mut lines = match (&self.status, alive, &self.rule) {
            (None, true, _) => vec!["If it dies, the lock is free at the end of its lease.".to_owned()],
            (None, false, _) => vec![format!("{} frees it.", capitalised(by_itself))],
            (Some(_), true, Rule::Works) => {
                vec!["If it dies, its crash rule repairs the work after the end of its lease.".to_owned()]
            }
            (Some(_), false, Rule::Works) => vec![format!("{} repairs it by its crash rule.", capitalised(by_itself))],
            (Some(_), _, Rule::Suspended(reason)) => {
                vec![format!("Its crash rule is suspended: {reason}. No cleanup repairs the work.")]
            }
            (Some(_), true, Rule::None) => {
                vec!["It has no crash rule: if the service dies, the work waits for claim_cleanup.".to_owned()]
            }
            (Some(_), false, Rule::None) => {
                vec!["It has no crash rule: no cleanup frees it, and it waits for claim_cleanup.".to_owned()]
            }
        };
        if let Some(reason) = &self.awaiting_reason {
            lines.push(format!("The last cleanup could not repair it: {}", excerpt(reason)));
        }
        match self.retry_in {
            Some(wait) if wait > 0.0 => lines.push(format!("The next try is in {}.", span(wait))),
            Some(_) => lines.push("The next cleanup tries again.".to_owned()),
            None => {}
        }
        lines
    }

    fn advice(&self) -> String {
        match (&self.status, self.state) {
            (_, State::Up(_)) => format!("To take it away: SELECT volguard.force_release({}, '<reason>');", self.token),
            // force_release asks whose the service is.
            (_, State::Gone | State::Waiting) => {
                "To free it by hand, once it is repaired: volguard.reset_resource.".to_owned()
            }
            (Some(_), _) if !matches!(self.rule, Rule::Works) => {
                let what = match self.rule {
                    Rule::Suspended(_) => "Confirm the rule, as the table's owner (volguard.on_crash)",
                    _ => "Set a rule (volguard.on_crash)",
                };
                format!("{what}, or: SELECT volguard.force_release({}, '<reason>');", self.token)
            }
            _ => format!("To clean up now: SELECT * FROM volguard.cleanup(service_id => {});", self.service_id),
        }
    }
}

impl SubmittedWork {
    fn read(rows: &Rows, row: usize) -> Option<Self> {
        let text = |column| rows.get::<String>(row, column).unwrap_or_default();
        Some(SubmittedWork {
            work_id: rows.get(row, 16)?,
            operation: text(17),
            host: text(18),
            attempt: rows.get(row, 19).unwrap_or_default(),
            priority: rows.get(row, 20).unwrap_or_default(),
            due_in: rows.get(row, 21).unwrap_or_default(),
            submitted_by: text(22),
            cluster_exists: rows.get(row, 23).unwrap_or_default(),
            disabled: rows.get(row, 24).unwrap_or_default(),
            takers: rows.get(row, 25).unwrap_or_default(),
        })
    }
}

fn capitalised(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}
