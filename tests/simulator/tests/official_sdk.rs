//! Alibaba Cloud's own Python SDK works against the simulator, and is refused with a wrong secret. If this fails, the
//! simulator is wrong, however well the controller gets on with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

use std::env;
use std::path::Path;

use ecs_simulator::{Config, Instance, Outcome, Simulator, Status};

const REGION: &str = "cn-hangzhou";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_sdk_works_and_is_refused_with_a_wrong_secret() {
    let python = env::var("SDK_PYTHON").expect(
        "SDK_PYTHON names no interpreter: run `make test`, which makes a virtual environment from tests/simulator/sdk/requirements.txt",
    );
    let quick = |mut instance: Instance| {
        (instance.start_takes_seconds, instance.stop_takes_seconds) = (0.1, 0.1);
        instance.rebooting(0.1, 0.1)
    };
    let config = (0..25)
        .fold(Config::default(), |config, n| config.with(Instance::running(&format!("i-other{n:02}"), REGION)))
        .with(quick(Instance::running("i-running", REGION).tagged("sdk", "yes")))
        .with(quick(Instance::stopped("i-stopped", REGION)));
    let simulator = Simulator::start(config).await.unwrap();

    let mut command = tokio::process::Command::new(python);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env_remove(proxy);
    }
    let output = command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/check.py"))
        .args([&simulator.url(), REGION, "i-running", "i-stopped", "testid", "testsecret"])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");

    let core = simulator.core();
    let journal = core.journal();
    assert_eq!((journal.modifies("i-running"), journal.reboots("i-running")), (2, 2), "{said}");
    assert_eq!(core.status("i-stopped"), Some(Status::Stopped));
    let mismatch = Outcome::Refused("SignatureDoesNotMatch".to_owned());
    assert_eq!(journal.requests().filter(|entry| entry.outcome == mismatch).count(), 5);
}
