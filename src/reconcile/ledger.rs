//! The records as far as this process knows them: what the watch has shown, plus its own writes that it has not yet.
//!
//! Good for counting slots and for deciding what is worth a look. Never for "already done": every pass reads its record
//! from the API server, and every write is a compare-and-swap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use crate::api::reset_record::ResetRecord;

/// The records.
pub struct Ledger {
    namespace: String,
    watched: Store<DeserializeGuard<ResetRecord>>,
    own: OwnWrites,
}

/// This process's writes that the watch has not shown yet, by name. Shared with the watch's stream.
#[derive(Clone, Default)]
pub struct OwnWrites(Arc<Mutex<HashMap<String, Arc<ResetRecord>>>>);

impl OwnWrites {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<ResetRecord>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what the watch has now shown.
    pub fn seen(&self, event: &Event<DeserializeGuard<ResetRecord>>) {
        let mut own = self.lock();
        let is_shown = |own: &ResetRecord, shown: &ResetRecord| !is_newer(own, shown);
        match event {
            Event::Apply(guard) | Event::InitApply(guard) => {
                if let Ok(shown) = &guard.0
                    && own.get(&shown.name_any()).is_some_and(|record| is_shown(record, shown))
                {
                    own.remove(&shown.name_any());
                }
            }
            Event::Delete(guard) => {
                let name = guard.name_any();
                if own.get(&name).is_some_and(|record| record.uid() == guard.uid()) {
                    own.remove(&name);
                }
            }
            Event::Init | Event::InitDone => {}
        }
    }
}

/// The generation rises with every write of a record, since the kind has no status subresource.
fn is_newer(record: &ResetRecord, than: &ResetRecord) -> bool {
    record.uid() != than.uid() || record.metadata.generation > than.metadata.generation
}

impl Ledger {
    /// The records of the controller's namespace.
    #[must_use]
    pub fn new(namespace: &str, watched: Store<DeserializeGuard<ResetRecord>>, own: OwnWrites) -> Self {
        Self { namespace: namespace.to_owned(), watched, own }
    }

    /// Remembers a record as this process has just written or read it.
    pub fn put(&self, record: ResetRecord) {
        let name = record.name_any();
        let is_shown = self.shown(&name).is_some_and(|shown| !is_newer(&record, &shown));
        if !is_shown {
            self.own.lock().insert(name, Arc::new(record));
        }
    }

    /// Forgets a record that was found to be gone.
    pub fn forget(&self, name: &str) {
        self.own.lock().remove(name);
    }

    /// A record by name, in its newest known form.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<ResetRecord>> {
        self.own.lock().get(name).cloned().or_else(|| self.shown(name))
    }

    /// Whether a record is there in a form that this version cannot read.
    #[must_use]
    pub fn is_unreadable(&self, name: &str) -> bool {
        let shown = self.watched.get(&ObjectRef::new(name).within(&self.namespace));
        shown.is_some_and(|guard| guard.0.is_err()) && !self.own.lock().contains_key(name)
    }

    /// Looks at all records in their newest known form. They are shared, not copied: every pass counts slots.
    pub fn look<R>(&self, look: impl FnOnce(&[&ResetRecord]) -> R) -> R {
        let (own, watched) = (self.own.lock().clone(), self.watched.state());
        // A write of ours that is newer takes the place of what the watch has shown, whoever it belongs to.
        let is_newest =
            |record: &&ResetRecord| !record.metadata.name.as_ref().is_some_and(|name| own.contains_key(name));
        let shown = watched.iter().filter_map(|guard| guard.0.as_ref().ok()).filter(is_newest);
        let records: Vec<&ResetRecord> = shown.chain(own.values().map(AsRef::as_ref)).collect();
        look(&records)
    }

    fn shown(&self, name: &str) -> Option<Arc<ResetRecord>> {
        let guard = self.watched.get(&ObjectRef::new(name).within(&self.namespace))?;
        guard.0.as_ref().ok().map(|record| Arc::new(record.clone()))
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;

    use super::*;
    use crate::decide::instance::tests::{claimed, owner};

    fn version(generation: i64) -> ResetRecord {
        let mut record = claimed();
        record.metadata.namespace = Some("system".to_owned());
        record.metadata.uid = Some("u1".to_owned());
        record.metadata.generation = Some(generation);
        record
    }

    fn guarded(record: ResetRecord) -> DeserializeGuard<ResetRecord> {
        DeserializeGuard(Ok(record))
    }

    fn count(ledger: &Ledger, owner_name: &str) -> usize {
        ledger.look(|records| records.iter().filter(|record| record.spec.owner.is(&owner(owner_name))).count())
    }

    #[test]
    fn an_own_write_counts_until_the_watch_shows_it() {
        let (watched, mut writer) = store();
        let own = OwnWrites::default();
        let ledger = Ledger::new("system", watched, own.clone());
        let mut show = |event: Event<DeserializeGuard<ResetRecord>>| {
            own.seen(&event);
            writer.apply_watcher_event(&event);
        };
        ledger.put(version(2));
        assert_eq!(count(&ledger, "web"), 1);
        show(Event::Apply(guarded(version(1))));
        assert_eq!(ledger.get("cn-hangzhou.i-bp1a0000").unwrap().metadata.generation, Some(2));
        assert_eq!(count(&ledger, "web"), 1, "one record, not two");
        show(Event::Apply(guarded(version(3))));
        assert_eq!(ledger.get("cn-hangzhou.i-bp1a0000").unwrap().metadata.generation, Some(3));
        ledger.put(version(2));
        assert_eq!(ledger.get("cn-hangzhou.i-bp1a0000").unwrap().metadata.generation, Some(3));
        show(Event::Delete(guarded(version(3))));
        assert!(ledger.get("cn-hangzhou.i-bp1a0000").is_none());
    }

    #[test]
    fn an_own_write_to_another_owner_hides_what_the_watch_still_shows() {
        let (watched, mut writer) = store();
        let ledger = Ledger::new("system", watched, OwnWrites::default());
        writer.apply_watcher_event(&Event::Apply(guarded(version(1))));
        let mut taken = version(2);
        taken.spec.owner = owner("other");
        ledger.put(taken);
        assert_eq!((count(&ledger, "web"), count(&ledger, "other")), (0, 1));
    }
}
