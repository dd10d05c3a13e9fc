//! The script that pgrx writes, and the released one.

use std::fs;

use crate::CURRENT;
use crate::shelf::{made, released, root};

/// The statements and comments of a script that pgrx wrote, without its own remarks: they name lines of the source,
/// which move, and functions that are declared elsewhere.
fn written_by_us(script: &str) -> Vec<&str> {
    let (_, body) = script.split_once("/* </end connected objects> */").expect("pgrx's remark at the top");
    let mut in_list = false;
    let is_ours = |line: &&str| {
        let begins = |with: &str| line.starts_with(with);
        in_list = begins("-- requires:") || in_list && begins("--   ");
        let is_remark = in_list
            || ["-- extension/src/", "-- volguard::", "-- Skipped due to"].into_iter().any(begins)
            || ["/* <begin connected objects> */", "/* </end connected objects> */", "-- bootstrap", "-- finalize"]
                .contains(line);
        !is_remark && !line.is_empty()
    };
    body.lines().filter(is_ours).collect()
}

/// As `packaging/freeze.sh` puts them together.
fn of_the_tree() -> anyhow::Result<String> {
    let mut files: Vec<_> =
        fs::read_dir(root().join("sql/schema"))?.map(|file| Ok(file?.path())).collect::<anyhow::Result<_>>()?;
    files.sort();
    let texts = files.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join("\n"))
}

fn first_difference(one: &[&str], other: &[&str]) -> Option<String> {
    let longest = one.len().max(other.len());
    let at = (0..longest).find(|at| one.get(*at) != other.get(*at))?;
    Some(format!("statement line {}: {:?} is not {:?}", at + 1, one.get(at), other.get(at)))
}

fn lines(script: &str) -> Vec<&str> {
    script.lines().filter(|line| !line.is_empty()).collect()
}

/// So the script is the same wherever it is made, and a file that `lib.rs` lacks is noticed.
#[test]
fn the_package_has_the_files_of_the_schema_in_their_order() -> anyhow::Result<()> {
    let made = made()?;
    assert_eq!(first_difference(&written_by_us(&made), &lines(&of_the_tree()?)), None);
    Ok(())
}

/// Once a version is released, another schema is another version, with an edge that leads to it.
#[test]
fn the_script_of_a_released_version_does_not_change() -> anyhow::Result<()> {
    let released = released()?;
    assert!(!released.is_empty(), "at least one version is released");
    let made = made()?;
    for version in released.iter().filter(|released| released.version == CURRENT) {
        let difference = first_difference(&written_by_us(&made), &lines(&version.script));
        assert_eq!(difference, None, "{CURRENT} is released: see Releasing in CONTRIBUTING.md");
    }
    Ok(())
}

#[test]
fn a_changed_statement_is_noticed() -> anyhow::Result<()> {
    let made = made()?;
    let changed = made.replace("REVOKE ALL ON ALL ROUTINES", "REVOKE EXECUTE ON ALL ROUTINES");
    assert_ne!(made, changed);
    let found = first_difference(&written_by_us(&changed), &written_by_us(&made));
    assert!(found.is_some_and(|found| found.contains("REVOKE EXECUTE")));
    // A statement at the end, and one that is gone.
    let added = format!("{made}\nSELECT 1;");
    assert!(first_difference(&written_by_us(&added), &written_by_us(&made)).is_some());
    assert!(first_difference(&written_by_us(&made), &written_by_us(&added)).is_some());
    Ok(())
}

/// pgrx writes the version of Cargo.toml into the control file; an update to it is compared by its numbers.
#[test]
fn the_version_is_three_numbers() {
    let numbers: Vec<_> = CURRENT.split('.').map(str::parse::<u32>).collect();
    assert!(numbers.len() == 3 && numbers.iter().all(Result::is_ok), "{CURRENT}");
}
