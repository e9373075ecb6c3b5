//! A breadth-first search through everything that can happen, and the check that every state leads to an end.
//!
//! For each state that was seen it keeps a digest, the state that it was first reached from and by which move. The first
//! violation found is one of the shortest, and its story is shown by making the moves again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use ecs_password_reset::api::reset_record::Phase;

use crate::actions::{Action, Move, fair_rank};
use crate::canon::digest;
use crate::invariants::{check, excuses, settled, why_unknown};
use crate::moves::moves;
use crate::setup::Setup;
use crate::steps::pass_time;
use crate::story;
use crate::world::{World, phase};

/// One state of this many that are reached a second time is compared with its first appearance.
const SAMPLE: u64 = 61;
/// No fair successor is known: the state was never looked at, since the search was cut off.
const UNSEEN: u32 = u32::MAX;

/// A state that was seen.
struct Node {
    /// The state that it was first reached from; a root is its own.
    parent: u32,
    /// By which of the moves there.
    via: u16,
    /// What follows once all trouble is over; itself, where nothing does.
    fair: u32,
    /// The digests of all that can follow, in one; see [`summary`].
    successors: u64,
}

/// What a search has found.
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Moves between them.
    pub moves: u64,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// Whether every state was visited.
    pub exhausted: bool,
    /// States in which nothing more happens by itself.
    pub ends: usize,
    /// In how many of them a record is in which phase.
    pub phases: BTreeMap<String, usize>,
    /// The phases that a record is in, in any state.
    pub reached: Vec<Phase>,
    /// The reasons for which one is Unknown.
    pub unknown: BTreeSet<String>,
    /// States that break an invariant in a way that the protocol says stays possible, by kind.
    pub excused: BTreeMap<&'static str, usize>,
    /// States reached again that were compared with their first appearance.
    pub compared: usize,
    /// The violation, and how it comes to that.
    pub violation: Option<String>,
}

/// Searches until everything was seen, something is wrong, or there are more than `limit` states.
pub fn search(setup: &Setup, limit: usize) -> Report {
    let mut search =
        Search { setup, nodes: Vec::new(), known: HashMap::new(), doubles: Vec::new(), report: Report::new() };
    let wrong = search.run(limit).and_then(|()| search.every_state_reaches_an_end()).and_then(|()| search.compare());
    let mut report = search.report;
    report.violation = wrong.err();
    report
}

struct Search<'a> {
    setup: &'a Setup,
    nodes: Vec<Node>,
    known: HashMap<u64, u32>,
    doubles: Vec<(u32, World)>,
    report: Report,
}

impl Search<'_> {
    fn run(&mut self, limit: usize) -> Result<(), String> {
        let mut frontier = Vec::new();
        for (index, root) in self.setup.roots().into_iter().enumerate() {
            let id = self.visit(&root, digest(self.setup, &root), None, index)?.0;
            frontier.push((id, root));
        }
        while !frontier.is_empty() && self.nodes.len() <= limit {
            let mut next = Vec::new();
            for (id, world) in frontier {
                self.expand(id, &world, &mut next)?;
            }
            frontier = next;
            self.report.depth += usize::from(!frontier.is_empty());
        }
        self.report.exhausted = frontier.is_empty();
        Ok(())
    }

    fn expand(&mut self, id: u32, world: &World, next: &mut Vec<(u32, World)>) -> Result<(), String> {
        let mut fair = (u8::MAX, id);
        let mut digests = Vec::new();
        let list = moves(self.setup, world);
        let is_end = nothing_happens(self.setup, world, &list);
        let lead = world.lead;
        for (via, Move { action, world }) in list.into_iter().enumerate() {
            let digest = digest(self.setup, &world);
            let (successor, is_new) = self.visit(&world, digest, Some(id), via)?;
            fair = fair.min((fair_rank(&action, lead).unwrap_or(u8::MAX), successor));
            digests.push(digest);
            self.report.moves += 1;
            if is_new {
                next.push((successor, world));
            } else if digest.is_multiple_of(SAMPLE) {
                self.doubles.push((successor, world));
            }
        }
        let node = &mut self.nodes[id as usize];
        node.fair = if is_end { id } else { fair.1 };
        node.successors = summary(digests);
        if is_end {
            self.end(id, world)?;
        }
        Ok(())
    }

    /// Notes a state; returns its number, and whether it is a new one.
    fn visit(&mut self, world: &World, digest: u64, parent: Option<u32>, via: usize) -> Result<(u32, bool), String> {
        if let Some(known) = self.known.get(&digest) {
            return Ok((*known, false));
        }
        let id = u32::try_from(self.nodes.len()).unwrap();
        let node = Node { parent: parent.unwrap_or(id), via: u16::try_from(via).unwrap(), fair: UNSEEN, successors: 0 };
        self.nodes.push(node);
        self.known.insert(digest, id);
        self.report.states = self.nodes.len();
        check(self.setup, world).map_err(|why| self.tell(&why, id, &[]))?;
        for record in world.records.iter().flatten() {
            if !self.report.reached.contains(&phase(record)) {
                self.report.reached.push(phase(record));
            }
            if let Some(reason) = why_unknown(record).filter(|reason| !self.report.unknown.contains(*reason)) {
                self.report.unknown.insert(reason.to_owned());
            }
        }
        for kind in excuses(self.setup, world) {
            *self.report.excused.entry(kind).or_default() += 1;
        }
        Ok((id, true))
    }

    /// A state in which nothing more happens by itself.
    fn end(&mut self, id: u32, world: &World) -> Result<(), String> {
        settled(self.setup, world).map_err(|why| self.tell(&why, id, &[]))?;
        self.report.ends += 1;
        for record in world.records.iter().flatten() {
            *self.report.phases.entry(format!("{:?}", phase(record))).or_default() += 1;
        }
        Ok(())
    }

    /// I6: from every state that was visited, following what happens once trouble is over leads to an end and in no circle.
    fn every_state_reaches_an_end(&self) -> Result<(), String> {
        let mut reaches = vec![false; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let mut path = Vec::new();
            let mut at = start;
            while !reaches[at] {
                let fair = self.nodes[at].fair;
                reaches[at] = true;
                path.push(at);
                if fair == UNSEEN || fair as usize == at {
                    break;
                }
                at = fair as usize;
                if let Some(first) = path.iter().position(|id| *id == at) {
                    let circle = path[first..].iter().chain([&at]).map(|id| u32::try_from(*id).unwrap());
                    let circle: Vec<u32> = circle.collect();
                    return Err(self.tell("I6: it goes on like this for ever, in a circle", circle[0], &circle[1..]));
                }
            }
        }
        Ok(())
    }

    /// Whether states that were taken for equal have the same successors; see [`crate::canon`].
    fn compare(&mut self) -> Result<(), String> {
        for (id, world) in &self.doubles {
            let node = &self.nodes[*id as usize];
            if node.fair == UNSEEN {
                continue;
            }
            self.report.compared += 1;
            let follows = moves(self.setup, world);
            if summary(digests(self.setup, &follows)) != node.successors {
                return Err(self.tell(&self.difference(*id, &follows), *id, &[]));
            }
        }
        Ok(())
    }

    /// After what the two states are seen to differ.
    fn difference(&self, id: u32, double: &[Move]) -> String {
        let (way, mut first) = self.way(id);
        for id in &way[1..] {
            first = moves(self.setup, &first).swap_remove(usize::from(self.nodes[*id as usize].via)).world;
        }
        let first = moves(self.setup, &first);
        let only_in = |these: &[Move], those: &[Move]| {
            let known = digests(self.setup, those);
            let is_new = |next: &&Move| !known.contains(&digest(self.setup, &next.world));
            these.iter().find(is_new).map(|next| format!("{:?}", next.action))
        };
        let action = only_in(double, &first).or_else(|| only_in(&first, double)).unwrap_or_default();
        format!("the model took two states for equal which are not, as {action} shows; the first of them is this")
    }

    /// The states on the way to one, and the root that it begins at.
    fn way(&self, id: u32) -> (Vec<u32>, World) {
        let mut way = vec![id];
        while self.nodes[way[0] as usize].parent != way[0] {
            way.insert(0, self.nodes[way[0] as usize].parent);
        }
        let root = self.setup.roots().swap_remove(usize::from(self.nodes[way[0] as usize].via));
        (way, root)
    }

    /// Tells how it comes to a state, and what follows there.
    fn tell(&self, why: &str, id: u32, then: &[u32]) -> String {
        let (way, root) = self.way(id);
        let mut lines = story::Story::begin(self.setup, why, &root);
        let mut world = root;
        for id in &way[1..] {
            let next = moves(self.setup, &world).swap_remove(usize::from(self.nodes[*id as usize].via));
            lines.add(&world, &next);
            world = next.world;
        }
        for id in then {
            let follows = |next: &Move| self.known.get(&digest(self.setup, &next.world)) == Some(id);
            let Some(next) = moves(self.setup, &world).into_iter().find(follows) else { break };
            lines.add(&world, &next);
            world = next.world;
        }
        lines.end()
    }
}

fn digests(setup: &Setup, moves: &[Move]) -> Vec<u64> {
    moves.iter().map(|next| digest(setup, &next.world)).collect()
}

/// Which states follow, however many ways lead to each.
fn summary(mut digests: Vec<u64>) -> u64 {
    digests.sort_unstable();
    digests.dedup();
    digests.into_iter().fold(0, u64::wrapping_add)
}

/// Whether nothing is left to happen by itself but that time passes, minute after minute.
fn nothing_happens(setup: &Setup, world: &World, moves: &[Move]) -> bool {
    let only_time = |moves: &[Move]| {
        let first = moves
            .iter()
            .filter_map(|next| Some((fair_rank(&next.action, world.lead)?, next)))
            .min_by_key(|(rank, _)| *rank);
        first.filter(|(_, next)| next.action == Action::Tick).map(|(_, next)| next.world.clone())
    };
    let Some(half_a_minute_later) = only_time(moves) else { return false };
    let mut a_minute_later = half_a_minute_later.clone();
    pass_time(&mut a_minute_later);
    digest(setup, &a_minute_later) == digest(setup, world)
        && only_time(&crate::moves::moves(setup, &half_a_minute_later)).is_some()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, depth, exhausted, ends, phases, unknown, excused, compared, .. } = self;
        let extent = if *exhausted { "exhausted" } else { "cut off" };
        write!(
            f,
            "{states} states, depth {depth}, {extent}, {ends} ends {phases:?}, unknown {unknown:?}, excused {excused:?}, {compared} compared"
        )
    }
}

impl Report {
    fn new() -> Self {
        Self {
            states: 0,
            moves: 0,
            depth: 0,
            exhausted: false,
            ends: 0,
            phases: BTreeMap::new(),
            reached: Vec::new(),
            unknown: BTreeSet::new(),
            excused: BTreeMap::new(),
            compared: 0,
            violation: None,
        }
    }
}
