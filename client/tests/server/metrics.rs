//! What the feature `metrics` tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use tokio::runtime::Builder;
use volguard::sql;

use crate::support::{code, connect, key, session};

/// All values, by the name and the labels of their metric.
#[derive(Default)]
struct Recorded(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

struct Metric {
    name: String,
    recorded: Arc<Mutex<BTreeMap<String, Vec<f64>>>>,
}

impl Recorded {
    fn metric(&self, key: &Key) -> Arc<Metric> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let name = format!("{}{}", key.name(), labels.collect::<String>());
        Arc::new(Metric { name, recorded: Arc::clone(&self.0) })
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.0.lock().unwrap().get(name).cloned().unwrap_or_default()
    }
}

impl CounterFn for Metric {
    fn increment(&self, value: u64) {
        self.record(value as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!("the client only increments");
    }
}

impl HistogramFn for Metric {
    fn record(&self, value: f64) {
        self.recorded.lock().unwrap().entry(self.name.clone()).or_default().push(value);
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.metric(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        unreachable!("the client has no gauge")
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.metric(key))
    }
}

#[test]
fn calls_are_counted_and_timed_by_verb_and_outcome() {
    // All tasks run on this thread, where the recorder is.
    let (recorded, runtime) = (Recorded::default(), Builder::new_current_thread().enable_all().build().unwrap());
    with_local_recorder(&recorded, || {
        runtime.block_on(async {
            let volguard = connect().await;
            let (one, two) = (session(&volguard).await, session(&volguard).await);
            let lock = one.acquire(key("1")).await.unwrap().unwrap();
            assert!(two.acquire(key("1")).await.unwrap().is_none());
            let refused = sql::assert_held(&volguard, 0).await.unwrap_err();
            assert_eq!(code(&refused), Some("VG002"));
            assert!(lock.release().await.unwrap());
            one.stop().await.unwrap();
            two.stop().await.unwrap();
        });
    });
    let calls = |labels: &str| recorded.values(&format!("volguard_calls_total {labels}"));
    assert_eq!(calls("verb=acquire outcome=ok"), [1.0, 1.0]);
    assert_eq!(calls("verb=assert_held outcome=VG002"), [1.0]);
    assert!(calls("verb=assert_held outcome=ok").is_empty());
    assert_eq!(calls("verb=deregister_service outcome=ok"), [1.0, 1.0]);
    assert_eq!(recorded.values("volguard_call_seconds verb=release").len(), 1);
    for granted in [true, false] {
        let [seconds] = recorded.values(&format!("volguard_acquire_seconds granted={granted}"))[..] else {
            panic!("one acquire");
        };
        assert!((0.0..60.0).contains(&seconds), "{seconds}");
    }
}
