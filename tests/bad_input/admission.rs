//! What the API server refuses, with the words that the user then reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::{ACCOUNT, Instance, NAMESPACE, REGION, World, eventually, manifests};

/// A valid object with one thing wrong, and what `kubectl apply` must say about it.
struct Case {
    object: Value,
    says: &'static [&'static str],
}

const INSTANCE: &str = "i-good0001";

fn reset() -> Value {
    manifests::password_reset(NAMESPACE, "bad", json!({"instanceIDs": [INSTANCE]}))
}

fn account() -> Value {
    manifests::account("bad", "https://ecs.gateway.internal")
}

/// The object with the value at `path`, a dotted path below `spec`, put in.
fn with(mut object: Value, path: &str, value: Value) -> Value {
    let mut place = &mut object["spec"];
    for segment in path.split('.') {
        place = &mut place[segment];
    }
    *place = value;
    object
}

/// The object without a field of its spec.
fn without(mut object: Value, field: &str) -> Value {
    object["spec"].as_object_mut().unwrap().remove(field).unwrap();
    object
}

fn without_spec() -> Value {
    let mut object = reset();
    object.as_object_mut().unwrap().remove("spec").unwrap();
    object
}

fn case(object: Value, says: &'static [&'static str]) -> Case {
    Case { object, says }
}

/// A wrong value in a `PasswordReset`.
fn in_reset(path: &str, value: Value, says: &'static [&'static str]) -> Case {
    case(with(reset(), path, value), says)
}

/// A wrong value in an `ECSAccount`.
fn in_account(path: &str, value: Value, says: &'static [&'static str]) -> Case {
    case(with(account(), path, value), says)
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("i-bp1{n:027}")).collect()
}

/// A hundred ids, one of which is another.
fn ids_but(index: usize, other: &str) -> Value {
    let mut ids = ids(100);
    other.clone_into(&mut ids[index]);
    json!(ids)
}

fn bad_resets() -> Vec<Case> {
    const ID: &str = "must be an ECS instance ID such as 'i-bp1a2b3c4d5e6f7g8h9i', with nothing around it";
    const REGION_ID: &str = "must be a region ID such as 'cn-hangzhou', not a zone ID";
    const SECRET_NAME: &str = "must be the name of a Secret: lower-case letters, digits, '-' and '.'";
    const UNAVAILABLE: &str = "must be an integer from 1 to 100 or a percentage from '1%' to '100%'";
    const RUN_ID: &str =
        "must start and end with a letter or digit and hold only letters, digits and . _ : + - between";
    vec![
        in_reset("regionID", json!("cn-hangzhou-h"), &["spec.regionID", REGION_ID]),
        in_reset("regionID", json!("us-west-1a"), &["spec.regionID", REGION_ID]),
        in_reset("regionID", json!("Hangzhou"), &["spec.regionID", REGION_ID]),
        case(without(reset(), "regionID"), &["spec.regionID", "Required value"]),
        in_reset("instanceIDs", json!(["bp1a2b3c4d5e6f7g8h9i"]), &["spec.instanceIDs[0]", ID]),
        in_reset("instanceIDs", json!(["i-BP1A2B3C4D"]), &["spec.instanceIDs[0]", ID]),
        in_reset("instanceIDs", json!(["i-bp1a2b3c4d\n"]), &["spec.instanceIDs[0]", ID]),
        in_reset("instanceIDs", json!(["i-short"]), &["spec.instanceIDs[0]", ID]),
        in_reset("instanceIDs", json!(["ay121018033933eae8689"]), &["spec.instanceIDs[0]", ID]),
        in_reset("instanceIDs", json!(["AY121018033933EAE8689"]), &["spec.instanceIDs[0]", ID]),
        // Among a hundred, the one that is wrong.
        in_reset("instanceIDs", ids_but(57, "i-BP1"), &["spec.instanceIDs[57]: Invalid value: \"i-BP1\"", ID]),
        in_reset(
            "instanceIDs",
            ids_but(99, "i-good0001 "),
            &["spec.instanceIDs[99]: Invalid value: \"i-good0001 \"", ID],
        ),
        in_reset("instanceIDs", ids_but(3, "\u{FEFF}i-good0001"), &["spec.instanceIDs[3]", ID]),
        in_reset(
            "instanceIDs",
            ids_but(57, &ids(8)[7]),
            &[
                "spec.instanceIDs: ",
                "must name each instance only once; names i-bp1000000000000000000000000007 more than once",
            ],
        ),
        in_reset(
            "instanceIDs",
            json!([INSTANCE, "i-good0002", INSTANCE]),
            &["spec.instanceIDs: ", "must name each instance only once; names i-good0001 more than once"],
        ),
        case(without(reset(), "instanceIDs"), &["must hold exactly one of `instanceIDs` and `selector`"]),
        in_reset("instanceIDs", json!(INSTANCE), &["spec.instanceIDs", "must be of type array"]),
        case(without(reset(), "passwordSecretRef"), &["spec.passwordSecretRef", "Required value"]),
        in_reset("passwordSecretRef.name", json!("Root-Password"), &["spec.passwordSecretRef.name", SECRET_NAME]),
        in_reset("passwordSecretRef.name", json!("../other"), &["spec.passwordSecretRef.name", SECRET_NAME]),
        in_reset(
            "passwordSecretRef.namespace",
            json!("kube-system"),
            &["unknown field \"spec.passwordSecretRef.namespace\""],
        ),
        in_reset(
            "passwordSecretRef.key",
            json!("pass word"),
            &["spec.passwordSecretRef.key", "must be a key of a Secret: letters, digits, '-', '_' and '.'"],
        ),
        in_reset("runID", json!(2026), &["spec.runID", "must be of type string"]),
        in_reset("runID", json!("after the audit"), &["spec.runID", RUN_ID]),
        in_reset("runID", json!("-leading"), &["spec.runID", RUN_ID]),
        in_reset("accountRef", json!({"name": "Prod"}), &["spec.accountRef.name", "must be the name of an ECSAccount"]),
        in_reset("restart.maxUnavailable", json!(0), &["spec.restart.maxUnavailable", UNAVAILABLE]),
        in_reset("restart.maxUnavailable", json!(101), &["spec.restart.maxUnavailable", UNAVAILABLE]),
        in_reset("restart.maxUnavailable", json!("0%"), &["spec.restart.maxUnavailable", UNAVAILABLE]),
        in_reset("restart.maxUnavailable", json!("101%"), &["spec.restart.maxUnavailable", UNAVAILABLE]),
        in_reset("restart.maxUnavailable", json!("abc"), &["spec.restart.maxUnavailable", UNAVAILABLE]),
        in_reset("restart.maxUnavailable", json!("5"), &["spec.restart.maxUnavailable", UNAVAILABLE]),
        in_reset(
            "restart.policy",
            json!("ifRunning"),
            &["spec.restart.policy", "Unsupported value", "\"IfRunning\", \"Never\""],
        ),
        in_reset("suspend", json!("yes"), &["spec.suspend", "must be of type boolean"]),
        in_reset("endpoint", json!({"url": "https://evil.example"}), &["unknown field \"spec.endpoint\""]),
        in_reset("runId", json!("misspelt"), &["unknown field \"spec.runId\""]),
        in_reset("password", json!("Blue-Kettle-7"), &["unknown field \"spec.password\""]),
        case(without_spec(), &["spec: Required value"]),
    ]
}

const KEY_POLICY: &str = "spec.passwordSecretRef.keyPolicy";
const PER_ZONE: &str = "spec.limits.maxUnavailablePerZone";

/// A `PasswordReset` with a selector in place of its list.
fn selecting(selector: Value) -> Value {
    with(without(reset(), "instanceIDs"), "selector", selector)
}

/// A selector with one thing wrong.
fn in_selector(field: &str, value: Value, says: &'static [&'static str]) -> Case {
    let mut selector = json!({"tags": {"app": "web"}, "maxTargets": 10});
    selector[field] = value;
    case(selecting(selector), says)
}

/// A window with one thing wrong.
fn in_window(field: &str, value: Value, says: &'static [&'static str]) -> Case {
    let mut window = json!({"schedule": "0 2 * * 6", "duration": "3h", "timeZone": "Asia/Shanghai"});
    window[field] = value;
    in_reset("windows", json!([window]), says)
}

fn bad_selectors() -> Vec<Case> {
    const ONE_OF: &str = "must hold exactly one of `instanceIDs` and `selector`";
    const SOME: &str = "must hold at least one of `tags`, `names` and `resourceGroupID`";
    const NOT_ALL: &str = "must hold more than '*': to select every instance, use a tag";
    const GROUP: &str = "must be the id of a resource group such as 'rg-acfmwp7rgotwwaa'";
    vec![
        case(with(reset(), "selector", json!({"tags": {"app": "web"}, "maxTargets": 10})), &["spec", ONE_OF]),
        case(selecting(json!({"maxTargets": 10})), &["spec.selector", SOME]),
        case(selecting(json!({})), &["spec.selector.maxTargets", "Required value"]),
        case(selecting(json!({"tags": {"app": "web"}})), &["spec.selector.maxTargets", "Required value"]),
        case(selecting(json!("app=web")), &["spec.selector", "must be of type object"]),
        in_selector("maxTargets", json!("10"), &["spec.selector.maxTargets", "must be of type integer"]),
        in_selector("tags", json!({"app": 1}), &["spec.selector.tags.app", "must be of type string"]),
        in_selector("tags", json!(["app"]), &["spec.selector.tags", "must be of type object"]),
        in_selector("names", json!(["*"]), &["spec.selector.names[0]", NOT_ALL]),
        in_selector("names", json!(["web-*", "**"]), &["spec.selector.names[1]", NOT_ALL]),
        in_selector("names", json!("web-*"), &["spec.selector.names", "must be of type array"]),
        in_selector("resourceGroupID", json!("default"), &["spec.selector.resourceGroupID", GROUP]),
        in_selector("resourceGroupID", json!("RG-1"), &["spec.selector.resourceGroupID", GROUP]),
        in_selector("resourceGroupID", json!(""), &["spec.selector.resourceGroupID", GROUP]),
        in_selector(
            "excludeInstanceIDs",
            json!(["web-1"]),
            &["spec.selector.excludeInstanceIDs[0]", "must be an ECS instance ID"],
        ),
        in_selector("resourceGroupId", json!("rg-1"), &["unknown field \"spec.selector.resourceGroupId\""]),
        in_selector("matchLabels", json!({"app": "web"}), &["unknown field \"spec.selector.matchLabels\""]),
    ]
}

fn bad_secrets() -> Vec<Case> {
    vec![
        in_reset("onSecretChange", json!("reset"), &["spec.onSecretChange", "\"Ignore\", \"Reset\""]),
        in_reset("onSecretChange", json!("Restart"), &["spec.onSecretChange", "\"Ignore\", \"Reset\""]),
        in_reset("onSecretChange", json!(true), &["spec.onSecretChange", "must be of type string"]),
        in_reset("onSecretChange", json!(""), &["spec.onSecretChange", "\"Ignore\", \"Reset\""]),
        in_reset("passwordSecretRef.keyPolicy", json!("instanceID"), &[KEY_POLICY, "\"Shared\", \"InstanceID\""]),
        in_reset("passwordSecretRef.keyPolicy", json!("Single"), &[KEY_POLICY, "\"Shared\", \"InstanceID\""]),
        in_reset("passwordSecretRef.keyPolicy", json!(["InstanceID"]), &[KEY_POLICY, "must be of type string"]),
        in_reset(
            "passwordSecretRef",
            json!({"name": "pw", "key": "a", "keyPolicy": "InstanceID"}),
            &["spec.passwordSecretRef", "must hold no `key` with keyPolicy InstanceID: the key is the instance ID"],
        ),
        in_reset("passwordSecretRef.keyPattern", json!("x"), &["unknown field \"spec.passwordSecretRef.keyPattern\""]),
    ]
}

fn bad_times() -> Vec<Case> {
    const SCHEDULE: &str =
        "must be five fields as in cron, such as '0 2 * * 6': minute, hour, day of the month, month, day of the week";
    const DURATION: &str = "must be hours and minutes from '15m' to '24h', such as '3h' or '1h30m'";
    const ZONE: &str = "must be the name of an IANA time zone such as 'Asia/Shanghai'";
    let schedules = [
        "0 2 * *",
        "0 2 * * 6 *",
        "@daily",
        "0 2 * * 6 ",
        " 0 2 * * 6",
        "0  2 * * 6",
        "0 2 L * *",
        "0 2 * * 5#3",
        "0 2 15W * *",
        "H 2 * * *",
        "0 2 ? * 6",
        "",
        "0 2 * * sunday",
        "x",
    ];
    let durations = ["14m", "25h", "24h1m", "3d", "90", "1.5h", "-3h", "3 h", "", "30m1h", "PT3H"];
    let zones = ["", "Asia Shanghai", "+08:00", "UTC+8:00", "../UTC", "Asia//Shanghai", "Asia/"];
    let mut cases = vec![
        in_reset("windows", json!("0 2 * * 6"), &["spec.windows", "must be of type array"]),
        in_reset(
            "windows",
            json!([{"schedule": "0 2 * * 6", "duration": "3h"}]),
            &["spec.windows[0].timeZone", "Required value"],
        ),
        in_reset(
            "windows",
            json!([{"duration": "3h", "timeZone": "UTC"}]),
            &["spec.windows[0].schedule", "Required value"],
        ),
        in_reset(
            "windows",
            json!([{"schedule": "0 2 * * 6", "timeZone": "UTC"}]),
            &["spec.windows[0].duration", "Required value"],
        ),
        in_window("timezone", json!("UTC"), &["unknown field \"spec.windows[0].timezone\""]),
        in_window("duration", json!(3), &["spec.windows[0].duration", "must be of type string"]),
        in_reset("notBefore", json!("tomorrow"), &["spec.notBefore", "date-time"]),
        in_reset("notBefore", json!("2026-11-28"), &["spec.notBefore", "date-time"]),
        in_reset("notAfter", json!("2026-11-28 18:00:00"), &["spec.notAfter", "date-time"]),
        in_reset("notAfter", json!(1_800_000_000), &["spec.notAfter", "must be of type date-time"]),
        case(
            with(with(reset(), "notBefore", json!("2026-12-01T00:00:00Z")), "notAfter", json!("2026-12-01T00:00:00Z")),
            &["must have `notBefore` earlier than `notAfter`"],
        ),
        in_reset("mode", json!("plan"), &["spec.mode", "Unsupported value", "\"Apply\", \"Plan\""]),
        in_reset("mode", json!("DryRun"), &["spec.mode", "Unsupported value"]),
        in_account("suspend", json!("yes"), &["spec.suspend", "must be of type boolean"]),
    ];
    cases.extend(schedules.map(|wrong| in_window("schedule", json!(wrong), &["spec.windows[0].schedule", SCHEDULE])));
    cases.extend(durations.map(|wrong| in_window("duration", json!(wrong), &["spec.windows[0].duration", DURATION])));
    cases.extend(zones.map(|wrong| in_window("timeZone", json!(wrong), &["spec.windows[0].timeZone", ZONE])));
    cases
}

fn bad_accounts() -> Vec<Case> {
    const CREDENTIALS: &str = "must hold exactly one of `rrsa`, `ecsRAMRole`, `secretRef` and `environment`";
    const NAMESPACES: &str = "must hold exactly one of `names` and `from`";
    const URL: &str = "must be 'https://' with a host and an optional port, and nothing after it";
    vec![
        case(without(account(), "credentials"), &["spec.credentials", "Required value"]),
        in_account("credentials", json!({}), &["spec.credentials", CREDENTIALS]),
        in_account("credentials.environment", json!({}), &["spec.credentials", CREDENTIALS]),
        in_account(
            "credentials.secretRef",
            json!({"name": "x", "namespace": "prod"}),
            &["unknown field \"spec.credentials.secretRef.namespace\""],
        ),
        in_account(
            "credentials",
            json!({"rrsa": {"roleARN": "ecs-password-reset", "oidcProviderARN": "acs:ram::1:oidc-provider/p"}}),
            &["spec.credentials.rrsa.roleARN", "must be a role's ARN"],
        ),
        in_account(
            "credentials",
            json!({"rrsa": {"roleARN": "acs:ram::1:role/r", "oidcProviderARN": "acs:ram::1:role/r"}}),
            &["spec.credentials.rrsa.oidcProviderARN", "must be an OIDC provider's ARN"],
        ),
        in_account(
            "credentials",
            json!({"ecsRAMRole": {"name": "../token"}}),
            &["spec.credentials.ecsRAMRole.name", "must be a role's name"],
        ),
        in_account(
            "assumeRole",
            json!({"roleARN": "acs:ram::1:role/r", "externalID": "two words"}),
            &["spec.assumeRole.externalID", "must be"],
        ),
        in_account("expectedAccountID", json!("prod"), &["spec.expectedAccountID", "must be the digits"]),
        in_account("rules", json!([{}]), &["spec.rules[0]", "must hold `namespaces`, `instanceTags` or both"]),
        case(without(account(), "allowedNamespaces"), &["spec.allowedNamespaces", "Required value"]),
        in_account("allowedNamespaces", json!({}), &["spec.allowedNamespaces", NAMESPACES]),
        in_account("allowedNamespaces.from", json!("All"), &["spec.allowedNamespaces", NAMESPACES]),
        in_account(
            "allowedNamespaces",
            json!({"from": "Any"}),
            &["spec.allowedNamespaces.from", "Unsupported value", "\"All\""],
        ),
        in_account(
            "allowedNamespaces.names",
            json!(["prod*"]),
            &["spec.allowedNamespaces.names[0]", "must be the name of a namespace: lower-case letters, digits and '-'"],
        ),
        in_account("endpoint.url", json!("https://ecs.gateway.internal/ecs"), &["spec.endpoint.url", URL]),
        in_account("endpoint.url", json!("https://ecs.gateway.internal?a=b"), &["spec.endpoint.url", URL]),
        in_account("endpoint.url", json!("https://user:word@ecs.gateway.internal"), &["spec.endpoint.url", URL]),
        in_account("endpoint.url", json!("ftp://ecs.gateway.internal"), &["spec.endpoint.url", URL]),
        in_account("endpoint.url", json!("ecs.gateway.internal"), &["spec.endpoint.url", URL]),
        in_account("endpoint.stsURL", json!("https://sts.gateway.internal/"), &["spec.endpoint.stsURL", URL]),
        in_account(
            "endpoint.network",
            json!("Public"),
            &["spec.endpoint", "must hold exactly one of `network` and `url`"],
        ),
        in_account(
            "endpoint",
            json!({"network": "Public", "stsURL": "https://x"}),
            &["spec.endpoint", "must hold `url` where it holds `stsURL`"],
        ),
        in_account(
            "regions",
            json!(["cn-beijing", "cn-hangzhou-h"]),
            &["spec.regions[1]", "must be a region ID such as 'cn-hangzhou', not a zone ID"],
        ),
        in_account("limits.maxUnavailable", json!("25%"), &["spec.limits.maxUnavailable", "must be of type integer"]),
        in_account("limits.maxUnavailablePerZone", json!("1"), &[PER_ZONE, "must be of type integer"]),
        in_account("limits.maxUnavailablePerZone", json!([1]), &[PER_ZONE, "must be of type integer"]),
        in_account("limits.maxRestarts", json!(3), &["unknown field \"spec.limits.maxRestarts\""]),
    ]
}

/// Applies each case and collects what went otherwise, so that one run shows all of it.
fn refuse_all(world: &World, cases: &[Case]) {
    let mut wrong = Vec::new();
    for Case { object, says } in cases {
        match world.try_apply(object) {
            Ok(printed) => wrong.push(format!("taken ({}): {}", printed.trim(), object["spec"])),
            Err(said) => {
                let missing: Vec<_> = says.iter().filter(|text| !said.contains(**text)).collect();
                if !missing.is_empty() {
                    wrong.push(format!("{}\n  said: {}\n  but not: {missing:?}", object["spec"], said.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn invalid_values_are_refused_with_field_and_rule() {
    let world = World::with([Instance::running(INSTANCE, REGION)]);
    refuse_all(&world, &bad_resets());
    refuse_all(&world, &bad_accounts());
    refuse_all(&world, &bad_selectors());
    refuse_all(&world, &bad_times());
    refuse_all(&world, &bad_secrets());
    world.assert_untouched(INSTANCE);

    // Each case is one change away from what is taken: it was refused for that change.
    world.apply(&reset());
    world.apply(&account());
    world.apply(&with(
        account(),
        "endpoint",
        json!({"network": "VPC", "stsURL": "https://sts-vpc.cn-beijing.aliyuncs.com"}),
    ));
}

#[test]
fn what_tells_objects_apart_cannot_be_changed() {
    let world = World::with([Instance::running(INSTANCE, REGION)]);
    world.apply(&with(reset(), "suspend", json!(true)));
    let mut named = with(reset(), "accountRef", json!({"name": "prod"}));
    named["metadata"]["name"] = json!("named");
    world.apply(&with(named.clone(), "suspend", json!(true)));

    refuse_all(
        &world,
        &[
            in_reset("regionID", json!("cn-shanghai"), &["must not change: `regionID` is immutable"]),
            in_reset("accountRef", json!({"name": "prod"}), &["must not change: `accountRef` is immutable"]),
            case(with(named.clone(), "accountRef", json!({"name": "other"})), &["`accountRef` is immutable"]),
            case(without(named, "accountRef"), &["`accountRef` is immutable"]),
        ],
    );
    // The effective name is what counts.
    world.apply(&with(reset(), "accountRef", json!({"name": ACCOUNT})));
}

#[test]
fn the_largest_objects_are_not_too_much_for_cel() {
    let world = World::with([]);
    let longest = |length: usize| "a".repeat(length);
    let spec = json!({
        "accountRef": {"name": longest(253)},
        "regionID": format!("cn-{}", longest(60)) + "0",
        "instanceIDs": ids(100),
        "passwordSecretRef": {"name": longest(253), "key": longest(253)},
        "runID": longest(128),
        "suspend": true,
        "restart": {"policy": "IfRunning", "maxUnavailable": "100%", "minReadySeconds": 86400, "timeoutSeconds": 86400},
        "maxFailures": 100,
        "stableStateTimeoutSeconds": 86400,
    });
    let largest = manifests::password_reset(NAMESPACE, &longest(253), spec);
    world.apply(&largest);
    // Transition rules run on a change only.
    world.apply(&with(largest, "runID", json!("b".repeat(128))));

    let numbered = |count: usize, prefix: &str, length: usize| -> Vec<String> {
        (0..count).map(|n| format!("{prefix}{n:0width$}", width = length - prefix.len())).collect()
    };
    let mut account = account();
    account["spec"] = json!({
        "credentials": {"secretRef": {"name": longest(253)}},
        "regions": numbered(64, "cn-a", 64),
        "allowedNamespaces": {"names": numbered(256, "namespace-", 63)},
        "rules": vec![json!({
            "namespaces": numbered(64, "namespace-", 63),
            "instanceTags": numbered(20, "tag-", 128).into_iter().map(|key| (key, longest(128))).collect::<BTreeMap<_, _>>(),
        }); 32],
        "assumeRole": {
            "roleARN": format!("acs:ram::1234567890123456:role/{}", longest(64)),
            "externalID": longest(1224),
            "durationSeconds": 43200,
        },
        "limits": {"requestsPerSecond": 100, "minRestartIntervalSeconds": 86400},
        "endpoint": {
            "url": format!("https://{}:65535", longest(242)),
            "stsURL": format!("https://{}:65535", longest(242)),
        },
    });
    // It would not fit twice, and `kubectl apply` keeps a copy in an annotation.
    world.try_kubectl(&["create", "--filename=-"], &account.to_string()).unwrap();
    let change = with(account, "limits.requestsPerSecond", json!(1));
    // The controller writes its status meanwhile, which may be a conflict.
    let replace = || world.try_kubectl(&["replace", "--filename=-"], &change.to_string());
    eventually("it is replaced", || match replace() {
        Err(error) if error.contains("Conflict") => None,
        replaced => Some(replaced.unwrap()),
    });
}

#[test]
fn slips_in_annotations_are_refused_where_they_are_made() {
    const PREFIX: &str = "ecs.password-reset.dev/";
    const KNOWN: &str = "which does not exist; the annotations are ecs.password-reset.dev/rerun-requested-at, ecs.password-reset.dev/retry-requested-at, ecs.password-reset.dev/resolve-unknown";
    const FORM: &str = "to <instanceID>/<claim>=Happened or <instanceID>/<claim>=RestartAgain";
    let world = World::with([]);
    let object = manifests::password_reset(NAMESPACE, "slips", json!({"instanceIDs": [INSTANCE], "suspend": true}));
    let noted = |name: &str, key: &str, value: &str| {
        let mut object = object.clone();
        object["metadata"]["name"] = json!(name);
        object["metadata"]["annotations"] = json!({(format!("{PREFIX}{key}")): value});
        object
    };
    // It had a wrong key and a wrong value before the policy was there.
    world.kubectl(&["delete", "validatingadmissionpolicybinding", "ecs-password-reset-requests"]);
    let mut old = noted("old", "rerun", "now");
    old["metadata"]["annotations"][format!("{PREFIX}resolve-unknown")] = json!("i-good0001");
    old["metadata"]["finalizers"] = json!(["example.com/stay"]);
    eventually("the policy is not in force", || world.try_apply(&old).ok());
    world.install();
    let probe = noted("probe", "rerun", "now").to_string();
    let create = ["create", "--dry-run=server", "--filename=-"];
    eventually("the policy is in force", || world.try_kubectl(&create, &probe).err());

    for key in ["rerun", "rerun-requested", "retry-requested-At", "suspend", "resolve-unknowns"] {
        let said = world.try_apply(&noted("slips", key, "now")).expect_err(key);
        assert!(said.contains(&format!("must not set annotation {PREFIX}{key}, {KNOWN}")), "{said}");
    }
    let wrong = [
        "",
        "Repeat",
        "Happened",
        "i-good0001=Happened",
        "i-good0001/1",
        "i-good0001/1=happened",
        "i-good0001/1=Restart",
        "i-good0001/x=Happened",
        "i-good0001/0=Happened",
        "i-good0001/-1=Happened",
        "good0001/1=Happened",
        "i-good0001/1=Happened,i-good0002/1=Happened",
        "i-good0001/1=Happened\ni-good0002/1=Happened",
    ];
    for value in wrong {
        let said = world.try_apply(&noted("slips", "resolve-unknown", value)).expect_err(value);
        assert!(said.contains(FORM), "{value}: {said}");
    }
    for value in ["i-good0001/1=Happened", "AY121018033933eae8689/12=RestartAgain", " i-good0001/1=Happened "] {
        world.apply(&noted("slips", "resolve-unknown", value));
    }
    for key in ["rerun-requested-at", "retry-requested-at"] {
        world.apply(&noted("slips", key, "whatever you like"));
    }
    // A prefix of others is theirs.
    world.kubectl(&["annotate", "passwordreset", "slips", "--namespace", NAMESPACE, "example.com/rerun=now"]);

    // What was there before is in nobody's way: it may stay, and it may go.
    let on_old = |arguments: &[&str]| {
        world.try_kubectl(
            &[&arguments[..1], &["passwordreset", "old", "--namespace", NAMESPACE], &arguments[1..]].concat(),
            "",
        )
    };
    on_old(&["patch", "--type=merge", "--patch", r#"{"spec": {"runID": "2"}}"#]).unwrap();
    on_old(&["annotate", &format!("{PREFIX}retry-requested-at=now")]).unwrap();
    let said = on_old(&["annotate", "--overwrite", &format!("{PREFIX}rerun=later")]).unwrap_err();
    assert!(said.contains(KNOWN), "{said}");
    on_old(&["annotate", &format!("{PREFIX}resolve-unknown-")]).unwrap();
    on_old(&["patch", "--subresource=status", "--type=merge", "--patch", r#"{"status": {"observedGeneration": 1}}"#])
        .unwrap();
    on_old(&["delete", "--wait=false"]).unwrap();
    on_old(&["patch", "--type=merge", "--patch", r#"{"metadata": {"finalizers": null}}"#]).unwrap();
    on_old(&["wait", "--for=delete", "--timeout=30s"]).unwrap();
}
