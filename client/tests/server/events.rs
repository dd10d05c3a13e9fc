//! Calls for administrators, and the event log.

use volguard::{EventKind, EventLog};

use crate::support::{code, connect, own, session_in, unique};

#[tokio::test]
async fn acts_of_force_are_recorded() {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    let session = session_in(&volguard, &cluster).await;
    let (kind, id) = (unique("volume"), "v/1");
    let lock = session.acquire(&kind, id).await.unwrap().expect("free");
    let token = lock.token();
    assert!(volguard.force_release(token, "it hangs").await.unwrap());
    assert!(!volguard.force_release(token, "it hangs").await.unwrap());
    let events = volguard.event_log(EventLog::all().resource(&kind, id)).await.unwrap();
    let [event] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(event.kind, EventKind::Forced);
    assert_eq!(event.cluster.as_deref(), Some(&*cluster));
    assert_eq!(event.service_id, Some(session.service_id()));
    assert_eq!(event.resource_type.as_deref(), Some(&*kind));
    assert_eq!(event.resource_id.as_deref(), Some(id));
    assert_eq!((event.lock_name.as_deref(), event.token), (Some(""), Some(token)));
    assert_eq!(event.details["reason"], "it hangs");
    assert!(!event.role.is_empty());
    session.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_is_disabled_and_enabled() {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    let unknown = volguard.set_cluster_disabled(&cluster, true, None).await;
    assert_eq!(code(&unknown.unwrap_err()), Some("42704"));
    let session = session_in(&volguard, &cluster).await;
    for (disabled, reason) in [(true, Some("it moves")), (true, None), (false, None)] {
        volguard.set_cluster_disabled(&cluster, disabled, reason).await.unwrap();
    }
    // It works like any other.
    let lock = session.acquire("volume", &own("v")).await.unwrap();
    lock.expect("free").release().await.unwrap();
    session.stop().await.unwrap();

    let of_cluster = EventLog::all().cluster(&cluster);
    let all = volguard.event_log(of_cluster.clone()).await.unwrap();
    let told: Vec<_> = all.iter().map(|event| (&event.kind, &event.details)).collect();
    assert!(all.is_sorted_by(|one, next| one.event_id > next.event_id));
    assert_eq!(told[1].0, &EventKind::Enabled);
    assert_eq!(told[2].0, &EventKind::Disabled);
    assert_eq!(told[3].1["reason"], "it moves");
    let newest = volguard.event_log(of_cluster.clone().limit(1)).await.unwrap();
    assert_eq!(newest, all[..1]);
    let disabled = of_cluster.kind(EventKind::Disabled);
    assert_eq!(volguard.event_log(disabled).await.unwrap().len(), 2);
    let stopped = EventLog::all().service_id(session_id(&all[0]));
    assert_eq!(volguard.event_log(stopped).await.unwrap(), all[..1]);
}

fn session_id(event: &volguard::Event) -> i64 {
    assert_eq!(event.kind, EventKind::Fenced);
    assert_eq!(event.details["by"], "deregister_service");
    event.service_id.expect("a service id")
}
