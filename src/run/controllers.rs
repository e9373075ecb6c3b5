//! The three controllers: which watch drives which reconciler, and what becomes of an object that is gone. Decides nothing.

use std::convert::Infallible;
use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, future};
use kube::runtime::controller::{Action, Config as ControllerConfig, Controller, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Predicate, predicates, watcher};
use kube::{Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::queue::Queue;
use super::watches::{Streams, Watched};
use crate::cluster::wake::{Listeners, Waker};
use crate::controllers::Context;
use crate::controllers::ecs_account;
use crate::controllers::password_reset;
use crate::controllers::reset_record;
use crate::ecs::Transport;

/// The three controllers, until all of them have stopped.
pub(super) fn controllers<T: Transport>(
    context: &Arc<Context<T>>,
    streams: Streams,
    listeners: Listeners,
    waker: &Waker,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<T> {
    let Streams { password_resets, reset_records, ecs_accounts } = streams;
    let queue = |controller| {
        context.metrics.controller_started(controller, context.settings.concurrency);
        Queue::new(controller, Arc::clone(&context.metrics))
    };
    // A change of status is not a reason to reconcile, one of an annotation may be. These filters know nothing of deletions: the watch
    // wakes for them.
    let password_resets = password_resets.filtered(predicates::generation.combine(predicates::annotations));
    let queue_of_resets = queue("password_reset");
    let password_resets = drive(
        controller(context, password_resets, listeners.password_resets, &queue_of_resets, stop),
        queue_of_resets,
        Arc::clone(context),
        |object, context| password_reset::reconcile(context, object.namespace().unwrap_or_default(), object.name_any()),
        |context, gone| password_reset::forget(context, gone.namespace.as_deref().unwrap_or_default(), &gone.name),
    );
    let queue_of_records = queue("reset_record");
    let reset_records = drive(
        controller(context, reset_records, listeners.reset_records, &queue_of_records, stop),
        queue_of_records,
        Arc::clone(context),
        |record, context| reset_record::reconcile(context, record.name_any()),
        |context, gone| reset_record::unseen(context, &gone.name),
    );
    let (accounts_waker, forget_waker) = (waker.clone(), waker.clone());
    let (ecs_accounts, queue_of_accounts) = (ecs_accounts.filtered(predicates::generation), queue("ecs_account"));
    let ecs_accounts = drive(
        controller(context, ecs_accounts, listeners.ecs_accounts, &queue_of_accounts, stop),
        queue_of_accounts,
        Arc::clone(context),
        move |account, context| ecs_account::reconcile(context, accounts_waker.clone(), account.name_any()),
        move |context, gone| ecs_account::forget(context, &forget_waker, &gone.name),
    );
    async {
        let ((), (), ()) = future::join3(password_resets, reset_records, ecs_accounts).await;
    }
}

fn controller<K, T>(
    context: &Context<T>,
    Watched { reader, stream, .. }: Watched<K>,
    wakes: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    queue: &Queue,
    stop: &CancellationToken,
) -> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
{
    let (touched, woken) = (queue.clone(), queue.clone());
    let stream = stream.inspect_ok(move |object| touched.add(object.namespace().as_deref(), &object.name_any()));
    let wakes = wakes.inspect(move |wake| woken.add(wake.namespace.as_deref(), &wake.name));
    Controller::for_stream(stream, reader)
        .with_config(ControllerConfig::default().concurrency(context.settings.concurrency))
        .reconcile_on(wakes)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
}

async fn drive<K, T, F>(
    controller: Controller<K>,
    queue: Queue,
    context: Arc<Context<T>>,
    mut reconcile: impl FnMut(Arc<K>, Arc<Context<T>>) -> F,
    forget: impl Fn(&Context<T>, &ObjectRef<kube::api::DynamicObject>),
) where
    T: Transport,
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
    F: Future<Output = Action> + Send + 'static,
{
    let gone_from = queue.clone();
    let passes = controller.run(
        |object, context| {
            queue.begin(object.namespace().as_deref(), &object.name_any());
            let pass = reconcile(object, context);
            async move { Ok::<Action, Infallible>(pass.await) }
        },
        |_, never, _| match *never {},
        Arc::clone(&context),
    );
    // The error of the watch, as last logged: it is tried again every few seconds.
    let mut last = String::new();
    passes
        .for_each(|pass| {
            match pass {
                Ok(_) => last.clear(),
                Err(ControllerError::ObjectNotFound(gone)) => {
                    gone_from.gone(gone.namespace.as_deref(), &gone.name);
                    forget(&context, &gone);
                }
                Err(error) => {
                    let (kind, error) = (K::kind(&()), interruption(&error));
                    if error == last {
                        tracing::debug!(%kind, error, "the watch was interrupted again");
                    } else {
                        tracing::warn!(%kind, error, "the watch was interrupted; it is started again");
                        last = error;
                    }
                }
            }
            future::ready(())
        })
        .await;
}

/// Why a watch was interrupted, and what to do where a person has to.
fn interruption(error: &ControllerError<Infallible, watcher::Error>) -> String {
    let ControllerError::QueueError(error) = error else { return error.to_string() };
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        other => return other.to_string(),
    };
    match status.code {
        404 => "the API server does not know the kind; install the CRDs: kubectl apply -k crds".to_owned(),
        403 => "the controller may not list or watch the kind; check its ClusterRole and Role".to_owned(),
        code => format!("the API server refused the watch (HTTP {code}, {})", status.reason),
    }
}
