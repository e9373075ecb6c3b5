//! The status of an account. Writes it, and decides nothing about the account.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use super::KIND;
use crate::api::Reason;
use crate::api::conditions::{self, ConditionStatus, ConditionUpdate};
use crate::api::ecs_account::{ECSAccount, ECSAccountStatus, RegionStatus};
use crate::cloud::accounts::Identity;
use crate::cluster::ClusterError;
use crate::controllers::Context;
use crate::decide::Hold;
use crate::decide::claim::start_time_evidence;

/// Writes the status, if it has changed.
pub(super) async fn write<T>(
    context: &Context<T>,
    mut account: ECSAccount,
    principal: Option<Identity>,
    missing_permissions: Vec<String>,
    throttled: &[(String, Timestamp)],
    hold: Option<Hold>,
) -> Result<(), ClusterError> {
    let before = account.status.clone().unwrap_or_default();
    let failure = principal.as_ref().and_then(|principal| principal.failure.as_deref());
    let updates = conditions_of(hold, failure, account.spec.suspended(), throttled, &missing_permissions);
    let generation = account.metadata.generation;
    let term = principal.as_ref().and_then(|principal| principal.term);
    // If the credentials are rejected, keep showing the last accepted identity.
    let (account_id, identity_arn) = match principal {
        Some(Identity { identity, .. }) => (Some(identity.account_id), Some(identity.identity_arn)),
        None => (before.account_id.clone(), before.identity_arn.clone()),
    };
    let status = ECSAccountStatus {
        observed_generation: generation,
        conditions: conditions::set(&before.conditions, updates, generation, &Time(context.clock.now())),
        account_id,
        identity_arn,
        credentials_expire_time: term.map(|term| Time(term.expires_at)),
        missing_permissions,
        regions: regions(context, &account.name_any(), &before),
    };
    context.metrics.set_object(KIND, &account.name_any(), conditions::ready(&status.conditions), BTreeMap::new());
    if status == before {
        return Ok(());
    }
    account.status = Some(status);
    let written = context.cluster.write_ecs_account_status(&account).await?;
    let after = written.status.as_ref().map_or(&[][..], |status| &status.conditions);
    if conditions::ready(&before.conditions) != conditions::ready(after) {
        tell(context, &written, conditions::ready(&before.conditions)).await;
    }
    Ok(())
}

/// One line in the log and one event for a change of Ready: who watches neither objects nor metrics learns by these that an account
/// does not work.
async fn tell<T>(context: &Context<T>, account: &ECSAccount, (was, because): (&str, &str)) {
    let conditions = account.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let Some(Condition { status, reason, message, .. }) = conditions::find(conditions, conditions::READY) else {
        return;
    };
    let kind = if status == "True" {
        tracing::info!(ready = status, reason, detail = message, was, because, "Ready has changed");
        "Normal"
    } else {
        tracing::warn!(ready = status, reason, detail = message, was, because, "Ready has changed");
        "Warning"
    };
    if let Err(error) = context.cluster.publish(account, kind, reason, message).await {
        tracing::warn!(%error, reason, "an event was lost");
    }
}

/// The conditions of an account with a hold; without one, `failure` is why the last renewal of its credentials failed. What keeps a usable
/// account from work is shown beside that: whether it is suspended, in which regions ECS throttles it, and what ECS refuses to its identity.
pub(super) fn conditions_of(
    hold: Option<Hold>,
    failure: Option<&str>,
    is_suspended: bool,
    throttled: &[(String, Timestamp)],
    missing_permissions: &[String],
) -> Vec<ConditionUpdate> {
    let update = |kind, status, reason, message: String| ConditionUpdate { kind, status, reason, message };
    match hold {
        None => {
            let mut message = failure.map_or_else(
                || "the credentials are accepted".to_owned(),
                |why| format!("the credentials are accepted, but the last check failed: {why}"),
            );
            if is_suspended {
                message
                    .push_str("; spec.suspend is true: nothing new starts on the account, and no restart is requested, until it is set to false");
            }
            for (region, until) in throttled {
                let _ = write!(
                    message,
                    "; ECS throttles calls in {region}: they are tried again by {until}, and again later while ECS refuses them"
                );
            }
            if !missing_permissions.is_empty() {
                let _ = write!(message, "; its RAM policy lacks {}", missing_permissions.join(", "));
            }
            vec![update(conditions::READY, ConditionStatus::True, Reason::AccountReady, message)]
        }
        Some(Hold { reason, message, .. }) if reason.needs_person() => vec![
            update(conditions::READY, ConditionStatus::False, reason, message.clone()),
            update(conditions::STALLED, ConditionStatus::True, reason, message),
        ],
        Some(Hold { reason, message, .. }) => vec![
            update(conditions::READY, ConditionStatus::Unknown, reason, message.clone()),
            update(conditions::RECONCILING, ConditionStatus::True, Reason::ProgressingWithRetry, message),
        ],
    }
}

/// What was learnt about each region, from the records and from what was known before.
fn regions<T>(context: &Context<T>, account_name: &str, before: &ECSAccountStatus) -> Vec<RegionStatus> {
    let mut ids = context.ledger.regions(account_name);
    ids.extend(before.regions.iter().map(|region| region.region_id.clone()));
    let learnt = |region_id: String| {
        let known = before.start_time_follows_reboot(&region_id);
        let evidence = context.ledger.evidence(account_name, &region_id);
        RegionStatus { start_time_follows_reboot: start_time_evidence::learn(known, evidence), region_id }
    };
    ids.into_iter().map(learnt).collect()
}
