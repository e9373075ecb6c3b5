//! The records as far as this process knows them: what the watch has shown, plus its own writes that it has not yet.
//!
//! An unusable record counts as none: one that cannot be read, or that claims another instance than it is named after.
//! It holds nobody's slot, teaches nothing, and is told as the trouble of the instance in its name.
//!
//! Good for counting slots and for deciding what is worth a look. Never for "already done": every pass reads its record
//! from the API server, and every write is a compare-and-swap.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use crate::api::reset_record::ResetRecord;
use crate::decide::reset::facts::BadRecord;

/// The records.
pub struct Ledger {
    namespace: String,
    watched: Store<DeserializeGuard<ResetRecord>>,
    own: OwnWrites,
}

/// This process's writes that the watch has not shown yet, by name. Shared with the watch's stream.
#[derive(Clone, Default)]
pub struct OwnWrites(Arc<Mutex<Own>>);

#[derive(Default)]
struct Own {
    writes: HashMap<String, Arc<ResetRecord>>,
    /// Those that a complete list does not hold: it was read before them, or they were deleted while there was no watch.
    doubted: BTreeSet<String>,
}

impl Own {
    fn insert(&mut self, name: String, record: ResetRecord) {
        self.doubted.remove(&name);
        self.writes.insert(name, Arc::new(record));
    }

    fn remove(&mut self, name: &str) {
        self.doubted.remove(name);
        self.writes.remove(name);
    }
}

impl OwnWrites {
    fn lock(&self) -> MutexGuard<'_, Own> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what the watch has now shown, as `watched` holds it. A list fills that only when it is complete.
    pub fn seen(&self, event: &Event<DeserializeGuard<ResetRecord>>, watched: &Store<DeserializeGuard<ResetRecord>>) {
        let mut own = self.lock();
        let mut show = |shown: &DeserializeGuard<ResetRecord>| {
            if own.writes.get(&shown.name_any()).is_some_and(|record| !is_newer(record.meta(), shown.meta())) {
                own.remove(&shown.name_any());
            }
        };
        match event {
            Event::Apply(guard) => show(guard),
            Event::InitDone => {
                let listed = watched.state();
                for guard in &listed {
                    show(guard);
                }
                let listed: HashSet<String> = listed.iter().map(|guard| guard.name_any()).collect();
                let Own { writes, doubted } = &mut *own;
                doubted.extend(writes.keys().filter(|name| !listed.contains(*name)).cloned());
            }
            Event::Delete(guard) => {
                let name = guard.name_any();
                if own.writes.get(&name).is_some_and(|record| record.uid() == guard.uid()) {
                    own.remove(&name);
                }
            }
            Event::Init | Event::InitApply(_) => {}
        }
    }
}

/// The generation rises with every write of a record, since the kind has no status subresource.
fn is_newer(record: &ObjectMeta, than: &ObjectMeta) -> bool {
    record.uid != than.uid || record.generation > than.generation
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
        let is_shown = self.shown(&name).is_some_and(|shown| !is_newer(record.meta(), shown.meta()));
        let mut own = self.own.lock();
        if !is_shown {
            own.insert(name, record);
        } else if own.writes.get(&name).is_some_and(|own| own.uid() != record.uid()) {
            // It was deleted, and made anew by another process, while the watch was interrupted.
            own.remove(&name);
        }
    }

    /// Forgets a record that was not found at the API server.
    pub fn forget(&self, name: &str) {
        self.own.lock().remove(name);
    }

    /// The records that this process has written and that a complete list does not hold, in the order of their names: they are to be
    /// read, and put or forgotten by what the API server says.
    #[must_use]
    pub fn doubted(&self) -> Vec<String> {
        self.own.lock().doubted.iter().cloned().collect()
    }

    /// A record by name, in its newest known form.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<ResetRecord>> {
        let newest = self.own.lock().writes.get(name).cloned().or_else(|| self.shown(name));
        newest.filter(|record| record.is_named_after_its_instance())
    }

    /// Why a record that is there is unusable. [`Self::get`] has none then.
    #[must_use]
    pub fn record_problem(&self, name: &str) -> Option<BadRecord> {
        if self.own.lock().writes.contains_key(name) {
            return None;
        }
        match &self.watched.get(&ObjectRef::new(name).within(&self.namespace))?.0 {
            Ok(record) => (!record.is_named_after_its_instance()).then_some(BadRecord::OfAnotherInstance),
            Err(_) => Some(BadRecord::Unreadable),
        }
    }

    /// Looks at all records in their newest known form. They are shared, not copied: every pass counts slots.
    pub fn with_records<R>(&self, look: impl FnOnce(&[&ResetRecord]) -> R) -> R {
        let (own, watched) = (self.own.lock().writes.clone(), self.watched.state());
        // A write of ours that is newer takes the place of what the watch has shown, whoever it belongs to.
        let is_newest =
            |record: &&ResetRecord| !record.metadata.name.as_ref().is_some_and(|name| own.contains_key(name));
        let shown = watched.iter().filter_map(|guard| guard.0.as_ref().ok()).filter(is_newest);
        let known = shown.chain(own.values().map(AsRef::as_ref));
        look(&known.filter(|record| record.is_named_after_its_instance()).collect::<Vec<_>>())
    }

    fn shown(&self, name: &str) -> Option<Arc<ResetRecord>> {
        let guard = self.watched.get(&ObjectRef::new(name).within(&self.namespace))?;
        guard.0.as_ref().ok().map(|record| Arc::new(record.clone()))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::error_boundary::InvalidObject;
    use kube::runtime::reflector::store;

    use super::*;
    use crate::decide::fixtures::{claimed, owner};

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

    /// A ledger, and its watch: what shows it an event.
    fn ledger() -> (Ledger, impl FnMut(Event<DeserializeGuard<ResetRecord>>)) {
        let ((watched, mut writer), own) = (store(), OwnWrites::default());
        let ledger = Ledger::new("system", watched.clone(), own.clone());
        let show = move |event| {
            writer.apply_watcher_event(&event);
            own.seen(&event, &watched);
        };
        (ledger, show)
    }

    fn count(ledger: &Ledger, owner_name: &str) -> usize {
        ledger.with_records(|records| records.iter().filter(|record| record.spec.owner.is(&owner(owner_name))).count())
    }

    #[test]
    fn an_own_write_counts_until_the_watch_shows_it() {
        let (ledger, mut show) = ledger();
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
    fn an_own_write_counts_while_a_list_that_shows_it_is_not_complete() {
        let (ledger, mut show) = ledger();
        ledger.put(version(2));
        for event in [Event::Init, Event::InitApply(guarded(version(2))), Event::InitDone] {
            show(event);
            assert_eq!(count(&ledger, "web"), 1);
        }
        assert!(ledger.own.lock().writes.is_empty(), "the watch has shown it");
        assert!(ledger.doubted().is_empty());
    }

    #[test]
    fn an_own_write_that_a_list_does_not_hold_is_doubted_until_it_is_read() {
        let (ledger, mut show) = ledger();
        let mut relist = |listed: Vec<ResetRecord>| {
            let pages = listed.into_iter().map(|record| Event::InitApply(guarded(record)));
            std::iter::once(Event::Init).chain(pages).chain([Event::InitDone]).for_each(&mut show);
        };
        ledger.put(version(2));
        assert!(ledger.doubted().is_empty(), "the watch may be behind");
        relist(Vec::new());
        assert_eq!(ledger.doubted(), ["cn-hangzhou.i-bp1a0000"]);
        assert_eq!(count(&ledger, "web"), 1, "the list may be older than the write");
        // The API server has it after all: it was read, or the next list shows it.
        ledger.put(version(3));
        assert!(ledger.doubted().is_empty());
        relist(Vec::new());
        relist(vec![version(3)]);
        assert!(ledger.doubted().is_empty());
        // It does not.
        ledger.put(version(4));
        relist(Vec::new());
        ledger.forget("cn-hangzhou.i-bp1a0000");
        assert_eq!((ledger.doubted().len(), count(&ledger, "web")), (0, 0));
    }

    #[test]
    fn an_own_write_gives_way_to_a_record_that_was_made_anew_or_cannot_be_read() {
        let (ledger, mut show) = ledger();
        // The watch is interrupted: the record is deleted, and another process makes it anew.
        ledger.put(version(6));
        let mut anew = version(1);
        (anew.metadata.uid, anew.spec.owner) = (Some("u2".to_owned()), owner("other"));
        for event in [Event::Init, Event::InitApply(guarded(anew.clone())), Event::InitDone] {
            show(event);
        }
        ledger.put(anew);
        assert_eq!((count(&ledger, "web"), count(&ledger, "other")), (0, 1));

        ledger.put(version(2));
        let error = serde_json::from_str::<ResetRecord>("{}").unwrap_err().to_string();
        let unreadable = InvalidObject { error, metadata: version(3).metadata };
        show(Event::Apply(DeserializeGuard(Err(unreadable))));
        assert_eq!(ledger.record_problem("cn-hangzhou.i-bp1a0000"), Some(BadRecord::Unreadable));
    }

    #[test]
    fn an_own_write_to_another_owner_hides_what_the_watch_still_shows() {
        let (ledger, mut show) = ledger();
        show(Event::Apply(guarded(version(1))));
        let mut taken = version(2);
        taken.spec.owner = owner("other");
        ledger.put(taken);
        assert_eq!((count(&ledger, "web"), count(&ledger, "other")), (0, 1));
    }

    #[test]
    fn a_record_that_claims_another_instance_counts_for_nobody_and_is_told() {
        let (ledger, mut show) = ledger();
        let mut show = |record| show(Event::Apply(guarded(record)));
        let mut edited = version(2);
        edited.spec.instance_id = "i-bp1b0000".to_owned();
        ledger.put(version(1));
        show(edited);
        for name in ["cn-hangzhou.i-bp1a0000", "cn-hangzhou.i-bp1b0000"] {
            assert!(ledger.get(name).is_none(), "{name}");
        }
        assert_eq!(ledger.record_problem("cn-hangzhou.i-bp1a0000"), Some(BadRecord::OfAnotherInstance));
        assert_eq!(ledger.record_problem("cn-hangzhou.i-bp1b0000"), None);
        assert_eq!(count(&ledger, "web"), 0, "it holds a slot");

        // One that was read before it was edited does not bring it back.
        ledger.put(version(1));
        assert_eq!(ledger.record_problem("cn-hangzhou.i-bp1a0000"), Some(BadRecord::OfAnotherInstance));
        show(version(3));
        assert_eq!((ledger.record_problem("cn-hangzhou.i-bp1a0000"), count(&ledger, "web")), (None, 1), "mended");
    }

    #[test]
    fn no_two_instance_ids_have_one_record() {
        let name = |id: &str| ResetRecord::name_of("cn-hangzhou", id);
        assert_eq!(name("AY121018033933eae8689"), "cn-hangzhou.ay121018033933eae8689");
        let ids = [
            "AY1", "ay1", "Ay1", "aY1", "i-AY1", "i-ay1", "i-1", "I-1", "AY", "ay", "A", "a", "", "ÄY1", "AYay1",
            "ayAY1",
        ];
        for (n, id) in ids.iter().enumerate() {
            let mut record = claimed();
            record.spec.instance_id = (*id).to_owned();
            for (m, other) in ids.iter().enumerate() {
                assert_eq!(n == m, name(id) == name(other), "{id} and {other}");
                record.metadata.name = Some(name(other));
                assert_eq!(record.is_named_after_its_instance(), n == m, "{id} in the record of {other}");
            }
        }
    }

    #[test]
    fn a_record_is_of_the_instance_in_its_name_and_of_no_other() {
        let record = claimed();
        assert!(record.is_named_after_its_instance());
        for name in [
            None,
            Some(""),
            Some("."),
            Some("i-bp1a0000"),
            Some("cn-hangzhoui-bp1a0000"),
            Some("cn-hangzhou.i-bp1a00000"),
        ] {
            let mut record = record.clone();
            record.metadata.name = name.map(str::to_owned);
            assert!(!record.is_named_after_its_instance(), "{name:?}");
        }
        let (mut elsewhere, mut other) = (record.clone(), record);
        elsewhere.spec.region_id = "cn-beijing".to_owned();
        other.spec.instance_id = "i-bp1b0000".to_owned();
        assert!(!elsewhere.is_named_after_its_instance() && !other.is_named_after_its_instance());
    }
}
