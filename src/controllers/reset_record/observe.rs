//! The observe step: all facts that decide the next step of one instance. Reads only.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;

use super::absent;
use crate::api::Reason;
use crate::api::ecs_account::StartTimeFollowsReboot;
use crate::api::password_reset::InstanceRow;
use crate::api::reset_record::{Phase, ResetRecord, ResetRecordSpec};
use crate::clock;
use crate::cloud::accounts::UsableAccount;
use crate::cloud::readings;
use crate::cluster::objects::ObjectKey;
use crate::controllers::Context;
use crate::decide::claim::consent;
use crate::decide::claim::start_time_evidence;
use crate::decide::claim::step::{Call, ClaimFacts, Sendable};
use crate::decide::reset::targets;
use crate::decide::restart_hold::{self, ClaimOwner, RestartHold};
use crate::decide::{Hold, Reading, budget, later, newest_moment, reckoned};
use crate::ecs::Transport;

/// How soon an owner that is gone may come back: replacing an object means deleting it first.
const REPLACED_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// The facts of one claim. It has no Debug because it holds the password on its way to the call.
pub(super) struct ObservedClaim {
    /// The moment of the decision, on ECS's clock.
    pub(super) now: Timestamp,
    /// Whether `now` is what ECS's clock shows, and not only the least that it can show. Without that nothing is read and nothing sent.
    pub(super) is_timed: bool,
    /// The claim's account, if it is known.
    pub(super) account: Option<Arc<UsableAccount>>,
    /// The latest reading of the instance.
    pub(super) reading: Option<Reading>,
    /// The claimed password, where it is to be sent.
    pub(super) password: Option<SecretString>,
    sendable: Sendable,
    restart_hold: RestartHold,
    start_time_follows_reboot: bool,
    others_away: u32,
    is_listed: bool,
    owner_row: Option<InstanceRow>,
    describable_since: Option<Timestamp>,
}

impl ObservedClaim {
    /// What the decision takes.
    pub(super) fn facts<'a, T>(&'a self, context: &'a Context<T>, record: &'a ResetRecord) -> ClaimFacts<'a> {
        ClaimFacts {
            record,
            process: &context.process,
            unsent: is_unsent(context, record),
            reading: self.reading.as_ref(),
            sendable: self.sendable.clone(),
            restart_hold: self.restart_hold.clone(),
            start_time_follows_reboot: self.start_time_follows_reboot,
            others_away: self.others_away,
            is_listed: self.is_listed,
            owner_row: self.owner_row.as_ref(),
            describable_since: self.describable_since,
            bounds: context.bounds(),
        }
    }

    /// The moment now, on ECS's clock, after a call. Only where ECS's time is known.
    pub(super) fn later<T>(&self, context: &Context<T>) -> Timestamp {
        let local = context.clock.now();
        self.account.as_ref().map_or(local, |account| account.clock().now(local))
    }
}

/// Until an answer of ECS has shown its time, the moment is reckoned. That ends claims by their deadlines, and does nothing else: a
/// reading would be dated by another clock.
pub(super) async fn observe<T: Transport>(context: &Context<T>, record: &ResetRecord) -> ObservedClaim {
    let spec = &record.spec;
    let account = context.accounts.get(&spec.account_name);
    let local = context.clock.now();
    let exists = context.ecs_accounts.get(&ObjectRef::new(&spec.account_name)).is_some();
    let known = match &account {
        Some(account) => account.clock().skew().map(|_| account.clock().now(local)),
        None if exists => None,
        // The account is gone. Its claims still end, by the only clock that is left.
        None => Some(local),
    };
    let Some(now) = known else { return untimed(context, record, account).await };
    context.untimed_since.take(&record.name_any());
    let phase = record.phase();
    let (sendable, password) = sendable(context, spec, phase, account.as_deref()).await;
    let reading = reading(context, spec, account.as_deref());
    ObservedClaim {
        now,
        is_timed: true,
        describable_since: absent::describable_since(context, record, account.as_deref(), reading.as_ref(), now).await,
        reading,
        password,
        sendable,
        restart_hold: restart_hold(context, record, now),
        start_time_follows_reboot: matches!(phase, Phase::RestartRequested | Phase::Restarting)
            && start_time_follows_reboot(context, spec),
        others_away: others_away(context, record, now),
        is_listed: is_listed(context, record, now),
        owner_row: owner_row(context, spec),
        account,
    }
}

/// The facts of a record while ECS's time is not known: nothing by which anything is proven, sent or given to others.
async fn untimed<T: Transport>(
    context: &Context<T>,
    record: &ResetRecord,
    account: Option<Arc<UsableAccount>>,
) -> ObservedClaim {
    let spec = &record.spec;
    let (name, newest) = (record.name_any(), newest_moment(record));
    let before = context.untimed_since.get(&name).filter(|(moment, _)| *moment == newest);
    let (_, since) = before.unwrap_or_else(|| (newest, clock::instant()));
    context.untimed_since.set(&name, (newest, since));
    let seen_for = SignedDuration::try_from(clock::instant() - since).unwrap_or(SignedDuration::MAX);
    let sendable = match &account {
        Some(account) => sendable(context, spec, record.phase(), Some(account)).await.0,
        None => {
            Sendable::NotNow(format!("ECSAccount {} cannot be read, or has not been checked yet", spec.account_name))
        }
    };
    let sendable = match sendable {
        Sendable::Yes => Sendable::NotNow(format!("ECS has not answered through ECSAccount {} yet", spec.account_name)),
        other => other,
    };
    ObservedClaim {
        now: reckoned(newest, seen_for),
        is_timed: false,
        account,
        reading: None,
        password: None,
        sendable,
        restart_hold: restart_hold(context, record, reckoned(newest, seen_for)),
        start_time_follows_reboot: false,
        others_away: u32::MAX,
        is_listed: true,
        owner_row: owner_row(context, spec),
        describable_since: None,
    }
}

/// The latest reading of the claim's instance, by the rules of `account`.
fn reading<T>(context: &Context<T>, spec: &ResetRecordSpec, account: Option<&UsableAccount>) -> Option<Reading> {
    let observation = context.instances.latest(&readings::scope(spec), &spec.instance_id)?;
    let mut reading = readings::reading(&observation, account, &spec.owner.namespace);
    if let (None, Some(seen)) = (account, &mut reading.seen) {
        // Nothing is sent for an account that is gone, but not because of its rules: see `sendable`.
        seen.permitted = true;
    }
    Some(reading)
}

/// The last check before a send, of the account and the instance as they are known now: the account may have withdrawn its
/// consent since the reconcile began.
///
/// # Errors
/// Why the call may not be sent.
pub(super) fn may_send_now<T>(
    context: &Context<T>,
    observed: &ObservedClaim,
    record: &ResetRecord,
    call: Call,
) -> Result<(), Hold> {
    let spec = &record.spec;
    let account = context.accounts.get(&spec.account_name).ok_or_else(|| not_known(&spec.account_name))?;
    if let Some(hold) = account.hold_for(&spec.owner.namespace, &spec.region_id) {
        return Err(hold);
    }
    if matches!(call, Call::Restart { .. }) {
        match restart_hold(context, record, observed.later(context)) {
            RestartHold::None => {}
            RestartHold::Held(hold) => return Err(hold),
            RestartHold::Over => {
                let message =
                    "the PasswordReset is gone, and its restart was held back or its maintenance window is closed";
                return Err(Hold::new(Reason::OwnerGone, message));
            }
        }
    }
    consent::consent_before_send(reading(context, spec, Some(&account)).as_ref(), observed.later(context))
}

/// The hold for an account that does not exist or has not been checked yet.
pub(super) fn not_known(account: &str) -> Hold {
    Hold::new(Reason::AccountNotReady, format!("ECSAccount {account} is not known"))
}

fn others_away<T>(context: &Context<T>, record: &ResetRecord, now: Timestamp) -> u32 {
    budget::others_away(&context.ledger.away(&record.spec.owner), record, now)
}

/// Whether the claim's owner, as last watched, lists the instance. One that cannot be read has not taken it off, and one that is gone
/// only once this process has missed it for long.
fn is_listed<T>(context: &Context<T>, record: &ResetRecord, now: Timestamp) -> bool {
    let ResetRecordSpec { owner, instance_id, .. } = &record.spec;
    let Some(object) = context.objects.shown(&owner.namespace, &owner.name) else {
        let since = context.owner_missed_since.get(&record.name_any()).unwrap_or(now);
        context.owner_missed_since.set(&record.name_any(), since);
        return now < later(since, REPLACED_WITHIN);
    };
    context.owner_missed_since.take(&record.name_any());
    object.map_or(true, |object| targets::lists(&object.spec, object.status.as_ref(), instance_id))
}

/// Whether the record's restart may be requested, as its owner and its account were last watched.
fn restart_hold<T>(context: &Context<T>, record: &ResetRecord, now: Timestamp) -> RestartHold {
    let spec = &record.spec;
    let object = context.objects.shown(&spec.owner.namespace, &spec.owner.name);
    let owner = match &object {
        Some(Ok(object)) => ClaimOwner::Known(&object.spec),
        None if !is_listed(context, record, now) => ClaimOwner::Gone,
        Some(Err(_)) | None => ClaimOwner::NotKnown,
    };
    let suspended = context.is_suspended(&spec.account_name).then_some(spec.account_name.as_str());
    restart_hold::restart_hold(owner, suspended, record, now)
}

/// The instance's row in its owner's status, in the newest form that this process knows: a record that was restored may be older than
/// what the watch has not shown yet.
fn owner_row<T>(context: &Context<T>, spec: &ResetRecordSpec) -> Option<InstanceRow> {
    let ResetRecordSpec { owner, instance_id, .. } = spec;
    let key = ObjectKey::new(&owner.namespace, &owner.name);
    context.objects.get(&key).ok()?.status.as_ref()?.row(instance_id).cloned()
}

/// Whether a restart of the record's instance may be stored, as far as slots go. A record in doubt may hold the last one.
pub(super) fn has_slot<T>(context: &Context<T>, record: &ResetRecord, now: Timestamp) -> bool {
    if context.ledger.is_any_doubted() {
        return false;
    }
    let account = context.accounts.get(&record.spec.account_name);
    let bounds = account.map(|account| account.bounds()).unwrap_or_default();
    let has_account_slot = || {
        let ResetRecordSpec { account_name, instance_id, zone_id, .. } = &record.spec;
        let open = context.ledger.open_records(account_name);
        budget::has_account_slot(&open, bounds, instance_id, zone_id.as_deref().unwrap_or_default(), true, now)
    };
    (!bounds.is_some() || has_account_slot()) && others_away(context, record, now) < record.spec.max_unavailable
}

/// Whether StartTime is known to follow reboots where the claim's instance is.
fn start_time_follows_reboot<T>(context: &Context<T>, spec: &ResetRecordSpec) -> bool {
    let account = context.ecs_accounts.get(&ObjectRef::new(&spec.account_name));
    let status = account.as_ref().and_then(|guard| guard.0.as_ref().ok()?.status.as_ref());
    let known = status.map(|status| status.start_time_follows_reboot(&spec.region_id)).unwrap_or_default();
    let evidence = context.ledger.evidence(&spec.account_name, &spec.region_id);
    start_time_evidence::learn(known, evidence) == StartTimeFollowsReboot::Observed
}

/// Whether the record's attempt is this process's own and was never sent.
fn is_unsent<T>(context: &Context<T>, record: &ResetRecord) -> bool {
    let attempt = record.status.as_ref().and_then(|status| status.attempt.as_ref());
    attempt.is_some_and(|attempt| {
        attempt.process == context.process && context.sent.get(&record.name_any()).as_ref() != Some(&attempt.id)
    })
}

/// Whether the phase's call can be made; where that is the password's, also the password.
async fn sendable<T>(
    context: &Context<T>,
    spec: &ResetRecordSpec,
    phase: Phase,
    account: Option<&UsableAccount>,
) -> (Sendable, Option<SecretString>) {
    let Some(account) = account else {
        let why = format!("ECSAccount {} does not exist", spec.account_name);
        // A password that can no longer be sent gives its claim back. Once it is set, the claim waits until its deadline, because
        // replacing an account means deleting it first.
        let is_to_be_set = phase == Phase::SettingPassword;
        return (if is_to_be_set { Sendable::Never(why) } else { Sendable::NotNow(why) }, None);
    };
    match account.hold_for(&spec.owner.namespace, &spec.region_id) {
        Some(hold) if hold.reason.passes_by_itself() => return (Sendable::NotNow(hold.message), None),
        Some(hold) => return (Sendable::Never(hold.message), None),
        None if phase != Phase::SettingPassword => return (Sendable::Yes, None),
        None => {}
    }
    if spec.fingerprint.key_id != context.fingerprint_key.id() {
        return (Sendable::Never("the fingerprint key was replaced".to_owned()), None);
    }
    let is_claimed = |password: &SecretString| context.fingerprint_key.of(&spec.owner, password) == spec.fingerprint;
    let (cluster, reference) = (&context.cluster, &spec.password_secret_ref);
    match context.secrets.now(cluster, reference).await.and_then(|secret| secret.password(reference)) {
        Ok(password) if is_claimed(&password) => (Sendable::Yes, Some(password)),
        Ok(_) => (Sendable::Never("the Secret was changed after the claim".to_owned()), None),
        Err(hold) if hold.reason.is_secret_lost() => (Sendable::Never(hold.message), None),
        Err(hold) => (Sendable::NotNow(hold.message), None),
    }
}
