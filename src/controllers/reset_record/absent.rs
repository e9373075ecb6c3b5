//! Whether the account may describe an instance that readings do not show: asked with a dry run, and remembered while the instance is
//! absent. Reads only, and decides nothing.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::reset_record::ResetRecord;
use crate::clock;
use crate::cloud::accounts::UsableAccount;
use crate::cloud::readings;
use crate::controllers::Context;
use crate::decide::Reading;
use crate::ecs::Transport;

/// How long the answer of a dry run counts.
const ANSWER: SignedDuration = SignedDuration::from_secs(60);

/// What the dry runs for an absent instance have said.
#[derive(Clone, Debug)]
pub struct Absent {
    account: String,
    /// When the last one was answered.
    asked: Timestamp,
    /// When the first of the unbroken row that said yes was answered; `None`: the last one said no.
    describable_since: Option<Timestamp>,
}

/// Since when dry runs say that the account may describe the record's instance, while `reading` does not show it. The moment is
/// that of the answer: the permission was there before it.
pub(super) async fn describable_since<T: Transport>(
    context: &Context<T>,
    record: &ResetRecord,
    account: Option<&UsableAccount>,
    reading: Option<&Reading>,
    now: Timestamp,
) -> Option<Timestamp> {
    let (name, spec) = (record.name_any(), &record.spec);
    if reading?.seen.is_some() {
        context.absent.take(&name);
        return None;
    }
    let account = account?;
    let before = context.absent.get(&name).filter(|before| before.account == account.name);
    if let Some(before) = before.as_ref().filter(|before| clock::is_recent(before.asked, now, ANSWER)) {
        return before.describable_since;
    }
    let scope = readings::scope(spec);
    if context.instances.poll_error(&scope).is_some() {
        // If ECS does not answer, the dry run would delay this reconcile.
        return None;
    }
    let may = readings::may_describe(&context.calls, account, &scope, &spec.instance_id, now).await?;
    let asked = context.calls.now(account);
    let describable_since = may.then(|| before.and_then(|before| before.describable_since).unwrap_or(asked));
    context.absent.set(&name, Absent { account: account.name.clone(), asked, describable_since });
    describable_since
}
