//! Messages of Postgres' protocol, version 3.

use std::collections::HashMap;

/// Bytes that have come and are no whole message yet.
#[derive(Debug, Default)]
pub(super) struct Inbox(Vec<u8>);

/// A message as it came. The first ones of a client have no tag.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) tag: Option<u8>,
    pub(super) bytes: Vec<u8>,
}

impl Inbox {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next message, if it is complete.
    pub(super) fn next(&mut self, tagged: bool) -> Option<Message> {
        let header = usize::from(tagged);
        let length: [u8; 4] = self.0.get(header..header + 4)?.try_into().ok()?;
        let end = header + usize::try_from(u32::from_be_bytes(length)).ok()?;
        if self.0.len() < end {
            return None;
        }
        let bytes: Vec<u8> = self.0.drain(..end).collect();
        Some(Message { tag: tagged.then(|| bytes[0]), bytes })
    }
}

/// What the first messages of a client ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// TLS, or encryption by GSSAPI.
    Encryption,
    Cancel,
    Session,
}

impl Message {
    /// What is behind tag and length.
    fn body(&self) -> &[u8] {
        &self.bytes[4 + usize::from(self.tag.is_some())..]
    }

    pub(super) fn opening(&self) -> Opening {
        match self.body() {
            [0x04, 0xd2, 0x16, 0x2e, ..] => Opening::Cancel,
            [0x04, 0xd2, 0x16, 0x2f | 0x30, ..] => Opening::Encryption,
            _ => Opening::Session,
        }
    }

    /// The state of the transaction that a ReadyForQuery tells: `I` is outside of one.
    pub(super) fn is_outside_of_transaction(&self) -> bool {
        self.body() == b"I"
    }

    /// The SQLSTATE of an ErrorResponse.
    pub(super) fn sqlstate(&self) -> Option<String> {
        let mut fields = self.body().split(|byte| *byte == 0);
        let code = fields.find_map(|field| field.strip_prefix(b"C"))?;
        Some(String::from_utf8_lossy(code).into_owned())
    }
}

/// The prepared statements of a connection, by name.
#[derive(Debug, Default)]
pub(super) struct Statements(HashMap<Vec<u8>, String>);

impl Statements {
    /// The text of the statement that a client's message executes.
    pub(super) fn executed_by(&mut self, message: &Message) -> Option<String> {
        let mut parts = message.body().split(|byte| *byte == 0);
        match message.tag? {
            b'Q' => text(parts.next()?),
            b'P' => {
                let name = parts.next()?.to_vec();
                self.0.insert(name, text(parts.next()?)?);
                None
            }
            // After the name of the portal.
            b'B' => self.0.get(parts.nth(1)?).cloned(),
            _ => None,
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "for `?` and match arms of one type")]
fn text(bytes: &[u8]) -> Option<String> {
    Some(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    #[test]
    fn messages_are_told_apart_wherever_the_bytes_were_split() {
        let bytes = [message(b'Q', b"SELECT 1\0"), message(b'S', b"")].concat();
        for split in 0..bytes.len() {
            let mut inbox = Inbox::default();
            inbox.add(&bytes[..split]);
            let mut tags = Vec::new();
            while let Some(message) = inbox.next(true) {
                tags.push(message.tag);
            }
            inbox.add(&bytes[split..]);
            while let Some(message) = inbox.next(true) {
                tags.push(message.tag);
            }
            assert_eq!(tags, [Some(b'Q'), Some(b'S')], "split at {split}");
        }
    }

    #[test]
    fn a_prepared_statement_is_known_by_its_name() {
        let mut statements = Statements::default();
        let mut execute = |tag, body: &[u8]| {
            let bytes = message(tag, body);
            statements.executed_by(&Message { tag: Some(tag), bytes })
        };
        assert_eq!(execute(b'P', b"s1\0SELECT 1\0\0\0"), None);
        assert_eq!(execute(b'P', b"\0SELECT 2\0\0\0"), None);
        assert_eq!(execute(b'B', b"portal\0s1\0\0\0").as_deref(), Some("SELECT 1"));
        assert_eq!(execute(b'B', b"\0\0\0\0").as_deref(), Some("SELECT 2"));
        assert_eq!(execute(b'Q', b"SELECT 3\0").as_deref(), Some("SELECT 3"));
    }
}
