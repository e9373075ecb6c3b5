//! The objects by the instances that they name and by the account that they use. Holds keys, and no object.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::objects::ObjectKey;
use crate::api::password_reset::PasswordReset;
use crate::decide::reset::targets;

/// The keys of the objects.
#[derive(Default)]
pub(super) struct ObjectIndex {
    entries: HashMap<Arc<ObjectKey>, Entry>,
    by_instance: HashMap<(String, String), BTreeSet<Arc<ObjectKey>>>,
    by_account: HashMap<String, BTreeSet<Arc<ObjectKey>>>,
}

struct Entry {
    account: String,
    region_id: String,
    instance_ids: Vec<String>,
}

impl ObjectIndex {
    /// Takes an object in as it is now; `None`: it names nothing any more.
    pub(super) fn set(&mut self, key: &ObjectKey, object: Option<&PasswordReset>) {
        if let Some(Entry { account, region_id, instance_ids }) = self.entries.remove(key) {
            take_out(&mut self.by_account, &account, key);
            for instance_id in instance_ids {
                take_out(&mut self.by_instance, &(region_id.clone(), instance_id), key);
            }
        }
        let Some(object) = object else { return };
        let key = Arc::new(key.clone());
        let entry = Entry {
            account: object.spec.account_name().to_owned(),
            region_id: object.spec.region_id.clone(),
            instance_ids: targets::listed(&object.spec, object.status.as_ref()),
        };
        self.by_account.entry(entry.account.clone()).or_default().insert(Arc::clone(&key));
        for instance_id in &entry.instance_ids {
            let place = (entry.region_id.clone(), instance_id.clone());
            self.by_instance.entry(place).or_default().insert(Arc::clone(&key));
        }
        self.entries.insert(key, entry);
    }

    /// The objects that name an instance.
    pub(super) fn naming(&self, region_id: &str, instance_id: &str) -> Vec<ObjectKey> {
        let place = (region_id.to_owned(), instance_id.to_owned());
        self.by_instance.get(&place).into_iter().flatten().map(|key| ObjectKey::clone(key)).collect()
    }

    /// The objects that use an account.
    pub(super) fn of_account(&self, account: &str) -> Vec<ObjectKey> {
        self.by_account.get(account).into_iter().flatten().map(|key| ObjectKey::clone(key)).collect()
    }
}

fn take_out<K: Hash + Eq>(map: &mut HashMap<K, BTreeSet<Arc<ObjectKey>>>, at: &K, key: &ObjectKey) {
    if let Some(keys) = map.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            map.remove(at);
        }
    }
}
