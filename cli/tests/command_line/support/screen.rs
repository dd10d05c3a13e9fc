//! A terminal, with a program in it.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Longer than anything takes that comes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Screen {
    keyboard: File,
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    parser: vt100::Parser,
    /// All that was written, as it was.
    bytes: Vec<u8>,
}

impl Screen {
    /// Starts a program as the leader of a session with a terminal of this size.
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> anyhow::Result<Screen> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        tcsetwinsize(&terminal, size(columns, rows))?;
        let name = ptsname(&terminal, Vec::new())?.into_string()?;
        let inside = || OpenOptions::new().read(true).write(true).open(&name);
        let (stdin, stdout, stderr) = (inside()?, inside()?, inside()?);
        command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        // SAFETY: both are system calls alone.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
            });
        }
        let child = command.spawn()?;
        let keyboard = File::from(terminal);
        let mut output = keyboard.try_clone()?;
        let parser = vt100::Parser::new(rows, columns, 0);
        let seen = Arc::new(Mutex::new(Seen { parser, bytes: Vec::new() }));
        let written = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error is the end of the last process in it.
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let mut seen = written.lock().expect("no thread panics with it");
                seen.bytes.extend_from_slice(&buffer[..length]);
                seen.parser.process(&buffer[..length]);
            }
        });
        Ok(Screen { keyboard, child, seen })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no thread panics with it")
    }

    /// What the screen shows.
    pub(crate) fn text(&self) -> String {
        self.seen().parser.screen().contents()
    }

    pub(crate) fn screen(&self) -> vt100::Screen {
        self.seen().parser.screen().clone()
    }

    /// All that was written to the terminal.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen().bytes.clone()
    }

    pub(crate) fn type_in(&mut self, keys: &str) -> anyhow::Result<()> {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    pub(crate) fn keyboard(&self) -> &File {
        &self.keyboard
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) -> anyhow::Result<()> {
        self.seen().parser.screen_mut().set_size(rows, columns);
        Ok(tcsetwinsize(&self.keyboard, size(columns, rows))?)
    }

    /// Waits until the screen shows what is asked for, and returns it.
    pub(crate) fn until(&self, what: &str, shows: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if shows(&text) {
                return Ok(text);
            }
            anyhow::ensure!(Instant::now() < end, "the screen never shows {what}:\n{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the terminal is as it was before the program.
    pub(crate) fn until_restored(&self) -> anyhow::Result<()> {
        self.until("the screen before", |_| {
            let screen = self.screen();
            !screen.alternate_screen() && !screen.hide_cursor()
        })?;
        Ok(())
    }

    pub(crate) fn until_text(&self, text: &str) -> anyhow::Result<String> {
        self.until(text, |screen| screen.contains(text))
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    pub(crate) fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(Instant::now() < end, "the program does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

pub(crate) fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}
