//! Submitted work. Services are 1 and 2, the key is `k`, the first piece is number 10.

use super::*;
use crate::history::{Finish, Piece};

fn key() -> String {
    "k".to_owned()
}

/// A piece as it was submitted.
fn piece(work: i64, request: Uuid) -> Piece {
    Piece { work, token: work, service: None, status: "first".to_owned(), attempt: 1, request }
}

impl Story {
    /// The transaction that these changes are in.
    fn commit(&mut self, changes: impl IntoIterator<Item = Change>) -> &mut Self {
        let first = self.history.journal.len();
        changes.into_iter().for_each(|change| self.entry(change));
        for entry in &mut self.history.journal[first..] {
            entry.xid = format!("of {first}");
        }
        self
    }

    fn row(&mut self, piece: &Piece) -> &mut Self {
        self.commit([Change::Work { key: key(), piece: piece.clone() }])
    }

    fn submit(&mut self, piece: &Piece) -> &mut Self {
        let Piece { work, request, .. } = *piece;
        self.call("api", Act::Submit { key: key(), request }, Answer::Submitted(work));
        self.commit([Change::Work { key: key(), piece: piece.clone() }, status("first", request, None)])
    }

    /// The service takes it, under this token.
    fn give(&mut self, piece: &mut Piece, service: i64, token: i64) -> &mut Self {
        self.call("manager", Act::Take { service }, Answer::Token(token));
        (piece.service, piece.token) = (Some(service), token);
        self.row(piece)
    }

    fn finish(&mut self, piece: &Piece) -> &mut Self {
        self.ask_to_finish(piece, Answer::Written).ended(piece, Finish::Done)
    }

    fn ask_to_finish(&mut self, piece: &Piece, answer: Answer) -> &mut Self {
        self.call("manager", Act::Finish { token: piece.token, how: Finish::Done }, answer);
        self
    }

    fn ended(&mut self, piece: &Piece, how: Finish) -> &mut Self {
        let row = Change::WorkEnded { key: key(), token: piece.token };
        self.commit([row, status("idle", piece.request, Some(how))])
    }
}

fn status(status: &str, request: Uuid, how: Option<Finish>) -> Change {
    Change::Status { key: key(), status: status.to_owned(), request, how }
}

/// A piece that waits again, after so many attempts.
fn waiting(piece: &mut Piece, attempt: i64) -> &Piece {
    (piece.service, piece.token, piece.attempt) = (None, piece.work, attempt);
    piece
}

/// A story with a piece of work in it.
fn story() -> (Story, Piece) {
    let (mut story, piece) = (Story::default(), piece(10, Uuid::new_v4()));
    story.submit(&piece);
    (story, piece)
}

#[test]
fn submitted_given_back_passed_on_and_done() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).call("manager", Act::GiveBack { service: 1 }, Answer::Nothing);
    story.row(waiting(&mut piece, 1)).give(&mut piece, 2, 12);
    story.call("manager", Act::Pass { token: 12 }, Answer::Written);
    piece.status = "second".to_owned();
    let row = Change::Work { key: key(), piece: waiting(&mut piece, 1).clone() };
    story.commit([row, status("second", piece.request, None)]).give(&mut piece, 1, 13).finish(&piece);
    let next = self::piece(20, Uuid::new_v4());
    story.submit(&next).call("api", Act::Cancel { work: 20 }, Answer::Written);
    story.ended(&next, Finish::Cancelled);
    assert_eq!(story.broken(), []);
}

/// The first sending did it and got no answer. Other work was confirmed before the second one was sent.
#[test]
fn submitted_by_a_request_that_is_sent_again() {
    let (mut story, mut piece) = (Story::default(), piece(10, Uuid::new_v4()));
    story.call("api", Act::Submit { key: key(), request: piece.request }, Answer::Nothing);
    story.commit([Change::Work { key: key(), piece: piece.clone() }, status("first", piece.request, None)]);
    story.take("b", "other", 11).release("b", "other", 11);
    story.call("api", Act::Submit { key: key(), request: piece.request }, Answer::Submitted(10));
    story.give(&mut piece, 1, 12).finish(&piece);
    assert_eq!(story.broken(), []);
}

#[test]
fn tried_again_and_rolled_back() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).end("a").row(waiting(&mut piece, 2));
    story.give(&mut piece, 2, 12).end("b").ended(&piece, Finish::RolledBack);
    assert_eq!(story.broken(), []);
}

#[test]
fn claimed_and_done() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).end("a").give(&mut piece, 2, 12).finish(&piece);
    assert_eq!(story.broken(), []);
}

#[test]
fn a_status_without_its_work() {
    let (mut story, mut piece) = story();
    story.commit([status("first", Uuid::new_v4(), None)]);
    story.commit([status("first", piece.request, None)]).give(&mut piece, 1, 11).finish(&piece);
    assert_eq!(story.broken(), [Rule::StatusWithWork]);
}

#[test]
fn work_without_its_status() {
    let mut story = Story::default();
    let piece = piece(10, Uuid::new_v4());
    story.call("api", Act::Submit { key: key(), request: piece.request }, Answer::Submitted(10));
    story.row(&piece);
    assert_eq!(story.broken(), [Rule::ReleasedOrCleaned, Rule::StatusWithWork]);
}

#[test]
fn a_request_that_submits_twice() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).finish(&piece);
    let mut again = self::piece(20, piece.request);
    story.commit([Change::Work { key: key(), piece: again.clone() }, status("first", piece.request, None)]);
    story.give(&mut again, 1, 21).finish(&again);
    assert_eq!(story.broken(), [Rule::SubmittedOnce]);
}

#[test]
fn work_that_two_services_take() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).give(&mut piece, 2, 12).finish(&piece);
    assert_eq!(story.broken(), [Rule::OneHolder]);
}

#[test]
fn work_that_a_dead_service_takes() {
    let (mut story, mut piece) = story();
    story.end("a").give(&mut piece, 1, 11).finish(&piece);
    assert_eq!(story.broken(), [Rule::DeadStayDead]);
}

#[test]
fn work_that_a_living_service_loses() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).row(waiting(&mut piece, 2)).give(&mut piece, 2, 12).finish(&piece);
    assert_eq!(story.broken(), [Rule::OnlyTheDeadLoseLocks]);
}

#[test]
fn work_that_is_lost() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).commit([Change::WorkEnded { key: key(), token: 11 }]);
    assert_eq!(story.broken(), [Rule::StatusWithWork, Rule::EndedOnce]);
}

#[test]
fn work_that_waits_for_ever() {
    assert_eq!(story().0.broken(), [Rule::ReleasedOrCleaned]);
}

#[test]
fn work_that_is_ended_twice() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).finish(&piece);
    story.commit([status("idle", piece.request, Some(Finish::Cancelled))]);
    assert_eq!(story.broken(), [Rule::EndedOnce]);
}

#[test]
fn an_end_that_was_refused() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).ask_to_finish(&piece, Answer::Refused).ended(&piece, Finish::Done);
    assert_eq!(story.broken(), [Rule::EndedOnce]);
}

#[test]
fn an_end_that_did_not_come() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).ask_to_finish(&piece, Answer::Written).end("a");
    story.row(waiting(&mut piece, 2)).give(&mut piece, 2, 12).finish(&piece);
    assert_eq!(story.broken(), [Rule::ConfirmedIsDone]);
}

#[test]
fn a_submit_that_was_refused() {
    let (mut story, piece) = story();
    story.history.calls[0].answer = Answer::NotFree;
    story.call("api", Act::Cancel { work: 10 }, Answer::Written);
    story.ended(&piece, Finish::Cancelled);
    assert_eq!(story.broken(), [Rule::RefusedIsNotDone]);
}

#[test]
fn a_rule_before_the_next_attempt() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).end("a").ended(&piece, Finish::RolledBack);
    assert_eq!(story.broken(), [Rule::AttemptsGrow]);
}

#[test]
fn a_crash_that_is_not_counted() {
    let (mut story, mut piece) = story();
    story.give(&mut piece, 1, 11).call("manager", Act::GiveBack { service: 1 }, Answer::Nothing);
    story.row(waiting(&mut piece, 0)).give(&mut piece, 2, 12).finish(&piece);
    assert_eq!(story.broken(), [Rule::AttemptsGrow]);
}

/// One call was over before the work was taken, the other was made after the loss.
#[test]
fn work_that_is_lost_between_two_calls_that_give_back() {
    let (mut story, mut piece) = story();
    story.call("manager", Act::GiveBack { service: 1 }, Answer::Released);
    story.give(&mut piece, 1, 11).row(waiting(&mut piece, 1)).give(&mut piece, 2, 12);
    story.call("manager", Act::GiveBack { service: 1 }, Answer::Released);
    story.finish(&piece);
    assert_eq!(story.broken(), [Rule::OnlyTheDeadLoseLocks]);
}
