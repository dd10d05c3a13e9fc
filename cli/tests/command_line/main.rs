//! The program `volguard` as people run it, against a server, which `DATABASE_URL` names:
//! `with-postgres -- cargo test -p volguard-cli --features sabotage`.

mod beginning;
mod callers;
mod commands;
mod exit_codes;
mod hopping;
mod hostile;
mod lock_in_time;
mod manual;
mod signals;
mod standby;
mod support;
mod taken_away;
mod terminal;
#[cfg(feature = "tls")]
mod tls;
mod top;
