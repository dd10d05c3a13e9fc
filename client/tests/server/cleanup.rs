//! Cleanup after dead services.

use volguard::{CleanedService, Cleanup, CleanupState, Error};

use crate::support::{LONG, Observer, code, connect, own, session_in, unique};

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
    volguard.track_resource(&resource_type, &table).id_column("volume_id").status_column("state").await.unwrap();
    volguard
        .on_crash(&resource_type, "creating")
        .set("state", "error")
        .set("tries", volguard::column("tries") + 1)
        .await
        .unwrap();
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
    let cleaned = volguard.cleanup(Cleanup::all().cluster(&cluster)).await.unwrap();
    let [service] = cleaned.as_slice() else {
        panic!("{cleaned:?}");
    };
    assert_eq!((service.service_id, &service.cluster), (service_id, &cluster));
    let CleanedService { state, locks_released, resources_cleaned, resources_stale, awaiting, .. } = service;
    assert_eq!(*state, CleanupState::Unavailable);
    assert_eq!((*locks_released, *resources_cleaned), (1, 1));
    assert_eq!((*resources_stale, *awaiting), (1, 1));
    let repaired = format!("SELECT count(*) FROM {table} WHERE volume_id = '1' AND state = 'error' AND tries = 1");
    assert_eq!(observer.number(&repaired, &[]).await, 1);

    volguard.on_crash(&resource_type, "odd").set("state", "error").await.unwrap();
    let cleaned = volguard.cleanup(Cleanup::all().service_id(service_id)).await.unwrap();
    assert_eq!(cleaned[0].state, CleanupState::Cleaned);
    volguard.on_crash(&resource_type, "odd").remove().await.unwrap();
}

#[tokio::test]
async fn a_live_service_is_not_cleaned() {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    let session = session_in(&volguard, &cluster).await;
    assert!(volguard.cleanup(Cleanup::all().cluster(&cluster)).await.unwrap().is_empty());
    let refused = volguard.cleanup(Cleanup::all().service_id(session.service_id())).await;
    let refused = refused.unwrap_err();
    assert_eq!(code(&refused), Some("55000"), "{refused}");
    assert!(matches!(refused, Error::Database(_)));
}

#[tokio::test]
async fn a_waiter_gets_the_lock_of_a_dead_service() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    crashed(&observer, &cluster, &[("volume", &own("1"), None)]).await;
    let session = session_in(&volguard, &cluster).await;
    assert!(session.acquire("volume", &own("1")).wait(LONG).await.unwrap().is_some());
}
