//! What the process counts, under the names that controller-runtime's dashboards know, and under `passwordreset_…`.
//!
//! The registry is a value: whoever counts is handed a [`Metrics`], and two of them in one process (tests) never meet.
//! Label values come from closed sets or are bounded here; only the namespaces of objects and the accounts that are throttled grow with the
//! cluster. No instance id, no name of a `PasswordReset` and no message is a label: their number grows with use, and metrics are read by people
//! who may not read the objects.

mod families;
mod labels;
mod passes;
mod process;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::version;
use families::{bare, counter, durations, family, long};
use labels::{
    AccountLabels, ApiLabels, BuildLabels, CallLabels, ControllerLabels, LatencyLabels, LeaseLabels, OpenStateLabels,
    OutcomeLabels, QueueLabels, ReadyLabels, ReconcileLabels, RequestLabels, ResultLabels, StateLabels, WriteLabels,
    known_method, status,
};
pub use passes::{ActiveWorker, PassResult};
use process::Process;

/// The type of what [`Metrics::encode`] returns, for the `Content-Type` header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the reset of an instance may end.
pub const OUTCOMES: [&str; 4] = ["InEffect", "EffectiveAtNextStart", "Failed", "Unknown"];
/// The states in which a claimed instance is before it ends.
pub const OPEN_STATES: [&str; 3] = ["SettingPassword", "PasswordSet", "Restarting"];
/// How a run may end; the worst of its instances decides.
pub const RUN_RESULTS: [&str; 3] = ["Succeeded", "Failed", "Unknown"];
/// The calls that change an instance.
pub const CHANGING_CALLS: [&str; 2] = ["ModifyInstanceAttribute", "RebootInstance"];

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
    provider_throttled: Family<AccountLabels, Counter>,
    kube_writes: Family<WriteLabels, Counter>,
    records_read: Counter,
    leader: Family<LeaseLabels, Gauge>,
    objects: Family<ReadyLabels, Gauge<u64, AtomicU64>>,
    instances: Family<StateLabels, Gauge<u64, AtomicU64>>,
    reset_seconds: Family<OutcomeLabels, Histogram, fn() -> Histogram>,
    state_seconds: Family<OpenStateLabels, Histogram, fn() -> Histogram>,
    restart_proof_seconds: Histogram,
    run_seconds: Family<ResultLabels, Histogram, fn() -> Histogram>,
    retries: Family<ApiLabels, Counter>,
    kube_requests: Family<RequestLabels, Counter>,
    kube_request_seconds: Family<LatencyLabels, Histogram, fn() -> Histogram>,
    queue_depth: Family<QueueLabels, Gauge>,
    queue_adds: Family<QueueLabels, Counter>,
    queue_retries: Family<QueueLabels, Counter>,
    queue_seconds: Family<QueueLabels, Histogram, fn() -> Histogram>,
    work_seconds: Family<QueueLabels, Histogram, fn() -> Histogram>,
    /// What `objects` and `instances` are summed from, by kind and name.
    standings: Mutex<BTreeMap<(&'static str, String), Standing>>,
}

/// The state of one object.
#[derive(Debug)]
struct Standing {
    ready: ReadyLabels,
    rows: BTreeMap<&'static str, u64>,
}

impl Metrics {
    /// Counters at zero, in a registry of their own.
    #[allow(clippy::new_without_default)] // A second set of counters is never what a derived `Default` should make.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        // `_total` and `_info` are appended by the encoder.
        let build = Info::new(BuildLabels { version: version::VERSION, revision: version::REVISION });
        r.register("passwordreset_build", "The version that runs, and the commit that it was built from", build);
        r.register_collector(Box::new(Process));
        let metrics = Self {
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
            records_read: counter(
                r,
                "passwordreset_records_read",
                "ResetRecords taken from the ledger; a pass reads its own, and the open ones of an account with bounds",
            ),
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
            reset_seconds: long(
                r,
                "passwordreset_reset_duration_seconds",
                "From the claim of an instance to the end of its reset, on ECS's clock, in whole seconds",
            ),
            state_seconds: long(
                r,
                "passwordreset_state_duration_seconds",
                "How long a claimed instance was in a state before it left it, on ECS's clock, in whole seconds",
            ),
            restart_proof_seconds: bare(
                r,
                "passwordreset_restart_proof_seconds",
                "From the request of a restart to the reading that proves it, on ECS's clock, in whole seconds",
            ),
            run_seconds: long(
                r,
                "passwordreset_run_duration_seconds",
                "From the first claim of a run to the end of its last instance",
            ),
            retries: family(r, "passwordreset_retries", "Attempts at a changing call after the first one of its claim"),
            kube_requests: family(
                r,
                "rest_client_requests",
                "Requests to the Kubernetes API server by HTTP status, `<error>` where none came",
            ),
            kube_request_seconds: durations(
                r,
                "rest_client_request_duration_seconds",
                "From a request to the Kubernetes API server to the head of its answer",
            ),
            queue_depth: family(r, "workqueue_depth", "Objects that were changed or woken and wait for a pass"),
            queue_adds: family(r, "workqueue_adds", "Objects put in line for a pass, whatever for"),
            queue_retries: family(
                r,
                "workqueue_retries",
                "Passes that failed, panicked or met a conflict: the object is tried again",
            ),
            queue_seconds: durations(
                r,
                "workqueue_queue_duration_seconds",
                "How long a changed or woken object waits for its pass",
            ),
            work_seconds: durations(r, "workqueue_work_duration_seconds", "Duration of a pass"),
            standings: Mutex::default(),
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// What happens seldom is there before it has happened: a rate needs a point to start from.
    fn begin_at_zero(&self) {
        for outcome in OUTCOMES {
            drop(self.reset_seconds.get_or_create(&OutcomeLabels { outcome }));
        }
        for state in OPEN_STATES {
            drop(self.state_seconds.get_or_create(&OpenStateLabels { state }));
        }
        for result in RUN_RESULTS {
            drop(self.run_seconds.get_or_create(&ResultLabels { result }));
        }
        for api in CHANGING_CALLS {
            self.retries.get_or_create(&ApiLabels { api }).inc_by(0);
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
        let queue = QueueLabels { name: controller };
        self.queue_depth.get_or_create(&queue).inc_by(0);
        self.queue_adds.get_or_create(&queue).inc_by(0);
        self.queue_retries.get_or_create(&queue).inc_by(0);
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
        let queue = QueueLabels { name: controller };
        self.work_seconds.get_or_create(&queue).observe(took.as_secs_f64());
        if matches!(outcome, PassResult::Error | PassResult::Panic) {
            self.reconcile_errors.get_or_create(&labels).inc();
        }
        if outcome == PassResult::Panic {
            self.reconcile_panics.get_or_create(&labels).inc();
        }
        if matches!(outcome, PassResult::Error | PassResult::Panic | PassResult::Requeue) {
            self.queue_retries.get_or_create(&queue).inc();
        }
    }

    /// An object is put in line for a pass. `waits`: it is in line from now on, and [`Self::dequeued`] follows.
    pub fn enqueued(&self, controller: &'static str, waits: bool) {
        let queue = QueueLabels { name: controller };
        self.queue_adds.get_or_create(&queue).inc();
        if waits {
            self.queue_depth.get_or_create(&queue).inc();
        }
    }

    /// An object that was in line is not any more. `waited`: how long it was, where its pass begins now.
    pub fn dequeued(&self, controller: &'static str, waited: Option<Duration>) {
        let queue = QueueLabels { name: controller };
        self.queue_depth.get_or_create(&queue).dec();
        if let Some(waited) = waited {
            self.queue_seconds.get_or_create(&queue).observe(waited.as_secs_f64());
        }
    }

    /// The reset of an instance ended, `took` after its claim. `outcome` is one of [`OUTCOMES`].
    pub fn reset_ended(&self, outcome: &'static str, took: Duration) {
        self.reset_seconds.get_or_create(&OutcomeLabels { outcome }).observe(took.as_secs_f64());
    }

    /// A claimed instance left a state after `took`. `state` is one of [`OPEN_STATES`].
    pub fn state_left(&self, state: &'static str, took: Duration) {
        self.state_seconds.get_or_create(&OpenStateLabels { state }).observe(took.as_secs_f64());
    }

    /// A restart was proven, `took` after it was requested.
    pub fn restart_proven(&self, took: Duration) {
        self.restart_proof_seconds.observe(took.as_secs_f64());
    }

    /// A run ended, `took` after its first claim. `result` is one of [`RUN_RESULTS`].
    pub fn run_ended(&self, result: &'static str, took: Duration) {
        self.run_seconds.get_or_create(&ResultLabels { result }).observe(took.as_secs_f64());
    }

    /// A changing call is tried once more within its claim. `api` is one of [`CHANGING_CALLS`].
    pub fn retried(&self, api: &'static str) {
        self.retries.get_or_create(&ApiLabels { api }).inc();
    }

    /// A request to the API server at `host` was answered with the HTTP status `code`, or with none, after `took`.
    pub fn kube_request(&self, host: &str, method: &http::Method, code: Option<u16>, took: Duration) {
        let (method, host) = (known_method(method), host.to_owned());
        let latency = LatencyLabels { verb: method, host: host.clone() };
        self.kube_request_seconds.get_or_create(&latency).observe(took.as_secs_f64());
        self.kube_requests.get_or_create(&RequestLabels { code: status(code), method, host }).inc();
    }

    /// A call to Alibaba Cloud ended after `took`. `api` is the name of the action; `code` is what there is a fixed number of: a
    /// documented error code, `OK`, or a word of ours.
    pub fn provider_call(&self, api: &'static str, code: &'static str, took: Duration) {
        self.provider_calls.get_or_create(&CallLabels { api, code }).inc();
        self.provider_call_seconds.get_or_create(&ApiLabels { api }).observe(took.as_secs_f64());
    }

    /// Alibaba Cloud refused a call with an `ECSAccount` because there were too many: in addition to [`Self::provider_call`].
    pub fn provider_throttled(&self, account: &str, api: &'static str) {
        self.provider_throttled.get_or_create(&AccountLabels { account: account.to_owned(), api }).inc();
    }

    /// A write was sent to the API server, whatever came of it: its cost is the server's either way.
    pub fn kube_write(&self, kind: &'static str, verb: &'static str) {
        self.kube_writes.get_or_create(&WriteLabels { kind, verb }).inc();
    }

    /// A record was taken from the ledger.
    pub fn record_read(&self) {
        self.records_read.inc();
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
        let namespace = name.split_once('/').map_or("", |(namespace, _)| namespace).to_owned();
        let standing = Standing { ready: ReadyLabels { namespace, kind, ready, reason }, rows };
        self.standings().insert((kind, name.to_owned()), standing);
    }

    /// An object is gone, and is counted no more, nor are its instances.
    pub fn forget(&self, kind: &'static str, name: &str) {
        self.standings().remove(&(kind, name.to_owned()));
    }

    /// An account is gone, and with it what names it.
    pub fn forget_account(&self, name: &str, apis: impl IntoIterator<Item = &'static str>) {
        for api in apis {
            self.provider_throttled.remove(&AccountLabels { account: name.to_owned(), api });
        }
    }

    /// Everything in the `OpenMetrics` text format, see [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        // Held to the end: a second scrape must not see the series while they are rebuilt.
        let standings = self.standings();
        self.objects.clear();
        self.instances.clear();
        for standing in standings.values() {
            self.objects.get_or_create(&standing.ready).inc();
            for (state, count) in &standing.rows {
                let namespace = standing.ready.namespace.clone();
                self.instances.get_or_create(&StateLabels { namespace, state }).inc_by(*count);
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

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
