//! One line of a volume's journal.

use std::fmt;

use crate::operation::Operation;

/// Every record has this length, which divides a page: a process killed while it writes one leaves all of it or nothing.
pub const LENGTH: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A manager enters the volume.
    Begin,
    /// It is about to change something.
    Write,
    /// It is through and leaves.
    End,
}

/// Who does what under which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub mark: Mark,
    pub token: i64,
    pub service_id: i64,
    pub operation: Operation,
    /// The database's clock when the lock was held already and the volume not yet touched, in microseconds.
    pub at: i64,
    pub note: String,
}

impl Mark {
    fn name(self) -> &'static str {
        match self {
            Mark::Begin => "begin",
            Mark::Write => "write",
            Mark::End => "end",
        }
    }
}

impl Record {
    /// The line, padded with spaces. A note that is too long is cut off.
    pub fn to_line(&self) -> [u8; LENGTH] {
        let text = self.to_string();
        let mut line = [b' '; LENGTH];
        let length = text.len().min(LENGTH - 1);
        line[..length].copy_from_slice(&text.as_bytes()[..length]);
        line[LENGTH - 1] = b'\n';
        line
    }

    /// `None` for what is no record.
    pub fn parse(line: &[u8]) -> Option<Record> {
        let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let mut words = text.split_whitespace();
        let mark = match words.next()? {
            "begin" => Mark::Begin,
            "write" => Mark::Write,
            "end" => Mark::End,
            _ => return None,
        };
        let mut field = |name| words.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Record {
            mark,
            token: field("token")?.parse().ok()?,
            service_id: field("service")?.parse().ok()?,
            operation: field("operation")?.parse().ok()?,
            at: field("at")?.parse().ok()?,
            note: words.collect::<Vec<_>>().join(" "),
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} token={} service={} operation={} at={}",
            self.mark.name(),
            self.token,
            self.service_id,
            self.operation,
            self.at
        )?;
        match self.note.as_str() {
            "" => Ok(()),
            note => write!(f, " {note}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(note: &str) -> Record {
        Record {
            mark: Mark::Write,
            token: i64::MAX,
            service_id: 42,
            operation: Operation::Snapshot,
            at: 1_763_812_345_123_456,
            note: note.to_owned(),
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let record = record("copy 3/7");
        assert_eq!(Record::parse(&record.to_line()), Some(record));
    }

    #[test]
    fn keeps_its_length_whatever_the_note() {
        let line = record(&"x".repeat(500)).to_line();
        assert_eq!(line.last(), Some(&b'\n'));
        assert!(Record::parse(&line).is_some());
    }

    #[test]
    fn refuses_what_is_torn() {
        let line = record("copy 3/7").to_line();
        assert_eq!(Record::parse(&line[..LENGTH / 2]), None);
        assert_eq!(Record::parse(&[b' '; LENGTH]), None);
    }
}
