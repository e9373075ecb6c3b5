//! Argo CD 3.2: deploy/argocd read by its settings, compared, synced, healed and pruned by its engine.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::common::{Fault, Rule, World, eventually, timed_within};
use super::repository::Repository;
use super::{AFTER, IDS, RESET, SECRET, install_crds, project, restarts, tool, wait_until_it_restarts, world};
use std::time::Duration;

/// What an operation says while the reset is not done.
const WAITS: &str = "waiting for healthy state of ecs.password-reset.dev/PasswordReset/web-root";
const KEY: &str = "PasswordReset/prod/web-root";

/// An Application that syncs a folder.
struct Application<'a> {
    world: &'a World,
    repository: &'a Repository,
    /// Its destination.
    namespace: &'static str,
    /// The sync option `ServerSideApply=true`.
    server_side: bool,
}

impl<'a> Application<'a> {
    /// Installs argocd-cm as it ships, and makes an Application of the folder.
    fn new(world: &'a World, repository: &'a Repository) -> Self {
        world.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}));
        world.kubectl(&["apply", "--filename", project("deploy/argocd/argocd-cm.yaml").to_str().unwrap()]);
        Self { world, repository, namespace: "prod", server_side: false }
    }

    fn command(&self, command: &str, flags: &[&str]) -> Command {
        let manifests = self.world.file("revision.yaml");
        std::fs::write(&manifests, self.repository.build(self.world)).unwrap();
        let mut process = Command::new(tool("ARGOCD_ENGINE"));
        process.arg(command).arg("--kubeconfig").arg(self.world.admin_kubeconfig()).arg("--manifests").arg(manifests);
        process.args(["--app=web-passwords", "--namespace", self.namespace]).args(flags).stderr(Stdio::inherit());
        if self.server_side {
            process.arg("--server-side");
        }
        process
    }

    /// One sync operation, from its start to its end: phase, message, seconds, resources, story.
    fn sync(&self, flags: &[&str]) -> Value {
        let output = self.command("sync", flags).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn sync_succeeds(&self, flags: &[&str]) -> Value {
        let operation = self.sync(flags);
        assert_eq!(operation["phase"], "Succeeded", "{operation:#}");
        operation
    }

    /// What Argo CD shows: sync status, health, and a row for each resource.
    fn compare(&self) -> Value {
        let output = self.command("compare", &[]).output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[track_caller]
    fn assert_shown(&self, sync: &str, health: &str) {
        let shown = self.compare();
        assert_eq!((&shown["sync"], &shown["health"]), (&json!(sync), &json!(health)), "{shown:#}");
    }

    /// An action, as a user clicks it.
    fn act(&self, action: &str) -> Result<(), String> {
        let mut command = self.command("action", &[KEY, action]);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

/// The health of the reset in what Argo CD shows.
fn health(shown: &Value) -> &Value {
    &shown["resources"].as_array().unwrap().iter().find(|it| it["key"] == KEY).expect("the reset is shown")["health"]
}

fn exists(world: &World, kind: &str, name: &str) -> bool {
    world.try_kubectl(&["get", kind, name, "--namespace=prod"], "").is_ok()
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn every_fixture_gives_what_its_test_says_in_argo_cds_lua() {
    let status = Command::new(tool("ARGOCD_ENGINE"))
        .arg("fixtures")
        .arg(project("deploy/argocd/resource_customizations"))
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn next_wave_waits_until_the_reset_is_ready() {
    let world = world();
    let repository = Repository::example(&world);
    let application = Application::new(&world, &repository);
    world.hold(IDS[0]);

    let sync = application.command("sync", &[]).stdout(Stdio::piped()).spawn().unwrap();
    wait_until_it_restarts(&world);
    let shown = application.compare();
    assert_eq!(health(&shown), "Progressing", "{shown:#}");
    assert!(!exists(&world, "configmap", AFTER), "the second wave came while an instance restarts");
    world.release(IDS[0]);

    let operation: Value = serde_json::from_slice(&sync.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(operation["phase"], "Succeeded", "{operation:#}");
    assert!(operation["story"].to_string().contains(WAITS), "{operation:#}");
    assert!(exists(&world, "configmap", AFTER));
    assert_eq!(restarts(&world), [1, 1]);
    application.assert_shown("Synced", "Healthy");
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn second_sync_finds_no_drift_and_restarts_nothing() {
    for server_side in [false, true] {
        let world = world();
        let repository = Repository::example(&world);
        let application = Application { server_side, ..Application::new(&world, &repository) };
        application.sync_succeeds(&[]);
        application.assert_shown("Synced", "Healthy");
        application.sync_succeeds(&["--prune"]);
        application.assert_shown("Synced", "Healthy");
        assert_eq!(restarts(&world), [1, 1]);
    }
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn failed_reset_is_degraded_at_once() {
    let world = world();
    world.apply_secret(SECRET, &json!({"password": "no"}));
    let repository = Repository::example(&world);
    let application = Application::new(&world, &repository);
    let operation = timed_within(Duration::from_mins(3), "a sync that fails", || application.sync(&["--timeout=20m"]));
    assert_eq!(operation["phase"], "Failed", "{operation:#}");
    let shown = application.compare();
    assert_eq!(health(&shown), "Degraded", "{shown:#}");
    assert!(!exists(&world, "configmap", AFTER), "the second wave came after a failure");
    assert_eq!(restarts(&world), [0, 0]);

    // The password is corrected where passwords are kept; the next sync of the same revision goes on.
    world.apply_secret(SECRET, &json!({"password": super::PASSWORD}));
    world.wait_until_done(RESET);
    application.sync_succeeds(&[]);
    assert_eq!(restarts(&world), [1, 1]);
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn self_heal_and_prune_restart_nothing() {
    let world = world();
    let repository = Repository::example(&world);
    let application = Application::new(&world, &repository);
    application.sync_succeeds(&[]);

    // A hand changes a field that is in Git.
    world.kubectl(&[
        "patch",
        "passwordreset",
        RESET,
        "--namespace=prod",
        "--type=merge",
        "--patch",
        r#"{"spec":{"restart":{"maxUnavailable":2}}}"#,
    ]);
    // Until the controller has seen it, it is Progressing.
    world.wait_until_done(RESET);
    application.assert_shown("OutOfSync", "Healthy");
    application.sync_succeeds(&["--self-heal", "--prune"]);
    application.assert_shown("Synced", "Healthy");
    assert_eq!(world.get("passwordreset", RESET)["spec"]["restart"]["maxUnavailable"], 1);

    // A hand deletes it.
    world.delete_reset(RESET);
    application.assert_shown("OutOfSync", "Missing");
    application.sync_succeeds(&["--self-heal", "--prune"]);
    world.wait_until_done(RESET);
    application.assert_shown("Synced", "Healthy");
    assert_eq!(restarts(&world), [1, 1]);

    // One commit takes it out, the next brings it back.
    repository.edit("kustomization.yaml", "- password_reset.yaml\n", "");
    application.sync_succeeds(&["--prune"]);
    assert!(!exists(&world, "passwordreset", RESET), "it was not pruned");
    repository.edit("kustomization.yaml", "- after.yaml", "- password_reset.yaml\n- after.yaml");
    application.sync_succeeds(&["--prune"]);
    world.wait_until_done(RESET);
    application.assert_shown("Synced", "Healthy");
    assert_eq!(restarts(&world), [1, 1]);
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn commit_of_a_new_run_id_runs_once() {
    let world = world();
    let repository = Repository::example(&world);
    let application = Application::new(&world, &repository);
    application.sync_succeeds(&[]);
    repository.edit("password_reset.yaml", "2026-11-rotation", "2026-12-rotation");
    repository.edit("after.yaml", "2026-11-rotation", "2026-12-rotation");
    application.assert_shown("OutOfSync", "Healthy");
    let operation = application.sync_succeeds(&[]);
    assert!(operation["story"].to_string().contains(WAITS), "{operation:#}");
    assert_eq!(restarts(&world), [2, 2]);
    application.sync_succeeds(&[]);
    application.assert_shown("Synced", "Healthy");
    assert_eq!(restarts(&world), [2, 2]);
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn actions_do_what_they_say_and_cause_no_drift() {
    let world = world();
    let repository = Repository::example(&world);
    let application = Application::new(&world, &repository);
    application.sync_succeeds(&[]);

    // Nothing failed, and nothing is suspended.
    for action in ["retry", "resume"] {
        let refused = application.act(action).unwrap_err();
        assert!(refused.contains("is not offered"), "{refused}");
    }
    application.act("suspend").unwrap();
    eventually("the controller has seen it", || {
        let object = world.get("passwordreset", RESET);
        (object["status"]["observedGeneration"] == object["metadata"]["generation"]).then_some(())
    });
    // Done is done, suspended or not. A field that is not in Git causes no drift, and self-heal does not revert it.
    application.assert_shown("Synced", "Healthy");
    application.sync_succeeds(&["--self-heal"]);
    assert_eq!(world.get("passwordreset", RESET)["spec"]["suspend"], true);

    // An object that is suspended and not done.
    repository.edit("password_reset.yaml", "2026-11-rotation", "2026-12-rotation");
    let operation = application.sync(&["--timeout=10s"]);
    assert_eq!(operation["phase"], "Failed", "a wave waits for what is suspended: {operation:#}");
    assert_eq!(health(&application.compare()), "Suspended");
    assert!(application.act("rerun").unwrap_err().contains("is not offered"));
    assert_eq!(restarts(&world), [1, 1]);
    application.act("resume").unwrap();
    assert_eq!(world.get("passwordreset", RESET)["spec"]["suspend"], Value::Null);
    world.wait_for_run(RESET, 2);
    assert_eq!(restarts(&world), [2, 2]);

    application.act("rerun").unwrap();
    world.wait_for_run(RESET, 3);
    assert_eq!(restarts(&world), [3, 3]);
    application.sync_succeeds(&[]);
    application.assert_shown("Synced", "Healthy");
    assert_eq!(restarts(&world), [3, 3]);
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn retry_action_goes_on_after_a_failure() {
    let world = world();
    let refusal = Fault::Refuse { code: "InvalidParameter".to_owned(), http: 400, message: "by the test".to_owned() };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refusal));
    let repository = Repository::example(&world);
    let application = Application::new(&world, &repository);
    let operation = application.sync(&[]);
    assert_eq!(operation["phase"], "Failed", "{operation:#}");
    assert_eq!(health(&application.compare()), "Degraded");
    assert!(restarts(&world).iter().sum::<usize>() < 2);
    application.act("retry").unwrap();
    world.wait_until_done(RESET);
    application.sync_succeeds(&[]);
    application.assert_shown("Synced", "Healthy");
    assert_eq!(restarts(&world), [1, 1]);
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn installation_synced_by_argo_cd_has_no_drift() {
    for server_side in [false, true] {
        let world = world();
        let repository = Repository::shipped("deploy/base");
        let namespace = "ecs-password-reset-system";
        let application = Application { namespace, server_side, ..Application::new(&world, &repository) };
        application.sync_succeeds(&[]);
        let shown = application.compare();
        assert_eq!(shown["sync"], "Synced", "{shown:#}");
        // It works on: neither its policies nor its key were changed.
        world.apply_reset("web", json!({"instanceIDs": [IDS[0]], "passwordSecretRef": {"name": SECRET}}));
        world.wait_until_done("web");
        let shown = application.compare();
        assert_eq!(shown["sync"], "Synced", "{shown:#}");
        assert_eq!(restarts(&world), [1, 0]);
    }
}

#[test]
#[ignore = "needs Argo CD's engine: make gitops"]
fn applications_are_accepted_by_argo_cds_schema() {
    let world = world();
    world.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}));
    let crd = tool("ARGOCD_CRDS").join("application-crd.yaml");
    install_crds(&world, &crd);
    for sample in ["controller", "resets"] {
        let file = project(&format!("deploy/argocd/{sample}.yaml"));
        world.kubectl(&["create", "--dry-run=server", "--validate=strict", "--filename", file.to_str().unwrap()]);
    }
}
