//! The database of `DATABASE_URL`.

use anyhow::{Context, Result};
use tokio_postgres::Config;
use volguard::Volguard;

/// `name` is what the database shows of a connection, and so who changed a status: see `schema.sql`.
pub fn config(name: &str) -> Result<Config> {
    let url =
        std::env::var("DATABASE_URL").context("DATABASE_URL names no database; `make demo` starts a private one")?;
    let mut config: Config = url.parse().context("DATABASE_URL")?;
    config.application_name(name);
    Ok(config)
}

pub async fn connect(name: &str) -> Result<Volguard> {
    let builder = Volguard::builder().config(config(name)?);
    builder.connect().await.context("the database")
}
