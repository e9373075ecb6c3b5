//! The bounds of what users write, a row for each field: what lies just inside is taken, and does no harm; what lies just
//! outside is refused, with the field's name. A bounded field of the CRDs without a row fails.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{Instance, NAMESPACE, PASSWORD, REGION, World, eventually, manifests};

/// A field below `spec`, as the API server names it, and values on both sides of its bounds.
struct Row {
    kind: Kind,
    field: &'static str,
    inside: Vec<Value>,
    outside: Vec<Value>,
}

/// The good object that a value is put into.
#[derive(Clone, Copy)]
enum Kind {
    Reset,
    Selecting,
    Account,
}

impl Kind {
    fn with(self, name: &str, field: &str, value: &Value) -> Value {
        let window = json!({"schedule": "0 2 * * 6", "duration": "3h", "timeZone": "UTC"});
        let selector = json!({"tags": {"tag": "none"}, "maxTargets": 10});
        let mut object = match self {
            Self::Reset => manifests::password_reset(
                NAMESPACE,
                name,
                json!({"instanceIDs": ["i-absent0001"], "windows": [window]}),
            ),
            Self::Selecting => manifests::password_reset(NAMESPACE, name, json!({"selector": selector})),
            Self::Account => {
                // Without credentials nothing is sent.
                let mut account = manifests::account(name, "https://127.0.0.1:9");
                account["spec"]["credentials"] = json!({"secretRef": {"name": "none"}});
                account
            }
        };
        let spec = &mut object["spec"];
        let role = "acs:ram::1:role/r";
        // What has to be beside the field, and of several the one.
        match field.split('.').take(2).collect::<Vec<_>>().as_slice() {
            ["credentials", "rrsa"] => {
                let provider = "acs:ram::1:oidc-provider/p";
                spec["credentials"] = json!({"rrsa": {"roleARN": role, "oidcProviderARN": provider}});
            }
            [part @ ("credentials" | "allowedNamespaces"), _] | [part @ "endpoint", "network"] => {
                spec[*part] = json!({});
            }
            ["assumeRole", _] => spec["assumeRole"] = json!({"roleARN": role}),
            _ => {}
        }
        put(spec, field, value);
        object
    }
}

/// Puts a value there, with the lists and objects that have to be around it.
fn put(mut at: &mut Value, field: &str, value: &Value) {
    for step in field.replace("[0]", ".[0]").split('.') {
        if step == "[0]" && !at.is_array() {
            *at = json!([null]);
        }
        at = if step == "[0]" { &mut at[0] } else { &mut at[step] };
    }
    *at = value.clone();
}

fn text(length: usize) -> Value {
    json!("a".repeat(length))
}

/// A text of this length that begins like this.
fn after(start: &str, length: usize) -> Value {
    json!(format!("{start:a<length$}"))
}

/// Different items that begin like this.
fn items(count: usize, start: &str) -> Value {
    (0..count).map(|n| format!("{start}{n:08}")).collect()
}

fn tags(count: usize) -> Value {
    (0..count).map(|n| (format!("tag-{n}"), json!("none"))).collect::<serde_json::Map<_, _>>().into()
}

fn schedule(start: &str, more: usize) -> Value {
    json!(format!("{start}{} * * * *", ",0".repeat(more)))
}

fn rows() -> Vec<Row> {
    let of = |kind| {
        move |field, inside: &[Value], outside: &[Value]| {
            let (inside, outside) = (inside.to_vec(), outside.to_vec());
            Row { kind, field, inside, outside }
        }
    };
    let number = |least: i64, most: i64| ([json!(least), json!(most)], [json!(least - 1), json!(most + 1)]);
    let texts = |least: usize, most: usize| ([text(least), text(most)], [text(least - 1), text(most + 1)]);
    let day = 86_400;
    let mut rows = Vec::new();

    let reset = of(Kind::Reset);
    let row = |field, (inside, outside): ([Value; 2], [Value; 2])| reset(field, &inside, &outside);
    rows.extend([
        row("accountRef.name", texts(1, 253)),
        reset("regionID", &[json!("cn-a1"), after("cn-", 64)], &[json!("cn-a"), json!("cn-1a"), after("cn-", 65)]),
        reset("instanceIDs", &[items(1, "i-"), items(100, "i-")], &[items(0, "i-"), items(101, "i-")]),
        row("instanceIDs[0]", ([after("i-", 10), after("AY", 32)], [after("i-", 9), after("AY", 33)])),
        row("passwordSecretRef.name", texts(1, 253)),
        row("passwordSecretRef.key", texts(1, 253)),
        reset("passwordSecretRef.keyPolicy", &[json!("Shared"), json!("InstanceID")], &[json!("instanceID")]),
        reset("onSecretChange", &[json!("Ignore"), json!("Reset")], &[json!("")]),
        row("runID", texts(1, 128)),
        reset("mode", &[json!("Apply"), json!("Plan")], &[json!("DryRun")]),
        reset("restart.policy", &[json!("IfRunning"), json!("Never")], &[json!("Always")]),
        row("restart.maxUnavailable", number(1, 100)),
        row("restart.maxUnavailable", (["1%", "100%"].map(Value::from), ["0%", "101%"].map(Value::from))),
        row("restart.minReadySeconds", number(0, day)),
        row("restart.timeoutSeconds", number(60, day)),
        row("maxFailures", number(0, 100)),
        row("stableStateTimeoutSeconds", number(1, day)),
        reset("windows[0].schedule", &[schedule("00", 59)], &[schedule("0", 60)]),
        row("windows[0].duration", (["15m", "24h"].map(Value::from), ["14m", "24h1m"].map(Value::from))),
        row("windows[0].duration", ([11, 12].map(zeros), [13, 14].map(zeros))),
        row("windows[0].timeZone", texts(1, 64)),
    ]);
    let window = json!({"schedule": "0 2 * * 6", "duration": "3h", "timeZone": "UTC"});
    let windows = |count: usize| json!(vec![window.clone(); count]);
    rows.push(reset("windows", &[windows(1), windows(10)], &[windows(0), windows(11)]));

    let selecting = of(Kind::Selecting);
    let row = |field, (inside, outside): ([Value; 2], [Value; 2])| selecting(field, &inside, &outside);
    rows.extend([
        row("selector.maxTargets", number(1, 100)),
        row("selector.names[0]", texts(1, 128)),
        row("selector.names", ([items(1, "n"), items(10, "n")], [items(0, "n"), items(11, "n")])),
        row("selector.resourceGroupID", ([after("rg-", 4), after("rg-", 64)], [after("rg-", 3), after("rg-", 65)])),
        row("selector.excludeInstanceIDs", ([items(1, "i-"), items(100, "i-")], [items(0, "i-"), items(101, "i-")])),
        row("selector.excludeInstanceIDs[0]", ([after("i-", 10), after("AY", 32)], [after("i-", 9), after("AY", 33)])),
        row("selector.tags", ([tags(1), tags(20)], [tags(0), tags(21)])),
        selecting("selector.tags.tag", &[text(0), text(128)], &[text(129)]),
    ]);

    let account = of(Kind::Account);
    let row = |field, (inside, outside): ([Value; 2], [Value; 2])| account(field, &inside, &outside);
    let (role_arn, provider_arn, url) = ("acs:ram::1:role/", "acs:ram::1:oidc-provider/", "https://");
    let arn = |start: &str| {
        let bare = start.len();
        ([after(start, bare + 1), after(start, 256)], [after(start, bare), after(start, 257)])
    };
    let rule = |count: usize| json!(vec![json!({"namespaces": ["prod"]}); count]);
    rows.extend([
        row("credentials.secretRef.name", texts(1, 253)),
        row("credentials.ecsRAMRole.name", texts(1, 64)),
        row("credentials.rrsa.roleARN", arn(role_arn)),
        row("credentials.rrsa.oidcProviderARN", arn(provider_arn)),
        row("assumeRole.roleARN", arn(role_arn)),
        row("assumeRole.externalID", texts(2, 1_224)),
        row("assumeRole.durationSeconds", number(900, 43_200)),
        row("expectedAccountID", ([6, 32].map(zero_digits), [5, 33].map(zero_digits))),
        row("regions", ([items(1, "cn-a"), items(64, "cn-a")], [items(0, "cn-a"), items(65, "cn-a")])),
        account("regions[0]", &[json!("cn-a1"), after("cn-", 64)], &[json!("cn-a"), json!("cn-1a"), after("cn-", 65)]),
        account("allowedNamespaces.from", &[json!("All")], &[json!("Any")]),
        row("allowedNamespaces.names", ([items(1, "n"), items(256, "n")], [items(0, "n"), items(257, "n")])),
        row("allowedNamespaces.names[0]", texts(1, 63)),
        row("rules", ([rule(1), rule(32)], [rule(0), rule(33)])),
        row("rules[0].namespaces", ([items(1, "n"), items(64, "n")], [items(0, "n"), items(65, "n")])),
        row("rules[0].namespaces[0]", texts(1, 63)),
        row("rules[0].instanceTags", ([tags(1), tags(20)], [tags(0), tags(21)])),
        account("rules[0].instanceTags.tag", &[text(0), text(128)], &[text(129)]),
        row("limits.requestsPerSecond", number(1, 100)),
        row("limits.maxUnavailable", number(1, 1_000)),
        row("limits.maxUnavailablePerZone", number(1, 1_000)),
        row("limits.minRestartIntervalSeconds", number(0, day)),
        account("endpoint.network", &[json!("Public"), json!("VPC")], &[json!("Internet")]),
        row("endpoint.url", arn(url)),
        row("endpoint.stsURL", arn(url)),
    ]);
    rows
}

/// A quarter of an hour with so many zeros in front of it.
fn zeros(count: usize) -> Value {
    json!(format!("{}h15m", "0".repeat(count)))
}

fn zero_digits(count: usize) -> Value {
    json!("0".repeat(count))
}

/// The bounded fields of a CRD's spec.
fn bounded(plural: &str) -> BTreeSet<String> {
    let file = format!("{}/crds/ecs.password-reset.dev_{plural}.yaml", env!("CARGO_MANIFEST_DIR"));
    let crd: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut found = BTreeSet::new();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    descend("", spec, &mut found);
    found
}

fn descend(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        descend(&format!("{path}.{name}"), inner, found);
    }
    for (key, mark) in [("items", "[0]"), ("additionalProperties", ".tag")] {
        if schema[key].is_object() {
            descend(&format!("{path}{mark}"), &schema[key], found);
        }
    }
    let is_bound = |key: &String| key.starts_with("min") || key.starts_with("max") || key == "enum";
    let fields = schema.as_object().unwrap();
    if fields.keys().any(is_bound) || fields.contains_key("x-kubernetes-int-or-string") {
        found.insert(path.trim_start_matches('.').to_owned());
    }
}

#[test]
fn bounded_fields_are_all_in_the_table() {
    let bounded: BTreeSet<String> = ["passwordresets", "ecsaccounts"].into_iter().flat_map(bounded).collect();
    let in_table: BTreeSet<String> = rows().iter().map(|row| row.field.to_owned()).collect();
    assert_eq!(bounded, in_table);
}

#[test]
fn bounds_are_where_they_are_said_to_be_and_do_no_harm() {
    let world = World::with([Instance::running("i-good000001", REGION)]);
    let rows = rows();
    let list = |side: fn(&Row) -> &[Value]| {
        let objects = rows.iter().enumerate().flat_map(|(number, row)| {
            let named = move |(n, value)| row.kind.with(&format!("bound-{number}-{n}"), row.field, value);
            side(row).iter().enumerate().map(named)
        });
        json!({"apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>()}).to_string()
    };

    let refused = world.try_kubectl(&["create", "--dry-run=server", "--filename=-"], &list(|row| &row.outside));
    let refused = refused.expect_err("what is outside is refused");
    let mut wrong = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        for (n, value) in row.outside.iter().enumerate() {
            let said = refused.split("The ").find(|it| it.contains(&format!("\"bound-{number}-{n}\" is invalid")));
            if !said.is_some_and(|it| it.contains(&format!("spec.{}: ", row.field))) {
                wrong.push(format!("{}, {value}: {said:?}", row.field));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What is inside is answered, each by itself, and a neighbour is none the worse.
    world.try_kubectl(&["create", "--filename=-"], &list(|row| &row.inside)).unwrap();
    world.apply_reset("good", json!({"instanceIDs": ["i-good000001"]}));
    world.assert_reset_and_restarted_once(&world.wait_until_done("good"), "i-good000001", PASSWORD);
    eventually("every object is answered", || {
        let list = world.kubectl(&["get", "passwordresets,ecsaccounts", "--all-namespaces", "--output=json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let answered = |it: &Value| it["status"]["observedGeneration"] == it["metadata"]["generation"];
        list["items"].as_array().unwrap().iter().all(answered).then_some(())
    });
    assert_eq!(world.changing_calls(), 2, "an instance beside the neighbour was reset");
    assert!(!world.log().contains("panicked"), "a reconcile panicked");
}
