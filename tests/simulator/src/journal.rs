//! Everything that was asked and everything that happened, in order: what tests judge by.
//!
//! It never holds a password. Request targets are kept as they came, since tests must be able to prove that no secret
//! is in them; serialized, only the parameters' names are left (the official SDK puts the password there).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::answer::Refusal;
use crate::instance::Status;

/// How a request ended at ECS, whether or not the client learnt of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Done.
    Executed,
    /// Nothing happened; the error code. A dry run that passed is `DryRunOperation`.
    Refused(String),
    /// ECS never saw it; the fault's name.
    Faulted(String),
}

impl Outcome {
    pub(crate) fn of<T>(result: &Result<T, Refusal>) -> Self {
        result.as_ref().map_or_else(|refusal| Self::Refused(refusal.code.clone()), |_| Self::Executed)
    }
}

/// One request: of the API, of STS or of the metadata service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestEntry {
    /// Place in the journal, from 1.
    pub seq: u64,
    /// When it reached ECS (ECS's clock).
    pub at: Timestamp,
    /// Empty if it had none.
    pub action: String,
    /// The region it was for; empty if unknown.
    pub region_id: String,
    /// The instances it named.
    pub instance_ids: Vec<String>,
    /// The key that claimed to sign it; empty if none did.
    pub access_key_id: String,
    /// The name of that key's owner in `ActionTrail`: account, role, session. Empty if there is no such key.
    pub principal_arn: String,
    /// Its signed Timestamp.
    pub timestamp: String,
    /// Its `SignatureNonce`.
    pub nonce: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The fault that met it.
    pub fault: Option<&'static str>,
    /// What the answer carried, had it been sent.
    pub request_id: String,
    /// Path and query as they came.
    #[serde(serialize_with = "names_only")]
    pub url: String,
    /// Whether an answer was handed to the connection.
    pub answered: bool,
    /// `DryRun=true`.
    pub dry_run: bool,
    /// `ForceStop=true`: a power cut.
    pub force_stop: bool,
}

/// What happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Effect {
    /// A password waits for the next platform start.
    PasswordSet,
    /// The waiting password is now the instance's.
    PasswordInEffect,
    /// An accepted reboot left Running.
    RebootBegan,
    /// Its owner released it: it is gone for good.
    Released,
    /// A status change.
    StatusChanged {
        /// Before.
        from: Status,
        /// After.
        to: Status,
    },
}

/// An effect, when and why.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectEntry {
    /// Place in the journal, from 1.
    pub seq: u64,
    /// When (ECS's clock).
    pub at: Timestamp,
    /// To whom.
    pub instance_id: String,
    /// What.
    pub effect: Effect,
    /// The `RequestId` of the call behind it; `None`: an actor outside the API.
    pub cause: Option<String>,
}

/// One line of the journal.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "entry")]
pub enum Entry {
    /// A request was judged, or lost on its way.
    Request(Box<RequestEntry>),
    /// Something happened to an instance.
    Effect(EffectEntry),
}

impl Entry {
    fn seq_mut(&mut self) -> &mut u64 {
        match self {
            Self::Request(request) => &mut request.seq,
            Self::Effect(effect) => &mut effect.seq,
        }
    }
}

/// The journal.
#[derive(Default)]
pub struct Journal {
    entries: Vec<Entry>,
}

impl Journal {
    /// Writes the next line and numbers it.
    pub(crate) fn push(&mut self, mut entry: Entry) {
        *entry.seq_mut() = self.entries.len() as u64 + 1;
        self.entries.push(entry);
    }

    /// All lines, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All requests.
    pub fn requests(&self) -> impl Iterator<Item = &RequestEntry> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Request(request) => Some(request.as_ref()),
            Entry::Effect(_) => None,
        })
    }

    /// All effects.
    pub fn effects(&self) -> impl Iterator<Item = &EffectEntry> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Effect(effect) => Some(effect),
            Entry::Request(_) => None,
        })
    }

    /// How many requests of `action` there were, however they ended; for calls that name no instance.
    pub fn asked(&self, action: &str) -> usize {
        self.requests().filter(|each| each.action == action).count()
    }

    /// Requests of `action` that named `instance_id`, however they ended.
    pub fn calls<'a>(&'a self, action: &'a str, instance_id: &'a str) -> impl Iterator<Item = &'a RequestEntry> {
        self.requests()
            .filter(move |each| each.action == action && each.instance_ids.iter().any(|id| id == instance_id))
    }

    /// How many passwords were set through the API, answered or not.
    pub fn modifies(&self, instance_id: &str) -> usize {
        self.executed("ModifyInstanceAttribute", instance_id)
    }

    /// How many reboots were accepted through the API, answered or not.
    pub fn reboots(&self, instance_id: &str) -> usize {
        self.executed("RebootInstance", instance_id)
    }

    /// How often `action` was carried out, by instance; for fleets, where asking one by one takes too long.
    pub fn executed_by_instance(&self, action: &str) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for each in self.requests().filter(|each| each.action == action && each.outcome == Outcome::Executed) {
            for id in &each.instance_ids {
                *counts.entry(id.as_str()).or_default() += 1;
            }
        }
        counts
    }

    fn executed(&self, action: &str, instance_id: &str) -> usize {
        self.calls(action, instance_id).filter(|each| each.outcome == Outcome::Executed).count()
    }

    /// After each status change: how many instances had left Running and were not back. Those that never ran do not count.
    pub fn away_over_time(&self) -> Vec<(Timestamp, usize)> {
        self.away_of(|_| true)
    }

    fn away_of(&self, counts_in: impl Fn(&str) -> bool) -> Vec<(Timestamp, usize)> {
        let mut away = BTreeSet::new();
        let mut counts = Vec::new();
        for entry in self.effects().filter(|entry| counts_in(&entry.instance_id)) {
            match entry.effect {
                Effect::StatusChanged { to: Status::Running, .. } | Effect::Released => {
                    away.remove(entry.instance_id.as_str())
                }
                Effect::StatusChanged { from: Status::Running, .. } => away.insert(entry.instance_id.as_str()),
                _ => continue,
            };
            counts.push((entry.at, away.len()));
        }
        counts
    }

    /// The most that were ever away from Running at one time.
    pub fn max_away(&self) -> usize {
        self.max_away_of(|_| true)
    }

    /// The same for those instances whose id is one that counts.
    pub fn max_away_of(&self, counts_in: impl Fn(&str) -> bool) -> usize {
        self.away_of(counts_in).into_iter().map(|(_, count)| count).max().unwrap_or(0)
    }
}

fn names_only<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let names: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
        .collect();
    if names.is_empty() {
        serializer.serialize_str(path)
    } else {
        serializer.serialize_str(&format!("{path}?{}", names.join("&")))
    }
}
