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

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use super::cached::{Cached, Words};
use super::record_index::RecordIndex;
use crate::api::reset_record::{Owner, ResetRecord};
use crate::cluster::guarded::Guarded;
use crate::cluster::measure;
use crate::decide::claim::next::is_done;
use crate::decide::claim::start_time_evidence::Evidence;
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
    index: RecordIndex,
    words: Words,
    /// Counts what becomes known.
    metrics: Option<Arc<Metrics>>,
}

/// A record as the watch shows it.
struct Shown {
    revision: Revision,
    record: Result<Cached<ResetRecord>, BadRecord>,
}

impl Shown {
    fn new(guard: &Guarded<ResetRecord>, words: &Words) -> Self {
        let record = match &guard.0 {
            Ok(record) if record.is_named_after_its_instance() => Ok(Cached::new(record, is_done(record), words)),
            Ok(_) => Err(BadRecord::OfAnotherInstance),
            Err(_) => Err(BadRecord::Unreadable),
        };
        Self { revision: Revision::of(guard.meta()), record }
    }

    fn get(&self, words: &Words) -> Result<Arc<ResetRecord>, BadRecord> {
        self.record.as_ref().map_err(|bad| *bad)?.get(words).map_err(|_| BadRecord::Unreadable)
    }
}

/// What tells one version of a record from another.
struct Revision {
    uid: Option<String>,
    generation: Option<i64>,
    resource_version: Option<String>,
}

impl Revision {
    fn of(metadata: &ObjectMeta) -> Self {
        let ObjectMeta { uid, generation, resource_version, .. } = metadata.clone();
        Self { uid, generation, resource_version }
    }

    /// The generation rises with every write of a record, since the kind has no status subresource. If two records have one name, one was
    /// created after the other was deleted: the versions of the API server say which, as it promises since Kubernetes 1.35. Without them
    /// what comes last counts.
    fn is_newer(&self, than: &Self) -> bool {
        if self.uid == than.uid {
            return self.generation > than.generation;
        }
        let version = |it: &Self| it.resource_version.as_ref()?.parse::<u128>().ok();
        version(self).zip(version(than)).is_none_or(|(this, than)| this > than)
    }
}

impl Known {
    fn newest(&self, name: &str) -> Option<Arc<ResetRecord>> {
        if let Some(metrics) = &self.metrics {
            metrics.record_read();
        }
        let own = self.own.get(name).cloned();
        own.or_else(|| self.watched.get(name)?.get(&self.words).ok()).filter(|it| it.is_named_after_its_instance())
    }

    /// After a change of what is known of a name; `before` was the newest version.
    fn reindex(&mut self, name: &str, before: Option<&ResetRecord>) {
        let newest = self.newest(name);
        self.index.set(name, newest.as_deref());
        if let (Some(metrics), Some(before), Some(after)) = (&self.metrics, before, &newest)
            && Revision::of(after.meta()).is_newer(&Revision::of(before.meta()))
        {
            measure::record(metrics, before, after);
        }
    }

    /// Takes in what the watch shows of a name, `None`: that it is gone. Returns the record that is gone.
    fn show(&mut self, name: &str, shown: Option<Shown>) -> Option<Arc<ResetRecord>> {
        let newest = self.newest(name);
        let own = self.own.get(name).map(|own| Revision::of(own.meta()));
        if let (Some(shown), Some(own)) = (&shown, own)
            && !own.is_newer(&shown.revision)
        {
            self.own.remove(name);
            // The write in doubt replaced that version.
            if shown.revision.is_newer(&own) {
                self.doubted.remove(name);
            }
        }
        let is_gone = shown.is_none();
        let before = match shown {
            Some(shown) => self.watched.insert(name.to_owned(), shown),
            None => self.watched.remove(name),
        };
        self.reindex(name, newest.as_deref());
        before.filter(|_| is_gone)?.get(&self.words).ok()
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
            Event::Apply(guard) => {
                let shown = Shown::new(guard, &known.words);
                known.show(&guard.name_any(), Some(shown)).into_iter().collect()
            }
            Event::Init => {
                known.listing.clear();
                Vec::new()
            }
            Event::InitApply(guard) => {
                let shown = Shown::new(guard, &known.words);
                known.listing.insert(guard.name_any(), shown);
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
        let newest = known.newest(&name);
        known.doubted.remove(&name);
        let revision = Revision::of(record.meta());
        let is_shown = known.watched.get(&name).is_some_and(|shown| !revision.is_newer(&shown.revision));
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
        self.lock().newest(name)
    }

    /// Why a record that is there is unusable, where [`Self::get`] has none.
    pub fn record_problem(&self, name: &str) -> Option<BadRecord> {
        let known = self.lock();
        if known.own.contains_key(name) {
            return None;
        }
        known.watched.get(name)?.get(&known.words).err()
    }

    /// The records whose claim is of `owner` and holds a slot at some time, in the order of their names.
    pub fn holders(&self, owner: &Owner) -> Vec<Arc<ResetRecord>> {
        let known = self.lock();
        known.index.holders(owner).filter_map(|name| known.newest(name)).collect()
    }

    /// Those of them whose instance is away at some time, in the order of their names.
    pub fn away(&self, owner: &Owner) -> Vec<Arc<ResetRecord>> {
        let known = self.lock();
        known.index.away(owner).filter_map(|name| known.newest(name)).collect()
    }

    /// What the records of an account and region teach.
    pub fn evidence(&self, account_name: &str, region_id: &str) -> Evidence {
        self.lock().index.evidence(account_name, region_id)
    }

    /// How long a restart usually takes in an account's region: the middle one of the latest. `None`: none was observed.
    pub fn usual_restart(&self, account_name: &str, region_id: &str) -> Option<SignedDuration> {
        self.lock().index.usual_restart(account_name, region_id)
    }

    /// An account's records on which something is left to do, in whatever region.
    pub fn open_records(&self, account_name: &str) -> Vec<Arc<ResetRecord>> {
        let known = self.lock();
        known.index.open(account_name).filter_map(|name| known.newest(name)).collect()
    }

    /// The names of an account's records on which something is left to do.
    pub fn open_of_account(&self, account_name: &str) -> Vec<String> {
        self.lock().index.open(account_name).map(str::to_owned).collect()
    }

    /// The regions in which an account has records.
    pub fn regions(&self, account_name: &str) -> BTreeSet<String> {
        self.lock().index.regions(account_name).map(str::to_owned).collect()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
