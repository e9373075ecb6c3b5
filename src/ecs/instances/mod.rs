//! What the instances look like: to ECS what an informer is to Kubernetes.
//!
//! Whoever wants to know about instances asks once and is woken; nobody polls on their own. One task per account and
//! region reads the union of all that is asked for, 100 instances a call, and ends when nobody asks any more. An
//! interest lapses by itself, so that a waiter that went away without a word costs nothing for long.
//!
//! It makes no decision and no change, and it does not know who waits: a waiter is an opaque key.
//!
//! Every answer carries the time at which its request was sent. That is what "a read after t" means: a look that began
//! before t may show what was before t.

mod poll;
#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{CallError, Class, Executed, Instance, InstanceStatus, RetryRule};

/// An account and a region: what one poll task reads, and what ECS counts calls by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The account's name in this program.
    pub account: String,
    /// The region.
    pub region_id: String,
}

/// What was last seen of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// `None` when the answer did not hold it: it does not exist, or these credentials may not see it.
    pub instance: Option<Arc<Instance>>,
    /// When the request of this read was sent, on ECS's clock.
    pub sent_at: Timestamp,
    /// The same of the first read of the unbroken row that showed this status, or this absence. Never bridges a time in
    /// which nobody asked; polls that failed are not reads and break nothing.
    pub since: Timestamp,
}

/// Reads instances. Supplied by the caller, who has the credentials, the endpoint, the limiter and the clock.
pub trait Describe: Send + Sync + 'static {
    /// Reads at most 100 instances, every page of them. An instance that a good answer lacks counts as absent.
    fn describe(&self, scope: &Scope, ids: Vec<String>) -> impl Future<Output = Described> + Send;
}

/// One read.
pub struct Described {
    /// When it was sent, on ECS's clock.
    pub sent_at: Timestamp,
    /// What came back.
    pub result: Result<Vec<Instance>, DescribeError>,
}

/// Why a read brought nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DescribeError {
    /// The limiter says when there will be room; the same instances are then asked for again.
    #[error("waiting for the rate limit")]
    NotBefore(Instant),
    /// There are no credentials, or another thing is missing; in words for people.
    #[error("{0}")]
    NotReady(String),
    /// Pages without end.
    #[error("DescribeInstances did not end after {0} pages; the controller tries again")]
    Endless(usize),
    /// ECS refused it, or did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl DescribeError {
    /// Whether ECS has judged the read and refused it: to ask again changes nothing until a person has changed something.
    pub fn is_refused(&self) -> bool {
        let Self::Call(CallError::Refused(refusal)) = self else { return false };
        refusal.retry_rule() == RetryRule::Definite
            || (refusal.class == Class::Auth && refusal.executed == Executed::No)
    }

    /// Whether a person has to see to it should it last: ECS refuses the read, or nothing can be sent to where it should be.
    pub fn is_for_a_person(&self) -> bool {
        self.is_refused() || matches!(self, Self::Call(CallError::NotSent(_)))
    }
}

/// The instances that waiters ask for. `W` names a waiter.
pub struct Instances<W> {
    shared: Arc<Shared<W>>,
    /// Starts the poll task of a scope. A closure, so that the many who hold this type need not name the reader's.
    start: Box<dyn Fn(Scope) -> JoinHandle<()> + Send + Sync>,
}

struct Shared<W> {
    state: Mutex<State<W>>,
    wake: mpsc::Sender<W>,
    interval: Duration,
}

struct State<W> {
    polled: HashMap<Scope, Polled<W>>,
    /// The scope that holds each waiter's ask: a waiter asks in one scope at a time.
    scope_of: HashMap<W, Scope>,
}

/// One scope that is being polled. Ordered maps: what is done for each entry is done in the same order every time.
struct Polled<W> {
    asks: BTreeMap<W, Ask>,
    observations: HashMap<String, Observation>,
    /// Instances that make ECS refuse a call, and when each is asked for again.
    refused: BTreeMap<String, Instant>,
    error: Option<DescribeError>,
    task: JoinHandle<()>,
}

struct Ask {
    ids: BTreeSet<String>,
    /// Taken away once the waiter was woken.
    fresh_after: Option<Timestamp>,
    lapses_at: Instant,
}

impl<W: Clone + Ord + Hash + Send + Sync + 'static> Instances<W> {
    /// Nothing is polled until a waiter asks. Whoever must look again comes out of `wake`'s receiver, possibly more than
    /// once; when that is dropped, the tasks end. A full channel makes the polls wait, so no wake-up is lost.
    ///
    /// `interval` is the time between two polls of the same instances; three seconds is usual.
    pub fn new<D: Describe>(describe: D, wake: mpsc::Sender<W>, interval: Duration) -> Self {
        let state = Mutex::new(State { polled: HashMap::new(), scope_of: HashMap::new() });
        let shared = Arc::new(Shared { state, wake, interval });
        let (describe, for_tasks) = (Arc::new(describe), Arc::clone(&shared));
        let start = move |scope| tokio::spawn(poll::run(Arc::clone(&for_tasks), Arc::clone(&describe), scope));
        Self { shared, start: Box::new(start) }
    }

    /// Asks for `ids`, in place of whatever this waiter asked for before, until `ttl` has passed.
    ///
    /// The waiter is woken whenever one of them changes (presence, status, start time, locks, key pair, tags; the
    /// first look is a change); once when every one of them has been seen by a read sent at or after `fresh_after`; and when polling
    /// begins or ceases to fail. Look at [`latest`](Self::latest) after asking, not before: what is known already
    /// wakes nobody.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn subscribe(&self, waiter: W, scope: &Scope, ids: &[String], fresh_after: Option<Timestamp>, ttl: Duration) {
        let mut state = self.shared.lock();
        if state.scope_of.get(&waiter) != Some(scope) {
            state.forget(&waiter);
        }
        let ask = Ask { ids: ids.iter().cloned().collect(), fresh_after, lapses_at: now() + ttl };
        state.scope_of.insert(waiter.clone(), scope.clone());
        if let Some(polled) = state.polled.get_mut(scope) {
            polled.asks.insert(waiter, ask);
            // A reader that panicked must not leave its scope blind for ever.
            if polled.task.is_finished() {
                polled.task = (self.start)(scope.clone());
            }
        } else {
            // The task's first step waits for the lock held here.
            let polled = Polled {
                asks: BTreeMap::from([(waiter, ask)]),
                observations: HashMap::new(),
                refused: BTreeMap::new(),
                error: None,
                task: (self.start)(scope.clone()),
            };
            state.polled.insert(scope.clone(), polled);
        }
    }

    /// Withdraws what the waiter asked for.
    pub fn unsubscribe(&self, waiter: &W) {
        self.shared.lock().forget(waiter);
    }

    /// What was last seen of an instance; `None` when it has not been seen since a waiter began to ask.
    pub fn latest(&self, scope: &Scope, instance_id: &str) -> Option<Observation> {
        self.shared.lock().polled.get(scope)?.observations.get(instance_id).cloned()
    }

    /// Why the last poll failed; `None` after a good one.
    pub fn poll_error(&self, scope: &Scope) -> Option<DescribeError> {
        self.shared.lock().polled.get(scope)?.error.clone()
    }
}

impl<W> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Clone + Ord + Hash> State<W> {
    fn forget(&mut self, waiter: &W) {
        if let Some(scope) = self.scope_of.remove(waiter)
            && let Some(polled) = self.polled.get_mut(&scope)
        {
            polled.asks.remove(waiter);
        }
    }

    /// What to ask for now, in calls of at most `ids_max`. `None`: nobody asks any more, and the scope is gone.
    fn begin_poll(&mut self, scope: &Scope, ids_max: usize) -> Option<Vec<Vec<String>>> {
        let Self { polled: scopes, scope_of } = self;
        let polled = scopes.get_mut(scope)?;
        let now = now();
        polled.asks.retain(|waiter, ask| {
            let keep = ask.lapses_at > now;
            if !keep {
                scope_of.remove(waiter);
            }
            keep
        });
        if polled.asks.is_empty() {
            scopes.remove(scope);
            return None;
        }
        Some(polled.begin_poll(now, ids_max))
    }
}

impl<W: Clone + Ord + Hash> Polled<W> {
    fn begin_poll(&mut self, now: Instant, ids_max: usize) -> Vec<Vec<String>> {
        let asked: BTreeSet<&String> = self.asks.values().flat_map(|ask| &ask.ids).collect();
        // What nobody asks for is not looked at, so what was known of it grows old.
        self.observations.retain(|id, _| asked.contains(id));
        self.refused.retain(|id, _| asked.contains(id));
        let good: Vec<String> =
            asked.iter().filter(|id| !self.refused.contains_key(**id)).map(|id| (*id).clone()).collect();
        let mut calls: Vec<_> = good.chunks(ids_max).map(<[String]>::to_vec).collect();
        calls.extend(self.refused.iter().filter(|(_, again_at)| **again_at <= now).map(|(id, _)| vec![id.clone()]));
        calls
    }

    /// Takes in a good answer to a call for `ids`; returns who must look.
    fn publish(&mut self, ids: &[String], sent_at: Timestamp, instances: Vec<Instance>) -> Vec<W> {
        let mut seen: HashMap<String, Arc<Instance>> =
            instances.into_iter().map(|instance| (instance.instance_id.clone(), Arc::new(instance))).collect();
        let changed: HashSet<&String> = ids.iter().filter(|id| self.observe(id, sent_at, seen.remove(*id))).collect();
        let Self { asks, observations, .. } = self;
        let mut woken = Vec::new();
        for (waiter, ask) in asks {
            let is_answered = ask.fresh_after.is_some_and(|after| {
                ask.ids.iter().all(|id| observations.get(id).is_some_and(|observed| observed.sent_at >= after))
            });
            if is_answered {
                ask.fresh_after = None;
            }
            if is_answered || ask.ids.iter().any(|id| changed.contains(id)) {
                woken.push(waiter.clone());
            }
        }
        woken
    }

    /// Returns whether anything that waiters care about is new.
    fn observe(&mut self, id: &str, sent_at: Timestamp, instance: Option<Arc<Instance>>) -> bool {
        let before = self.observations.get(id);
        let after = instance.as_deref();
        let same_row = before.filter(|before| before.instance.as_deref().map(status) == after.map(status));
        let since = same_row.map_or(sent_at, |before| before.since);
        let changed = before.is_none_or(|before| before.instance.as_deref().map(cared_for) != after.map(cared_for));
        self.observations.insert(id.to_owned(), Observation { instance, sent_at, since });
        changed
    }

    /// Takes in how a poll went; returns who must look, which is everybody when an error begins, ends or becomes a person's.
    fn set_error(&mut self, error: Option<DescribeError>) -> Vec<W> {
        let kind = |error: &Option<DescribeError>| error.as_ref().map(DescribeError::is_for_a_person);
        let has_changed = kind(&self.error) != kind(&error);
        self.error = error;
        if has_changed { self.asks.keys().cloned().collect() } else { Vec::new() }
    }
}

fn status(instance: &Instance) -> &InstanceStatus {
    &instance.status
}

/// What a waiter is woken for.
fn cared_for(instance: &Instance) -> impl PartialEq {
    let Instance { status, start_time, locks, key_pair_name, tags, .. } = instance;
    (status, start_time, locks, key_pair_name, tags)
}

/// Interests lapse on tokio's clock: it never jumps, and tests can pause it.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}
