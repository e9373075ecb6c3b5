//! Thousands of mutants against the real API server: what is invalid is refused at admission, and what is taken does no harm
//! to a machine that it may not touch, to the process or to a good neighbour. Records are written as a cluster admin may write
//! them; those that are invalid are stored, too, as an older version of the CRD may have left them.

use std::path::Path;

use futures::{StreamExt, stream};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::generate::{self, Mutant};
use super::oracle;
use super::stored::loosen;
use crate::common::{
    ACCOUNT, Instance, NAMESPACE, PASSWORD, REGION, SECRET, SYSTEM_NAMESPACE, World, eventually, manifests, timed,
};

/// The variable with the number of mutants, and how many an ordinary run makes.
const MUTANTS: &str = "BADINPUT_MUTANTS";
const MUTANTS_OF_AN_ORDINARY_RUN: usize = 500;
/// After so many a good neighbour has to settle, and what was taken is taken away again.
const BATCH: usize = 500;
/// Requests at once.
const CONCURRENCY: usize = 16;
/// The instance that an invalid object names: it is there, and nothing may happen to it.
const PREY: &str = "i-prey0000001";

/// How many records are stored although they are invalid: so many have a field of each kind missing, and they cost two seconds.
const STORED: usize = 500;
/// The places of a record that are shown to people and drive nothing: a value of another version there keeps no password waiting.
const SHOWN_ONLY: &[&str] = &["plannedAction", "row.state", "startTimeEvidence"];

/// A kind whose schema is mutated.
struct Kind {
    path: String,
    /// The parts that are mutated, each with its schema.
    parts: Vec<(&'static str, Value)>,
    bases: Vec<Value>,
    is_valid: fn(&Value) -> bool,
}

fn schema(plural: &str, part: &str) -> Value {
    let file = format!("{}/crds/ecs.password-reset.dev_{plural}.yaml", env!("CARGO_MANIFEST_DIR"));
    let mut crd: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].take()
}

/// A record with every field that there is, in a phase in which nothing is left to do.
fn record() -> Value {
    let time = "2026-01-01T00:00:00Z";
    let owner = json!({"namespace": NAMESPACE, "name": "mutant", "uid": "u-1"});
    let fingerprint = json!({"keyID": "k-1", "value": "0123456789abcdef0123456789abcdef"});
    let row = json!({
        "instanceID": PREY, "name": "web-1", "osType": "linux", "keyPairName": "ops", "initialStatus": "Running",
        "plannedAction": "ResetAndRestart", "state": "InEffect", "reason": "RestartProven", "message": "in effect",
        "stateTime": time, "passwordSetTime": time, "passwordRequestID": "R-1", "restartRequestID": "R-2", "attempts": 1,
    });
    json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1", "kind": "ResetRecord",
        "metadata": {"namespace": SYSTEM_NAMESPACE, "name": format!("{REGION}.{PREY}")},
        "spec": {
            "claim": 1, "claimTime": time, "owner": owner, "accountName": ACCOUNT, "regionID": REGION, "instanceID": PREY,
            "tokens": ["run:1"], "retry": "retry:1", "fingerprint": fingerprint,
            "passwordSecretRef": {"namespace": NAMESPACE, "name": SECRET, "key": "password"},
            "restartPolicy": "IfRunning", "maxUnavailable": 100, "minReadySeconds": 0, "timeoutSeconds": 900,
            "stableStateTimeoutSeconds": 600, "stateSeen": "Running",
        },
        "status": {
            "phase": "InEffect", "unansweredUntil": time, "passwordAcknowledgedAt": time, "startTimeBefore": time,
            "attempt": {"id": "a-1", "process": "p-1", "number": 1, "timestamp": time, "foundUnansweredUntil": time},
            "acceptedAt": time, "leftRunning": true, "startTimeEvidence": "Moved", "lastRestartTime": time, "availableTime": time,
            "row": row, "completed": [{"owner": owner, "tokens": ["run:1"], "fingerprint": fingerprint, "row": row}],
        },
    })
}

fn kinds() -> [Kind; 3] {
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
            parts: vec![("spec", schema("passwordresets", "spec"))],
            bases: vec![manifests::password_reset(NAMESPACE, "mutant", reset)],
            is_valid: |it| oracle::is_valid_password_reset(&it["spec"]),
        },
        Kind {
            path: format!("{group}/ecsaccounts"),
            parts: vec![("spec", schema("ecsaccounts", "spec"))],
            bases: vec![account(plain), account(assumed)],
            is_valid: |it| oracle::is_valid_account(&it["spec"]),
        },
        Kind {
            path: format!("{group}/namespaces/{SYSTEM_NAMESPACE}/resetrecords"),
            parts: ["spec", "status"].map(|part| (part, schema("resetrecords", part))).into(),
            bases: vec![record()],
            is_valid: oracle::is_valid_record,
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

impl Sample {
    fn is_record(&self) -> bool {
        self.object["kind"] == "ResetRecord"
    }

    /// Gives it a name of its own. A record is named after an instance of its own, which is claimed where the mutant is not one
    /// of just that.
    fn name(&mut self, number: usize) {
        self.object["metadata"]["labels"] = json!({"test": "mutant"});
        if self.is_record() {
            let instance = instance_of_record(number);
            self.object["metadata"]["name"] = json!(format!("{REGION}.{instance}"));
            if self.object["spec"]["instanceID"] == PREY {
                self.object["spec"]["instanceID"] = json!(instance);
            }
        } else {
            self.object["metadata"]["name"] = json!(format!("mutant-{number}"));
        }
    }
}

fn instance_of_record(number: usize) -> String {
    format!("i-record{number:06}")
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
    let kinds = kinds();
    let share = count / kinds.iter().map(|kind| kind.bases.len()).sum::<usize>();
    for Kind { path, parts, bases, is_valid } in kinds {
        for base in &bases {
            assert!(is_valid(base), "the oracle refuses a good object: {base}");
            let of_part = |(part, schema): &(&str, Value)| generate::singles(base, part, schema);
            let singles: Vec<Mutant> = parts.iter().flat_map(of_part).collect();
            println!("{} single changes of a good object for {path}", singles.len());
            let step = singles.len().div_ceil(share).max(1);
            let mut chosen: Vec<Mutant> = singles.iter().step_by(step).cloned().collect();
            while chosen.len() < share {
                let (first, second) = (&singles[roll(singles.len())], &singles[roll(singles.len())]);
                chosen.push(generate::pair(first, second, base));
            }
            for Mutant { what, object } in chosen {
                let mut sample = Sample { path: path.clone(), what, object, is_valid: false };
                sample.name(samples.len());
                sample.is_valid = is_valid(&oracle::without_nulls(&sample.object));
                // A valid one may do what it says, so it is given an instance that is not there.
                if sample.is_valid && sample.object["spec"]["instanceIDs"] == json!([PREY]) {
                    sample.object["spec"]["instanceIDs"] = json!(["i-absent000001"]);
                }
                samples.push(sample);
            }
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
        let taken = self.take(samples);
        assert!(taken.into_iter().all(|taken| taken), "a dry run took what creating refuses");
    }

    /// Creates what is not refused, and tells for each whether it was.
    fn take(&self, samples: &[&Sample]) -> Vec<bool> {
        self.post(samples.iter().map(|it| (it.path.clone(), it.object.to_string())).collect())
    }
}

fn neighbour(batch: usize) -> String {
    format!("i-good{batch:07}")
}

/// How many passes over records this process of the controller has finished.
fn looks_at_records(world: &World) -> f64 {
    world.metric("controller_runtime_reconcile_total", "controller=\"reset_record\"")
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
    let scopes = [
        ("passwordresets", &["--namespace", NAMESPACE][..]),
        ("ecsaccounts", &[]),
        ("resetrecords", &["--namespace", SYSTEM_NAMESPACE]),
    ];
    for (kind, scope) in scopes {
        world.kubectl(&[&["delete", kind, "--selector=test=mutant", "--wait=false"], scope].concat());
    }
}

/// Records of instances that are there, of which the next step is a restart, with no password in between that could be another:
/// one that is valid, and `count` mutants that are not. `now` is ECS's time, `first` the number of the valid one.
fn dangerous_records(count: usize, first: usize, now: &str) -> (Sample, Vec<Sample>) {
    let Kind { path, parts, bases, is_valid } = kinds().into_iter().last().unwrap();
    let mut base = bases.into_iter().next().unwrap();
    (base["spec"]["claimTime"], base["status"]["passwordAcknowledgedAt"]) = (json!(now), json!(now));
    base["status"]["phase"] = json!("PasswordSet");
    for field in ["startTimeBefore", "acceptedAt", "leftRunning", "availableTime", "unansweredUntil"] {
        base["status"].as_object_mut().unwrap().remove(field);
    }
    let named = |Mutant { what, object }, number| {
        let mut sample = Sample { path: path.clone(), what, object, is_valid: false };
        sample.name(number);
        sample.is_valid = is_valid(&oracle::without_nulls(&sample.object));
        sample
    };
    let singles = parts.iter().flat_map(|(part, schema)| generate::singles(&base, part, schema));
    // A field that nobody knows is gone when it is read.
    let counts = |it: &Mutant| {
        it.object["spec"].is_object()
            && it.object["status"].is_object()
            && !it.what.contains("unknownField")
            && !SHOWN_ONLY.iter().any(|field| it.what.contains(field))
    };
    let mut all: Vec<Sample> = singles.filter(counts).map(|it| named(it, first)).collect();
    all.retain(|it| !it.is_valid);
    let step = all.len().div_ceil(count).max(1);
    let mut chosen: Vec<Sample> = all.into_iter().step_by(step).collect();
    for (number, sample) in chosen.iter_mut().enumerate() {
        if sample.object["spec"]["instanceID"] == instance_of_record(first) {
            sample.object["spec"]["instanceID"] = json!(PREY);
        }
        sample.name(first + 1 + number);
    }
    (named(Mutant { what: "nothing".to_owned(), object: base }, first), chosen)
}

/// Stores records that the schema refuses, and has the controller find them when it starts. It goes on with the valid one among
/// them, and with no other. Returns how many calls that took.
fn store_invalid_records(world: &mut World, admission: &Admission, first: usize) -> usize {
    let now = world.ecs().now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (valid, invalid) = dangerous_records(STORED, first, &now);
    println!("{} invalid records are stored", invalid.len());
    assert!(valid.is_valid && (1..=STORED).contains(&invalid.len()));
    world.kill_controller();
    // It stays loose: a strict one would refuse what is written before a call, and so hide that one is made.
    loosen(world, "resetrecords.ecs.password-reset.dev");
    eventually("the loosened schema lets a record in", || admission.take(&[&invalid[0]])[0].then_some(()));
    admission.create(&invalid[1..].iter().chain([&valid]).collect::<Vec<_>>());
    world.start_controller();
    let list = ["get", "resetrecords", "--namespace", SYSTEM_NAMESPACE, "--output=name"];
    let records = f64::from(u32::try_from(world.kubectl(&list).lines().count()).unwrap());
    eventually("every record is looked at", || (looks_at_records(world) >= records).then_some(()));
    let restarted = instance_of_record(first);
    eventually("the valid record is gone on with", || (world.reboots(&restarted) == 1).then_some(()));
    1
}

#[test]
fn mutants_of_the_schemas_are_refused_or_do_no_harm() {
    let count = std::env::var(MUTANTS).map_or(MUTANTS_OF_AN_ORDINARY_RUN, |it| it.parse().unwrap());
    let samples = samples(count);
    let batches = samples.len().div_ceil(BATCH);
    let instances = (0..=batches).map(neighbour).chain([PREY.to_owned()]);
    let instances = instances.chain((count..=count + STORED).map(instance_of_record));
    let mut world = World::with(instances.map(|id| Instance::running(&id, REGION)));
    let admission = Admission::new(&world.admin_kubeconfig());
    let assert_neighbour_settles = |world: &World, number: usize| {
        let (name, id) = (format!("good-{number}"), neighbour(number));
        world.apply_reset(&name, json!({"instanceIDs": [id]}));
        world.assert_reset_and_restarted_once(&world.wait_until_done(&name), &id, PASSWORD);
        assert!(!world.log().contains("panicked"), "a pass panicked");
    };

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
        let created: Vec<&Sample> = of(false, true).chain(of(true, true)).collect();
        let records = created.iter().filter(|it| it.is_record()).count();
        let looks = looks_at_records(&world) + f64::from(u32::try_from(records).unwrap());
        admission.create(&created);
        eventually("every record is looked at", || (looks_at_records(&world) >= looks).then_some(()));
        assert_neighbour_settles(&world, number);
        timed("looks at a batch", || settle(&world));
    }
    println!("{} mutants: {invalid} invalid, {} of them taken: {slipped:#?}", samples.len(), slipped.len());
    let restarts = timed("stored records", || {
        let restarts = store_invalid_records(&mut world, &admission, count);
        assert_neighbour_settles(&world, batches);
        restarts
    });
    world.assert_untouched(PREY);
    assert_eq!(world.changing_calls(), 2 * (batches + 1) + restarts, "somebody but the neighbours was reset");

    // What nothing has happened to could have been reset.
    world.apply_reset("prey", json!({"instanceIDs": [PREY]}));
    world.assert_reset_and_restarted_once(&world.wait_until_done("prey"), PREY, PASSWORD);

    assert!(valid_refused.is_empty(), "{} valid ones are refused: {valid_refused:#?}", valid_refused.len());
    assert!(slipped.is_empty(), "{} invalid ones are taken: {slipped:#?}", slipped.len());
}
