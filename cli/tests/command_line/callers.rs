//! What a caller leaves to the program: signals that it has blocked, open files, children, an environment.

use crate::support::{Database, Program, child_named, command, ended, is_alive, run};
use rustix::process::{Pid, Signal, kill_process};
use volguard_tests::scenario::until;

const PATIENT: &str = "trap 'exit 8' TERM; touch $DIR/runs; while :; do sleep 0.1; done";

/// Under a caller that has blocked all signals, as programs do that wait for them in a thread of their own.
async fn with_all_blocked(database: &Database, without: &str) -> anyhow::Result<Program> {
    let block = || {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the first call fills the set in.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
        }
        Ok(())
    };
    // SAFETY: it only makes system calls.
    let program = Program::start_as(&database.url(), &["--lease", "1h"], without, PATIENT, |command| unsafe {
        command.pre_exec(block);
    })?;
    until("the command", async || Ok(program.said("runs"))).await?;
    kill_process(Pid::from_raw(program.pid()).expect("a process"), Signal::TERM)?;
    Ok(program)
}

#[tokio::test]
async fn signals_that_the_caller_has_blocked_come_nevertheless() -> anyhow::Result<()> {
    let database = Database::new().await?;
    // The end of the command is noticed by a signal too: not at the end of the lease.
    let mut program = with_all_blocked(&database, "").await?;
    // The shell may have told of its own child.
    assert_eq!(program.code().await?.0, Some(8));
    Ok(())
}

#[cfg(feature = "sabotage")]
#[tokio::test]
async fn without_unblocking_them_none_comes() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let program = with_all_blocked(&database, "Unblock").await?;
    let pending = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap_or_default();
        let signals = u64::from_str_radix(line.trim(), 16)?;
        Ok((signals & 1 << (libc::SIGTERM - 1) != 0).then_some(()))
    };
    until("a signal that stays away", async || pending()).await?;
    kill_process(Pid::from_raw(program.pid()).expect("a process"), Signal::KILL)?;
    Ok(())
}

/// The session may outlive the program. A caller that waits for the end of a pipe waits for the command alone.
#[tokio::test]
async fn the_session_keeps_no_file_of_the_caller_open() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = "exec 7>$DIR/kept 9<$DIR/kept; exec $V lock volume/v-1 -- sh -c \
        'ls -l /proc/self/fd > $DIR/inherits; until [ -e $DIR/done ]; do sleep 0.05; done'";
    let mut program = Program::start_by(&database.url(), script)?;
    let inherits = until("the command", async || Ok(program.said("inherits").filter(|list| list.contains("9 -> "))));
    let inherits = inherits.await?;
    assert!(inherits.contains("7 -> ") && !inherits.contains("socket:"), "{inherits}");
    let session = until("the session", async || Ok(child_named(program.pid(), "volguard"))).await?;
    let files = std::fs::read_dir(format!("/proc/{session}/fd"))?.flatten();
    let files: Vec<_> = files.filter_map(|file| std::fs::read_link(file.path()).ok()).collect();
    let is_own = |file: &str| file == "/dev/null" || file.starts_with("socket:") || file.starts_with("anon_inode:");
    assert!(!files.is_empty() && files.iter().all(|file| file.to_str().is_some_and(is_own)), "{files:?}");
    std::fs::write(program.dir.join("done"), "")?;
    assert_eq!(program.code().await?, (Some(0), String::new()));
    Ok(())
}

/// What the process had started before it became the program is not the command's, and lives on without the lock.
#[tokio::test]
async fn children_that_were_there_before_are_left_alone() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = "sleep 1000 & echo $! > $DIR/before; exec $V lock volume/v-1 --lease 12s -- \
        sh -c 'setsid sleep 1000 & echo $! > $DIR/left; touch $DIR/runs; while :; do sleep 0.1; done'";
    let mut program = Program::start_by(&database.url(), script)?;
    until("the command", async || Ok(program.said("runs"))).await?;
    let pid = |file| program.said(file).unwrap_or_default().trim().parse().expect("a number");
    let (before, left) = (pid("before"), pid("left"));
    let free = run(&database.url(), &["free", "volume/v-1", "--reason", "test"]).await?;
    assert_eq!(free.status.code(), Some(0));
    let (code, told) = program.code().await?;
    assert_eq!(code, Some(113), "{told}");
    assert!(!is_alive(left), "what the command has started lives on");
    assert!(is_alive(before), "what was there before has been ended");
    kill_process(Pid::from_raw(before).expect("a process"), Signal::KILL)?;
    Ok(())
}

/// A variable that is no text must not be passed over: the others would lead to another database.
#[tokio::test]
async fn a_variable_that_is_no_text_is_refused() -> anyhow::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let database = Database::new().await?;
    let broken = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    for name in ["DATABASE_URL", "PGHOST", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS"] {
        // Without a URL, all of the others are asked.
        let mut status = command("", &["status"]);
        status.env_remove("DATABASE_URL").env(name, broken);
        let (code, _, told) = ended(&status.output().await?);
        assert_eq!(code, Some(116), "{name}: {told}");
        assert!(told.contains(&format!("{name} is not valid UTF-8")), "{told}");
    }
    // What the URL says already is not asked for.
    let mut status = command(&database.url(), &["status"]);
    status.env("PGUSER", broken);
    assert_eq!(ended(&status.output().await?).0, Some(0));
    Ok(())
}
