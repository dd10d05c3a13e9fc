//! Cleanup after dead services.

use serde_json::value::to_raw_value;
use volguard::update::column;
use volguard::{CleanedService, Cleanup, Error, sql};

use crate::support::{LONG, Observer, code, connect, key, own, session_in, unique};

/// A service that held these and died.
async fn crashed(observer: &Observer, cluster: &str, locks: &[(&str, &str, Option<&str>)]) -> i64 {
    const REGISTER: &str = "SELECT volguard.register_service($1, 'test', cluster => $2)";
    const ACQUIRE: &str = "SELECT volguard.acquire($1, $2, $3, status => $4)";
    let service_id = observer.number(REGISTER, &[&unique("host"), &cluster]).await;
    for (resource_type, id, status) in locks {
        observer.number(ACQUIRE, &[&service_id, resource_type, id, status]).await;
    }
    observer.end_lease(service_id).await;
    service_id
}

fn of_cluster(cluster: &str) -> Cleanup {
    let mut cleanup = Cleanup::default();
    cleanup.cluster = Some(cluster.to_owned());
    cleanup
}

fn of_service(service_id: i64) -> Cleanup {
    let mut cleanup = Cleanup::default();
    cleanup.service_id = Some(service_id);
    cleanup
}

#[tokio::test]
async fn rules_repair_and_the_rest_waits() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let table = unique("volumes").replace('-', "_");
    let resource_type = unique("volume");
    observer
        .run(&format!(
            "CREATE TABLE {table} (volume_id text PRIMARY KEY, state text, tries int DEFAULT 0); \
             INSERT INTO {table} VALUES ('1', 'creating'), ('2', 'moved on'), ('3', 'odd')"
        ))
        .await;
    let connection = volguard.connection().await.unwrap();
    sql::track_resource(&connection, &resource_type, &table, "volume_id", "state").await.unwrap();
    // The changes of an update are those of a rule.
    let repair = volguard.update(&table).set("state", "error").set("tries", column("tries") + 1);
    let repair = repair.documents().unwrap().changes;
    sql::on_crash(&connection, &resource_type, "creating", Some(&repair), 0).await.unwrap();
    let service_id = crashed(
        &observer,
        &cluster,
        &[
            (&resource_type, "1", Some("creating")),
            (&resource_type, "2", Some("creating")),
            (&resource_type, "3", Some("odd")),
            (&resource_type, "4", None),
        ],
    )
    .await;
    let cleaned = volguard.cleanup(&of_cluster(&cluster)).await.unwrap();
    let [service] = cleaned.as_slice() else {
        panic!("{cleaned:?}");
    };
    assert_eq!((service.service_id, &service.cluster), (service_id, &cluster));
    let CleanedService { state, locks_released, resources_cleaned, resources_stale, awaiting, .. } = service;
    assert_eq!(state, "unavailable");
    assert_eq!((*locks_released, *resources_cleaned), (1, 1));
    assert_eq!((*resources_stale, *awaiting), (1, 1));
    let repaired = format!("SELECT count(*) FROM {table} WHERE volume_id = '1' AND state = 'error' AND tries = 1");
    assert_eq!(observer.number(&repaired, &[]).await, 1);

    let repair = to_raw_value(&serde_json::json!({"state": "error"})).unwrap();
    sql::on_crash(&connection, &resource_type, "odd", Some(&repair), 0).await.unwrap();
    let cleaned = volguard.cleanup(&of_service(service_id)).await.unwrap();
    assert_eq!(cleaned[0].state, "cleaned");
    sql::on_crash(&connection, &resource_type, "odd", None, 0).await.unwrap();
    sql::untrack_resource(&connection, &resource_type).await.unwrap();
    assert!(sql::untrack_resource(&connection, &resource_type).await.is_err(), "it is not tracked any more");
}

#[tokio::test]
async fn a_live_service_is_not_cleaned() {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    let session = session_in(&volguard, &cluster).await;
    assert!(volguard.cleanup(&of_cluster(&cluster)).await.unwrap().is_empty());
    let refused = volguard.cleanup(&of_service(session.service_id())).await;
    let refused = refused.unwrap_err();
    assert_eq!(code(&refused), Some("55000"), "{refused}");
    assert!(matches!(refused, Error::Database(_)));
}

#[tokio::test]
async fn a_waiter_gets_the_lock_of_a_dead_service() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    crashed(&observer, &cluster, &[("volume", &own("1"), None)]).await;
    let session = session_in(&volguard, &cluster).await;
    assert!(session.acquire(key("1")).wait(LONG).await.unwrap().is_some());
}
