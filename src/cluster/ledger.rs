//! The records as far as this process knows them: what the watch has shown, plus its own writes that it has not yet.
//!
//! Records are kept by name, and indexed by owner and by account and region, so that no reconcile walks all of them. What is handed out
//! is shared, not copied.
//!
//! An unusable record counts as none: one that cannot be read, or that claims another instance than it is named after.
//! It holds no slot, gives no evidence, and is reported as the problem of the instance in its name.
//!
//! A reconcile decides on the newest version that is known here. What makes that safe is the write: it replaces exactly that version, and
//! a record that turned out to be another is doubted until it is read again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use crate::api::reset_record::{Owner, ResetRecord};
use crate::decide::claim::next::is_done;
use crate::decide::claim::start_time::Evidence;
use crate::decide::reset::facts::BadRecord;

/// The records. Shared with the watch's stream, which shows it each event.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    watched: HashMap<String, Shown>,
    /// The pages of a list that is not complete yet.
    listing: HashMap<String, Shown>,
    /// This process's writes that the watch has not shown yet.
    own: HashMap<String, Arc<ResetRecord>>,
    /// Those that are to be read before they are gone by.
    doubted: BTreeSet<String>,
    index: Index,
}

/// A record as the watch shows it.
struct Shown {
    metadata: ObjectMeta,
    record: Result<Arc<ResetRecord>, BadRecord>,
}

impl Shown {
    fn new(guard: &DeserializeGuard<ResetRecord>) -> Self {
        let record = match &guard.0 {
            Ok(record) if record.is_named_after_its_instance() => Ok(Arc::new(record.clone())),
            Ok(_) => Err(BadRecord::OfAnotherInstance),
            Err(_) => Err(BadRecord::Unreadable),
        };
        // Of a usable record the metadata is in the record.
        let metadata = if record.is_ok() { ObjectMeta::default() } else { guard.meta().clone() };
        Self { metadata, record }
    }

    fn metadata(&self) -> &ObjectMeta {
        self.record.as_ref().map_or(&self.metadata, |record| record.meta())
    }
}

/// Where a record belongs: its owner, and what it teaches of its account and region.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    owner: OwnerKey,
    place: Place,
    evidence: Evidence,
    is_open: bool,
}

/// What is known of the records of one account and region.
#[derive(Default)]
struct AtPlace {
    records: usize,
    evidence: Evidence,
    /// Those on which something is left to do.
    open: BTreeSet<String>,
}

type OwnerKey = (String, String);
type Place = (String, String);

#[derive(Default)]
struct Index {
    entries: HashMap<String, Entry>,
    by_owner: HashMap<OwnerKey, BTreeSet<String>>,
    by_place: BTreeMap<Place, AtPlace>,
}

impl Index {
    fn set(&mut self, name: &str, record: Option<&ResetRecord>) {
        let entry = record.map(|record| Entry {
            owner: (record.spec.owner.namespace.clone(), record.spec.owner.name.clone()),
            place: (record.spec.account_name.clone(), record.spec.region_id.clone()),
            evidence: Evidence::of(record),
            is_open: !is_done(record),
        });
        if self.entries.get(name) == entry.as_ref() {
            return;
        }
        if let Some(Entry { owner, place, evidence, .. }) = self.entries.remove(name) {
            if let Some(names) = self.by_owner.get_mut(&owner) {
                names.remove(name);
                if names.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
            if let Some(there) = self.by_place.get_mut(&place) {
                there.records -= 1;
                there.evidence = there.evidence.less(evidence);
                there.open.remove(name);
                if there.records == 0 {
                    self.by_place.remove(&place);
                }
            }
        }
        if let Some(entry) = entry {
            self.by_owner.entry(entry.owner.clone()).or_default().insert(name.to_owned());
            let there = self.by_place.entry(entry.place.clone()).or_default();
            there.records += 1;
            there.evidence = there.evidence.and(entry.evidence);
            if entry.is_open {
                there.open.insert(name.to_owned());
            }
            self.entries.insert(name.to_owned(), entry);
        }
    }
}

/// The generation rises with every write of a record, since the kind has no status subresource.
fn is_newer(record: &ObjectMeta, than: &ObjectMeta) -> bool {
    record.uid != than.uid || record.generation > than.generation
}

impl Known {
    fn newest(&self, name: &str) -> Option<&Arc<ResetRecord>> {
        let own = self.own.get(name);
        own.or_else(|| self.watched.get(name)?.record.as_ref().ok()).filter(|it| it.is_named_after_its_instance())
    }

    fn reindex(&mut self, name: &str) {
        let newest = self.newest(name).cloned();
        self.index.set(name, newest.as_deref());
    }

    /// Takes in what the watch shows of a name, `None`: that it is gone. Returns the record that is gone.
    fn show(&mut self, name: String, shown: Option<Shown>) -> Option<Arc<ResetRecord>> {
        if let Some(shown) = &shown
            && self.own.get(&name).is_some_and(|own| !is_newer(own.meta(), shown.metadata()))
        {
            self.own.remove(&name);
            self.doubted.remove(&name);
        }
        let is_gone = shown.is_none();
        let before = match shown {
            Some(shown) => self.watched.insert(name.clone(), shown),
            None => self.watched.remove(&name),
        };
        self.reindex(&name);
        before.filter(|_| is_gone)?.record.ok()
    }

    fn relist(&mut self) -> Vec<Arc<ResetRecord>> {
        let listed = std::mem::take(&mut self.listing);
        let gone: Vec<String> = self.watched.keys().filter(|name| !listed.contains_key(*name)).cloned().collect();
        let gone = gone.into_iter().filter_map(|name| self.show(name, None)).collect();
        let names: BTreeSet<String> = listed.keys().cloned().collect();
        for (name, shown) in listed {
            self.show(name, Some(shown));
        }
        // The list was read before them, or they were deleted while there was no watch.
        self.doubted.extend(self.own.keys().filter(|name| !names.contains(*name)).cloned());
        gone
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an event of the watch, and returns the records that are gone by it. A list counts once it is complete.
    pub fn watched(&self, event: &Event<DeserializeGuard<ResetRecord>>) -> Vec<Arc<ResetRecord>> {
        let mut known = self.lock();
        match event {
            Event::Apply(guard) => known.show(guard.name_any(), Some(Shown::new(guard))).into_iter().collect(),
            Event::Init => {
                known.listing.clear();
                Vec::new()
            }
            Event::InitApply(guard) => {
                known.listing.insert(guard.name_any(), Shown::new(guard));
                Vec::new()
            }
            Event::InitDone => known.relist(),
            Event::Delete(guard) => {
                let name = guard.name_any();
                if known.own.get(&name).is_some_and(|own| own.uid() == guard.uid()) {
                    known.own.remove(&name);
                    known.doubted.remove(&name);
                }
                known.show(name, None).into_iter().collect()
            }
        }
    }

    /// Remembers a record as this process has just written or read it.
    pub fn put(&self, record: ResetRecord) {
        let name = record.name_any();
        let mut known = self.lock();
        known.doubted.remove(&name);
        let is_shown = known.watched.get(&name).is_some_and(|shown| !is_newer(record.meta(), shown.metadata()));
        if !is_shown {
            known.own.insert(name.clone(), Arc::new(record));
        } else if known.own.get(&name).is_some_and(|own| own.uid() != record.uid()) {
            // It was deleted, and created again by another process, while the watch was interrupted.
            known.own.remove(&name);
        }
        known.reindex(&name);
    }

    /// Forgets a record that was not found at the API server.
    pub fn forget(&self, name: &str) {
        let mut known = self.lock();
        known.own.remove(name);
        known.doubted.remove(name);
        known.reindex(name);
    }

    /// Notes that a record is not what was known of it: a write upon it met a conflict, or was not answered.
    pub fn doubt(&self, name: &str) {
        self.lock().doubted.insert(name.to_owned());
    }

    /// Whether a record is to be read before it is gone by.
    #[must_use]
    pub fn is_doubted(&self, name: &str) -> bool {
        self.lock().doubted.contains(name)
    }

    /// The records that are to be read, and put or forgotten by what the API server says, in the order of their names: those of a lost
    /// race, and those that this process has written and a complete list does not hold.
    #[must_use]
    pub fn doubted(&self) -> Vec<String> {
        self.lock().doubted.iter().cloned().collect()
    }

    /// A record by name, in its newest known form.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<ResetRecord>> {
        self.lock().newest(name).cloned()
    }

    /// Why a record that is there is unusable. [`Self::get`] has none then.
    #[must_use]
    pub fn record_problem(&self, name: &str) -> Option<BadRecord> {
        let known = self.lock();
        if known.own.contains_key(name) {
            return None;
        }
        known.watched.get(name)?.record.as_ref().err().copied()
    }

    /// The records whose claim is of `owner`, in the order of their names.
    #[must_use]
    pub fn of_owner(&self, owner: &Owner) -> Vec<Arc<ResetRecord>> {
        let known = self.lock();
        let names = known.index.by_owner.get(&(owner.namespace.clone(), owner.name.clone()));
        names.into_iter().flatten().filter_map(|name| known.newest(name).cloned()).collect()
    }

    /// What the records of an account and region teach.
    #[must_use]
    pub fn evidence(&self, account_name: &str, region_id: &str) -> Evidence {
        let place = (account_name.to_owned(), region_id.to_owned());
        self.lock().index.by_place.get(&place).map(|there| there.evidence).unwrap_or_default()
    }

    /// The names of an account's records on which something is left to do.
    #[must_use]
    pub fn open_of_account(&self, account_name: &str) -> Vec<String> {
        let known = self.lock();
        let there = known.index.by_place.iter().filter(|((account, _), _)| account == account_name);
        there.flat_map(|(_, there)| there.open.iter().cloned()).collect()
    }

    /// The regions in which an account has records.
    #[must_use]
    pub fn regions(&self, account_name: &str) -> BTreeSet<String> {
        let known = self.lock();
        let of_account = known.index.by_place.keys().filter(|(account, _)| account == account_name);
        of_account.map(|(_, region)| region.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use kube::core::error_boundary::InvalidObject;

    use super::*;
    use crate::api::reset_record::{Phase, StartTimeEvidence};
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
        let ledger = Ledger::default();
        let watch = ledger.clone();
        (ledger, move |event| {
            watch.watched(&event);
        })
    }

    fn count(ledger: &Ledger, owner_name: &str) -> usize {
        ledger.of_owner(&owner(owner_name)).len()
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
    fn own_write_counts_until_the_list_is_complete() {
        let (ledger, mut show) = ledger();
        ledger.put(version(2));
        for event in [Event::Init, Event::InitApply(guarded(version(2))), Event::InitDone] {
            show(event);
            assert_eq!(count(&ledger, "web"), 1);
        }
        assert!(ledger.lock().own.is_empty(), "the watch has shown it");
        assert!(ledger.doubted().is_empty());
    }

    #[test]
    fn own_write_missing_from_list_is_doubted_until_read() {
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
    fn own_write_yields_to_recreated_or_unreadable_record() {
        let (ledger, mut show) = ledger();
        // The watch is interrupted: the record is deleted, and another process creates it again.
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
    fn own_write_to_another_owner_hides_older_watch_state() {
        let (ledger, mut show) = ledger();
        show(Event::Apply(guarded(version(1))));
        let mut taken = version(2);
        taken.spec.owner = owner("other");
        ledger.put(taken);
        assert_eq!((count(&ledger, "web"), count(&ledger, "other")), (0, 1));
    }

    #[test]
    fn misnamed_record_counts_for_no_owner_and_is_reported() {
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
    fn record_after_conflict_is_doubted_until_read() {
        let (ledger, mut show) = ledger();
        show(Event::Apply(guarded(version(1))));
        ledger.doubt("cn-hangzhou.i-bp1a0000");
        assert!(ledger.is_doubted("cn-hangzhou.i-bp1a0000"));
        ledger.put(version(1));
        assert!(ledger.doubted().is_empty());
    }

    #[test]
    fn evidence_and_open_records_follow_each_version() {
        let (ledger, mut show) = ledger();
        let mut moved = version(1);
        moved.status.as_mut().unwrap().start_time_evidence = Some(StartTimeEvidence::Moved);
        show(Event::Apply(guarded(moved)));
        assert_eq!(ledger.evidence("default", "cn-hangzhou"), Evidence { moved: 1, not_moved: 0 });
        assert_eq!(ledger.open_of_account("default"), ["cn-hangzhou.i-bp1a0000"]);
        let mut not_moved = version(2);
        let status = not_moved.status.as_mut().unwrap();
        (status.phase, status.start_time_evidence) = (Phase::Idle, Some(StartTimeEvidence::NotMoved));
        ledger.put(not_moved);
        assert_eq!(ledger.evidence("default", "cn-hangzhou"), Evidence { moved: 0, not_moved: 1 });
        assert!(ledger.open_of_account("default").is_empty());
        assert_eq!(ledger.regions("default").len(), 1);
        show(Event::Delete(guarded(version(2))));
        assert_eq!(ledger.evidence("default", "cn-hangzhou"), Evidence::default());
        assert!(ledger.regions("default").is_empty() && count(&ledger, "web") == 0);
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
