//! What the log and the events tell: each change of Ready once, whose record a line is about, and why the API server does not answer.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Controller, Instance, Launch, PASSWORD, REGION, SYSTEM_NAMESPACE, World, eventually, manifests};

const ID: &str = "i-logged0001";

fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn of<'a>(lines: &'a [Value], name: &str, msg: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["name"] == name && line["msg"] == msg).collect()
}

fn key(world: &World, id: &str) {
    let data = json!({"accessKeyID": id, "accessKeySecret": id.replace("id", "secret")});
    world.apply(&manifests::secret(SYSTEM_NAMESPACE, "other-key", &data));
}

#[test]
fn each_change_of_an_account_is_one_line_and_one_event() {
    let world = World::with([]);
    key(&world, "nosuchid");
    let mut account = world.account();
    account["metadata"]["name"] = json!("broken");
    account["spec"]["credentials"]["secretRef"]["name"] = json!("other-key");
    world.apply(&account);
    let describe = || world.kubectl(&["describe", "ecsaccount", "broken"]);
    let refused = eventually("the refusal is an event", || {
        let text = describe();
        text.contains("Warning  CredentialsRefused").then_some(text)
    });
    assert!(refused.contains("InvalidAccessKeyId.NotFound"), "{refused}");
    let looks = world.journal(|journal| journal.requests().count());
    eventually("it is checked again", || {
        (world.journal(|journal| journal.requests().count()) > looks + 3).then_some(())
    });
    assert_eq!(describe().matches("CredentialsRefused").count(), refused.matches("CredentialsRefused").count());

    key(&world, "testid");
    eventually("the recovery is an event", || describe().contains("Normal   AccountReady").then_some(()));
    let lines = lines(&world.log());
    let told = of(&lines, "broken", "Ready has changed");
    let told: Vec<_> = told.iter().map(|line| json!([line["level"], line["ready"], line["reason"]])).collect();
    assert_eq!(told, [json!(["warn", "False", "CredentialsRefused"]), json!(["info", "True", "AccountReady"])]);
}

#[test]
fn log_of_a_run_names_the_object_on_every_line() {
    let world = World::with([Instance::running(ID, REGION)]);
    world.apply_reset("web", json!({"instanceIDs": [ID], "runID": "first"}));
    world.assert_reset_and_restarted_once(&world.wait_until_done("web"), ID, PASSWORD);
    // The last line of a run, which is written after the status.
    let lines = eventually("the end of the run is logged", || {
        let lines = lines(&world.log());
        let ready = of(&lines, "web", "Ready has changed");
        ready.last().is_some_and(|last| last["reason"] == "Succeeded").then_some(lines)
    });
    let first = &lines[0];
    assert_eq!(
        (&first["msg"], &first["version"]),
        (&json!("the controller starts"), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert!(first["commit"].is_string());
    assert!(first["settings"].as_str().unwrap().contains("--leader-elect=false"), "{first}");

    let begun = of(&lines, "web", "a run has begun");
    assert_eq!(begun.len(), 1);
    assert_eq!((&begun[0]["run"], &begun[0]["runID"], &begun[0]["instances"]), (&json!(1), &json!("first"), &json!(1)));
    let ended = of(&lines, "web", "a run has ended");
    assert_eq!(ended.len(), 1);
    assert!(ended[0]["seconds"].is_u64() || ended[0]["seconds"].is_i64(), "{}", ended[0]);
    assert_eq!(ended[0]["inEffect"], 1);

    // A search for the object finds what was done for it.
    let record = format!("{REGION}.{ID}");
    let of_record: Vec<_> = lines.iter().filter(|line| line["record"] == record.as_str()).collect();
    assert!(of_record.iter().filter(|line| line["msg"] == "ECS accepted the call").count() == 2, "{of_record:#?}");
    assert!(of_record.iter().filter(|line| line["msg"] == "the claim has a new phase").count() > 2, "{of_record:#?}");
    for line in &of_record {
        assert_eq!((&line["namespace"], &line["name"]), (&json!("prod"), &json!("web")), "{line}");
    }
    for line in of(&lines, "web", "Ready has changed") {
        assert!(line["ready"] != line["was"] || line["reason"] != line["because"], "{line}");
    }
    for line in &lines {
        for needless in ["object.ref", "object.reason", "controllerGroup"] {
            assert!(line.get(needless).is_none(), "{line}");
        }
        assert_ne!(line["namespace"], "", "{line}");
    }
}

#[test]
fn a_missing_kubeconfig_is_named_in_one_pair_of_quotes() {
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("no-kubeconfig-{}.log", std::process::id()));
    let launch = Launch { kubeconfig: "/nonexistent".into(), log: log.clone(), ..Launch::default() };
    assert!(!Controller::spawn(&launch, &[]).wait_for_end().success());
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("from '/nonexistent': No such file or directory"), "{said}");
    std::fs::remove_file(log).unwrap();
}

#[test]
fn a_missing_crd_is_named_once_with_what_to_do() {
    let world = World::with([Instance::running(ID, REGION)]);
    world.kubectl(&["delete", "crd", "passwordresets.ecs.password-reset.dev", "--wait=false"]);
    let of = |level: &str| {
        let lines = lines(&world.log()).into_iter();
        let is_it = |line: &Value| line["kind"] == "PasswordReset" && line["level"] == level;
        lines.filter(is_it).map(|line| line["error"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let advice = |errors: Vec<String>| errors.iter().filter(|error| error.contains("kubectl apply -k crds")).count();
    eventually("the watch has failed three times", || (advice(of("debug")) > 1).then_some(()));
    let told = of("warn");
    assert_eq!(advice(told.clone()), 1, "{}", world.log());

    // Run as printed, it helps.
    let command = told.iter().find_map(|error| error.split_once("install the CRDs: ")).unwrap().1;
    world.paste(&format!("cd {}; {command}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    eventually("the kind is known again", || {
        world.try_apply(&manifests::password_reset("prod", "web", json!({"instanceIDs": [ID]}))).ok()
    });
    world.assert_reset_and_restarted_once(&world.wait_until_done("web"), ID, PASSWORD);
}

/// Port 1 of the loopback is not listened on.
#[test]
fn an_api_server_that_refuses_is_named_with_every_cause() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("unreachable-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "only",
        "contexts": [{"name": "only", "context": {"cluster": "only", "user": "only"}}],
        "clusters": [{"name": "only", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "only", "user": {"token": "none"}}],
    });
    let kubeconfig = dir.join("kubeconfig");
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    for leader_elect in [true, false] {
        let log = dir.join(format!("{leader_elect}.log"));
        let flags = vec![format!("--leader-elect={leader_elect}"), "--log-filter=info".to_owned()];
        let controller = Controller::spawn(
            &Launch { kubeconfig: kubeconfig.clone(), log: log.clone(), flags, ..Launch::default() },
            &[],
        );
        let read = || std::fs::read_to_string(&log).unwrap();
        let said = eventually("it says what is in the way", || {
            let named = |line: &Value| line["error"].as_str().is_some_and(|error| error.contains("127.0.0.1"));
            lines(&read()).into_iter().find(|line| line["level"] == "warn" && named(line))
        });
        let error = said["error"].as_str().unwrap();
        assert!(error.contains("https://127.0.0.1:1 did not answer: "), "{said}");
        assert!(error.to_lowercase().contains("connection refused"), "{said}");
        assert!(controller.terminate().success());
        let all = read();
        // Nothing was held, so there is nothing to release.
        assert!(!all.contains("could not be released"), "{all}");
        assert!(!all.contains("kube_client"), "the same without address and cause: {all}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
