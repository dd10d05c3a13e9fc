//! The machine of the figures.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Processors and kernel, in one line.
pub fn describe() -> Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{cores} x {model}, Linux {}", kernel.trim_end()))
}

/// The number of processes that wanted a processor in the last minute, on average: the other load of the machine.
pub fn load() -> Result<f64> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let minute = load.split_whitespace().next();
    Ok(minute.context("/proc/loadavg is empty")?.parse()?)
}

/// The processor time that a process has used, with all its threads.
pub fn processor_time(pid: i32) -> Result<Duration> {
    let threads = format!("/proc/{pid}/task");
    let threads = std::fs::read_dir(&threads).context(threads)?;
    threads
        .map(|thread| {
            let path = thread?.path().join("schedstat");
            let stat = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let running = stat.split_whitespace().next();
            let nanoseconds = running.context("schedstat is empty")?.parse()?;
            Ok(Duration::from_nanos(nanoseconds))
        })
        .sum()
}

/// The first line of a server's version output.
pub fn version_of(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("cannot run {program}; `make bench` installs it"))?;
    ensure!(output.status.success(), "{program} --version failed");
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
