//! Wiring only: clients, leadership, streams, controllers, the admin server, and the order of shutdown. Decides nothing.
//!
//! ```text
//! run ─▶ run_while_leading: stand by, then hold the Lease ─▶ run_controllers: watches and controllers ─▶ release the Lease
//! ```

mod clients;
mod controllers;
mod queue;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use kube::Client;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Readiness};
use crate::clock::Clock;
use crate::cloud::accounts::Accounts;
use crate::cloud::calls::Calls;
use crate::cloud::readings::Reader;
use crate::cluster::fingerprint::{FingerprintKey, KeyError};
use crate::cluster::ledger::Ledger;
use crate::cluster::objects::Objects;
use crate::cluster::policies::Policies;
use crate::cluster::secrets::Secrets;
use crate::cluster::wake::{Waiter, Waker};
use crate::cluster::{Cluster, ClusterError};
use crate::controllers::Context;
use crate::controllers::PerObject;
use crate::controllers::Synced;
use crate::controllers::secret_changes::{self, AtRest};
use crate::ecs::{EcsClient, Instances, Transport, TransportError};
use crate::leader::{Candidate, LEASE_NAME, Leadership, LeadershipLoss};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::version;
use clients::{ecs_client, kube_client, kube_config};
use controllers::controllers;
use watches::{Streams, streams};

/// Wake-ups of the poll tasks that may be under way at once.
const WAKE_CAPACITY: usize = 1_024;
/// How often passwords that were read long ago are forgotten.
const FORGET_PASSWORDS: Duration = Duration::from_mins(1);
/// How soon a start that failed is tried again.
const START_RETRY: Duration = Duration::from_secs(2);

/// Why the controller could not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no usable kubeconfig or in-cluster configuration.
    #[error("cannot load a kubeconfig: {0}; run in a cluster, or set KUBECONFIG")]
    Kubeconfig(String),
    /// The client for ECS cannot be built.
    #[error("the client for ECS cannot be built: {0}")]
    Ecs(#[from] TransportError),
    /// The file with further certificate authorities cannot be read.
    #[error("--ecs-ca-file {0} cannot be read: {1}")]
    Authorities(String, std::io::Error),
    /// The admin address cannot be bound.
    #[error(transparent)]
    Admin(#[from] admin::BindError),
    /// There is no fingerprint key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another process may lead by now.
    #[error("leadership is lost: {0}")]
    Lost(#[from] LeadershipLoss),
}

/// What the controller works against: the real thing, or in tests a double of it.
pub struct Dependencies<T> {
    /// The way to the API server; it must not retry by itself.
    pub client: Client,
    /// The way to ECS.
    pub ecs: EcsClient<T>,
    /// This machine's clock.
    pub clock: Clock,
    /// The random id of this process: a part of its name in the Lease, and of each attempt that it stores.
    pub process: String,
    /// Whether this process leads.
    pub leadership: Leadership,
}

/// Runs the controller with its admin server until `stop` is cancelled, and lets passes in flight finish.
///
/// # Errors
/// When it cannot start, and when it has lost its leadership.
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<(), RunError> {
    let (metrics, readiness) = (Arc::new(Metrics::new()), Arc::new(Readiness::default()));
    tracing::info!(
        version = version::VERSION,
        commit = version::REVISION,
        settings = settings.command_line,
        "the controller starts"
    );
    let listener = admin::bind(settings.listen_address).await?;
    if settings.allow_short_safety_times {
        tracing::warn!(
            "--allow-short-safety-times is set: an instance of ECS may be restarted twice; it is for tests against the simulator only"
        );
    }
    let server = tokio::spawn(admin::serve(listener, Arc::clone(&metrics), Arc::clone(&readiness), stop.clone()));
    let config = kube_config(&settings).await?;
    let clock = Clock::System;
    let (client, ecs) = (kube_client(&config, &metrics)?, ecs_client(&settings)?);
    let dependencies = Dependencies { client, ecs, process: clock.nonce(), clock, leadership: Leadership::always() };
    if settings.leader_elect {
        let lease_client = kube_client(&config, &metrics)?;
        run_while_leading(settings, dependencies, lease_client, metrics, readiness, stop).await?;
    } else {
        run_controllers(settings, dependencies, metrics, readiness, stop).await?;
    }
    let _ = server.await;
    Ok(())
}

/// Stands by until this process leads, then [`run_controllers`]s, and gives the Lease back at the end. The leadership of `dependencies` is
/// replaced by one that is open while this process leads. `lease_client` is a client of its own: see [`Candidate::new`].
///
/// # Errors
/// Those of [`run_controllers`], and the loss of leadership. What was begun under it is dropped then, in the middle, and this
/// process ends instead of standing by again: its caches, its notes of what it wrote and sent, and its calls in flight are
/// of a time in which it led. A new process has none of them, and begins with the records.
pub async fn run_while_leading<T: Transport>(
    settings: Settings,
    mut dependencies: Dependencies<T>,
    lease_client: Client,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let identity = format!("{}_{}", settings.leader_elect_identity, dependencies.process);
    let clock = dependencies.clock.clone();
    let mut candidate = Candidate::new(lease_client, &settings.namespace, identity, settings.election, clock);
    dependencies.leadership = candidate.leadership();
    metrics.set_leader(LEASE_NAME, false);
    tokio::select! {
        biased;
        () = stop.cancelled() => {
            // It may have been stopped in the middle of a claim.
            candidate.release().await;
            return Ok(());
        }
        () = candidate.acquire(|| readiness.standing_by()) => {}
    }
    metrics.set_leader(LEASE_NAME, true);
    readiness.leads();
    let ended = tokio::select! {
        biased;
        loss = candidate.hold() => return Err(loss.into()),
        ended = run_controllers(settings, dependencies, Arc::clone(&metrics), readiness, stop) => ended,
    };
    metrics.set_leader(LEASE_NAME, false);
    candidate.release().await;
    ended
}

/// Runs the three controllers until `stop` is cancelled, and lets passes in flight finish. Dropped, it ends like a
/// process that is killed: nothing of it sends anything any more.
///
/// # Errors
/// When there is no fingerprint key.
pub async fn run_controllers<T: Transport>(
    settings: Settings,
    dependencies: Dependencies<T>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let (client, clock) = (dependencies.client.clone(), dependencies.clock.clone());
    let cluster =
        Cluster::new(client, &settings.namespace, settings.kube_request_timeout, clock.clone(), Arc::clone(&metrics));
    let Some(fingerprint_key) = fingerprint_key(&cluster, &clock, &stop).await? else { return Ok(()) };
    readiness.fingerprint_key_present();

    let (waker, listeners) = Waker::new(&settings.namespace);
    let (wake, woken) = tokio::sync::mpsc::channel(WAKE_CAPACITY);
    let (context, streams) = build(settings, dependencies, cluster, fingerprint_key, metrics, &waker, wake);
    let controllers = controllers(&context, streams, listeners, &waker, &stop);
    let deadline = async {
        stop.cancelled().await;
        timer(context.settings.shutdown_timeout).await;
    };
    tokio::select! {
        biased;
        () = controllers => tracing::info!("stopped"),
        () = deadline => tracing::warn!("shutdown timeout reached with passes in flight; their progress is in the ResetRecords"),
        () = forward(woken, waker.clone()) => {}
        () = announce_sync(&context, &readiness) => {}
        () = forget_passwords(&context) => {}
        () = Box::pin(watch_secrets(&context, &waker)) => {}
    }
    Ok(())
}

/// The key; `None`: stopped before there was one. An API server that is not there yet is waited for.
async fn fingerprint_key(
    cluster: &Cluster,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<Option<FingerprintKey>, KeyError> {
    loop {
        match FingerprintKey::load(cluster, clock).await {
            Ok(key) => return Ok(Some(key)),
            Err(error @ (KeyError::Malformed | KeyError::Cluster(ClusterError::Unreadable { .. }))) => {
                return Err(error);
            }
            Err(error) => tracing::warn!(%error, "waiting for the fingerprint key"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            () = timer(START_RETRY) => {}
        }
    }
}

fn build<T: Transport>(
    settings: Settings,
    dependencies: Dependencies<T>,
    cluster: Cluster,
    fingerprint_key: FingerprintKey,
    metrics: Arc<Metrics>,
    waker: &Waker,
    wake: Sender<Waiter>,
) -> (Arc<Context<T>>, Streams) {
    let Dependencies { client, ecs, clock, process, leadership } = dependencies;
    let ledger = Ledger::measured(Arc::clone(&metrics));
    let objects = Objects::measured(Arc::clone(&metrics));
    let streams = streams(&client, &settings.namespace, &ledger, &objects, waker);
    let account_waker = waker.clone();
    let wake_account = move |account: &str| account_waker.wake(&Waiter::Account(account.to_owned()));
    let calls = Arc::new(Calls::new(ecs, clock.clone(), Arc::clone(&metrics), wake_account));
    let accounts = Arc::new(Accounts::default());
    let reader = Reader { calls: Arc::clone(&calls), accounts: Arc::clone(&accounts), clock: clock.clone() };
    let context = Context {
        instances: Instances::new(reader, wake, settings.describe_interval),
        ledger,
        secrets: Secrets::new(settings.secret_poll),
        objects,
        ecs_accounts: streams.ecs_accounts.reader.clone(),
        synced: Synced::new([
            streams.password_resets.synced.clone(),
            streams.reset_records.synced.clone(),
            streams.ecs_accounts.synced.clone(),
        ]),
        process,
        leadership,
        urgent: waker.urgent(),
        looked_up: PerObject::default(),
        last_passes: PerObject::default(),
        status_writes: PerObject::default(),
        denials: PerObject::default(),
        claim_rate_permits: PerObject::default(),
        at_rest: AtRest::default(),
        turns: crate::controllers::turns::Turns::default(),
        counting_slots: tokio::sync::Mutex::default(),
        owner_missed_since: PerObject::default(),
        untimed_since: PerObject::default(),
        absent: PerObject::default(),
        sent: PerObject::default(),
        policies: Policies::default(),
        settings,
        clock,
        cluster,
        calls,
        accounts,
        fingerprint_key,
        metrics,
    };
    (Arc::new(context), streams)
}

/// Carries the wake-ups of the poll tasks to the controllers, for as long as it is polled.
async fn forward(mut woken: Receiver<Waiter>, waker: Waker) {
    while let Some(waiter) = woken.recv().await {
        waker.wake(&waiter);
    }
    future::pending::<()>().await;
}

/// Forgets passwords that were read long ago, for as long as it is polled.
async fn forget_passwords<T>(context: &Context<T>) {
    loop {
        timer(FORGET_PASSWORDS).await;
        context.secrets.forget_old();
    }
}

/// Looks for changed Secrets of objects at rest, for as long as it is polled.
async fn watch_secrets<T>(context: &Context<T>, waker: &Waker) {
    loop {
        timer(context.settings.secret_poll).await;
        secret_changes::look(context, waker).await;
    }
}

/// Says on `/readyz` when the three caches hold a full list.
async fn announce_sync<T>(context: &Context<T>, readiness: &Readiness) {
    context.synced.wait().await;
    readiness.caches_synced();
    tracing::info!(process = context.process, "ready");
    future::pending::<()>().await;
}

#[allow(clippy::disallowed_methods)] // the timers of start and stop
async fn timer(duration: Duration) {
    tokio::time::sleep(duration).await;
}
