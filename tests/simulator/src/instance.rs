//! An instance as tests and seed files describe it: attributes, and how long its transitions take.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access_key::default_account;

/// The lifecycle status that `DescribeInstances` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Being created; becomes Starting.
    Pending,
    /// On the way to Running.
    Starting,
    /// Stable: on.
    Running,
    /// On the way to Stopped, or in a reboot.
    Stopping,
    /// Stable: off.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// The operating system's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OsType {
    /// `linux`
    Linux,
    /// `windows`
    Windows,
}

/// What a reboot looks like from outside. The documents disagree (reference text of `RebootInstance`: Starting; of
/// `RebootInstances` and the state-change event: Stopping), so both can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RebootShows {
    /// Running, Starting, Running.
    Starting,
    /// Running, Stopping, Running.
    Stopping,
}

impl RebootShows {
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Starting => Status::Starting,
            Self::Stopping => Status::Stopping,
        }
    }
}

/// An instance. Lengths of time are in seconds, fractions allowed; 1e18 means "never".
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Instance {
    /// Such as `i-bp1aaaaaaaaaaaaaaaaa`.
    pub instance_id: String,
    /// Whose it is; no other account sees it. Default `1234567890123456`.
    #[serde(default = "default_account")]
    pub account_id: String,
    /// Where it is; it is seen from no other region.
    pub region_id: String,
    /// The letter of its zone. Default `a`.
    #[serde(default = "zone_a")]
    pub zone: String,
    /// Default: the id.
    #[serde(default)]
    pub instance_name: String,
    /// At the start. Default Running.
    #[serde(default = "running")]
    pub status: Status,
    /// Default linux.
    #[serde(default = "linux")]
    pub os_type: OsType,
    /// The bound key pair; empty: none.
    #[serde(default)]
    pub key_pair_name: String,
    /// Key to value.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Lock reasons: `security`, `financial`, `Recycling`, …
    #[serde(default)]
    pub locks: Vec<String>,
    /// When a subscription ends; past: expired. `None`: pay-as-you-go.
    #[serde(default)]
    pub expired_time: Option<Timestamp>,
    /// Default empty.
    #[serde(default)]
    pub resource_group_id: String,
    /// `ImageOptions.LoginAsNonRoot`: the default logon user is ecs-user and not root.
    #[serde(default)]
    pub login_as_non_root: bool,
    /// Default: an hour before it was added; for Pending and Starting none. For Starting: when that start was begun.
    #[serde(default)]
    pub start_time: Option<Timestamp>,
    /// Pending to Starting. Default 1.
    #[serde(default = "one_second")]
    pub pending_takes_seconds: f64,
    /// Starting to Running. Default 1.
    #[serde(default = "one_second")]
    pub start_takes_seconds: f64,
    /// Stopping to Stopped. Default 1.
    #[serde(default = "one_second")]
    pub stop_takes_seconds: f64,
    /// How long an accepted reboot is still seen Running. Default 0.5.
    #[serde(default = "half_a_second")]
    pub reboot_begins_after_seconds: f64,
    /// How long it is then away from Running. Default 1.
    #[serde(default = "one_second")]
    pub reboot_takes_seconds: f64,
    /// Default Starting.
    #[serde(default = "shows_starting")]
    pub reboot_shows: RebootShows,
    /// Whether a reboot moves `StartTime`; ECS does not say. Default true.
    #[serde(default = "yes")]
    pub start_time_follows_reboot: bool,
    /// Whether transitional states last until released. Default false.
    #[serde(default)]
    pub held: bool,
}

fn zone_a() -> String {
    "a".to_owned()
}

fn running() -> Status {
    Status::Running
}

fn linux() -> OsType {
    OsType::Linux
}

fn one_second() -> f64 {
    1.0
}

fn half_a_second() -> f64 {
    0.5
}

fn shows_starting() -> RebootShows {
    RebootShows::Starting
}

fn yes() -> bool {
    true
}

impl Instance {
    /// A Linux instance in `status` with every default.
    pub fn new(instance_id: &str, region_id: &str, status: Status) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            account_id: default_account(),
            region_id: region_id.to_owned(),
            zone: zone_a(),
            instance_name: String::new(),
            status,
            os_type: linux(),
            key_pair_name: String::new(),
            tags: BTreeMap::new(),
            locks: Vec::new(),
            expired_time: None,
            resource_group_id: String::new(),
            login_as_non_root: false,
            start_time: None,
            pending_takes_seconds: one_second(),
            start_takes_seconds: one_second(),
            stop_takes_seconds: one_second(),
            reboot_begins_after_seconds: half_a_second(),
            reboot_takes_seconds: one_second(),
            reboot_shows: shows_starting(),
            start_time_follows_reboot: yes(),
            held: false,
        }
    }

    /// A Running one.
    pub fn running(instance_id: &str, region_id: &str) -> Self {
        Self::new(instance_id, region_id, Status::Running)
    }

    /// A Stopped one.
    pub fn stopped(instance_id: &str, region_id: &str) -> Self {
        Self::new(instance_id, region_id, Status::Stopped)
    }

    /// One that becomes Running after [`Instance::start_takes_seconds`].
    pub fn starting(instance_id: &str, region_id: &str) -> Self {
        Self::new(instance_id, region_id, Status::Starting)
    }

    /// Gives it to another account.
    #[must_use]
    pub fn of_account(mut self, account_id: &str) -> Self {
        account_id.clone_into(&mut self.account_id);
        self
    }

    /// Puts it into a zone, by its letter.
    #[must_use]
    pub fn in_zone(mut self, letter: &str) -> Self {
        letter.clone_into(&mut self.zone);
        self
    }

    /// Names it.
    #[must_use]
    pub fn named(mut self, instance_name: &str) -> Self {
        instance_name.clone_into(&mut self.instance_name);
        self
    }

    /// Makes it a Windows machine.
    #[must_use]
    pub fn windows(mut self) -> Self {
        self.os_type = OsType::Windows;
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tagged(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a lock.
    #[must_use]
    pub fn locked(mut self, reason: &str) -> Self {
        self.locks.push(reason.to_owned());
        self
    }

    /// Binds a key pair.
    #[must_use]
    pub fn with_key_pair(mut self, name: &str) -> Self {
        name.clone_into(&mut self.key_pair_name);
        self
    }

    /// How its reboots go: seconds still seen Running, then seconds away.
    #[must_use]
    pub fn rebooting(mut self, begins_after_seconds: f64, takes_seconds: f64) -> Self {
        self.reboot_begins_after_seconds = begins_after_seconds;
        self.reboot_takes_seconds = takes_seconds;
        self
    }

    /// Holds it in transitional states from the start.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    pub(crate) fn is_locked(&self, reason: &str) -> bool {
        self.locks.iter().any(|lock| lock.eq_ignore_ascii_case(reason))
    }

    /// Overdue or past its subscription: power operations are refused.
    pub(crate) fn is_in_arrears(&self, now: Timestamp) -> bool {
        self.is_locked("financial") || self.expired_time.is_some_and(|end| end <= now)
    }
}
