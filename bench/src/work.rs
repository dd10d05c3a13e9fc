//! The cost of a whole operation on a volume: take its lock, set its status, set it back, and free the lock.

use anyhow::Result;

use crate::options::Options;
use crate::score::Score;
use crate::stage::Stage;
use crate::target::Goal;
use crate::visitor::Parameter::{Service, Token, Volume, VolumeText};
use crate::visitor::{Method, compare};

pub const NAME: &str = "work";
/// `start_work` and `finish_work`: two commits.
const TWO: &str = "two calls";
/// `acquire`, `conditional_update`, `conditional_update`, `release`: four commits.
const FOUR: &str = "four calls";
/// The changes of the two calls in plain SQL, without cleanup, fencing and waiting.
const BY_HAND: &str = "by hand";

pub async fn run(stage: &Stage, options: &Options) -> Result<Score> {
    let mut score = Score::new(NAME, "operations", options.pace(5, 1.2));
    let database = stage.database(NAME, include_str!("../sql/work/schema.sql"));
    let (database, clients) = (database.await?, options.clients(&[1, 16]));
    database.vacuum("volumes").await?;
    let (cells, tables) = (("whole operation", &clients[..]), "volguard.workers, locks");
    let cells = compare(&mut score, &database, methods(), cells, Some(tables)).await?;
    for cell in &cells {
        score.aim(Goal::AtLeast(0.8), cell, TWO, BY_HAND);
        score.aim(Goal::AtLeast(1.5), cell, TWO, FOUR);
    }
    Ok(score)
}

fn methods() -> Vec<Method> {
    let two = [
        (include_str!("../sql/work/start_work.sql"), vec![Service, VolumeText]),
        (include_str!("../sql/work/finish_work.sql"), vec![Token]),
    ];
    let four = [
        (include_str!("../sql/work/acquire.sql"), vec![Service, VolumeText]),
        (include_str!("../sql/work/begin.sql"), vec![Volume, Token]),
        (include_str!("../sql/work/end.sql"), vec![Volume, Token]),
        (include_str!("../sql/work/release.sql"), vec![Token]),
    ];
    let by_hand = [
        (include_str!("../sql/work/start_by_hand.sql"), vec![Service, Volume]),
        (include_str!("../sql/work/finish_by_hand.sql"), vec![Token]),
    ];
    vec![Method::new(TWO, two), Method::new(FOUR, four), Method::new(BY_HAND, by_hand)]
}
