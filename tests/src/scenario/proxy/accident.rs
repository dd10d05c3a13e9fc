//! What a proxy does to the messages that pass.

/// How a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The request never arrives.
    Request,
    /// The request arrives and is executed; only this many bytes of the reply get through.
    Reply {
        /// The number of bytes.
        keep: usize,
    },
}

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Reply,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Accident {
    /// Cut at a request, after this many more requests.
    Request { after: usize, cut: Cut },
    /// Cut at the next reply on this connection.
    Reply { connection: usize, keep: usize },
    /// Cut in this direction, on any connection, after this many more bytes; and again after the same number of bytes.
    Bytes { direction: Direction, after: usize, again: Again },
    /// Pass this many more messages of either direction, and then none.
    Hold { after: usize },
}

/// How often a cut is repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again {
    pub(super) after: usize,
    pub(super) times: usize,
}

/// The fate of one message.
pub(super) enum Verdict {
    Pass,
    /// This many bytes of it pass, and then the connection ends.
    Cut(usize),
    Hold,
}

impl Accident {
    /// The fate of a message of this length, and the plan after it.
    pub(super) fn meet(self, direction: Direction, connection: usize, length: usize) -> (Verdict, Option<Accident>) {
        let pass = |next| (Verdict::Pass, Some(next));
        match (self, direction) {
            (Accident::Hold { after: 0 }, _) => (Verdict::Hold, Some(self)),
            (Accident::Hold { after }, _) => pass(Accident::Hold { after: after - 1 }),
            (Accident::Request { after: 0, cut }, Direction::Request) => match cut {
                Cut::Request => (Verdict::Cut(0), None),
                Cut::Reply { keep } => pass(Accident::Reply { connection, keep }),
            },
            (Accident::Request { after, cut }, Direction::Request) => {
                let after = after - 1;
                pass(Accident::Request { after, cut })
            }
            (Accident::Reply { connection: struck, keep }, Direction::Reply) if struck == connection => {
                (Verdict::Cut(keep), None)
            }
            (Accident::Bytes { direction: planned, after, again }, _) if planned == direction => {
                match after.checked_sub(length) {
                    Some(after) => pass(Accident::Bytes { direction, after, again }),
                    None => (Verdict::Cut(after), again.of(direction)),
                }
            }
            _ => pass(self),
        }
    }
}

impl Again {
    fn of(self, direction: Direction) -> Option<Accident> {
        let times = self.times.checked_sub(1)?;
        Some(Accident::Bytes { direction, after: self.after, again: Again { times, ..self } })
    }
}
