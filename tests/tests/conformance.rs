//! The conformance test tests itself: a program that keeps all rules passes, and each rule that is broken is noticed.
//!
//! The long ones are run by `make test-languages`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use volguard_tests::conformance::{AT_ONCE, CHECKS, Check, Subject, all_of, check_all, table};
use volguard_tests::scenario::Route;

/// A rule that `rule-breaker` breaks, the checks that must notice, and what they must say.
const BREACHES: &[(&str, &[&str], &str)] = &[
    ("no-log-lock", &["serves", "acquire-lost", "release-lost"], "End(Piece"),
    ("no-wait", &["serves"], "in vain for a wait for the lock of manager-log"),
    ("shared-connection", &["heartbeat"], "the connection of the heartbeats carries"),
    ("from-answer", &["lease"], "after the server's end of the lease"),
    ("whole-lease", &["lease"], "after the server's end of the lease"),
    ("works-on", &["no-heartbeats", "pause", "fenced"], "after `lost`"),
    ("patient-heartbeat", &["new-connection"], "in vain for the next heartbeat"),
    ("clock-stops", &["pause"], "no `lost` within 60 s"),
    ("ignores-fence", &["fenced"], "heartbeats were"),
    ("forgets-work", &["next-work-lost", "cut-waiting"], "the work on v1 to be done"),
    ("gives-back-once", &["cut-waiting"], "the work on v1 to be done"),
    ("acquires-anew", &["acquire-lost"], "the answer was lost"),
    ("finish-refused", &["finish-lost"], "the answer was lost"),
    ("finishes-once", &["finish-lost"], "the call was lost"),
    ("releases-once", &["release-lost"], "the call was lost"),
    ("dies-waiting", &["cut-waiting", "next-work-lost", "restart"], "the connection broke"),
    ("dies-idle", &["cut-working"], "the connection broke"),
    ("dies-of-shutdown", &["restart"], "the server shuts down"),
    ("unfenced-write", &["refused"], "it has written [extending 61] to v1"),
    ("ends-refused", &["refused"], "no `refused "),
    ("no-cleanup", &["repairs"], "no `begin TOKEN v1`"),
    ("takes-more", &["stop-working"], "it began another piece after SIGTERM"),
    ("stops-registered", &["stop-working", "stop-waiting", "stop-cut-off"], "the service is still registered"),
    ("deaf-waiting", &["stop-waiting"], "it goes on after 60 s"),
    ("stops-unheard", &["stop-cut-off"], "it said `stopped`"),
    ("starts-for-ever", &["start"], "it goes on after"),
];

fn breaker(breach: Option<&str>, route: Route) -> Subject {
    let environment = breach.map(|name| ("BREAK".to_owned(), name.to_owned())).into_iter().collect();
    Subject { command: env!("CARGO_BIN_EXE_rule-breaker").to_owned(), environment, route }
}

fn named(name: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.name == name).expect("a check of this name")
}

#[test]
fn the_manual_has_each_check_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/write-a-client.md");
    let manual = fs::read_to_string(path).expect("the manual");
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let documented: BTreeSet<&str> = rows.map(|(name, _)| name).filter(|name| !name.contains(['(', '_'])).collect();
    let checks: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(documented, checks);
}

#[test]
fn each_check_has_a_program_that_fails_it() {
    let failed: BTreeSet<&str> = BREACHES.iter().flat_map(|(_, checks, _)| *checks).copied().collect();
    let checks: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(failed, checks);
}

#[test]
#[ignore = "takes minutes"]
fn each_broken_rule_is_noticed() {
    let mut pairs = Vec::new();
    let mut expected = Vec::new();
    for (breach, checks, why) in BREACHES {
        for check in *checks {
            pairs.push((named(check), breaker(Some(breach), Route::Direct)));
            expected.push((breach, check, why));
        }
    }
    let mut wrong = Vec::new();
    for ((breach, check, why), verdict) in expected.into_iter().zip(check_all(&pairs, AT_ONCE)) {
        let said = verdict.map_or_else(|error| format!("FAILED {error:#}"), |measured| format!("ok {measured}"));
        println!("{breach}: {check} {said}");
        if !said.starts_with("FAILED") || !said.contains(why) {
            wrong.push(format!("{breach}: {check} {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each program under all checks, of which only its own may fail. `BREACHES` names some programs, by a comma between
/// two: each check leaves a database until the end.
#[test]
#[ignore = "takes ten minutes"]
fn no_other_check_fails() {
    const MANY_AT_ONCE: usize = 20;
    let wanted = std::env::var("BREACHES").ok();
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|names| names.split(',').any(|wanted| wanted == name));
    let breaches: Vec<_> = BREACHES.iter().filter(|(name, ..)| is_wanted(name)).collect();
    let pairs: Vec<_> = breaches.iter().flat_map(|(name, ..)| all_of(&breaker(Some(name), Route::Direct))).collect();
    let verdicts = check_all(&pairs, MANY_AT_ONCE);
    let mut wrong = Vec::new();
    for ((breach, expected, _), verdicts) in breaches.iter().zip(verdicts.chunks(CHECKS.len())) {
        let checks = CHECKS.iter().zip(verdicts);
        let failed: BTreeSet<&str> =
            checks.filter(|(_, verdict)| verdict.is_err()).map(|(check, _)| check.name).collect();
        println!("{breach}: {failed:?}");
        if failed != expected.iter().copied().collect() {
            let all: Vec<_> = CHECKS.iter().collect();
            wrong.push(format!("{breach}: {failed:?}\n{}", table(&all, verdicts)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn conforms(route: Route) {
    let verdicts = check_all(&all_of(&breaker(None, route)), AT_ONCE);
    let all: Vec<_> = CHECKS.iter().collect();
    assert!(verdicts.iter().all(Result::is_ok), "{}", table(&all, &verdicts));
}

#[test]
#[ignore = "takes a minute"]
fn a_program_that_keeps_all_rules_passes() {
    conforms(Route::Direct);
}

#[test]
#[ignore = "takes a minute"]
fn so_it_does_through_a_pooler() {
    conforms(Route::Pooled);
}
