//! The run of an object: when it begins, what its password is, and how it is counted.
//!
//! A run begins with its first claim, never before, and nothing that another object does begins one. It has one password: the
//! first that ECS acknowledged. When the Secret's value changes after that, nothing more begins under the run; with
//! `onSecretChange: Reset` the change begins another. Where each instance has a password of its own, none of this applies.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::{ResetFacts, Target};
use crate::api::password_reset::{Requested, Run, Trigger};
use crate::api::reset_record::{Fingerprint, Phase, ResetRecord};
use crate::decide::history::{self, Request};
use crate::decide::memory;

/// The first claim of a run that the status does not show yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// When it was made.
    pub time: Timestamp,
    /// When the last one of the run was made, as far as is known.
    pub last: Timestamp,
    /// Whether some instance was never claimed for the object before.
    pub adds_instances: bool,
    /// Whether some instance gets another password than it was reset with, and that was why.
    pub changes_password: bool,
}

impl Begun {
    /// With a claim that was made besides.
    #[must_use]
    pub fn and(self, other: Option<Self>) -> Self {
        other.map_or(self, |other| Self {
            time: self.time.min(other.time),
            last: self.last.max(other.last),
            adds_instances: self.adds_instances || other.adds_instances,
            changes_password: self.changes_password || other.changes_password,
        })
    }
}

/// The password of the run in progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunPassword {
    /// The fingerprint of the first one that ECS acknowledged; `None`: none was.
    pub fingerprint: Option<Fingerprint>,
    /// How many instances of the run have it.
    pub instances: usize,
    /// Whether some instance of the run has another one.
    pub is_mixed: bool,
    /// An instance whose password is being set and is not the one that the Secret holds now.
    pub other_in_flight: Option<String>,
}

/// Whether the last run is still the one that answers what is asked for.
pub fn goes_on(run: &Run, request: &Request) -> bool {
    run.completion_time.is_none() && answers(run, request)
}

/// Whether a run, ended or not, is one of what is asked for.
pub fn answers(run: &Run, request: &Request) -> bool {
    history::covers(&run.tokens, &request.tokens) && !is_of_earlier_password(run, request)
}

/// Whether a changed Secret asks for another run than this one, whatever else does.
pub(super) fn is_of_earlier_password(run: &Run, request: &Request) -> bool {
    run.fingerprint.as_ref().is_some_and(|of_run| is_outdated(request, of_run))
}

/// Whether a password is not the one that the Secret holds now, and the change asks for a run.
pub(super) fn is_outdated(request: &Request, password: &Fingerprint) -> bool {
    request.resets_on_change && request.fingerprint.as_ref().is_some_and(|now| history::differs(now, password))
}

/// The password that an instance has to get under the run in progress; `None`: any, for none was acknowledged yet, or the
/// claim will begin a run of its own.
pub fn password_for<'a>(object: &'a ResetFacts, target: &Target, password: &'a RunPassword) -> Option<&'a Fingerprint> {
    password.fingerprint.as_ref().or_else(|| {
        let run = object.run.filter(|run| answers(run, object.request))?;
        // To try an instance again goes on with the run that has ended; to add one begins another.
        let is_retry = target.before.is_some_and(|row| row.claim.is_some());
        run.fingerprint.as_ref().filter(|_| is_retry)
    })
}

/// Whether a record holds a claim of the run that answers what is asked for now.
fn holds_claim(object: &ResetFacts, record: &ResetRecord) -> bool {
    let (spec, phase) = (&record.spec, record.phase());
    let is_of_this_run = || match object.run {
        None => spec.owner.uid == object.request.owner.uid || !phase.has_ended(),
        Some(run) if goes_on(run, object.request) => spec.claim_time >= run.start_time,
        Some(Run { completion_time: Some(end), .. }) => !phase.has_ended() || spec.claim_time > *end,
        Some(run) => spec.claim_time > run.start_time,
    };
    spec.owner.is(&object.request.owner)
        && history::covers(&spec.tokens, &object.request.tokens)
        && !is_outdated(object.request, &spec.fingerprint)
        && phase != Phase::Idle
        && !memory::is_incomplete(record)
        && is_of_this_run()
}

/// The first claim of a run that the object's status does not show yet.
pub fn begun(object: &ResetFacts, targets: &[Target]) -> Option<Begun> {
    if object.run.is_some_and(|run| goes_on(run, object.request)) {
        return None;
    }
    let claimed = targets.iter().filter_map(|target| Some((target, target.record?)));
    let begun = claimed.filter(|(_, record)| holds_claim(object, record)).map(|(target, record)| Begun {
        time: record.spec.claim_time.0,
        last: record.spec.claim_time.0,
        adds_instances: !was_claimed_before(target, record.spec.claim),
        changes_password: changes_password(object, target, record),
    });
    begun.reduce(|first, next| first.and(Some(next)))
}

/// Whether a claim was made because its password is another one than that of the end before.
fn changes_password(object: &ResetFacts, target: &Target, record: &ResetRecord) -> bool {
    let entry = target.entry(&object.request.owner).filter(|entry| entry.row.password_set_time.is_some());
    object.request.resets_on_change
        && entry.is_some_and(|entry| history::differs(&entry.fingerprint, &record.spec.fingerprint))
}

/// Whether the object's status shows a claim on the instance that is older than `claim`.
pub(super) fn was_claimed_before(target: &Target, claim: i64) -> bool {
    target.before.and_then(|row| row.claim).is_some_and(|before| before < claim)
}

/// The password of the run that answers what is asked for now.
pub fn password(object: &ResetFacts, targets: &[Target], begun: Option<Begun>) -> RunPassword {
    if object.spec.password_secret_ref.has_key_per_instance() {
        return RunPassword::default();
    }
    let run = object.run.filter(|run| goes_on(run, object.request));
    let start = run.map(|run| run.start_time.0).or(begun.map(|begun| begun.time));
    let set: Vec<_> = start
        .map_or(Vec::new(), |start| targets.iter().filter_map(|target| acknowledged(object, target, start)).collect());
    let first = || set.iter().min_by_key(|(time, _)| *time).map(|(_, fingerprint)| (*fingerprint).clone());
    let fingerprint = run.and_then(|run| run.fingerprint.clone()).or_else(first);
    let differs = |other: &Fingerprint| fingerprint.as_ref().is_some_and(|first| history::differs(first, other));
    RunPassword {
        instances: set.iter().filter(|(_, other)| !differs(other)).count(),
        is_mixed: set.iter().any(|(_, other)| differs(other)),
        other_in_flight: targets
            .iter()
            .find(|target| sets_another(object.request, target))
            .map(|it| it.instance_id.to_owned()),
        fingerprint,
    }
}

/// When ECS acknowledged a password of this run on an instance, and which.
fn acknowledged<'a>(
    object: &ResetFacts,
    target: &Target<'a>,
    start: Timestamp,
) -> Option<(Timestamp, &'a Fingerprint)> {
    let record = target.record?;
    let status = record.status.as_ref()?;
    if holds_claim(object, record)
        && let Some(acknowledged) = &status.password_acknowledged_at
    {
        return Some((acknowledged.0, &record.spec.fingerprint));
    }
    let entry = history::entry_of(&status.completed, &object.request.owner)?;
    let set = entry.row.password_set_time.as_ref().filter(|set| set.0 >= start)?;
    if is_outdated(object.request, &entry.fingerprint) {
        return None;
    }
    history::covers(&entry.tokens, &object.request.tokens).then_some((set.0, &entry.fingerprint))
}

/// Whether a claim of the object is setting another password than the Secret holds now.
fn sets_another(request: &Request, target: &Target) -> bool {
    let is_setting = |record: &&ResetRecord| {
        record.phase() == Phase::SettingPassword
            && record.spec.owner.is(&request.owner)
            && !memory::is_incomplete(record)
    };
    let record = target.record.filter(is_setting);
    record.is_some_and(|record| {
        request.fingerprint.as_ref().is_some_and(|now| history::differs(now, &record.spec.fingerprint))
    })
}

/// Whether the rows of the status answer what is asked for now: then they go on with their states and times.
pub(super) fn is_answered(object: &ResetFacts) -> bool {
    let request = object.request;
    let is_same_password = |requested: &Requested| match &requested.fingerprint {
        Some(asked) => !is_outdated(request, asked),
        None => !object.run.is_some_and(|run| is_of_earlier_password(run, request)),
    };
    object.requested.is_some_and(|requested| {
        history::covers(&requested.tokens, &request.tokens)
            && !history::asks_again(requested.retry.as_ref(), request)
            && is_same_password(requested)
    })
}

/// The run after a pass: the one in the status, or the one that has begun since.
pub fn run(
    object: &ResetFacts,
    begun: Option<Begun>,
    password: &RunPassword,
    has_ended: bool,
    now: Timestamp,
) -> Option<Run> {
    let request = object.request;
    let mut run = match (object.run, begun) {
        (Some(run), Some(begun)) if !goes_on(run, request) => {
            let trigger = trigger(run, request, begun);
            // A retry goes on with what the run was about.
            let fingerprint = run.fingerprint.clone().filter(|_| trigger == Trigger::Retry);
            Run { fingerprint, ..new_run(run.number + 1, trigger, object, begun.time) }
        }
        (None, Some(begun)) => new_run(1, Trigger::Created, object, begun.time),
        (before, _) => before?.clone(),
    };
    if goes_on(&run, request) {
        run.fingerprint = run.fingerprint.or_else(|| password.fingerprint.clone());
        run.retry = request.retry.clone().or(run.retry);
    }
    if has_ended {
        // Its claims are of ECS's clock, which this process may not know yet: none of them begins another run.
        let end = begun.map_or(now, |begun| begun.last.max(now));
        run.completion_time.get_or_insert(Time(end));
        // Nothing was needed for what was asked since: the run answers that too.
        let unheard = request.tokens.iter().filter(|token| !run.tokens.contains(token));
        let unheard: Vec<String> = unheard.cloned().collect();
        run.tokens.extend(unheard);
    }
    Some(run)
}

fn new_run(number: i64, trigger: Trigger, object: &ResetFacts, start: Timestamp) -> Run {
    let request = object.request;
    Run {
        number,
        trigger,
        run_id: object.spec.run_id.clone(),
        tokens: request.tokens.clone(),
        retry: request.retry.clone(),
        fingerprint: None,
        start_time: Time(start),
        completion_time: None,
    }
}

fn trigger(before: &Run, request: &Request, begun: Begun) -> Trigger {
    let asked =
        |kind: &str| request.tokens.iter().any(|token| token.starts_with(kind) && !before.tokens.contains(token));
    if asked("run:") {
        Trigger::RunID
    } else if asked("rerun:") {
        Trigger::RerunRequested
    } else if begun.changes_password {
        Trigger::SecretChanged
    } else if begun.adds_instances {
        Trigger::InstanceAdded
    } else {
        Trigger::Retry
    }
}

/// What the rows answer after a pass. While they have all ended, nothing that was asked for before is forgotten.
pub fn requested(before: Option<Requested>, request: &Request, has_ended: bool) -> Requested {
    let mut requested = match before {
        Some(before) if has_ended || history::covers(&before.tokens, &request.tokens) => before,
        _ => Requested { tokens: Vec::new(), retry: None, fingerprint: None },
    };
    requested.tokens.retain(|token| !request.tokens.contains(token));
    requested.tokens.extend(request.tokens.iter().cloned());
    requested.retry = request.retry.clone().or(requested.retry);
    let asked = request.fingerprint.clone().filter(|_| request.resets_on_change);
    requested.fingerprint = asked.or(requested.fingerprint);
    requested
}
