//! What waits for a pass of one controller, as kube's scheduler holds it: kube shows no figures of its own.
//!
//! The scheduler holds each object once, however often it is touched or woken, and holds it back while a pass over it runs. This
//! queue does the same. It does not see the moment at which an object comes back by its own timer: that one is counted as put in line
//! when its pass begins, and never as waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::clock;
use crate::metrics::Metrics;

/// Namespace and name; the namespace is empty where the kind has none.
type Key = (String, String);

/// Counts for one controller.
#[derive(Clone)]
pub(super) struct Queue {
    controller: &'static str,
    metrics: Arc<Metrics>,
    /// Since when each object waits.
    waiting: Arc<Mutex<HashMap<Key, Instant>>>,
}

impl Queue {
    pub(super) fn new(controller: &'static str, metrics: Arc<Metrics>) -> Self {
        Self { controller, metrics, waiting: Arc::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object was touched or woken.
    pub(super) fn add(&self, namespace: Option<&str>, name: &str) {
        let mut waiting = self.waiting();
        if let std::collections::hash_map::Entry::Vacant(entry) = waiting.entry(key(namespace, name)) {
            entry.insert(clock::instant());
            self.metrics.enqueued(self.controller, true);
        }
    }

    /// The pass over an object begins.
    pub(super) fn begin(&self, namespace: Option<&str>, name: &str) {
        match self.waiting().remove(&key(namespace, name)) {
            Some(since) => {
                let waited = clock::instant().saturating_duration_since(since);
                self.metrics.dequeued(self.controller, Some(waited));
            }
            None => self.metrics.enqueued(self.controller, false),
        }
    }

    /// There will be no pass over an object: it is gone.
    pub(super) fn gone(&self, namespace: Option<&str>, name: &str) {
        if self.waiting().remove(&key(namespace, name)).is_some() {
            self.metrics.dequeued(self.controller, None);
        }
    }
}

fn key(namespace: Option<&str>, name: &str) -> Key {
    (namespace.unwrap_or_default().to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_object_waits_once_however_often_it_is_woken() {
        let metrics = Arc::new(Metrics::new());
        let queue = Queue::new("c", Arc::clone(&metrics));
        let shows = |lines: &[&str]| {
            let encoded = metrics.encode();
            for line in lines {
                assert!(encoded.lines().any(|found| found == *line), "no line {line} in\n{encoded}");
            }
        };
        queue.add(Some("a"), "one");
        tokio::time::advance(Duration::from_secs(3)).await;
        queue.add(Some("a"), "one");
        queue.add(Some("b"), "one");
        queue.add(None, "gone");
        shows(&[r#"workqueue_depth{name="c"} 3"#, r#"workqueue_adds_total{name="c"} 3"#]);
        queue.begin(Some("a"), "one");
        queue.begin(Some("b"), "one");
        queue.gone(None, "gone");
        queue.gone(None, "gone");
        shows(&[
            r#"workqueue_depth{name="c"} 0"#,
            r#"workqueue_queue_duration_seconds_count{name="c"} 2"#,
            r#"workqueue_queue_duration_seconds_sum{name="c"} 3.0"#,
        ]);
        queue.begin(Some("a"), "one");
        shows(&[r#"workqueue_depth{name="c"} 0"#, r#"workqueue_adds_total{name="c"} 4"#]);
    }
}
