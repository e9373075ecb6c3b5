//! T6, T9: what happened written by others, and the Secret changed after the reset was admitted.

use serde_json::{Value, json};

use crate::attempt::{Attempt, Layer, No, attempt, patch, run, send};
use crate::common::{ACCOUNT, NAMESPACE, REGION, SECRET, SYSTEM_NAMESPACE, manifests};
use crate::people::{INSTANCE, PREY, Who};

const FORBIDDEN: No = No::AtTheDoor("is forbidden: User");
const NOT_THE_CONTROLLER: No = No::AtTheDoor("must come from the controller");

pub fn attempts() -> Vec<Attempt> {
    [statuses(), records(), guards(), secrets()].into_iter().flatten().collect()
}

/// A record by which the controller would set `prey`'s password, for an object that nobody was asked about.
pub fn forged_record(namespace: &str) -> Value {
    json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1",
        "kind": "ResetRecord",
        "metadata": {"namespace": namespace, "name": format!("{REGION}.{PREY}")},
        "spec": {
            "accountName": ACCOUNT, "regionID": REGION, "instanceID": PREY, "claim": 1,
            "claimTime": "2026-01-01T00:00:00Z", "fingerprint": {"keyID": "k", "value": "v"},
            "owner": {"namespace": NAMESPACE, "name": "web", "uid": "u"},
            "passwordSecretRef": {"namespace": "shop", "name": "db", "key": "password"},
            "restartPolicy": "IfRunning", "maxUnavailable": 1, "minReadySeconds": 0,
            "stableStateTimeoutSeconds": 600, "stateSeen": "Running", "timeoutSeconds": 900, "tokens": [],
        },
    })
}

/// T6, statuses.
fn statuses() -> Vec<Attempt> {
    let no_run = json!({"status": {"run": null, "instances": []}});
    let expected = |who| if who == Who::Alice { FORBIDDEN } else { NOT_THE_CONTROLLER };
    let step = |kind: &str, name: &str, change: &Value| patch(NAMESPACE, kind, name, change);
    let two = |id, who, what, step| {
        attempt(id, who, what, step, Layer::Rights, expected(who)).and(Layer::Policy, NOT_THE_CONTROLLER)
    };
    let one = |id, what, step| attempt(id, Who::Sys, what, step, Layer::Policy, NOT_THE_CONTROLLER);
    let ready = json!({"status": {"identityARN": "acs:ram::1:root"}});
    let apply = json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1", "kind": "PasswordReset",
        "metadata": {"namespace": NAMESPACE, "name": "web"}, "status": {"observedGeneration": 99},
    });
    let server_side = ["apply", "--server-side", "--force-conflicts", "--subresource=status", "--filename=-"];
    vec![
        two("T6.1", Who::Alice, "a run forgotten", step("passwordreset/status", "web", &no_run)),
        one("T6.2", "a run forgotten, by `*` in the namespace", step("passwordreset/status", "web", &no_run)),
        one("T6.3", "a status applied", send(&server_side, &apply)),
        one(
            "T6.4",
            "success that never was",
            step("passwordreset/status", "asleep", &json!({"status": {"observedGeneration": 7}})),
        ),
        two("T6.5", Who::Alice, "the status of an account", step("ecsaccount/status", ACCOUNT, &ready)),
        attempt(
            "T6.6",
            Who::Sys,
            "the status of an account, by `*` in a namespace",
            step("ecsaccount/status", ACCOUNT, &ready),
            Layer::Rights,
            FORBIDDEN,
        )
        .and(Layer::Policy, NOT_THE_CONTROLLER),
    ]
}

/// T6, records.
fn records() -> Vec<Attempt> {
    let record = format!("{REGION}.{INSTANCE}");
    let forged = forged_record(SYSTEM_NAMESPACE);
    let change = |change: &Value| patch(SYSTEM_NAMESPACE, "resetrecord", &record, change);
    let create = |namespace: &str| send(&["create", "--filename=-"], &forged_record(namespace));
    let delete = |target: &[&str]| run(&[&["delete", "resetrecord", "--namespace", SYSTEM_NAMESPACE], target].concat());
    let two = |id, who, what, step| {
        attempt(id, who, what, step, Layer::Rights, FORBIDDEN).and(Layer::Policy, NOT_THE_CONTROLLER)
    };
    let one = |id, what, step| attempt(id, Who::Sys, what, step, Layer::Policy, NOT_THE_CONTROLLER);
    let attempted = json!({"status": {"attempt": null, "phase": "SettingPassword"}});
    vec![
        two("T6.7", Who::Alice, "a claim of one's own", create(SYSTEM_NAMESPACE)),
        two("T6.8", Who::Agent, "a claim by a commit", create(SYSTEM_NAMESPACE)),
        one("T6.9", "a claim by the owner of the controller's namespace", send(&["create", "--filename=-"], &forged)),
        one("T6.10", "a claim in another namespace", create(NAMESPACE)),
        two("T6.11", Who::Alice, "an attempt forgotten", change(&attempted)),
        one("T6.12", "an attempt forgotten, by `*` there", change(&attempted)),
        one("T6.13", "a claim through another account", change(&json!({"spec": {"accountName": "other"}}))),
        one("T6.14", "a record with another owner", change(&json!({"spec": {"owner": {"name": "asleep"}}}))),
        one("T6.15", "a record under a finalizer", change(&json!({"metadata": {"finalizers": ["example.com/stay"]}}))),
        two("T6.16", Who::Alice, "a record deleted", delete(&[&record])),
        one("T6.17", "a record deleted, by `*` there", delete(&[&record])),
        one("T6.18", "all records deleted", delete(&["--all"])),
    ]
}

/// T6, what guards the others.
fn guards() -> Vec<Attempt> {
    let one = |id, who, what, arguments: &[&str]| attempt(id, who, what, run(arguments), Layer::Rights, FORBIDDEN);
    let policy = "validatingadmissionpolicy";
    let audit = json!({"spec": {"validationActions": ["Audit"]}}).to_string();
    vec![
        one("T6.19", Who::Sys, "a policy deleted", &["delete", policy, "ecs-password-reset-results"]),
        one(
            "T6.20",
            Who::Agent,
            "a policy that only counts",
            &[
                "patch",
                "validatingadmissionpolicybinding",
                "ecs-password-reset-results",
                "--type=merge",
                "--patch",
                &audit,
            ],
        ),
        one("T6.21", Who::Star, "the schema deleted", &["delete", "crd", "resetrecords.ecs.password-reset.dev"]),
        one(
            "T6.22",
            Who::Agent,
            "a token of the controller",
            &["create", "token", "ecs-password-reset", "--namespace", SYSTEM_NAMESPACE],
        ),
    ]
}

/// T9: a reset is asked for by a token, never by a change of the Secret.
fn secrets() -> Vec<Attempt> {
    let apply = |name: &str| {
        let secret = manifests::secret(NAMESPACE, name, &json!({"password": "Stolen-Kettle-9"}));
        send(&["apply", "--server-side", "--force-conflicts", "--filename=-"], &secret)
    };
    let delete = run(&["delete", "secret", SECRET, "--namespace", NAMESPACE]);
    let done = No::NothingHappens("Succeeded");
    let asleep = |mut attempt: Attempt| {
        "asleep".clone_into(&mut attempt.told_on.1);
        attempt
    };
    vec![
        attempt("T9.1", Who::Eve, "another password after the reset", apply(SECRET), Layer::Care, done),
        attempt("T9.2", Who::Eve, "the Secret made anew", apply(SECRET), Layer::Care, done).after(delete),
        asleep(attempt(
            "T9.3",
            Who::Eve,
            "another password under the brake",
            apply(SECRET),
            Layer::Care,
            No::NothingHappens("Suspended"),
        )),
    ]
}
