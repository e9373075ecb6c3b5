//! The observe step: all facts that the plan of one object is based on. Reads only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::denials;
use super::password::{self, Passwords};
use crate::api::password_reset::{PasswordReset, PasswordResetStatus, Requested};
use crate::api::reset_record::{ClaimedSecretRef, Fingerprint, Owner, ResetRecord};
use crate::api::{RERUN_REQUESTED_AT, RESOLVE_UNKNOWN, RETRY_REQUESTED_AT, Reason};
use crate::clock;
use crate::cloud::accounts::{UsableAccount, not_ready};
use crate::cloud::readings;
use crate::cluster::guarded::Guarded;
use crate::cluster::objects::ObjectKey;
use crate::controllers::{Context, reset_record, turns};
use crate::decide::history::{self, Request};
use crate::decide::reset::facts::{BadRecord, OwnPassword, ReadHold, ResetFacts, Target};
use crate::decide::reset::password_rules::Broken;
use crate::decide::reset::runs::{self, Begun};
use crate::decide::reset::targets::{self, Targets};
use crate::decide::resolution::Resolution;
use crate::decide::windows::{self, WindowState};
use crate::decide::{Hold, Reading, budget, later};
use crate::ecs::{Scope, Transport};

/// The facts of one object. It holds no password: only its fingerprint, and which rule the password breaks.
pub(super) struct ObservedReset {
    /// The object, in its newest known version.
    pub(super) object: Arc<PasswordReset>,
    /// Its present status.
    pub(super) before: PasswordResetStatus,
    /// What that status answers.
    requested: Option<Requested>,
    /// What it asks for.
    pub(super) request: Request,
    /// The moment, on ECS's clock.
    pub(super) now: Timestamp,
    /// The account, where it can be used.
    pub(super) account: Option<Arc<UsableAccount>>,
    /// Where its instances are read.
    pub(super) scope: Scope,
    /// Its Secret.
    pub(super) secret: ObjectKey,
    /// The Secret's version as read, where it was.
    pub(super) secret_version: Option<String>,
    /// Which instances it is about.
    pub(super) targets: Targets,
    /// One for each of them.
    instances: Vec<OwnedTarget>,
    /// What its maintenance windows say of now.
    pub(super) window: WindowState,
    is_account_suspended: bool,
    throttled_until: Option<Timestamp>,
    account_hold: Option<Hold>,
    pub(super) secret_hold: Option<Hold>,
    broken: Option<Broken>,
    broken_on_windows: Option<Broken>,
    may_describe: Option<bool>,
    slot_holders: Vec<budget::Holder>,
    account_slots: budget::AccountSlots,
    usual_restart: Option<SignedDuration>,
    /// What keeps instances from being read, if anything does.
    pub(super) read_hold: Option<ReadHold>,
}

struct OwnedTarget {
    instance_id: String,
    claimed_by_another: bool,
    record: Option<Arc<ResetRecord>>,
    bad_record: Option<BadRecord>,
    reading: Option<Reading>,
    own_password: Option<OwnPassword>,
}

impl OwnedTarget {
    /// Removes what is known of an instance that the account's rules do not cover.
    fn redacted(self) -> Self {
        Self { reading: self.reading.map(Reading::redacted), ..self }
    }
}

/// Reads the records of lost races, and those that were deleted, as it seems, while there was no watch: nothing tells of that, and
/// slots would stay taken.
async fn read_doubted<T>(context: &Context<T>) {
    for name in context.ledger.doubted() {
        // Another pass may have read it meanwhile.
        if !context.ledger.is_doubted(&name) {
            continue;
        }
        let known = context.ledger.get(&name);
        let owner = known.as_ref().map(|record| &record.spec.owner);
        match reset_record::read_again(context, &name).await {
            Ok(()) if context.ledger.get(&name).is_none() => {
                tracing::warn!(
                    record = name,
                    namespace = owner.map(|owner| owner.namespace.as_str()),
                    name = owner.map(|owner| owner.name.as_str()),
                    "the record was deleted; what was done to its instance is forgotten"
                );
            }
            Ok(()) => {}
            // It stays in doubt, and the next pass asks again.
            Err(error) => tracing::debug!(record = name, %error, "the record could not be read"),
        }
    }
}

/// `None`: the account exists but has not been checked yet. That happens only at the start.
pub(super) async fn observe<T: Transport>(context: &Context<T>, object: Arc<PasswordReset>) -> Option<ObservedReset> {
    read_doubted(context).await;
    let namespace = object.namespace().unwrap_or_default();
    let account_name = object.spec.account_name().to_owned();
    let account = account(context, &account_name).ok()?;
    let region = &object.spec.region_id;
    let account = account.and_then(|account| match account.hold_for(&namespace, region) {
        Some(hold) => Err(hold),
        None => Ok(account),
    });
    let (account, account_hold) = match account {
        Ok(account) => (Some(account), None),
        Err(hold) => (None, Some(hold)),
    };
    // A missing policy holds back new claims only: the account stays usable for those in flight.
    let account_hold =
        account_hold.or_else(|| context.policies.hold_all().map(|hold| not_ready(&account_name, hold.reason)));
    let local = context.clock.now();
    let now = account.as_ref().map_or(local, |account| account.clock().now(local));

    let owner = Owner { namespace, name: object.name_any(), uid: object.uid().unwrap_or_default() };
    let passwords = Passwords::read(context, &object, &owner).await;
    let before = object.status.clone().unwrap_or_default();
    let requested = before.requested();
    let request = request(&object, owner, requested.as_ref(), passwords.fingerprint.clone());

    let scope = Scope { account: account_name, region_id: region.clone() };
    let looked_up = context.looked_up.get(&super::key(&request.owner.namespace, &request.owner.name));
    let targets = targets::targets(&object.spec, &before, &request, looked_up, now);
    let instances: Vec<OwnedTarget> = targets
        .ids()
        .iter()
        .cloned()
        .map(|instance_id| (context.ledger.get(&ResetRecord::name_of(region, &instance_id)), instance_id))
        .map(|(record, instance_id)| OwnedTarget {
            claimed_by_another: claimed_by_another(context, &request.owner, region, &instance_id),
            bad_record: match record {
                None => context.ledger.record_problem(&ResetRecord::name_of(region, &instance_id)),
                Some(_) => None,
            },
            record,
            reading: context
                .instances
                .latest(&scope, &instance_id)
                .map(|observation| readings::reading(&observation, account.as_deref(), &request.owner.namespace)),
            own_password: passwords.of_instance(context, &object, &request.owner, &instance_id),
            instance_id,
        })
        .collect();
    let missing = instances.iter().find(|seen| seen.reading.as_ref().is_some_and(|reading| reading.seen.is_none()));
    let poll_error = context.instances.poll_error(&scope);
    let may_describe = match (missing, &account) {
        // If ECS does not answer, the dry run would delay this reconcile and others.
        (Some(missing), Some(account)) if poll_error.is_none() => {
            may_describe(context, account, &scope, &missing.instance_id, now).await
        }
        _ => None,
    };
    if let Some(account) = &account {
        let readings = instances.iter().filter_map(|seen| Some((seen.instance_id.as_str(), seen.reading.as_ref()?)));
        denials::note(context, account, &request.owner, may_describe, readings);
    }
    let reading_of = |id: &str| instances.iter().find(|seen| seen.instance_id == id)?.reading.clone();
    let slot_holders =
        budget::holders(&context.ledger.holders(&request.owner), &request.owner, reading_of, context.bounds(), now);
    let instances = instances.into_iter().map(OwnedTarget::redacted).collect::<Vec<_>>();
    Some(ObservedReset {
        slot_holders,
        targets,
        account_slots: account_slots(context, account.as_deref(), &request.owner, &instances, now),
        usual_restart: context.ledger.usual_restart(&scope.account, region),
        read_hold: poll_error.map(|error| readings::read_hold_of(&error, &scope)),
        window: windows::at(object.spec.windows.as_deref(), now),
        throttled_until: throttled_until(context, &scope, now),
        is_account_suspended: context.is_suspended(&scope.account),
        broken: passwords.broken,
        broken_on_windows: passwords.broken_on_windows,
        secret: password::secret_of(&object),
        secret_version: passwords.version(),
        secret_hold: passwords.hold,
        before,
        requested,
        object,
        request,
        now,
        account,
        scope,
        instances,
        account_hold,
        may_describe,
    })
}

/// The slots of the account, where it has a bound for all objects.
fn account_slots<T>(
    context: &Context<T>,
    account: Option<&UsableAccount>,
    owner: &Owner,
    instances: &[OwnedTarget],
    now: Timestamp,
) -> budget::AccountSlots {
    let bounds = account.map(UsableAccount::bounds).unwrap_or_default();
    let Some(account) = account.filter(|_| bounds.is_some()) else { return budget::AccountSlots::default() };
    let open = context.ledger.open_records(&account.name);
    let object = super::key(&owner.namespace, &owner.name);
    let outlook = |record: &ResetRecord| {
        let observation = context.instances.latest(&readings::scope(&record.spec), &record.spec.instance_id);
        let reading = observation.map(|it| readings::reading(&it, Some(account), &record.spec.owner.namespace));
        budget::outlook(record, reading.as_ref(), context.bounds())
    };
    let slots = |max: u32, zone: Option<&str>| {
        let older = context.turns.older(&turns::queue(&account.name, zone), &object);
        budget::slots(&open, zone, max, older, &owner.namespace, outlook, now)
    };
    let zone = |target: &OwnedTarget| target.reading.as_ref()?.seen.as_ref().map(|seen| seen.zone_id.clone());
    let zones = instances.iter().filter_map(zone).collect::<BTreeSet<String>>();
    budget::AccountSlots {
        total: bounds.max.map(|max| slots(max, None)),
        zones: bounds.max_per_zone.map_or_else(BTreeMap::new, |max| {
            zones.into_iter().map(|zone| (zone.clone(), slots(max, Some(&zone)))).collect()
        }),
    }
}

/// What an object asks for.
fn request(
    object: &PasswordReset,
    owner: Owner,
    requested: Option<&Requested>,
    fingerprint: Option<Fingerprint>,
) -> Request {
    let annotation = |name: &str| object.annotations().get(name).map(String::as_str);
    Request {
        tokens: history::tokens(object.spec.run_id.as_deref(), annotation(RERUN_REQUESTED_AT)),
        retry: history::retry(annotation(RETRY_REQUESTED_AT), requested),
        fingerprint,
        resets_on_change: object.spec.resets_on_change(),
        resolution: annotation(RESOLVE_UNKNOWN).and_then(Resolution::parse),
        owner,
    }
}

/// Whether another object's status, as last watched, shows a claim on the instance that has not ended.
fn claimed_by_another<T>(context: &Context<T>, owner: &Owner, region: &str, instance_id: &str) -> bool {
    let others = context.objects.naming(region, instance_id).into_iter();
    let mut others = others.filter(|key| (&key.namespace, &key.name) != (&owner.namespace, &owner.name));
    others.any(|key| {
        let object = context.objects.shown(&key.namespace, &key.name).and_then(Result::ok);
        let row = object.as_ref().and_then(|object| object.status.as_ref()?.row(instance_id));
        row.is_some_and(|row| row.attempts > 0 && !row.state.has_ended())
    })
}

/// Until when ECS throttles the account's changing calls, on ECS's clock and in whole seconds: it is shown, and must not differ from
/// pass to pass.
fn throttled_until<T: Transport>(context: &Context<T>, scope: &Scope, now: Timestamp) -> Option<Timestamp> {
    let until = context.calls.throttled_until(scope)?;
    let pause = SignedDuration::try_from(clock::until_instant(until)).ok()?;
    Timestamp::from_second(later(now, pause).as_second() + 1).ok()
}

/// The account exists, but this process has not checked it yet.
struct NotCheckedYet;

/// The account as last checked; else why an object cannot have one.
fn account<T>(context: &Context<T>, name: &str) -> Result<Result<Arc<UsableAccount>, Hold>, NotCheckedYet> {
    let hold = |reason, message| Ok(Err(Hold::new(reason, message)));
    match context.ecs_accounts.get(&ObjectRef::new(name)).as_deref() {
        None => hold(
            Reason::AccountNotFound,
            format!("ECSAccount {name} does not exist; check spec.accountRef, or have an administrator create it"),
        ),
        Some(Guarded(Err(_))) => Ok(Err(not_ready(name, Reason::InvalidSpec))),
        Some(Guarded(Ok(_))) => context.accounts.get(name).map(Ok).ok_or(NotCheckedYet),
    }
}

/// Asks ECS, with a dry run, whether the identity may describe instances: an empty answer does not tell.
async fn may_describe<T: Transport>(
    context: &Context<T>,
    account: &UsableAccount,
    scope: &Scope,
    instance_id: &str,
    now: Timestamp,
) -> Option<bool> {
    if let Some(known) = account.may_describe(&scope.region_id, now) {
        return Some(known);
    }
    let may = readings::may_describe(&context.calls, account, scope, instance_id, now).await?;
    account.set_may_describe(&scope.region_id, may, now);
    Some(may)
}

impl ObservedReset {
    /// What the decisions take.
    pub(super) fn facts(&self) -> ResetFacts<'_> {
        let account = self.account.as_ref();
        ResetFacts {
            generation: self.object.metadata.generation,
            spec: &self.object.spec,
            targets: Cow::Borrowed(&self.targets),
            before: &self.before,
            request: &self.request,
            rerun_requested_at: self.object.annotations().get(RERUN_REQUESTED_AT).map(String::as_str),
            asks_to_resolve: self.object.annotations().contains_key(RESOLVE_UNKNOWN),
            run: self.before.run.as_ref(),
            requested: self.requested.as_ref(),
            window: self.window.clone(),
            suspended_account: self.is_account_suspended.then_some(self.scope.account.as_str()),
            throttled_until: self.throttled_until,
            account_hold: self.account_hold.as_ref(),
            secret_hold: self.secret_hold.as_ref(),
            broken: self.broken,
            broken_on_windows: self.broken_on_windows,
            hides_unpermitted: account.is_none_or(|account| account.spec.rules.is_some()),
            may_describe: self.may_describe,
            read_hold: self.read_hold.as_ref(),
            slot_holders: &self.slot_holders,
            account_slots: self.account_slots.clone(),
            usual_restart: self.usual_restart,
            min_restart_interval_seconds: account.map_or(0, |account| account.spec.min_restart_interval_seconds()),
        }
    }

    /// The hold by the account, where it holds up what has begun too.
    pub(super) fn account_out_of_use(&self) -> Option<&Hold> {
        self.account_hold.as_ref().filter(|_| self.account.is_none())
    }

    /// The instances, for the plan.
    pub(super) fn targets(&self) -> Vec<Target<'_>> {
        self.instances.iter().map(|seen| self.target(seen, seen.record.as_deref())).collect()
    }

    /// One instance with its record as known, for a second judgement before its claim.
    pub(super) fn target_again<'a>(&'a self, instance_id: &str, record: Option<&'a ResetRecord>) -> Option<Target<'a>> {
        let seen = self.instances.iter().find(|seen| seen.instance_id == instance_id)?;
        Some(self.target(seen, record))
    }

    fn target<'a>(&'a self, seen: &'a OwnedTarget, record: Option<&'a ResetRecord>) -> Target<'a> {
        Target {
            instance_id: &seen.instance_id,
            record,
            bad_record: seen.bad_record,
            claimed_by_another: seen.claimed_by_another,
            before: self.before.row(&seen.instance_id),
            reading: seen.reading.as_ref(),
            own_password: seen.own_password.as_ref(),
        }
    }

    /// Where the password for an instance is.
    pub(super) fn secret_of(&self, instance_id: &str) -> ClaimedSecretRef {
        password::reference(&self.object, instance_id)
    }

    /// The fingerprint of the password that an instance would get, when that could be read.
    pub(super) fn fingerprint_for(&self, instance_id: &str) -> Option<&Fingerprint> {
        let seen = self.instances.iter().find(|seen| seen.instance_id == instance_id)?;
        seen.own_password.as_ref().map_or(self.request.fingerprint.as_ref(), |own| own.fingerprint.as_ref())
    }

    /// The run that a claim which was just made has begun, if it has.
    pub(super) fn begins_run(&self, record: &ResetRecord) -> Option<Begun> {
        let target = self.target_again(&record.spec.instance_id, Some(record))?;
        runs::begun(&self.facts(), &[target])
    }
}
