//! What a whole operation of a volume costs: in two commits by `start_work` and `finish_work`, in four by the separate calls,
//! and in two by SQL that does nothing else.

mod contender;
mod report;
mod turn;

use anyhow::Result;

use self::report::Report;
use self::turn::turns;
use crate::options::Options;
use crate::stage::Stage;

pub async fn run(options: &Options) -> Result<()> {
    let pace = options.pace(5, 2.0);
    let schema = include_str!("../sql/work/schema.sql");
    let stage = Stage::set(options.fsync, schema, &["volumes"]).await?;
    let mut report = Report::new(stage.describe().await?, pace);
    println!("{}", report.heading());
    for clients in options.clients(&[1, 16]) {
        eprintln!("whole operations, {clients} at once");
        report.add(clients, &turns(&stage, clients, pace).await?);
    }
    println!("{}", report.table());
    Ok(())
}
