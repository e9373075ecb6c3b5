//! Flux: deploy/flux/resets.yaml, reconciled by the real kustomize-controller v1.7.3. Nobody fetches from Git: this test plays
//! source-controller, serves the folder as an artifact on loopback and writes the artifact into the status of the `GitRepository`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::common::{World, condition, eventually, timed_within};
use super::repository::Repository;
use super::{
    AFTER, IDS, PASSWORD, RESET, SECRET, install_crds, project, restarts, tool, wait_until_it_restarts, world,
};

const NAMESPACE: &str = "flux-system";
const NAME: &str = "web-passwords";

/// kustomize-controller, and the source of what it applies.
struct Flux<'a> {
    world: &'a World,
    repository: &'a Repository,
    process: Child,
    artifact: Arc<Mutex<Vec<u8>>>,
    url: String,
    log: PathBuf,
}

impl<'a> Flux<'a> {
    /// Installs Flux's kinds and the samples of deploy/flux, and starts the controller.
    fn start(world: &'a World, repository: &'a Repository) -> Self {
        install_crds(world, &tool("FLUX_CRDS"));
        world.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}));
        world.kubectl(&["apply", "--filename", project("deploy/flux/resets.yaml").to_str().unwrap()]);
        // The controller is installed already, and its Kustomization is another one's affair.
        let alone = r#"[{"op":"remove","path":"/spec/dependsOn"}]"#;
        world.kubectl(&["patch", "kustomization", NAME, "--namespace", NAMESPACE, "--type=json", "--patch", alone]);

        let artifact = Arc::new(Mutex::new(Vec::new()));
        let log = world.file("kustomize-controller.log");
        let file = std::fs::File::create(&log).unwrap();
        let process = Command::new(tool("KUSTOMIZE_CONTROLLER"))
            .args(["--metrics-addr=0", "--health-addr=127.0.0.1:0", "--events-addr=", "--no-remote-bases"])
            .args(["--watch-all-namespaces", "--requeue-dependency=1s", "--kube-api-qps=100", "--kube-api-burst=200"])
            .env("KUBECONFIG", world.admin_kubeconfig())
            .env("RUNTIME_NAMESPACE", NAMESPACE)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { world, repository, process, url: serve(Arc::clone(&artifact)), artifact, log }
    }

    /// What source-controller does upon a commit: packs the folder, and names revision, digest and address.
    fn commit(&self) {
        let archive = self.world.file("artifact.tar.gz");
        let file = archive.to_str().unwrap();
        // The folder is `prod` in the repository, as the sample says.
        let folder = self.repository.path();
        let (parent, name) =
            (folder.parent().unwrap().to_str().unwrap(), folder.file_name().unwrap().to_str().unwrap());
        run("tar", &["-czf", file, "--transform", &format!("s,^{name},prod,"), "-C", parent, name]);
        let digest = run("sha256sum", &[file]);
        let digest = digest.split(' ').next().unwrap();
        let bytes = std::fs::read(&archive).unwrap();
        let size = bytes.len();
        *self.artifact.lock().unwrap() = bytes;
        let status = json!({"status": {
            "observedGeneration": 1,
            "artifact": {
                "path": "artifact.tar.gz",
                "url": format!("{}/{digest}.tar.gz", self.url),
                "revision": format!("main@sha1:{}", &digest[..40]),
                "digest": format!("sha256:{digest}"),
                "lastUpdateTime": "2026-11-29T12:00:00Z",
                "size": size,
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
                "observedGeneration": 1, "lastTransitionTime": "2026-11-29T12:00:00Z",
            }],
        }});
        let patch = ["--subresource=status", "--type=merge", "--patch", &status.to_string()];
        self.world.kubectl(&[&["patch", "gitrepository", NAME, "--namespace", NAMESPACE], &patch[..]].concat());
    }

    /// `flux reconcile`, and until it was done and ended well.
    fn reconcile(&self, number: &str) {
        let request = format!("reconcile.fluxcd.io/requestedAt={number}");
        self.world.kubectl(&["annotate", "--overwrite", "kustomization", NAME, "--namespace", NAMESPACE, &request]);
        self.wait("the request is handled", |it| {
            let handled = it["status"]["lastHandledReconcileAt"] == number;
            (handled && condition(&it["status"], "Ready")["status"] == "True").then_some(())
        });
    }

    /// Commits, and waits until the revision is applied and healthy.
    fn commit_is_ready(&self) {
        self.commit();
        let revision = self.source()["status"]["artifact"]["revision"].clone();
        self.wait("the revision is Ready", |it| {
            let applied = it["status"]["lastAppliedRevision"] == revision;
            (applied && condition(&it["status"], "Ready")["status"] == "True").then_some(())
        });
    }

    fn source(&self) -> Value {
        self.get("source.toolkit.fluxcd.io", "gitrepositories")
    }

    fn kustomization(&self) -> Value {
        self.get("kustomize.toolkit.fluxcd.io", "kustomizations")
    }

    fn get(&self, group: &str, kind: &str) -> Value {
        let path = format!("/apis/{group}/v1/namespaces/{NAMESPACE}/{kind}/{NAME}");
        self.world.control_plane().look_up(&path).expect("deploy/flux/resets.yaml is applied")
    }

    fn wait<T>(&self, what: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        eventually(&format!("{what}; log: {}", self.log.display()), || look(&self.kustomization()))
    }
}

impl Drop for Flux<'_> {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// Serves the bytes to whoever asks for whatever, on loopback.
fn serve(artifact: Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 4096]);
            let bytes = artifact.lock().unwrap().clone();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
        }
    });
    url
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn exists(world: &World, kind: &str, name: &str) -> bool {
    world.try_kubectl(&["get", kind, name, "--namespace=prod"], "").is_ok()
}

/// A patch by hand: like `kubectl patch`, by default under the name of kubectl.
fn patch(world: &World, patch: &str, more: &[&str]) {
    let flags = ["patch", "passwordreset", RESET, "--namespace=prod", "--type=merge", "--patch", patch];
    world.kubectl(&[&flags[..], more].concat());
}

#[test]
#[ignore = "needs Flux's kustomize-controller: make gitops"]
fn kustomization_waits_until_the_reset_is_ready() {
    let world = world();
    let repository = Repository::example(&world);
    let flux = Flux::start(&world, &repository);
    world.hold(IDS[0]);
    flux.commit();
    wait_until_it_restarts(&world);
    flux.wait("it runs health checks", |it| {
        let reconciling = condition(&it["status"], "Reconciling")["message"].as_str().unwrap_or_default().to_owned();
        reconciling.starts_with("Running health checks").then_some(())
    });
    assert_eq!(condition(&flux.kustomization()["status"], "Ready")["status"], "Unknown");
    world.release(IDS[0]);
    flux.wait("it is Ready", |it| (condition(&it["status"], "Ready")["status"] == "True").then_some(()));
    assert_eq!(restarts(&world), [1, 1]);

    // The same revision again, as at each interval.
    flux.reconcile("1");
    assert_eq!(restarts(&world), [1, 1]);
}

#[test]
#[ignore = "needs Flux's kustomize-controller: make gitops"]
fn stalled_reset_fails_the_kustomization_at_once() {
    let world = world();
    world.apply_secret(SECRET, &json!({"password": "no"}));
    let repository = Repository::example(&world);
    let flux = Flux::start(&world, &repository);
    // The sample waits 40 minutes for what goes on.
    let message = timed_within(Duration::from_mins(3), "a Kustomization that fails", || {
        flux.commit();
        flux.wait("it has failed", |it| {
            let ready = condition(&it["status"], "Ready");
            (ready["status"] == "False").then(|| (ready["reason"].clone(), ready["message"].clone()))
        })
    });
    assert_eq!(message.0, "HealthCheckFailed", "{message:?}");
    assert!(message.1.as_str().unwrap().contains("PasswordReset/prod/web-root status: 'Failed'"), "{message:?}");
    assert_eq!(restarts(&world), [0, 0]);

    world.apply_secret(SECRET, &json!({"password": PASSWORD}));
    world.wait_until_done(RESET);
    flux.reconcile("1");
    assert_eq!(restarts(&world), [1, 1]);
}

#[test]
#[ignore = "needs Flux's kustomize-controller: make gitops"]
fn drift_correction_and_prune_restart_nothing() {
    let world = world();
    let repository = Repository::example(&world);
    let flux = Flux::start(&world, &repository);
    flux.commit_is_ready();

    patch(&world, r#"{"spec":{"restart":{"maxUnavailable":2}}}"#, &[]);
    flux.reconcile("1");
    assert_eq!(world.get("passwordreset", RESET)["spec"]["restart"]["maxUnavailable"], 1);

    world.delete_reset(RESET);
    flux.reconcile("2");
    world.wait_until_done(RESET);
    assert_eq!(restarts(&world), [1, 1]);

    repository.edit("kustomization.yaml", "- password_reset.yaml\n", "");
    flux.commit_is_ready();
    assert!(!exists(&world, "passwordreset", RESET), "it was not pruned");
    assert!(exists(&world, "configmap", AFTER));
    repository.edit("kustomization.yaml", "- after.yaml", "- password_reset.yaml\n- after.yaml");
    flux.commit_is_ready();
    world.wait_until_done(RESET);
    assert_eq!(restarts(&world), [1, 1]);
}

#[test]
#[ignore = "needs Flux's kustomize-controller: make gitops"]
fn flux_commit_of_a_new_run_id_runs_once() {
    let world = world();
    let repository = Repository::example(&world);
    let flux = Flux::start(&world, &repository);
    flux.commit_is_ready();
    repository.edit("password_reset.yaml", "2026-11-rotation", "2026-12-rotation");
    flux.commit_is_ready();
    assert_eq!(restarts(&world), [2, 2]);
    flux.reconcile("1");
    assert_eq!(restarts(&world), [2, 2]);
}

#[test]
#[ignore = "needs Flux's kustomize-controller: make gitops"]
fn suspend_by_hand_stays_under_a_manager_of_ones_own() {
    let world = world();
    let repository = Repository::example(&world);
    let flux = Flux::start(&world, &repository);
    flux.commit_is_ready();
    let suspended = || world.get("passwordreset", RESET)["spec"]["suspend"].clone();

    // Flux takes back what kubectl has set under its own name, also where Git says nothing of it.
    patch(&world, r#"{"spec":{"suspend":true}}"#, &[]);
    flux.reconcile("1");
    assert_eq!(suspended(), Value::Null);

    // Under another name it stays, at every reconciliation and through a commit, and holds the new run back.
    patch(&world, r#"{"spec":{"suspend":true}}"#, &["--field-manager=flux-client-side-apply"]);
    flux.reconcile("2");
    assert_eq!(suspended(), true);
    repository.edit("password_reset.yaml", "2026-11-rotation", "2026-12-rotation");
    flux.commit();
    world.wait_for_reason(RESET, "Suspended");
    assert_eq!((suspended(), restarts(&world)), (json!(true), [1, 1]));
    flux.wait("it waits", |it| (condition(&it["status"], "Ready")["status"] == "Unknown").then_some(()));

    patch(&world, r#"{"spec":{"suspend":null}}"#, &["--field-manager=flux-client-side-apply"]);
    world.wait_for_run(RESET, 2);
    flux.wait("it is Ready", |it| (condition(&it["status"], "Ready")["status"] == "True").then_some(()));
    assert_eq!(restarts(&world), [2, 2]);
}

#[test]
#[ignore = "needs Flux's kustomize-controller: make gitops"]
fn rerun_by_hand_runs_once_and_its_removal_runs_nothing() {
    let world = world();
    let repository = Repository::example(&world);
    let flux = Flux::start(&world, &repository);
    flux.commit_is_ready();
    world.annotate(RESET, "rerun-requested-at", Some("2026-11-29T12:00:00Z"));
    world.wait_for_run(RESET, 2);
    flux.reconcile("1");
    assert_eq!(
        world.get("passwordreset", RESET)["metadata"]["annotations"]["ecs.password-reset.dev/rerun-requested-at"],
        Value::Null
    );
    flux.reconcile("2");
    assert_eq!(restarts(&world), [2, 2]);
}

#[test]
#[ignore = "needs Flux's kustomize-controller: make gitops"]
fn flux_samples_are_accepted_by_the_schemas_of_flux() {
    let world = world();
    let repository = Repository::example(&world);
    let _flux = Flux::start(&world, &repository);
    let create = |text: &str| {
        world
            .try_kubectl(&["create", "--dry-run=server", "--validate=strict", "--filename=-"], text)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    create(&std::fs::read_to_string(project("deploy/flux/controller.yaml")).unwrap());
    // The schema of a HelmRelease is in no module that the proxy has.
    let helm = std::fs::read_to_string(project("deploy/flux/controller_helm.yaml")).unwrap();
    let (source, release) = helm.split_once("---\n").unwrap();
    assert!(release.contains("kind: HelmRelease"));
    create(source);
}
