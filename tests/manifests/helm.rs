//! The chart in the hands of helm itself, against a real API server: from a registry, through upgrade, rollback and uninstall in
//! the midst of a run, and to and from `kubectl apply`. The simulator's journal says what was restarted. `make chart-test`.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::chart;
use super::project;
use crate::common::{Instance, PASSWORD, REGION, SYSTEM_NAMESPACE, Setup, World, condition, eventually, free_address};

const IDS: [&str; 2] = ["i-running1", "i-running2"];
const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base");
const DEPLOYMENT: [&str; 4] = ["deployment", "ecs-password-reset", "--namespace", SYSTEM_NAMESPACE];

/// A world that nothing is installed in yet, whose first instance does not come back from its restart until it is released.
fn world() -> World {
    let [first, second] = IDS.map(|id| Instance::running(id, REGION).rebooting(0.5, 0.5));
    let mut setup = Setup { leader_elect: true, installed: false, ..Setup::default() };
    setup.ecs.instances = vec![first.held(), second];
    World::without_controller(setup)
}

/// Runs helm as cluster admin, with caches of its own. An error holds what it said.
fn try_helm(world: &World, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(chart::helm());
    for (variable, place) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(variable, world.file("helm").join(place));
    }
    let output = command.arg("--kubeconfig").arg(world.admin_kubeconfig()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn helm(world: &World, arguments: &[&str]) -> String {
    try_helm(world, arguments).unwrap_or_else(|error| panic!("helm {}: {error}", arguments.join(" ")))
}

/// Arguments that name the release and the namespace.
fn release<'a>(verb: &'a [&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [verb, &["ecs-password-reset"], more, &["--namespace", SYSTEM_NAMESPACE]].concat()
}

/// A registry on loopback, which keeps what it is given in memory.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    fn start() -> Self {
        let crane = std::env::var_os("CRANE").expect("CRANE is not set: run `make chart-test`");
        let address = free_address().to_string();
        let mut command = Command::new(crane);
        command.args(["registry", "serve", "--address", &address]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        eventually("the registry listens", || TcpStream::connect(&address).is_ok().then_some(()));
        Self { process, address }
    }

    /// Packs the chart under this version and pushes it.
    fn push(&self, world: &World, version: &str) {
        let directory = world.file("charts").to_str().unwrap().to_owned();
        let chart = project("deploy/chart");
        helm(world, &["package", chart.to_str().unwrap(), "--version", version, "--destination", &directory]);
        let package = format!("{directory}/ecs-password-reset-{version}.tgz");
        helm(world, &["push", &package, &format!("oci://{}/charts", self.address), "--plain-http"]);
    }

    fn chart(&self) -> String {
        format!("oci://{}/charts/ecs-password-reset", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The reset `web` of both instances is under way, and the first one is away for its restart.
fn begin_a_run(world: &World) {
    world.apply_reset("web", json!({"instanceIDs": IDS}));
    eventually("the restart is accepted and written down", || {
        (world.record(IDS[0])["status"]["phase"] == "Restarting").then_some(())
    });
}

fn finish_it(world: &World) {
    world.release(IDS[0]);
    let status = world.wait_for("web", "Ready");
    for id in IDS {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
}

/// What decides whether the Deployment would replace its pods. (Its generation moves with its annotations too.)
fn pod_template(world: &World) -> Value {
    world.get_in(SYSTEM_NAMESPACE, "deployment", "ecs-password-reset")["spec"]["template"].take()
}

fn fingerprint_key(world: &World) -> Value {
    let key = world.get_in(SYSTEM_NAMESPACE, "secret", "ecs-password-reset-fingerprint-key")["data"]["key"].take();
    assert!(key.is_string(), "the controller has made its key");
    key
}

#[test]
#[ignore = "half a minute: make chart-test"]
fn helm_lifecycle_restarts_each_machine_once() {
    let mut world = world();
    let registry = Registry::start();
    registry.push(&world, "0.1.0");
    registry.push(&world, "0.1.1");
    let (chart, http) = (registry.chart(), "--plain-http");
    let notes = helm(&world, &release(&["install"], &[&chart, "--version=0.1.0", http, "--create-namespace"]));
    assert!(notes.contains("ECSAccount") && notes.contains("create rolebinding"), "{notes}");
    world.sign_in();
    world.furnish();
    let first = world.start_replica("first", &[]);
    first.wait_until_it_works();
    world.wait_for_account("Ready");
    let key = fingerprint_key(&world);
    begin_a_run(&world);

    // The Deployment would start a pod of the new template and then stop the old one.
    helm(&world, &release(&["upgrade"], &[&chart, "--version=0.1.1", http, "--set=podLabels.step=upgrade"]));
    let second = world.start_replica("second", &[]);
    assert!(first.terminate().success());
    second.wait_until_it_works();
    world.wait_for_account("Ready");
    assert!(fingerprint_key(&world) == key, "an upgrade must not empty the key");

    helm(&world, &release(&["rollback"], &["1"]));
    let third = world.start_replica("third", &[]);
    assert!(second.terminate().success());
    third.wait_until_it_works();
    finish_it(&world);

    let said = helm(&world, &release(&["uninstall"], &[]));
    assert_eq!(said.matches("CustomResourceDefinition").count(), 3, "{said}");
    assert!(third.terminate().success() || !world.log_of_replica("third").is_empty());
    assert_eq!(condition(&world.status("web"), "Ready")["status"], "True");
    assert!(fingerprint_key(&world) == key, "the key is kept");
    for (kind, name) in [("deployment", "ecs-password-reset"), ("serviceaccount", "ecs-password-reset")] {
        let found = world.try_kubectl(&["get", kind, name, "--namespace", SYSTEM_NAMESPACE], "");
        assert!(found.is_err(), "{kind} {name} must be gone");
    }

    helm(&world, &release(&["install"], &[&chart, "--version=0.1.1", http]));
    world.sign_in();
    world.start_controller();
    world.wait_for_account("Ready");
    world.assert_starts_nothing("web", |_| {});
    // And it works.
    world.apply_reset("web", json!({"instanceIDs": IDS, "runID": "2"}));
    world.wait_for_run("web", 2);
    assert_eq!(IDS.map(|id| world.reboots(id)), [2, 2]);
}

#[test]
#[ignore = "half a minute: make chart-test"]
fn kubectl_to_helm_and_back_conflicts_nowhere() {
    let world = world();
    let chart = project("deploy/chart");
    let chart = chart.to_str().unwrap();
    world.install();
    world.furnish();
    let controller = world.start_replica("first", &[]);
    controller.wait_until_it_works();
    world.wait_for_account("Ready");
    begin_a_run(&world);
    let (before, key) = (pod_template(&world), fingerprint_key(&world));

    // The existing object belongs to no release that Helm knows.
    let refused = try_helm(&world, &release(&["install"], &[chart])).unwrap_err();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    helm(&world, &release(&["install"], &[chart, "--take-ownership"]));
    assert_eq!(pod_template(&world), before, "no pod is replaced");
    helm(&world, &release(&["upgrade"], &[chart]));
    assert_eq!(pod_template(&world), before);

    // And back: Helm forgets its release and the objects stay.
    let secrets = ["secret", "--selector=owner=helm,name=ecs-password-reset", "--namespace", SYSTEM_NAMESPACE];
    world.kubectl(&[&["delete"], &secrets[..]].concat());
    let printed = world.kubectl(&["apply", "--kustomize", BASE]);
    assert!(!printed.contains("created"), "{printed}");
    let printed = world.kubectl(&["apply", "--kustomize", BASE]);
    assert!(printed.lines().all(|line| line.ends_with(" unchanged")), "{printed}");
    assert_eq!(pod_template(&world), before, "no pod is replaced");

    // A replica that was changed by hand is not taken back by force.
    world.kubectl(&[&["scale"], &DEPLOYMENT[..], &["--replicas=1"]].concat());
    let refused = try_helm(&world, &release(&["install"], &[chart, "--take-ownership"])).unwrap_err();
    assert!(refused.contains(".spec.replicas"), "{refused}");
    helm(&world, &release(&["upgrade"], &[chart, "--install", "--take-ownership", "--set=replicaCount=null"]));
    assert_eq!(pod_template(&world), before, "no pod is replaced");

    finish_it(&world);
    assert!(fingerprint_key(&world) == key);
    drop(controller);
}

#[test]
#[ignore = "half a minute: make chart-test"]
fn second_installation_in_another_namespace_is_refused() {
    let world = world();
    let chart = project("deploy/chart");
    let chart = chart.to_str().unwrap();
    helm(&world, &release(&["install"], &[chart, "--create-namespace"]));
    let install = ["install", "second", chart, "--namespace=second", "--create-namespace"];
    for force in
        [&[][..], &["--take-ownership"], &["--take-ownership", "--force-conflicts"], &["--set=crds.enabled=false"]]
    {
        let refused = try_helm(&world, &[&install[..], force].concat()).unwrap_err();
        assert!(refused.contains("already installed in namespace ecs-password-reset-system"), "{refused}");
    }

    // kubectl asks nobody: what an overlay with another namespace applies takes the rights away from the first controller.
    world.sign_in();
    world.furnish();
    let controller = world.start_replica("first", &[]);
    controller.wait_until_it_works();
    world.wait_for_account("Ready");
    let base = world.kubectl(&["kustomize", BASE]);
    let other = base.replace(SYSTEM_NAMESPACE, "third");
    world.try_kubectl(&["apply", "--filename=-", "--server-side", "--force-conflicts"], &other).unwrap();
    let first = "--as=system:serviceaccount:ecs-password-reset-system:ecs-password-reset";
    let can = |who: &str| {
        let question = ["auth", "can-i", "update", "passwordresets.ecs.password-reset.dev", "--subresource=status"];
        world.try_kubectl(&[&question[..], &["--namespace=prod", who]].concat(), "").is_ok()
    };
    eventually("the first controller has lost its rights", || (!can(first)).then_some(()));
    assert!(can("--as=system:serviceaccount:third:ecs-password-reset"));
}
