//! `volguard cleanup`

use super::print;
use crate::args::{Cleanup as Asked, Database};
use crate::error::Failure;
use crate::query;
use crate::text::visible;
use serde_json::json;
use volguard::{CleanedService, Cleanup};

/// Cleans up in rounds, each in its own transaction, as `volguard.run_cleanup` does.
pub(crate) async fn cleanup(database: &Database, asked: &Asked) -> Result<(), Failure> {
    let volguard = query::open(database).await?;
    let mut which = Cleanup::default();
    which.cluster.clone_from(&asked.cluster);
    which.host.clone_from(&asked.host);
    which.service_id = asked.service;
    let cleaned = volguard.cleanup(&which).await?;
    if asked.shown.json {
        let rows: Vec<_> = cleaned.iter().map(object).collect();
        return print::json(&serde_json::Value::from(rows).to_string());
    }
    if cleaned.is_empty() {
        return print::out("nothing to clean up\n");
    }
    print::out(&cleaned.iter().map(sentence).collect::<String>())
}

fn object(service: &CleanedService) -> serde_json::Value {
    json!({
        "service_id": service.service_id,
        "cluster": service.cluster,
        "host": service.host,
        "state": service.state,
        "locks_released": service.locks_released,
        "resources_cleaned": service.resources_cleaned,
        "resources_stale": service.resources_stale,
        "awaiting": service.awaiting,
    })
}

fn sentence(service: &CleanedService) -> String {
    let counts = [
        ("locks freed", service.locks_released),
        ("resources repaired", service.resources_cleaned),
        ("stale work dropped", service.resources_stale),
        ("work left", service.awaiting),
    ];
    let parts: Vec<String> = counts.iter().map(|(what, count)| format!("{what}: {count}")).collect();
    let (host, cluster) = (visible(&service.host), visible(&service.cluster));
    let state = visible(&service.state);
    format!("{host} in {cluster}, service {}: {state}; {}\n", service.service_id, parts.join(", "))
}
