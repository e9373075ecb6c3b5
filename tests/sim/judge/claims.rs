//! What makes a claim one that may be there, apart from what its instance and its objects allow.

use jiff::SignedDuration;
use serde_json::Value;

use super::{Claim, Judge, text};
use crate::plan::Ms;
use crate::world::{ProcessId, wall};

/// By how much a process may misjudge its clock: the answer that it learns from takes its time, and a clock too fast doubles that.
const MISJUDGED: SignedDuration = SignedDuration::from_secs(30);

impl Judge {
    /// Nothing is started by a clock that is off by more than is put up with, and was so when its process began: the first answer of ECS
    /// has told. One that has become so since may not have been looked at yet.
    pub(super) fn clock_is_right(&mut self, claim: &Claim, process: ProcessId, sent: Ms) {
        let Some((clock, began)) = self.clocks.get(&process).copied() else { return };
        let ahead = |at: Ms| {
            let elapsed = wall(at).duration_since(wall(0));
            SignedDuration::from_secs(clock.ahead_seconds) + elapsed.mul_f64(clock.rate - 1.0)
        };
        let (first, last) = (ahead(began), ahead(sent));
        let is_too_wrong =
            first.is_negative() == last.is_negative() && first.abs().min(last.abs()) > self.skew_limit + MISJUDGED;
        self.require(!is_too_wrong, || format!("{claim} was made by {process}, whose clock is off by {last:?}"));
    }

    /// A run is one of claims, so it begins with the first of them: what is only waited for has no number and no event.
    pub(super) fn run_begins_with_a_claim(&mut self, object: &Value) {
        let (name, began) = (text(&object["metadata"]["name"]), text(&object["status"]["run"]["startTime"]));
        let owner = format!("{}/{name}", text(&object["metadata"]["namespace"]));
        let is_first = |it: &Claim| it.owner == owner && it.made_at == began;
        let has_begun = began.is_empty() || self.attempts.iter().any(|it| is_first(&it.claim));
        self.require(has_begun, || format!("the run of {owner} began at {began}, when nothing was claimed"));
    }

    /// A number tells which of two memories of an object is the newer one, so none comes twice, not even where a record was made again.
    pub(super) fn number_rises(&mut self, claim: &Claim) {
        let is_before = |it: &Claim| it != claim && it.instance_id == claim.instance_id && it.owner == claim.owner;
        let newest = self.attempts.iter().map(|it| &it.claim).filter(|it| is_before(it)).map(|it| it.number).max();
        self.require(newest.is_none_or(|newest| newest < claim.number), || {
            format!("{claim} was made after claim {newest:?} of the same object")
        });
    }
}
