//! The consent of the machine ends at the last moment: while the attempt by which it is to be restarted is being stored.

use serde_json::json;

use crate::crash_matrix::calm;
use crate::plan::{Class, Fault, Plan};
use crate::run::simulate;
use crate::scenario::{Do, Scenario, When};
use crate::scenarios::one_running;
use crate::story::Story;

const SEED: u64 = 1;
const LIMIT: u64 = 60 * 60_000;

#[test]
fn stored_restart_is_not_sent_after_consent_is_withdrawn() {
    // Where nobody takes it back, the write in front of the restart is the one that stores its attempt.
    let undisturbed = calm(&one_running());
    let restart = undisturbed.requests.iter().position(|it| it.key.starts_with("RebootInstance")).unwrap();
    let is_record_write = |key: &str, class| class == Class::Write && key.contains("resetrecords");
    let stores = undisturbed.requests[..restart].iter().rfind(|it| is_record_write(&it.key, it.class)).unwrap();

    let mut account = one_running().objects.into_iter().find(|object| object["kind"] == "ECSAccount").unwrap();
    account["spec"]["rules"] = json!([{"namespaces": ["another"]}]);
    let script = vec![(When::Phase("i-1", "RestartRequested"), Do::Apply(account))];
    // The answer is so late that the controller has heard of the account, and not so late that the write counts as lost.
    let plan = Plan::calm(SEED).with_fault(&stores.key, Fault::Slow(8_000));
    let report = simulate(&Scenario { script, ..one_running() }, plan, Story::told(), LIMIT);
    assert!(report.violations.is_empty() && report.at_rest, "{}\n{:?}", report.story, report.violations);
    assert_eq!(report.ends.keys().collect::<Vec<_>>(), ["Failed RestartRefused"], "{}", report.story);
    let sent = report.requests.iter().any(|it| it.key.starts_with("RebootInstance"));
    assert!(!sent, "it was sent all the same\n{}", report.story);
}
