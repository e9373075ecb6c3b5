//! Objects that are stored although this version cannot read them, as another version of the CRD may have left them.
//! Each is reported on itself, and no other object notices.

use serde_json::{Value, json};

use crate::common::{
    Config, Instance, NAMESPACE, PASSWORD, REGION, SYSTEM_NAMESPACE, Setup, World, condition, eventually, manifests,
};

/// Lets anything into a kind, until what is returned is put back with `kubectl replace`.
pub fn loosen(world: &World, crd: &str) -> Value {
    let original: Value = serde_json::from_str(&world.kubectl(&["get", "crd", crd, "--output=json"])).unwrap();
    let mut loose = original.clone();
    for part in ["spec", "status"] {
        let schema = &mut loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part];
        let default = schema["default"].take();
        *schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        if !default.is_null() {
            schema["default"] = default;
        }
    }
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"].take();
    // They must point at fields that the schema declares.
    loose["spec"]["versions"][0]["selectableFields"].take();
    replace(world, loose);
    original
}

fn replace(world: &World, mut object: Value) {
    // Whatever the version is by now.
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    world.try_kubectl(&["replace", "--filename=-"], &object.to_string()).unwrap();
}

/// Creates an object that the schema refuses until the loosened one has reached the API server.
fn create_poison(world: &World, object: &Value) {
    eventually("the loosened schema lets a poison object in", || {
        world.try_kubectl(&["create", "--validate=ignore", "--filename=-"], &object.to_string()).ok()
    });
}

fn poison(name: &str, field: &str, value: Value) -> Value {
    let mut object = manifests::password_reset(NAMESPACE, name, json!({"instanceIDs": ["i-poison0001"]}));
    object["spec"][field] = value;
    object
}

#[test]
fn unreadable_object_is_reported_and_stops_no_other() {
    let ids = ["i-before0001", "i-after00001", "i-restart001", "i-poison0001"];
    let ecs = Config { instances: ids.map(|id| Instance::running(id, REGION)).into(), ..Config::default() };
    let mut world = World::start(Setup { ecs, flags: vec!["--allow-missing-policy".to_owned()], ..Setup::default() });
    // The policy cannot check a Secret's name that is a number, so it refuses it: the stored object is older than it.
    world.kubectl(&["delete", "validatingadmissionpolicybinding", "ecs-password-reset-requests"]);
    let original = loosen(&world, "passwordresets.ecs.password-reset.dev");
    let poisons = [
        poison("list-is-a-string", "instanceIDs", json!("i-poison0001")),
        poison("policy-is-a-number", "restart", json!({"policy": 3})),
        poison("secret-is-a-number", "passwordSecretRef", json!(7)),
        poison("suspend-is-an-object", "suspend", json!({})),
        // A status that repeats it, three times over, would not be stored.
        poison("list-is-a-huge-string", "instanceIDs", json!("i".repeat(700_000))),
    ];
    for object in &poisons {
        create_poison(&world, object);
    }

    // While they lie there, and after the schema is strict again.
    world.apply_reset("before", json!({"instanceIDs": ["i-before0001"]}));
    world.assert_reset_and_restarted_once(&world.wait_for("before", "Ready"), "i-before0001", PASSWORD);
    replace(&world, original);
    eventually("the schema is strict again", || world.try_apply(&poison("late", "suspend", json!({}))).err());
    world.apply_reset("after", json!({"instanceIDs": ["i-after00001"]}));
    world.assert_reset_and_restarted_once(&world.wait_for("after", "Ready"), "i-after00001", PASSWORD);

    // A process that meets them in its first list starts all the same.
    world.start_controller();
    world.apply_reset("restart", json!({"instanceIDs": ["i-restart001"]}));
    world.assert_reset_and_restarted_once(&world.wait_for("restart", "Ready"), "i-restart001", PASSWORD);

    for object in &poisons {
        let name = object["metadata"]["name"].as_str().unwrap();
        let ready = world.wait_for_reason(name, "InvalidSpec");
        let message = ready["message"].as_str().unwrap();
        assert_eq!(ready["status"], "False", "{name}");
        assert!(message.contains("cannot read the object"), "{name}: {message}");
        let status = world.wait_for(name, "Stalled");
        assert_eq!(condition(&status, "Reconciling"), &Value::Null, "{name}");
        // Else kstatus, and Helm with it, would wait for the whole timeout.
        assert_eq!(status["observedGeneration"], 1, "{name}");
    }
    assert_eq!(world.metric("passwordreset_objects", "reason=\"InvalidSpec\"").to_string(), poisons.len().to_string());
    world.assert_untouched("i-poison0001");

    // Applied again in a readable form it is an object like any other.
    let mended = poison("list-is-a-string", "instanceIDs", json!(["i-poison0001"]));
    replace(&world, mended);
    world.assert_reset_and_restarted_once(&world.wait_until_done("list-is-a-string"), "i-poison0001", PASSWORD);
}

#[test]
fn unreadable_account_says_so_and_only_its_objects_wait() {
    let world = World::with(["i-good000001", "i-waiting001"].map(|id| Instance::running(id, REGION)));
    let original = loosen(&world, "ecsaccounts.ecs.password-reset.dev");
    let mut account = world.account();
    account["metadata"]["name"] = json!("poison");
    account["spec"]["limits"] = json!("many");
    create_poison(&world, &account);
    replace(&world, original);

    world.apply_reset("waiting", json!({"accountRef": {"name": "poison"}, "instanceIDs": ["i-waiting001"]}));
    world.apply_reset("good", json!({"instanceIDs": ["i-good000001"]}));
    world.assert_reset_and_restarted_once(&world.wait_for("good", "Ready"), "i-good000001", PASSWORD);

    let ready = world.wait_for_reason("waiting", "AccountNotReady");
    assert!(ready["message"].as_str().unwrap().contains("ECSAccount poison"), "{ready}");
    let status = eventually("the account says that it cannot be read", || {
        let status = world.get("ecsaccount", "poison")["status"].take();
        (condition(&status, "Ready")["reason"] == "InvalidSpec").then_some(status)
    });
    assert_eq!((&condition(&status, "Ready")["status"], &status["observedGeneration"]), (&json!("False"), &json!(1)));
    assert_eq!(condition(&status, "Stalled")["status"], "True");
    world.assert_untouched("i-waiting001");
}

#[test]
fn a_record_that_cannot_be_read_holds_up_its_own_instance_only() {
    // The broken one comes first, and there is one slot: it may not take that from its sibling.
    let mut world = World::with(["i-broken0001", "i-good000001"].map(|id| Instance::running(id, REGION)));
    world.apply_reset("first", json!({"instanceIDs": ["i-broken0001"]}));
    world.wait_for("first", "Ready");
    let original = loosen(&world, "resetrecords.ecs.password-reset.dev");
    let mut record = world.record("i-broken0001");
    record["spec"]["claim"] = json!("seven");
    eventually("the loosened schema lets a poison record in", || {
        world.try_kubectl(&["replace", "--validate=ignore", "--filename=-"], &record.to_string()).ok()
    });
    replace(&world, original);

    world.start_controller();
    world.apply_reset("second", json!({"instanceIDs": ["i-broken0001", "i-good000001"]}));
    let row = world.wait_for_state("second", "i-good000001", "InEffect");
    assert_eq!(row["reason"], "RestartProven");
    let ready = world.wait_for_reason("second", "RecordUnusable");
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("i-broken0001") && message.contains("ResetRecord"), "{message}");
    world.wait_for("second", "Stalled");
    // What was done there is not known any more: nothing may be done again.
    assert_eq!((world.modifies("i-broken0001"), world.reboots("i-broken0001")), (1, 1));
    let stored = world.get_in(SYSTEM_NAMESPACE, "resetrecord", &format!("{REGION}.i-broken0001"));
    assert_eq!(stored["spec"]["claim"], "seven", "nobody overwrites what they cannot read");
}

/// What another version, or a hand, may have left out of a record or written into it: the place below the record, and the value;
/// null takes it away.
fn broken_places() -> Vec<(String, Value)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/ecs.password-reset.dev_resetrecords.yaml");
    let crd: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let required = spec["required"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    let missing = required.chain(["owner/uid", "fingerprint/value", "passwordSecretRef/key"]);
    let missing = missing.map(|field| (format!("/spec/{field}"), Value::Null));
    let wrong = [
        ("/spec/claim", json!("seven")),
        ("/spec/claimTime", json!("noon")),
        ("/spec/tokens", json!({"0": "run:1"})),
        ("/spec/restartPolicy", json!("Always")),
        ("/spec/timeoutSeconds", json!(-1)),
        ("/status/phase", Value::Null),
        ("/status/phase", json!("Hibernating")),
        ("/status/passwordAcknowledgedAt", json!("noon")),
        ("/status/attempt", json!({"id": "a-1"})),
        ("/status/row", json!({})),
        ("/status/completed", json!([{}])),
    ];
    missing.chain(wrong.map(|(place, value)| (place.to_owned(), value))).collect()
}

#[test]
fn broken_records_are_never_driven_and_stop_no_other() {
    let places = broken_places();
    assert!(places.len() > 25, "{places:?}");
    let broken_id = |number: usize| format!("i-broken{number:04}");
    let ids = ["i-whole00001", "i-good000001"].map(str::to_owned);
    let ids = ids.into_iter().chain((0..places.len()).map(broken_id));
    let mut world = World::with(ids.map(|id| Instance::running(&id, REGION)));
    world.apply_reset("first", json!({"instanceIDs": ["i-whole00001"]}));
    world.wait_for("first", "Ready");
    // A restart waits for the minute of the last one to pass.
    world.advance(120);
    world.kill_controller();
    world.delete_reset("first");

    // The next step of such a claim is a restart, and no password stands between.
    let mut whole = world.record("i-whole00001");
    let now = json!(world.ecs().now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    (whole["spec"]["claimTime"], whole["status"]["passwordAcknowledgedAt"]) = (now.clone(), now);
    whole["status"]["phase"] = json!("PasswordSet");
    // None of them waits for the slot of another.
    whole["spec"]["maxUnavailable"] = json!(100);
    for field in ["startTimeBefore", "acceptedAt", "availableTime", "attempt"] {
        whole["status"].as_object_mut().unwrap().remove(field);
    }
    let broken = places.iter().enumerate().map(|(number, (place, value))| {
        let mut record = whole.clone();
        record["metadata"] = json!({"namespace": SYSTEM_NAMESPACE, "name": format!("{REGION}.{}", broken_id(number))});
        record["spec"]["instanceID"] = json!(broken_id(number));
        let (parent, field) = place.rsplit_once('/').unwrap();
        let parent = record.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(field).unwrap();
        } else {
            parent.insert(field.to_owned(), value.clone());
        }
        record
    });
    let broken = json!({"apiVersion": "v1", "kind": "List", "items": broken.collect::<Vec<_>>()}).to_string();
    let refused = world.try_kubectl(&["create", "--dry-run=server", "--validate=ignore", "--filename=-"], &broken);
    let refused = refused.expect_err("the schema takes broken records");
    for (number, (place, value)) in places.iter().enumerate() {
        assert!(refused.contains(&broken_id(number)), "the schema takes {place}: {value}\n{refused}");
    }
    // The schema stays loose: a strict one would refuse what is written before a call, and so hide that one is made.
    loosen(&world, "resetrecords.ecs.password-reset.dev");
    eventually("the loosened schema lets the records in", || {
        // Those that are in already stay.
        world.try_kubectl(&["apply", "--server-side", "--validate=ignore", "--filename=-"], &broken).ok()
    });
    replace(&world, whole);

    world.start_controller();
    world.apply_reset("good", json!({"instanceIDs": ["i-good000001"]}));
    world.assert_reset_and_restarted_once(&world.wait_for("good", "Ready"), "i-good000001", PASSWORD);
    let looks = || world.metric("controller_runtime_reconcile_total", "controller=\"reset_record\"");
    let records = f64::from(u32::try_from(places.len()).unwrap()) + 2.0;
    eventually("every record is checked", || (looks() >= records).then_some(()));
    // What is done for the whole one, would be done for each of the others.
    eventually("the whole record is driven", || (world.reboots("i-whole00001") == 2).then_some(()));
    let before = looks();
    world.advance(1);
    eventually("every record is checked once more", || (looks() >= before + records - 1.0).then_some(()));
    for (number, (place, value)) in places.iter().enumerate() {
        let (modifies, reboots) = (world.modifies(&broken_id(number)), world.reboots(&broken_id(number)));
        assert_eq!((modifies, reboots), (0, 0), "{place}: {value}");
    }
    assert!(!world.log().contains("panicked"), "a reconcile panicked");
}

#[test]
fn misnamed_record_is_never_driven() {
    let ids = ["i-named00001", "i-claimed001", "i-good000001"];
    let mut world = World::with(ids.map(|id| Instance::running(id, REGION)));
    world.apply_reset("first", json!({"instanceIDs": ["i-named00001"]}));
    // The other instance has a lock of its own, for the sake of which it is read all the time.
    world.apply_reset("other", json!({"instanceIDs": ["i-claimed001"], "restart": {"minReadySeconds": 86_400}}));
    for name in ["first", "other"] {
        world.wait_for(name, "Ready");
    }
    // A restart waits for the minute of the last one to pass.
    world.advance(120);
    world.kill_controller();
    let good = world.record("i-named00001");
    // The next step of such a claim is a restart, and no password comes before it.
    let mut bad = good.clone();
    bad["spec"]["instanceID"] = json!("i-claimed001");
    bad["status"]["phase"] = json!("PasswordSet");
    bad["status"]["passwordAcknowledgedAt"] = json!(world.ecs().now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    for field in ["startTimeBefore", "acceptedAt", "availableTime", "attempt"] {
        bad["status"].as_object_mut().unwrap().remove(field);
    }
    let refused = world.try_kubectl(&["replace", "--filename=-"], &bad.to_string()).unwrap_err();
    assert!(refused.contains("must be of the instance that it is named after"), "{refused}");
    // The schema stays loose: a strict one would refuse what is written before a call, and so hide that one is made.
    let original = loosen(&world, "resetrecords.ecs.password-reset.dev");
    bad["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    eventually("the loosened schema lets the record in", || {
        world.try_kubectl(&["replace", "--filename=-"], &bad.to_string()).ok()
    });

    // Its owner reports it, and there is one slot, which it does not take from its sibling.
    world.start_controller();
    world.apply_reset("first", json!({"instanceIDs": ["i-named00001", "i-good000001"], "runID": "again"}));
    world.wait_for_state("first", "i-good000001", "InEffect");
    let ready = world.wait_for_reason("first", "RecordUnusable");
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.contains("i-named00001: its ResetRecord cn-hangzhou.i-named00001 names a different instance"),
        "{message}"
    );
    // Which one that is may be nobody's business here.
    assert!(!message.contains("i-claimed001"), "{message}");
    world.wait_for("first", "Stalled");

    // It is checked by fresh readings of the instance that it claims, too.
    let looks = || world.metric("controller_runtime_reconcile_total", "controller=\"reset_record\"");
    for _ in 0..3 {
        let before = looks();
        world.advance(1);
        eventually("the records are looked at", || (looks() >= before + 3.0).then_some(()));
    }
    for id in ["i-named00001", "i-claimed001"] {
        assert_eq!((world.modifies(id), world.reboots(id)), (1, 1), "{id}");
    }
    assert_eq!(world.record("i-named00001")["status"], bad["status"], "nobody goes on with what claims another");

    // A restart waits for the minute of the last one to pass.
    world.advance(60);
    // Mending the record is enough.
    replace(&world, original);
    replace(&world, good);
    world.wait_until_done("first");
    assert_eq!((world.modifies("i-named00001"), world.reboots("i-named00001")), (2, 2));
    assert_eq!((world.modifies("i-claimed001"), world.reboots("i-claimed001")), (1, 1));
}

#[test]
fn record_with_impossible_times_holds_up_one_instance() {
    let mut world = World::with(["i-edited0001", "i-good000001"].map(|id| Instance::running(id, REGION)));
    world.apply_reset("first", json!({"instanceIDs": ["i-edited0001"]}));
    world.wait_for("first", "Ready");
    world.kill_controller();
    let mut record = world.record("i-edited0001");
    let status = record["status"].as_object_mut().unwrap();
    status.remove("availableTime");
    for time in ["unansweredUntil", "acceptedAt", "passwordAcknowledgedAt", "startTimeBefore", "lastRestartTime"] {
        status.insert(time.to_owned(), json!("9999-12-30T21:59:59Z"));
    }
    status["attempt"]["timestamp"] = json!("9999-12-30T21:59:59Z");
    replace(&world, record);

    world.start_controller();
    let both = json!({"instanceIDs": ["i-edited0001", "i-good000001"], "restart": {"maxUnavailable": 2}});
    world.apply_reset("second", both);
    world.wait_for_state("second", "i-good000001", "InEffect");
    // Its owner shows what it waits for, and nothing is done until then.
    let row = world.wait_for_state("second", "i-edited0001", "Pending");
    assert_eq!(row["reason"], "AnswerOutstanding");
    assert!(row["message"].as_str().unwrap().contains("9999"), "{row}");
    assert_eq!((world.modifies("i-edited0001"), world.reboots("i-edited0001")), (1, 1));
    assert!(!world.log().contains("panicked"), "a pass panicked");
}

#[test]
fn huge_annotations_ask_for_what_small_ones_do() {
    let world = World::with([Instance::running("i-good000001", REGION)]);
    let mut object = manifests::password_reset(NAMESPACE, "huge", json!({"instanceIDs": ["i-good000001"]}));
    let resolve = "ecs.password-reset.dev/resolve-unknown";
    object["metadata"]["annotations"] = json!({
        "ecs.password-reset.dev/rerun-requested-at": "1".repeat(80_000),
        "ecs.password-reset.dev/retry-requested-at": "\u{0}\u{202e}é".repeat(10_000),
        resolve: format!("{}/1=Happened", "i".repeat(80_000)),
    });
    // Applied, kubectl would keep all of it in one more annotation.
    let create = |object: &Value| world.try_kubectl(&["create", "--filename=-"], &object.to_string());
    let said = create(&object).unwrap_err();
    assert!(said.contains("must set annotation ecs.password-reset.dev/resolve-unknown to"), "{said}");
    object["metadata"]["annotations"].as_object_mut().unwrap().remove(resolve).unwrap();
    create(&object).unwrap();
    world.assert_reset_and_restarted_once(&world.wait_for("huge", "Ready"), "i-good000001", PASSWORD);
    // A restart waits for the minute of the last one to pass.
    world.advance(60);
    world.annotate("huge", "rerun-requested-at", Some("now"));
    world.wait_for_run("huge", 2);
    assert_eq!((world.modifies("i-good000001"), world.reboots("i-good000001")), (2, 2));
    let record = world.record("i-good000001").to_string();
    assert!(record.len() < 20_000, "the record repeats the annotations: {} bytes", record.len());
}
