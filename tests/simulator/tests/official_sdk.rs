//! Alibaba Cloud's own Python SDKs, of both generations, work against the simulator and are refused with a wrong secret. If
//! this fails, the simulator is wrong, however well the controller gets on with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

use std::env;
use std::path::Path;

use ecs_simulator::{Config, Instance, Journal, Outcome, Role, Simulator, Status};

const REGION: &str = "cn-hangzhou";

fn quick(mut instance: Instance) -> Instance {
    (instance.start_takes_seconds, instance.stop_takes_seconds) = (0.1, 0.1);
    instance.rebooting(0.1, 0.1)
}

/// Runs a script of `sdk/`, which must succeed, and returns what it said.
async fn run(script: &str, arguments: &[&str]) -> String {
    let python = env::var("SDK_PYTHON").expect(
        "SDK_PYTHON names no interpreter: run `make test`, which makes a virtual environment from tests/simulator/sdk/requirements.txt",
    );
    let mut command = tokio::process::Command::new(python);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env_remove(proxy);
    }
    let output = command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(script))
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    said.into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_sdk_works_and_is_refused_with_a_wrong_secret() {
    let config = (0..25)
        .fold(Config::default(), |config, n| config.with(Instance::running(&format!("i-other{n:02}"), REGION)))
        .with(quick(Instance::running("i-running", REGION).tagged("sdk", "yes")))
        .with(quick(Instance::stopped("i-stopped", REGION)));
    let simulator = Simulator::start(config).await.unwrap();
    let arguments = [&simulator.url(), REGION, "i-running", "i-stopped", "testid", "testsecret"];
    let said = run("check.py", &arguments).await;

    let core = simulator.core();
    let journal = core.journal();
    assert_eq!((journal.modifies("i-running"), journal.reboots("i-running")), (2, 2), "{said}");
    assert_eq!(core.status("i-stopped"), Some(Status::Stopped));
    assert_eq!(mismatches(journal), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_sdk_signs_by_version_3_and_assumes_roles() {
    let (role, provider) = ("acs:ram::1234567890123456:role/reset", "acs:ram::1234567890123456:oidc-provider/cluster");
    let config = Config::default()
        .with(quick(Instance::running("i-running", REGION)))
        .with_role(Role::new(role).trusting("testid").trusting_oidc(provider, "eyJ.an.OIDC.token"));
    let simulator = Simulator::start(config).await.unwrap();
    let key = ["testid", "testsecret"];
    let arguments = [&simulator.url(), REGION, "i-running", key[0], key[1], role, provider, "eyJ.an.OIDC.token"];
    let said = run("check_v3.py", &arguments).await;

    let core = simulator.core();
    let journal = core.journal();
    assert_eq!((journal.modifies("i-running"), journal.reboots("i-running")), (2, 2), "{said}");
    assert_eq!((journal.asked("AssumeRole"), journal.asked("AssumeRoleWithOIDC")), (1, 2));
    assert_eq!(mismatches(journal), 3);
    // Version 1 would have put it there.
    assert!(journal.requests().all(|entry| !entry.url.contains("SignatureVersion")));
}

fn mismatches(journal: &Journal) -> usize {
    let mismatch = Outcome::Refused("SignatureDoesNotMatch".to_owned());
    journal.requests().filter(|entry| entry.outcome == mismatch).count()
}
