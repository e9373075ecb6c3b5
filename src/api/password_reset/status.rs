//! What the controller writes of a `PasswordReset`: its run, a row for each instance, and the counts. Behaves in no way.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::Reason;
use crate::api::reset_record::Fingerprint;

/// What the controller has observed and done. Times are on the clock of ECS, which may differ from yours by some seconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = crate::api::conditions::unseen_status()))]
pub struct PasswordResetStatus {
    /// The generation of the spec that this status speaks of; -1 before the controller has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Succeeded, Reconciling, Stalled, AccountReady, PasswordReady, TargetsResolved and SecretInSync. Wait with
    /// `kubectl wait --for=condition=Ready`. Never both Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,

    /// The run in progress, or the last one. Absent until the first claim: a run begins with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,

    /// What the rows below answer: the object's last request, whether a run has begun for it or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Requested>,

    /// The name of the ECSAccount in use, the default applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,

    /// Instances done of all, for example `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,

    /// How many instances are in each state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,

    /// The instances that the selector matched for the last request; absent = the object has no selector, or it was not looked up
    /// yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<ResolvedTargets>,

    /// When the run will have ended, by how long restarts have taken and how many slots there are. Absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_time: Option<Time>,

    /// The maintenance window that is open, or the next one. Absent = the object has none, or is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_window: Option<NextWindow>,

    /// When the object goes on by itself at the latest, where that is known: the end of what the rows below wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_transition_time: Option<Time>,

    /// The value of the annotation ecs.password-reset.dev/rerun-requested-at that the rows answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rerun: Option<String>,

    /// One row for each instance, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<InstanceRow>,
}

/// What a selector matched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedTargets {
    /// How many instances matched and may be reset from the object's namespace.
    pub matched: u32,
    /// They, in the order of their ids. Absent = none matched, or more than `maxTargets`.
    #[serde(rename = "instanceIDs", default, skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
    /// The first of them, where more than `maxTargets` matched.
    #[serde(rename = "firstInstanceIDs", default, skip_serializing_if = "Vec::is_empty")]
    pub first_instance_ids: Vec<String>,
    /// When they were looked up.
    pub resolved_time: Time,
    /// Digest of the selector and the account.
    pub selector: String,
    /// Digests of the request that they were looked up for.
    pub tokens: Vec<String>,
    /// With `onSecretChange: Reset`, the fingerprint of the password that they were looked up for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

/// A maintenance window.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct NextWindow {
    /// When it opens.
    pub start: Time,
    /// When it closes.
    pub end: Time,
}

/// What an object asks for, as digests. Together with the ended rows it is a second memory, should the records be lost.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// Digests of the `runID` and the rerun annotation.
    pub tokens: Vec<String>,
    /// Digest of the last retry annotation; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// With `onSecretChange: Reset`, the fingerprint of the last password that was asked for; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

/// One run: why and when its instances were, or are being, reset. It begins with its first claim.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Counts the runs of this object, from 1.
    pub number: i64,
    /// What asked for it.
    pub trigger: Trigger,
    /// The `runID` of the spec when it began; absent = there was none.
    #[serde(rename = "runID", default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Digests of the `runID` and the rerun annotation that this run answers.
    pub tokens: Vec<String>,
    /// Digest of the retry annotation that this run has taken up; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// The keyed fingerprint of the run's password: that of the first claim that ECS acknowledged. A run has one password;
    /// when the Secret's value changes after that, nothing more begins under this run. Absent = none was acknowledged yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// When it began: the time of its first claim.
    pub start_time: Time,
    /// When its last instance ended; absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

/// What asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Trigger {
    /// The object is new.
    Created,
    /// A `runID` that was not run yet.
    RunID,
    /// The annotation ecs.password-reset.dev/rerun-requested-at.
    RerunRequested,
    /// The annotation ecs.password-reset.dev/retry-requested-at, or a changed password after a failure.
    Retry,
    /// An instance was added to the list.
    InstanceAdded,
    /// A changed value in the Secret, with `onSecretChange: Reset`.
    SecretChanged,
    /// A value of another version of this API.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// How many instances are in each state; `inProgress` is everything between Pending and an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All instances.
    pub total: u32,
    /// Not begun.
    pub pending: u32,
    /// Being waited for, set or restarted.
    pub in_progress: u32,
    /// Done: the password is in effect.
    pub in_effect: u32,
    /// Done: the password takes effect at the next start.
    pub effective_at_next_start: u32,
    /// Done: another PasswordReset has since reset the instance.
    pub superseded: u32,
    /// Failed for a definite reason.
    pub failed: u32,
    /// The outcome of a request cannot be proven.
    pub unknown: u32,
    /// Not begun by `notAfter`; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<u32>,
    /// `failed` and `unknown` together: those that ask for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub troubled: Option<u32>,
}

/// One instance's row.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRow {
    /// The instance's id.
    #[serde(rename = "instanceID")]
    pub instance_id: String,
    /// Its `InstanceName`, as ECS last showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `linux` or `windows`, as ECS says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<String>,
    /// The key pair bound to the instance. Resetting the password re-enables password logon beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_pair_name: Option<String>,
    /// The instance's status when it was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_status: Option<String>,
    /// What the controller is going to do, as far as it can tell now; absent while a claim is at work, since `state` tells then.
    // kube keeps the text of an optional enum and drops this field's: the default would not be explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PlannedAction")]
    pub planned_action: Option<PlannedAction>,
    /// Where the reset of this instance stands.
    pub state: State,
    /// Why, as one word for programs.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// When this state began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_time: Option<Time>,
    /// When ECS acknowledged the password, on ECS's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_set_time: Option<Time>,
    /// The RequestId of the `ModifyInstanceAttribute` call, which Alibaba's support and ActionTrail ask for.
    #[serde(rename = "passwordRequestID", default, skip_serializing_if = "Option::is_none")]
    pub password_request_id: Option<String>,
    /// The RequestId of the `RebootInstance` call.
    #[serde(rename = "restartRequestID", default, skip_serializing_if = "Option::is_none")]
    pub restart_request_id: Option<String>,
    /// The number of this object's last claim on the instance, which the annotation
    /// ecs.password-reset.dev/resolve-unknown names; absent = it was never claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<i64>,
    /// How many attempts at setting the password or restarting were made; 0 before this run's claim.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape that serde asks for
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What the controller is going to do with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PlannedAction {
    /// Set the password and restart.
    ResetAndRestart,
    /// Set the password only: the instance is Stopped or restarts are not wanted.
    ResetOnly,
    /// Nothing: it is done.
    Nothing,
    /// Nothing until what `reason` names is out of the way.
    Blocked,
    /// A value of another version of this API.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// Where the reset of one instance stands, in order of progress; the last six are ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum State {
    /// Not begun.
    Pending,
    /// The instance is not there, locked or in transition; waited for until `stableStateTimeoutSeconds`.
    WaitingForStableState,
    /// Claimed; the password is being sent.
    SettingPassword,
    /// ECS has acknowledged the password.
    PasswordSet,
    /// A restart was requested.
    Restarting,
    /// End: the password is in effect, since a start of the instance after the password was set has been observed.
    InEffect,
    /// End: the password is set and takes effect at the next start through ECS.
    EffectiveAtNextStart,
    /// End: it failed, for a definite reason.
    Failed,
    /// End: the outcome of a request cannot be proven; a person decides.
    Unknown,
    /// End: another `PasswordReset` has since reset this instance.
    Superseded,
    /// End: it was not begun by `notAfter`, and nothing was done to it.
    Expired,
    /// A value of another version of this API.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

impl InstanceRow {
    /// The row's reason; `None`: one that this version does not know.
    pub fn reason(&self) -> Option<Reason> {
        Reason::parse(&self.reason)
    }
}

impl PasswordResetStatus {
    /// What the rows answer. A status of before there was such a field has it in its run.
    pub fn requested(&self) -> Option<Requested> {
        let of_run = |run: &Run| Requested { tokens: run.tokens.clone(), retry: run.retry.clone(), fingerprint: None };
        self.requested.clone().or_else(|| self.run.as_ref().map(of_run))
    }

    /// The row of an instance.
    pub fn row(&self, instance_id: &str) -> Option<&InstanceRow> {
        self.instances.iter().find(|row| row.instance_id == instance_id)
    }
}

impl State {
    /// Whether nothing more happens to the instance in this run.
    pub fn has_ended(self) -> bool {
        matches!(
            self,
            Self::InEffect
                | Self::EffectiveAtNextStart
                | Self::Failed
                | Self::Unknown
                | Self::Superseded
                | Self::Expired
        )
    }
}
