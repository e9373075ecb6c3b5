//! Faults to order: what goes wrong, for which calls, how often.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::answer::Refusal;

/// What goes wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// Refused with this answer, after the signature was verified and before any effect.
    Refuse {
        /// Such as `InternalError`.
        code: String,
        /// HTTP status.
        http: u16,
        /// For people.
        #[serde(default)]
        message: String,
    },
    /// `Throttling.User`, whatever the quota says.
    Throttle {
        /// Header `x-acs-retry-after`, in milliseconds; `None`: not sent.
        #[serde(default)]
        retry_after_milliseconds: Option<u64>,
    },
    /// The request reaches ECS so much later, also when the client has given up by then, and is judged then.
    Delay {
        /// How late, in milliseconds.
        milliseconds: u64,
    },
    /// Judged as usual, then the connection is closed without an answer.
    LoseAnswerAfterEffect,
    /// The connection is closed and ECS never sees the request.
    LoseRequest,
    /// The connection is closed at once; the request reaches ECS so much later and is judged then, so one whose
    /// Timestamp is too old by then is refused.
    LateEffect {
        /// How late, in seconds of ECS's clock.
        after_seconds: f64,
    },
    /// Something before ECS answers, such as a proxy with HTML.
    RawAnswer {
        /// HTTP status.
        http: u16,
        /// As it is.
        body: String,
        /// Whether ECS saw and judged the request first. Default false.
        #[serde(default)]
        after_effect: bool,
    },
    /// `DescribeInstances` shows status and `StartTime` as they were so many seconds ago, not before the instance was added.
    StaleDescribe {
        /// How old, in seconds.
        seconds: f64,
    },
    /// `DescribeInstances` shows nothing.
    EmptyDescribe,
}

impl Fault {
    /// The refusal that it orders, if it orders one.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refuse { code, http, message } => Some(Refusal::new(code, *http, message)),
            Self::Throttle { retry_after_milliseconds } => Some(Refusal::throttled(*retry_after_milliseconds)),
            _ => None,
        }
    }

    /// The name in the journal.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Refuse { .. } => "Refuse",
            Self::Throttle { .. } => "Throttle",
            Self::Delay { .. } => "Delay",
            Self::LoseAnswerAfterEffect => "LoseAnswerAfterEffect",
            Self::LoseRequest => "LoseRequest",
            Self::LateEffect { .. } => "LateEffect",
            Self::RawAnswer { .. } => "RawAnswer",
            Self::StaleDescribe { .. } => "StaleDescribe",
            Self::EmptyDescribe => "EmptyDescribe",
        }
    }
}

/// A fault and the calls that it meets. Rules wait in a queue; the first that fits a call is used up by one,
/// also if ECS then refuses that call.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The action, or `*`. Those of the metadata service: `MetadataToken`, `MetadataRole`, `MetadataCredentials`.
    pub action: String,
    /// Only calls that name this instance; `None`: all.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// How many calls. Default 1.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens to them.
    pub fault: Fault,
}

fn once() -> u32 {
    1
}

impl Rule {
    /// The next call of `action` (`*`: of any), on any instance.
    pub fn once(action: &str, fault: Fault) -> Self {
        Self { action: action.to_owned(), instance_id: None, times: 1, fault }
    }

    /// Only calls that name `instance_id`.
    #[must_use]
    pub fn on(mut self, instance_id: &str) -> Self {
        self.instance_id = Some(instance_id.to_owned());
        self
    }

    /// The next `times` calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    fn fits(&self, action: &str, ids: &[String]) -> bool {
        (self.action == "*" || self.action == action) && self.instance_id.as_ref().is_none_or(|id| ids.contains(id))
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Faults(VecDeque<Rule>);

impl Faults {
    pub(crate) fn push(&mut self, rule: Rule) {
        if rule.times > 0 {
            self.0.push_back(rule);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to this call.
    pub(crate) fn take(&mut self, action: &str, ids: &[String]) -> Option<Fault> {
        let position = self.0.iter().position(|rule| rule.fits(action, ids))?;
        let rule = self.0.get_mut(position)?;
        rule.times -= 1;
        if rule.times > 0 { Some(rule.fault.clone()) } else { self.0.remove(position).map(|rule| rule.fault) }
    }
}
