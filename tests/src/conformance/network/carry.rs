//! One connection through the proxy.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::wire::{Inbox, Message, Opening, Statements};
use super::{Call, Control, Fault, Planned};

pub(super) async fn accept(listener: TcpListener, control: Arc<Control>) {
    while let Ok((client, _)) = listener.accept().await {
        if control.state.borrow().refusing {
            continue;
        }
        let number = {
            let mut books = control.books();
            books.connections += 1;
            books.connections
        };
        let control = Arc::clone(&control);
        tokio::spawn(async move {
            let mut state = control.state.subscribe();
            tokio::select! {
                () = serve(client, number, &control) => {}
                // The sender lives as long as `control`.
                _ = state.wait_for(|state| state.cut >= number) => {}
            }
        });
    }
}

async fn serve(client: TcpStream, number: usize, control: &Control) {
    control.open_road().await;
    // A server that is down refuses connections, and so does the proxy then.
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, control.server_port)).await else { return };
    // A small message must not wait for the next one to fill a packet.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let connection = Connection {
        number,
        control,
        client,
        server,
        session: false,
        statements: Statements::default(),
        open: Vec::new(),
        batches: VecDeque::new(),
        losing: None,
        held_back: Vec::new(),
        answering: false,
    };
    // Either side has closed it, or a fault: both sockets close.
    let _ = connection.carry().await;
}

/// Why a connection ends.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Over
    }
}

struct Connection<'c> {
    number: usize,
    control: &'c Control,
    client: TcpStream,
    server: TcpStream,
    /// Whether messages have tags by now.
    session: bool,
    statements: Statements,
    /// The calls since the last Sync, as their places in the record.
    open: Vec<usize>,
    /// The calls of each Sync that is not answered, oldest first.
    batches: VecDeque<Vec<usize>>,
    losing: Option<Losing>,
    /// The answer that may have to be lost, until that is known.
    held_back: Vec<u8>,
    /// Whether a part of the answer to the oldest batch has come.
    answering: bool,
}

/// An answer that is to be lost.
struct Losing {
    planned: Planned,
    /// Whether the call has returned rows.
    rows: bool,
}

impl Connection<'_> {
    async fn carry(mut self) -> Result<(), Over> {
        let (mut requests, mut answers) = (Inbox::default(), Inbox::default());
        let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        let (control, number) = (self.control, self.number);
        loop {
            tokio::select! {
                () = control.until_hung_up(number) => break,
                read = self.client.read(&mut up) => {
                    requests.add(&up[..some(read)?]);
                    self.control.open_road().await;
                    while let Some(message) = requests.next(self.session) {
                        self.request(message).await?;
                    }
                }
                read = self.server.read(&mut down) => {
                    answers.add(&down[..some(read)?]);
                    self.control.open_road().await;
                    while let Some(message) = answers.next(true) {
                        self.answer(message).await?;
                    }
                }
            }
        }
        self.client.shutdown().await?;
        while !self.batches.is_empty() {
            let length = some(self.server.read(&mut down).await)?;
            answers.add(&down[..length]);
            while let Some(message) = answers.next(true) {
                self.note(&message);
            }
        }
        Ok(())
    }

    async fn request(&mut self, message: Message) -> Result<(), Over> {
        if !self.session {
            if message.opening() == Opening::Encryption {
                return Ok(self.client.write_all(b"N").await?);
            }
            self.session = message.opening() == Opening::Session;
        }
        if let Some(text) = self.statements.executed_by(&message) {
            match self.execute(&text) {
                Some(Fault::LoseCall) => return Err(Over),
                Some(Fault::Mute) => return self.stay_mute().await,
                Some(Fault::LoseAnswer) | None => {}
            }
            self.control.until_let_go(self.open.last().copied()).await;
        }
        if matches!(message.tag, Some(b'Q' | b'S')) {
            self.batches.push_back(std::mem::take(&mut self.open));
        }
        Ok(self.server.write_all(&message.bytes).await?)
    }

    /// Records a call, and says what befalls it.
    fn execute(&mut self, text: &str) -> Option<Fault> {
        let call = Call::new(self.number, text);
        let mut books = self.control.books();
        let planned = books.planned.filter(|planned| call.is(planned.verb));
        let muted = books.muted.is_some_and(|verb| call.is(verb));
        self.open.push(books.calls.len());
        books.calls.push(call);
        if muted {
            return Some(Fault::Mute);
        }
        // An answer is lost when it comes: the call may have been under way before that was planned.
        let planned = planned.filter(|planned| planned.fault != Fault::LoseAnswer)?;
        books.planned = None;
        self.control.struck.send_modify(|struck| *struck += 1);
        Some(planned.fault)
    }

    /// Whether the answer that begins now is to be lost.
    fn begin_to_lose(&mut self) {
        if self.answering || self.losing.is_some() {
            return;
        }
        let Some(batch) = self.batches.front() else { return };
        let mut books = self.control.books();
        let planned = books.planned.filter(|planned| planned.fault == Fault::LoseAnswer);
        let planned = planned.filter(|planned| batch.iter().any(|place| books.calls[*place].is(planned.verb)));
        if let Some(planned) = planned {
            books.planned = None;
            self.losing = Some(Losing { planned, rows: false });
        }
    }

    /// Until the client closes it.
    async fn stay_mute(&mut self) -> Result<(), Over> {
        let mut ignored = [0; 1024];
        while some(self.client.read(&mut ignored).await).is_ok() {}
        Err(Over)
    }

    async fn answer(&mut self, message: Message) -> Result<(), Over> {
        self.begin_to_lose();
        let delay = self.note(&message);
        sleep(delay).await;
        let Some(losing) = &mut self.losing else {
            return Ok(self.client.write_all(&message.bytes).await?);
        };
        let ready = message.tag == Some(b'Z');
        losing.rows |= message.tag == Some(b'D');
        self.held_back.extend_from_slice(&message.bytes);
        if !ready {
            return Ok(());
        }
        // In a transaction nothing has taken effect yet: the answer to its COMMIT is the one to lose.
        if message.is_outside_of_transaction() {
            let Losing { planned, rows } = self.losing.take().ok_or(Over)?;
            if rows {
                self.control.struck.send_modify(|struck| *struck += 1);
                return Err(Over);
            }
            self.control.books().planned = Some(planned);
        }
        let held_back = std::mem::take(&mut self.held_back);
        Ok(self.client.write_all(&held_back).await?)
    }

    /// Records the answer, and says how long it is delayed.
    fn note(&mut self, message: &Message) -> Duration {
        let Some(batch) = self.batches.front() else { return Duration::ZERO };
        let mut books = self.control.books();
        let delayed = books.delayed.filter(|_| !self.answering);
        let mut delay = Duration::ZERO;
        for place in batch {
            let call = &mut books.calls[*place];
            match message.tag {
                Some(b'D') => call.rows += 1,
                Some(b'E') => call.refusal = message.sqlstate(),
                Some(b'Z') => call.answered = Some(Instant::now()),
                _ => {}
            }
            if let Some((_, longer)) = delayed.filter(|(verb, _)| call.is(verb)) {
                delay = longer;
            }
        }
        drop(books);
        self.answering = message.tag != Some(b'Z');
        if !self.answering {
            self.batches.pop_front();
        }
        delay
    }
}

/// The length of what was read; an end is the end of the connection.
fn some(read: std::io::Result<usize>) -> Result<usize, Over> {
    match read? {
        0 => Err(Over),
        length => Ok(length),
    }
}

impl Control {
    /// Waits for the end of a black hole.
    async fn open_road(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as this value.
        let _ = state.wait_for(|state| !state.blocked).await;
    }

    async fn until_hung_up(&self, connection: usize) {
        let mut state = self.state.subscribe();
        // The sender lives as long as this value.
        let _ = state.wait_for(|state| state.hung_up >= connection).await;
    }

    /// Waits for as long as the verb of this call, a place in the record, is held.
    async fn until_let_go(&self, call: Option<usize>) {
        let mut state = self.state.subscribe();
        let is_held = |verb: &str| call.is_some_and(|place| self.books().calls[place].is(verb));
        // The sender lives as long as this value.
        let _ = state.wait_for(|state| !state.held.is_some_and(is_held)).await;
    }
}
