//! What a success answers, as lean types. Reads bytes from the network, so nothing here may fail on an odd field, and
//! nothing may take a broken answer for an empty one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// ECS takes 20 tags for an instance, and shows its own beside them. More of them are not read: a rule asks for tags that are
/// there, so one that is left out allows nothing.
const TAGS_MAX: usize = 64;
/// ECS takes 128 characters, of up to 4 bytes, for a key and for a value of a tag.
const TAG_BYTES_MAX: usize = 512;

/// What a success of a call says.
pub trait ApiResponse: Sized + Send {
    /// Reads the body of a 2xx answer; `None` when it is not what the call answers.
    fn read(body: &[u8]) -> Option<Self>;

    /// Some calls answer a success in the form of an error; by its code they know it again.
    fn read_error_code(_code: &str) -> Option<Self> {
        None
    }

    /// Whether it shows that the identity may make the call.
    fn shows_permission(&self) -> bool {
        true
    }
}

/// A changing call was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What Alibaba support and `ActionTrail` ask for.
    pub request_id: String,
}

/// A dry run that found nothing to object to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DryRunPassed;

/// One page of instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePage {
    /// Those that exist and may be seen, in no promised order.
    pub instances: Vec<Instance>,
    /// Present when there is another page.
    pub next_token: Option<String>,
}

/// An instance, as far as this program cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// For example `i-bp1…`.
    pub instance_id: String,
    /// What people call it; may be empty.
    pub name: String,
    /// Its status in its life cycle.
    pub status: InstanceStatus,
    /// Its zone, for example `cn-hangzhou-h`; may be empty.
    pub zone_id: String,
    /// Decides which passwords are allowed.
    pub os_type: OsType,
    /// The key pair bound by the platform, if any; keys put in by hand do not show.
    pub key_pair_name: Option<String>,
    /// The latest start, to the minute.
    pub start_time: Option<Timestamp>,
    /// When the subscription ends, to the minute; a far future for pay-as-you-go.
    pub expired_time: Option<Timestamp>,
    /// Why operations are locked, in ECS's words (`financial`, `security`, `Recycling` …); empty when they are not.
    pub locks: Vec<String>,
    /// Tags by key, not more than 64; one that is longer than ECS allows is left out.
    pub tags: BTreeMap<String, String>,
}

/// An instance's status in its life cycle. Running and Stopped are stable, the others pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceStatus {
    /// Being created.
    Pending,
    /// Being started or restarted.
    Starting,
    /// Powered on; the guest may still be booting.
    Running,
    /// Being stopped or restarted.
    Stopping,
    /// Powered off.
    Stopped,
    /// A status that this program does not know, or none at all: never a reason to act.
    Other(String),
}

/// The family of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OsType {
    /// Any Linux.
    Linux,
    /// Any Windows: a password may not begin with `/`.
    Windows,
    /// Not told.
    Other,
}

impl OsType {
    /// The API's own word; empty where it was not told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
            Self::Other => "",
        }
    }
}

impl InstanceStatus {
    /// The API's own word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Other(status) => status,
        }
    }
}

impl From<String> for InstanceStatus {
    fn from(status: String) -> Self {
        match status.as_str() {
            "Pending" => Self::Pending,
            "Starting" => Self::Starting,
            "Running" => Self::Running,
            "Stopping" => Self::Stopping,
            "Stopped" => Self::Stopped,
            _ => Self::Other(status),
        }
    }
}

impl ApiResponse for Accepted {
    fn read(body: &[u8]) -> Option<Self> {
        let RawAccepted { request_id, code } = serde_json::from_slice(body).ok()?;
        // A success has no code. One that does is something that nobody documented: not a success.
        let request_id = request_id.good().filter(|id| !id.is_empty() && code.is_none())?;
        Some(Self { request_id })
    }
}

impl ApiResponse for DryRunPassed {
    fn read(body: &[u8]) -> Option<Self> {
        let RawAccepted { code, .. } = serde_json::from_slice(body).ok()?;
        Self::read_error_code(&code?.good()?)
    }

    fn read_error_code(code: &str) -> Option<Self> {
        matches!(code, "DryRunOperation" | "DRYRUN.SUCCESS").then_some(Self)
    }
}

impl ApiResponse for InstancePage {
    fn read(body: &[u8]) -> Option<Self> {
        let RawPage { instances, next_token } = serde_json::from_slice(body).ok()?;
        let instances = instances.instance.into_iter().filter_map(|raw| Instance::from_raw(raw.good()?)).collect();
        Some(Self { instances, next_token: next_token.filled() })
    }

    /// A caller that may not describe instances gets a success that holds none.
    fn shows_permission(&self) -> bool {
        !self.instances.is_empty()
    }
}

impl Instance {
    /// `None` only when it does not say which instance it is.
    fn from_raw(raw: RawInstance) -> Option<Self> {
        let locks = raw.operation_locks.good().unwrap_or_default().lock_reason;
        let tags = raw.tags.good().unwrap_or_default().tag;
        Some(Self {
            instance_id: raw.instance_id.filled()?,
            name: raw.instance_name.good().unwrap_or_default(),
            status: raw.status.good().unwrap_or_default().into(),
            zone_id: raw.zone_id.good().unwrap_or_default(),
            os_type: match raw.os_type.good().unwrap_or_default().as_str() {
                "linux" => OsType::Linux,
                "windows" => OsType::Windows,
                _ => OsType::Other,
            },
            key_pair_name: raw.key_pair_name.filled(),
            start_time: raw.start_time.good().as_deref().and_then(parse_time),
            expired_time: raw.expired_time.good().as_deref().and_then(parse_time),
            // A lock whose reason cannot be read still locks.
            locks: locks.into_iter().map(|lock| lock.good().unwrap_or_default().reason()).collect(),
            tags: tags.into_iter().take(TAGS_MAX).filter_map(|tag| tag.good()?.pair()).collect(),
        })
    }
}

/// ECS writes minutes (`2020-07-31T17:26Z`), its English documents say seconds: both are read.
fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// A field that may hold anything: what does not fit is as good as absent.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Lenient<T> {
    Good(T),
    Odd(#[allow(dead_code)] IgnoredAny),
}

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self::Odd(IgnoredAny)
    }
}

impl<T> Lenient<T> {
    pub(super) fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Odd(_) => None,
        }
    }
}

impl Lenient<String> {
    /// The API writes "none" as an empty text too.
    fn filled(self) -> Option<String> {
        self.good().filter(|text| !text.is_empty())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawAccepted {
    #[serde(default)]
    request_id: Lenient<String>,
    code: Option<Lenient<String>>,
}

/// The list itself is not optional: its absence must never read as "no such instances".
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawPage {
    instances: RawInstances,
    #[serde(default)]
    next_token: Lenient<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawInstances {
    instance: Vec<Lenient<RawInstance>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawInstance {
    instance_id: Lenient<String>,
    instance_name: Lenient<String>,
    status: Lenient<String>,
    zone_id: Lenient<String>,
    #[serde(rename = "OSType")]
    os_type: Lenient<String>,
    key_pair_name: Lenient<String>,
    start_time: Lenient<String>,
    expired_time: Lenient<String>,
    operation_locks: Lenient<RawLocks>,
    tags: Lenient<RawTags>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawLocks {
    lock_reason: Vec<Lenient<RawLock>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawLock {
    lock_reason: Lenient<String>,
}

impl RawLock {
    fn reason(self) -> String {
        self.lock_reason.filled().unwrap_or_else(|| "unknown".to_owned())
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawTags {
    tag: Vec<Lenient<RawTag>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawTag {
    tag_key: Lenient<String>,
    tag_value: Lenient<String>,
}

impl RawTag {
    fn pair(self) -> Option<(String, String)> {
        let (key, value) = (self.tag_key.filled()?, self.tag_value.good()?);
        (key.len() <= TAG_BYTES_MAX && value.len() <= TAG_BYTES_MAX).then_some((key, value))
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
