//! The searches: which world, which controller, and how much trouble of each kind.

use std::rc::Rc;

use ecs_password_reset::api::Reason;
use ecs_password_reset::api::ecs_account::StartTimeFollowsReboot;
use ecs_password_reset::api::password_reset::{PasswordResetSpec, PasswordResetStatus};
use ecs_password_reset::api::reset_record::Phase;
use ecs_password_reset::decide::budget::AccountBounds;
use ecs_password_reset::decide::{Hold, ProtocolBounds, history};
use jiff::SignedDuration;
use serde_json::json;

use crate::ecs::{Machine, SETTLE, Status, VALIDITY};
use crate::world::{Budget, History, INSTANCES, Object, Process, World, seconds};

/// The account of both instances.
pub const ACCOUNT: &str = "default";
/// Their region.
pub const REGION: &str = "cn-hangzhou";
/// How long a restart may take, in ticks; shorter than V, as in earnest.
const TIMEOUT: i64 = 7;
/// How long refusals for a state in transition are waited out; longer than M, as in earnest.
const STABLE_STATE_TIMEOUT: i64 = 6;
/// How long an instance has to be Running after a restart.
const MIN_READY: i64 = 1;
/// The account's pause between two restarts of an instance.
pub const MIN_RESTART_INTERVAL: i64 = 2;
/// No two moments further apart than this are distinguished from others that are: the longest sum that the protocol compares
/// with is V + M + `timeoutSeconds`.
pub const HORIZON: i64 = VALIDITY + SETTLE + TIMEOUT + 1;

/// One search.
#[derive(Clone)]
pub struct Setup {
    /// What it is about.
    pub name: &'static str,
    /// Whether a reboot moves StartTime in this world.
    pub follows: bool,
    /// What the controller has learnt of that before.
    pub known: StartTimeFollowsReboot,
    /// How many instances the object names: 1 or 2.
    pub instances: usize,
    /// How the instances are at the beginning.
    pub begin: [Status; 2],
    /// How much trouble there may be.
    pub trouble: Budget,
    /// Whether a process that does not lead is kept from sending.
    pub gate: bool,
    /// The reasons for which a claim may end Unknown, each of which has to be met with.
    pub unknown: &'static [&'static str],
    /// V and M as the controller believes them to be.
    pub bounds: ProtocolBounds,
    /// Whether a write fails when another writer has written since; off only to see what that would break.
    pub compare_and_swap: bool,
    /// Whether a process looks once more before it sends; off only to see what that would break.
    pub consent_before_send: bool,
    /// The object's spec.
    pub spec: PasswordResetSpec,
    /// Whether it has a status. It is written together with each record: what is restored in the moment between is in
    /// "What stays possible".
    pub has_status: bool,
    /// The hold for a Secret that is gone.
    pub no_secret: Hold,
    /// The tokens of its two runIDs.
    pub tokens: [Vec<String>; 2],
    /// The account's pause between two restarts.
    pub min_restart_interval_seconds: u32,
    /// How many instances of the account may be away at once.
    pub account: AccountBounds,
    /// Whether a changed Secret asks for a run.
    pub resets_on_change: bool,
}

impl Setup {
    /// A search with both instances Running, in a world whose StartTime follows reboots, as the controller knows.
    pub fn new(name: &'static str, trouble: Budget) -> Self {
        Self {
            name,
            follows: true,
            known: StartTimeFollowsReboot::Observed,
            instances: 2,
            begin: [Status::Running, Status::Running],
            trouble,
            gate: false,
            unknown: &[],
            bounds: ProtocolBounds {
                request_validity: SignedDuration::from_secs(i64::from(seconds(VALIDITY))),
                restart_settle: SignedDuration::from_secs(i64::from(seconds(SETTLE))),
            },
            compare_and_swap: true,
            consent_before_send: true,
            spec: spec(1),
            has_status: false,
            no_secret: Hold::new(Reason::SecretNotFound, ""),
            tokens: [history::tokens(Some("1"), None), history::tokens(Some("2"), None)],
            min_restart_interval_seconds: seconds(MIN_RESTART_INTERVAL),
            account: AccountBounds::default(),
            resets_on_change: false,
        }
    }

    /// The same with both instances away at once.
    pub fn both_at_once(self) -> Self {
        Self { spec: spec(2), ..self }
    }

    /// The same where the object lets both be away at once, and the account one.
    pub fn one_of_account(self) -> Self {
        Self { spec: spec(2), account: AccountBounds { max: Some(1), max_per_zone: None }, ..self }
    }

    /// How many instances may be away at once.
    pub fn most_away(&self) -> u32 {
        self.spec.max_unavailable(2).min(self.account.max.unwrap_or(u32::MAX))
    }

    /// The same with one instance.
    pub fn alone(self) -> Self {
        Self { instances: 1, ..self }
    }

    /// The same with a status of the object, and a backup of it and of the records.
    pub fn backed_up(self) -> Self {
        Self { has_status: true, ..self }
    }

    /// The same where a changed Secret asks for a run.
    pub fn on_change(self) -> Self {
        Self { resets_on_change: true, ..self }
    }

    /// The same in a world whose StartTime does not follow reboots.
    pub fn unmoved(self) -> Self {
        Self { follows: false, known: StartTimeFollowsReboot::Unknown, ..self }
    }

    /// The same in a world whose StartTime follows reboots, of which the controller knows nothing yet.
    pub fn unlearnt(self) -> Self {
        Self { known: StartTimeFollowsReboot::Unknown, ..self }
    }

    /// The same with instances that are so at the beginning.
    pub fn beginning(self, begin: [Status; 2]) -> Self {
        Self { begin, ..self }
    }

    /// The same where claims may end Unknown for these reasons, and do.
    pub fn unknown(self, unknown: &'static [&'static str]) -> Self {
        Self { unknown, ..self }
    }

    /// The phases that the search has to come to: one that does not has searched something else than what it is for.
    pub fn must_reach(&self) -> Vec<Phase> {
        let begin = &self.begin[..self.instances];
        let met = |so: bool, phases: &[Phase]| if so { phases.to_vec() } else { Vec::new() };
        let restarted = [Phase::RestartRequested, Phase::Restarting, Phase::InEffect];
        [
            vec![Phase::SettingPassword, Phase::PasswordSet],
            met(begin.contains(&Status::Running), &restarted),
            met(begin.contains(&Status::Stopped) || self.trouble.outsiders > 0, &[Phase::EffectiveAtNextStart]),
            met(self.trouble.refusals > 0 || self.trouble.releases > 0, &[Phase::Failed]),
            met(self.trouble.bans > 0, &[Phase::Idle, Phase::Failed]),
            met(!self.unknown.is_empty(), &[Phase::Unknown]),
        ]
        .concat()
    }

    /// The states that it begins in: on a full minute, and half a minute later.
    pub fn roots(&self) -> Vec<World> {
        [0, 1].map(|now| self.root(now)).to_vec()
    }

    fn root(&self, now: i64) -> World {
        World {
            now,
            records: [None, None],
            machines: self.begin.map(Machine::new),
            copies: Vec::new(),
            processes: ["p1", "p2"].map(|id| Process::new(id.to_owned())),
            lead: 0,
            behind: [None, None],
            object: Object { exists: true, uid: 0, run: 0, retry: 0, resolution: None, held: false },
            status: Rc::new(PasswordResetStatus::default()),
            backup: None,
            secret: Some(0),
            histories: [History::default(), History::default()],
            log: [Vec::new(), Vec::new()],
            left: self.trouble,
            names: 2,
            broken: None,
        }
    }
}

fn spec(max_unavailable: i32) -> PasswordResetSpec {
    let restart = json!({
        "maxUnavailable": max_unavailable, "minReadySeconds": seconds(MIN_READY), "timeoutSeconds": seconds(TIMEOUT),
    });
    let spec = json!({
        "regionID": REGION, "instanceIDs": INSTANCES, "passwordSecretRef": {"name": "pw"}, "restart": restart,
        "maxFailures": 2, "stableStateTimeoutSeconds": seconds(STABLE_STATE_TIMEOUT),
    });
    serde_json::from_value(spec).unwrap()
}
