use super::*;

fn passes(story: &Story) {
    let offences = check(&story.history);
    assert!(offences.is_empty(), "{}", offences[0]);
}

#[test]
fn nothing() {
    passes(&Story::default());
}

#[test]
fn one_after_the_other() {
    let mut story = Story::default();
    story.take("a", "k", 1).write("a", "k", 1, 1).write("a", "k", 1, 2).release("a", "k", 1);
    story.take("b", "k", 2).write("b", "k", 2, 3).release("b", "k", 2);
    passes(&story);
}

#[test]
fn different_keys_at_once() {
    let mut story = Story::default();
    story.take("a", "k", 2).take("b", "l", 1).write("b", "l", 1, 1).write("a", "k", 2, 1);
    story.release("a", "k", 2).release("b", "l", 1);
    passes(&story);
}

#[test]
fn a_refusal() {
    let mut story = Story::default();
    story.take("a", "k", 1).ask_for("b", "k", Uuid::new_v4(), Answer::NotFree).release("a", "k", 1);
    passes(&story);
}

/// The holder dies, is cleaned up, and is refused when it comes back.
#[test]
fn a_zombie_that_is_fenced() {
    let mut story = Story::default();
    story.take("a", "k", 1).clean("a", "k", 1).take("b", "k", 2).write("b", "k", 2, 1);
    story.ask_to_write("a", "k", 1, Uuid::new_v4(), Answer::Refused);
    story.ask_to_release("a", "k", 1, Answer::NotHeld).release("b", "k", 2);
    passes(&story);
}

/// The writer was cut off, or killed: the write may have taken effect.
#[test]
fn an_unanswered_write_that_took_effect() {
    let mut story = Story::default();
    story.take("a", "k", 1).write_answered("a", "k", 1, 1, Answer::Nothing).clean("a", "k", 1);
    passes(&story);
}

#[test]
fn an_unanswered_write_that_did_not() {
    let mut story = Story::default();
    story.take("a", "k", 1).ask_to_write("a", "k", 1, Uuid::new_v4(), Answer::Nothing);
    story.write("a", "k", 1, 1).release("a", "k", 1);
    passes(&story);
}

/// The call was sent first, and took effect after another call that was sent and answered later.
#[test]
fn an_unanswered_write_that_took_effect_late() {
    let mut story = Story::default();
    let late = Uuid::new_v4();
    story.take("a", "k", 1).ask_to_write("a", "k", 1, late, Answer::Nothing);
    story.write("a", "k", 1, 1).wrote("k", 1, 2, late).release("a", "k", 1);
    passes(&story);
}

/// The answer of an acquire was lost; no client knows of the lock until it is cleaned up.
#[test]
fn an_unanswered_acquire_that_got_the_lock() {
    let mut story = Story::default();
    story.take_answered("a", "k", 1, Answer::Nothing).clean("a", "k", 1);
    passes(&story);
}

#[test]
fn an_unanswered_acquire_that_got_nothing() {
    let mut story = Story::default();
    story.ask_for("a", "k", Uuid::new_v4(), Answer::Nothing).take("b", "k", 1).release("b", "k", 1);
    passes(&story);
}

/// The first try got the lock, its answer was lost, the second came too late: the client's reaper releases it.
#[test]
fn an_acquire_in_vain_whose_lock_is_given_back_behind_the_scenes() {
    let mut story = Story::default();
    story.take_answered("a", "k", 1, Answer::NotFree).freed("k", 1);
    passes(&story);
}

/// The connection broke while the call waited. The call was sent again and served, and the first
/// sending was served after it. Or the client asked once more to find out whether it held a lock.
#[test]
fn a_request_that_was_served_twice() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story.ask_for("a", "k", request, Answer::Token(1)).taken("a", "k", 1, request).release("a", "k", 1);
    story.take("b", "l", 2).release("b", "l", 2);
    story.taken("a", "k", 3, request).freed("k", 3);
    passes(&story);
}

/// The caller learns only by the second try that the first one succeeded.
#[test]
fn an_unanswered_release() {
    let mut story = Story::default();
    story.take("a", "k", 1).ask_to_release("a", "k", 1, Answer::Nothing).freed("k", 1);
    story.ask_to_release("a", "k", 1, Answer::NotHeld);
    passes(&story);
}

/// Two concurrent calls may take effect in any order.
#[test]
fn calls_at_once() {
    let mut story = Story::default();
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    story.ask_for("a", "k", first, Answer::Token(2)).ask_for("b", "l", second, Answer::Token(1));
    story.history.calls[0].answered = story.history.calls[1].answered;
    story.taken("b", "l", 1, second).taken("a", "k", 2, first);
    story.release("a", "k", 2).release("b", "l", 1);
    passes(&story);
}

/// Its locks are removed with it, in the same transaction.
#[test]
fn a_service_that_leaves_in_order() {
    let mut story = Story::default();
    story.take("a", "k", 1).freed("k", 1).end("a");
    let xid = story.history.journal[1].xid.clone();
    story.history.journal[2].xid = xid;
    passes(&story);
}

/// A counter that jumps, as after a crash.
#[test]
fn tokens_with_gaps() {
    let mut story = Story::default();
    story.take("a", "k", 1).release("a", "k", 1).take("a", "k", 34).release("a", "k", 34);
    passes(&story);
}

#[test]
fn several_locks_at_once() {
    let mut story = Story::default();
    story
        .take_set("a", &[("k", Some(1)), ("l", Some(2))], true)
        .write("a", "l", 2, 1)
        .release("a", "k", 1)
        .release("a", "l", 2);
    story
        .ask_for("b", "k", Uuid::new_v4(), Answer::NotFree)
        .take_set("b", &[("l", Some(4)), ("k", Some(3))], true)
        .clean("b", "k", 3)
        .freed("l", 4);
    passes(&story);
}

/// The answer was lost. The repeated call takes what has been freed meanwhile, and keeps the rest.
#[test]
fn a_request_for_several_that_completes_what_it_has() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story
        .ask_for("a", "k", request, Answer::Nothing)
        .ask_for("a", "l", request, Answer::Nothing)
        .taken_at_once("a", &[("k", Some(1)), ("l", Some(2))], request)
        .freed("k", 1)
        .taken("a", "k", 3, request)
        .clean("a", "l", 2)
        .freed("k", 3);
    passes(&story);
}

/// The call took a part and gave it back before it committed.
#[test]
fn a_part_that_is_taken_back_at_once() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story
        .ask_for("a", "k", request, Answer::NotFree)
        .ask_for("a", "l", request, Answer::NotFree)
        .taken("a", "k", 1, request)
        .freed("k", 1);
    let xid = story.history.journal[0].xid.clone();
    story.history.journal[1].xid = xid;
    passes(&story);
}

/// The repeated call was answered. The first sending may still
/// run, and the client checks for it when the locks are released.
#[test]
fn a_request_for_several_that_is_settled_after_it_was_answered() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story.ask_for("a", "k", request, Answer::Token(1)).ask_for("a", "l", request, Answer::Token(2)).taken_at_once(
        "a",
        &[("k", Some(1)), ("l", Some(2))],
        request,
    );
    story.release("a", "k", 1).release("a", "l", 2);
    story.taken("a", "k", 3, request).freed("k", 3);
    passes(&story);
}

/// The client doesn't know the result of its request, and asks for each of the locks alone to give it back.
#[test]
fn a_request_for_several_that_is_settled() {
    let mut story = Story::default();
    let request = Uuid::new_v4();
    story
        .ask_for("a", "k", request, Answer::Nothing)
        .ask_for("a", "l", request, Answer::Nothing)
        .taken("a", "k", 1, request)
        .freed("k", 1)
        .taken("a", "l", 2, request)
        .freed("l", 2);
    passes(&story);
}

/// Each key has its own order, and a journal of a storage may begin in the middle of its tokens.
#[test]
fn a_smaller_token_on_another_key() {
    let mut story = Story::default();
    story
        .take("a", "k", 7)
        .write("a", "k", 7, 1)
        .take("b", "l", 3)
        .write("b", "l", 3, 1)
        .release("a", "k", 7)
        .release("b", "l", 3);
    passes(&story);
}

#[test]
fn an_end_as_recorded() {
    let mut story = Story::default();
    story.left("k", "4 MiB", "4 MiB");
    passes(&story);
}

/// The second call was under way when the first was answered, so its number may have been drawn before.
#[test]
fn numbers_of_calls_at_the_same_time() {
    let mut story = Story::default();
    story.register("a", 2).register("b", 1).take("a", "k", 9).take("b", "l", 8);
    for call in &mut story.history.calls {
        call.asked = 1;
    }
    assert!(story.broken_numbers().is_empty());
}
