//! The records by their owner, and by their account and region. Holds names, and no record.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::SignedDuration;

use crate::api::reset_record::{Owner, ResetRecord};
use crate::decide::budget;
use crate::decide::claim::next::is_done;
use crate::decide::claim::start_time_evidence::{Evidence, restart_took};

/// The usual duration is the middle one of so many restarts.
const RESTARTS_KEPT: usize = 32;

/// Where a record belongs: its owner, and what it teaches of its account and region.
#[derive(PartialEq, Eq)]
struct Entry {
    owner: OwnerKey,
    place: Arc<Place>,
    evidence: Evidence,
    is_open: bool,
    ever_has_slot: bool,
    is_ever_away: bool,
    restart_took: Option<SignedDuration>,
}

/// The known records of one account and region.
#[derive(Default)]
struct AtPlace {
    records: usize,
    evidence: Evidence,
    /// Those on which something is left to do.
    open: BTreeSet<Arc<str>>,
    /// How long the latest restarts took.
    restarts: VecDeque<SignedDuration>,
}

/// The records of one owner that bound its others.
#[derive(Default)]
struct OfOwner {
    /// Those whose claim holds a slot at some time.
    holders: BTreeSet<Arc<str>>,
    /// Those whose instance is away at some time, which hold one too.
    away: BTreeSet<Arc<str>>,
}

type OwnerKey = (String, String);
type Place = (String, String);

/// The names of the records.
#[derive(Default)]
pub(super) struct RecordIndex {
    entries: HashMap<Arc<str>, Entry>,
    by_owner: HashMap<OwnerKey, OfOwner>,
    by_place: BTreeMap<Arc<Place>, AtPlace>,
}

impl RecordIndex {
    /// Takes a record in as it is now; `None`: it is none any more.
    pub(super) fn set(&mut self, name: &str, record: Option<&ResetRecord>) {
        let entry = record.map(|record| Entry {
            owner: owner_key(&record.spec.owner),
            place: self.place(&record.spec.account_name, &record.spec.region_id),
            evidence: Evidence::of(record),
            is_open: !is_done(record),
            ever_has_slot: budget::ever_has_slot(record),
            is_ever_away: budget::is_ever_away(record),
            restart_took: restart_took(record),
        });
        if self.entries.get(name) == entry.as_ref() {
            return;
        }
        let before = self.entries.remove(name);
        let took_before = before.as_ref().and_then(|before| before.restart_took);
        if let Some(Entry { owner, place, evidence, .. }) = before {
            if let Some(theirs) = self.by_owner.get_mut(&owner) {
                theirs.holders.remove(name);
                theirs.away.remove(name);
                if theirs.holders.is_empty() {
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
            let name: Arc<str> = name.into();
            if entry.ever_has_slot {
                let theirs = self.by_owner.entry(entry.owner.clone()).or_default();
                theirs.holders.insert(Arc::clone(&name));
                if entry.is_ever_away {
                    theirs.away.insert(Arc::clone(&name));
                }
            }
            let there = self.by_place.entry(Arc::clone(&entry.place)).or_default();
            there.records += 1;
            there.evidence = there.evidence.and(entry.evidence);
            if let Some(took) = entry.restart_took.filter(|took| Some(*took) != took_before) {
                there.restarts.push_back(took);
                let surplus = there.restarts.len().saturating_sub(RESTARTS_KEPT);
                there.restarts.drain(..surplus);
            }
            if entry.is_open {
                there.open.insert(Arc::clone(&name));
            }
            self.entries.insert(name, entry);
        }
    }

    /// The place, shared with the other records there.
    fn place(&self, account_name: &str, region_id: &str) -> Arc<Place> {
        let place = (account_name.to_owned(), region_id.to_owned());
        self.by_place.get_key_value(&place).map_or_else(|| Arc::new(place), |(known, _)| Arc::clone(known))
    }

    /// The records whose claim is of `owner` and holds a slot at some time, in the order of their names.
    pub(super) fn holders(&self, owner: &Owner) -> impl Iterator<Item = &str> {
        self.by_owner.get(&owner_key(owner)).into_iter().flat_map(|theirs| &theirs.holders).map(AsRef::as_ref)
    }

    /// Those of them whose instance is away at some time, in the order of their names.
    pub(super) fn away(&self, owner: &Owner) -> impl Iterator<Item = &str> {
        self.by_owner.get(&owner_key(owner)).into_iter().flat_map(|theirs| &theirs.away).map(AsRef::as_ref)
    }

    /// What the records of an account and region teach.
    pub(super) fn evidence(&self, account_name: &str, region_id: &str) -> Evidence {
        let place = (account_name.to_owned(), region_id.to_owned());
        self.by_place.get(&place).map(|there| there.evidence).unwrap_or_default()
    }

    /// How long a restart usually takes in an account's region: the middle one of the latest. `None`: none was observed.
    pub(super) fn usual_restart(&self, account_name: &str, region_id: &str) -> Option<SignedDuration> {
        let place = (account_name.to_owned(), region_id.to_owned());
        let mut restarts: Vec<_> = self.by_place.get(&place)?.restarts.iter().copied().collect();
        restarts.sort_unstable();
        restarts.get(restarts.len() / 2).copied()
    }

    /// An account's records on which something is left to do, in whatever region.
    pub(super) fn open(&self, account_name: &str) -> impl Iterator<Item = &str> {
        self.of_account(account_name).flat_map(|(_, there)| &there.open).map(AsRef::as_ref)
    }

    /// The regions in which an account has records.
    pub(super) fn regions(&self, account_name: &str) -> impl Iterator<Item = &str> {
        self.of_account(account_name).map(|(region, _)| region)
    }

    fn of_account(&self, account_name: &str) -> impl Iterator<Item = (&str, &AtPlace)> {
        let there = self.by_place.iter().filter(move |(place, _)| place.0 == account_name);
        there.map(|(place, there)| (place.1.as_str(), there))
    }
}

fn owner_key(owner: &Owner) -> OwnerKey {
    (owner.namespace.clone(), owner.name.clone())
}
