//! The act step of an object: it writes claims, and a person's decision on an Unknown, each by compare-and-swap on a known version
//! of the record.
//!
//! The claim is also the first attempt: it stores the Timestamp under which the password will be sent. The record's reconciler
//! makes the call itself.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;

use super::observe::ObservedReset;
use crate::api::Reason;
use crate::api::password_reset::State;
use crate::api::reset_record::{Attempt, Fingerprint, Owner, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus};
use crate::clock;
use crate::cluster::ClusterError;
use crate::cluster::objects::ObjectKey;
use crate::controllers::Context;
use crate::decide::budget::AccountBounds;
use crate::decide::claim::step::Change;
use crate::decide::claim::transition;
use crate::decide::reset::facts::{NewClaim, ResetFacts};
use crate::decide::reset::plan::{Plan, plan};
use crate::decide::reset::{remembered, rows};
use crate::decide::windows::WindowState;
use crate::decide::{budget, history, memory};
use crate::ecs::{ApiCall, Transport};

/// How soon to reconcile again after something was read again and found changed.
const AT_ONCE: Duration = Duration::from_millis(10);
/// How soon to reconcile again after a claim that lost to another writer, or that was not answered.
const AFTER_LOST_CLAIM: Duration = Duration::from_millis(500);
/// How soon to reconcile again after a claim that the API server refused.
const AFTER_REFUSED_CLAIM: Duration = Duration::from_secs(10);

/// What became of a claim.
enum ClaimResult {
    /// It is made.
    Written(Box<ResetRecord>),
    /// It is not needed, or not possible, by the record as it is now: the watch will show why.
    NotNow,
    /// A record that may hold a slot of the account is to be read again first.
    Uncertain,
    /// Another object was quicker to take the account's last slot.
    NoAccountSlot,
    /// The record remembers as many owners as it can hold.
    Full,
}

/// Makes the plan's claims, and shows them in its rows. Returns when to reconcile again if not all could be made.
pub(super) async fn make_claims<T: Transport>(
    context: &Context<T>,
    observed: &ObservedReset,
    plan: &mut Plan,
) -> Option<Duration> {
    let (mut again, mut is_checked) = (None, false);
    let claims = std::mem::take(&mut plan.claims);
    for (n, claim) in claims.iter().enumerate() {
        let left = claims.get(n..).unwrap_or_default();
        let Some(fingerprint) = observed.fingerprint_for(&claim.instance_id) else { continue };
        let action = ApiCall::ModifyInstanceAttribute;
        let name = ResetRecord::name_of(&observed.scope.region_id, &claim.instance_id);
        if bounds(observed).is_some() && context.ledger.is_any_doubted() {
            plan.keep_turns(bounds(observed), left);
            return Some(AFTER_LOST_CLAIM);
        }
        let permit = match context.calls.acquire_rate(&observed.scope, action, &name) {
            Ok(permit) => permit,
            Err(at) => {
                plan.keep_turns(bounds(observed), left);
                wait_for_rate(observed, left, plan);
                return Some(clock::until_instant(at));
            }
        };
        if !is_checked && let Some(pause) = changed_since(context, observed, &claims).await {
            plan.keep_turns(bounds(observed), left);
            return Some(pause);
        }
        is_checked = true;
        let attempt_id = context.clock.nonce();
        context.claim_rate_permits.set(&name, (attempt_id.clone(), permit));
        let row = plan.rows.iter_mut().find(|row| row.instance_id == claim.instance_id);
        let claimed = make_claim(context, observed, claim, fingerprint, &attempt_id).await;
        if !matches!(claimed, Ok(ClaimResult::Written(_))) {
            context.claim_rate_permits.take(&name);
        }
        let (reason, message) = match claimed {
            Ok(ClaimResult::Written(record)) => {
                plan.claimed += 1;
                plan.begun = observed.begins_run(&record).map(|begun| begun.and(plan.begun)).or(plan.begun);
                if let (Some(row), Some(claimed)) = (row, record.row()) {
                    row.clone_from(claimed);
                }
                continue;
            }
            Ok(ClaimResult::NotNow) => continue,
            Ok(ClaimResult::Uncertain) => {
                plan.keep_turns(bounds(observed), left);
                return Some(AFTER_LOST_CLAIM);
            }
            Ok(ClaimResult::NoAccountSlot) => {
                plan.keep_turns(bounds(observed), left);
                again = Some(AFTER_LOST_CLAIM);
                continue;
            }
            Err(error @ (ClusterError::Conflict { .. } | ClusterError::Unanswered { .. })) => {
                tracing::info!(instanceID = claim.instance_id, %error, "the claim was not made; looking again");
                plan.keep_turns(bounds(observed), left);
                return Some(AFTER_LOST_CLAIM);
            }
            Ok(ClaimResult::Full) => {
                let message = "its ResetRecord has no room for another PasswordReset; a cluster admin can remove entries that are not needed from its status.completed";
                (Reason::TooManyOwners, message.to_owned())
            }
            Err(error) => (Reason::Pending, format!("it could not be claimed: {error}")),
        };
        tracing::warn!(instanceID = claim.instance_id, %reason, error = message, "the claim was refused");
        again = Some(AFTER_REFUSED_CLAIM);
        if let Some(row) = row {
            *row = rows::unclaimed_row(claim, reason, message, observed.now);
        }
    }
    again
}

/// Shows what claims wait for that are not made yet. Without a time: each has another one, and each pass would write them.
fn wait_for_rate(observed: &ObservedReset, claims: &[NewClaim], plan: &mut Plan) {
    let account = &observed.scope.account;
    let message = format!("ready; limits.requestsPerSecond of ECSAccount {account} spaces the calls out");
    for row in &mut plan.rows {
        if let Some(claim) = claims.iter().find(|claim| claim.instance_id == row.instance_id) {
            *row = rows::unclaimed_row(claim, Reason::HeldBack, message.clone(), observed.now);
        }
    }
}

/// Reads the object and its Secret as they are now, once for all claims of a pass. Returns when to come back if the plan rests on others:
/// a suspend, another spec or another password has not been seen yet.
async fn changed_since<T>(context: &Context<T>, observed: &ObservedReset, claims: &[NewClaim]) -> Option<Duration> {
    let Owner { namespace, name, .. } = &observed.request.owner;
    let key = ObjectKey::new(namespace, name);
    match context.cluster.password_reset(namespace, name).await {
        Ok(object) if object.metadata.resource_version == observed.object.metadata.resource_version => {}
        Ok(object) => {
            tracing::debug!(
                known = observed.object.metadata.resource_version,
                found = object.metadata.resource_version,
                "nothing is claimed yet: the object has changed"
            );
            context.objects.put(object, observed.object.metadata.resource_version.clone());
            return Some(AT_ONCE);
        }
        Err(error) => {
            tracing::info!(%error, "nothing is claimed: the object could not be read");
            context.objects.doubt(&key);
            return Some(AFTER_LOST_CLAIM);
        }
    }
    let any = claims.first().map(|claim| observed.secret_of(&claim.instance_id))?;
    let Ok(secret) = context.secrets.now(&context.cluster, &any).await else { return Some(AT_ONCE) };
    let is_same = |claim: &NewClaim| {
        let password = secret.password(&observed.secret_of(&claim.instance_id)).ok();
        let now = password.map(|password| context.fingerprint_key.of(&observed.request.owner, &password));
        now.as_ref() == observed.fingerprint_for(&claim.instance_id)
    };
    (!claims.iter().all(is_same)).then_some(AT_ONCE)
}

/// Stores a person's decision that an Unknown restart happened, and shows it in the plan's rows.
pub(super) async fn record_decision<T>(
    context: &Context<T>,
    observed: &ObservedReset,
    plan: &mut Plan,
) -> Result<(), ClusterError> {
    let (Some(instance_id), Some(resolution)) = (&plan.happened, &observed.request.resolution) else { return Ok(()) };
    let name = ResetRecord::name_of(&observed.scope.region_id, instance_id);
    let Some(mut record) = context.cluster.record(&name).await? else { return Ok(()) };
    if !resolution.counts(&record, &observed.request.owner, observed.now) {
        return Ok(());
    }
    record.status = Some(transition::apply(&record, Change::Happened, None, observed.now));
    let written = context.write_record(&record).await?;
    tracing::info!(instanceID = instance_id.as_str(), claim = resolution.claim, "a person has decided on the Unknown");
    // If another run was requested meanwhile, leave that run's row alone.
    let row = plan.rows.iter_mut().find(|row| row.instance_id == *instance_id && row.state == State::Unknown);
    if let (Some(row), Some(resolved)) = (row, written.row()) {
        row.clone_from(resolved);
    }
    Ok(())
}

/// Stores for each instance whose memory is lost that it is lost, so that the ordinary rules apply from there. Nothing is sent. Returns
/// whether each loss is certain: a row that tells of one would be newer than a record that was never lost, and so become one.
pub(super) async fn record_losses<T>(context: &Context<T>, observed: &ObservedReset, plan: &mut Plan) -> bool {
    let mut is_certain = true;
    for instance_id in std::mem::take(&mut plan.lost) {
        let failed =
            |error| tracing::warn!(instanceID = instance_id, %error, "a loss of memory could not be written down");
        let name = ResetRecord::name_of(&observed.scope.region_id, &instance_id);
        is_certain &= match context.cluster.record(&name).await {
            Ok(found) => record_loss(context, observed, &instance_id, found).await.unwrap_or_else(|error| {
                // What was read is certain, and is shown although it cannot be stored, unless it was written by another meanwhile.
                let is_certain = !error.shows_another_version();
                failed(error);
                is_certain
            }),
            Err(error) => {
                failed(error);
                false
            }
        };
    }
    is_certain
}

/// Returns whether there was something to write in place of `found`, the record as it is now: if not, the cache was behind.
async fn record_loss<T>(
    context: &Context<T>,
    observed: &ObservedReset,
    instance_id: &str,
    found: Option<ResetRecord>,
) -> Result<bool, ClusterError> {
    let name = ResetRecord::name_of(&observed.scope.region_id, instance_id);
    match &found {
        Some(record) => context.ledger.put(record.clone()),
        None => context.ledger.forget(&name),
    }
    let Some(target) = observed.target_again(instance_id, found.as_ref()) else { return Ok(false) };
    let object = observed.facts();
    let loss = remembered::loss(&object, &target, observed.now)
        .filter(|loss| remembered::may_restore(&object, &target, *loss));
    let Some(loss) = loss else { return Ok(false) };
    let own = remembered::own_memory(&object, &target);
    let spec = match &found {
        Some(record) => record.spec.clone(),
        None => spec(observed, target.before.and_then(|row| row.claim).unwrap_or(1), instance_id, observed.now),
    };
    let (spec, status) = memory::after_loss(found.as_ref(), spec, loss, own, context.bounds(), observed.now);
    let metadata = metadata(context, found.as_ref(), &spec);
    context.write_record(&ResetRecord { metadata, spec, status: Some(status) }).await?;
    tracing::warn!(instanceID = instance_id, ?loss, "the memory of the instance is lost; a person decides");
    Ok(true)
}

fn bounds(observed: &ObservedReset) -> AccountBounds {
    observed.account.as_ref().map(|account| account.bounds()).unwrap_or_default()
}

/// Claims one instance, if the record as it is now allows it.
async fn make_claim<T: Transport>(
    context: &Context<T>,
    observed: &ObservedReset,
    claim: &NewClaim,
    fingerprint: &Fingerprint,
    attempt_id: &str,
) -> Result<ClaimResult, ClusterError> {
    let name = ResetRecord::name_of(&observed.scope.region_id, &claim.instance_id);
    // The decision is on the version that the write replaces. If none is known, the record is created.
    let found = context.ledger.get(&name);
    let found = found.as_deref();
    let Some(target) = observed.target_again(&claim.instance_id, found) else {
        return Ok(ClaimResult::NotNow);
    };
    // The slot was counted for this claim already.
    let again = plan(
        &ResetFacts { slot_holders: &[], account_slots: budget::AccountSlots::default(), ..observed.facts() },
        &[target],
        observed.now,
    );
    if again.claims.is_empty() {
        return Ok(ClaimResult::NotNow);
    }
    // Claims of one account are counted one by one, where it has a bound.
    let bounds = bounds(observed);
    let _counting = if bounds.is_some() { Some(context.counting_slots.lock().await) } else { None };
    if bounds.is_some() {
        if context.ledger.is_any_doubted() {
            return Ok(ClaimResult::Uncertain);
        }
        let open = context.ledger.open_records(&observed.scope.account);
        if !budget::has_account_slot(&open, bounds, &claim.instance_id, &claim.zone_id, false, observed.now) {
            return Ok(ClaimResult::NoAccountSlot);
        }
    }
    let Some(record) = build_claim(context, observed, claim, fingerprint, attempt_id, found) else {
        return Ok(ClaimResult::Full);
    };
    let written = context.write_record(&record).await?;
    tracing::info!(instanceID = claim.instance_id, claim = written.spec.claim, "claimed the instance");
    Ok(ClaimResult::Written(Box::new(written)))
}

/// The record with the claim: one document, so that claim and attempt are one atomic step. `None`: it has no room for another
/// owner.
fn build_claim<T: Transport>(
    context: &Context<T>,
    observed: &ObservedReset,
    claim: &NewClaim,
    fingerprint: &Fingerprint,
    attempt_id: &str,
    found: Option<&ResetRecord>,
) -> Option<ResetRecord> {
    let exists = |owner: &Owner| context.objects.exists(&owner.namespace, &owner.name);
    let before = found.map(ResetRecord::progress).unwrap_or_default();
    let completed = history::make_room(&before.completed, &observed.request.owner, exists)?;
    // The present moment, not the pass's: earlier claims of this pass have taken their time.
    let now = observed.account.as_ref().map_or(observed.now, |account| context.calls.now(account));
    let has_zones = observed.account.as_ref().is_some_and(|account| account.bounds().max_per_zone.is_some());
    // A record that was made again goes on counting where the object's status left off.
    let last = found.map(|record| record.spec.claim).max(claim.row.claim).unwrap_or(0);
    let number = last.saturating_add(1);
    let spec = ResetRecordSpec {
        fingerprint: fingerprint.clone(),
        state_seen: claim.state_seen.clone(),
        zone_id: Some(claim.zone_id.clone()).filter(|zone| has_zones && !zone.is_empty()),
        ..spec(observed, number, &claim.instance_id, now)
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
        unanswered_until: Some(Time(now + context.bounds().request_validity)),
        start_time_evidence: before
            .start_time_evidence
            .filter(|_| found.is_some_and(|record| record.spec.account_name == observed.scope.account)),
        last_restart_time: before.last_restart_time,
        row: Some(rows::initial_row(claim, number, now)),
        memory_lost_time: before.memory_lost_time,
        completed,
        ..ResetRecordStatus::default()
    };
    debug_assert!(status.row.as_ref().is_some_and(|row| row.state == State::SettingPassword));
    Some(ResetRecord { metadata: metadata(context, found, &spec), spec, status: Some(status) })
}

/// A claim as the object asks for it.
fn spec(observed: &ObservedReset, claim: i64, instance_id: &str, now: Timestamp) -> ResetRecordSpec {
    let object = &observed.object.spec;
    let unknown = Fingerprint { key_id: String::new(), value: String::new() };
    ResetRecordSpec {
        claim,
        claim_time: Time(now),
        owner: observed.request.owner.clone(),
        account_name: observed.scope.account.clone(),
        region_id: observed.scope.region_id.clone(),
        instance_id: instance_id.to_owned(),
        tokens: observed.request.tokens.clone(),
        retry: observed.request.retry.clone(),
        fingerprint: observed.fingerprint_for(instance_id).cloned().unwrap_or(unknown),
        password_secret_ref: observed.secret_of(instance_id),
        restart_policy: object.restart_policy(),
        max_unavailable: object.max_unavailable(observed.targets.ids().len()),
        min_ready_seconds: object.min_ready_seconds(),
        timeout_seconds: object.timeout_seconds(),
        stable_state_timeout_seconds: object.stable_state_timeout_seconds(),
        window_end: match &observed.window {
            WindowState::Open(opening) => Some(Time(opening.end)),
            _ => None,
        },
        zone_id: None,
        state_seen: String::new(),
    }
}

fn metadata<T>(context: &Context<T>, found: Option<&ResetRecord>, spec: &ResetRecordSpec) -> ObjectMeta {
    let new = || ObjectMeta {
        name: Some(ResetRecord::name_of(&spec.region_id, &spec.instance_id)),
        namespace: Some(context.settings.namespace.clone()),
        ..ObjectMeta::default()
    };
    found.map_or_else(new, |record| record.metadata.clone())
}
