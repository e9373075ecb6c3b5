//! The `PasswordReset` objects as far as this process knows them: what the watch has shown, or its own write of a status that the watch
//! has not shown yet. Indexed by instance and by account, so that no reconcile walks all of them to find the ones concerned.
//!
//! A reconcile decides on the newest version that is known here; the object is read again in front of claims, and after a conflict.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::cached::{Cached, UnpackError, Words};
use super::object_index::ObjectIndex;
use crate::api::GROUP;
use crate::api::password_reset::PasswordReset;
use crate::cluster::ClusterError;
use crate::cluster::guarded::Guarded;
use crate::cluster::measure::Runs;
use crate::cluster::unreadable;
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

/// An object that this version cannot read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Why, without the value.
    pub why: String,
    /// Its generation.
    pub generation: Option<i64>,
}

/// The objects. Shared with the watch's stream, which shows it each event.
#[derive(Clone, Default)]
pub struct Objects(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    watched: HashMap<ObjectKey, Shown>,
    /// The pages of a list that is not complete yet.
    listing: HashMap<ObjectKey, Shown>,
    /// This process's writes that the watch has not shown yet.
    own: HashMap<ObjectKey, OwnWrite>,
    /// Those to be read again before anything is decided by them.
    doubted: HashSet<ObjectKey>,
    index: ObjectIndex,
    runs: Runs,
    words: Words,
}

/// An object as the watch shows it.
struct Shown {
    version: Option<String>,
    object: Result<Cached<PasswordReset>, Unreadable>,
}

struct OwnWrite {
    object: Arc<PasswordReset>,
    /// The resourceVersions that it is known to be newer than.
    older: Vec<String>,
}

impl OwnWrite {
    fn is_newer(&self, shown: &Shown) -> bool {
        shown.version.as_ref().is_some_and(|version| self.older.contains(version))
    }
}

impl Shown {
    fn new(guard: &Guarded<PasswordReset>, words: &Words) -> Self {
        let unreadable = |error| Unreadable { why: unreadable::why(error), generation: guard.meta().generation };
        let object = match &guard.0 {
            Ok(object) => Ok(Cached::new(object, is_at_rest(object), words)),
            Err(invalid) => Err(unreadable(&invalid.error)),
        };
        Self { version: guard.resource_version(), object }
    }

    fn get(&self, words: &Words) -> Result<Arc<PasswordReset>, Unreadable> {
        let unreadable = |error: UnpackError| Unreadable { why: unreadable::why(&error.to_string()), generation: None };
        self.object.as_ref().map_err(Unreadable::clone)?.get(words).map_err(unreadable)
    }
}

/// Takes out the annotations by which nobody asks anything of this controller. What `kubectl apply` leaves is as large as the object.
pub fn keep_own_annotations(metadata: &mut ObjectMeta) {
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| name.split_once('/').is_some_and(|(group, _)| group == GROUP));
    }
}

/// Whether its run has ended: most objects are so most of the time.
fn is_at_rest(object: &PasswordReset) -> bool {
    let run = object.status.as_ref().and_then(|status| status.run.as_ref());
    run.is_some_and(|run| run.completion_time.is_some())
}

fn key_of(object: &impl ResourceExt) -> ObjectKey {
    ObjectKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

impl Known {
    /// Takes in what the watch shows of an object, `None`: that it is gone.
    fn show(&mut self, key: &ObjectKey, shown: Option<Shown>) {
        let object = shown.as_ref().and_then(|shown| shown.get(&self.words).ok());
        self.index.set(key, object.as_deref());
        let Some(shown) = shown else {
            self.watched.remove(key);
            self.runs.forget(key);
            return;
        };
        if self.own.get(key).is_some_and(|own| !own.is_newer(&shown)) {
            self.own.remove(key);
        }
        if let Some(object) = &object {
            self.runs.see(object);
        }
        self.watched.insert(key.clone(), shown);
    }

    fn relist(&mut self) {
        let listed = std::mem::take(&mut self.listing);
        let gone: Vec<ObjectKey> = self.watched.keys().filter(|key| !listed.contains_key(*key)).cloned().collect();
        for key in gone {
            self.show(&key, None);
        }
        for (key, shown) in listed {
            self.show(&key, Some(shown));
        }
    }

    fn newest(&self, key: &ObjectKey) -> Option<Result<Arc<PasswordReset>, Unreadable>> {
        let shown = self.watched.get(key)?;
        Some(self.own.get(key).map_or_else(|| shown.get(&self.words), |own| Ok(Arc::clone(&own.object))))
    }
}

impl Objects {
    /// An empty one that counts in `metrics` the runs that end.
    pub fn measured(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Mutex::new(Known { runs: Runs::new(metrics), ..Known::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an event of the watch. A list counts once it is complete.
    pub fn watched(&self, event: &Event<Guarded<PasswordReset>>) {
        let mut known = self.lock();
        let shown = |known: &Known, guard: &Guarded<PasswordReset>| Shown::new(guard, &known.words);
        match event {
            Event::Apply(guard) => {
                let shown = shown(&known, guard);
                known.show(&key_of(guard), Some(shown));
            }
            Event::Delete(guard) => known.show(&key_of(guard), None),
            Event::Init => known.listing.clear(),
            Event::InitApply(guard) => {
                let shown = shown(&known, guard);
                known.listing.insert(key_of(guard), shown);
            }
            Event::InitDone => known.relist(),
        }
    }

    /// An object as last watched; `None`: there is none.
    pub fn shown(&self, namespace: &str, name: &str) -> Option<Result<Arc<PasswordReset>, Unreadable>> {
        let known = self.lock();
        known.watched.get(&ObjectKey::new(namespace, name)).map(|shown| shown.get(&known.words))
    }

    /// Whether there is an object, as last watched.
    pub fn exists(&self, namespace: &str, name: &str) -> bool {
        self.lock().watched.contains_key(&ObjectKey::new(namespace, name))
    }

    /// All of them, in the order of their names.
    pub fn keys(&self) -> Vec<ObjectKey> {
        let mut keys: Vec<ObjectKey> = self.lock().watched.keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// The objects that name an instance.
    pub fn naming(&self, region_id: &str, instance_id: &str) -> Vec<ObjectKey> {
        self.lock().index.naming(region_id, instance_id)
    }

    /// The objects that use an account.
    pub fn of_account(&self, account: &str) -> Vec<ObjectKey> {
        self.lock().index.of_account(account)
    }

    /// An object in its newest known form.
    ///
    /// # Errors
    /// `NotFound`, and `Unreadable` for one stored under another version of its kind.
    pub fn get(&self, key: &ObjectKey) -> Result<Arc<PasswordReset>, ClusterError> {
        let what = || format!("PasswordReset {}", key.name);
        let newest = self.lock().newest(key).ok_or_else(|| ClusterError::NotFound { what: what() })?;
        newest.map_err(|Unreadable { why, generation }| ClusterError::Unreadable { what: what(), why, generation })
    }

    /// Remembers an object as this process has just written its status upon the version `upon`, or read it in place of that one.
    /// Returns it as it is known from now on.
    pub fn put(&self, mut object: PasswordReset, upon: Option<String>) -> Arc<PasswordReset> {
        keep_own_annotations(object.meta_mut());
        let (key, object) = (key_of(&object), Arc::new(object));
        let mut known = self.lock();
        known.doubted.remove(&key);
        known.runs.see(&object);
        let mut older = known.own.remove(&key).map(|before| before.older).unwrap_or_default();
        older.extend(upon.filter(|upon| Some(upon) != object.resource_version().as_ref()));
        let surplus = older.len().saturating_sub(OLDER_VERSIONS_MAX);
        older.drain(..surplus);
        let own = OwnWrite { object: Arc::clone(&object), older };
        if known.watched.get(&key).is_none_or(|shown| own.is_newer(shown)) {
            known.own.insert(key, own);
        }
        object
    }

    /// Notes that an object is not what was known of it: a write upon it met a conflict, or was not answered.
    pub fn doubt(&self, key: &ObjectKey) {
        self.lock().doubted.insert(key.clone());
    }

    /// Whether an object is to be read again before anything is decided by it.
    pub fn is_doubted(&self, key: &ObjectKey) -> bool {
        self.lock().doubted.contains(key)
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &ObjectKey) {
        let mut known = self.lock();
        known.own.remove(key);
        known.doubted.remove(key);
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
