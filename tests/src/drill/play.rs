//! A drill from the first server to the verdict.

use std::time::Duration;

use super::by_hand::ByHand;
use super::by_patroni::ByPatroni;
use super::cluster::{Cluster, Look, PATIENCE, until_at_work};
use super::round::rounds;
use super::{Mode, Options, Outcome};
use crate::history::{Answer, History, check, check_journal, check_numbers, replicated};
use crate::scenario::Sql;
use crate::soak::{self, Fleet, calm_down};

/// The changes that clients make at least between two events.
const CHANGES: i64 = 80;

/// Plays a drill.
///
/// # Errors
/// If it could not run to its end: a server that does not start or does not return, a client that ends by itself or
/// gets no lock any more. The outcome has the offences that the judge finds.
pub async fn play(options: &Options) -> anyhow::Result<Outcome> {
    match options.mode {
        Mode::Patroni => play_on(ByPatroni::start().await?, options).await,
        mode => play_on(ByHand::start(mode).await?, options).await,
    }
}

async fn play_on(mut cluster: impl Cluster, options: &Options) -> anyhow::Result<Outcome> {
    let mut habits = soak::Options::new(options.program.clone(), options.seed);
    habits.clients = options.clients;
    habits.lease = lease(options.mode);
    habits.habits.lingering = 0.01;
    habits.habits.workers = 0;
    let ports = cluster.ports();
    let mut fleet = Fleet::start(&habits, |_, name| url_of_all(&ports, name))?;
    let mut fail_overs = Vec::new();
    for round in 0..options.rounds {
        until_at_work(&cluster.primary(), CHANGES).await?;
        cluster.leave_behind().await?;
        replace(&mut fleet, round % options.clients, &cluster).await?;
        until_at_work(&cluster.primary(), CHANGES).await?;
        fail_overs.push(cluster.fail_over().await?);
        until_at_work(&cluster.primary(), CHANGES).await?;
        cluster.rejoin().await?;
    }
    fleet.recall().await?;
    let sql = Sql::connect(&cluster.primary()).await?;
    calm_down(&sql, PATIENCE).await?;

    let journal = replicated::read(&sql).await?;
    let history = History { calls: fleet.calls()?, journal, endings: Vec::new() };
    let mut offences = check_numbers(&history.calls);
    if options.mode.is_synchronous() {
        offences.extend(check(&history));
    } else {
        offences.extend(check_journal(&history.journal));
    }
    let logs = if offences.is_empty() {
        fleet.remove_logs()?;
        None
    } else {
        Some(fleet.dir().to_owned())
    };
    let services = history.calls.iter().filter(|call| matches!(call.answer, Answer::Service(_))).count();
    let rounds = rounds(&fail_overs, &history);
    Ok(Outcome { mode: options.mode, rounds, calls: history.calls.len(), services, offences, logs })
}

/// Longer than a fail-over, so that sessions survive it. Locks of a killed client are held up for as long.
fn lease(mode: Mode) -> Duration {
    match mode {
        Mode::Synchronous | Mode::Lagging => Duration::from_secs(20),
        Mode::Patroni => Duration::from_secs(90),
    }
}

/// Kills a client, and waits until another one has registered in its place. A standby that lags knows nothing of it.
async fn replace(fleet: &mut Fleet<'_>, number: usize, cluster: &impl Cluster) -> anyhow::Result<()> {
    const LAST: &str = "SELECT max(service_id) FROM volguard.services";
    let primary = cluster.primary();
    let last = Look::at(&primary, LAST);
    let before = last.until("the last service", Some).await?;
    let ports = cluster.ports();
    fleet.kill(number, |_, name| url_of_all(&ports, name)).await?;
    last.until("a new service", |now| (now > before).then_some(())).await
}

/// All servers, of which the client finds the one that takes writes.
fn url_of_all(ports: &[u16], name: &str) -> String {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let hosts = hosts.join(",");
    format!("postgresql://manager:manager@{hosts}/volguard?target_session_attrs=read-write&application_name={name}")
}
