//! The calls to ECS, as signed forms (those to STS stand in `sts`). Reads no answer (`answers` does) and sends nothing (`client` does).
//!
//! Everything travels in the body of a POST to `/`, the signature too: the address then holds nothing that a proxy or
//! an error text could show.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::responses::{Accepted, DryRunPassed, InstancePage};
use super::sign::signed_form;
use super::{Keys, RegionEndpoint, Stamp};

/// The most instances that one `DescribeInstances` takes and that one page of its answer holds.
pub const INSTANCES_PER_CALL_MAX: usize = 100;

/// The calls that this program makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiCall {
    /// ECS: reads up to 100 instances.
    DescribeInstances,
    /// ECS: sets the password; it takes effect at the next start that the platform drives.
    ModifyInstanceAttribute,
    /// ECS: restarts a running instance.
    RebootInstance,
    /// STS: whose credentials these are.
    GetCallerIdentity,
    /// STS: temporary credentials for a role.
    AssumeRole,
    /// STS: the same with a token of the cluster instead of credentials; not signed.
    AssumeRoleWithOidc,
}

impl ApiCall {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::DescribeInstances,
        Self::ModifyInstanceAttribute,
        Self::RebootInstance,
        Self::GetCallerIdentity,
        Self::AssumeRole,
        Self::AssumeRoleWithOidc,
    ];

    /// The name that the API knows, also fit for a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DescribeInstances => "DescribeInstances",
            Self::ModifyInstanceAttribute => "ModifyInstanceAttribute",
            Self::RebootInstance => "RebootInstance",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithOidc => "AssumeRoleWithOIDC",
        }
    }

    /// The API's version: ECS has one, STS another.
    pub fn version(self) -> &'static str {
        match self {
            Self::DescribeInstances | Self::ModifyInstanceAttribute | Self::RebootInstance => "2014-05-26",
            Self::GetCallerIdentity | Self::AssumeRole | Self::AssumeRoleWithOidc => "2015-04-01",
        }
    }

    /// Whether it is a call to ECS; the others go to STS.
    pub fn is_of_ecs(self) -> bool {
        matches!(self, Self::DescribeInstances | Self::ModifyInstanceAttribute | Self::RebootInstance)
    }

    /// Whether it changes an instance.
    pub fn is_change(self) -> bool {
        matches!(self, Self::ModifyInstanceAttribute | Self::RebootInstance)
    }

    /// How long one try may take. The figures are the official SDK's read timeouts.
    pub fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::DescribeInstances | Self::GetCallerIdentity | Self::AssumeRole | Self::AssumeRoleWithOidc => 10,
            Self::ModifyInstanceAttribute => 22,
            Self::RebootInstance => 27,
        })
    }
}

/// A call that is signed and not yet sent; `A` is what a success answers. Sending consumes it, since its nonce is good
/// for one send. No `Debug`: the body may hold a password or a token.
#[must_use = "a signed call does nothing until it is sent"]
pub struct Signed<A> {
    action: ApiCall,
    url: String,
    body: Bytes,
    secrets: Vec<SecretString>,
    answer: PhantomData<fn() -> A>,
}

impl<A> Signed<A> {
    pub(super) fn new(action: ApiCall, url: String, form: Zeroizing<String>, secrets: Vec<SecretString>) -> Self {
        // The last clone of the body wipes it.
        Self { action, url, body: Bytes::from_owner(form), secrets, answer: PhantomData }
    }

    /// The API that is called.
    pub fn action(&self) -> ApiCall {
        self.action
    }

    /// The request, and the secrets that it carries or was signed with, which no text of the answer may repeat.
    pub(super) fn into_request(self) -> (http::Result<http::Request<Bytes>>, Vec<SecretString>) {
        let request = http::Request::post(self.url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(self.body);
        (request, self.secrets)
    }
}

/// Sets the password of the default logon user. The same value may be sent again.
pub fn modify_password(
    endpoint: &RegionEndpoint,
    credentials: &Keys,
    instance_id: &str,
    password: &SecretString,
    stamp: &Stamp,
) -> Signed<Accepted> {
    let mut parameters = vec![("InstanceId", instance_id), ("Password", password.expose_secret())];
    push_region(&mut parameters, endpoint);
    let mut signed = sign(ApiCall::ModifyInstanceAttribute, &endpoint.ecs_url, credentials, stamp, &parameters);
    signed.secrets.push(password.clone());
    signed
}

/// Restarts a running instance, gently: a forced stop is never asked for. Twice sent is twice restarted.
pub fn reboot_instance(
    endpoint: &RegionEndpoint,
    credentials: &Keys,
    instance_id: &str,
    stamp: &Stamp,
) -> Signed<Accepted> {
    let mut parameters = vec![("InstanceId", instance_id)];
    push_region(&mut parameters, endpoint);
    sign(ApiCall::RebootInstance, &endpoint.ecs_url, credentials, stamp, &parameters)
}

/// Reads the named instances, at most [`INSTANCES_PER_CALL_MAX`]. Those that do not exist and those that these
/// credentials may not see are both just missing from the answer.
pub fn describe_instances(
    endpoint: &RegionEndpoint,
    credentials: &Keys,
    ids: &[String],
    next_token: Option<&str>,
    stamp: &Stamp,
) -> Signed<InstancePage> {
    let ids = json_array(ids);
    let mut parameters = vec![("RegionId", endpoint.region_id.as_str()), ("InstanceIds", &ids), ("MaxResults", "100")];
    parameters.extend(next_token.map(|token| ("NextToken", token)));
    sign(ApiCall::DescribeInstances, &endpoint.ecs_url, credentials, stamp, &parameters)
}

/// Which instances are looked for; all parts must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceFilter<'a> {
    /// Tags, at most 20, by key and value.
    pub tags: Vec<(&'a str, &'a str)>,
    /// A name; `*` matches any characters.
    pub name: Option<&'a str>,
    /// A resource group.
    pub resource_group_id: Option<&'a str>,
}

/// Reads a page of the instances that match. Those that these credentials may not see are missing from the answer.
pub fn describe_matching(
    endpoint: &RegionEndpoint,
    credentials: &Keys,
    filter: &InstanceFilter,
    next_token: Option<&str>,
    stamp: &Stamp,
) -> Signed<InstancePage> {
    let numbered = |(at, (key, value)): (usize, &(&str, &str))| {
        let number = at + 1;
        [(format!("Tag.{number}.Key"), (*key).to_owned()), (format!("Tag.{number}.Value"), (*value).to_owned())]
    };
    let tags: Vec<(String, String)> = filter.tags.iter().enumerate().flat_map(numbered).collect();
    let mut parameters = vec![("RegionId", endpoint.region_id.as_str()), ("MaxResults", "100")];
    parameters.extend(tags.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    parameters.extend(filter.name.map(|name| ("InstanceName", name)));
    parameters.extend(filter.resource_group_id.map(|group| ("ResourceGroupId", group)));
    parameters.extend(next_token.map(|token| ("NextToken", token)));
    sign(ApiCall::DescribeInstances, &endpoint.ecs_url, credentials, stamp, &parameters)
}

/// Asks whether [`describe_instances`] is permitted: the one way to tell "not found" from "not permitted".
pub fn describe_instances_dry_run(
    endpoint: &RegionEndpoint,
    credentials: &Keys,
    ids: &[String],
    stamp: &Stamp,
) -> Signed<DryRunPassed> {
    let ids = json_array(ids);
    let parameters = vec![("RegionId", endpoint.region_id.as_str()), ("InstanceIds", &ids), ("DryRun", "true")];
    sign(ApiCall::DescribeInstances, &endpoint.ecs_url, credentials, stamp, &parameters)
}

/// These two calls have no region of their own: the host decides it, unless the host serves several.
fn push_region<'a>(parameters: &mut Vec<(&'a str, &'a str)>, endpoint: &'a RegionEndpoint) {
    if endpoint.names_region {
        parameters.push(("RegionId", &endpoint.region_id));
    }
}

fn json_array(ids: &[String]) -> String {
    serde_json::Value::from(ids).to_string()
}

/// Adds the common parameters and signs.
pub(super) fn sign<A>(
    action: ApiCall,
    url: &str,
    credentials: &Keys,
    stamp: &Stamp,
    parameters: &[(&str, &str)],
) -> Signed<A> {
    let timestamp = stamp.timestamp();
    let mut all = vec![
        ("AccessKeyId", credentials.access_key_id.as_str()),
        ("Action", action.as_str()),
        ("Format", "JSON"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", &stamp.nonce),
        ("SignatureVersion", "1.0"),
        ("Timestamp", &timestamp),
        ("Version", action.version()),
    ];
    all.extend_from_slice(parameters);
    all.extend(credentials.security_token.as_ref().map(|token| ("SecurityToken", token.expose_secret())));
    let form = signed_form(all, &credentials.access_key_secret);
    let secrets = std::iter::once(&credentials.access_key_secret).chain(&credentials.security_token).cloned().collect();
    Signed::new(action, url.to_owned(), form, secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body<A>(signed: &Signed<A>) -> String {
        String::from_utf8(signed.body.to_vec()).unwrap()
    }

    fn credentials() -> Keys {
        Keys { access_key_id: "id".into(), access_key_secret: "secret".into(), security_token: None }
    }

    fn stamp() -> Stamp {
        Stamp { timestamp: "2026-01-02T03:04:05.9Z".parse().unwrap(), nonce: "n".into() }
    }

    #[test]
    fn restart_is_never_forced_and_names_region_only_if_needed() {
        let regional = RegionEndpoint::public("eu-central-1").unwrap();
        let sent = body(&reboot_instance(&regional, &credentials(), "i-1", &stamp()));
        assert!(sent.contains("Action=RebootInstance&") && sent.contains("InstanceId=i-1&"), "{sent}");
        assert!(!sent.contains("Force") && !sent.contains("RegionId"), "{sent}");
        let central = RegionEndpoint::public("cn-north-2-gov-1").unwrap();
        let sent = body(&reboot_instance(&central, &credentials(), "i-1", &stamp()));
        assert!(sent.contains("RegionId=cn-north-2-gov-1&"), "{sent}");
    }

    #[test]
    fn a_read_sends_the_ids_as_a_json_array_and_follows_the_token() {
        let endpoint = RegionEndpoint::public("eu-central-1").unwrap();
        let ids = ["i-1".to_owned(), "i-2".to_owned()];
        let sent = body(&describe_instances(&endpoint, &credentials(), &ids, Some("t/1"), &stamp()));
        assert!(sent.contains("InstanceIds=%5B%22i-1%22%2C%22i-2%22%5D&"), "{sent}");
        assert!(sent.contains("MaxResults=100&") && sent.contains("NextToken=t%2F1&"), "{sent}");
        assert!(sent.contains("Timestamp=2026-01-02T03%3A04%3A05Z&"), "fractions are not sent: {sent}");
    }
}
