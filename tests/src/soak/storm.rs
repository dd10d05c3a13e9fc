//! Faults, one after the other, and their ends.

use std::collections::BTreeMap;

use fastrand::Rng;
use tokio::time::{Instant, sleep_until};

use super::deck::Deck;
use super::fleet::Fleet;
use super::stage::Stage;
use super::{Fault, Options};

/// How often each kind of fault came.
pub(super) type Faults = BTreeMap<Fault, u64>;

/// A fault that has to be ended later.
#[derive(Debug, Clone, Copy)]
enum Remedy {
    Wake(usize),
    Resume(usize),
}

struct Storm<'a, 'b> {
    options: &'a Options,
    stage: &'b mut Stage,
    fleet: &'b mut Fleet<'a>,
    remedies: Vec<(Instant, Remedy)>,
    faults: Faults,
    rng: Rng,
}

/// Runs the storm, and ends every fault at its end.
pub(super) async fn storm<'a>(
    options: &'a Options,
    stage: &mut Stage,
    fleet: &mut Fleet<'a>,
) -> anyhow::Result<Faults> {
    let end = Instant::now() + options.duration;
    let mut storm = Storm {
        options,
        stage,
        fleet,
        remedies: Vec::new(),
        faults: Faults::new(),
        rng: Rng::with_seed(options.seed.wrapping_add(1)),
    };
    let mut deck = Deck::of(&options.deck);
    loop {
        let next = Instant::now() + options.gap.mul_f64(2.0 * storm.rng.f64());
        storm.remedy_until(next.min(end)).await?;
        if Instant::now() >= end {
            break;
        }
        if let Some(fault) = deck.deal(&mut storm.rng)
            && storm.strike(fault).await?
        {
            *storm.faults.entry(fault).or_default() += 1;
        }
    }
    for (_, remedy) in std::mem::take(&mut storm.remedies) {
        storm.put_right(remedy)?;
    }
    let cuts = storm.stage.cuts();
    storm.faults.insert(Fault::Cut, cuts);
    Ok(storm.faults)
}

impl Storm<'_, '_> {
    /// False if there was nothing to hit.
    async fn strike(&mut self, fault: Fault) -> anyhow::Result<bool> {
        let number = self.rng.usize(0..self.fleet.len());
        match fault {
            Fault::Kill => self.fleet.kill(number, |number, name| self.stage.url(number, name)).await?,
            Fault::Freeze => {
                self.fleet.freeze(number)?;
                self.later(Remedy::Wake(number));
            }
            Fault::Terminate => return self.stage.signal("pg_terminate_backend").await,
            Fault::Cancel => return self.stage.signal("pg_cancel_backend").await,
            Fault::Cut => {
                self.stage.cut(&mut self.rng);
                // It is counted when it has been made.
                return Ok(false);
            }
            Fault::Stall => {
                let proxy = self.stage.stall(&mut self.rng);
                self.later(Remedy::Resume(proxy));
            }
            Fault::Crash => self.stage.crash()?,
            Fault::Cleanup => self.stage.clean_up().await?,
        }
        Ok(true)
    }

    fn later(&mut self, remedy: Remedy) {
        let [least, most] = self.options.standstill;
        let leases = least + (most - least) * self.rng.f64();
        let lasts = self.options.lease.mul_f64(leases);
        self.remedies.push((Instant::now() + lasts, remedy));
    }

    async fn remedy_until(&mut self, end: Instant) -> anyhow::Result<()> {
        loop {
            let due = self.remedies.iter().map(|(at, _)| *at).min();
            sleep_until(due.unwrap_or(end).min(end)).await;
            let now = Instant::now();
            let (due, later) =
                std::mem::take(&mut self.remedies).into_iter().partition::<Vec<_>, _>(|(at, _)| *at <= now);
            self.remedies = later;
            for (_, remedy) in due {
                self.put_right(remedy)?;
            }
            if now >= end {
                return Ok(());
            }
        }
    }

    fn put_right(&mut self, remedy: Remedy) -> anyhow::Result<()> {
        match remedy {
            Remedy::Wake(client) => self.fleet.wake(client)?,
            Remedy::Resume(proxy) => self.stage.resume(proxy),
        }
        Ok(())
    }
}
