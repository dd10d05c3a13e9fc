//! Processes, as /proc shows them.

use std::fs;
use std::path::Path;

/// A process. What lives outside this process's namespace has the number 0: a parent, the leader of a group or of a
/// session. (rustix's `getpgid` and its like take such a 0 for impossible.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// It has ended, and was not waited for.
    pub(super) is_dead: bool,
}

/// The number of this process.
pub(super) fn me() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Whether this folder has the processes of this process's own namespace, by their numbers here. Without it, the end of
/// a process group could not be seen.
pub(super) fn is_ours(folder: &Path) -> bool {
    fs::read_link(folder.join("self")).is_ok_and(|pid| pid == Path::new(&me().to_string()))
}

/// What descends from this process, but for some children and what descends from those. What has lost its parents
/// descends from this process as well, their subreaper. Empty without /proc.
pub(super) fn family(but: &[i32]) -> Vec<Entry> {
    let me = me();
    if children(me).is_none() {
        return family_among(&all().unwrap_or_default(), me, but);
    }
    // The lists of children cost as much as there are children, not as there are processes on the machine.
    let mut found: Vec<Entry> = Vec::new();
    let mut parents = vec![me];
    while let Some(parent) = parents.pop() {
        for pid in children(parent).unwrap_or_default().into_iter().filter(|pid| !but.contains(pid)) {
            parents.push(pid);
            found.extend(process(pid));
        }
    }
    found
}

/// The same, from a list of all processes.
fn family_among(all: &[Entry], me: i32, but: &[i32]) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let mut parents = vec![me];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent && !but.contains(&process.pid)) {
            parents.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

/// The children of all threads of a process; `None` where the kernel has no such lists, or the process is gone.
pub(super) fn children(pid: i32) -> Option<Vec<i32>> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let list = fs::read_to_string(thread.path().join("children")).ok()?;
        found.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Some(found)
}

/// All processes that this one may see; `None` without /proc.
pub(super) fn all() -> Option<Vec<Entry>> {
    let names = fs::read_dir("/proc").ok()?.flatten().map(|file| file.file_name());
    // A process may end between the two looks.
    let all: Vec<Entry> = names.filter_map(|name| process(name.to_str()?.parse().ok()?)).collect();
    (!all.is_empty()).then_some(all)
}

pub(super) fn process(pid: i32) -> Option<Entry> {
    entry(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of `/proc/PID/stat`. The name, in parentheses, may have spaces and parentheses in it.
fn entry(line: &str) -> Option<Entry> {
    let (pid, _) = line.split_once(' ')?;
    let mut rest = line.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = rest.next()?;
    let mut number = || rest.next()?.parse().ok();
    Some(Entry {
        pid: pid.parse().ok()?,
        parent: number()?,
        group: number()?,
        session: number()?,
        is_dead: matches!(state, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::Pid;

    #[test]
    fn a_line_of_proc_is_read() {
        let read = |line| entry(line).unwrap();
        let process = |pid, parent, group, session, is_dead| Entry { pid, parent, group, session, is_dead };
        assert_eq!(read("17 (sh) S 3 17 16 0 -1 4194560"), process(17, 3, 17, 16, false));
        assert_eq!(read("18 (a) Z 9 9 (b)) Z 1 17 17 0"), process(18, 1, 17, 17, true));
        let me = me();
        assert!(all().unwrap().iter().any(|process| process.pid == me && !process.is_dead));
    }

    #[test]
    fn another_proc_is_told_from_ours() {
        assert!(is_ours(Path::new("/proc")));
        let folder = std::env::temp_dir().join(format!("volguard-cli-proc-{}", me()));
        fs::create_dir(&folder).unwrap();
        let is_like_it = |pid: i32| {
            std::os::unix::fs::symlink(pid.to_string(), folder.join("self")).unwrap();
            let answer = is_ours(&folder);
            fs::remove_file(folder.join("self")).unwrap();
            answer
        };
        assert!(!is_ours(&folder) && is_like_it(me()) && !is_like_it(me() + 1) && !is_like_it(1));
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn a_family_is_found_by_its_lists_and_without_them() {
        let spawn = |script: &str| std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let (mut parent, mut other) = (spawn("sleep 1000 & wait"), spawn("exec sleep 1000"));
        let id = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        let me = me();
        let pids = |family: Vec<Entry>| {
            let mut pids: Vec<i32> = family.iter().filter(|it| !it.is_dead).map(|it| it.pid).collect();
            pids.sort_unstable();
            pids
        };
        // Until the shell has its child.
        let found = loop {
            let found = pids(family(&[id(&other)]));
            if found.iter().any(|pid| super::process(*pid).is_some_and(|it| it.parent == id(&parent))) {
                break found;
            }
            std::thread::yield_now();
        };
        assert!(found.contains(&id(&parent)) && !found.contains(&id(&other)), "{found:?}");
        assert_eq!(pids(family_among(&all().unwrap(), me, &[id(&other)])), found);
        for pid in &found {
            let _ = rustix::process::kill_process(Pid::from_raw(*pid).unwrap(), rustix::process::Signal::KILL);
        }
        let _ = (other.kill(), other.wait(), parent.wait());
    }
}
