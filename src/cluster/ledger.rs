//! The records as far as this process knows them: what the watch has shown, plus its own writes that it has not yet.
//!
//! Records are kept by name, and indexed by owner and by account and region, so that no reconcile walks all of them. A record
//! that is handed out is shared, not copied.
//!
//! An unusable record counts as none: one that cannot be read, or that claims another instance than it is named after.
//! It holds no slot, gives no evidence, and is reported as the problem of the instance in its name.
//!
//! A reconcile decides on the newest version that is known here. What makes that safe is the write: it replaces exactly that version, and
//! a record that turned out to be another is doubted until it is read again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use crate::api::reset_record::{Owner, ResetRecord};
use crate::cluster::guarded::Guarded;
use crate::cluster::measure;
use crate::decide::claim::next::is_done;
use crate::decide::claim::start_time_evidence::{Evidence, restart_took};
use crate::decide::reset::facts::BadRecord;
use crate::metrics::Metrics;

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
    /// Those to be read again before anything is decided by them.
    doubted: BTreeSet<String>,
    index: Index,
    /// Counts what becomes known.
    metrics: Option<Arc<Metrics>>,
}

/// The usual duration is the middle one of so many restarts.
const RESTARTS_KEPT: usize = 32;

/// A record as the watch shows it.
struct Shown {
    metadata: ObjectMeta,
    record: Result<Arc<ResetRecord>, BadRecord>,
}

impl Shown {
    fn new(guard: &Guarded<ResetRecord>) -> Self {
        let record = match &guard.0 {
            Ok(record) if record.is_named_after_its_instance() => Ok(Arc::new(record.clone())),
            Ok(_) => Err(BadRecord::OfAnotherInstance),
            Err(_) => Err(BadRecord::Unreadable),
        };
        // A usable record holds its own metadata.
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
    restart_took: Option<SignedDuration>,
}

/// The known records of one account and region.
#[derive(Default)]
struct AtPlace {
    records: usize,
    evidence: Evidence,
    /// Those on which something is left to do.
    open: BTreeSet<String>,
    /// How long the latest restarts took.
    restarts: VecDeque<SignedDuration>,
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
            restart_took: restart_took(record),
        });
        if self.entries.get(name) == entry.as_ref() {
            return;
        }
        let before = self.entries.remove(name);
        let took_before = before.as_ref().and_then(|before| before.restart_took);
        if let Some(Entry { owner, place, evidence, .. }) = before {
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
            if let Some(took) = entry.restart_took.filter(|took| Some(*took) != took_before) {
                there.restarts.push_back(took);
                let surplus = there.restarts.len().saturating_sub(RESTARTS_KEPT);
                there.restarts.drain(..surplus);
            }
            if entry.is_open {
                there.open.insert(name.to_owned());
            }
            self.entries.insert(name.to_owned(), entry);
        }
    }
}

/// The generation rises with every write of a record, since the kind has no status subresource. If two records have one name, one was
/// created after the other was deleted: the versions of the API server say which, as it promises since Kubernetes 1.35. Without them what
/// comes last counts.
fn is_newer(record: &ObjectMeta, than: &ObjectMeta) -> bool {
    if record.uid == than.uid {
        return record.generation > than.generation;
    }
    let version = |metadata: &ObjectMeta| metadata.resource_version.as_ref()?.parse::<u128>().ok();
    version(record).zip(version(than)).is_none_or(|(record, than)| record > than)
}

impl Known {
    fn newest(&self, name: &str) -> Option<&Arc<ResetRecord>> {
        if let Some(metrics) = &self.metrics {
            metrics.record_read();
        }
        let own = self.own.get(name);
        own.or_else(|| self.watched.get(name)?.record.as_ref().ok()).filter(|it| it.is_named_after_its_instance())
    }

    /// After a change of what is known of a name; `before` was the newest version.
    fn reindex(&mut self, name: &str, before: Option<&ResetRecord>) {
        let newest = self.newest(name).cloned();
        self.index.set(name, newest.as_deref());
        if let (Some(metrics), Some(before), Some(after)) = (&self.metrics, before, &newest)
            && is_newer(after.meta(), before.meta())
        {
            measure::record(metrics, before, after);
        }
    }

    /// Takes in what the watch shows of a name, `None`: that it is gone. Returns the record that is gone.
    fn show(&mut self, name: &str, shown: Option<Shown>) -> Option<Arc<ResetRecord>> {
        let newest = self.newest(name).cloned();
        if let Some(shown) = &shown
            && self.own.get(name).is_some_and(|own| !is_newer(own.meta(), shown.metadata()))
        {
            // The write in doubt replaced that version.
            if let Some(own) = self.own.remove(name)
                && is_newer(shown.metadata(), own.meta())
            {
                self.doubted.remove(name);
            }
        }
        let is_gone = shown.is_none();
        let before = match shown {
            Some(shown) => self.watched.insert(name.to_owned(), shown),
            None => self.watched.remove(name),
        };
        self.reindex(name, newest.as_deref());
        before.filter(|_| is_gone)?.record.ok()
    }

    fn relist(&mut self) -> Vec<Arc<ResetRecord>> {
        let listed = std::mem::take(&mut self.listing);
        let gone: Vec<String> = self.watched.keys().filter(|name| !listed.contains_key(*name)).cloned().collect();
        let gone = gone.into_iter().filter_map(|name| self.show(&name, None)).collect();
        let names: BTreeSet<String> = listed.keys().cloned().collect();
        for (name, shown) in listed {
            self.show(&name, Some(shown));
        }
        // The list was read before them, or they were deleted while there was no watch.
        self.doubted.extend(self.own.keys().filter(|name| !names.contains(*name)).cloned());
        gone
    }
}

impl Ledger {
    /// An empty one that counts in `metrics` what becomes known of the records.
    pub fn measured(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Mutex::new(Known { metrics: Some(metrics), ..Known::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an event of the watch, and returns the records that are gone by it. A list counts once it is complete.
    #[must_use]
    pub fn watched(&self, event: &Event<Guarded<ResetRecord>>) -> Vec<Arc<ResetRecord>> {
        let mut known = self.lock();
        match event {
            Event::Apply(guard) => known.show(&guard.name_any(), Some(Shown::new(guard))).into_iter().collect(),
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
                known.show(&name, None).into_iter().collect()
            }
        }
    }

    /// Remembers a record as this process has just written or read it.
    pub fn put(&self, record: ResetRecord) {
        let name = record.name_any();
        let mut known = self.lock();
        let newest = known.newest(&name).cloned();
        known.doubted.remove(&name);
        let is_shown = known.watched.get(&name).is_some_and(|shown| !is_newer(record.meta(), shown.metadata()));
        if !is_shown {
            known.own.insert(name.clone(), Arc::new(record));
        } else if known.own.get(&name).is_some_and(|own| own.uid() != record.uid()) {
            // It was deleted, and created again by another process, while the watch was interrupted.
            known.own.remove(&name);
        }
        known.reindex(&name, newest.as_deref());
    }

    /// Forgets a record that was not found at the API server.
    pub fn forget(&self, name: &str) {
        let mut known = self.lock();
        known.own.remove(name);
        known.doubted.remove(name);
        known.reindex(name, None);
    }

    /// Notes that a record is not what was known of it: a write upon it met a conflict, or was not answered.
    pub fn doubt(&self, name: &str) {
        self.lock().doubted.insert(name.to_owned());
    }

    /// Whether a record is to be read again before anything is decided by it.
    pub fn is_doubted(&self, name: &str) -> bool {
        self.lock().doubted.contains(name)
    }

    /// Whether any record is. Nothing that records hold can be counted then.
    pub fn is_any_doubted(&self) -> bool {
        !self.lock().doubted.is_empty()
    }

    /// The records that are to be read, and put or forgotten by what the API server says, in the order of their names: those of a lost
    /// race, and those that this process has written and a complete list does not hold.
    pub fn doubted(&self) -> Vec<String> {
        self.lock().doubted.iter().cloned().collect()
    }

    /// A record by name, in its newest known form.
    pub fn get(&self, name: &str) -> Option<Arc<ResetRecord>> {
        self.lock().newest(name).cloned()
    }

    /// Why a record that is there is unusable. [`Self::get`] has none then.
    pub fn record_problem(&self, name: &str) -> Option<BadRecord> {
        let known = self.lock();
        if known.own.contains_key(name) {
            return None;
        }
        known.watched.get(name)?.record.as_ref().err().copied()
    }

    /// The records whose claim is of `owner`, in the order of their names.
    pub fn of_owner(&self, owner: &Owner) -> Vec<Arc<ResetRecord>> {
        let known = self.lock();
        let names = known.index.by_owner.get(&(owner.namespace.clone(), owner.name.clone()));
        names.into_iter().flatten().filter_map(|name| known.newest(name).cloned()).collect()
    }

    /// What the records of an account and region teach.
    pub fn evidence(&self, account_name: &str, region_id: &str) -> Evidence {
        let place = (account_name.to_owned(), region_id.to_owned());
        self.lock().index.by_place.get(&place).map(|there| there.evidence).unwrap_or_default()
    }

    /// How long a restart usually takes in an account's region: the middle one of the latest. `None`: none was observed.
    pub fn usual_restart(&self, account_name: &str, region_id: &str) -> Option<SignedDuration> {
        let place = (account_name.to_owned(), region_id.to_owned());
        let mut restarts: Vec<_> = self.lock().index.by_place.get(&place)?.restarts.iter().copied().collect();
        restarts.sort_unstable();
        restarts.get(restarts.len() / 2).copied()
    }

    /// An account's records on which something is left to do, in whatever region.
    pub fn open_records(&self, account_name: &str) -> Vec<Arc<ResetRecord>> {
        let known = self.lock();
        let there = known.index.by_place.iter().filter(|((account, _), _)| account == account_name);
        let names = there.flat_map(|(_, there)| there.open.iter());
        names.filter_map(|name| known.newest(name).cloned()).collect()
    }

    /// The names of an account's records on which something is left to do.
    pub fn open_of_account(&self, account_name: &str) -> Vec<String> {
        let known = self.lock();
        let there = known.index.by_place.iter().filter(|((account, _), _)| account == account_name);
        there.flat_map(|(_, there)| there.open.iter().cloned()).collect()
    }

    /// The regions in which an account has records.
    pub fn regions(&self, account_name: &str) -> BTreeSet<String> {
        let known = self.lock();
        let of_account = known.index.by_place.keys().filter(|(account, _)| account == account_name);
        of_account.map(|(_, region)| region.clone()).collect()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
