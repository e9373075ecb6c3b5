//! The objects and their history, as etcd keeps them: one counter for all, one version per change, and every version
//! can be read until it is compacted away.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

/// The first change gets the version after this; not 0, which means "any" in requests.
const FIRST_VERSION: u64 = 100;

/// What an object is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Namespace and name: a key within its resource.
pub(crate) type KeyId = (String, String);

impl Key {
    pub(crate) fn new(plural: &str, namespace: &str, name: &str) -> Self {
        Self { plural: plural.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn id(&self) -> KeyId {
        (self.namespace.clone(), self.name.clone())
    }
}

/// One version of one object, and its text, which is asked for more often than it changes.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    pub(crate) text: String,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Added,
    /// It became another.
    Modified,
    /// It was deleted.
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// What happened.
    pub kind: ChangeKind,
    pub(crate) key: Key,
    pub(crate) document: Arc<Document>,
}

impl Change {
    /// The plural name of the object's resource.
    pub fn plural(&self) -> &str {
        &self.key.plural
    }

    /// The object after the change; a deleted one as it was last, with the version of its deletion.
    pub fn object(&self) -> &Value {
        &self.document.value
    }
}

type Objects = BTreeMap<Key, Arc<Document>>;

/// Everything that is stored.
pub(crate) struct Store {
    version: u64,
    live: Objects,
    /// What was live at `compacted`.
    base: Objects,
    compacted: u64,
    changes: VecDeque<Change>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            version: FIRST_VERSION,
            live: Objects::new(),
            base: Objects::new(),
            compacted: FIRST_VERSION,
            changes: VecDeque::new(),
        }
    }
}

impl Store {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Document>> {
        self.live.get(key)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (&Key, &Arc<Document>)> {
        self.live.iter()
    }

    pub(crate) fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.changes.iter()
    }

    /// The changes after `version`; `None`: some of them are compacted away.
    pub(crate) fn changes_after(&self, version: u64) -> Option<impl Iterator<Item = &Change>> {
        let from = self.changes.partition_point(|change| change.version <= version);
        (version >= self.compacted).then(|| self.changes.range(from..))
    }

    /// Everything as it was at `version`; `None`: that is compacted away.
    pub(crate) fn at(&self, version: u64) -> Option<Objects> {
        if version >= self.version {
            return Some(self.live.clone());
        }
        if version < self.compacted {
            return None;
        }
        let mut objects = self.base.clone();
        self.changes.iter().take_while(|change| change.version <= version).for_each(|it| replay(&mut objects, it));
        Some(objects)
    }

    /// Stores an object. One that equals what is stored makes no version, as in the real one.
    pub(crate) fn put(&mut self, key: Key, value: Value) -> Arc<Document> {
        let stored = self.live.get(&key);
        if let Some(same) = stored.filter(|stored| stored.value == value) {
            return Arc::clone(same);
        }
        let kind = if stored.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        self.push(kind, key, value)
    }

    /// Removes an object, and returns it.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Document>> {
        let value = self.live.get(key)?.value.clone();
        Some(self.push(ChangeKind::Deleted, key.clone(), value))
    }

    fn push(&mut self, kind: ChangeKind, key: Key, mut value: Value) -> Arc<Document> {
        self.version += 1;
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), json!(self.version.to_string()));
        }
        let document = Arc::new(Document { text: value.to_string(), value });
        let change = Change { version: self.version, kind, key, document: Arc::clone(&document) };
        replay(&mut self.live, &change);
        self.changes.push_back(change);
        document
    }

    pub(crate) fn compact(&mut self, version: u64) {
        let version = version.min(self.version);
        while let Some(change) = self.changes.pop_front_if(|change| change.version <= version) {
            replay(&mut self.base, &change);
        }
        self.compacted = self.compacted.max(version);
    }
}

fn replay(objects: &mut Objects, change: &Change) {
    if change.kind == ChangeKind::Deleted {
        objects.remove(&change.key);
    } else {
        objects.insert(change.key.clone(), Arc::clone(&change.document));
    }
}
