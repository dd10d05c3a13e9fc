//! The files of docs/monitoring: each query runs as a role with `grant_monitoring`, what it returns is what the file
//! says, and each alert's query shows what the alert is about, and nothing where all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use tokio_postgres::NoTls;
use volguard_tests::PrivateServer;
use volguard_tests::scenario::Observer;

type Result<T = ()> = anyhow::Result<T>;

/// A query of the exporter's file, whose columns are metrics and their labels.
#[derive(Deserialize)]
struct Query {
    query: String,
    metrics: Vec<BTreeMap<String, Column>>,
}

#[derive(Deserialize)]
struct Column {
    usage: String,
    description: String,
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    alert: String,
    expr: String,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Annotations {
    runbook: String,
    sql: String,
}

fn text_of(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn queries() -> BTreeMap<String, Query> {
    serde_yaml_ng::from_str(&text_of("docs/monitoring/postgres_exporter.yaml")).expect("the exporter's file")
}

fn alerts() -> Vec<Alert> {
    let rules: Rules = serde_yaml_ng::from_str(&text_of("docs/monitoring/alerts.yaml")).expect("the alerts");
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

fn dashboard() -> serde_json::Value {
    serde_json::from_str(&text_of("docs/monitoring/grafana.json")).expect("the dashboard")
}

/// The metrics of the exporter's file, with the labels of each.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = BTreeMap::new();
    for (name, Query { metrics: columns, .. }) in queries() {
        let of_usage = |usage: &'static str| {
            let columns = columns.iter().flatten().filter(move |(_, column)| column.usage == usage);
            columns.map(|(name, _)| name.clone())
        };
        let labels: BTreeSet<String> = of_usage("LABEL").collect();
        metrics.extend(of_usage("GAUGE").map(|gauge| (format!("{name}_{gauge}"), labels.clone())));
    }
    metrics
}

/// The words of an expression of Prometheus that are metrics or labels: a label is followed by a comparison with a text
/// or stands in `by (...)`.
fn check_expression(place: &str, expression: &str, metrics: &BTreeMap<String, BTreeSet<String>>) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names: Vec<&str> = expression.split(|c| !word(c)).filter(|name| name.starts_with("volguard_")).collect();
    assert!(!names.is_empty(), "{place}: no metric in {expression}");
    let mut labels = BTreeSet::new();
    for name in names {
        labels.extend(metrics.get(name).unwrap_or_else(|| panic!("{place}: the exporter has no {name}")));
    }
    let in_braces = expression.split('{').skip(1).map(|rest| rest.split(['=', '!', '~']).next().unwrap_or_default());
    let grouped = expression.split("by (").skip(1).map(|rest| rest.split(')').next().unwrap_or_default());
    for label in in_braces.chain(grouped) {
        assert!(labels.contains(&label.to_owned()), "{place}: no label {label} in {expression}");
    }
}

/// A server with the extension, and with what a query looks like as the role that only looks.
fn watched_server() -> Result<PrivateServer> {
    let server = PrivateServer::start()?;
    server.psql("CREATE ROLE watcher; SELECT FROM volguard.grant_monitoring('watcher')")?;
    Ok(server)
}

fn as_watcher(server: &PrivateServer, query: &str) -> Result<Vec<String>> {
    let output = server.psql(&format!("SET ROLE watcher;\n{query}"))?;
    Ok(output.lines().filter(|line| *line != "SET").map(str::to_owned).collect())
}

/// Everything that an alert is about. The call that waits does so until the test ends.
async fn make_trouble(server: &PrivateServer) -> Result {
    let script = |sql: &str| server.psql_script("volguard", sql);
    script(
        "CREATE ROLE next_owner;
         CREATE TABLE volumes (id text PRIMARY KEY, status text);
         INSERT INTO volumes VALUES ('fails', 'extending'), ('no rule', 'copying'), ('due', 'available');
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON volumes FOR EACH ROW WHEN (OLD.id = 'fails') EXECUTE FUNCTION refuse();
         SELECT FROM volguard.track_resource('volume', 'volumes');
         SELECT FROM volguard.on_crash('volume', 'extending', '{\"status\": \"error\"}');",
    )?;
    // Dead with work: one rule fails, the other is missing. Then the first is suspended.
    script(
        "SELECT volguard.register_service('dead', 'manager', lease => '1 hour') AS dead \\gset
         SELECT volguard.acquire(:dead, 'volume', id, status => status) FROM volumes WHERE status <> 'available';
         UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '2 hours' WHERE host = 'dead';
         CALL volguard.run_cleanup();
         SELECT FROM volguard.submit_work('default', 'volume', 'due', '{\"status\": \"deleting\"}');
         ALTER TABLE volumes OWNER TO next_owner;",
    )?;
    // Dead, and not cleaned up, in a cluster that is down by that. An event that takes long to bring about.
    script(
        "SELECT volguard.register_service('silent', 'manager', cluster => 'down', lease => '1 hour');
         UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '2 hours' WHERE host = 'silent';
         SELECT volguard.register_service('twice', 'manager', lease => '1 hour');
         SELECT volguard.register_service('twice', 'manager', lease => '1 hour');
         SELECT volguard.register_service('broken', 'manager');
         UPDATE volguard.services SET heartbeat_at = 'infinity' WHERE host = 'broken';
         UPDATE volguard.events SET kind = 'session_ended' WHERE event_id = (SELECT min(event_id) FROM volguard.events);",
    )?;
    script(
        "SELECT setval('volguard.clock', nextval('volguard.clock') + 120 * 4194304::bigint);
         SELECT volguard.register_service('holder', 'manager', lease => '1 hour') AS holder \\gset
         SELECT volguard.acquire(:holder, 'volume', 'held');",
    )?;
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    tokio::spawn(connection);
    let wait = "SELECT volguard.acquire(service_id, 'volume', 'held', wait => '10 min')
                FROM volguard.service_status WHERE host = 'holder'";
    tokio::spawn(async move { client.batch_execute(wait).await });
    Observer::of(&server.url()).await?.until_asleep(1).await
}

#[tokio::test]
async fn the_exporter_gets_what_its_file_says() -> Result {
    let server = watched_server()?;
    make_trouble(&server).await?;
    let queries = queries();
    assert!(queries.len() >= 7, "only {} queries are left", queries.len());
    for (name, Query { query, metrics }) in &queries {
        let listed: Vec<&String> = metrics.iter().flat_map(BTreeMap::keys).collect();
        let types = "SELECT string_agg(attname || ' ' || atttypid::regtype, ',' ORDER BY attnum)
                     FROM pg_attribute WHERE attrelid = 'pg_temp.answer'::regclass AND attnum > 0";
        let made = format!("CREATE TEMP VIEW answer AS {query}; {types}");
        let columns = server.psql(&made)?;
        let columns: Vec<(&str, &str)> = columns.split(',').filter_map(|column| column.split_once(' ')).collect();
        assert_eq!(columns.iter().map(|(name, _)| *name).collect::<Vec<_>>(), listed, "{name}");
        for ((column, kind), listed) in columns.iter().zip(metrics.iter().flat_map(BTreeMap::values)) {
            let is_number = ["bigint", "integer", "numeric", "double precision"].contains(kind);
            assert_eq!(is_number, listed.usage == "GAUGE", "{name}.{column} is {kind}");
            assert!(!listed.description.is_empty(), "{name}.{column}");
        }
        assert!(!as_watcher(&server, query)?.is_empty(), "{name} returns nothing");
    }
    Ok(())
}

#[tokio::test]
async fn each_alert_is_about_what_its_query_shows() -> Result {
    let server = watched_server()?;
    let alerts = alerts();
    assert!(alerts.len() >= 13, "only {} alerts are left", alerts.len());
    for Alert { alert, annotations, .. } in &alerts {
        let rows = as_watcher(&server, &annotations.sql)?;
        assert!(rows.is_empty(), "{alert}: all is well, and the query shows {rows:?}");
    }
    make_trouble(&server).await?;
    for Alert { alert, annotations, .. } in &alerts {
        let rows = as_watcher(&server, &annotations.sql)?;
        assert!(!rows.is_empty(), "{alert}: the query shows nothing");
    }
    Ok(())
}

#[test]
fn alerts_and_dashboard_use_metrics_that_the_exporter_has() {
    let metrics = metrics();
    for Alert { alert, expr, .. } in alerts() {
        check_expression(&alert, &expr, &metrics);
    }
    let mut expressions = 0;
    for (place, target) in targets(&dashboard()) {
        if let Some(expression) = target["expr"].as_str() {
            expressions += 1;
            check_expression(&place, expression, &metrics);
        }
    }
    assert!(expressions >= 7, "only {expressions} are left");
}

#[test]
#[should_panic(expected = "the exporter has no volguard_clusters_gone")]
fn a_metric_that_is_gone_is_missed() {
    check_expression("here", "volguard_clusters_gone == 0", &metrics());
}

#[test]
#[should_panic(expected = "no label color")]
fn a_label_that_is_gone_is_missed() {
    check_expression("here", "volguard_locks_count{color=\"red\"} > 0", &metrics());
}

#[test]
fn each_alert_has_its_section_in_the_runbook() {
    let page = text_of("docs/operations.md");
    let anchors: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|heading| heading.to_lowercase().replace(' ', "-").replace([',', '`', '\''], ""))
        .collect();
    for Alert { alert, annotations, .. } in alerts() {
        let anchor = annotations.runbook.strip_prefix("docs/operations.md#").expect("a section of operations.md");
        assert!(anchors.contains(anchor), "{alert}: no section {anchor} in {anchors:?}");
        assert!(page.contains(&format!("\n`{alert}`: ")), "the runbook does not name {alert}");
    }
}

#[tokio::test]
async fn the_dashboards_queries_run() -> Result {
    let server = watched_server()?;
    make_trouble(&server).await?;
    let dashboard = dashboard();
    let mut queries = 0;
    for (place, target) in targets(&dashboard) {
        let Some(query) = target["rawSql"].as_str() else {
            continue;
        };
        queries += 1;
        let query = query
            .replace("$__timeGroup(at, $__interval)", "date_trunc('minute', at)")
            .replace("$__timeFilter(at)", "at BETWEEN now() - interval '6 hours' AND now() + interval '1 minute'");
        assert!(!query.contains('$'), "{place}: {query}");
        assert!(!as_watcher(&server, &query)?.is_empty(), "{place} shows nothing");
    }
    assert!(queries >= 15, "only {queries} are left");
    Ok(())
}

/// The queries of the dashboard, each with the title of its panel.
fn targets(dashboard: &serde_json::Value) -> Vec<(String, serde_json::Value)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let of_panel = |panel: &serde_json::Value| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().expect("targets").clone();
        targets.into_iter().map(move |target| (title.clone(), target))
    };
    panels.iter().flat_map(of_panel).collect()
}
