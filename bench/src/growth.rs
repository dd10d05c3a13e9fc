//! What acquire and release cost as volguard's tables grow, after many cycles, and among many services.

mod case;
mod heartbeats;
mod report;
mod site;
mod table;

use std::fs;

use anyhow::{Context, Result};
use volguard_tests::PrivateServerBuilder;

use self::case::Case;
use self::report::Report;
use self::site::Site;
use crate::machine;
use crate::options::Options;
use crate::rounds::order;
use crate::servers::Postgres;

pub async fn run(options: &Options) -> Result<()> {
    let pace = options.pace(5, 2.0);
    // Autovacuum stays on, as volguard sets it for its tables: what it keeps small is a part of what is measured.
    let settings = |server: PrivateServerBuilder| server.setting("shared_buffers", "1GB");
    let server = Postgres::start(options.fsync, settings)?;
    server.create_role().await?;
    let load = machine::load()?;
    let clients = options.clients(&[1, 16]);
    let most = clients.iter().copied().max().unwrap_or(1);

    let mut sites = Vec::new();
    for (number, case) in Case::all(options.most_rows, options.cycles)
        .into_iter()
        .enumerate()
    {
        eprintln!("preparing: {}", case.name());
        sites.push(Site::prepare(&server, case, number, most).await?);
    }
    let mut report = Report::default();
    // The round before the first is not counted: caches are cold.
    for round in 0..=pace.rounds {
        eprintln!("round {round} of {}", pace.rounds);
        for &clients in &clients {
            for at in order(&(0..sites.len()).collect::<Vec<_>>(), round) {
                let turn = sites[at].turn(clients, pace.turn).await?;
                if round > 0 {
                    report.add(clients, at, turn);
                }
            }
        }
    }
    let machine = machine::describe()?;
    let servers = server.describe().await?;
    println!("{servers}\n{}", report.describe(pace, &sites));
    let mut tables = Vec::new();
    for site in &sites {
        tables.push(site.tables().await?);
    }
    println!(
        "{}\n\n{}\n",
        report.costs(&sites),
        report::sizes(&sites, &tables)
    );

    let record = report.record(&machine, load, &servers, pace, &sites, &tables);
    fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let json = options.out.join("growth.json");
    fs::write(&json, format!("{record:#}\n")).with_context(|| json.display().to_string())?;
    println!("{}", json.display());
    Ok(())
}
