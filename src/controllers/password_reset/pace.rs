//! When an object's next pass is due: at once after a change of the object, in front of a claim and after the last end; else once a second,
//! since its status shows no more than that. It decides only when to look, and never what is done.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use crate::api::password_reset::PasswordReset;
use crate::api::reset_record::Owner;
use crate::clock;
use crate::cluster::objects::ObjectKey;
use crate::controllers::Context;
use crate::decide::reset::plan::Plan;

/// How far apart two passes are that nothing but rows has called for.
const APART: Duration = Duration::from_secs(1);

/// The last pass of an object.
#[derive(Clone)]
pub struct LastPass {
    began: Instant,
    /// When it wanted to come back.
    due: Option<Instant>,
    generation: Option<i64>,
    annotations: BTreeMap<String, String>,
    /// Whether instances wait to be claimed.
    has_waiting: bool,
}

impl LastPass {
    /// Whether the object is still what this pass saw, its status apart.
    fn saw(&self, object: &PasswordReset) -> bool {
        self.generation == object.metadata.generation && self.annotations == *object.annotations()
    }
}

/// How long a pass over an object is to wait; `None`: it is due.
pub(super) fn not_yet<T>(context: &Context<T>, key: &ObjectKey, object: &PasswordReset) -> Option<Duration> {
    let is_urgent = context.urgent.take(key);
    let last = context.last_passes.get(&super::key(&key.namespace, &key.name)).filter(|last| last.saw(object))?;
    if is_urgent && (last.has_waiting || !is_in_flight(context, object)) {
        return None;
    }
    let next = (last.began + APART).min(last.due.unwrap_or(last.began + APART));
    Some(next.saturating_duration_since(clock::instant())).filter(|pause| !pause.is_zero())
}

/// Whether the object has been changed since its last pass, its status apart.
pub(super) fn is_changed<T>(context: &Context<T>, object: &PasswordReset) -> bool {
    let key = super::key(&object.namespace().unwrap_or_default(), &object.name_any());
    !context.last_passes.get(&key).is_some_and(|last| last.saw(object))
}

/// Notes a pass, and when it wants to come back.
pub(super) fn note<T>(
    context: &Context<T>,
    began: Instant,
    object: &PasswordReset,
    plan: &Plan,
    pause: Option<Duration>,
) {
    let key = super::key(&object.namespace().unwrap_or_default(), &object.name_any());
    let last = LastPass {
        began,
        due: pause.map(|pause| clock::instant() + pause),
        generation: object.metadata.generation,
        annotations: object.annotations().clone(),
        has_waiting: !plan.watch.is_empty() || plan.rows.iter().any(|row| !row.state.has_ended() && row.attempts == 0),
    };
    context.last_passes.set(&key, last);
}

/// Whether a claim of the object has not ended.
fn is_in_flight<T>(context: &Context<T>, object: &PasswordReset) -> bool {
    let owner = Owner {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
    };
    context.ledger.holders(&owner).iter().any(|record| !record.phase().has_ended())
}
