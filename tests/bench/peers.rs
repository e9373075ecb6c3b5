//! What others take for the same resets against the same simulator: a bare client, which is the floor of the box, and a batch script with
//! the official SDK. Neither keeps a memory, bounds how many are away, or could go on after it was killed.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ecs_simulator::{Simulator, sign, string_to_sign};
use futures::StreamExt as _;
use futures::stream;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::common::{Config, Instance, PASSWORD, REGION};
use crate::report::Report;
use crate::{machine, world};

/// Calls in flight.
const IN_FLIGHT: usize = 64;
/// Instances in a page.
const PAGE: usize = 100;
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long an instance may still be seen Running whose restart was accepted, and a little more.
const SEEN_RUNNING: Duration = Duration::from_millis(600);
/// The name of the bare client's threads, by which its CPU is separated from the simulator's.
const THREAD: &str = "bare-client";

/// Adds the peers to a report that has the controller's figures.
pub fn add(report: &mut Report, instances: &[Instance], makespan: f64, cpu: f64) {
    let (bare, script) = (bare(instances), script(instances));
    report.here("bare client: makespan", bare.makespan, "s");
    report.here("bare client: CPU", bare.cpu, "s");
    report.here("SDK batch: makespan", script.makespan, "s");
    report.here("SDK batch: CPU", script.cpu, "s");
    report.here("SDK batch: peak memory", script.memory, "MiB");
    report.ratio("makespan by bare client", makespan / bare.makespan);
    report.ratio("makespan by SDK batch", makespan / script.makespan);
    report.ratio("CPU of the controller by bare client", cpu / bare.cpu);
    report.ratio("CPU of the controller by SDK batch", cpu / script.cpu);
}

struct Peer {
    makespan: f64,
    cpu: f64,
    memory: f64,
}

/// A simulator of its own, with nothing in its journal yet.
fn simulator(instances: &[Instance]) -> (Runtime, Simulator) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = Config { instances: instances.to_vec(), ..Config::default() };
    let simulator = runtime.block_on(Simulator::start(config)).unwrap();
    world::slow_down(&simulator);
    (runtime, simulator)
}

fn judge(simulator: &Simulator, instances: usize) {
    assert_eq!(world::in_effect(simulator.core().journal()), instances, "a peer has reset every instance");
}

/// The official SDK with 64 threads, as a user's script.
fn script(instances: &[Instance]) -> Peer {
    let python = std::env::var_os("SDK_PYTHON").expect("SDK_PYTHON is not set: run `make bench ARGS=--vs`");
    let (_runtime, simulator) = simulator(instances);
    let mut command = Command::new(python);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env_remove(proxy);
    }
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peer.py"));
    command.args([&simulator.url(), REGION, "testid", "testsecret", PASSWORD, &IN_FLIGHT.to_string()]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let ids: Vec<&str> = instances.iter().map(|instance| &*instance.instance_id).collect();
    process.stdin.take().unwrap().write_all(ids.join("\n").as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "peer.py ended with {}", output.status);
    judge(&simulator, instances.len());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |name: &str| said[name].as_f64().unwrap();
    Peer { makespan: number("makespanSeconds"), cpu: number("cpuSeconds"), memory: number("peakMiB") }
}

/// Requests and nothing else.
fn bare(instances: &[Instance]) -> Peer {
    let (_runtime, simulator) = simulator(instances);
    let client = Builder::new_multi_thread().worker_threads(1).thread_name(THREAD).enable_all().build().unwrap();
    let ids: Vec<String> = instances.iter().map(|instance| instance.instance_id.clone()).collect();
    let bare = Bare { http: reqwest::Client::builder().no_proxy().build().unwrap(), url: simulator.url() };
    let began = Instant::now();
    // On a thread of the client's, so that its CPU is counted there.
    let cpu = client.block_on(client.spawn(async move {
        bare.run(&ids).await;
        machine::cpu_of_threads(THREAD)
    }));
    let makespan = began.elapsed().as_secs_f64();
    judge(&simulator, instances.len());
    Peer { makespan, cpu: cpu.unwrap(), memory: 0.0 }
}

struct Bare {
    http: reqwest::Client,
    url: String,
}

impl Bare {
    async fn run(&self, ids: &[String]) {
        self.look(ids).await;
        let change = |id: String| async move {
            self.call("ModifyInstanceAttribute", &[("InstanceId", &id), ("Password", PASSWORD)]).await;
        };
        stream::iter(ids.to_vec()).for_each_concurrent(IN_FLIGHT, change).await;
        let restart = |id: String| async move {
            self.call("RebootInstance", &[("InstanceId", &id)]).await;
        };
        stream::iter(ids.to_vec()).for_each_concurrent(IN_FLIGHT, restart).await;
        tokio::time::sleep(SEEN_RUNNING).await;
        let mut left = ids.to_vec();
        while !left.is_empty() {
            left = self.look(&left).await.into_iter().filter(|(_, runs)| !runs).map(|(id, _)| id).collect();
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Which of these run.
    async fn look(&self, ids: &[String]) -> Vec<(String, bool)> {
        let pages: Vec<String> = ids.chunks(PAGE).map(|page| serde_json::to_string(page).unwrap()).collect();
        let read = |ids: String| async move {
            self.call("DescribeInstances", &[("InstanceIds", &ids), ("PageSize", "100")]).await
        };
        let pages: Vec<Value> = stream::iter(pages).map(read).buffer_unordered(IN_FLIGHT).collect().await;
        let instances = pages.iter().flat_map(|page| page["Instances"]["Instance"].as_array().unwrap());
        instances.map(|it| (it["InstanceId"].as_str().unwrap().to_owned(), it["Status"] == "Running")).collect()
    }

    async fn call(&self, action: &str, own: &[(&str, &str)]) -> Value {
        static NONCE: AtomicU64 = AtomicU64::new(0);
        let nonce = format!("bare-{}", NONCE.fetch_add(1, Ordering::Relaxed));
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut all = vec![
            ("Action", action),
            ("Version", "2014-05-26"),
            ("Format", "JSON"),
            ("RegionId", REGION),
            ("AccessKeyId", "testid"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", &nonce),
            ("Timestamp", &now),
        ];
        all.extend(own);
        let signature = sign("testsecret", &string_to_sign("POST", all.iter().copied()));
        all.push(("Signature", &signature));
        let body: Vec<String> = all.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = self.http.post(format!("{}/", self.url)).body(body.join("&"));
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        assert!(answer["Code"].is_null(), "{action}: {answer}");
        answer
    }
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
