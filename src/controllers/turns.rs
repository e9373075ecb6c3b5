//! Which objects wait for a slot of an account, in the order in which they came. It decides nothing: a plan is told how many have waited
//! longer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// The objects that wait, by account.
#[derive(Default)]
pub struct Turns(Mutex<State>);

#[derive(Default)]
struct State {
    last: u64,
    waiting: HashMap<String, BTreeMap<String, u64>>,
}

impl Turns {
    /// How many objects have waited longer than this one for a slot of an account.
    #[must_use]
    pub fn older(&self, account: &str, object: &str) -> usize {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = state.waiting.get(account) else { return 0 };
        let own = waiting.get(object).copied().unwrap_or(u64::MAX);
        waiting.values().filter(|since| **since < own).count()
    }

    /// Notes that an object waits. `has_taken`: it has just taken one, and comes last again.
    pub fn wait(&self, account: &str, object: &str, has_taken: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last += 1;
        let last = state.last;
        let since = state.waiting.entry(account.to_owned()).or_default().entry(object.to_owned()).or_insert(last);
        if has_taken {
            *since = last;
        }
    }

    /// Notes that an object does not wait any more.
    pub fn leave(&self, account: &str, object: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = state.waiting.get_mut(account) {
            waiting.remove(object);
            if waiting.is_empty() {
                state.waiting.remove(account);
            }
        }
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
    use super::Turns;

    #[test]
    fn the_one_that_has_waited_longest_comes_first() {
        let turns = Turns::default();
        for object in ["a", "b", "c"] {
            turns.wait("default", object, false);
        }
        let older = |object| turns.older("default", object);
        assert_eq!([older("a"), older("b"), older("c"), older("new")], [0, 1, 2, 3]);
        turns.wait("default", "b", false);
        assert_eq!(older("b"), 1, "to wait on keeps the place");
        turns.wait("default", "a", true);
        assert_eq!([older("b"), older("c"), older("a")], [0, 1, 2], "who has taken one comes last");
        turns.leave("default", "b");
        turns.forget("c");
        assert_eq!((older("a"), turns.older("other", "a")), (0, 0));
    }
}
