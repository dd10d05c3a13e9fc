//! A client of the soak in a process of its own: `soak-client OPTIONS`, in JSON. It works until stdin ends.

use std::env;

use anyhow::Context;
use volguard_tests::soak::run_client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = env::args().nth(1).context("usage: soak-client OPTIONS")?;
    run_client(serde_json::from_str(&options)?).await
}
