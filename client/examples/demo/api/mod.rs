//! The API and its users: who asks for operations, and often for ones that exclude each other.

mod ask;
mod closings;
mod screen;
mod tally;
mod tenant;

use std::sync::Arc;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use volguard::Volguard;

pub use closings::Closings;
pub use tally::Tally;
use tenant::Tenant;

/// Users at a time.
const TENANTS: usize = 12;

#[derive(Debug)]
pub struct Api {
    volguard: Volguard,
    tally: Arc<Tally>,
    closings: Closings,
}

impl Api {
    pub fn new(volguard: Volguard, closings: Closings) -> Api {
        Api {
            volguard,
            tally: Arc::default(),
            closings,
        }
    }

    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Has users ask for `operations`, and for more until `enough` says so. Ends when everything that was accepted is closed.
    pub async fn serve(
        &self,
        operations: u64,
        seed: u64,
        enough: watch::Receiver<bool>,
    ) -> Result<()> {
        let mut seeds = StdRng::seed_from_u64(seed);
        let mut tenants = JoinSet::new();
        for _ in 0..TENANTS {
            let tenant = Tenant::new(
                self.volguard.clone(),
                Arc::clone(&self.tally),
                self.closings.clone(),
                StdRng::seed_from_u64(seeds.random()),
            );
            tenants.spawn(tenant.live(operations, enough.clone()));
        }
        while let Some(tenant) = tenants.join_next().await {
            tenant??;
        }
        Ok(())
    }
}
