//! What the process counts, under the names that controller-runtime's dashboards know, and under `passwordreset_…`.
//!
//! The registry is a value: whoever counts is handed a [`Metrics`], and two of them in one process (tests) never meet.
//! Label values come from closed sets or are bounded here. No instance id, no object's name and no message is a label:
//! their number grows with use, and metrics are read by people who may not read the objects.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::version;

/// The type of what [`Metrics::encode`] returns, for the `Content-Type` header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassResult {
    /// Nothing left to do until something changes.
    Success,
    /// Failed, and is tried again.
    Error,
    /// Panicked; counts as an error too, as in controller-runtime.
    Panic,
    /// Wants to run again at once.
    Requeue,
    /// Wants to run again after a while.
    RequeueAfter,
}

impl PassResult {
    const fn result(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error | Self::Panic => "error",
            Self::Requeue => "requeue",
            Self::RequeueAfter => "requeue_after",
        }
    }
}

/// All counters of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_errors: Family<ControllerLabels, Counter>,
    reconcile_panics: Family<ControllerLabels, Counter>,
    reconcile_time_seconds: Family<ControllerLabels, Histogram, fn() -> Histogram>,
    max_concurrent_reconciles: Family<ControllerLabels, Gauge>,
    active_workers: Family<ControllerLabels, Gauge>,
    provider_calls: Family<CallLabels, Counter>,
    provider_call_seconds: Family<ApiLabels, Histogram, fn() -> Histogram>,
    provider_throttled: Family<ApiLabels, Counter>,
    kube_writes: Family<WriteLabels, Counter>,
    leader: Family<LeaseLabels, Gauge>,
    objects: Family<ReadyLabels, Gauge<u64, AtomicU64>>,
    instances: Family<StateLabels, Gauge<u64, AtomicU64>>,
    /// What `objects` and `instances` are summed from, by kind and name.
    standings: Mutex<BTreeMap<(&'static str, String), Standing>>,
}

/// Where one object stands.
#[derive(Debug)]
struct Standing {
    ready: ReadyLabels,
    rows: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    api: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    api: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: &'static str,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabels {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadyLabels {
    kind: &'static str,
    ready: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    revision: &'static str,
}

impl Metrics {
    /// Counters at zero, in a registry of their own.
    #[must_use]
    #[allow(clippy::new_without_default)] // A second set of counters is never what a derived `Default` should make.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        // `_total` and `_info` are appended by the encoder.
        let build = Info::new(BuildLabels { version: version::VERSION, revision: version::REVISION });
        r.register("passwordreset_build", "The version that runs, and the commit that it was built from", build);
        Self {
            reconciles: family(r, "controller_runtime_reconcile", "Passes by how they ended"),
            reconcile_errors: family(r, "controller_runtime_reconcile_errors", "Passes that failed"),
            reconcile_panics: family(r, "controller_runtime_reconcile_panics", "Passes that panicked"),
            reconcile_time_seconds: durations(r, "controller_runtime_reconcile_time_seconds", "Duration of a pass"),
            max_concurrent_reconciles: family(
                r,
                "controller_runtime_max_concurrent_reconciles",
                "Passes that may run at once",
            ),
            active_workers: family(r, "controller_runtime_active_workers", "Passes that run now"),
            provider_calls: family(
                r,
                "passwordreset_provider_api_calls",
                "Calls to Alibaba Cloud by API and error code, OK among them",
            ),
            provider_call_seconds: durations(
                r,
                "passwordreset_provider_api_duration_seconds",
                "Duration of a call to Alibaba Cloud",
            ),
            provider_throttled: family(
                r,
                "passwordreset_provider_api_throttled",
                "Calls that Alibaba Cloud refused because there were too many",
            ),
            kube_writes: family(r, "passwordreset_kube_writes", "Writes sent to the Kubernetes API server"),
            leader: family(
                r,
                "leader_election_master_status",
                "1 for the process that holds the Lease, 0 for a standby",
            ),
            objects: family(
                r,
                "passwordreset_objects",
                "PasswordResets and ECSAccounts by status and reason of their condition Ready",
            ),
            instances: family(r, "passwordreset_instances", "Instances of all PasswordResets by state"),
            standings: Mutex::default(),
            registry,
        }
    }

    /// A controller begins to run at most `concurrency` passes at once. Its counters appear at zero, so that a rate has
    /// something to start from and a missing series means a missing controller.
    pub fn controller_started(&self, controller: &'static str, concurrency: u16) {
        let labels = ControllerLabels { controller };
        self.max_concurrent_reconciles.get_or_create(&labels).set(concurrency.into());
        for outcome in [PassResult::Success, PassResult::Error, PassResult::Requeue, PassResult::RequeueAfter] {
            self.reconciles.get_or_create(&ReconcileLabels { controller, result: outcome.result() }).inc_by(0);
        }
        self.reconcile_errors.get_or_create(&labels).inc_by(0);
        self.reconcile_panics.get_or_create(&labels).inc_by(0);
        self.active_workers.get_or_create(&labels).inc_by(0);
    }

    /// A pass begins; it counts as active until the answer is dropped, also when the pass panics or is aborted.
    pub fn reconciling(&self, controller: &'static str) -> ActiveWorker {
        let active_workers = self.active_workers.get_or_create_owned(&ControllerLabels { controller });
        active_workers.inc();
        ActiveWorker { active_workers }
    }

    /// A pass ended after `took`.
    pub fn reconciled(&self, controller: &'static str, outcome: PassResult, took: Duration) {
        let labels = ControllerLabels { controller };
        self.reconciles.get_or_create(&ReconcileLabels { controller, result: outcome.result() }).inc();
        self.reconcile_time_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        match outcome {
            PassResult::Panic => {
                self.reconcile_errors.get_or_create(&labels).inc();
                self.reconcile_panics.get_or_create(&labels).inc();
            }
            PassResult::Error => {
                self.reconcile_errors.get_or_create(&labels).inc();
            }
            PassResult::Success | PassResult::Requeue | PassResult::RequeueAfter => {}
        }
    }

    /// A call to Alibaba Cloud ended after `took`. `api` is the name of the action; `code` is the error code of the
    /// answer, `OK`, or a word of ours where there was no answer. What does not look like a code counts as `other`.
    pub fn provider_call(&self, api: &'static str, code: &str, took: Duration) {
        self.provider_calls.get_or_create(&CallLabels { api, code: bounded(code).to_owned() }).inc();
        self.provider_call_seconds.get_or_create(&ApiLabels { api }).observe(took.as_secs_f64());
    }

    /// Alibaba Cloud refused a call because there were too many: in addition to [`Self::provider_call`].
    pub fn provider_throttled(&self, api: &'static str) {
        self.provider_throttled.get_or_create(&ApiLabels { api }).inc();
    }

    /// A write was sent to the API server, whatever came of it: its cost is the server's either way.
    pub fn kube_write(&self, kind: &'static str, verb: &'static str) {
        self.kube_writes.get_or_create(&WriteLabels { kind, verb }).inc();
    }

    /// Whether this process holds the Lease `name`; a process that needs none never says so.
    pub fn set_leader(&self, name: &'static str, leads: bool) {
        self.leader.get_or_create(&LeaseLabels { name }).set(leads.into());
    }

    /// The status and the reason of an object's condition Ready now, and how many instances it has in which state; replaces what was
    /// said before. `name` is `namespace/name`, or the name alone where the kind has no namespaces.
    pub fn set_object(
        &self,
        kind: &'static str,
        name: &str,
        (ready, reason): (&'static str, &'static str),
        rows: BTreeMap<&'static str, u64>,
    ) {
        let standing = Standing { ready: ReadyLabels { kind, ready, reason }, rows };
        self.standings().insert((kind, name.to_owned()), standing);
    }

    /// An object is gone, and is counted no more, nor are its instances.
    pub fn forget(&self, kind: &'static str, name: &str) {
        self.standings().remove(&(kind, name.to_owned()));
    }

    /// Everything in the `OpenMetrics` text format, see [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        // Held to the end: a second scrape must not see the series while they are rebuilt.
        let standings = self.standings();
        self.objects.clear();
        self.instances.clear();
        for standing in standings.values() {
            self.objects.get_or_create(&standing.ready).inc();
            for (state, count) in &standing.rows {
                self.instances.get_or_create(&StateLabels { state }).inc_by(*count);
            }
        }
        let mut encoded = String::new();
        // Writing to a String does not fail. Should it, then the closing "# EOF" is missing and the scraper says so.
        let _ = text::encode(&mut encoded, &self.registry);
        encoded
    }

    fn standings(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One pass that runs now.
#[derive(Debug)]
#[must_use = "the pass counts as ended as soon as this is dropped"]
pub struct ActiveWorker {
    active_workers: Gauge,
}

impl Drop for ActiveWorker {
    fn drop(&mut self) {
        self.active_workers.dec();
    }
}

fn family<S, M>(registry: &mut Registry, name: &str, help: &str) -> Family<S, M>
where
    S: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
    M: EncodeMetric + TypedMetric + Default + Debug + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

/// From a cached answer to the slowest that anybody waits for, in seconds.
fn durations<S>(registry: &mut Registry, name: &str, help: &str) -> Family<S, Histogram, fn() -> Histogram>
where
    S: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static,
{
    let histogram: fn() -> Histogram =
        || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
    let family = Family::new_with_constructor(histogram);
    registry.register(name, help, family.clone());
    family
}

/// An error code looks like `IncorrectInstanceStatus.Initializing`, or `HTTP 502` where the answer had none; anything else may be a
/// message, and has no bound.
fn bounded(code: &str) -> &str {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
    let word = code.strip_prefix("HTTP ").unwrap_or(code);
    if (1..=64).contains(&word.len()) && word.bytes().all(letter) { code } else { "other" }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
