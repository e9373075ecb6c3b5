//! The metadata service of the instance that the controller runs on, under `/latest/`: only what gives out the credentials of
//! the instance's role.
//!
//! Its requests pass the same faults and stand in the same journal as those of the API, under the names of actions here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::access_key::AccessKey;
use crate::answer::Refusal;
use crate::call::Call;
use crate::core::Core;
use crate::fault::Fault;
use crate::role::Role;
use crate::time::{after, to_second};

/// Where it begins; the API lives at `/`.
const PREFIX: &str = "/latest/";
const CREDENTIALS_PATH: &str = "/latest/meta-data/ram/security-credentials/";

const TOKEN: &str = "MetadataToken";
const ROLE: &str = "MetadataRole";
const CREDENTIALS: &str = "MetadataCredentials";

/// The longest life of a token, in seconds.
const LONGEST_TOKEN_SECONDS: u32 = 21_600;
/// How long the credentials of an instance role last, in seconds, unless the role says otherwise: six hours.
const SESSION_SECONDS: u32 = 21_600;

/// What the metadata service says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InstanceMetadata {
    /// The instance's role, as ARN or name; it must be one of [`crate::Config::roles`]. Default: none.
    pub role: Option<String>,
    /// Whether requests without a token are answered (`IMDSv1`). Default false: hardened mode.
    pub imdsv1_allowed: bool,
    /// `Code` of the credentials; with another than `Success` there are none. Default `Success`.
    pub code: String,
}

impl Default for InstanceMetadata {
    fn default() -> Self {
        Self { role: None, imdsv1_allowed: false, code: "Success".to_owned() }
    }
}

/// The service: what it says, and whom it has let in.
pub(crate) struct Metadata {
    pub(crate) says: InstanceMetadata,
    tokens: BTreeMap<String, Timestamp>,
    /// The credentials given out last.
    current: Option<AccessKey>,
}

impl Metadata {
    pub(crate) fn new(says: InstanceMetadata) -> Self {
        Self { says, tokens: BTreeMap::new(), current: None }
    }
}

/// The name under which faults and the journal know the request; `None`: it is not for this service.
pub(crate) fn action(method: &str, path: &str) -> Option<&'static str> {
    match (method, path) {
        ("PUT", "/latest/api/token") => Some(TOKEN),
        ("GET", CREDENTIALS_PATH) => Some(ROLE),
        ("GET", path) if path.starts_with(CREDENTIALS_PATH) => Some(CREDENTIALS),
        (_, path) if path.starts_with(PREFIX) => Some("Metadata"),
        _ => None,
    }
}

impl Core {
    /// Answers with the text of the answer. The refusal's code is for the journal; clients see only the status.
    pub(crate) fn metadata(&mut self, call: &Call, fault: Option<&Fault>) -> Result<String, Refusal> {
        if let Some(refusal) = fault.and_then(Fault::refusal) {
            return Err(refusal);
        }
        if call.action() == TOKEN {
            return self.metadata_token(call);
        }
        self.check_metadata_token(call)?;
        let role = self.instance_role().ok_or_else(not_found)?;
        match call.action() {
            ROLE => Ok(role.name().to_owned()),
            CREDENTIALS if call.path().strip_prefix(CREDENTIALS_PATH) == Some(role.name()) => {
                Ok(self.instance_credentials(&role))
            }
            _ => Err(not_found()),
        }
    }

    fn metadata_token(&mut self, call: &Call) -> Result<String, Refusal> {
        let ttl = call.header("x-aliyun-ecs-metadata-token-ttl-seconds").and_then(|text| text.parse().ok());
        let Some(seconds) = ttl.filter(|seconds| (1..=LONGEST_TOKEN_SECONDS).contains(seconds)) else {
            return Err(Refusal::new("BadTokenTtl", 400, ""));
        };
        let token = format!("{}==", self.random.text(54));
        self.metadata.tokens.insert(token.clone(), after(self.now, f64::from(seconds)));
        Ok(token)
    }

    fn check_metadata_token(&self, call: &Call) -> Result<(), Refusal> {
        let good = match call.header("x-aliyun-ecs-metadata-token") {
            None => self.metadata.says.imdsv1_allowed,
            Some(token) => self.metadata.tokens.get(token).is_some_and(|end| *end > self.now),
        };
        if good { Ok(()) } else { Err(Refusal::new("BadMetadataToken", 403, "")) }
    }

    fn instance_role(&self) -> Option<Role> {
        let wanted = self.metadata.says.role.as_deref()?;
        self.roles.values().find(|role| role.arn == wanted || role.name() == wanted).cloned()
    }

    fn instance_credentials(&mut self, role: &Role) -> String {
        let code = self.metadata.says.code.clone();
        let now = to_second(self.now);
        if code != "Success" {
            return json!({ "Code": code, "LastUpdated": now }).to_string();
        }
        let lasting = self.metadata.current.take().filter(|key| self.is_lasting(key, role));
        let key = lasting.unwrap_or_else(|| self.issue(role, "vm-ram-simulator", SESSION_SECONDS));
        let answer = json!({
            "Code": code,
            "AccessKeyId": key.access_key_id,
            "AccessKeySecret": key.access_key_secret,
            "SecurityToken": key.security_token,
            "LastUpdated": now,
            "Expiration": key.security_token_expires.map(to_second),
        });
        self.metadata.current = Some(key);
        answer.to_string()
    }

    /// The service gives out the same credentials again until their last quarter, so an early refresh gains nothing. When
    /// the real one changes them is not documented.
    fn is_lasting(&self, key: &AccessKey, role: &Role) -> bool {
        let quarter = f64::from(role.sessions_last_seconds.unwrap_or(SESSION_SECONDS)) / 4.0;
        key.assumed_role.as_ref().is_some_and(|session| session.role_arn == role.arn)
            && key.security_token_expires.is_some_and(|end| end > after(self.now, quarter))
            && !self.gate.is_revoked(&key.access_key_id)
    }
}

fn not_found() -> Refusal {
    Refusal::new("NotFound", 404, "")
}
