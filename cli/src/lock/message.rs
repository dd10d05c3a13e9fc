//! What front and session tell each other: lines over a socket. Its end means that the other one is gone.

use std::fmt;
use std::str::FromStr;

/// From the session to the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// The lock is held: the command may begin.
    Granted { token: i64 },
    /// There is no lock: the exit code, and why.
    Refused { code: u8, why: String },
    /// The lock can't be relied on any more.
    Lost {
        /// The server has said so: the lock is taken away, and may have been so for a while.
        is_taken: bool,
        /// The reason.
        why: String,
    },
    /// After the command: whether the lock was held to its end. `None`: the server did not say.
    Released { held: Option<bool>, why: String },
}

/// From the front, and from the process that is about to become the command, to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The process group of the command. It is told before the command begins.
    Group(i32),
    /// No process of the group is left.
    Ended,
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |text: &str| text.replace(['\n', '\r'], " ");
        match self {
            News::Granted { token } => writeln!(f, "granted {token}"),
            News::Refused { code, why } => writeln!(f, "refused {code} {}", line(why)),
            News::Lost { is_taken: true, why } => writeln!(f, "lost taken {}", line(why)),
            News::Lost { is_taken: false, why } => writeln!(f, "lost unknown {}", line(why)),
            News::Released { held: Some(true), why } => writeln!(f, "released held {}", line(why)),
            News::Released { held: Some(false), why } => writeln!(f, "released taken {}", line(why)),
            News::Released { held: None, why } => writeln!(f, "released unknown {}", line(why)),
        }
    }
}

impl FromStr for News {
    type Err = ();

    fn from_str(line: &str) -> Result<News, ()> {
        let (verb, rest) = line.trim_end_matches('\n').split_once(' ').ok_or(())?;
        let why = |text: &str| text.to_owned();
        match verb {
            "granted" => Ok(News::Granted { token: rest.parse().map_err(drop)? }),
            "refused" => {
                let (code, text) = rest.split_once(' ').ok_or(())?;
                Ok(News::Refused { code: code.parse().map_err(drop)?, why: why(text) })
            }
            "lost" => {
                let (how, text) = rest.split_once(' ').ok_or(())?;
                Ok(News::Lost { is_taken: how == "taken", why: why(text) })
            }
            "released" => {
                let (how, text) = rest.split_once(' ').ok_or(())?;
                let held = match how {
                    "held" => Some(true),
                    "taken" => Some(false),
                    _ => None,
                };
                Ok(News::Released { held, why: why(text) })
            }
            _ => Err(()),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Group(pid) => writeln!(f, "group {pid}"),
            Order::Ended => writeln!(f, "ended"),
        }
    }
}

impl FromStr for Order {
    type Err = ();

    fn from_str(line: &str) -> Result<Order, ()> {
        match line.trim_end().split_once(' ') {
            Some(("group", pid)) => Ok(Order::Group(pid.parse().map_err(drop)?)),
            None if line.trim_end() == "ended" => Ok(Order::Ended),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_one_line_and_is_read_back() {
        let why = || "a b\nc".to_owned();
        let news = [
            News::Granted { token: 7 },
            News::Refused { code: 112, why: why() },
            News::Lost { is_taken: true, why: why() },
            News::Lost { is_taken: false, why: why() },
            News::Released { held: Some(true), why: String::new() },
            News::Released { held: Some(false), why: why() },
            News::Released { held: None, why: why() },
        ];
        for said in news {
            let line = said.to_string();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(
                line.replace("a b c", "a b\u{0}c").parse::<News>().unwrap().to_string().replace('\0', " "),
                line
            );
        }
        for said in [Order::Group(17), Order::Ended] {
            assert_eq!(said.to_string().parse(), Ok(said));
        }
        "nonsense 1".parse::<News>().unwrap_err();
    }
}
