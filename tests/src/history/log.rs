//! A client's log: a file to which lines are only added, so that it stays readable after a SIGKILL.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{Act, Answer, Call};
use crate::time::now;

/// A line: a question, or the answer to the question with that number.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Asked { number: u64, at: u64, act: Act },
    Answered { number: u64, at: u64, answer: Answer },
}

/// The log of one process. Each line is written by one call, before the question that it announces is sent.
#[derive(Debug)]
pub struct Log {
    file: File,
    next: AtomicU64,
}

/// A question that has been written down.
#[derive(Debug)]
#[must_use = "a question without an answer stays open for ever"]
pub struct Question<'a> {
    log: &'a Log,
    number: u64,
}

impl Log {
    /// Creates a log.
    ///
    /// # Errors
    /// An error of the operating system; an error if the file exists.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path);
        Ok(Self { file: file.with_context(|| path.display().to_string())?, next: AtomicU64::new(1) })
    }

    /// Must be called before the question is sent.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn ask(&self, act: Act) -> anyhow::Result<Question<'_>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = now();
        self.add(&Line::Asked { number, at, act })?;
        Ok(Question { log: self, number })
    }

    fn add(&self, line: &Line) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        Ok((&self.file).write_all(&line)?)
    }
}

impl Question<'_> {
    /// Must be called after the answer has come. [`Answer::Nothing`] needs no call.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn answer(self, answer: Answer) -> anyhow::Result<()> {
        let (number, at) = (self.number, now());
        self.log.add(&Line::Answered { number, at, answer })
    }
}

/// Reads the log of the process `client`. An incomplete last line is skipped: its call was never sent.
///
/// # Errors
/// An error of the operating system, or a line that makes no sense.
pub fn calls(client: &str, path: &Path) -> anyhow::Result<Vec<Call>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut calls = Vec::new();
    let mut places = HashMap::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        match serde_json::from_str(line).with_context(|| format!("{client}: {line}"))? {
            Line::Asked { number, at, act } => {
                places.insert(number, calls.len());
                calls.push(Call { client: client.to_owned(), act, asked: at, answered: None, answer: Answer::Nothing });
            }
            Line::Answered { number, at, answer } => {
                let place = places.get(&number).context("an answer without a question")?;
                let call: &mut Call = &mut calls[*place];
                call.answered = Some(at);
                call.answer = answer;
            }
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn release(token: i64) -> Act {
        let key = "k".to_owned();
        Act::Release { key, token }
    }

    /// A process is killed in the middle of a line.
    #[test]
    fn what_was_written_before_a_kill_is_read() -> anyhow::Result<()> {
        let path = std::env::temp_dir().join(Uuid::new_v4().to_string());
        let log = Log::create(&path)?;
        let _unanswered = log.ask(release(1))?;
        log.ask(release(2))?.answer(Answer::Released)?;
        (&log.file).write_all(br#"{"Asked":{"number":3,"at"#)?;
        let read = calls("a", &path);
        fs::remove_file(&path)?;
        let read = read?;
        let [first, second] = &read[..] else {
            anyhow::bail!("{read:?}");
        };
        assert_eq!((&first.act, first.answer), (&release(1), Answer::Nothing));
        assert_eq!(first.answered, None);
        assert_eq!((&second.act, second.answer), (&release(2), Answer::Released));
        assert!(first.asked <= second.asked && Some(second.asked) <= second.answered);
        Ok(())
    }
}
