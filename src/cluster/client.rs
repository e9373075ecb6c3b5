//! The way to the API server: each request once, with a timeout, and with an error that holds no body.
//!
//! Records are written by `create` and by `replace` with resourceVersion, statuses by `replace` of the status of an object
//! as just read: a write on a stale base is refused, and that ends the pass.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, MicroTime};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::ecs_account::ECSAccount;
use crate::api::password_reset::PasswordReset;
use crate::api::reset_record::ResetRecord;
use crate::clock::Clock;
use crate::cluster::error::{ClusterError, classify};
use crate::cluster::guarded::Guarded;
use crate::cluster::{unanswered, unreadable};
use crate::failpoint;
use crate::metrics::Metrics;

/// The API server takes names of 253 bytes; what follows the head is a dot and a nonce.
const EVENT_NAME_HEAD_BYTES_MAX: usize = 253 - 33;
/// The longest `note` of an event that the API server takes.
const EVENT_NOTE_BYTES_MAX: usize = 1_024;

/// The API server, as one process sees it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    timeout: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Whether the last request was not answered: the first of a row is worth a warning, not each.
    unanswered: Arc<AtomicBool>,
}

impl Cluster {
    /// `client` must not retry by itself; `namespace` is the controller's own.
    pub fn new(client: Client, namespace: &str, timeout: Duration, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { client, namespace: namespace.to_owned(), timeout, clock, metrics, unanswered: Arc::default() }
    }

    /// The controller's own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A `PasswordReset` as it is now.
    ///
    /// # Errors
    /// Among others `Unreadable`, for one stored under another version of its kind.
    pub async fn password_reset(&self, namespace: &str, name: &str) -> Result<PasswordReset, ClusterError> {
        self.read(Api::namespaced(self.client.clone(), namespace), name).await
    }

    /// An `ECSAccount` as it is now.
    ///
    /// # Errors
    /// As [`Self::password_reset`].
    pub async fn ecs_account(&self, name: &str) -> Result<ECSAccount, ClusterError> {
        self.read(Api::all(self.client.clone()), name).await
    }

    /// The record of an instance as it is now; `None` where there is none. It is read in doubt, to resolve an Unknown and to restore; claims
    /// and steps go by `Ledger`. Both refuse a record that names another instance.
    ///
    /// # Errors
    /// As [`Self::password_reset`], and `Misnamed` for one that claims another instance.
    pub async fn record(&self, name: &str) -> Result<Option<ResetRecord>, ClusterError> {
        match self.read::<ResetRecord>(self.own(), name).await {
            Ok(record) if record.is_named_after_its_instance() => Ok(Some(record)),
            Ok(_) => Err(ClusterError::Misnamed { what: describe::<ResetRecord>(name) }),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a record: creates it when it has no resourceVersion yet, else replaces exactly the version that was read.
    ///
    /// # Errors
    /// `Conflict` if another client has written in between; `Unanswered` if the write may have been made.
    pub async fn write_record(&self, record: &ResetRecord) -> Result<ResetRecord, ClusterError> {
        let mut record = record.clone();
        // Nobody applies records, and to keep track of who owns which field costs more than the rest of the write: an empty entry
        // tells the API server to keep none.
        record.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]);
        let record = &record;
        if record.metadata.resource_version.is_some() {
            return self.replace("ResetRecord", record).await;
        }
        let (api, post) = (self.own::<ResetRecord>(), PostParams::default());
        let what = describe::<ResetRecord>(&record.name_any());
        let written = self.timed("create", what, api.create(&post, record)).await;
        self.counted("ResetRecord", "create", written)
    }

    /// Replaces the status of a `PasswordReset` exactly as it was read.
    ///
    /// # Errors
    /// `Conflict` when the object was changed in the meantime.
    pub async fn write_password_reset_status(&self, object: &PasswordReset) -> Result<PasswordReset, ClusterError> {
        let namespace = object.namespace().unwrap_or_default();
        self.write_status(Api::namespaced(self.client.clone(), &namespace), "PasswordReset", object).await
    }

    /// Merges into the status of a `PasswordReset` that cannot be read as one.
    ///
    /// # Errors
    /// As any write.
    pub async fn merge_password_reset_status(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<(), ClusterError> {
        let api = Api::<Guarded<PasswordReset>>::namespaced(self.client.clone(), namespace);
        self.merge_status(api, "PasswordReset", name, patch).await
    }

    /// Merges into the status of an `ECSAccount` that cannot be read as one.
    ///
    /// # Errors
    /// As any write.
    pub async fn merge_ecs_account_status(&self, name: &str, patch: &serde_json::Value) -> Result<(), ClusterError> {
        let api = Api::<Guarded<ECSAccount>>::all(self.client.clone());
        self.merge_status(api, "ECSAccount", name, patch).await
    }

    /// Replaces the status of an `ECSAccount` exactly as it was read.
    ///
    /// # Errors
    /// `Conflict` when the object was changed in the meantime.
    pub async fn write_ecs_account_status(&self, object: &ECSAccount) -> Result<ECSAccount, ClusterError> {
        self.write_status(Api::all(self.client.clone()), "ECSAccount", object).await
    }

    /// Reads any object of a namespaced kind, for example a view of a Secret.
    ///
    /// # Errors
    /// As [`Self::password_reset`].
    pub async fn get<K>(&self, namespace: &str, name: &str) -> Result<K, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        self.timed("get", describe::<K>(name), api.get(name)).await
    }

    /// The version of any object of a namespaced kind, which every change moves. Nothing but its metadata is asked for.
    ///
    /// # Errors
    /// As [`Self::password_reset`].
    pub async fn version_of<K>(&self, namespace: &str, name: &str) -> Result<Option<String>, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let found = self.timed("get", describe::<K>(name), api.get_metadata(name)).await?;
        Ok(found.metadata.resource_version)
    }

    /// Reads any object of a cluster-scoped kind.
    ///
    /// # Errors
    /// As [`Self::password_reset`].
    pub async fn get_cluster_scoped<K>(&self, name: &str) -> Result<K, ClusterError>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        self.timed("get", describe::<K>(name), api.get(name)).await
    }

    /// Replaces an object of the controller's own namespace exactly as it was read; `kind` is for the metric.
    ///
    /// # Errors
    /// `Conflict` when it was changed in the meantime.
    pub async fn replace<K>(&self, kind: &'static str, object: &K) -> Result<K, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let name = object.name_any();
        let api: Api<K> = self.own();
        let post = PostParams::default();
        let write = api.replace(&name, &post, object);
        let written = self.timed("replace", describe::<K>(&name), write).await;
        self.counted(kind, "replace", written)
    }

    /// Publishes an event about an object, in its namespace; of a cluster-scoped one in `default`, where `kubectl describe` finds it. It is written as one object of its own, since a recorder that aggregates
    /// by reason would repeat the first note for every later one.
    ///
    /// # Errors
    /// As any write; an event that is lost stops nothing.
    pub async fn publish<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        kind: &str,
        reason: &str,
        note: &str,
    ) -> Result<(), ClusterError> {
        let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
        let name = object.name_any();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(event_name(&name, &self.clock.nonce())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(self.clock.now())),
            note: Some(event_note(note).to_owned()),
            reason: Some(reason.to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some(K::api_version(&()).into_owned()),
                kind: Some(K::kind(&()).into_owned()),
                name: Some(name),
                namespace: object.namespace(),
                uid: object.uid(),
                ..ObjectReference::default()
            }),
            reporting_controller: Some("ecs.password-reset.dev/controller".to_owned()),
            reporting_instance: Some("ecs-password-reset".to_owned()),
            type_: Some(kind.to_owned()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let written = self.timed("create", "Event".to_owned(), api.create(&PostParams::default(), &event)).await;
        self.counted("Event", "create", written).map(|_| ())
    }

    fn own<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn read<K>(&self, api: Api<Guarded<K>>, name: &str) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let what = describe::<K>(name);
        let Guarded(object) = self.timed("get", what.clone(), api.get(name)).await?;
        object.map_err(|invalid| {
            let generation = invalid.metadata.generation;
            ClusterError::Unreadable { what, why: unreadable::why(&invalid.error), generation }
        })
    }

    async fn write_status<K>(&self, api: Api<K>, kind: &'static str, object: &K) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Debug + Serialize + DeserializeOwned,
    {
        let name = object.name_any();
        let post = PostParams::default();
        let write = api.replace_status(&name, &post, object);
        let written = self.timed("write the status of", describe::<K>(&name), write).await;
        self.counted(kind, "status", written)
    }

    async fn merge_status<K>(
        &self,
        api: Api<K>,
        kind: &'static str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<(), ClusterError>
    where
        K: Resource<DynamicType = ()> + Debug + DeserializeOwned,
    {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let write = api.patch_status(name, &params, &patch);
        let written = self.timed("write the status of", describe::<K>(name), write).await;
        self.counted(kind, "status", written).map(|_| ())
    }

    async fn timed<V>(
        &self,
        verb: &'static str,
        what: String,
        request: impl Future<Output = Result<V, kube::Error>>,
    ) -> Result<V, ClusterError> {
        let kind = what.split(' ').next().unwrap_or_default();
        let (result, why) = match tokio::time::timeout(self.timeout, failpoint::around(verb, kind, request)).await {
            Ok(Ok(value)) => (Ok(value), None),
            Ok(Err(error)) => (Err(classify(&error, verb, what)), Some(unanswered::why(&error))),
            Err(_) => {
                let why = format!("no answer within {} ms", self.timeout.as_millis());
                (Err(ClusterError::Unanswered { what, verb }), Some(why))
            }
        };
        self.log(result.as_ref().err(), why.as_deref());
        result
    }

    /// One warning for a row of requests that were not answered.
    fn log(&self, error: Option<&ClusterError>, why: Option<&str>) {
        let Some(ClusterError::Unanswered { what, verb }) = error else {
            self.unanswered.store(false, Ordering::Relaxed);
            return;
        };
        if self.unanswered.swap(true, Ordering::Relaxed) {
            tracing::debug!(verb, object = what, error = why, "the API server did not answer again");
        } else {
            tracing::warn!(verb, object = what, error = why, "the API server did not answer");
        }
    }

    fn counted<V>(&self, kind: &'static str, verb: &'static str, written: V) -> V {
        self.metrics.kube_write(kind, verb);
        written
    }
}

fn describe<K: Resource<DynamicType = ()>>(name: &str) -> String {
    format!("{} {name}", K::kind(&()))
}

/// A name for an event about an object that is not longer than any may be.
fn event_name(object: &str, nonce: &str) -> String {
    let head = object.get(..object.floor_char_boundary(EVENT_NAME_HEAD_BYTES_MAX)).unwrap_or(object);
    format!("{}.{nonce}", head.trim_end_matches(['-', '.']))
}

/// The beginning of an event's text that the API server takes.
fn event_note(note: &str) -> &str {
    note.get(..note.floor_char_boundary(EVENT_NOTE_BYTES_MAX)).unwrap_or(note)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
