//! A real API server that a test has to itself, and `kubectl` for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::http;
use super::plane_pool::Place;
use super::wait::eventually;

/// A control plane that this test uses alone.
pub struct ControlPlane {
    dir: PathBuf,
    kubectl: Kubectl,
    kind: Kind,
}

enum Kind {
    /// It stops when its standard input ends, so also when the test is killed.
    Own(Child),
    /// It outlives the test. Where a failed one leaves its logs.
    OfPool(Place, PathBuf),
}

/// `kubectl` as cluster admin.
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl ControlPlane {
    /// Starts one with its data in `dir`; with `audit` it keeps a log of every request and answer.
    pub fn start(dir: &Path, audit: bool) -> Self {
        let mut command = command(dir);
        command.arg("--stop-on-stdin-eof").args(audit.then_some("--audit")).stdin(Stdio::piped());
        Self::new(dir, Kind::Own(start(command, dir)))
    }

    /// Takes one of the pool, or starts one there. A test that fails ends it, and leaves its logs in `logs`. True: it is at its baseline;
    /// else it is empty, and has to be brought there and [`ControlPlane::keep`] to be called.
    pub fn take(logs: &Path) -> (Self, bool) {
        let (place, is_ready) = Place::take();
        let dir = place.dir.clone();
        #[allow(clippy::zombie_processes, reason = "it outlives this process")]
        if !is_ready {
            let mut command = command(&dir);
            // A signal to the test and its children is none to it.
            command.arg("--pool").arg(place.lock_file()).stdin(Stdio::null()).process_group(0);
            start(command, &dir);
        }
        (Self::new(&dir, Kind::OfPool(place, logs.to_owned())), is_ready)
    }

    fn new(dir: &Path, kind: Kind) -> Self {
        let (program, kubeconfig, cache) = (tool("KUBECTL"), dir.join("kubeconfig"), dir.join("kubectl-cache"));
        Self { dir: dir.to_owned(), kubectl: Kubectl { program, kubeconfig, cache }, kind }
    }

    /// Makes its present state what the next test begins with.
    pub fn keep(&self) {
        if let Kind::OfPool(place, _) = &self.kind {
            place.keep();
        }
    }

    /// The place in the pool, if it has one.
    pub fn place(&self) -> Option<&Place> {
        match &self.kind {
            Kind::Own(_) => None,
            Kind::OfPool(place, _) => Some(place),
        }
    }

    /// The kubeconfig of the cluster admin.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubectl.kubeconfig
    }

    /// An object or a list by its path at the API server; `None`: there is none. For what tests look at again and again: a
    /// `kubectl` for each look would take most of a core. An API server that has too much to do, or is not there yet, is asked again.
    pub fn look_up(&self, path: &str) -> Option<Value> {
        eventually(&format!("GET {path} is answered"), || {
            let (status, body) = self.ask("GET", path, "");
            match status {
                200 => Some(Some(serde_json::from_str(&body).unwrap())),
                404 => Some(None),
                429 | 500.. => None,
                _ => panic!("GET {path}: {body}"),
            }
        })
    }

    /// Applies an object that is not there yet, as `kubectl apply` does, of a kind that tests apply often; returns what that prints, or
    /// the API server's refusal. `None`: it is of another kind or is there already, which is for `kubectl` itself.
    pub fn create(&self, object: &Value) -> Option<Result<String, String>> {
        let (kind, metadata) = (object["kind"].as_str()?, &object["metadata"]);
        let (group, plural, is_of_namespace) = match kind {
            "PasswordReset" => ("ecs.password-reset.dev", "passwordresets", true),
            "ECSAccount" => ("ecs.password-reset.dev", "ecsaccounts", false),
            "RoleBinding" => ("rbac.authorization.k8s.io", "rolebindings", true),
            "Secret" => ("", "secrets", true),
            "Namespace" => ("", "namespaces", false),
            _ => return None,
        };
        let (version, name) = (object["apiVersion"].as_str()?, metadata["name"].as_str()?);
        let root = if group.is_empty() { "/api" } else { "/apis" };
        let namespace = match metadata["namespace"].as_str() {
            Some(namespace) if is_of_namespace => format!("/namespaces/{namespace}"),
            None if !is_of_namespace => String::new(),
            _ => return None,
        };
        let mut object = object.clone();
        let annotations = &mut object["metadata"]["annotations"];
        if annotations.is_null() {
            *annotations = json!({});
        }
        // As Go writes it: a later apply compares.
        let mut applied = object.to_string();
        for character in ['<', '>', '&'] {
            applied = applied.replace(character, &format!("\\u{:04x}", u32::from(character)));
        }
        object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!(applied + "\n");
        let path = format!("{root}/{version}{namespace}/{plural}");
        let query = "fieldManager=kubectl-client-side-apply&fieldValidation=Strict";
        let (status, answer) = self.ask("POST", &format!("{path}?{query}"), &object.to_string());
        let is_in_path = name.chars().all(|it| it.is_ascii_alphanumeric() || it == '-' || it == '.');
        match status {
            201 => {
                let dot = if group.is_empty() { "" } else { "." };
                Some(Ok(format!("{}{dot}{group}/{name} created\n", kind.to_lowercase())))
            }
            // A change of what is there may be refused for another reason, or for none.
            400 | 403 | 422 if is_in_path && self.look_up(&format!("{path}/{name}")).is_none() => {
                let refusal: Value = serde_json::from_str(&answer).unwrap();
                let (reason, message) = (refusal["reason"].as_str()?, refusal["message"].as_str()?);
                Some(Err(format!("Error from server ({reason}): {message}")))
            }
            _ => None,
        }
    }

    /// A merge patch of an object by its path, which must be there.
    pub fn patch(&self, path: &str, changes: &Value) {
        let (status, answer) = self.ask("PATCH", path, &changes.to_string());
        assert_eq!(status, 200, "PATCH {path}: {answer}");
    }

    /// The status and the body of an answer of the API server.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let url = read(&self.dir.join("proxy-url"));
        http::ask(&url, method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Crashes the API server, and waits until it is there again over the same data.
    pub fn crash_api_server(&self) {
        let output = self.dir.join("output.log");
        let ready = || read(&output).lines().filter(|line| *line == "ready").count();
        let before = ready();
        kill_process(Pid::from_raw(self.pid().cast_signed()).unwrap(), Signal::HUP).unwrap();
        eventually("the API server is back", || (ready() > before).then_some(()));
    }

    /// Every request and answer so far.
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("audit.log")).expect("it was started with `audit`")
    }

    /// Everything that was ever written to etcd, by key, oldest first; compaction, which comes after five minutes, would
    /// be an error. By the JSON gateway, whose answer to HTTP/1.0 is a line for each batch of events.
    pub fn etcd_history(&self) -> Vec<(String, Vec<u8>)> {
        let all = json!({"key": "AA==", "range_end": "AA==", "limit": 1});
        let newest = number(&self.etcd("/v3/kv/range", &all).next().unwrap()["header"]["revision"]);
        let watch = json!({"create_request": {"key": "AA==", "range_end": "AA==", "start_revision": 1}});
        let mut history = Vec::new();
        for answer in self.etcd("/v3/watch", &watch) {
            assert!(answer["result"]["canceled"] != true, "etcd has forgotten the beginning");
            for event in answer["result"]["events"].as_array().into_iter().flatten() {
                history.push(key_and_value(&event["kv"]));
                if number(&event["kv"]["mod_revision"]) >= newest {
                    return history;
                }
            }
        }
        panic!("etcd ended before its newest revision");
    }

    /// What is in etcd, by key, but for what the API server writes for itself at any time.
    pub fn etcd_contents(&self) -> BTreeMap<String, Vec<u8>> {
        let answer = self.etcd("/v3/kv/range", &json!({"key": "AA==", "range_end": "AA=="})).next().unwrap();
        let all = answer["kvs"].as_array().unwrap().iter().map(key_and_value);
        let own = [
            "compact_rev_key",
            "/registry/leases/kube-system/",
            "/registry/masterleases/",
            "/registry/peerserverleases/",
            "/registry/ranges/",
        ];
        all.filter(|(key, _)| !own.iter().any(|it| key.starts_with(it))).collect()
    }

    /// The answers of etcd's JSON gateway, one for each line.
    fn etcd(&self, path: &str, body: &Value) -> impl Iterator<Item = Value> {
        let mut stream = TcpStream::connect(read(&self.dir.join("etcd-url")).trim_start_matches("http://")).unwrap();
        let (body, head) = (body.to_string(), format!("POST {path} HTTP/1.0\r\nContent-Type: application/json"));
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let lines = BufReader::new(stream).lines().map(Result::unwrap).skip_while(|line| !line.is_empty()).skip(1);
        lines.map(|line| serde_json::from_str(&line).unwrap())
    }

    /// Its process, of which the others are children.
    pub fn pid(&self) -> u32 {
        match &self.kind {
            Kind::Own(process) => process.id(),
            Kind::OfPool(place, _) => read(&place.dir.join("pid")).parse().unwrap(),
        }
    }

    /// `kubectl` for it.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        match &mut self.kind {
            Kind::Own(process) => {
                // Nobody reads what it would still write, and its children are killed with it.
                let _ = process.kill();
                let _ = process.wait();
                // 64 MB that nobody reads, also where the logs of a failed test are kept.
                let _ = std::fs::remove_dir_all(self.dir.join("etcd"));
            }
            Kind::OfPool(place, logs) if std::thread::panicking() => {
                // Whatever is wrong with it ends with this test.
                let _ = std::fs::create_dir_all(&*logs);
                for file in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
                    if file.path().extension().is_some_and(|it| it == "log") {
                        let _ = std::fs::copy(file.path(), logs.join(file.file_name()));
                    }
                }
                place.clear();
            }
            Kind::OfPool(..) => {}
        }
    }
}

/// What starts a control plane over `dir`.
fn command(dir: &Path) -> Command {
    std::fs::create_dir_all(dir).unwrap();
    let mut command = Command::new(tool("CONTROL_PLANE"));
    command
        .arg("--data-dir")
        .arg(dir)
        // It lives for minutes at most: collecting garbage is a quarter of what its start takes.
        .env("GOGC", "400")
        .stdout(File::create(dir.join("output.log")).unwrap())
        .stderr(File::create(dir.join("errors.log")).unwrap());
    command
}

/// Starts it and waits until it is ready.
fn start(mut command: Command, dir: &Path) -> Child {
    let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    eventually("the control plane says that it is ready", || {
        let ended = process.try_wait().unwrap();
        assert!(ended.is_none(), "the control plane ended: {}", read(&dir.join("errors.log")));
        read(&dir.join("output.log")).lines().any(|line| line == "ready").then_some(())
    });
    process
}

impl Kubectl {
    /// Runs it with `input` as standard input. An error holds what it said on standard error.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut process = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .env("KUBECACHEDIR", &self.cache)
            .env("GOGC", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // kubectl may end without having read all of it; what counts is how it ends.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        let output = process.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Runs a line of a shell, with this `kubectl` and its kubeconfig. An error holds what it said on standard error.
    pub fn paste(&self, line: &str) -> Result<String, String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", line])
            .env("PATH", format!("{}:{path}", self.program.parent().unwrap().display()))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Writes a kubeconfig for the same API server that signs in with `token`.
    pub fn write_kubeconfig(&self, path: &Path, token: &str) {
        let mut config: Value = serde_saphyr::from_str(&read(&self.kubeconfig)).unwrap();
        config["users"][0]["user"] = json!({"token": token});
        std::fs::write(path, config.to_string()).unwrap();
    }
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap_or("0").parse().unwrap()
}

fn key_and_value(entry: &Value) -> (String, Vec<u8>) {
    let decode = |name: &str| STANDARD.decode(entry[name].as_str().unwrap_or_default()).unwrap();
    (String::from_utf8(decode("key")).unwrap(), decode("value"))
}

fn tool(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `make test`"));
    PathBuf::from(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
