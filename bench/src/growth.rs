use crate::options::Options;
use anyhow::Result;
pub async fn run(_options: &Options) -> Result<()> {
    Ok(())
}
