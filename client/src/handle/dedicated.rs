//! A connection beside the pool, for one task.

use std::ops::Deref;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::connection::PATIENCE;
use super::wire::{Server, Wire};

/// Closed when it is dropped. A statement that is then under way is cancelled.
pub(crate) struct Dedicated {
    /// `None` while it is dropped.
    wire: Option<Wire>,
    server: Arc<Server>,
}

impl Dedicated {
    pub(super) fn new(wire: Wire, server: Arc<Server>) -> Dedicated {
        Dedicated { wire: Some(wire), server }
    }
}

impl Deref for Dedicated {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        self.wire.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        let Some(wire) = self.wire.take_if(|wire| wire.is_busy() && !wire.is_closed()) else { return };
        if let Ok(runtime) = Handle::try_current() {
            let server = Arc::clone(&self.server);
            runtime.spawn(async move { server.give_up(wire, PATIENCE).await });
        }
    }
}
