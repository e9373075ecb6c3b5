//! Checks that the two admission policies and their bindings are installed as this version ships them.
//!
//! Without them, a user who may write a `PasswordReset` borrows the controller's rights, and a user with `*` in a namespace can
//! forge what happened. While one is missing, no resets start; earlier claims are finished, because stopping half-way would
//! not help. It reads four objects by name, and changes none of them.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::Reason;
use crate::clock;
use crate::cluster::{Cluster, ClusterError};
use crate::decide::Hold;

/// The objects as they are installed.
const SHIPPED: &str = include_str!("../../deploy/base/policies.yaml");

/// What was found last; `None` before the first check.
#[derive(Default)]
pub struct Policies(Mutex<Option<PolicyCheck>>);

#[derive(Clone)]
struct PolicyCheck {
    at: Timestamp,
    found: Result<(), String>,
}

impl Policies {
    /// Why no resets may start; `None`: the policies are installed, as far as is known.
    pub fn hold_all(&self) -> Option<Hold> {
        let message = self.last()?.found.err()?;
        Some(Hold::new(Reason::PolicyMissing, message))
    }

    fn last(&self) -> Option<PolicyCheck> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether the answer to "may resets start" has changed.
    fn set(&self, check: PolicyCheck) -> bool {
        let is_fine = check.found.is_ok();
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(check);
        before.is_some_and(|before| before.found.is_ok() != is_fine)
    }
}

/// Checks again, unless all policies were found less than `interval` ago. Returns whether the answer of [`Policies::hold_all`] has
/// changed.
pub async fn refresh(policies: &Policies, cluster: &Cluster, interval: Duration, now: Timestamp) -> bool {
    let before = policies.last();
    let lasts = SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX);
    let is_fresh = |check: &PolicyCheck| check.found.is_ok() && clock::is_recent(check.at, now, lasts);
    if before.as_ref().is_some_and(is_fresh) {
        return false;
    }
    let found = match compare_all(cluster).await {
        // Without an answer the last result stays. Before the first answer, nothing may start.
        Err(PolicyProblem::Unanswered(why)) => before.clone().map_or(Err(why), |before| before.found),
        Err(PolicyProblem::Different(why)) => Err(format!(
            "{why}; no resets start until a cluster admin installs the admission policies of this version: apply its \
             manifests or upgrade to its chart again"
        )),
        Ok(()) => Ok(()),
    };
    if let Err(why) = &found
        && before.is_none_or(|before| before.found != found)
    {
        tracing::warn!(error = why, "the admission policies are not in force; no resets start");
    }
    policies.set(PolicyCheck { at: now, found })
}

/// Why the policies do not count as installed.
#[derive(Debug, PartialEq, Eq)]
enum PolicyProblem {
    /// It is not known.
    Unanswered(String),
    /// One is missing, cannot be read, or differs from the shipped one.
    Different(String),
}

async fn compare_all(cluster: &Cluster) -> Result<(), PolicyProblem> {
    let shipped: Vec<Value> = serde_saphyr::from_multiple(SHIPPED)
        .map_err(|_| PolicyProblem::Different("the shipped policies cannot be parsed".to_owned()))?;
    for object in shipped {
        if is_policy(&object) {
            compare::<ValidatingAdmissionPolicy>(cluster, object).await?;
        } else {
            compare::<ValidatingAdmissionPolicyBinding>(cluster, object).await?;
        }
    }
    Ok(())
}

/// Else it is a binding.
fn is_policy(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some(&*ValidatingAdmissionPolicy::kind(&()))
}

async fn compare<K>(cluster: &Cluster, shipped: Value) -> Result<(), PolicyProblem>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let different = |what: String| PolicyProblem::Different(format!("the admission policies are not in force: {what}"));
    let shipped: K =
        serde_json::from_value(shipped).map_err(|_| different("the shipped one is malformed".to_owned()))?;
    let name = shipped.name_any();
    match cluster.get_cluster_scoped::<K>(&name).await {
        Ok(found) if spec(&found) == spec(&shipped) => Ok(()),
        Ok(_) => Err(different(format!("{} {name} is not the one that this version ships", K::kind(&())))),
        Err(error @ ClusterError::Unanswered { .. }) => Err(PolicyProblem::Unanswered(error.to_string())),
        Err(error) => Err(different(error.to_string())),
    }
}

/// The whole spec, in the fields that this version knows: a part left out would be the part to attack, and a field that a
/// later API server fills in must not stop the controller.
fn spec<K: Serialize>(object: &K) -> Option<Value> {
    serde_json::to_value(object).ok()?.get_mut("spec").map(Value::take)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    #[test]
    fn admission_knows_every_annotation_that_the_controller_reads() {
        let shipped: Vec<Value> = serde_saphyr::from_multiple(SHIPPED).unwrap();
        let variables = shipped[0]["spec"]["variables"].as_array().unwrap();
        let known = variables.iter().find(|variable| variable["name"] == "known").unwrap();
        let prefix = format!("\"{}/", api::GROUP);
        let constants = include_str!("../api/mod.rs").split(&prefix).skip(1);
        let list = constants.filter_map(|rest| Some(format!("{}/{}", api::GROUP, rest.split_once('"')?.0)));
        let quoted: Vec<String> = list.map(|name| format!("'{name}'")).collect();
        assert_eq!(quoted.len(), 3, "{quoted:?}");
        assert_eq!(known["expression"], format!("[{}]", quoted.join(", ")));
    }

    #[test]
    fn each_shipped_object_is_understood_in_every_field_and_denies() {
        let shipped: Vec<Value> = serde_saphyr::from_multiple(SHIPPED).unwrap();
        assert_eq!(shipped.len(), 4);
        for object in shipped {
            let kept = if is_policy(&object) {
                assert_eq!(object["spec"]["failurePolicy"], "Fail");
                spec(&serde_json::from_value::<ValidatingAdmissionPolicy>(object.clone()).unwrap())
            } else {
                assert_eq!(object["spec"]["validationActions"], serde_json::json!(["Deny"]));
                spec(&serde_json::from_value::<ValidatingAdmissionPolicyBinding>(object.clone()).unwrap())
            };
            // A field of the manifest that this version does not know would never be compared.
            assert_eq!(kept.as_ref(), Some(&object["spec"]));
        }
    }
}
