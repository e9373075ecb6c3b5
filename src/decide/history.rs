//! Whether an instance needs a run for an owner, and what is remembered of its earlier runs.
//!
//! This is why deleting and re-applying an object, removing an annotation, going back to an earlier `runID` or reinstalling
//! the controller restarts nothing: what was run is remembered by namespace and name, not by uid, and only a token
//! that was not seen yet asks for more.

use sha2::{Digest, Sha256};

use crate::api::password_reset::{InstanceRow, Requested, State};
use crate::api::reset_record::{Fingerprint, Owner, OwnerHistory, ResetRecordSpec};
use crate::decide::resolution::Resolution;

/// How many tokens an entry keeps; the oldest go first.
const MAX_TOKENS: usize = 32;
/// How many entries of owners that no longer exist a record keeps; the newest stay.
const MAX_GONE_OWNERS: usize = 16;
/// How many entries a record holds in all.
const MAX_OWNERS: usize = 64;

/// What an owner asks for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The owner that asks.
    pub owner: Owner,
    /// Digests of its `runID` and, when present, of its rerun annotation.
    pub tokens: Vec<String>,
    /// Digest of its retry annotation; see [`retry`].
    pub retry: Option<String>,
    /// The fingerprint of its password as it is now, when it could be read; of those that each instance has of its own, none.
    pub fingerprint: Option<Fingerprint>,
    /// Whether another password than an instance was reset with asks for a run.
    pub resets_on_change: bool,
    /// A person's decision on an Unknown, as its annotation says.
    pub resolution: Option<Resolution>,
}

/// A short digest of a value that asks for a run, with its kind in front.
pub fn token(kind: &str, value: &str) -> String {
    let digest = Sha256::digest(value.as_bytes());
    let short = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("{kind}:{short:016x}")
}

/// The tokens of an object: its `runID`, of which the empty one counts, and its rerun annotation unless empty.
pub fn tokens(run_id: Option<&str>, rerun_requested_at: Option<&str>) -> Vec<String> {
    let rerun = rerun_requested_at.filter(|value| !value.is_empty());
    std::iter::once(token("run", run_id.unwrap_or_default())).chain(rerun.map(|value| token("rerun", value))).collect()
}

/// The digest of the retry annotation, unless empty; without one, that of the last one that the object's status has heard. Taking
/// the annotation off asks for nothing, and takes nothing back.
pub fn retry(retry_requested_at: Option<&str>, requested: Option<&Requested>) -> Option<String> {
    let asked = retry_requested_at.filter(|value| !value.is_empty()).map(|value| token("retry", value));
    asked.or_else(|| requested?.retry.clone())
}

/// Whether an instance needs a run, given what it has had done for this owner. `password`: the fingerprint of the one that it would get,
/// when that could be read.
pub fn is_needed(entry: Option<&OwnerHistory>, request: &Request, password: Option<&Fingerprint>) -> bool {
    let Some(entry) = entry else { return true };
    if !covers(&entry.tokens, &request.tokens) {
        return true;
    }
    let is_changed = password.is_some_and(|password| differs(password, &entry.fingerprint));
    if is_changed && request.resets_on_change {
        return true;
    }
    entry.row.state == State::Failed
        && (is_changed || asks_again(entry.retry.as_ref(), request) || entry.owner.uid != request.owner.uid)
}

/// Whether the retry annotation asks for more than it did at a run: it has another value.
pub fn asks_again(before: Option<&String>, request: &Request) -> bool {
    request.retry.is_some() && request.retry.as_ref() != before
}

/// Whether all of `asked` was run.
pub fn covers(run: &[String], asked: &[String]) -> bool {
    asked.iter().all(|token| run.contains(token))
}

/// Whether two fingerprints can be compared and differ.
pub fn differs(a: &Fingerprint, b: &Fingerprint) -> bool {
    a.key_id == b.key_id && a.value != b.value
}

/// The entry of an owner.
pub fn entry_of<'a>(completed: &'a [OwnerHistory], owner: &Owner) -> Option<&'a OwnerHistory> {
    completed.iter().find(|entry| entry.owner.is(owner))
}

/// The entries after the claim `spec` has ended with `row`: its owner's goes to the end. The tokens are joined to the
/// earlier ones while the password stays the same; under another password they replace them, so that an earlier
/// `runID` runs again.
#[must_use]
pub fn complete(completed: &[OwnerHistory], spec: &ResetRecordSpec, row: InstanceRow) -> Vec<OwnerHistory> {
    let before = entry_of(completed, &spec.owner);
    let kept = before.filter(|entry| entry.fingerprint == spec.fingerprint).map_or(&[][..], |entry| &entry.tokens);
    let mut tokens: Vec<String> = kept.iter().filter(|token| !spec.tokens.contains(token)).cloned().collect();
    tokens.extend(spec.tokens.iter().cloned());
    let surplus = tokens.len().saturating_sub(MAX_TOKENS);
    tokens.drain(..surplus);
    let entry = OwnerHistory {
        owner: spec.owner.clone(),
        tokens,
        // A value counts once, also when the annotation was removed meanwhile.
        retry: spec.retry.clone().or_else(|| before?.retry.clone()),
        fingerprint: spec.fingerprint.clone(),
        last_password_set_time: row.password_set_time.clone().or_else(|| before?.last_password_set_time.clone()),
        row,
    };
    completed.iter().filter(|other| !other.owner.is(&spec.owner)).cloned().chain([entry]).collect()
}

/// The entries with room for one of `owner`: the entry of an owner that still exists is never evicted, of those that are
/// gone the newest stay. `None`: there is no room, and no claim may be made.
#[must_use]
pub fn make_room(
    completed: &[OwnerHistory],
    owner: &Owner,
    exists: impl Fn(&Owner) -> bool,
) -> Option<Vec<OwnerHistory>> {
    let lives = |entry: &&OwnerHistory| entry.owner.is(owner) || exists(&entry.owner);
    let gone = completed.iter().filter(|entry| !lives(entry)).count();
    let mut to_evict = gone.saturating_sub(MAX_GONE_OWNERS);
    let kept: Vec<OwnerHistory> = completed
        .iter()
        .filter(|entry| {
            let evict = to_evict > 0 && !lives(entry);
            to_evict -= usize::from(evict);
            !evict
        })
        .cloned()
        .collect();
    let has_entry = entry_of(&kept, owner).is_some();
    (has_entry || kept.len() < MAX_OWNERS).then_some(kept)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::decide::fixtures::{at, owner, row, spec};

    fn fingerprint(value: &str) -> Fingerprint {
        Fingerprint { key_id: "k1".to_owned(), value: value.to_owned() }
    }

    fn request(run_id: &str) -> Request {
        Request {
            owner: owner("web"),
            tokens: tokens(Some(run_id), None),
            retry: None,
            fingerprint: Some(fingerprint("f")),
            resets_on_change: false,
            resolution: None,
        }
    }

    fn is_asked(entry: Option<&OwnerHistory>, request: &Request) -> bool {
        is_needed(entry, request, request.fingerprint.as_ref())
    }

    fn entry(run_id: &str, state: State) -> OwnerHistory {
        OwnerHistory {
            owner: owner("web"),
            tokens: tokens(Some(run_id), None),
            retry: None,
            fingerprint: fingerprint("f"),
            last_password_set_time: None,
            row: row(state),
        }
    }

    #[test]
    fn what_was_run_is_not_needed_again() {
        assert!(is_asked(None, &request("1")));
        assert!(!is_asked(Some(&entry("1", State::InEffect)), &request("1")));
        assert!(is_asked(Some(&entry("1", State::InEffect)), &request("2")));
    }

    #[test]
    fn reapplied_object_needs_nothing_unless_it_failed() {
        let mut again = request("1");
        again.owner.uid = "another".to_owned();
        assert!(!is_asked(Some(&entry("1", State::InEffect)), &again));
        assert!(!is_asked(Some(&entry("1", State::Unknown)), &again));
        assert!(is_asked(Some(&entry("1", State::Failed)), &again));
    }

    #[test]
    fn failed_instance_needs_retry_or_another_password() {
        let failed = entry("1", State::Failed);
        assert!(!is_asked(Some(&failed), &request("1")));
        assert!(is_asked(Some(&failed), &Request { retry: Some("retry:1".to_owned()), ..request("1") }));
        assert!(is_asked(Some(&failed), &Request { fingerprint: Some(fingerprint("g")), ..request("1") }));
        let other_key = Fingerprint { key_id: "k2".to_owned(), value: "g".to_owned() };
        assert!(
            !is_asked(Some(&failed), &Request { fingerprint: Some(other_key), ..request("1") }),
            "cannot be compared"
        );
        let done = entry("1", State::InEffect);
        assert!(!is_asked(Some(&done), &Request { retry: Some("retry:1".to_owned()), ..request("1") }));
        assert!(!is_asked(Some(&done), &Request { fingerprint: Some(fingerprint("g")), ..request("1") }));
    }

    #[test]
    fn removing_an_annotation_asks_for_nothing() {
        let mut done = entry("1", State::InEffect);
        done.tokens = tokens(Some("1"), Some("now"));
        assert!(!is_asked(Some(&done), &request("1")));
        assert_eq!(tokens(Some("1"), Some("")), tokens(Some("1"), None));
        assert_ne!(tokens(None, None), Vec::<String>::new(), "the empty runID counts");
    }

    #[test]
    fn a_retry_counts_once_whenever_it_is_removed_and_set_again() {
        let retry = |value: &str| Request { retry: Some(format!("retry:{value}")), ..request("1") };
        let mut claim = spec("web", "i-bp1a0000");
        (claim.tokens, claim.retry, claim.fingerprint) = (request("1").tokens, retry("a").retry, fingerprint("f"));
        let failed = complete(&[], &claim, row(State::Failed));
        let is_needed =
            |completed: &[OwnerHistory], request: &Request| is_asked(entry_of(completed, &owner("web")), request);
        assert!(!is_needed(&failed, &request("1")), "the annotation was removed");
        assert!(!is_needed(&failed, &retry("a")) && is_needed(&failed, &retry("b")));
        // A run of another kind meanwhile, without the annotation.
        claim.retry = None;
        let failed = complete(&failed, &claim, row(State::Failed));
        assert!(
            !is_needed(&failed, &request("1")) && !is_needed(&failed, &retry("a")) && is_needed(&failed, &retry("b"))
        );
    }

    #[test]
    fn a_retry_annotation_that_is_taken_off_takes_nothing_back() {
        let heard = Requested { tokens: Vec::new(), retry: Some(token("retry", "a")), fingerprint: None };
        assert_eq!(retry(Some("b"), Some(&heard)), Some(token("retry", "b")));
        for nothing in [None, Some("")] {
            assert_eq!(retry(nothing, Some(&heard)), Some(token("retry", "a")));
            assert_eq!(retry(nothing, None), None);
        }
    }

    #[test]
    fn last_password_time_outlives_a_failed_run() {
        let mut claim = spec("web", "i-bp1a0000");
        claim.owner = owner("web");
        let set = InstanceRow { password_set_time: Some(Time(at(7))), ..row(State::InEffect) };
        let completed = complete(&complete(&[], &claim, set), &claim, row(State::Failed));
        assert_eq!(completed[0].last_password_set_time, Some(Time(at(7))));
    }

    #[test]
    fn earlier_run_id_runs_again_only_after_a_password_change() {
        let mut claim = spec("web", "i-bp1a0000");
        claim.fingerprint = fingerprint("f");
        claim.tokens = tokens(Some("2"), None);
        let joined = complete(&[entry("1", State::InEffect)], &claim, row(State::InEffect));
        assert!(!is_asked(entry_of(&joined, &owner("web")), &request("1")));
        claim.fingerprint = fingerprint("g");
        let replaced = complete(&joined, &claim, row(State::InEffect));
        assert!(is_asked(entry_of(&replaced, &owner("web")), &request("1")));
        assert_eq!(replaced.len(), 1);
    }

    #[test]
    fn no_more_than_32_tokens_stay_and_the_newest_do() {
        let mut claim = spec("web", "i-bp1a0000");
        let mut completed = Vec::new();
        for run in 0..40 {
            claim.tokens = vec![format!("run:{run}")];
            completed = complete(&completed, &claim, row(State::InEffect));
        }
        assert_eq!(completed[0].tokens.len(), 32);
        assert_eq!(completed[0].tokens.last().map(String::as_str), Some("run:39"));
    }

    #[test]
    fn the_entry_of_a_living_owner_is_never_evicted() {
        let of = |name: String| OwnerHistory { owner: owner(&name), ..entry("1", State::InEffect) };
        let completed: Vec<_> = (0..40).map(|n| of(format!("o{n}"))).collect();
        let lives = |owner: &Owner| owner.name == "o0";
        let kept = make_room(&completed, &owner("new"), lives).unwrap();
        assert_eq!(kept.len(), 17);
        assert_eq!(kept[0].owner.name, "o0");
        assert_eq!(kept[1].owner.name, "o24", "of those that are gone the newest stay");
        let full: Vec<_> = (0..64).map(|n| of(format!("o{n}"))).collect();
        assert!(make_room(&full, &owner("new"), |_| true).is_none());
        assert!(make_room(&full, &owner("o7"), |_| true).is_some());
    }
}
