//! Which objects wait for a slot of an account or of one of its zones, in the order in which they came. It decides nothing: a plan is given
//! how many have waited longer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// The objects that wait, by queue.
#[derive(Default)]
pub struct Turns(Mutex<State>);

/// The name of the queue for an account's slots, in all or in a zone.
pub fn queue(account: &str, zone: Option<&str>) -> String {
    zone.map_or_else(|| account.to_owned(), |zone| format!("{account}/{zone}"))
}

#[derive(Default)]
struct State {
    last: u64,
    waiting: HashMap<String, BTreeMap<String, u64>>,
}

impl Turns {
    /// How many objects have waited longer than this one in a queue.
    pub fn older(&self, queue: &str, object: &str) -> usize {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = state.waiting.get(queue) else { return 0 };
        let own = waiting.get(object).copied().unwrap_or(u64::MAX);
        waiting.values().filter(|since| **since < own).count()
    }

    /// Notes in which queues an object waits, and in no others. `has_taken`: it has just taken a slot, and comes last again.
    pub fn wait(&self, object: &str, queues: &BTreeSet<String>, has_taken: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last += 1;
        let last = state.last;
        // Whoever waits for another slot than before has waited all the same.
        let mut since = last;
        for (queue, waiting) in &mut state.waiting {
            since = waiting.get(object).map_or(since, |known| since.min(*known));
            if !queues.contains(queue) {
                waiting.remove(object);
            }
        }
        let since = if has_taken { last } else { since };
        for queue in queues {
            state.waiting.entry(queue.clone()).or_default().insert(object.to_owned(), since);
        }
        state.waiting.retain(|_, waiting| !waiting.is_empty());
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, object: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.retain(|_, waiting| {
            waiting.remove(object);
            !waiting.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Turns;

    #[test]
    fn the_one_that_has_waited_longest_comes_first() {
        let turns = Turns::default();
        let of = |queues: &[&str]| queues.iter().map(|queue| (*queue).to_owned()).collect::<BTreeSet<String>>();
        for object in ["a", "b", "c"] {
            turns.wait(object, &of(&["default", "default/z"]), false);
        }
        let older = |object| turns.older("default", object);
        assert_eq!([older("a"), older("b"), older("c"), older("new")], [0, 1, 2, 3]);
        turns.wait("b", &of(&["default", "default/z"]), false);
        assert_eq!(older("b"), 1, "to wait on keeps the place");
        turns.wait("a", &of(&["default"]), true);
        assert_eq!([older("b"), older("c"), older("a")], [0, 1, 2], "who has taken one comes last");
        assert_eq!(turns.older("default/z", "b"), 0, "it does not wait in the zone any more");
        turns.wait("b", &of(&["default/z"]), false);
        turns.wait("b", &of(&["default"]), false);
        assert_eq!(older("b"), 0, "it has waited for the zone meanwhile");
        turns.wait("b", &of(&[]), false);
        turns.forget("c");
        assert_eq!((older("a"), turns.older("other", "a")), (0, 0));
    }
}
