//! `ResetRecord`: one object per physical instance, in the controller's namespace; the write-ahead ledger, the lock and
//! the memory.
//!
//! `spec` is the last claim, `status` its progress. The kind has **no status subresource**: both are one document, so
//! that one write is one atomic step. Only the controller writes it, by `create` or by `replace` with resourceVersion.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::password_reset::{InstanceRow, RestartPolicy};

/// The last claim on an instance: everything that is needed to finish it, whatever becomes of the object behind it.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "ecs.password-reset.dev",
    version = "v1alpha1",
    kind = "ResetRecord",
    plural = "resetrecords",
    shortname = "rr",
    category = "ecs-password-reset",
    namespaced,
    status = "ResetRecordStatus",
    derive = "PartialEq",
    doc = "ResetRecord is the controller's memory of one ECS instance: who last claimed it, how far that went, and which runs it has seen. It is written by the controller alone; deleting one makes the controller forget.",
    validation = Rule::new("!self.spec.instanceID.startsWith('ay') && self.metadata.name == self.spec.regionID + '.' + (self.spec.instanceID.startsWith('AY') ? 'ay' + self.spec.instanceID.substring(2) : self.spec.instanceID)")
        .message("must be of the instance that it is named after: its name is <regionID>.<instanceID>, with 'ay' for a leading 'AY'"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Owner Namespace", type_ = "string", json_path = ".spec.owner.namespace"),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner.name"),
    printcolumn(name = "Claim", type_ = "integer", json_path = ".spec.claim"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ResetRecordSpec {
    /// Counts the claims on this instance, from 1.
    pub claim: i64,
    /// When the claim was written, on ECS's clock.
    pub claim_time: Time,
    /// The PasswordReset that made it.
    pub owner: Owner,
    /// The ECSAccount through which the instance is reached.
    pub account_name: String,
    /// The instance's region. The record is named `<regionID>.<instanceID>`, with `ay` for a leading `AY`; one whose name says
    /// otherwise is never driven.
    #[serde(rename = "regionID")]
    pub region_id: String,
    /// The instance's id.
    #[serde(rename = "instanceID")]
    pub instance_id: String,
    /// Digests of what asked for the run.
    pub tokens: Vec<String>,
    /// Digest of the owner's retry annotation at the claim; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// The keyed fingerprint of the password that this claim sends.
    pub fingerprint: Fingerprint,
    /// Where that password is read from.
    pub password_secret_ref: ClaimedSecretRef,
    /// Whether a Running instance is restarted.
    pub restart_policy: RestartPolicy,
    /// How many instances of the owner may be away at once, percentages resolved.
    pub max_unavailable: u32,
    /// The zone of the instance; absent = the account had no `maxUnavailablePerZone` at the claim.
    #[serde(rename = "zoneID", default, skip_serializing_if = "Option::is_none")]
    pub zone_id: Option<String>,
    /// How long the instance has to stay Running after its restart before the slot is free, in seconds.
    pub min_ready_seconds: u32,
    /// How long a restart may take from its acceptance, and how long after the password was set it may be requested, in seconds.
    pub timeout_seconds: u32,
    /// How long after the claim the password may still be sent, in seconds.
    pub stable_state_timeout_seconds: u32,
    /// When the owner's maintenance window closes in which the claim was made; absent = the owner had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_end: Option<Time>,
    /// The instance's status when it was claimed: `Running` or `Stopped`.
    pub state_seen: String,
}

/// Who made a claim. The same namespace and name is the same owner, also after it was deleted and applied again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub struct Owner {
    /// The namespace of the `PasswordReset`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A keyed digest of owner and password; fingerprints under different keys cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fingerprint {
    /// The id of the key.
    #[serde(rename = "keyID")]
    pub key_id: String,
    /// 128 bits in hex.
    pub value: String,
}

/// Where a claimed password is read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub struct ClaimedSecretRef {
    /// The owner's namespace.
    pub namespace: String,
    /// The name of the Secret.
    pub name: String,
    /// The key within it.
    pub key: String,
}

/// How far a claim has come, and what the instance has seen before.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetRecordStatus {
    /// Where the claim stands.
    pub phase: Phase,
    /// The last attempt at a changing call, written before the call is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// Until when, on ECS's clock, a copy of a call whose outcome is not known may still be carried out. Absent = drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered_until: Option<Time>,
    /// What was heard of the call that `unansweredUntil` is about, for people: the HTTP status, code and RequestId of an answer
    /// that does not say whether the call was carried out, or why there was no answer. Absent = nothing was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_outcome: Option<String>,
    /// A definite refusal of the password that came while the outcome of an earlier copy was not known: nothing more is sent, and the
    /// claim ends as Unknown once drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// When ECS acknowledged the password, on ECS's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_acknowledged_at: Option<Time>,
    /// Since when the restart is held back by a suspension or a closed maintenance window; absent = it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_held_since: Option<Time>,
    /// When that was over: `timeoutSeconds` counts from there. Absent = it was never held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_released_at: Option<Time>,
    /// The instance's StartTime as it was read before the restart was requested; present once one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_before: Option<Time>,
    /// When ECS accepted the restart, on ECS's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Time>,
    /// Whether the instance was seen not Running after the restart was accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_running: bool,
    /// What the restart of this instance says on whether StartTime follows reboots; kept for later claims through the same
    /// account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "StartTimeEvidence")]
    pub start_time_evidence: Option<StartTimeEvidence>,
    /// When this instance was last restarted by the controller, whichever claim asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restart_time: Option<Time>,
    /// When the instance had been Running for `minReadySeconds` after its restart; absent = the slot is still held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_time: Option<Time>,
    /// When the controller found that this record had lost its memory, on ECS's clock, for example after a restore from a
    /// backup. An owner that has no entry in `completed` may have had one then: nothing is run for it unless it asks again.
    /// Absent = nothing was ever lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_lost_time: Option<Time>,
    /// This instance's row in the owner's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<InstanceRow>,
    /// What each owner has had done here; oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completed: Vec<OwnerHistory>,
}

/// Where a claim stands; see the drawing in `decide::claim::next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Phase {
    /// No claim, or one that was given back before anything was sent.
    #[default]
    Idle,
    /// The password may be sent.
    SettingPassword,
    /// ECS has acknowledged the password.
    PasswordSet,
    /// A restart may have been sent.
    RestartRequested,
    /// ECS has accepted the restart.
    Restarting,
    /// End: the password is in effect.
    InEffect,
    /// End: the password takes effect at the next start.
    EffectiveAtNextStart,
    /// End: it failed for a definite reason.
    Failed,
    /// End: the outcome of a request cannot be proven.
    Unknown,
    /// A value of another version of this API: nothing is sent, nothing is claimed.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// What one accepted restart says on whether StartTime follows reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum StartTimeEvidence {
    /// The instance came back with a StartTime from after the request.
    Moved,
    /// It left Running and came back, and the StartTime stayed.
    NotMoved,
    /// Neither can be said: it was seen Stopped, or something else started it.
    Inconclusive,
    /// A value of another version of this API.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// One attempt at a changing call, stored before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// A random id, by which a write whose answer was lost is recognised.
    pub id: String,
    /// The process that wrote it; no other may send it.
    pub process: String,
    /// Counts the attempts of this phase in the claim, from 1.
    pub number: u32,
    /// The Timestamp that is signed, on ECS's clock.
    pub timestamp: Time,
    /// `unansweredUntil` as this attempt found it; put back once an answer has said what became of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_unanswered_until: Option<Time>,
}

/// What one owner has had done to the instance.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct OwnerHistory {
    /// The owner; its uid is that of the claim.
    pub owner: Owner,
    /// Digests of all that was run, the newest last.
    pub tokens: Vec<String>,
    /// Digest of the owner's retry annotation at the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// The fingerprint of the password that was set.
    pub fingerprint: Fingerprint,
    /// When this owner last had a password set here, by this run or an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_password_set_time: Option<Time>,
    /// How it ended.
    pub row: InstanceRow,
}

impl Owner {
    /// Whether both are the same object by namespace and name.
    pub fn is(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.name == other.name
    }
}

impl Phase {
    /// Whether the claim has ended; `Idle` counts, since a new claim may follow.
    pub fn has_ended(self) -> bool {
        match self {
            Self::Idle | Self::InEffect | Self::EffectiveAtNextStart | Self::Failed | Self::Unknown => true,
            Self::SettingPassword
            | Self::PasswordSet
            | Self::RestartRequested
            | Self::Restarting
            | Self::Unrecognized => false,
        }
    }

    /// Whether the claim is in flight, in a phase that this version knows.
    pub fn is_at_work(self) -> bool {
        !self.has_ended() && self != Self::Unrecognized
    }
}

/// An instance's id as it appears in its record's name. Kubernetes takes no capitals in a name, and ids from before 2014 begin
/// with `AY`: that is written `ay`. An id that begins with `ay`, which ECS has never given out, would be written `AY`, and the API server
/// refuses such a name: no two ids have one name, whatever an id may be.
fn in_name(instance_id: &str) -> Cow<'_, str> {
    match instance_id.split_at_checked(2) {
        Some(("AY", rest)) => Cow::Owned(format!("ay{rest}")),
        Some(("ay", rest)) => Cow::Owned(format!("AY{rest}")),
        _ => Cow::Borrowed(instance_id),
    }
}

impl ResetRecord {
    /// The name of the record of an instance. Each id has a name of its own: see [`in_name`].
    pub fn name_of(region_id: &str, instance_id: &str) -> String {
        format!("{region_id}.{}", in_name(instance_id))
    }

    /// Whether the claim is on the instance that the record is named after. A record is the lock of the machine in its name:
    /// one that claims another machine locks none, and is unusable.
    pub fn is_named_after_its_instance(&self) -> bool {
        self.metadata.name.as_deref() == Some(&*Self::name_of(&self.spec.region_id, &self.spec.instance_id))
    }

    /// The phase; a record without progress is Idle.
    pub fn phase(&self) -> Phase {
        self.status.as_ref().map_or(Phase::Idle, |status| status.phase)
    }

    /// The claim's row.
    pub fn row(&self) -> Option<&InstanceRow> {
        self.status.as_ref()?.row.as_ref()
    }

    /// The progress; a record without one is Idle.
    pub fn progress(&self) -> ResetRecordStatus {
        self.status.clone().unwrap_or_default()
    }
}
