//! A date that jumps by an hour: leases are measured by clocks that can't be set.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;
use volguard_tests::faketime;
use volguard_tests::scenario::{Conduct, Direction, Route, Site};

use super::stage::Stage;
use super::{LEASE, block};

const HOUR: u64 = 3600;

/// The date that libfaketime shows to one process: an offset, which it reads from a file at every call.
struct Date {
    offset: PathBuf,
}

impl Date {
    fn new() -> anyhow::Result<Date> {
        let offset = std::env::temp_dir().join(Uuid::new_v4().to_string());
        let date = Date { offset };
        date.jump("+0")?;
        Ok(date)
    }

    fn jump(&self, offset: &str) -> anyhow::Result<()> {
        Ok(fs::write(&self.offset, offset)?)
    }

    fn environment(&self) -> anyhow::Result<[(&'static str, String); 4]> {
        Ok([
            ("LD_PRELOAD", faketime::library()?),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // Only the date.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ])
    }
}

impl Drop for Date {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.offset);
    }
}

/// The process itself has to see that date; what it was told is not enough.
async fn must_be_seen(stage: &mut Stage, offset: i64) -> anyhow::Result<()> {
    let seen = stage.first.date().await?;
    let here = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let off = here.saturating_add_signed(offset).abs_diff(seen);
    assert!(off < 60, "the process sees {seen}, {off} s off");
    Ok(())
}

#[tokio::test]
async fn a_date_that_jumps_ahead_ends_no_lease() -> anyhow::Result<()> {
    let (site, date) = (Site::new(Route::Direct)?, Date::new()?);
    let environment = date.environment()?;
    let mut stage = Stage::set(&site, LEASE, Conduct::Guarded, &environment).await?;
    must_be_seen(&mut stage, 0).await?;
    date.jump(&format!("+{HOUR}"))?;
    must_be_seen(&mut stage, HOUR.cast_signed()).await?;
    stage.until_heartbeats_of(LEASE * 2).await?;
    let turns = stage.disk.audit()?;
    assert!(turns.len() == 1 && turns[0].token == stage.token, "{turns:?}");
    stage.first.stop().await?;
    stage.second.until_it_holds().await?;
    stage.second.stop().await?;
    stage.disk.audit()?;
    stage.disk.remove()
}

/// The lease ends on the server, and by the date it has just begun.
async fn back(conduct: Conduct) -> anyhow::Result<(Stage, Date)> {
    let (site, date) = (Site::new(Route::Direct)?, Date::new()?);
    let environment = date.environment()?;
    let mut stage = Stage::set(&site, LEASE, conduct, &environment).await?;
    date.jump(&format!("-{HOUR}"))?;
    must_be_seen(&mut stage, -HOUR.cast_signed()).await?;
    block(&stage.proxy, &[Direction::Request]);
    Ok((stage, date))
}

#[tokio::test]
async fn a_date_that_jumps_back_makes_no_lease_longer() -> anyhow::Result<()> {
    let (mut stage, _date) = back(Conduct::Guarded).await?;
    stage.first.until_it_is_lost().await?;
    let heir = stage.second.until_it_holds().await?;
    stage.until_written(heir).await?;
    let turns = stage.disk.audit()?;
    let tokens: Vec<_> = turns.iter().map(|turn| turn.token).collect();
    assert_eq!(tokens, [stage.token, heir]);
    stage.disk.remove()
}

/// Written by hand, in the usual way.
#[tokio::test]
async fn without_a_monotonic_clock_two_write() -> anyhow::Result<()> {
    let (mut stage, _date) = back(Conduct::ByWallClock).await?;
    let heir = stage.second.until_it_holds().await?;
    stage.must_show_two_writers(heir).await
}

/// The hand-written one works otherwise: the test above does not fail it for another reason.
#[tokio::test]
async fn counting_by_the_date_works_while_it_is_not_set() -> anyhow::Result<()> {
    let (site, date) = (Site::new(Route::Direct)?, Date::new()?);
    let environment = date.environment()?;
    let mut stage = Stage::set(&site, LEASE, Conduct::ByWallClock, &environment).await?;
    block(&stage.proxy, &[Direction::Request]);
    stage.first.until_it_is_lost().await?;
    let heir = stage.second.until_it_holds().await?;
    stage.until_written(heir).await?;
    stage.disk.audit()?;
    stage.disk.remove()
}
