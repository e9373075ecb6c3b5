//! Wiring only: clients, leadership, streams, controllers, the admin server, and the order of shutdown. Decides nothing.
//!
//! ```text
//! run ─▶ operate_while_leading: stand by, then hold the Lease ─▶ operate: watches and controllers ─▶ release the Lease
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, future};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config as ControllerConfig, Controller, Error as ControllerError};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Readiness};
use crate::api::ecs_account::ECSAccount;
use crate::api::password_reset::PasswordReset;
use crate::api::reset_record::{Owner, Phase, ResetRecord};
use crate::cli::Settings;
use crate::clock::Clock;
use crate::ecs::{Client as EcsClient, HttpTransport, Instances, Transport, TransportError};
use crate::leader::{Candidate, Gate, LEASE_NAME, Loss};
use crate::metrics::Metrics;
use crate::reconcile::accounts::Accounts;
use crate::reconcile::calls::Calls;
use crate::reconcile::cluster::{Cluster, ClusterError};
use crate::reconcile::fingerprint::{FingerprintKey, KeyError};
use crate::reconcile::ledger::{Ledger, OwnWrites};
use crate::reconcile::readings::Reader;
use crate::reconcile::wake::{Listeners, Waiter, Waker};
use crate::reconcile::{Context, Recent, Synced, ecs_account, password_reset, reset_record};

/// Wake-ups of the poll tasks that may be under way at once.
const WAKE_CAPACITY: usize = 1_024;
/// How soon a start that met trouble is tried again.
const START_RETRY: Duration = Duration::from_secs(2);

type Guarded<K> = DeserializeGuard<K>;

/// Why the controller could not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no usable kubeconfig or in-cluster configuration.
    #[error("no way to the API server: {0}; run in a cluster, or set KUBECONFIG")]
    Kubeconfig(String),
    /// The client for ECS cannot be built.
    #[error("the client for ECS cannot be built: {0}")]
    Ecs(#[from] TransportError),
    /// The admin address cannot be bound.
    #[error(transparent)]
    Admin(#[from] admin::BindError),
    /// There is no fingerprint key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another process may lead by now.
    #[error("leadership is lost: {0}")]
    Lost(#[from] Loss),
}

/// What the controller works against: the real thing, or in tests a double of it.
pub struct Outside<T> {
    /// The way to the API server; it must not retry by itself.
    pub client: Client,
    /// The way to ECS.
    pub ecs: EcsClient<T>,
    /// This machine's clock.
    pub clock: Clock,
    /// The random id of this process: a part of its name in the Lease, and of each attempt that it stores.
    pub process: String,
    /// Whether this process leads.
    pub gate: Gate,
}

impl Outside<HttpTransport> {
    fn connect(settings: &Settings, client: Client) -> Result<Self, RunError> {
        let ecs = EcsClient::connect(settings.allow_http_endpoints, settings.ecs_connect_timeout)?;
        let clock = Clock::System;
        Ok(Self { client, ecs, process: clock.nonce(), clock, gate: Gate::always() })
    }
}

async fn kube_config(settings: &Settings) -> Result<kube::Config, RunError> {
    let mut config = kube::Config::infer().await.map_err(|error| RunError::Kubeconfig(error.to_string()))?;
    // A write that is repeated behind our back is a write whose outcome we do not know.
    config.default_retry = false;
    config.connect_timeout = Some(settings.kube_request_timeout);
    Ok(config)
}

/// A client with connections of its own.
fn kube_client(config: &kube::Config) -> Result<Client, RunError> {
    Client::try_from(config.clone()).map_err(|error| RunError::Kubeconfig(error.to_string()))
}

/// Runs the controller with its admin server until `stop` is cancelled, and lets passes in flight finish.
///
/// # Errors
/// When it cannot start, and when it has lost its leadership.
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<(), RunError> {
    let (metrics, readiness) = (Arc::new(Metrics::new()), Arc::new(Readiness::default()));
    let listener = admin::bind(settings.listen_address).await?;
    let server = tokio::spawn(admin::serve(listener, Arc::clone(&metrics), Arc::clone(&readiness), stop.clone()));
    let config = kube_config(&settings).await?;
    let outside = Outside::connect(&settings, kube_client(&config)?)?;
    if settings.leader_elect {
        let lease_client = kube_client(&config)?;
        operate_while_leading(settings, outside, lease_client, metrics, readiness, stop).await?;
    } else {
        operate(settings, outside, metrics, readiness, stop).await?;
    }
    let _ = server.await;
    Ok(())
}

/// Stands by until this process leads, then [`operate`]s, and gives the Lease back at the end. The gate of `outside` is
/// replaced by one that is open while this process leads. `lease_client` is a client of its own: see [`Candidate::new`].
///
/// # Errors
/// Those of [`operate`], and the loss of leadership. What was begun under it is dropped then, in the middle, and this
/// process ends instead of standing by again: its caches, its notes of what it wrote and sent, and its calls in flight are
/// of a time in which it led. A new process has none of them, and begins with the records.
pub async fn operate_while_leading<T: Transport>(
    settings: Settings,
    mut outside: Outside<T>,
    lease_client: Client,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let identity = format!("{}_{}", settings.leader_elect_identity, outside.process);
    let clock = outside.clock.clone();
    let mut candidate = Candidate::new(lease_client, &settings.namespace, identity, settings.election, clock);
    outside.gate = candidate.gate();
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
        ended = operate(settings, outside, Arc::clone(&metrics), readiness, stop) => ended,
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
pub async fn operate<T: Transport>(
    settings: Settings,
    outside: Outside<T>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let (client, clock) = (outside.client.clone(), outside.clock.clone());
    let cluster =
        Cluster::new(client, &settings.namespace, settings.kube_request_timeout, clock.clone(), Arc::clone(&metrics));
    let Some(fingerprint_key) = fingerprint_key(&cluster, &clock, &stop).await? else { return Ok(()) };
    readiness.fingerprint_key_present();

    let (waker, listeners) = Waker::new(&settings.namespace);
    let (wake, woken) = tokio::sync::mpsc::channel(WAKE_CAPACITY);
    let (context, streams) = build(settings, outside, cluster, fingerprint_key, metrics, &waker, wake);
    let controllers = controllers(&context, streams, listeners, &waker, &stop);
    let deadline = async {
        stop.cancelled().await;
        timer(context.settings.shutdown_timeout).await;
    };
    tokio::select! {
        biased;
        () = controllers => tracing::info!("stopped"),
        () = deadline => tracing::warn!("stopped although passes were still in flight; their records say how far they came"),
        () = forward(woken, waker.clone()) => {}
        () = announce_sync(&context, &readiness) => {}
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

/// The watches, before they are given to the controllers.
struct Streams {
    password_resets: Watched<PasswordReset>,
    reset_records: Watched<ResetRecord>,
    ecs_accounts: Watched<ECSAccount>,
}

/// One watch with its cache.
struct Watched<K: Resource<DynamicType = ()> + 'static> {
    reader: Store<Guarded<K>>,
    stream: BoxStream<'static, watcher::Result<Guarded<K>>>,
    /// Whether the cache holds a full list.
    synced: tokio::sync::watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + Send + Sync + 'static> Watched<K> {
    /// Passes on only what `predicate` finds changed; the cache follows everything.
    fn filtered(self, predicate: impl Predicate<Guarded<K>> + Send + 'static) -> Self {
        Self { stream: self.stream.predicate_filter(predicate, PredicateConfig::default()).boxed(), ..self }
    }
}

fn build<T: Transport>(
    settings: Settings,
    outside: Outside<T>,
    cluster: Cluster,
    fingerprint_key: FingerprintKey,
    metrics: Arc<Metrics>,
    waker: &Waker,
    wake: Sender<Waiter>,
) -> (Arc<Context<T>>, Streams) {
    let Outside { client, ecs, clock, process, gate } = outside;
    let own_writes = OwnWrites::default();
    let streams = streams(&client, &settings.namespace, own_writes.clone(), waker);
    let calls = Arc::new(Calls::new(ecs, clock.clone(), Arc::clone(&metrics)));
    let accounts = Arc::new(Accounts::default());
    let reader = Reader { calls: Arc::clone(&calls), accounts: Arc::clone(&accounts), clock: clock.clone() };
    let context = Context {
        instances: Instances::new(reader, wake, settings.describe_interval),
        ledger: Ledger::new(&settings.namespace, streams.reset_records.reader.clone(), own_writes),
        password_resets: streams.password_resets.reader.clone(),
        ecs_accounts: streams.ecs_accounts.reader.clone(),
        synced: Synced::new([
            streams.password_resets.synced.clone(),
            streams.reset_records.synced.clone(),
            streams.ecs_accounts.synced.clone(),
        ]),
        process,
        gate,
        status_writes: Recent::default(),
        permits: Recent::default(),
        storing_restart: tokio::sync::Mutex::default(),
        sent: Recent::default(),
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

fn streams(client: &Client, namespace: &str, own_writes: OwnWrites, waker: &Waker) -> Streams {
    let owners = waker.clone();
    let on_record = move |event: &Event<Guarded<ResetRecord>>| {
        own_writes.seen(event);
        if let Event::Apply(guard) | Event::InitApply(guard) | Event::Delete(guard) = event
            && let Ok(record) = &guard.0
        {
            for owner in concerned(record) {
                owners.wake(&Waiter::owner(owner));
            }
        }
    };
    Streams {
        password_resets: watch(Api::all(client.clone()), |_| {}),
        reset_records: watch(Api::namespaced(client.clone(), namespace), on_record),
        ecs_accounts: watch(Api::all(client.clone()), |_| {}),
    }
}

/// Whose status may change with a record: its claim's owner, and once that has set a password, those it supersedes.
fn concerned(record: &ResetRecord) -> impl Iterator<Item = &Owner> {
    let status = record.status.as_ref();
    let others = status.filter(|status| status.phase == Phase::PasswordSet || status.phase.has_ended());
    std::iter::once(&record.spec.owner)
        .chain(others.into_iter().flat_map(|status| &status.completed).map(|entry| &entry.owner))
}

/// One watch: list and follow, drop what is not needed, keep a cache, and pass on what was touched.
fn watch<K>(api: Api<Guarded<K>>, on_event: impl Fn(&Event<Guarded<K>>) + Send + 'static) -> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
{
    let (reader, writer) = store();
    let (listed, synced) = tokio::sync::watch::channel(false);
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        // After the cache has taken it: who is woken must find it there.
        .inspect_ok(move |event| {
            on_event(event);
            if matches!(event, Event::InitDone) {
                listed.send_replace(true);
            }
        })
        .touched_objects()
        .boxed();
    Watched { reader, stream, synced }
}

/// The three controllers, until all of them have stopped.
fn controllers<T: Transport>(
    context: &Arc<Context<T>>,
    streams: Streams,
    listeners: Listeners,
    waker: &Waker,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<T> {
    let Streams { password_resets, reset_records, ecs_accounts } = streams;
    for controller in ["password_reset", "reset_record", "ecs_account"] {
        context.metrics.controller_started(controller, context.settings.concurrency);
    }
    // A change of status is no reason to look; the annotations of our own group are.
    let password_resets = password_resets.filtered(predicates::generation.combine(predicates::annotations));
    let password_resets = drive(
        controller(context, password_resets, listeners.password_resets, stop),
        Arc::clone(context),
        |object, context| password_reset::reconcile(context, object.namespace().unwrap_or_default(), object.name_any()),
        |context, gone| password_reset::forget(context, gone.namespace.as_deref().unwrap_or_default(), &gone.name),
    );
    let reset_records = drive(
        controller(context, reset_records, listeners.reset_records, stop),
        Arc::clone(context),
        |record, context| reset_record::reconcile(context, record.name_any()),
        |context, gone| reset_record::forget(context, &gone.name),
    );
    let accounts_waker = waker.clone();
    let ecs_accounts = drive(
        controller(context, ecs_accounts.filtered(predicates::generation), listeners.ecs_accounts, stop),
        Arc::clone(context),
        move |account, context| ecs_account::reconcile(context, accounts_waker.clone(), account.name_any()),
        |context, gone| context.accounts.forget(&gone.name),
    );
    async {
        let ((), (), ()) = future::join3(password_resets, reset_records, ecs_accounts).await;
    }
}

fn controller<K, T>(
    context: &Context<T>,
    Watched { reader, stream, .. }: Watched<K>,
    wakes: impl Stream<Item = ObjectRef<Guarded<K>>> + Send + 'static,
    stop: &CancellationToken,
) -> Controller<Guarded<K>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
{
    Controller::for_stream(stream, reader)
        .with_config(ControllerConfig::default().concurrency(context.settings.concurrency))
        .reconcile_on(wakes)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
}

async fn drive<K, T, F>(
    controller: Controller<Guarded<K>>,
    context: Arc<Context<T>>,
    mut reconcile: impl FnMut(Arc<Guarded<K>>, Arc<Context<T>>) -> F,
    forget: impl Fn(&Context<T>, &ObjectRef<kube::api::DynamicObject>),
) where
    T: Transport,
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
    F: Future<Output = Action> + Send + 'static,
{
    let passes = controller.run(
        |object, context| {
            let pass = reconcile(object, context);
            async move { Ok::<Action, std::convert::Infallible>(pass.await) }
        },
        |_, never, _| match *never {},
        Arc::clone(&context),
    );
    passes
        .for_each(|pass| {
            match pass {
                Ok(_) => {}
                Err(ControllerError::ObjectNotFound(gone)) => forget(&context, &gone),
                Err(error) => tracing::warn!(%error, "a watch was interrupted; it is begun again"),
            }
            future::ready(())
        })
        .await;
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
