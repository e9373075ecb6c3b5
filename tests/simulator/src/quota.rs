//! Flow control: calls per API and region in fixed minutes, as ECS counts them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::answer::Refusal;

/// How many calls of an action one minute holds, and how many the present minute has seen.
pub(crate) struct Quotas {
    per_minute: BTreeMap<String, u32>,
    tell_retry_after: bool,
    used: BTreeMap<(String, String), Window>,
}

struct Window {
    minute: i64,
    calls: u32,
}

impl Quotas {
    pub(crate) fn new(per_minute: BTreeMap<String, u32>, tell_retry_after: bool) -> Self {
        Self { per_minute, tell_retry_after, used: BTreeMap::new() }
    }

    /// Sets or lifts (`None`) the quota of an action.
    pub(crate) fn set(&mut self, action: &str, calls: Option<u32>) {
        match calls {
            Some(calls) => drop(self.per_minute.insert(action.to_owned(), calls)),
            None => drop(self.per_minute.remove(action)),
        }
    }

    /// Counts one call. A throttled call is not counted: it costs ECS nothing.
    pub(crate) fn take(&mut self, now: Timestamp, action: &str, region: &str) -> Result<(), Refusal> {
        let Some(&limit) = self.per_minute.get(action) else { return Ok(()) };
        let minute = now.as_second().div_euclid(60);
        let window = self.used.entry((action.to_owned(), region.to_owned())).or_insert(Window { minute, calls: 0 });
        if window.minute != minute {
            *window = Window { minute, calls: 0 };
        }
        if window.calls < limit {
            window.calls += 1;
            return Ok(());
        }
        let left_milliseconds = 60_000 - now.as_millisecond().rem_euclid(60_000);
        let told = self.tell_retry_after.then(|| u64::try_from(left_milliseconds).unwrap_or_default());
        Err(Refusal::throttled(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_a_fixed_minute_of_one_action_in_one_region() {
        let mut quotas = Quotas::new(BTreeMap::from([("RebootInstance".to_owned(), 2)]), true);
        let mut take = |time: &str, action: &str, region: &str| quotas.take(at(time), action, region);
        assert!(take("2026-11-24T05:21:58Z", "RebootInstance", "cn-hangzhou").is_ok());
        assert!(take("2026-11-24T05:21:59Z", "RebootInstance", "cn-hangzhou").is_ok());
        let refused = take("2026-11-24T05:21:59Z", "RebootInstance", "cn-hangzhou").unwrap_err();
        assert_eq!((refused.code.as_str(), refused.retry_after_milliseconds), ("Throttling.User", Some(1000)));
        assert!(take("2026-11-24T05:21:59Z", "RebootInstance", "cn-beijing").is_ok());
        assert!(take("2026-11-24T05:21:59Z", "DescribeInstances", "cn-hangzhou").is_ok());
        assert!(take("2026-11-24T05:22:00Z", "RebootInstance", "cn-hangzhou").is_ok());
    }
}
