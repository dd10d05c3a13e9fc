//! What volguard costs beside the same work in hand-written SQL, on one private server, in one run.
//!
//! Both do their work in turns, several rounds of them, so that what else the machine does meets both alike: the ratio
//! is the result, the absolute numbers are the machine's.

mod case;
mod contender;
mod measure;
mod options;
mod report;
mod stage;

use anyhow::Result;

use crate::case::Case;
use crate::measure::pair;
use crate::options::Options;
use crate::report::Report;
use crate::stage::Stage;

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
    let stage = Stage::set(options.fsync).await?;
    let mut report = Report::new(stage.describe().await?, options);
    println!("{}", report.heading());
    for case in Case::all() {
        for &clients in &options.clients {
            eprintln!("{}, {clients} at once", case.name);
            let pair = pair(&stage, case.clone(), clients, options).await?;
            report.add(case.name, clients, &pair);
        }
    }
    println!("{}", report.table());
    Ok(())
}
