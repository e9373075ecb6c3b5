//! The act step of an object: it writes claims, and a person's decision on an Unknown, each by compare-and-swap on the record
//! as just read.
//!
//! The claim is also the first attempt: it stores the Timestamp under which the password is going to be sent. The call
//! itself is made by the record's reconciler.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;

use super::observe::Sight;
use crate::api::password_reset::{PasswordReset, State};
use crate::api::reasons;
use crate::api::reset_record::{Attempt, Fingerprint, Owner, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus};
use crate::clock;
use crate::decide::rollout::{self, Claim, Object, Plan};
use crate::decide::step::Change;
use crate::decide::{needed, progress};
use crate::ecs::{Action as EcsAction, Transport};
use crate::reconcile::Context;
use crate::reconcile::cluster::ClusterError;

/// How soon to look again after a claim that somebody else was quicker to make, or that was not answered.
const AFTER_LOST_CLAIM: Duration = Duration::from_millis(500);
/// How soon to look again after a claim that the API server refused.
const AFTER_REFUSED_CLAIM: Duration = Duration::from_secs(10);

/// What became of a claim.
enum Claimed {
    /// It is made.
    Written(Box<ResetRecord>),
    /// It is not needed, or not possible, by the record as it is now: the watch will show why.
    NotNow,
    /// The record remembers as many owners as it can hold.
    Full,
}

/// Makes the plan's claims, and shows them in its rows. Returns when to look again if not all could be made.
pub(super) async fn claim<T: Transport>(context: &Context<T>, sight: &Sight, plan: &mut Plan) -> Option<Duration> {
    let fingerprint = sight.wish.fingerprint.as_ref()?;
    let mut again = None;
    for claim in std::mem::take(&mut plan.claims) {
        let action = EcsAction::ModifyInstanceAttribute;
        let permit = match context.calls.permit(&sight.scope.account, &sight.scope.region_id, action) {
            Ok(permit) => permit,
            Err(at) => return Some(clock::until_instant(at)),
        };
        let (name, attempt_id) =
            (ResetRecord::name_of(&sight.scope.region_id, &claim.instance_id), context.clock.nonce());
        context.permits.set(&name, (attempt_id.clone(), permit));
        let row = plan.rows.iter_mut().find(|row| row.instance_id == claim.instance_id);
        let claimed = claim_one(context, sight, &claim, fingerprint, &attempt_id).await;
        if !matches!(claimed, Ok(Claimed::Written(_))) {
            context.permits.take(&name);
        }
        let (reason, message) = match claimed {
            Ok(Claimed::Written(record)) => {
                if let (Some(row), Some(claimed)) = (row, record.row()) {
                    row.clone_from(claimed);
                }
                continue;
            }
            Ok(Claimed::NotNow) => continue,
            Err(error @ (ClusterError::Conflict { .. } | ClusterError::Unanswered { .. })) => {
                tracing::info!(instanceID = claim.instance_id, %error, "the claim was not made; looking again");
                return Some(AFTER_LOST_CLAIM);
            }
            Ok(Claimed::Full) => {
                let message = "its ResetRecord remembers as many PasswordResets as it can hold; a cluster admin can remove entries of its status.completed that nobody needs";
                (reasons::TOO_MANY_OWNERS, message.to_owned())
            }
            Err(error) => (reasons::PENDING, format!("it could not be claimed: {error}")),
        };
        tracing::warn!(instanceID = claim.instance_id, reason, error = message, "the claim was refused");
        again = Some(AFTER_REFUSED_CLAIM);
        if let Some(row) = row {
            *row = rollout::unclaimed_row(&claim, reason, message, sight.now);
        }
    }
    again
}

/// Writes down that a person has decided that an Unknown restart happened, and shows it in the plan's rows.
pub(super) async fn resolve<T>(context: &Context<T>, sight: &Sight, plan: &mut Plan) -> Result<(), ClusterError> {
    let (Some(instance_id), Some(resolution)) = (&plan.happened, &sight.wish.resolution) else { return Ok(()) };
    let name = ResetRecord::name_of(&sight.scope.region_id, instance_id);
    let Some(mut record) = context.cluster.record(&name).await? else { return Ok(()) };
    if !resolution.counts(&record, &sight.wish.owner, sight.now) {
        return Ok(());
    }
    record.status = Some(progress::apply(&record, Change::Happened, None, sight.now));
    let written = context.cluster.write_record(&record).await?;
    tracing::info!(instanceID = instance_id.as_str(), claim = resolution.claim, "a person has decided on the Unknown");
    // Of an instance that another run was asked for meanwhile, the row says that one.
    let row = plan.rows.iter_mut().find(|row| row.instance_id == *instance_id && row.state == State::Unknown);
    if let (Some(row), Some(resolved)) = (row, written.row()) {
        row.clone_from(resolved);
    }
    context.ledger.put(written);
    Ok(())
}

/// Claims one instance, if the record as it is now allows it.
async fn claim_one<T: Transport>(
    context: &Context<T>,
    sight: &Sight,
    claim: &Claim,
    fingerprint: &Fingerprint,
    attempt_id: &str,
) -> Result<Claimed, ClusterError> {
    let name = ResetRecord::name_of(&sight.scope.region_id, &claim.instance_id);
    let found = context.cluster.record(&name).await?;
    match &found {
        Some(record) => context.ledger.put(record.clone()),
        None => context.ledger.forget(&name),
    }
    let Some(target) = sight.target_again(&claim.instance_id, found.as_ref()) else { return Ok(Claimed::NotNow) };
    // The caches may lag behind: what they allowed is judged again. The slot was counted for this claim already.
    let again = rollout::plan(&Object { slot_holders: &[], ..sight.object_view() }, &[target], sight.now);
    if again.claims.is_empty() {
        return Ok(Claimed::NotNow);
    }
    let Some(record) = claimed(context, sight, claim, fingerprint, attempt_id, found.as_ref()) else {
        return Ok(Claimed::Full);
    };
    let written = context.cluster.write_record(&record).await?;
    context.ledger.put(written.clone());
    tracing::info!(instanceID = claim.instance_id, claim = written.spec.claim, "claimed the instance");
    Ok(Claimed::Written(Box::new(written)))
}

/// The record with the claim: one document, so that claim and attempt are one atomic step. `None`: it has no room for another
/// owner.
fn claimed<T: Transport>(
    context: &Context<T>,
    sight: &Sight,
    claim: &Claim,
    fingerprint: &Fingerprint,
    attempt_id: &str,
    found: Option<&ResetRecord>,
) -> Option<ResetRecord> {
    let exists = |owner: &Owner| {
        let object = ObjectRef::<DeserializeGuard<PasswordReset>>::new(&owner.name).within(&owner.namespace);
        context.password_resets.get(&object).is_some()
    };
    let before = found.map(ResetRecord::progress).unwrap_or_default();
    let completed = needed::make_room(&before.completed, &sight.wish.owner, exists)?;
    // The present moment, not the pass's: earlier claims of this pass have taken their time.
    let now = sight.account.as_ref().map_or(sight.now, |account| context.calls.now(account));
    let object = &sight.object.spec;
    let spec = ResetRecordSpec {
        claim: found.map_or(0, |record| record.spec.claim).saturating_add(1),
        claim_time: Time(now),
        owner: sight.wish.owner.clone(),
        account_name: sight.scope.account.clone(),
        region_id: sight.scope.region_id.clone(),
        instance_id: claim.instance_id.clone(),
        tokens: sight.wish.tokens.clone(),
        retry: sight.wish.retry.clone(),
        fingerprint: fingerprint.clone(),
        password_secret_ref: sight.secret.clone(),
        restart_policy: object.restart_policy(),
        max_unavailable: object.max_unavailable(),
        min_ready_seconds: object.min_ready_seconds(),
        timeout_seconds: object.timeout_seconds(),
        stable_state_timeout_seconds: object.stable_state_timeout_seconds(),
        state_seen: claim.state_seen.clone(),
    };
    let status = ResetRecordStatus {
        phase: Phase::SettingPassword,
        attempt: Some(Attempt {
            id: attempt_id.to_owned(),
            process: context.process.clone(),
            number: 1,
            timestamp: Time(now),
            found_unanswered_until: None,
        }),
        unanswered_until: Some(Time(now + context.timing().request_validity)),
        start_time_evidence: before
            .start_time_evidence
            .filter(|_| found.is_some_and(|record| record.spec.account_name == sight.scope.account)),
        last_restart_time: before.last_restart_time,
        row: Some(rollout::claimed_row(claim, now)),
        completed,
        ..ResetRecordStatus::default()
    };
    debug_assert!(status.row.as_ref().is_some_and(|row| row.state == State::SettingPassword));
    let metadata = found.map_or_else(
        || ObjectMeta {
            name: Some(ResetRecord::name_of(&spec.region_id, &spec.instance_id)),
            namespace: Some(context.settings.namespace.clone()),
            ..ObjectMeta::default()
        },
        |record| record.metadata.clone(),
    );
    Some(ResetRecord { metadata, spec, status: Some(status) })
}
