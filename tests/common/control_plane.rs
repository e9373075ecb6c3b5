//! A real API server of the test's own, and `kubectl` for it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::wait::eventually;

/// The control plane's process. It stops when its standard input ends, so also when the test is killed.
pub struct ControlPlane {
    process: Child,
    data: PathBuf,
    kubectl: Kubectl,
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
        let (program, kubectl) = (tool("CONTROL_PLANE"), tool("KUBECTL"));
        std::fs::create_dir_all(dir).unwrap();
        let output = dir.join("output.log");
        let mut process = Command::new(&program)
            .arg("--data-dir")
            .arg(dir)
            .arg("--stop-on-stdin-eof")
            .args(audit.then_some("--audit"))
            // It lives for seconds: collecting garbage is a quarter of what its start takes.
            .env("GOGC", "400")
            .stdin(Stdio::piped())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(dir.join("errors.log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let kubectl =
            Kubectl { program: kubectl, kubeconfig: dir.join("kubeconfig"), cache: dir.join("kubectl-cache") };
        eventually("the control plane says that it is ready", || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "the control plane ended: {}", read(&dir.join("errors.log")));
            read(&output).lines().any(|line| line == "ready").then_some(())
        });
        Self { process, data: dir.join("etcd"), kubectl }
    }

    /// An object or a list by its path at the API server; `None`: there is none. For what tests look at again and again: a
    /// `kubectl` for each look would take most of a core. An API server that has too much to do, or is not there yet, is asked again.
    pub fn look_up(&self, path: &str) -> Option<Value> {
        eventually(&format!("GET {path} is answered"), || {
            let (status, answer) = self.ask(path);
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            match status {
                200 => Some(Some(serde_json::from_str(body).unwrap())),
                404 => Some(None),
                429 | 500.. => None,
                _ => panic!("GET {path}: {answer}"),
            }
        })
    }

    /// The status and the whole of an answer of the API server.
    fn ask(&self, path: &str) -> (u16, String) {
        let url = read(&self.data.with_file_name("proxy-url"));
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("GET {path}: {answer}")), answer)
    }

    /// Crashes the API server, and waits until it is there again over the same data.
    pub fn crash_api_server(&self) {
        let output = self.data.with_file_name("output.log");
        let ready = || read(&output).lines().filter(|line| *line == "ready").count();
        let before = ready();
        kill_process(Pid::from_child(&self.process), Signal::HUP).unwrap();
        eventually("the API server is back", || (ready() > before).then_some(()));
    }

    /// Every request and answer so far.
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.data.with_file_name("audit.log")).expect("it was started with `audit`")
    }

    /// Everything that was ever written to etcd, by key, oldest first; compaction, which comes after five minutes, would
    /// be an error. By the JSON gateway, whose answer to HTTP/1.0 is a line for each batch of events.
    pub fn etcd_history(&self) -> Vec<(String, Vec<u8>)> {
        let url = read(&self.data.with_file_name("etcd-url"));
        let post = |path: &str, body: &Value| {
            let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
            let (body, head) = (body.to_string(), format!("POST {path} HTTP/1.0\r\nContent-Type: application/json"));
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            BufReader::new(stream).lines().map(Result::unwrap).skip_while(|line| !line.is_empty()).skip(1)
        };
        let parse = |line: String| serde_json::from_str::<Value>(&line).unwrap();
        let number = |value: &Value| value.as_str().unwrap_or("0").parse::<u64>().unwrap();
        let all = json!({"key": "AA==", "range_end": "AA==", "limit": 1});
        let newest = number(&parse(post("/v3/kv/range", &all).next().unwrap())["header"]["revision"]);
        let watch = json!({"create_request": {"key": "AA==", "range_end": "AA==", "start_revision": 1}});
        let mut history = Vec::new();
        for line in post("/v3/watch", &watch) {
            let answer = parse(line);
            assert!(answer["result"]["canceled"] != true, "etcd has forgotten the beginning");
            for event in answer["result"]["events"].as_array().into_iter().flatten() {
                let decode = |name: &str| STANDARD.decode(event["kv"][name].as_str().unwrap_or_default()).unwrap();
                history.push((String::from_utf8(decode("key")).unwrap(), decode("value")));
                if number(&event["kv"]["mod_revision"]) >= newest {
                    return history;
                }
            }
        }
        panic!("etcd ended before its newest revision");
    }

    /// Its process, of which the others are children.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `kubectl` for it.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        // 64 MB that nobody reads, also where the logs of a failed test are kept.
        let _ = std::fs::remove_dir_all(&self.data);
    }
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
        let config = self.run(&["config", "view", "--raw", "--output=json"], "").unwrap();
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config["users"][0]["user"] = json!({"token": token});
        std::fs::write(path, config.to_string()).unwrap();
    }
}

fn tool(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `make test`"));
    PathBuf::from(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
