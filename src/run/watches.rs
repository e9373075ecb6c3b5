//! The watches, and the objects that they wake. Decides nothing.

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::core::PartialObjectMetaExt;
use kube::runtime::reflector::{Store, store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt};
use kube::{Api, Client, Resource, ResourceExt};

use crate::api::ecs_account::ECSAccount;
use crate::api::password_reset::PasswordReset;
use crate::api::reset_record::{Phase, ResetRecord};
use crate::cluster::guarded::Guarded;
use crate::cluster::ledger::Ledger;
use crate::cluster::objects::{Objects, keep_own_annotations};
use crate::cluster::wake::{Waiter, Waker};

/// An object as its controller is driven by it: what it holds is in [`Objects`].
type ResetMeta = PartialObjectMeta<PasswordReset>;
/// A record as its controller is driven by it: what it holds is in the ledger.
type RecordMeta = PartialObjectMeta<ResetRecord>;

/// The watches, before they are given to the controllers.
pub(super) struct Streams {
    pub(super) password_resets: Watched<ResetMeta>,
    pub(super) reset_records: Watched<RecordMeta>,
    pub(super) ecs_accounts: Watched<Guarded<ECSAccount>>,
}

/// One watch with its cache.
pub(super) struct Watched<K: Resource<DynamicType = ()> + 'static> {
    pub(super) reader: Store<K>,
    pub(super) stream: BoxStream<'static, watcher::Result<K>>,
    /// Whether the cache holds a full list.
    pub(super) synced: tokio::sync::watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + Send + Sync + 'static> Watched<K> {
    /// Passes on only what `predicate` finds changed; the cache follows everything.
    pub(super) fn filtered(self, predicate: impl Predicate<K> + Send + 'static) -> Self {
        Self { stream: self.stream.predicate_filter(predicate, PredicateConfig::default()).boxed(), ..self }
    }
}

/// The three watches. Owners are woken by what happens to their records; see [`watch`] for the rest.
pub(super) fn streams(client: &Client, namespace: &str, ledger: &Ledger, objects: &Objects, waker: &Waker) -> Streams {
    let (resets, records, accounts) = (waker.clone(), waker.clone(), waker.clone());
    let (known_resets, known_records) = (objects.clone(), ledger.clone());
    let concerned = Concerned { ledger: ledger.clone(), objects: objects.clone(), waker: waker.clone() };
    let (concerned_too, concerned_by_end) = (concerned.clone(), concerned.clone());
    let reset_events = events::<Guarded<PasswordReset>>(Api::all(client.clone()))
        .modify(|object| keep_own_annotations(object.meta_mut()));
    let record_events = events::<Guarded<ResetRecord>>(Api::namespaced(client.clone(), namespace));
    Streams {
        password_resets: watch(
            // Before the cache of names has taken it: who is woken must find it there.
            reset_events.inspect_ok(move |event| known_resets.watched(event)).map_ok(|event| metadata(&event)),
            |_| {},
            move |object: &ResetMeta| resets.wake(&waiter(object)),
        ),
        reset_records: watch(
            record_events
                .inspect_ok(move |event| {
                    for gone in known_records.watched(event) {
                        concerned_by_end.wake_for(&gone);
                    }
                })
                .map_ok(|event| metadata(&event)),
            move |event| {
                if let Event::Apply(record) = event {
                    concerned.wake(&record.name_any());
                }
            },
            move |record: &RecordMeta| {
                records.wake(&Waiter::Record(record.name_any()));
                concerned_too.wake(&record.name_any());
            },
        ),
        ecs_accounts: watch(
            events(Api::all(client.clone())),
            |_| {},
            move |account: &Guarded<ECSAccount>| accounts.wake(&Waiter::Account(account.name_any())),
        ),
    }
}

fn waiter(object: &ResetMeta) -> Waiter {
    Waiter::Object { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

/// Wakes those whose status may change with a record: its claim's owner, and once that has set a password or ended, whoever names the
/// instance. Not whom the record remembers: one that was lost, and created again since, knows only who has claimed it after that.
#[derive(Clone)]
struct Concerned {
    ledger: Ledger,
    objects: Objects,
    waker: Waker,
}

impl Concerned {
    fn wake(&self, name: &str) {
        if let Some(record) = self.ledger.get(name) {
            self.wake_for(&record);
        }
    }

    fn wake_for(&self, record: &ResetRecord) {
        // Only an end can free a slot, or be the last.
        let has_ended = record.phase().has_ended();
        for waiter in self.waiters(record) {
            if has_ended { self.waker.wake(&waiter) } else { self.waker.wake_when_due(&waiter) }
        }
    }

    fn waiters(&self, record: &ResetRecord) -> Vec<Waiter> {
        let phase = record.phase();
        let is_for_others = phase == Phase::PasswordSet || phase.has_ended();
        let others = if is_for_others {
            self.objects.naming(&record.spec.region_id, &record.spec.instance_id)
        } else {
            Vec::new()
        };
        let others = others.into_iter().map(|key| Waiter::Object { namespace: key.namespace, name: key.name });
        std::iter::once(Waiter::owner(&record.spec.owner)).chain(others).collect()
    }
}

/// The events of one kind, without what nobody needs.
fn events<K>(api: Api<K>) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
{
    let events = watcher(api, watcher::Config::default()).default_backoff();
    events.modify(|object| object.meta_mut().managed_fields = None)
}

/// The names of an event's objects, with what tells one version from another: also the annotations that people ask by.
fn metadata<K: Resource<DynamicType = ()>>(event: &Event<Guarded<K>>) -> Event<PartialObjectMeta<K>> {
    let meta = |object: &Guarded<K>| {
        let ObjectMeta { name, namespace, uid, resource_version, generation, annotations, .. } = object.meta().clone();
        ObjectMeta { name, namespace, uid, resource_version, generation, annotations, ..ObjectMeta::default() }
            .into_response_partial::<K>()
    };
    match event {
        Event::Apply(object) => Event::Apply(meta(object)),
        Event::Delete(object) => Event::Delete(meta(object)),
        Event::InitApply(object) => Event::InitApply(meta(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// One watch: list and follow, keep a cache, and pass on what was touched.
///
/// `wake` has an object looked at for which that is not enough. A list is passed on page by page, and the cache has none of
/// it until the list is complete: a controller that looks for it then finds nothing. A deleted object looks like an unchanged one to the
/// controllers' filters, and what was deleted while there was no watch is in no list.
fn watch<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    on_event: impl Fn(&Event<K>) + Send + 'static,
    wake: impl Fn(&K) + Send + 'static,
) -> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
{
    let (reader, writer) = store();
    let (listed, synced) = tokio::sync::watch::channel(false);
    let (cached, mut before) = (reader.clone(), Vec::new());
    let stream = events
        .reflect(writer)
        // After the cache has taken it: who is woken must find it there.
        .inspect_ok(move |event| {
            on_event(event);
            match event {
                Event::Init => before = cached.state(),
                Event::InitDone => {
                    listed.send_replace(true);
                    let mut all: Vec<_> = before.drain(..).chain(cached.state()).collect();
                    // A cache gives them in another order each time, and the first may take a slot of its account.
                    all.sort_by_cached_key(|object| (object.namespace(), object.name_any()));
                    for object in &all {
                        wake(object);
                    }
                }
                Event::Delete(gone) => wake(gone),
                Event::Apply(_) | Event::InitApply(_) => {}
            }
        })
        .touched_objects()
        .boxed();
    Watched { reader, stream, synced }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use futures::channel::mpsc::unbounded;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::decide::fixtures::claimed;

    #[test]
    fn completion_wakes_every_reset_naming_the_instance() {
        let objects = Objects::default();
        for (name, region_id, instance_id) in [
            ("web", "cn-hangzhou", "i-bp1a0000"),
            ("other", "cn-hangzhou", "i-bp1a0000"),
            ("elsewhere", "cn-beijing", "i-bp1a0000"),
            ("another", "cn-hangzhou", "i-bp1b0000"),
        ] {
            let spec = json!({
                "regionID": region_id, "instanceIDs": [instance_id], "passwordSecretRef": {"name": "pw"},
            });
            let object = json!({"metadata": {"namespace": "prod", "name": name}, "spec": spec});
            objects.watched(&Event::Apply(Guarded(Ok(serde_json::from_value(object).unwrap()))));
        }
        let (waker, _listeners) = Waker::new("system");
        let concerned = Concerned { ledger: Ledger::default(), objects, waker };
        let mut record = claimed();
        let mut told = |phase| {
            record.status.as_mut().unwrap().phase = phase;
            let mut told = concerned.waiters(&record);
            told.sort();
            told.dedup();
            told.into_iter()
                .map(|waiter| match waiter {
                    Waiter::Object { name, .. } => name,
                    _ => unreachable!("only objects are told"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(told(Phase::SettingPassword), ["web"]);
        for phase in [Phase::PasswordSet, Phase::InEffect, Phase::Failed] {
            assert_eq!(told(phase), ["other", "web"], "{phase:?}");
        }
    }

    fn account(name: &str) -> Value {
        let group = "ecs.password-reset.dev/v1alpha1";
        json!({"apiVersion": group, "kind": "ECSAccount", "metadata": {"name": name}, "spec": {}})
    }

    /// A page of a list that ends, or one that goes on.
    fn page(goes_on: bool, items: &[Value]) -> Value {
        let metadata = json!({"resourceVersion": "1", "continue": if goes_on { "more" } else { "" }});
        json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items})
    }

    /// Answers one request after the other, and the last watch never.
    fn client(answers: Vec<Value>) -> Client {
        let answers = Mutex::new(answers.into_iter());
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let answer = answers.lock().unwrap().next();
            async move {
                let Some(answer) = answer else { return std::future::pending().await };
                Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(format!("{answer}\n").into_bytes())))
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn complete_list_wakes_what_it_holds_and_what_is_gone() {
        let expired = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired"}});
        let answers = vec![
            page(false, &[account("gone")]),
            expired,
            page(true, &[account("first")]),
            page(false, &[account("last")]),
        ];
        let (wakes, woken) = unbounded();
        let wake = move |account: &Guarded<ECSAccount>| wakes.unbounded_send(account.name_any()).unwrap();
        let Watched { reader, stream, .. } = watch(events(Api::all(client(answers))), |_| {}, wake);
        let passed_on = tokio::spawn(stream.for_each(|_| std::future::ready(())));
        let names = woken.take(4).collect::<Vec<String>>();
        let names = tokio::time::timeout(Duration::from_mins(5), names).await.expect("somebody was not woken");
        assert_eq!(names, ["gone", "first", "gone", "last"], "those of a list in the order of their names");
        let mut cached: Vec<String> = reader.state().iter().map(|account| account.name_any()).collect();
        cached.sort_unstable();
        assert_eq!(cached, ["first", "last"], "who is woken finds what it was woken for");
        passed_on.abort();
    }
}
