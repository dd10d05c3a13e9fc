//! A network between client and server that fails on command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use volguard::{Builder, StatementMode};

/// What to do to the connection that sends a statement with a certain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Let the server finish, throw its reply away, and cut the connection.
    LoseReply,
    /// Cut the connection before the server sees the statement.
    LoseStatement,
    /// Cut the connection at once, while the server executes the statement.
    CutWhileRunning,
    /// Keep the reply back until [`Proxy::let_go`]. Until then the connection carries nothing else.
    HoldReply,
}

/// Statements have to be sent with their text: use [`StatementMode::Unnamed`].
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    fault: watch::Sender<Option<(&'static str, Fault)>>,
    faults_left: AtomicUsize,
    refusing: AtomicBool,
    /// Increased to freeze the connections that exist: they stay open and carry nothing any more.
    frozen: watch::Sender<usize>,
    freezing_new: AtomicBool,
    reply_delay_ms: AtomicU64,
    let_go: Notify,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Proxy {
    pub(crate) async fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            fault: watch::Sender::new(None),
            faults_left: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            frozen: watch::Sender::new(0),
            freezing_new: AtomicBool::new(false),
            reply_delay_ms: AtomicU64::new(0),
            let_go: Notify::new(),
        });
        let proxy = Proxy { port, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !state.refusing.load(Ordering::SeqCst) {
                    tokio::spawn(carry(client, Arc::clone(&state)));
                }
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Leads through it.
    pub(crate) fn config(&self) -> Config {
        let direct = super::config();
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port);
        config.dbname(direct.get_dbname().unwrap_or("postgres"));
        config.user(direct.get_user().unwrap_or("postgres"));
        if let Some(password) = direct.get_password() {
            config.password(password);
        }
        config
    }

    pub(crate) fn builder(&self) -> Builder {
        super::patient().config(self.config()).statement_mode(StatementMode::Unnamed)
    }

    /// Applies a fault to the next statements that contain `text`.
    pub(crate) fn inject(&self, text: &'static str, fault: Fault, times: usize) {
        self.state.faults_left.store(times, Ordering::SeqCst);
        self.state.fault.send_replace(Some((text, fault)));
    }

    /// Whether all injected faults have struck.
    pub(crate) fn struck(&self) -> bool {
        self.state.faults_left.load(Ordering::SeqCst) == 0
    }

    /// Closes new connections at once.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.state.refusing.store(refuse, Ordering::SeqCst);
    }

    /// Replies take so much longer from now on.
    pub(crate) fn delay_replies(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).expect("a short delay");
        self.state.reply_delay_ms.store(delay, Ordering::SeqCst);
    }

    /// Passes on the reply that is held back, or will be.
    pub(crate) fn let_go(&self) {
        self.state.let_go.notify_one();
    }

    /// From now on the open connections carry nothing, and neither end is told.
    pub(crate) fn freeze_open(&self) {
        self.state.frozen.send_modify(|times| *times += 1);
    }

    /// The same, for new connections as well.
    pub(crate) fn freeze_all(&self) {
        self.state.freezing_new.store(true, Ordering::SeqCst);
        self.freeze_open();
    }
}

impl State {
    fn fault_for(&self, bytes: &[u8]) -> Option<Fault> {
        let (text, fault) = (*self.fault.borrow())?;
        let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let claim = |left: usize| left.checked_sub(1);
        let claimed = found && self.faults_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, claim).is_ok();
        claimed.then_some(fault)
    }
}

async fn connect_to_server() -> Box<dyn Stream> {
    let config = super::config();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Unix(dir)) => {
            let socket = dir.join(format!(".s.PGSQL.{port}"));
            Box::new(UnixStream::connect(socket).await.expect("the server"))
        }
        Some(Host::Tcp(host)) => {
            let server = TcpStream::connect((host.as_str(), port)).await;
            Box::new(server.expect("the server"))
        }
        None => panic!("DATABASE_URL names no host"),
    }
}

async fn carry(mut client: TcpStream, state: Arc<State>) {
    let mut frozen = state.frozen.subscribe();
    if state.freezing_new.load(Ordering::SeqCst) {
        return std::future::pending().await;
    }
    let mut server = connect_to_server().await;
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let (mut losing_reply, mut holding_reply) = (false, false);
    loop {
        tokio::select! {
            _ = frozen.changed() => std::future::pending().await,
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                match state.fault_for(&up[..count]) {
                    Some(Fault::LoseStatement) => return,
                    Some(Fault::LoseReply) => losing_reply = true,
                    Some(Fault::HoldReply) => holding_reply = true,
                    Some(Fault::CutWhileRunning) => {
                        let _ = server.write_all(&up[..count]).await;
                        return leave_running(client, server);
                    }
                    None => {}
                }
                if server.write_all(&up[..count]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                // The server flushes the reply when the statement is committed, not before.
                if losing_reply { return }
                if std::mem::take(&mut holding_reply) { state.let_go.notified().await }
                let delay = state.reply_delay_ms.load(Ordering::SeqCst);
                sleep(Duration::from_millis(delay)).await;
                if client.write_all(&down[..count]).await.is_err() { return }
            }
        }
    }
}

/// The client's end closes; the server's stays open, as when a router in between died.
fn leave_running(client: TcpStream, mut server: Box<dyn Stream>) {
    drop(client);
    tokio::spawn(async move {
        let mut ignored = [0; 1024];
        while let Ok(1..) = server.read(&mut ignored).await {}
    });
}
