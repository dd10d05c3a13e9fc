//! A TCP proxy that loses messages on demand.

mod accident;
mod road;

use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::accident::{Accident, Again, Verdict};
pub use self::accident::{Cut, Direction};
pub use self::road::Road;
use self::road::Roads;

/// A proxy on a port of 127.0.0.1 that passes everything on, except for one accident at a time.
///
/// Data that one side sends at once counts as one message: a client that waits for its replies sends
/// one message for each request, and the server flushes its reply at once unless it has more than 8 kB.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Control {
    plan: Mutex<Plan>,
    cuts: AtomicU64,
    /// The progress of the plan, for tasks that wait for it.
    news: watch::Sender<News>,
    roads: Roads,
}

#[derive(Debug, Clone, Copy, Default)]
struct Plan {
    accident: Option<Accident>,
    connections: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct News {
    struck: bool,
    holding: bool,
    open: bool,
}

impl Proxy {
    /// Starts a proxy in front of a server on a port of 127.0.0.1.
    ///
    /// # Errors
    /// An error of the operating system.
    pub async fn in_front_of(server_port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let control = Arc::new(Control {
            plan: Mutex::default(),
            cuts: AtomicU64::new(0),
            news: watch::Sender::new(News { open: true, ..News::default() }),
            roads: Roads::default(),
        });
        let accepting = tokio::spawn(accept(listener, server_port, Arc::clone(&control)));
        Ok(Self { port, control, accepting })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Plans a cut at a request: the next one, or the one after `after` more. It replaces the plan before.
    pub fn cut(&self, after: usize, cut: Cut) {
        self.plan(Accident::Request { after, cut });
    }

    /// Plans this many cuts, each after this many more bytes in this
    /// direction, on any connection. It replaces the plan before.
    pub fn cut_within(&self, direction: Direction, after: usize, times: usize) {
        if let Some(times) = times.checked_sub(1) {
            self.plan(Accident::Bytes { direction, after, again: Again { after, times } });
        }
    }

    /// Plans to pass `after` more messages of either direction and then none, until [`resume`](Self::resume).
    pub fn hold(&self, after: usize) {
        self.plan(Accident::Hold { after });
    }

    /// Sets this direction of all connections, old and new, to this state from now on.
    pub fn set_road(&self, direction: Direction, road: Road) {
        self.control.roads.set(direction, road);
    }

    /// Open connections carry nothing any more, in either direction,
    /// and neither end gets an error. New connections work.
    pub fn strand(&self) {
        let connections = self.control.plan().connections;
        self.control.roads.strand(connections);
    }

    /// Whether new connections are refused.
    pub fn refuse(&self, refuse: bool) {
        self.control.roads.close(refuse);
    }

    fn plan(&self, accident: Accident) {
        self.control.plan().accident = Some(accident);
        self.control.news.send_replace(News { open: true, ..News::default() });
    }

    /// Whether the planned cut has been made.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        self.control.news.borrow().struck
    }

    /// The number of cuts so far.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.control.cuts.load(Ordering::Relaxed)
    }

    /// Resolves when the planned cut has been made.
    pub async fn struck(&self) {
        let mut news = self.control.news.subscribe();
        // The sender lives as long as this value.
        let _ = news.wait_for(|news| news.struck).await;
    }

    /// Resolves when a message is being held back.
    pub async fn holding(&self) {
        let mut news = self.control.news.subscribe();
        // The sender lives as long as this value.
        let _ = news.wait_for(|news| news.holding).await;
    }

    /// Drops the plan, and passes on what was held back.
    pub fn resume(&self) {
        self.control.plan().accident = None;
        self.control.news.send_modify(|news| {
            news.open = true;
            news.holding = false;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server_port: u16, control: Arc<Control>) {
    while let Ok((client, _)) = listener.accept().await {
        if control.roads.are_closed() {
            continue;
        }
        let control = Arc::clone(&control);
        tokio::spawn(async move {
            // A server that is down refuses connections, and so does the proxy then.
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port)).await {
                serve(client, server, &control).await;
            }
        });
    }
}

/// Runs until either side, or an accident, ends the connection; then both sockets close.
async fn serve(client: TcpStream, server: TcpStream, control: &Control) {
    // A small message must not wait for the next one to fill a packet.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let connection = {
        let mut plan = control.plan();
        plan.connections += 1;
        plan.connections
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let both = async {
        tokio::select! {
            () = pump(from_client, to_server, Direction::Request, connection, control) => {}
            () = pump(from_server, to_client, Direction::Reply, connection, control) => {}
        }
    };
    let mut both = pin!(both);
    tokio::select! {
        () = &mut both => {}
        // The sockets stay open.
        () = control.roads.stranded(connection) => std::future::pending().await,
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    connection: usize,
    control: &Control,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        control.roads.travel(direction).await;
        let mut verdict = control.judge(direction, connection, length);
        if matches!(verdict, Verdict::Hold) {
            control.wait_until_open().await;
            verdict = Verdict::Pass;
        }
        let pass = match verdict {
            Verdict::Cut(keep) => keep.min(length),
            _ => length,
        };
        if to.write_all(&buffer[..pass]).await.is_err() || matches!(verdict, Verdict::Cut(_)) {
            return;
        }
    }
}

impl Control {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, direction: Direction, connection: usize, length: usize) -> Verdict {
        let mut plan = self.plan();
        let Some(accident) = plan.accident else {
            return Verdict::Pass;
        };
        let (verdict, next) = accident.meet(direction, connection, length);
        plan.accident = next;
        match verdict {
            Verdict::Pass => {}
            Verdict::Hold => self.news.send_modify(|news| {
                news.holding = true;
                news.open = false;
            }),
            Verdict::Cut(_) => {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                self.news.send_modify(|news| news.struck = true);
            }
        }
        verdict
    }

    async fn wait_until_open(&self) {
        let mut news = self.news.subscribe();
        // The sender lives as long as the connection does.
        let _ = news.wait_for(|news| news.open).await;
    }
}
