//! For the account's owner: which instances its rules keep from an object, and why, as lines of the log.
//!
//! The object's user reads one reason for all of them. It decides nothing, and what it knows goes nowhere but the log.

use std::collections::BTreeMap;

use crate::api::reset_record::Owner;
use crate::cloud::accounts::UsableAccount;
use crate::controllers::Context;
use crate::decide::Reading;

/// Why an instance is kept from an object, by the instance's id: what was logged last.
pub type LoggedDenials = BTreeMap<String, &'static str>;

/// Logs what has changed since the last pass; an instance without a reading is as it was.
pub(super) fn note<'a, T>(
    context: &Context<T>,
    account: &UsableAccount,
    owner: &Owner,
    may_describe: Option<bool>,
    readings: impl Iterator<Item = (&'a str, &'a Reading)>,
) {
    let key = super::key(&owner.namespace, &owner.name);
    let before = context.denials.take(&key).unwrap_or_default();
    if account.spec.rules.is_none() {
        return;
    }
    let mut after = before.clone();
    for (instance_id, reading) in readings {
        match why(reading, may_describe) {
            Some(why) => after.insert(instance_id.to_owned(), why),
            None => after.remove(instance_id),
        };
    }
    for (instance_id, why) in after.iter().filter(|(instance_id, why)| before.get(*instance_id) != Some(*why)) {
        tracing::warn!(
            account = account.name,
            namespace = owner.namespace,
            object = owner.name,
            instanceID = instance_id.as_str(),
            why = *why,
            "the account's rules keep an instance from the object"
        );
    }
    context.denials.set(&key, after);
}

/// Why the instance is not permitted; `None`: it is.
fn why(reading: &Reading, may_describe: Option<bool>) -> Option<&'static str> {
    match (&reading.seen, may_describe) {
        (Some(seen), _) if seen.permitted => None,
        (Some(_), _) => Some("no rule covers its tags for the namespace"),
        (None, Some(true)) => Some("ECS does not show it: not found"),
        (None, Some(false)) => Some("the account's identity may not call DescribeInstances"),
        (None, None) => Some("ECS does not show it: not found, or not permitted"),
    }
}
