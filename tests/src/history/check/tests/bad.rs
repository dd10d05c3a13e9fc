use super::*;

#[test]
fn overlapping_holders() {
    let mut story = Story::default();
    story.take("a", "k", 1).take("b", "k", 2).release("a", "k", 1).release("b", "k", 2);
    assert_eq!(story.broken(), [Rule::OneHolder]);
}

/// The rule is broken even if neither client was told of its lock.
#[test]
fn overlapping_holders_that_were_not_answered() {
    let mut story = Story::default();
    story.take_answered("a", "k", 1, Answer::Nothing).take_answered("b", "k", 2, Answer::Nothing);
    story.freed("k", 2).freed("k", 1);
    assert_eq!(story.broken(), [Rule::OneHolder]);
}

#[test]
fn a_token_that_is_smaller() {
    let mut story = Story::default();
    story.take("a", "k", 2).release("a", "k", 2).take("b", "k", 1).release("b", "k", 1);
    assert_eq!(story.broken(), [Rule::TokensGrow]);
}

#[test]
fn a_token_that_comes_again() {
    let mut story = Story::default();
    story.take("a", "k", 1).release("a", "k", 1).take("b", "k", 1).release("b", "k", 1);
    assert!(story.broken().contains(&Rule::TokensGrow));
}

#[test]
fn a_lock_that_was_freed_twice() {
    let mut story = Story::default();
    story.take("a", "k", 1).release("a", "k", 1).freed("k", 1);
    assert_eq!(story.broken(), [Rule::FreedOnce]);
}

/// The lock of the first is lost with its server, so the journal knows only the second.
#[test]
fn a_token_that_a_lost_server_has_given_comes_again() {
    let mut story = Story::default();
    story.ask_for("a", "k", Uuid::new_v4(), Answer::Token(7));
    story.take("b", "other", 7).release("b", "other", 7);
    assert_eq!(story.broken_numbers(), [Rule::TokensUnique]);
}

#[test]
fn a_token_that_is_smaller_than_one_of_a_lost_server() {
    let mut story = Story::default();
    story.ask_for("a", "k", Uuid::new_v4(), Answer::Token(7));
    story.take("b", "other", 6).release("b", "other", 6);
    assert_eq!(story.broken_numbers(), [Rule::TokensGrow]);
}

#[test]
fn a_service_id_that_comes_again() {
    let mut story = Story::default();
    story.register("a", 1).register("b", 1);
    assert_eq!(story.broken_numbers(), [Rule::IdsUnique]);
}

#[test]
fn a_service_id_that_is_smaller() {
    let mut story = Story::default();
    story.register("a", 2).register("b", 1);
    assert_eq!(story.broken_numbers(), [Rule::IdsGrow]);
}

/// The zombie's write arrives after its lock has gone to another service.
#[test]
fn a_write_after_the_lock_was_cleaned() {
    let mut story = Story::default();
    story.take("a", "k", 1).clean("a", "k", 1).take("b", "k", 2);
    story.write("a", "k", 1, 1).release("b", "k", 2);
    assert_eq!(story.broken(), [Rule::WritesUnderLock, Rule::DeadStayDead]);
}

/// The rule is broken even if no other service has taken the lock since.
#[test]
fn a_write_after_the_release() {
    let mut story = Story::default();
    story.take("a", "k", 1).release("a", "k", 1).write("a", "k", 1, 1);
    assert_eq!(story.broken(), [Rule::WritesUnderLock]);
}

#[test]
fn an_unanswered_write_after_the_release() {
    let mut story = Story::default();
    story.take("a", "k", 1).release("a", "k", 1).write_answered("a", "k", 1, 1, Answer::Nothing);
    assert_eq!(story.broken(), [Rule::WritesUnderLock]);
}

#[test]
fn a_write_with_an_unknown_token() {
    let mut story = Story::default();
    story.write("a", "k", 7, 1);
    assert_eq!(story.broken(), [Rule::WritesUnderLock]);
}

#[test]
fn a_write_with_the_token_of_another_key() {
    let mut story = Story::default();
    story.take("a", "l", 1).write("a", "k", 1, 1).release("a", "l", 1);
    assert_eq!(story.broken(), [Rule::WritesWithOwnToken]);
}

#[test]
fn a_lost_update() {
    let mut story = Story::default();
    story.take("a", "k", 1).write("a", "k", 1, 1).write("a", "k", 1, 1).release("a", "k", 1);
    assert_eq!(story.broken(), [Rule::NoLostUpdate]);
}

#[test]
fn a_write_that_took_effect_twice() {
    let mut story = Story::default();
    let write = Uuid::new_v4();
    story.take("a", "k", 1).ask_to_write("a", "k", 1, write, Answer::Written);
    story.wrote("k", 1, 1, write).wrote("k", 1, 2, write).release("a", "k", 1);
    assert_eq!(story.broken(), [Rule::WrittenOnce]);
}

#[test]
fn a_refused_write_that_took_effect() {
    let mut story = Story::default();
    story.take("a", "k", 1).write_answered("a", "k", 1, 1, Answer::Refused).release("a", "k", 1);
    assert_eq!(story.broken(), [Rule::RefusedIsNotDone]);
}

#[test]
fn a_confirmed_write_that_is_lost() {
    let mut story = Story::default();
    story.take("a", "k", 1).ask_to_write("a", "k", 1, Uuid::new_v4(), Answer::Written);
    story.release("a", "k", 1);
    assert_eq!(story.broken(), [Rule::ConfirmedIsDone]);
}

#[test]
fn a_confirmed_acquire_without_a_row() {
    let mut story = Story::default();
    story.ask_for("a", "k", Uuid::new_v4(), Answer::Token(1));
    assert_eq!(story.broken(), [Rule::ConfirmedIsDone]);
}

#[test]
fn an_acquire_that_was_told_another_token() {
    let mut story = Story::default();
    story.take_answered("a", "k", 1, Answer::Token(2)).freed("k", 1);
    assert_eq!(story.broken(), [Rule::ConfirmedIsDone]);
}

#[test]
fn an_acquire_that_got_another_key() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story.ask_for("a", "k", request, Answer::Token(1)).taken("a", "l", 1, request);
    story.end("a").freed("l", 1);
    assert_eq!(story.broken(), [Rule::ConfirmedIsDone, Rule::OnlyWhatWasAsked]);
}

#[test]
fn an_acquire_for_another_service() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story.ask_for("a", "k", request, Answer::Token(1)).taken("b", "k", 1, request);
    story.end("b").freed("k", 1);
    assert_eq!(story.broken(), [Rule::ConfirmedIsDone]);
}

#[test]
fn a_confirmed_release_of_what_is_still_held() {
    let mut story = Story::default();
    story.take("a", "k", 1).ask_to_release("a", "k", 1, Answer::Released);
    assert_eq!(story.broken(), [Rule::ConfirmedIsDone, Rule::ReleasedOrCleaned]);
}

#[test]
fn a_lock_that_is_left_behind() {
    let mut story = Story::default();
    story.take_answered("a", "k", 1, Answer::Nothing);
    assert_eq!(story.broken(), [Rule::ReleasedOrCleaned]);
}

/// Its service was never fenced, and it did not release the lock.
#[test]
fn a_lock_that_is_taken_away_from_the_living() {
    let mut story = Story::default();
    story.take("a", "k", 1).freed("k", 1).take("b", "k", 2).release("b", "k", 2);
    assert_eq!(story.broken(), [Rule::OnlyTheDeadLoseLocks]);
}

/// The release was sent later than the lock was freed.
#[test]
fn a_lock_that_is_taken_away_before_its_release() {
    let mut story = Story::default();
    story.take("a", "k", 1).freed("k", 1).take("b", "k", 2);
    story.ask_to_release("a", "k", 1, Answer::NotHeld).release("b", "k", 2);
    assert_eq!(story.broken(), [Rule::OnlyTheDeadLoseLocks]);
}

#[test]
fn a_dead_service_that_takes_a_lock() {
    let mut story = Story::default();
    story.end("a").take("a", "k", 1).freed("k", 1);
    assert_eq!(story.broken(), [Rule::DeadStayDead]);
}

/// One write was confirmed before the other was sent, so the other can't come before it.
#[test]
fn an_order_that_contradicts_time() {
    let mut story = Story::default();
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    story.ask_for("a", "k", first, Answer::Token(2)).ask_for("b", "l", second, Answer::Token(1));
    story.taken("b", "l", 1, second).taken("a", "k", 2, first);
    story.release("a", "k", 2).release("b", "l", 1);
    assert_eq!(story.broken(), [Rule::OrderOfTime]);
}

#[test]
fn a_lock_without_a_request() {
    let mut story = Story::default();
    story.taken("a", "k", 1, Uuid::new_v4()).freed("k", 1);
    assert_eq!(story.broken(), [Rule::OnlyWhatWasAsked]);
}

#[test]
fn a_write_without_a_request() {
    let mut story = Story::default();
    story.take("a", "k", 1).wrote("k", 1, 1, Uuid::new_v4()).release("a", "k", 1);
    assert_eq!(story.broken(), [Rule::OnlyWhatWasAsked]);
}

/// The message must tell its reader what happened.
#[test]
fn an_offence_shows_its_events() {
    let mut story = Story::default();
    story.take("a", "k", 1).take("b", "k", 2).release("a", "k", 1).release("b", "k", 2);
    let text = check(&story.history)[0].to_string();
    assert!(text.starts_with("two hold one key:\n    1: transaction 701"), "{text}");
    assert!(text.contains("\n    2: transaction 702"), "{text}");
}

#[test]
fn a_part_of_several_locks() {
    let mut story = Story::default();
    story.take_set("a", &[("k", Some(1)), ("l", None)], true).clean("a", "k", 1);
    assert_eq!(story.broken(), [Rule::AllOrNone]);
}

#[test]
fn a_part_of_several_locks_without_an_answer() {
    let mut story = Story::default();
    story.take_set("a", &[("k", Some(1)), ("l", Some(2)), ("m", None)], false).clean("a", "k", 1).freed("l", 2);
    assert_eq!(story.broken(), [Rule::AllOrNone]);
}

/// The call gets all of them in the end, but another call could take one in between.
#[test]
fn several_locks_one_after_the_other() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story
        .ask_for("a", "k", request, Answer::Token(1))
        .ask_for("a", "l", request, Answer::Token(2))
        .taken("a", "k", 1, request)
        .taken("a", "l", 2, request);
    story.release("a", "k", 1).release("a", "l", 2);
    assert_eq!(story.broken(), [Rule::AllOrNone]);
}

/// The request is known, but not for this key.
#[test]
fn a_lock_beside_those_that_were_asked_for() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story.ask_for("a", "k", request, Answer::Token(1)).taken_at_once("a", &[("k", Some(1)), ("l", Some(2))], request);
    story.release("a", "k", 1).freed("l", 2);
    assert_eq!(story.broken(), [Rule::OnlyWhatWasAsked]);
}

/// The call was answered before another one was sent, and takes effect after it: as if a crash had undone it first.
#[test]
fn a_release_that_takes_effect_late() {
    let mut story = Story::default();
    story
        .take("a", "k", 1)
        .ask_to_release("a", "k", 1, Answer::Released)
        .take("b", "l", 2)
        .freed("k", 1)
        .release("b", "l", 2);
    assert_eq!(story.broken(), [Rule::OrderOfTime]);
}

/// A storage without a fence accepts it, although both writers believe that they hold the lock.
#[test]
fn a_write_after_one_with_a_larger_token() {
    let mut story = Story::default();
    story.take("a", "k", 1).take("b", "k", 2);
    story.write("b", "k", 2, 1).write("a", "k", 1, 2);
    story.release("a", "k", 1).release("b", "k", 2);
    assert_eq!(story.broken(), [Rule::OneHolder, Rule::NewestTokenWrites]);
}

#[test]
fn a_resource_that_is_not_as_recorded() {
    let mut story = Story::default();
    story.left("k", "4 MiB", "4 MiB").left("l", "4 MiB", "5 MiB");
    assert_eq!(story.broken(), [Rule::EndsAsRecorded]);
}
