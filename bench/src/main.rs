//! What volguard costs beside the limit and beside what people use today.
//!
//! Within a part everybody takes turns, several rounds of them in one run, so that what else the machine does meets all
//! alike: ratios are the result, the absolute numbers are the machine's.

mod cleanup;
mod growth;
mod locks;
mod machine;
mod options;
mod rounds;
mod servers;
mod stage;
mod turn;
mod updates;
mod work;

use anyhow::Result;

use crate::options::{Options, Part};

fn main() -> Result<()> {
    let Some(options) = Options::from_args()? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    println!("{}, load {}", machine::describe()?, machine::load()?);
    for part in &options.parts {
        match part {
            Part::Updates => updates::run(options).await?,
            Part::Locks => locks::run(options).await?,
            Part::Growth => growth::run(options).await?,
            Part::Cleanup => cleanup::run(options).await?,
            Part::Work => work::run(options).await?,
        }
    }
    Ok(())
}
