//! The `PasswordReset` objects as far as this process knows them: what the watch has shown, or its own write of a status that the watch
//! has not shown yet. Indexed by instance and by account, so that no reconcile walks all of them to find the ones concerned.
//!
//! A reconcile decides on the newest version that is known here; the object is read again in front of claims, and after a conflict.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use crate::api::password_reset::PasswordReset;
use crate::cluster::ClusterError;
use crate::cluster::guarded::Guarded;
use crate::cluster::measure::Runs;
use crate::cluster::unreadable;
use crate::decide::reset::targets;
use crate::metrics::Metrics;

/// How many of its versions an own write is remembered to be newer than: the watch is never so far behind.
const OLDER_VERSIONS_MAX: usize = 32;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// The objects that name each instance. Shared with the watch's stream, which shows it each event.
#[derive(Clone, Default)]
pub struct ObjectIndex(Arc<Mutex<Index>>);

#[derive(Default)]
struct Index {
    entries: HashMap<ObjectKey, Entry>,
    by_instance: HashMap<(String, String), BTreeSet<ObjectKey>>,
    by_account: HashMap<String, BTreeSet<ObjectKey>>,
    runs: Runs,
}

struct Entry {
    account: String,
    region_id: String,
    instance_ids: Vec<String>,
}

impl Index {
    fn remove(&mut self, key: &ObjectKey) {
        let Some(Entry { account, region_id, instance_ids }) = self.entries.remove(key) else { return };
        take_out(&mut self.by_account, &account, key);
        for instance_id in instance_ids {
            take_out(&mut self.by_instance, &(region_id.clone(), instance_id), key);
        }
    }

    fn set(&mut self, guard: &Guarded<PasswordReset>) {
        let key = key_of(guard);
        self.remove(&key);
        let Ok(object) = &guard.0 else { return };
        let entry = Entry {
            account: object.spec.account_name().to_owned(),
            region_id: object.spec.region_id.clone(),
            instance_ids: targets::listed(&object.spec, object.status.as_ref()),
        };
        self.by_account.entry(entry.account.clone()).or_default().insert(key.clone());
        for instance_id in &entry.instance_ids {
            let place = (entry.region_id.clone(), instance_id.clone());
            self.by_instance.entry(place).or_default().insert(key.clone());
        }
        self.entries.insert(key, entry);
    }

    fn see(&mut self, guard: &Guarded<PasswordReset>) {
        if let Ok(object) = &guard.0 {
            self.runs.see(object);
        }
    }
}

fn take_out<K: std::hash::Hash + Eq>(map: &mut HashMap<K, BTreeSet<ObjectKey>>, at: &K, key: &ObjectKey) {
    if let Some(keys) = map.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            map.remove(at);
        }
    }
}

fn key_of(guard: &Guarded<PasswordReset>) -> ObjectKey {
    ObjectKey { namespace: guard.namespace().unwrap_or_default(), name: guard.name_any() }
}

impl ObjectIndex {
    /// An empty one that counts in `metrics` the runs that end.
    pub fn measured(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Mutex::new(Index { runs: Runs::new(metrics), ..Index::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an event of the watch. `watched` is its cache, which a list fills when it is complete.
    pub fn watched(&self, event: &Event<Guarded<PasswordReset>>, watched: &Store<Guarded<PasswordReset>>) {
        let mut index = self.lock();
        match event {
            Event::Apply(guard) => {
                index.set(guard);
                index.see(guard);
            }
            Event::Delete(guard) => {
                index.remove(&key_of(guard));
                index.runs.forget(&key_of(guard));
            }
            Event::InitDone => {
                let runs = std::mem::take(&mut index.runs);
                *index = Index { runs, ..Index::default() };
                let listed = watched.state();
                for guard in &listed {
                    index.set(guard);
                }
                let keys: HashSet<ObjectKey> = listed.iter().map(|guard| key_of(guard)).collect();
                index.runs.retain(|key| keys.contains(key));
                for guard in &listed {
                    index.see(guard);
                }
            }
            Event::Init | Event::InitApply(_) => {}
        }
    }

    /// The objects that name an instance.
    pub fn naming(&self, region_id: &str, instance_id: &str) -> Vec<ObjectKey> {
        let place = (region_id.to_owned(), instance_id.to_owned());
        self.lock().by_instance.get(&place).into_iter().flatten().cloned().collect()
    }

    /// The objects that use an account.
    pub fn of_account(&self, account: &str) -> Vec<ObjectKey> {
        self.lock().by_account.get(account).into_iter().flatten().cloned().collect()
    }
}

/// The objects.
pub struct Objects {
    watched: Store<Guarded<PasswordReset>>,
    index: ObjectIndex,
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    writes: HashMap<ObjectKey, OwnWrite>,
    /// Those to be read again before anything is decided by them.
    doubted: HashSet<ObjectKey>,
}

struct OwnWrite {
    object: Arc<PasswordReset>,
    /// The resourceVersions that it is known to be newer than.
    older: Vec<String>,
}

impl Objects {
    /// The objects of a watch and its index.
    pub fn new(watched: Store<Guarded<PasswordReset>>, index: ObjectIndex) -> Self {
        Self { watched, index, own: Mutex::default() }
    }

    /// The objects by the instances that they name.
    pub fn index(&self) -> &ObjectIndex {
        &self.index
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object as last watched.
    pub fn watched(&self, namespace: &str, name: &str) -> Option<Arc<Guarded<PasswordReset>>> {
        self.watched.get(&ObjectRef::new(name).within(namespace))
    }

    /// All objects as last watched, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Guarded<PasswordReset>>> {
        let mut all = self.watched.state();
        all.sort_by_cached_key(|guard| key_of(guard));
        all
    }

    /// An object in its newest known form.
    ///
    /// # Errors
    /// `NotFound`, and `Unreadable` for one stored under another version of its kind.
    pub fn get(&self, key: &ObjectKey) -> Result<PasswordReset, ClusterError> {
        self.with_newest(key, PasswordReset::clone)
    }

    /// Reads an object in its newest known form, without a copy of it.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub fn with_newest<R>(&self, key: &ObjectKey, ask: impl FnOnce(&PasswordReset) -> R) -> Result<R, ClusterError> {
        let what = || format!("PasswordReset {}", key.name);
        let shown = self.watched(&key.namespace, &key.name).ok_or_else(|| ClusterError::NotFound { what: what() })?;
        let mut own = self.own();
        let version = shown.resource_version();
        let is_newer = |own: &OwnWrite| version.as_ref().is_some_and(|version| own.older.contains(version));
        if let Some(own) = own.writes.get(key).filter(|own| is_newer(own)) {
            return Ok(ask(&own.object));
        }
        own.writes.remove(key);
        match &shown.0 {
            Ok(object) => Ok(ask(object)),
            Err(invalid) => {
                let why = unreadable::why(&invalid.error);
                Err(ClusterError::Unreadable { what: what(), why, generation: invalid.metadata.generation })
            }
        }
    }

    /// Remembers an object as this process has just written its status upon the version `upon`, or read it in place of that one.
    pub fn put(&self, object: &PasswordReset, upon: Option<String>) {
        let key = ObjectKey::new(&object.namespace().unwrap_or_default(), &object.name_any());
        let mut own = self.own();
        own.doubted.remove(&key);
        let mut older = own.writes.remove(&key).map(|before| before.older).unwrap_or_default();
        older.extend(upon.filter(|upon| Some(upon) != object.resource_version().as_ref()));
        let surplus = older.len().saturating_sub(OLDER_VERSIONS_MAX);
        older.drain(..surplus);
        own.writes.insert(key, OwnWrite { object: Arc::new(object.clone()), older });
        drop(own);
        self.index.lock().runs.see(object);
    }

    /// Notes that an object is not what was known of it: a write upon it met a conflict, or was not answered.
    pub fn doubt(&self, key: &ObjectKey) {
        self.own().doubted.insert(key.clone());
    }

    /// Whether an object is to be read again before anything is decided by it.
    pub fn is_doubted(&self, key: &ObjectKey) -> bool {
        self.own().doubted.contains(key)
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &ObjectKey) {
        let mut own = self.own();
        own.writes.remove(key);
        own.doubted.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;
    use serde_json::json;

    use super::*;

    fn object(version: &str, account: &str, ids: &[&str]) -> PasswordReset {
        serde_json::from_value(json!({
            "apiVersion": "ecs.password-reset.dev/v1alpha1", "kind": "PasswordReset",
            "metadata": {"name": "web", "namespace": "prod", "resourceVersion": version},
            "spec": {"regionID": "cn-hangzhou", "instanceIDs": ids, "accountRef": {"name": account},
                     "passwordSecretRef": {"name": "pw"}},
        }))
        .unwrap()
    }

    /// The objects, and their watch: what shows it an event.
    fn objects() -> (Objects, impl FnMut(Event<Guarded<PasswordReset>>)) {
        let ((watched, mut writer), index) = (store(), ObjectIndex::default());
        let objects = Objects::new(watched.clone(), index.clone());
        let show = move |event| {
            writer.apply_watcher_event(&event);
            index.watched(&event, &watched);
        };
        (objects, show)
    }

    fn shown(version: &str) -> Event<Guarded<PasswordReset>> {
        Event::Apply(Guarded(Ok(object(version, "default", &["i-1"]))))
    }

    #[test]
    fn an_own_write_counts_until_the_watch_is_as_new() {
        let (objects, mut show) = objects();
        let key = ObjectKey::new("prod", "web");
        let version = |objects: &Objects| objects.get(&key).unwrap().metadata.resource_version.unwrap();
        assert!(objects.get(&key).is_err());
        show(shown("1"));
        objects.put(&object("2", "default", &["i-1"]), Some("1".to_owned()));
        objects.put(&object("3", "default", &["i-1"]), Some("2".to_owned()));
        assert_eq!(version(&objects), "3");
        show(shown("2"));
        assert_eq!(version(&objects), "3", "the watch is behind");
        show(shown("9"));
        assert_eq!(version(&objects), "9", "another has written since");
        show(shown("3"));
        assert_eq!(version(&objects), "3");
    }

    #[test]
    fn a_doubt_lasts_until_the_object_is_read() {
        let (objects, mut show) = objects();
        let key = ObjectKey::new("prod", "web");
        show(shown("1"));
        objects.doubt(&key);
        assert!(objects.is_doubted(&key));
        objects.put(&object("2", "default", &["i-1"]), Some("1".to_owned()));
        assert!(!objects.is_doubted(&key));
    }

    #[test]
    fn index_of_named_instances_follows_the_watch() {
        let (objects, mut show) = objects();
        let naming = |objects: &Objects, id: &str| objects.index().naming("cn-hangzhou", id).len();
        show(Event::Apply(Guarded(Ok(object("1", "a", &["i-1", "i-2"])))));
        assert_eq!((naming(&objects, "i-1"), naming(&objects, "i-2")), (1, 1));
        assert_eq!(objects.index().of_account("a").len(), 1);
        show(Event::Apply(Guarded(Ok(object("2", "b", &["i-2"])))));
        assert_eq!((naming(&objects, "i-1"), naming(&objects, "i-2")), (0, 1));
        assert_eq!((objects.index().of_account("a").len(), objects.index().of_account("b").len()), (0, 1));
        for event in [Event::Init, Event::InitDone] {
            show(event);
        }
        assert_eq!((naming(&objects, "i-2"), objects.index().of_account("b").len()), (0, 0));
    }
}
