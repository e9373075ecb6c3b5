//! Where the test data of deploy/argocd come from: objects as `kubectl get --output=yaml` shows them, in every state that the
//! health checks and actions tell apart. `make argocd-fixtures` writes them again; what each must give is written by hand in
//! `health_test.yaml` and `action_test.yaml`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::common::{Config, Fault, Instance, PASSWORD, REGION, Rule, Setup, World};
use super::{IDS, RESET, SECRET, project};

const KIND: &str = "deploy/argocd/resource_customizations/ecs.password-reset.dev";

fn dump(world: &World, kind: &str, name: &str, file: &Path) {
    let text = world.kubectl(&["get", kind, name, "--namespace=prod", "--output=yaml"]);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn reset(world: &World, file: &str) -> PathBuf {
    let file = project(KIND).join("PasswordReset/testdata").join(file);
    dump(world, "passwordreset", RESET, &file);
    file
}

fn account(world: &World, file: &str) {
    dump(world, "ecsaccount", "default", &project(KIND).join("ECSAccount/testdata").join(file));
}

/// The object of a dump, and what `kubectl` makes of it on this machine, as input and output of an action.
fn action(world: &World, dump: &Path, action: &str, change: &[&str]) {
    let dir = project(KIND).join("PasswordReset/actions/testdata");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::copy(dump, dir.join(format!("{action}.yaml"))).unwrap();
    let input = ["--local", "--output=yaml", "--filename", dump.to_str().unwrap()];
    let output = world.kubectl(&[&change[..1], &input, &change[1..]].concat());
    std::fs::write(dir.join(format!("{action}_done.yaml")), output).unwrap();
}

fn spec(more: Value) -> Value {
    let mut spec = json!({"instanceIDs": IDS, "passwordSecretRef": {"name": SECRET}, "runID": "2026-11-rotation"});
    let (Value::Object(fields), Value::Object(more)) = (&mut spec, more) else { panic!("a spec is an object") };
    fields.extend(more);
    spec
}

#[test]
#[ignore = "writes deploy/argocd: make argocd-fixtures"]
fn dumps_are_written_when_asked_for() {
    if std::env::var_os("ARGOCD_FIXTURES").is_none() {
        println!("nothing is written: ARGOCD_FIXTURES is not set");
        return;
    }
    let instances = IDS.iter().map(|id| Instance::running(id, REGION)).collect();
    let mut world = World::without_controller(Setup {
        ecs: Config { instances, ..Config::default() },
        own_control_plane: true,
        ..Setup::default()
    });

    // Seen by nobody yet.
    world.apply_reset(RESET, spec(json!({})));
    reset(&world, "unseen.yaml");
    account(&world, "unseen.yaml");

    // A run, from what is in its way to its end.
    world.start_controller();
    world.wait_for_account("Ready");
    account(&world, "ready.yaml");
    world.wait_for_reason(RESET, "SecretNotFound");
    reset(&world, "secret_not_found.yaml");
    world.hold(IDS[0]);
    world.apply_secret(SECRET, &json!({"password": PASSWORD}));
    world.wait_for_reason(RESET, "Restarting");
    reset(&world, "restarting.yaml");
    world.release(IDS[0]);
    world.wait_until_done(RESET);
    let done = reset(&world, "done.yaml");
    action(&world, &done, "suspend", &["patch", "--type=merge", "--patch", r#"{"spec":{"suspend":true}}"#]);
    let at = "ecs.password-reset.dev/rerun-requested-at=2026-11-29T12:00:00Z";
    action(&world, &done, "rerun", &["annotate", at]);

    // Asked for, and not taken up: the controller does not run.
    world.stop_controller();
    world.annotate(RESET, "rerun-requested-at", Some("2026-11-29T12:00:00Z"));
    reset(&world, "rerun_requested.yaml");
    world.annotate(RESET, "rerun-requested-at", None);
    world.apply_reset(RESET, spec(json!({"runID": "2026-12-rotation"})));
    reset(&world, "new_run_unseen.yaml");

    // Held back by a person.
    world.apply_reset(RESET, spec(json!({"runID": "2026-12-rotation", "suspend": true})));
    world.start_controller();
    world.wait_for_reason(RESET, "Suspended");
    let suspended = reset(&world, "suspended.yaml");
    action(
        &world,
        &suspended,
        "resume",
        &["patch", "--type=json", "--patch", r#"[{"op":"remove","path":"/spec/suspend"}]"#],
    );

    // A failure pauses the rest.
    let refusal = Fault::Refuse { code: "InvalidParameter".to_owned(), http: 400, message: "by the test".to_owned() };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refusal));
    world.apply_reset(RESET, spec(json!({"runID": "2026-12-rotation"})));
    world.wait_for_reason(RESET, "PausedOnFailure");
    let paused = reset(&world, "paused.yaml");
    let at = "ecs.password-reset.dev/retry-requested-at=2026-11-29T12:00:00Z";
    action(&world, &paused, "retry", &["annotate", at]);

    // A password that ECS would refuse.
    world.delete_reset(RESET);
    world.apply_secret(SECRET, &json!({"password": "too-simple"}));
    world.apply_reset(RESET, spec(json!({"runID": "2027-01-rotation"})));
    world.wait_for_reason(RESET, "InvalidPassword");
    reset(&world, "invalid_password.yaml");

    // Credentials that STS refuses.
    let refusal =
        Fault::Refuse { code: "InvalidAccessKeyId.NotFound".to_owned(), http: 404, message: "by the test".to_owned() };
    world.ecs().core().inject(Rule::once("GetCallerIdentity", refusal).times(1_000));
    world.wait_for_account("Stalled");
    account(&world, "refused.yaml");
}
