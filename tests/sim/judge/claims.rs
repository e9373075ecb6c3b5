//! What makes a claim one that may be there, apart from what its instance and its objects allow.

use super::{Claim, Judge};

impl Judge {
    /// A number tells which of two memories of an object is the newer one, so none comes twice, not even where a record was made again.
    pub(super) fn number_rises(&mut self, claim: &Claim) {
        let is_before = |it: &Claim| it != claim && it.instance_id == claim.instance_id && it.owner == claim.owner;
        let newest = self.attempts.iter().map(|it| &it.claim).filter(|it| is_before(it)).map(|it| it.number).max();
        self.require(newest.is_none_or(|newest| newest < claim.number), || {
            format!("{claim} was made after claim {newest:?} of the same object")
        });
    }
}
