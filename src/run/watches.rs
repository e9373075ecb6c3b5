//! What is watched, and who is woken by it. Decides nothing.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::runtime::reflector::{Store, store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource, ResourceExt};

use super::Guarded;
use crate::api::ecs_account::ECSAccount;
use crate::api::password_reset::PasswordReset;
use crate::api::reset_record::{Owner, Phase, ResetRecord};
use crate::reconcile::ledger::OwnWrites;
use crate::reconcile::wake::{Waiter, Waker};

/// The watches, before they are given to the controllers.
pub(super) struct Streams {
    pub(super) password_resets: Watched<PasswordReset>,
    pub(super) reset_records: Watched<ResetRecord>,
    pub(super) ecs_accounts: Watched<ECSAccount>,
}

/// One watch with its cache.
pub(super) struct Watched<K: Resource<DynamicType = ()> + 'static> {
    pub(super) reader: Store<Guarded<K>>,
    pub(super) stream: BoxStream<'static, watcher::Result<Guarded<K>>>,
    /// Whether the cache holds a full list.
    pub(super) synced: tokio::sync::watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + Send + Sync + 'static> Watched<K> {
    /// Passes on only what `predicate` finds changed; the cache follows everything.
    pub(super) fn filtered(self, predicate: impl Predicate<Guarded<K>> + Send + 'static) -> Self {
        Self { stream: self.stream.predicate_filter(predicate, PredicateConfig::default()).boxed(), ..self }
    }
}

/// The three watches; owners are woken by what happens to their records, and whatever is deleted is told so.
pub(super) fn streams(client: &Client, namespace: &str, own_writes: OwnWrites, waker: &Waker) -> Streams {
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
    // Deleted objects look like unchanged ones to the controllers' filters.
    let objects = waker.clone();
    let on_object = move |event: &Event<Guarded<PasswordReset>>| {
        if let Event::Delete(gone) = event {
            objects.wake(&Waiter::Object { namespace: gone.namespace().unwrap_or_default(), name: gone.name_any() });
        }
    };
    let accounts = waker.clone();
    let on_account = move |event: &Event<Guarded<ECSAccount>>| {
        if let Event::Delete(gone) = event {
            accounts.wake(&Waiter::Account(gone.name_any()));
        }
    };
    Streams {
        password_resets: watch(Api::all(client.clone()), on_object),
        reset_records: watch(Api::namespaced(client.clone(), namespace), on_record),
        ecs_accounts: watch(Api::all(client.clone()), on_account),
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
