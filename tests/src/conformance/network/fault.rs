//! What befalls one call.

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The statement takes effect, its answer is thrown away, and the connection is closed. Of a call in a transaction
    /// it is the answer to the COMMIT. An answer without rows passes, and the fault waits for the next.
    LoseAnswer,
    /// The connection is closed before the server sees the statement.
    LoseCall,
    /// The connection carries nothing any more, and neither end is told.
    Mute,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) verb: &'static str,
    pub(super) fault: Fault,
}
