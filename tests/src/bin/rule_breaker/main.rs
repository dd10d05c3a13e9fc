//! A manager in plain SQL that keeps all rules of docs/write-a-client.md, except for the one that `BREAK` names.
//!
//! The checks of `conformance` prove themselves by it: each must see its rule broken.

mod breach;
mod lease;
mod link;
mod manager;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use breach::Breach;
use manager::Manager;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rule-breaker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let variable = |name: &'static str| std::env::var(name).context(name);
    let (url, host) = (variable("DATABASE_URL")?, variable("VOLGUARD_HOST")?);
    let lease = match std::env::var("VOLGUARD_LEASE") {
        Ok(milliseconds) => Duration::from_millis(milliseconds.parse().context("VOLGUARD_LEASE")?),
        Err(_) => Duration::from_secs(10),
    };
    let breach = std::env::var("BREAK").ok().map(|name| Breach::named(&name).context(name)).transpose()?;
    Manager::register(url, host, lease, breach).await?.run().await
}
