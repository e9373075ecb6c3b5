//! Thousands of mutants against the real API server: what is invalid is refused at admission, and what is taken does no harm
//! to a machine that it may not touch, to the process or to a good neighbour.

use std::path::Path;

use futures::{StreamExt, stream};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::generate::{self, Mutant};
use super::oracle;
use crate::common::{Instance, NAMESPACE, PASSWORD, REGION, World, eventually, manifests, timed};

/// The variable with the number of mutants, and how many an ordinary run makes.
const MUTANTS: &str = "BADINPUT_MUTANTS";
const MUTANTS_OF_AN_ORDINARY_RUN: usize = 500;
/// After so many a good neighbour has to settle, and what was taken is taken away again.
const BATCH: usize = 500;
/// Requests at once.
const CONCURRENCY: usize = 16;
/// The instance that an invalid object names: it is there, and nothing may happen to it.
const PREY: &str = "i-prey0000001";

/// A kind whose schema is mutated.
struct Kind {
    path: String,
    schema: Value,
    bases: Vec<Value>,
    is_valid: fn(&Value) -> bool,
}

fn schema(plural: &str) -> Value {
    let file = format!("{}/crds/ecs.password-reset.dev_{plural}.yaml", env!("CARGO_MANIFEST_DIR"));
    let mut crd: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].take()
}

fn kinds() -> [Kind; 2] {
    let group = "/apis/ecs.password-reset.dev/v1alpha1";
    let reset = json!({
        "accountRef": {"name": "default"}, "instanceIDs": [PREY], "passwordSecretRef": {"name": "root-password", "key": "password"},
        "runID": "2026-11", "suspend": false, "maxFailures": 1, "stableStateTimeoutSeconds": 600,
        "restart": {"policy": "IfRunning", "maxUnavailable": 1, "minReadySeconds": 0, "timeoutSeconds": 900},
    });
    let account = |spec: Value| {
        let mut account = manifests::account("mutant", "https://127.0.0.1:9");
        account["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        account
    };
    let role = "acs:ram::1234567890123456:role/reset";
    let assumed = json!({
        "credentials": {"rrsa": {"roleARN": role, "oidcProviderARN": "acs:ram::1234567890123456:oidc-provider/ack"}},
        "assumeRole": {"roleARN": role, "externalID": "of-ours", "durationSeconds": 3600},
        "expectedAccountID": "1234567890123456",
        "rules": [{"namespaces": ["prod"], "instanceTags": {"password-reset": "enabled"}}],
    });
    let plain =
        json!({"regions": [REGION], "endpoint": {"url": "https://127.0.0.1:9", "stsURL": "https://127.0.0.1:9"}});
    [
        Kind {
            path: format!("{group}/namespaces/{NAMESPACE}/passwordresets"),
            schema: schema("passwordresets"),
            bases: vec![manifests::password_reset(NAMESPACE, "mutant", reset)],
            is_valid: oracle::is_valid_password_reset,
        },
        Kind {
            path: format!("{group}/ecsaccounts"),
            schema: schema("ecsaccounts"),
            bases: vec![account(plain), account(assumed)],
            is_valid: oracle::is_valid_account,
        },
    ]
}

/// A mutant that is to be sent.
struct Sample {
    path: String,
    what: String,
    object: Value,
    is_valid: bool,
}

/// `count` mutants: spread over all single changes, and, where those do not suffice, pairs of them. The same every time.
fn samples(count: usize) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut dice = 7_u64;
    let mut roll = |sides: usize| {
        // Knuth's MMIX generator; its high bits are the good ones.
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % sides
    };
    for Kind { path, schema, bases, is_valid } in kinds() {
        for base in &bases {
            assert!(is_valid(&base["spec"]), "the oracle refuses a good object: {base}");
            let singles = generate::singles(base, &schema);
            println!("{} single changes of a good object for {path}", singles.len());
            let share = count.div_ceil(3);
            let step = singles.len().div_ceil(share).max(1);
            let mut chosen: Vec<Mutant> = singles.iter().step_by(step).cloned().collect();
            while chosen.len() < share {
                let (first, second) = (&singles[roll(singles.len())], &singles[roll(singles.len())]);
                chosen.push(generate::pair(first, second, base));
            }
            samples.extend(chosen.into_iter().map(|Mutant { what, object }| {
                let is_valid = is_valid(&oracle::without_nulls(&object["spec"]));
                Sample { path: path.clone(), what, object, is_valid }
            }));
        }
    }
    for (number, sample) in samples.iter_mut().enumerate() {
        sample.object["metadata"]["name"] = json!(format!("mutant-{number}"));
        sample.object["metadata"]["labels"] = json!({"test": "mutant"});
        // A valid one may do what it says, so it is given an instance that is not there.
        if sample.is_valid && sample.object["spec"]["instanceIDs"] == json!([PREY]) {
            sample.object["spec"]["instanceIDs"] = json!(["i-absent000001"]);
        }
    }
    samples
}

/// The API server, asked without a process for each request.
struct Admission {
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
}

impl Admission {
    fn new(kubeconfig: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            kube::Client::try_from(config.unwrap()).unwrap()
        });
        Self { runtime, client }
    }

    /// Posts each body, and tells for each whether it was taken.
    fn post(&self, requests: Vec<(String, String)>) -> Vec<bool> {
        let one = |(path, body): (String, String)| async move {
            let request = http::Request::post(path).header("content-type", "application/json");
            let request = request.body(Body::from(body.clone().into_bytes())).unwrap();
            let status = self.client.send(request).await.unwrap().status().as_u16();
            let shown: String = body.chars().take(2_000).collect();
            assert!([201, 400, 413, 422].contains(&status), "the API server answered {status} to {shown}");
            status == 201
        };
        self.runtime.block_on(stream::iter(requests).map(one).buffered(CONCURRENCY).collect())
    }

    fn dry_run(&self, samples: &[Sample]) -> Vec<bool> {
        let query = "?dryRun=All&fieldValidation=Strict";
        self.post(samples.iter().map(|it| (format!("{}{query}", it.path), it.object.to_string())).collect())
    }

    fn create(&self, samples: &[&Sample]) {
        let taken = self.post(samples.iter().map(|it| (it.path.clone(), it.object.to_string())).collect());
        assert!(taken.into_iter().all(|taken| taken), "a dry run took what creating refuses");
    }
}

fn neighbour(batch: usize) -> String {
    format!("i-good{batch:07}")
}

/// Waits until the controller has looked at every mutant that was taken, and takes them away.
fn settle(world: &World) {
    let selected = ["passwordresets,ecsaccounts", "--selector=test=mutant", "--all-namespaces"];
    eventually("every mutant that was taken is answered", || {
        let list = world.kubectl(&[&["get", "--output=json"], &selected[..]].concat());
        let list: Value = serde_json::from_str(&list).unwrap();
        let answered = |it: &Value| it["status"]["observedGeneration"] == it["metadata"]["generation"];
        list["items"].as_array().unwrap().iter().all(answered).then_some(())
    });
    for (kind, scope) in [("passwordresets", &["--namespace", NAMESPACE][..]), ("ecsaccounts", &[])] {
        world.kubectl(&[&["delete", kind, "--selector=test=mutant", "--wait=false"], scope].concat());
    }
}

#[test]
fn mutants_of_the_schemas_are_refused_or_do_no_harm() {
    let count = std::env::var(MUTANTS).map_or(MUTANTS_OF_AN_ORDINARY_RUN, |it| it.parse().unwrap());
    let samples = samples(count);
    let batches = samples.len().div_ceil(BATCH);
    let instances = (0..batches).map(neighbour).chain([PREY.to_owned()]);
    let world = World::with(instances.map(|id| Instance::running(&id, REGION)));
    let admission = Admission::new(&world.admin_kubeconfig());

    let (mut invalid, mut slipped, mut valid_refused) = (0, Vec::new(), Vec::new());
    for (number, batch) in samples.chunks(BATCH).enumerate() {
        let taken = timed("dry runs of a batch", || admission.dry_run(batch));
        invalid += batch.iter().filter(|it| !it.is_valid).count();
        let of = |valid: bool, was_taken: bool| {
            let chosen =
                batch.iter().zip(&taken).filter(move |(it, taken)| it.is_valid == valid && **taken == was_taken);
            chosen.map(|(it, _)| it)
        };
        slipped.extend(of(false, true).map(|it| it.what.as_str()));
        valid_refused.extend(of(true, false).map(|it| it.what.as_str()));
        admission.create(&of(false, true).chain(of(true, true)).collect::<Vec<_>>());

        let (name, id) = (format!("good-{number}"), neighbour(number));
        world.apply_reset(&name, json!({"instanceIDs": [id]}));
        world.assert_reset_and_restarted_once(&world.wait_until_done(&name), &id, PASSWORD);
        timed("looks at a batch", || settle(&world));
    }
    println!("{} mutants: {invalid} invalid, {} of them taken: {slipped:#?}", samples.len(), slipped.len());
    world.assert_untouched(PREY);
    assert_eq!(world.changing_calls(), 2 * batches, "somebody but the neighbours was reset");
    assert!(!world.log().contains("panicked"), "a pass panicked");

    // What nothing has happened to could have been reset.
    world.apply_reset("prey", json!({"instanceIDs": [PREY]}));
    world.assert_reset_and_restarted_once(&world.wait_until_done("prey"), PREY, PASSWORD);

    assert!(valid_refused.is_empty(), "{} valid ones are refused: {valid_refused:#?}", valid_refused.len());
    assert!(slipped.is_empty(), "{} invalid ones are taken: {slipped:#?}", slipped.len());
}
