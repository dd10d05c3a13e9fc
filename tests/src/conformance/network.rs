//! The network between a program and its server: a proxy that reads Postgres' protocol, so that it can lose the answer
//! to one verb and keep a record of all calls.

mod carry;
mod fault;
mod record;
mod wire;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::fault::Fault;
use self::fault::Planned;
pub use self::record::Call;

/// A proxy on a port of 127.0.0.1. It passes everything on until it is told otherwise.
#[derive(Debug)]
pub struct Network {
    port: u16,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Control {
    server_port: u16,
    state: watch::Sender<State>,
    books: Mutex<Books>,
    /// Changes whenever a fault has struck.
    struck: watch::Sender<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Nothing is carried, in either direction, and neither end is told.
    blocked: bool,
    /// Connections are closed as soon as they come.
    refusing: bool,
    /// Connections up to this number are closed.
    cut: usize,
    /// Connections up to this number are closed to the program.
    hung_up: usize,
    /// Calls of this verb do not reach the server.
    held: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Books {
    connections: usize,
    calls: Vec<Call>,
    /// The next fault, until it strikes.
    planned: Option<Planned>,
    /// Each connection that calls this verb is mute from then on.
    muted: Option<&'static str>,
    /// Answers to this verb take so much longer.
    delayed: Option<(&'static str, Duration)>,
}

impl Network {
    /// Begins to listen, in front of a server on a port of 127.0.0.1.
    ///
    /// # Errors
    /// An error of the operating system.
    pub async fn in_front_of(server_port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (state, struck) = (watch::Sender::default(), watch::Sender::default());
        let control = Arc::new(Control { server_port, state, books: Mutex::default(), struck });
        let accepting = tokio::spawn(carry::accept(listener, Arc::clone(&control)));
        Ok(Self { port, control, accepting })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A black hole, or its end: what was sent meanwhile arrives then, as TCP would send it again.
    pub fn block(&self, blocked: bool) {
        self.control.state.send_modify(|state| state.blocked = blocked);
    }

    /// Closes all connections that are open.
    pub fn cut(&self) {
        let connections = self.control.books().connections;
        self.control.state.send_modify(|state| state.cut = connections);
    }

    /// Closes all connections that are open to the program. The server learns of it when it has answered what is under
    /// way: until then it works for a program that is not there.
    pub fn hang_up(&self) {
        let connections = self.control.books().connections;
        self.control.state.send_modify(|state| state.hung_up = connections);
    }

    /// Calls of this verb are recorded, and do not reach the server until [`let_go`](Self::let_go).
    pub fn hold(&self, verb: &'static str) {
        self.control.state.send_modify(|state| state.held = Some(verb));
    }

    /// The calls that were held go on.
    pub fn let_go(&self) {
        self.control.state.send_modify(|state| state.held = None);
    }

    /// Has this befall the next call of a verb.
    pub fn plan(&self, verb: &'static str, fault: Fault) {
        self.control.books().planned = Some(Planned { verb, fault });
    }

    /// Resolves when so many faults have struck.
    pub async fn struck(&self, times: usize) {
        let mut struck = self.control.struck.subscribe();
        // The sender lives as long as this value.
        let _ = struck.wait_for(|struck| *struck >= times).await;
    }

    /// From now on each connection that calls this verb carries nothing any more, beginning with that call.
    pub fn mute(&self, verb: &'static str) {
        self.control.books().muted = Some(verb);
    }

    /// From now on the answers to this verb take so much longer.
    pub fn delay(&self, verb: &'static str, delay: Duration) {
        self.control.books().delayed = Some((verb, delay));
    }

    /// All calls so far, in the order in which they were sent.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.control.books().calls.clone()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
        // The connections that are left end.
        self.control.state.send_modify(|state| {
            state.refusing = true;
            state.cut = usize::MAX;
        });
    }
}

impl Control {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
