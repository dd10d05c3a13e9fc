//! Several processes, each with a janitor, some of which are killed: the survivors clean up each crash once.

use std::time::Duration;

use volguard_tests::scenario::{Observer, Site, Worker, WorkerOptions, until};

/// Long enough that no session is lost, on a busy machine: the others would clean up after it.
const LEASE: Duration = Duration::from_secs(60);
/// All check several times in the second after the end of a lease.
const LOOKS: Duration = Duration::from_millis(300);
const PROCESSES: usize = 5;

by_both_routes!(each_crash_is_cleaned_up_after_once);

async fn process(site: &Site, host: &str, janitor: Option<Duration>) -> anyhow::Result<Worker> {
    let options = WorkerOptions { url: site.url(), mode: site.statement_mode(), host, lease: LEASE, janitor };
    Worker::start(super::LOCK_WORKER.as_ref(), &options).await
}

async fn each_crash_is_cleaned_up_after_once(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    // The rule counts how often it ran.
    sql.run(
        r#"SELECT volguard.track_resource('volume', 'app.volumes');
           SELECT volguard.on_crash('volume', 'extending', '{"status": "error", "size": {"add": [{"column": "size"}, 1]}}')"#,
    )
    .await?;
    let mut survivors = Vec::new();
    for number in 0..PROCESSES {
        survivors.push(process(site, &format!("survivor-{number}"), Some(LOOKS)).await?);
    }
    let observer = site.observer().await?;
    let mut crashes = 0;
    // One at a time, then several at once.
    for count in [1, 1, 3] {
        let mut victims = Vec::new();
        for number in crashes..crashes + count {
            let insert = format!("INSERT INTO app.volumes (id, status) VALUES ('v{number}', 'extending')");
            sql.run(&insert).await?;
            let mut victim = process(site, &format!("victim-{number}"), None).await?;
            victim.ask(&format!("acquire 0 v{number} extending")).await?;
            victims.push(victim);
        }
        for victim in &mut victims {
            victim.kill(&observer).await?;
        }
        for victim in &victims {
            observer.end_lease(victim.service_id()).await?;
        }
        crashes += count;
        for number in 0..crashes {
            until_repaired(&observer, &format!("v{number}")).await?;
        }
    }
    let cleanings = "SELECT count(*)::text FROM volguard.event_log WHERE kind = 'cleaned'";
    assert_eq!(sql.text(cleanings).await?, Some(crashes.to_string()));
    let repairs = "SELECT string_agg(concat_ws(' ', status, size), ', ') FROM app.volumes";
    assert_eq!(
        sql.text(repairs).await?.as_deref(),
        Some("error 2, error 2, error 2, error 2, error 2"),
        "each repaired once"
    );
    Ok(())
}

async fn until_repaired(observer: &Observer, volume: &str) -> anyhow::Result<()> {
    let repaired = format!(
        "SELECT status = 'error' AND NOT EXISTS (SELECT FROM volguard.workers WHERE resource_id = '{volume}')
         FROM app.volumes WHERE id = '{volume}'"
    );
    until("the repair of a volume", async || Ok(observer.sql().holds(&repaired).await?.then_some(()))).await
}
