//! The cost of volguard beside the limit and beside the usual alternatives.
//!
//! All parts use one [`stage`], take turns by one mechanism ([`play`]), and end in one [`report`].
//! Contenders take turns for several rounds within one run, so that other load on the machine
//! affects all of them alike: ratios are the result, the absolute numbers depend on the machine.

mod cleanup;
mod connection;
mod database;
mod growth;
mod locks;
mod machine;
mod options;
mod part;
mod play;
mod plot;
mod provider;
mod queue;
mod report;
mod rounds;
mod score;
mod server;
mod sheet;
mod stage;
mod target;
mod turn;
mod updates;
mod visitor;
mod work;

use std::fs;

use anyhow::{Context, Result};

use crate::options::Options;
use crate::part::Part;
use crate::report::Report;
use crate::stage::Stage;

fn main() -> Result<()> {
    let Some(options) = Options::from_args()? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    let machine = machine::describe()?;
    let mut conditions = vec![machine.clone(), format!("load before: {}", machine::load()?)];
    let stage = Stage::set(options).await?;
    conditions.extend(stage.describe().await?);
    let mut report = Report::new(conditions);
    println!("{}", report.heading());
    fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let [figures, picture] = ["figures.json", "locks.svg"].map(|name| options.out.join(name));
    for part in &options.parts {
        let score = part.run(&stage, options).await?;
        if *part == Part::Locks {
            plot::plot(&score, &machine, &picture)?;
        }
        println!("{}", report.add(score));
    }
    println!("{}", report.targets());
    fs::write(&figures, report.json()).with_context(|| figures.display().to_string())?;
    println!("{}", figures.display());
    Ok(())
}
