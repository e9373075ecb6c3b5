//! What a process remembers of each object between two reconciles. All of it may be lost: nothing that matters rests on it alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// One remembered value for each object, by its key.
pub struct PerObject<V>(Mutex<HashMap<String, V>>);

impl<V> Default for PerObject<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V> PerObject<V> {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<V>
    where
        V: Clone,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The value of `key`, which is forgotten.
    pub fn take(&self, key: &str) -> Option<V> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    /// Remembers `value` for `key`.
    pub fn set(&self, key: &str, value: V) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value);
    }
}
