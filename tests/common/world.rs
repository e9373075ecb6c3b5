//! [`World`]: the parts put together, and the words in which tests speak about them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ecs_simulator::{Config, Instance, Journal, Outcome, RequestEntry, Simulator, Status};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::control_plane::ControlPlane;
use super::controller::{Controller, Launch, tail};
use super::manifests::{self, ACCESS_KEY_ID, ACCOUNT, NAMESPACE, PASSWORD, REGION, SECRET, SYSTEM_NAMESPACE};
use super::wait::eventually;

/// What a world begins with.
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Setup {
    /// The simulated ECS; the tests' validity of requests is set on top.
    pub ecs: Config,
    /// V, for ECS and the controller alike, in seconds. Default 60: what is shorter makes a slow machine fail.
    pub request_validity_seconds: u32,
    /// How much longer the controller takes requests to be valid than ECS does. Default 0.
    pub request_validity_margin_seconds: u32,
    /// M, in seconds. Default 2.
    pub restart_settle_seconds: u32,
    /// The controller's log filter. Default: its own modules at debug.
    pub log_filter: &'static str,
    /// Whether the controller may speak to the simulator, and go by its short times. Default true; without it the limits are those of production,
    /// no account becomes Ready, and a test begins with [`World::without_controller`].
    pub allow_http_endpoints: bool,
    /// Whether the controller takes part in an election. Default false: a Lease outlives whoever was killed.
    pub leader_elect: bool,
    /// How often the controller looks at accounts and policies, in seconds. Default 1.
    pub account_check_seconds: u32,
    /// How often instances are read, in milliseconds. Default 50.
    pub describe_interval_milliseconds: u32,
    /// How often a Secret is read while work is open, in seconds. Default 1.
    pub secret_poll_seconds: u32,
    /// Further flags of the controller.
    pub flags: Vec<String>,
    /// Whether the API server keeps an audit log of every request and answer. Default false.
    pub audit: bool,
    /// Whether the controller is installed from `deploy/base`. Default true; without it the test installs it in its own way,
    /// and calls [`World::sign_in`] and [`World::furnish`] then.
    pub installed: bool,
    /// Whether the control plane is started for this world alone, and lives no longer. Default false: it is one of the pool, if the
    /// controller is installed there and no audit log is asked for.
    pub own_control_plane: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ecs: Config::default(),
            request_validity_seconds: 60,
            request_validity_margin_seconds: 0,
            restart_settle_seconds: 2,
            log_filter: "info,ecs_password_reset=debug",
            allow_http_endpoints: true,
            leader_elect: false,
            account_check_seconds: 1,
            describe_interval_milliseconds: 50,
            secret_poll_seconds: 1,
            flags: Vec::new(),
            audit: false,
            installed: true,
            own_control_plane: false,
        }
    }
}

/// A cluster with everything that a reset needs: the controller installed and running, the account `default`, the
/// namespace `prod` with the Secret `root-password`. `PasswordReset`s are named without their namespace, `prod`.
pub struct World {
    // Dropped in this order: first who works, then what it works with.
    controller: Option<Controller>,
    simulator: Simulator,
    control_plane: ControlPlane,
    _runtime: Runtime,
    launch: Launch,
    dir: DataDir,
}

/// Where a world keeps its files. Those of a test that failed stay, to be read; `cargo clean` finds them.
struct DataDir(PathBuf);

impl World {
    /// A world with these instances and every default.
    pub fn with(instances: impl IntoIterator<Item = Instance>) -> Self {
        let ecs = Config { instances: instances.into_iter().collect(), ..Config::default() };
        Self::start(Setup { ecs, ..Setup::default() })
    }

    /// A world with the controller running and its account Ready.
    pub fn start(setup: Setup) -> Self {
        let mut world = Self::without_controller(setup);
        world.start_controller();
        world.wait_for_account("Ready");
        world
    }

    /// A world in which everything is installed but the controller does not run yet.
    pub fn without_controller(setup: Setup) -> Self {
        let Setup { request_validity_seconds, restart_settle_seconds, log_filter, allow_http_endpoints, .. } = setup;
        let controller_validity = request_validity_seconds + setup.request_validity_margin_seconds;
        let data = DataDir::new();
        let dir = &data.0;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ecs = Config { request_validity_seconds, ..setup.ecs };
        let simulator = runtime.block_on(Simulator::start(ecs)).unwrap();
        let (control_plane, is_installed) = if setup.own_control_plane || setup.audit || !setup.installed {
            (ControlPlane::start(&dir.join("control-plane"), setup.audit), false)
        } else {
            ControlPlane::take(&dir.join("control-plane"))
        };
        let mut flags = vec![format!("--log-filter={log_filter}")];
        if allow_http_endpoints {
            flags.extend([
                "--allow-http-endpoints".to_owned(),
                "--allow-short-safety-times".to_owned(),
                format!("--request-validity-seconds={controller_validity}"),
                format!("--restart-settle-seconds={restart_settle_seconds}"),
                format!("--describe-interval-milliseconds={}", setup.describe_interval_milliseconds),
                format!("--secret-poll-seconds={}", setup.secret_poll_seconds),
                format!("--account-check-seconds={}", setup.account_check_seconds),
                format!("--policy-check-seconds={}", setup.account_check_seconds),
                // Tests move ECS's clock and not this machine's.
                "--clock-skew-limit-seconds=900".to_owned(),
            ]);
        }
        if !setup.leader_elect {
            flags.push("--leader-elect=false".to_owned());
        }
        flags.extend(setup.flags);
        let lock = control_plane.place().map(|place| place.lock.try_clone().unwrap());
        let launch = Launch { kubeconfig: dir.join("kubeconfig"), log: dir.join("controller.log"), flags, lock };
        let world = Self { controller: None, simulator, control_plane, _runtime: runtime, launch, dir: data };
        if setup.installed && !is_installed {
            world.install();
            world.apply_all(manifests::furniture());
            world.control_plane.keep();
        }
        if setup.installed {
            world.take_token();
            world.apply(&world.account());
        }
        world
    }

    // === Cluster ===

    /// Installs the controller as its documentation says, `kubectl apply -k deploy/base`, and takes a token of its
    /// `ServiceAccount` for the next [`World::start_controller`]. Installing again is allowed.
    pub fn install(&self) {
        self.kubectl(&["apply", "--kustomize", concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base")]);
        self.sign_in();
    }

    /// Takes a token of the controller's `ServiceAccount` for the next [`World::start_controller`].
    pub fn sign_in(&self) {
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
        self.take_token();
    }

    fn take_token(&self) {
        let path = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/serviceaccounts/ecs-password-reset/token");
        let (status, answer) =
            self.control_plane.ask("POST", &path, &json!({"spec": {"expirationSeconds": 3600}}).to_string());
        assert_eq!(status, 201, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let token = answer["status"]["token"].as_str().unwrap();
        self.control_plane.kubectl().write_kubeconfig(&self.launch.kubeconfig, token);
    }

    /// Makes the account and its credentials, and the namespace `prod` with its Secret.
    pub fn furnish(&self) {
        self.apply_all(manifests::furniture().into_iter().chain([self.account()]));
    }

    /// Puts the account's credentials into the controller's namespace.
    pub fn install_credentials(&self) {
        self.apply(&manifests::credentials());
    }

    /// Runs `kubectl` as cluster admin and returns what it printed. Panics when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments, "").unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
    }

    /// Runs `kubectl` with `input` as standard input. An error holds what it said.
    pub fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        self.control_plane.kubectl().run(arguments, input)
    }

    /// Runs a line of a shell as a cluster admin would who pastes it, with `kubectl` on the PATH. An error holds what it said.
    pub fn paste(&self, line: &str) -> Result<String, String> {
        self.control_plane.kubectl().paste(line)
    }

    /// `kubectl apply` of one object; returns what it printed, such as `… created`.
    pub fn apply(&self, object: &Value) -> String {
        self.try_apply(object).unwrap_or_else(|error| panic!("kubectl apply: {error}"))
    }

    /// Applies several objects, in their order.
    pub fn apply_all(&self, objects: impl IntoIterator<Item = Value>) {
        let rest: Vec<Value> =
            objects.into_iter().filter(|it| !matches!(self.control_plane.create(it), Some(Ok(_)))).collect();
        if !rest.is_empty() {
            self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": rest}));
        }
    }

    /// `kubectl apply` of one object that may be refused. What is new takes no process: each takes a tenth of a second of a core.
    pub fn try_apply(&self, object: &Value) -> Result<String, String> {
        self.control_plane
            .create(object)
            .unwrap_or_else(|| self.try_kubectl(&["apply", "--filename=-"], &object.to_string()))
    }

    /// The kubeconfig of the cluster admin, for a test that is its own client.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.control_plane.kubeconfig().to_owned()
    }

    /// One object; `kind` and `name` as `kubectl get` takes them, in the namespace `prod`.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        self.get_in(NAMESPACE, kind, name)
    }

    /// One object of a namespace.
    pub fn get_in(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let group = "/apis/ecs.password-reset.dev/v1alpha1";
        let path = match kind {
            "passwordreset" | "resetrecord" => format!("{group}/namespaces/{namespace}/{kind}s/{name}"),
            "ecsaccount" => format!("{group}/ecsaccounts/{name}"),
            "secret" => format!("/api/v1/namespaces/{namespace}/secrets/{name}"),
            _ => {
                let get = ["get", kind, name, "--namespace", namespace, "--output=json"];
                return serde_json::from_str(&self.kubectl(&get)).unwrap();
            }
        };
        self.control_plane.look_up(&path).unwrap_or_else(|| panic!("there is no {kind} {namespace}/{name}"))
    }

    /// Makes a namespace whose Secrets the controller may read by name.
    pub fn create_namespace(&self, name: &str) {
        self.apply_all(manifests::namespace(name));
    }

    /// The `ECSAccount` that the world began with, to be changed and applied.
    pub fn account(&self) -> Value {
        manifests::account(ACCOUNT, &self.simulator.url())
    }

    /// Waits for a condition of the account, as `kubectl wait` does.
    pub fn wait_for_account(&self, wanted: &str) {
        eventually(&format!("the account is {wanted}"), || {
            is_true(&self.get("ecsaccount", ACCOUNT), wanted).then_some(())
        });
    }

    /// Puts a password into the Secret `root-password`.
    pub fn set_password(&self, password: &str) {
        self.apply_secret(SECRET, &json!({"password": password}));
    }

    /// Puts a password into another Secret of the user.
    pub fn set_password_of(&self, name: &str, password: &str) {
        self.apply_secret(name, &json!({"password": password}));
    }

    /// Applies a Secret of the user.
    pub fn apply_secret(&self, name: &str, data: &Value) {
        self.apply(&manifests::secret(NAMESPACE, name, data));
    }

    // === PasswordResets ===

    /// Applies a `PasswordReset`: `spec` on top of region, Secret and `minReadySeconds: 0`. Returns what kubectl printed.
    pub fn apply_reset(&self, name: &str, spec: Value) -> String {
        self.apply(&manifests::password_reset(NAMESPACE, name, spec))
    }

    /// Sets an annotation of the group on a `PasswordReset`; `None` removes it.
    pub fn annotate(&self, name: &str, annotation: &str, value: Option<&str>) {
        let key = format!("ecs.password-reset.dev/{annotation}");
        let path = format!("{}/{name}", objects("passwordresets", NAMESPACE));
        self.control_plane.patch(&path, &json!({"metadata": {"annotations": {key: value}}}));
    }

    /// Deletes a `PasswordReset` and waits until it is gone, which a finalizer would prevent.
    pub fn delete_reset(&self, name: &str) {
        let path = format!("{}/{name}", objects("passwordresets", NAMESPACE));
        let (status, answer) = self.control_plane.ask("DELETE", &path, "");
        assert_eq!(status, 200, "DELETE {path}: {answer}");
        eventually(&format!("PasswordReset {name} is gone"), || {
            self.control_plane.look_up(&path).is_none().then_some(())
        });
    }

    /// Waits for a condition of a `PasswordReset`, as `kubectl wait` does; returns its status then.
    pub fn wait_for(&self, name: &str, wanted: &str) -> Value {
        self.wait_for_reset(name, &format!("it is {wanted}"), |object| {
            is_true(object, wanted).then(|| object["status"].clone())
        })
    }

    /// Waits until the controller has answered the present spec and the object is Ready; returns its status.
    pub fn wait_until_done(&self, name: &str) -> Value {
        self.wait_for_reset(name, "it is Ready for its newest generation", |object| {
            let status = &object["status"];
            let current = status["observedGeneration"] == object["metadata"]["generation"];
            (current && condition(status, "Ready")["status"] == "True").then(|| status.clone())
        })
    }

    /// Waits until the object's run of this number is complete and the object Ready; returns its status.
    pub fn wait_for_run(&self, name: &str, number: u32) -> Value {
        self.wait_for_reset(name, &format!("run {number} is complete"), |object| {
            let status = &object["status"];
            let complete = status["run"]["number"] == number && status["run"]["completionTime"].is_string();
            (complete && condition(status, "Ready")["status"] == "True").then(|| status.clone())
        })
    }

    /// Waits until `look` finds something in a `PasswordReset`.
    pub fn wait_for_reset<T>(&self, name: &str, what: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        eventually(&format!("PasswordReset {name}: {what}"), || look(&self.get("passwordreset", name)))
    }

    /// Waits until the row of an instance is in `state`; returns the row.
    pub fn wait_for_state(&self, name: &str, instance_id: &str, state: &str) -> Value {
        self.wait_for_reset(name, &format!("{instance_id} is {state}"), |object| {
            let row = row(&object["status"], instance_id);
            (row["state"] == state).then(|| row.clone())
        })
    }

    /// Waits until the object's Ready condition gives `reason`; returns the condition.
    pub fn wait_for_reason(&self, name: &str, reason: &str) -> Value {
        self.wait_for_reset(name, &format!("Ready gives the reason {reason}"), |object| {
            let ready = condition(&object["status"], "Ready");
            (ready["reason"] == reason).then(|| ready.clone())
        })
    }

    /// The status of a `PasswordReset`.
    pub fn status(&self, name: &str) -> Value {
        self.get("passwordreset", name)["status"].take()
    }

    /// The events of a `PasswordReset`, in no order.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events");
        let mut all = self.control_plane.look_up(&path).unwrap();
        let Value::Array(items) = all["items"].take() else { return Vec::new() };
        items.into_iter().filter(|event| event["regarding"]["name"] == name).collect()
    }

    /// The record of an instance; null if there is none.
    pub fn record(&self, instance_id: &str) -> Value {
        let path = format!("{}/{REGION}.{instance_id}", objects("resetrecords", SYSTEM_NAMESPACE));
        self.control_plane.look_up(&path).unwrap_or(Value::Null)
    }

    // === The controller's process ===

    /// Starts the controller and waits until it works; one that runs is killed, and its Lease has to expire first.
    pub fn start_controller(&mut self) {
        self.kill_controller();
        let controller = Controller::start(&self.launch);
        controller.wait_until_it_works();
        self.controller = Some(controller);
    }

    /// Starts one more controller, which is the test's own: with this name in the Lease, these flags on top, and a log of
    /// its own. It is ready then, and may stand by.
    pub fn start_replica(&self, name: &str, flags: &[&str]) -> Controller {
        let Launch { kubeconfig, log, flags: usual, lock } = &self.launch;
        let mut all = usual.clone();
        all.push(format!("--leader-elect-identity={name}"));
        all.extend(flags.iter().map(|&flag| flag.to_owned()));
        let log = log.with_file_name(format!("controller-{name}.log"));
        let lock = lock.as_ref().map(|lock| lock.try_clone().unwrap());
        Controller::start(&Launch { kubeconfig: kubeconfig.clone(), log, flags: all, lock })
    }

    /// What a replica has logged.
    pub fn log_of_replica(&self, name: &str) -> String {
        std::fs::read_to_string(self.launch.log.with_file_name(format!("controller-{name}.log"))).unwrap()
    }

    /// The spec of the Lease; null if there is none.
    pub fn lease(&self) -> Value {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases/ecs-password-reset");
        self.control_plane.look_up(&path).map_or(Value::Null, |mut lease| lease["spec"].take())
    }

    /// Starts a controller beside the world's own, with these environment variables, and waits for nothing.
    pub fn spawn_controller(&self, environment: &[(&str, &str)]) -> Controller {
        Controller::spawn(&self.launch, environment)
    }

    /// A file for the test, beside the world's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.launch.log.with_file_name(name)
    }

    /// The parts behind the API server: its audit log and etcd.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// The token that the controller signs in with.
    pub fn service_account_token(&self) -> String {
        let config: Value = serde_json::from_slice(&std::fs::read(&self.launch.kubeconfig).unwrap()).unwrap();
        config["users"][0]["user"]["token"].as_str().unwrap().to_owned()
    }

    /// Crashes the API server, and waits until it is there again over the same data.
    pub fn crash_api_server(&self) {
        self.control_plane.crash_api_server();
    }

    /// `kill -9`.
    pub fn kill_controller(&mut self) {
        drop(self.controller.take());
    }

    /// SIGTERM, and its end.
    pub fn stop_controller(&mut self) -> ExitStatus {
        self.controller.take().expect("the controller runs").terminate()
    }

    /// How many passes over `PasswordReset`s this process of the controller has finished.
    pub fn passes(&self) -> f64 {
        self.metric("controller_runtime_reconcile_total", "controller=\"password_reset\"")
    }

    /// Everything that the controller has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.launch.log).unwrap()
    }

    /// Everything that `/metrics` says.
    pub fn metrics(&self) -> String {
        self.controller.as_ref().expect("the controller runs").metrics()
    }

    /// The process of the controller, and that of the control plane.
    pub fn pids(&self) -> (u32, u32) {
        (self.controller.as_ref().expect("the controller runs").pid(), self.control_plane.pid())
    }

    /// The sum of a metric over those of its series whose labels contain `labels`, such as `kind="Event"`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let metrics = self.metrics();
        let series = metrics.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(series, _)| {
            let (metric, of) = series.split_once('{').unwrap_or((series, ""));
            metric == name && of.contains(labels)
        });
        series.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    // === ECS ===

    /// The simulator, for faults, outsiders and keys.
    pub fn ecs(&self) -> &Simulator {
        &self.simulator
    }

    /// Asks the journal.
    pub fn journal<T>(&self, ask: impl FnOnce(&Journal) -> T) -> T {
        ask(self.simulator.core().journal())
    }

    /// Moves ECS's clock forward and waits until the controller has heard of it. Its timers run on this machine's clock,
    /// which no test waits for: every record is touched, so that it is checked by the new time. A record that is touched during a call
    /// has the outcome refused, and a password may be sent twice: where the new time itself lets a call be made, a test that counts calls
    /// moves the clock alone.
    pub fn advance(&self, seconds: u64) {
        self.simulator.advance(Duration::from_secs(seconds));
        if self.controller.is_none() {
            return;
        }
        self.wait_for_look_at_account();
        let touch =
            json!({"metadata": {"annotations": {"test/touched": self.simulator.now().as_millisecond().to_string()}}});
        let path = objects("resetrecords", SYSTEM_NAMESPACE);
        let records = self.control_plane.look_up(&path).unwrap();
        for record in records["items"].as_array().unwrap() {
            self.control_plane.patch(&format!("{path}/{}", record["metadata"]["name"].as_str().unwrap()), &touch);
        }
    }

    /// Moves ECS's clock to the beginning of a minute, so that what follows falls into one: no restart is requested in the minute of
    /// the instance's last start.
    pub fn begin_a_minute(&self) {
        self.advance(61 - self.simulator.now().as_second().rem_euclid(60).unsigned_abs());
    }

    /// Waits until the controller has asked again who the account's credentials speak for, and handled the answer. Of accounts with other
    /// access keys it asks too, which does not count; nothing tells accounts with one key apart.
    pub fn wait_for_look_at_account(&self) {
        let is_look = |it: &&RequestEntry| it.action == "GetCallerIdentity" && it.access_key_id == ACCESS_KEY_ID;
        let looks = || self.journal(|journal| journal.requests().filter(is_look).count());
        let before = looks();
        // The second request shows that the answer to the first was handled.
        eventually("the controller looks at its account", || (looks() >= before + 2).then_some(()));
    }

    /// Waits until the controller goes by an account as it is now.
    pub fn wait_for_changed_account(&self, name: &str) {
        eventually(&format!("the controller goes by ECSAccount {name} as it is now"), || {
            let account = self.get("ecsaccount", name);
            (account["status"]["observedGeneration"] == account["metadata"]["generation"]).then_some(())
        });
    }

    /// Keeps an instance from leaving transitional states.
    pub fn hold(&self, instance_id: &str) {
        self.simulator.with_core(|core, now| core.hold(now, instance_id)).unwrap();
    }

    /// Ends [`World::hold`].
    pub fn release(&self, instance_id: &str) {
        self.simulator.with_core(|core, now| core.release(now, instance_id)).unwrap();
    }

    /// How many passwords were set on an instance through the API.
    pub fn modifies(&self, instance_id: &str) -> usize {
        self.journal(|journal| journal.modifies(instance_id))
    }

    /// How many reboots of an instance were accepted through the API.
    pub fn reboots(&self, instance_id: &str) -> usize {
        self.journal(|journal| journal.reboots(instance_id))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut story = String::new();
        for entry in self.simulator.core().journal().requests().filter(|it| it.action != "GetCallerIdentity") {
            if entry.action != "DescribeInstances" {
                let _ = writeln!(story, "{} {} {:?} {:?}", entry.at, entry.action, entry.instance_ids, entry.outcome);
            }
        }
        eprintln!("--- the logs of the control plane are in {}", self.dir.0.join("control-plane").display());
        eprintln!("--- what ECS was asked to change\n{story}");
        for entry in std::fs::read_dir(&self.dir.0).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|it| it == "log") {
                eprintln!("--- the end of {}\n{}", path.display(), tail(&path, 60));
            }
        }
    }
}

/// A condition of a status; null if it has none of that type.
pub fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    find(&status["conditions"], "type", kind)
}

/// What `kubectl wait --for=condition=…` waits for: the condition holds of the object as it is now.
fn is_true(object: &Value, kind: &str) -> bool {
    let status = &object["status"];
    let condition = condition(status, kind);
    let observed = condition["observedGeneration"].as_i64().or_else(|| status["observedGeneration"].as_i64());
    let current = observed.is_none_or(|it| Some(it) >= object["metadata"]["generation"].as_i64());
    condition["status"] == "True" && current
}

/// The path of the objects of a kind in a namespace.
pub fn objects(plural: &str, namespace: &str) -> String {
    format!("/apis/ecs.password-reset.dev/v1alpha1/namespaces/{namespace}/{plural}")
}

/// The row of an instance; null if there is none.
pub fn row<'a>(status: &'a Value, instance_id: &str) -> &'a Value {
    find(&status["instances"], "instanceID", instance_id)
}

fn find<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    let found = list.as_array().and_then(|items| items.iter().find(|item| item[key] == value));
    found.unwrap_or(&Value::Null)
}

impl DataDir {
    /// A fresh one under cargo's target directory.
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("world-{}-{count}", std::process::id()));
        // One of the same name was left over by a process that had this id before.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
