//! Histories made by hand: good ones, which must pass, and bad ones, for each of which the right rule must be reported.

mod bad;
mod good;
mod work;

use uuid::Uuid;

use super::super::{Act, Answer, Call, Change, Ending, Entry, History, Rule, check, check_numbers};

/// Writes a history, in the database's order. Each call takes ten
/// nanoseconds and begins at the given time or after the last.
#[derive(Default)]
struct Story {
    history: History,
    clock: u64,
}

/// The service of a client: `a` is 1, `b` is 2.
fn service(client: &str) -> i64 {
    i64::from(client.as_bytes()[0] - b'a') + 1
}

impl Story {
    fn entry(&mut self, change: Change) {
        let turn = self.history.journal.len() as u64 + 1;
        self.history.journal.push(Entry { turn, xid: format!("{}", 700 + turn), at: String::new(), change });
    }

    fn call(&mut self, client: &str, act: Act, answer: Answer) {
        self.clock += 20;
        self.history.calls.push(Call {
            client: client.to_owned(),
            act,
            asked: self.clock,
            answered: (answer != Answer::Nothing).then_some(self.clock + 10),
            answer,
        });
    }

    fn register(&mut self, client: &str, id: i64) -> &mut Self {
        self.call(client, Act::Register { host: client.to_owned() }, Answer::Service(id));
        self
    }

    fn broken_numbers(&self) -> Vec<Rule> {
        check_numbers(&self.history.calls).into_iter().map(|offence| offence.rule).collect()
    }

    /// A call takes effect and is confirmed.
    fn take(&mut self, client: &str, key: &str, token: i64) -> &mut Self {
        self.take_answered(client, key, token, Answer::Token(token))
    }

    fn take_answered(&mut self, client: &str, key: &str, token: i64, answer: Answer) -> &mut Self {
        let request = Uuid::new_v4();
        self.ask_for(client, key, request, answer);
        self.taken(client, key, token, request)
    }

    fn ask_for(&mut self, client: &str, key: &str, request: Uuid, answer: Answer) -> &mut Self {
        let act = Act::Acquire { key: key.to_owned(), request, service: service(client) };
        self.call(client, act, answer);
        self
    }

    fn taken(&mut self, client: &str, key: &str, token: i64, request: Uuid) -> &mut Self {
        let change = Change::Taken { key: key.to_owned(), token, service: service(client), request };
        self.entry(change);
        self
    }

    fn write(&mut self, client: &str, key: &str, token: i64, version: i64) -> &mut Self {
        self.write_answered(client, key, token, version, Answer::Written)
    }

    fn write_answered(&mut self, client: &str, key: &str, token: i64, version: i64, answer: Answer) -> &mut Self {
        let write = Uuid::new_v4();
        self.ask_to_write(client, key, token, write, answer);
        self.wrote(key, token, version, write)
    }

    fn ask_to_write(&mut self, client: &str, key: &str, token: i64, write: Uuid, answer: Answer) -> &mut Self {
        let act = Act::Write { key: key.to_owned(), token, write };
        self.call(client, act, answer);
        self
    }

    fn wrote(&mut self, key: &str, token: i64, version: i64, write: Uuid) -> &mut Self {
        let change = Change::Wrote { key: key.to_owned(), token, write, version };
        self.entry(change);
        self
    }

    fn release(&mut self, client: &str, key: &str, token: i64) -> &mut Self {
        self.ask_to_release(client, key, token, Answer::Released);
        self.freed(key, token)
    }

    fn ask_to_release(&mut self, client: &str, key: &str, token: i64, answer: Answer) -> &mut Self {
        let act = Act::Release { key: key.to_owned(), token };
        self.call(client, act, answer);
        self
    }

    /// Asks for all of these at once, gets this answer, and takes those that have a token in one transaction.
    fn take_set(&mut self, client: &str, wanted: &[(&str, Option<i64>)], answered: bool) -> &mut Self {
        let request = Uuid::new_v4();
        for (key, token) in wanted {
            let answer = token.filter(|_| answered).map_or(Answer::Nothing, Answer::Token);
            self.ask_for(client, key, request, answer);
        }
        self.taken_at_once(client, wanted, request)
    }

    fn taken_at_once(&mut self, client: &str, wanted: &[(&str, Option<i64>)], request: Uuid) -> &mut Self {
        let first = self.history.journal.len();
        for (key, token) in wanted {
            if let Some(token) = token {
                self.taken(client, key, *token, request);
            }
        }
        let xid = format!("of {request} {first}");
        for entry in &mut self.history.journal[first..] {
            entry.xid.clone_from(&xid);
        }
        self
    }

    fn freed(&mut self, key: &str, token: i64) -> &mut Self {
        let key = key.to_owned();
        self.entry(Change::Freed { key, token });
        self
    }

    /// The service of `client`, which holds this token, is cleaned up.
    fn clean(&mut self, client: &str, key: &str, token: i64) -> &mut Self {
        self.end(client).freed(key, token)
    }

    fn end(&mut self, client: &str) -> &mut Self {
        let service = service(client);
        self.entry(Change::Ended { service });
        self
    }

    /// In the end `recorded` is the recorded state, and `found` the one that is found.
    fn left(&mut self, key: &str, recorded: &str, found: &str) -> &mut Self {
        let [key, recorded, found] = [key, recorded, found].map(str::to_owned);
        self.history.endings.push(Ending { key, recorded, found });
        self
    }

    /// The rules that it breaks, without duplicates.
    fn broken(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = check(&self.history).iter().map(|o| o.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}
