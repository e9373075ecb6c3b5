//! The consent of the machine ends at the last moment: while the attempt by which it is to be restarted is being stored.

use crate::crash_matrix::calm;
use crate::plan::{Class, Fault, Plan};
use crate::run::simulate;
use crate::scenario::Scenario;
use crate::scenarios::tag_withdrawn;
use crate::story::Story;

const SEED: u64 = 1;
const LIMIT: u64 = 60 * 60_000;

#[test]
fn a_stored_restart_is_not_sent_once_the_consent_has_ended() {
    // Where nobody withdraws it, the write in front of the restart is the one that stores its attempt.
    let undisturbed = calm(&Scenario { script: vec![], ..tag_withdrawn("RestartRequested") });
    let restart = undisturbed.requests.iter().position(|it| it.key.starts_with("RebootInstance")).unwrap();
    let is_record_write = |key: &str, class| class == Class::Write && key.contains("resetrecords");
    let stores = undisturbed.requests[..restart].iter().rfind(|it| is_record_write(&it.key, it.class)).unwrap();

    // Its answer is so late that the instance is read again meanwhile, and not so late that the write counts as lost.
    let plan = Plan::calm(SEED).with_fault(&stores.key, Fault::Slow(8_000));
    let report = simulate(&tag_withdrawn("RestartRequested"), plan, Story::told(), LIMIT);
    assert!(report.violations.is_empty() && report.at_rest, "{}\n{:?}", report.story, report.violations);
    assert_eq!(report.ends.keys().collect::<Vec<_>>(), ["Failed RestartRefused"], "{}", report.story);
    let sent = report.requests.iter().any(|it| it.key.starts_with("RebootInstance"));
    assert!(!sent, "it was sent all the same\n{}", report.story);
}
