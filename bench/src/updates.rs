//! What `conditional_update` costs beside the same update in hand-written SQL, on one server.

mod case;
mod contender;
mod report;
mod turn;

use anyhow::Result;

use self::case::Case;
use self::contender::Form;
use self::report::Report;
use self::turn::pair;
use crate::options::Options;
use crate::stage::Stage;

pub async fn run(options: &Options) -> Result<()> {
    let pace = options.pace(5, 2.0);
    let schema = include_str!("../sql/updates/schema.sql");
    let stage = Stage::set(options.fsync, schema, &["volumes", "snapshots"]).await?;
    let mut report = Report::new(stage.describe().await?, pace);
    println!("{}", report.heading());
    for case in Case::all() {
        for clients in options.clients(&[1, 16]) {
            for form in Form::ALL {
                eprintln!("{}, {}, {clients} at once", case.name, form.name());
                let pair = pair(&stage, case.clone(), form, clients, pace).await?;
                report.add(case.name, form, clients, &pair);
            }
        }
    }
    println!("{}", report.table());
    Ok(())
}
