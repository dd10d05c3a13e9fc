//! Where the database is, and under which name a process shows there.

use anyhow::{Context, Result};
use tokio_postgres::Config;
use volguard::Volguard;

/// The server of `DATABASE_URL`; `name` is what history remembers changes by.
pub fn config(name: &str) -> Result<Config> {
    let url = std::env::var("DATABASE_URL")
        .context("DATABASE_URL names no database; `make demo` starts a private one")?;
    let mut config: Config = url.parse().context("DATABASE_URL")?;
    config.application_name(name);
    Ok(config)
}

pub async fn connect(name: &str, pool_size: usize) -> Result<Volguard> {
    let builder = Volguard::builder()
        .config(config(name)?)
        .pool_size(pool_size);
    builder.connect().await.context("the database")
}
