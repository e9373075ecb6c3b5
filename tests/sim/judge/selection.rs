//! A selector is looked up as a whole or not at all; what it matched is stored before the first claim, and stays for its request.
//!
//! A scenario has one object with a selector at most, so all pages that a process reads belong together.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ecs_simulator::api_server::{Change, ChangeKind};
use http::Response;
use serde_json::Value;

use super::{Claim, Judge, text};
use crate::plan::Ms;
use crate::world::{ProcessId, Travel};

/// One answer to a question for all instances that match.
#[derive(Clone)]
pub struct Page {
    ids: Vec<String>,
    is_first: bool,
    is_last: bool,
}

impl Page {
    /// What an answer shows.
    pub fn of(travel: &Travel, answer: &Response<Bytes>) -> Self {
        let answer: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let ids = answer["Instances"]["Instance"].as_array().into_iter().flatten().map(|it| text(&it["InstanceId"]));
        Self {
            ids: ids.collect(),
            is_first: !travel.asks_for_a_further_page(),
            is_last: text(&answer["NextToken"]).is_empty(),
        }
    }
}

/// What the pages of one look-up have shown.
#[derive(Clone)]
struct LookUp {
    /// The newest version of the API server's objects when it began.
    version: u64,
    ids: BTreeSet<String>,
    /// When its last page reached the process.
    complete: Option<Ms>,
}

/// A list of targets, as it was stored.
#[derive(Clone)]
struct Stored {
    version: u64,
    /// What it was looked up for.
    request: Value,
    tokens: BTreeSet<String>,
    ids: Vec<String>,
}

/// What is known of the objects with a selector, and of what each process has read for them.
#[derive(Default)]
pub(super) struct Selections {
    look_ups: BTreeMap<ProcessId, Vec<LookUp>>,
    /// All lists of an object, as `namespace/name`.
    lists: BTreeMap<String, Vec<Stored>>,
    /// The spec of each, and since which version.
    specs: BTreeMap<String, (u64, Value)>,
}

impl Selections {
    /// A page has reached the process that has asked for it.
    pub(super) fn page(&mut self, process: ProcessId, version: u64, now: Ms, page: Page) {
        let theirs = self.look_ups.entry(process).or_default();
        if page.is_first {
            theirs.push(LookUp { version, ids: BTreeSet::new(), complete: None });
        }
        let Some(last) = theirs.last_mut() else { return };
        last.ids.extend(page.ids);
        last.complete = page.is_last.then_some(now);
    }
}

impl Judge {
    /// An object with a selector was written, by a process if not by a person.
    pub(super) fn selection(&mut self, change: &Change, by: Option<&Travel>) {
        let object = change.object();
        let (spec, found) = (&object["spec"], &object["status"]["targets"]);
        let owner = format!("{}/{}", text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        if change.kind == ChangeKind::Deleted || !spec["selector"].is_object() || self.restores() {
            self.selections.lists.remove(&owner);
            self.selections.specs.remove(&owner);
            return;
        }
        let known = self.selections.specs.get(&owner).filter(|(_, known)| known == spec).map(|(since, _)| *since);
        let since = known.unwrap_or(change.version);
        self.selections.specs.insert(owner.clone(), (since, spec.clone()));
        let before = self.selections.lists.get(&owner).and_then(|lists| lists.last()).cloned();
        if found.is_null() {
            self.require(before.is_none(), || format!("the targets of {owner} are gone"));
            return;
        }
        let stored = Stored {
            version: change.version,
            request: serde_json::json!([found["tokens"], found["selector"], found["fingerprint"]]),
            tokens: tokens(&found["tokens"]),
            ids: found["instanceIDs"].as_array().into_iter().flatten().map(text).collect(),
        };
        if before.as_ref().is_some_and(|it| it.request == stored.request && it.ids == stored.ids) {
            return;
        }
        let stays = |it: &Stored| it.request == stored.request && !it.ids.is_empty() && spec["mode"] != "Plan";
        if let Some(Stored { ids, .. }) = before.filter(stays) {
            self.violations.push(format!("the targets of {owner} are {:?} now, and were {ids:?} before", stored.ids));
        }
        if let Some(by) = by {
            self.is_of_one_look_up(&owner, &stored, since, spec["selector"]["maxTargets"].as_u64(), by);
        }
        self.selections.lists.entry(owner).or_default().push(stored);
    }

    /// A list is all that the pages of one look-up have shown, which was begun for what the object asks for.
    fn is_of_one_look_up(&mut self, owner: &str, stored: &Stored, since: u64, most: Option<u64>, by: &Travel) {
        let theirs = self.selections.look_ups.get(&by.process).into_iter().flatten();
        let complete = theirs.filter(|it| it.complete.is_some_and(|at| at <= by.sent)).last().cloned();
        let Some(LookUp { version, ids, .. }) = complete else {
            let process = by.process;
            self.violations
                .push(format!("the targets of {owner} were stored by {process}, which has not read them all"));
            return;
        };
        self.require(version >= since, || format!("the targets of {owner} were looked up before it asked for them"));
        let is_too_many = most.is_some_and(|most| ids.len() as u64 > most);
        let shown: Vec<String> = if is_too_many { Vec::new() } else { ids.into_iter().collect() };
        self.require(stored.ids == shown, || {
            format!("the targets of {owner} are {:?}, and the pages have shown {shown:?}", stored.ids)
        });
    }

    /// A claim for an object with a selector is on an instance of the list that was stored for its request, before it was sent.
    pub(super) fn is_a_target(&mut self, claim: &Claim, record: &Value, by: &Travel) {
        if !self.selections.specs.contains_key(&claim.owner) {
            return;
        }
        let asked = tokens(&record["spec"]["tokens"]);
        let lists = self.selections.lists.get(&claim.owner).into_iter().flatten();
        let list = lists.filter(|it| it.version <= by.version && asked.is_subset(&it.tokens)).last();
        let is_in = list.is_some_and(|list| list.ids.contains(&claim.instance_id));
        self.require(is_in, || format!("{claim} is on none of the targets that were stored for its request"));
    }
}

fn tokens(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}
