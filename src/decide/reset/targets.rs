//! The targets of an object as a value: which instances it is about. Nothing else reads `spec.instanceIDs` or `spec.selector`.
//!
//! A selector is looked up once for each request: what it matched is in the object's status before the first claim, and stays for that
//! request. A crash, a retag and a second process then all see the same list.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::runs;
use crate::api::Reason;
use crate::api::password_reset::{PasswordResetSpec, PasswordResetStatus, ResolvedTargets, Selector};
use crate::decide::history::{self, Request};
use crate::decide::{Hold, later};

/// How soon a selector is looked up again that has matched none, or too many.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// How long what it has matched for a plan counts.
const PLAN_REFRESH: SignedDuration = SignedDuration::from_mins(5);
/// How many a selector is said to match where ECS does not show all of them.
const CUT_OFF_AT: u32 = 1_000;
/// How many instances a message names.
const NAMED: usize = 10;

/// Which instances an object is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// These, in the order of their ids.
    Known(Vec<String>),
    /// The selector has to be looked up, and what it matches to be stored, before anything else.
    ToResolve,
    /// It was looked up, and nothing can begin.
    Unfit(Hold),
}

impl Targets {
    /// The instances; none where they are not known.
    pub fn ids(&self) -> &[String] {
        if let Self::Known(ids) = self { ids } else { &[] }
    }
}

/// The targets of an object that asks for `request`. `looked_up`: when this process has last looked, which it stores only where something
/// has changed.
pub fn targets(
    spec: &PasswordResetSpec,
    status: &PasswordResetStatus,
    request: &Request,
    looked_up: Option<Timestamp>,
    now: Timestamp,
) -> Targets {
    let Some(selector) = &spec.selector else { return Targets::Known(in_order(spec.instance_ids.clone())) };
    let is_current = |found: &&ResolvedTargets| {
        found.selector == digest(spec, selector)
            && history::covers(&found.tokens, &request.tokens)
            && (!status.run.as_ref().is_some_and(|run| runs::is_of_earlier_password(run, request))
                || found.fingerprint.as_ref().is_some_and(|found_for| !runs::is_outdated(request, found_for)))
    };
    let Some(found) = status.targets.as_ref().filter(is_current) else { return Targets::ToResolve };
    let last = looked_up.unwrap_or(found.resolved_time.0).max(found.resolved_time.0);
    let is_older = |than: SignedDuration| now >= later(last, than);
    match unfit(selector, found) {
        Some(hold) if !is_older(LOOK_AGAIN) => Targets::Unfit(hold.until(later(last, LOOK_AGAIN))),
        None if !spec.is_plan() || !is_older(PLAN_REFRESH) => Targets::Known(found.instance_ids.clone()),
        _ => Targets::ToResolve,
    }
}

/// Whether an object lists an instance, whatever it asks for. One whose selector was not looked up yet may list any.
pub fn lists(spec: &PasswordResetSpec, status: Option<&PasswordResetStatus>, instance_id: &str) -> bool {
    let is_unknown = spec.selector.is_some() && status.is_none_or(|status| status.targets.is_none());
    is_unknown || listed(spec, status).iter().any(|id| id == instance_id)
}

/// The instances that an object's spec or status holds, whatever it asks for.
pub fn listed(spec: &PasswordResetSpec, status: Option<&PasswordResetStatus>) -> Vec<String> {
    let found = status.and_then(|status| status.targets.as_ref()).filter(|_| spec.selector.is_some());
    found.map_or_else(|| in_order(spec.instance_ids.clone()), |found| found.instance_ids.clone())
}

/// Those of an object without a selector.
pub(super) fn of_spec(spec: &PasswordResetSpec) -> Targets {
    Targets::Known(in_order(spec.instance_ids.clone()))
}

fn in_order(ids: Option<Vec<String>>) -> Vec<String> {
    let mut ids = ids.unwrap_or_default();
    ids.sort_unstable();
    ids
}

fn unfit(selector: &Selector, found: &ResolvedTargets) -> Option<Hold> {
    let most = selector.max_targets;
    if found.matched == 0 {
        let message =
            "no instance matches the selector, or none that may be reset from this namespace; nothing was touched";
        return Some(Hold::new(Reason::NoTargets, message));
    }
    if found.matched >= CUT_OFF_AT {
        let message = "ECS shows at most 1,000 instances for a tag or a resource group, and the selector reaches that number before rules and excludeInstanceIDs: some may be missing, and nothing was touched; narrow the selector with more tags, or name the instances in instanceIDs";
        return Some(Hold::new(Reason::TooManyTargets, message));
    }
    (found.matched > most).then(|| {
        let named = found.first_instance_ids.join(", ");
        let message = format!(
            "{} instances match the selector, and maxTargets is {most}; nothing was touched. The first are {named}; narrow the selector or raise maxTargets",
            found.matched
        );
        Hold::new(Reason::TooManyTargets, message)
    })
}

/// What a look-up has found.
pub struct Found {
    /// Those that match and may be reset from the object's namespace.
    pub ids: Vec<String>,
    /// Whether there may be more, which ECS does not show.
    pub is_cut_off: bool,
}

/// What was found for a request, to be stored; `before`, where nothing has changed.
pub fn resolved(
    spec: &PasswordResetSpec,
    selector: &Selector,
    request: &Request,
    before: Option<&ResolvedTargets>,
    found: Found,
    now: Timestamp,
) -> ResolvedTargets {
    let is_excluded =
        |id: &String| selector.exclude_instance_ids.as_ref().is_some_and(|excluded| excluded.contains(id));
    let mut ids = in_order(Some(found.ids.into_iter().filter(|id| !is_excluded(id)).collect()));
    ids.dedup();
    let is_fit = !found.is_cut_off && ids.len() <= selector.max_targets as usize;
    let matched = if found.is_cut_off { CUT_OFF_AT } else { u32::try_from(ids.len()).unwrap_or(u32::MAX) };
    let found = ResolvedTargets {
        matched,
        first_instance_ids: if is_fit { Vec::new() } else { ids.iter().take(NAMED).cloned().collect() },
        instance_ids: if is_fit { ids } else { Vec::new() },
        resolved_time: Time(now),
        selector: digest(spec, selector),
        tokens: request.tokens.clone(),
        fingerprint: request.fingerprint.clone().filter(|_| request.resets_on_change),
    };
    let is_same = |before: &&ResolvedTargets| {
        **before == ResolvedTargets { resolved_time: before.resolved_time.clone(), ..found.clone() }
    };
    before.filter(is_same).cloned().unwrap_or(found)
}

/// Tells one selector from another.
fn digest(spec: &PasswordResetSpec, selector: &Selector) -> String {
    let Selector { tags, names, resource_group_id, exclude_instance_ids, max_targets } = selector;
    let mut text =
        format!("{}\n{max_targets}\n{resource_group_id:?}\n{names:?}\n{exclude_instance_ids:?}", spec.account_name());
    for (key, value) in tags.iter().flatten() {
        let _ = write!(text, "\n{key:?}={:?}", value.0);
    }
    history::token("selector", &text)
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
