//! The consent of the machine: where an account has rules, an instance is reset only while its tags meet one of them, and a
//! namespace's user learns nothing of machines that are not theirs.

use crate::common::{
    ACCOUNT, AccessKey, Fault, Instance, PASSWORD, REGION, Rule, SECRET, World, condition, eventually, manifests, row,
};
use serde_json::{Value, json};

const ID: &str = "i-tagged01";
const FOREIGN: &str = "i-foreign1";
const TEAM_B: &str = "team-b";

/// An instance that has given its consent.
fn tagged() -> Instance {
    Instance::running(ID, REGION).tagged("password-reset", "enabled")
}

/// One of another team, which would say a lot of itself.
fn foreign() -> Instance {
    let instance = Instance::stopped(FOREIGN, REGION).named("payroll-db").with_key_pair("payroll-keys").windows();
    instance.tagged("team", "payroll").locked("security")
}

/// The rule for instances that carry the tag, from namespace `prod`.
fn by_tag() -> Value {
    json!([{"namespaces": ["prod"], "instanceTags": {"password-reset": "enabled"}}])
}

/// Gives the account these rules, for both namespaces, and waits until the controller goes by them.
fn set_rules(world: &World, rules: &Value) {
    let mut account = world.account();
    account["spec"]["rules"] = rules.clone();
    account["spec"]["allowedNamespaces"] = json!({"names": ["prod", TEAM_B]});
    world.apply(&account);
    world.wait_for_changed_account(ACCOUNT);
}

fn world_with_rules(instances: impl IntoIterator<Item = Instance>) -> World {
    let world = World::with(instances);
    set_rules(&world, &by_tag());
    world
}

/// ECS refuses every call of an action for the moment, until its faults are cleared.
fn refuse_for_now(world: &World, action: &str) {
    let refusal = Fault::Refuse { code: "IncorrectInstanceStatus".to_owned(), http: 403, message: String::new() };
    world.ecs().core().inject(Rule::once(action, refusal).times(1_000_000));
}

fn set_tags(world: &World, tags: &[(&str, &str)]) {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    world.ecs().core().instance_mut(ID).unwrap().tags = tags;
}

fn wait_for_call(world: &World, action: &str) {
    eventually(action, || (world.calls(action, ID) > 0).then_some(()));
}

/// The reason of an instance's row, once it is this one.
fn wait_for_row(world: &World, name: &str, id: &str, reason: &str) -> Value {
    world.wait_for_reset(name, &format!("the row of {id} says {reason}"), |object| {
        let row = row(&object["status"], id);
        (row["reason"] == reason).then(|| row.clone())
    })
}

#[test]
fn an_instance_is_reset_by_its_tag_and_from_no_other_namespace() {
    let world = world_with_rules([tagged(), Instance::running("i-untagged", REGION)]);
    world.create_namespace(TEAM_B);
    world.apply(&manifests::secret(TEAM_B, SECRET, &json!({"password": PASSWORD})));
    let spec = |id: &str| json!({"instanceIDs": [id], "stableStateTimeoutSeconds": 2});
    world.apply(&manifests::password_reset(TEAM_B, "theirs", spec(ID)));
    world.apply_reset("untagged", spec("i-untagged"));
    eventually("the object of another namespace is refused", || {
        let object = world.get_in(TEAM_B, "passwordreset", "theirs");
        (condition(&object["status"], "Stalled")["reason"] == "InstanceNotAllowed").then_some(())
    });
    assert_eq!(condition(&world.wait_for("untagged", "Stalled"), "Ready")["reason"], "InstanceNotAllowed");
    world.assert_untouched(ID);
    world.assert_untouched("i-untagged");

    world.apply_reset("web", spec(ID));
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), ID, PASSWORD);
    // Nor may the others know that it was reset.
    let now = world.get_in(TEAM_B, "passwordreset", "theirs")["status"]["instances"][0].take();
    assert_eq!((&now["reason"], &now["name"]), (&json!("InstanceNotAllowed"), &Value::Null), "{now:#}");
}

#[test]
fn plan_blocks_what_no_rule_covers_and_tells_nothing_of_it() {
    let world = world_with_rules([tagged(), foreign()]);
    world.apply_reset("web", json!({"instanceIDs": [FOREIGN, ID], "mode": "Plan", "stableStateTimeoutSeconds": 2}));
    let status = world.wait_for("web", "Ready");
    assert_eq!(condition(&status, "Ready")["reason"], "Planned");
    let shown = |id: &str| (row(&status, id)["plannedAction"].clone(), row(&status, id)["reason"].clone());
    assert_eq!(shown(FOREIGN), (json!("Blocked"), json!("InstanceNotAllowed")));
    assert_eq!(shown(ID), (json!("ResetAndRestart"), json!("Planned")));
    for word in ["payroll", "windows", "Stopped", "security"] {
        assert!(!status.to_string().contains(word), "{word} is shown: {status:#}");
    }
    assert_eq!(world.changing_calls(), 0);
}

#[test]
fn tag_removed_before_password_withdraws_claim_until_restored() {
    let world = world_with_rules([tagged()]);
    refuse_for_now(&world, "ModifyInstanceAttribute");
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    wait_for_call(&world, "ModifyInstanceAttribute");
    set_tags(&world, &[("password-reset", "disabled")]);
    let waiting = wait_for_row(&world, "web", ID, "InstanceNotAllowed");
    assert_eq!(waiting["state"], "WaitingForStableState");
    assert_eq!(world.record(ID)["status"]["phase"], "Idle", "as if never claimed");

    let calls = world.calls("ModifyInstanceAttribute", ID);
    world.ecs().core().clear_faults();
    world.wait_for_look_at_account();
    assert_eq!((world.calls("ModifyInstanceAttribute", ID), world.modifies(ID)), (calls, 0));

    set_tags(&world, &[("password-reset", "enabled")]);
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    assert_eq!(status["run"]["number"], 1, "nobody had to ask again");
}

#[test]
fn tag_removed_before_the_restart_means_no_restart() {
    let world = world_with_rules([tagged()]);
    refuse_for_now(&world, "RebootInstance");
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    wait_for_call(&world, "RebootInstance");
    set_tags(&world, &[]);
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ID);
    assert_eq!((&row["state"], &row["reason"]), (&json!("Failed"), &json!("RestartRefused")), "{row:#}");
    let message = row["message"].as_str().unwrap();
    assert!(message.contains("no rule of ECSAccount default") && message.contains("next start"), "{message}");

    let calls = world.calls("RebootInstance", ID);
    world.ecs().core().clear_faults();
    world.wait_for_look_at_account();
    assert_eq!((world.calls("RebootInstance", ID), world.reboots(ID), world.modifies(ID)), (calls, 0, 1));
    assert!(world.ecs().core().pending_password(ID) == Some(PASSWORD), "it takes effect at the next start");
}

#[test]
fn rule_removed_before_the_restart_means_no_restart() {
    let world = world_with_rules([tagged()]);
    refuse_for_now(&world, "RebootInstance");
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    wait_for_call(&world, "RebootInstance");
    set_rules(&world, &json!([{"namespaces": [TEAM_B]}]));
    world.wait_for_look_at_account();
    // What ECS would take from here on must not be asked for.
    let calls = world.calls("RebootInstance", ID);
    world.ecs().core().clear_faults();
    let status = world.wait_for("web", "Stalled");
    assert_eq!(row(&status, ID)["reason"], "RestartRefused");
    assert_eq!((world.calls("RebootInstance", ID), world.reboots(ID)), (calls, 0));
}

#[test]
fn a_rule_that_is_added_later_lets_a_waiting_object_go_on() {
    let world = World::with([tagged()]);
    set_rules(&world, &json!([{"namespaces": [TEAM_B]}]));
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    wait_for_row(&world, "web", ID, "InstanceNotAllowed");
    world.assert_untouched(ID);
    set_rules(&world, &by_tag());
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    assert_eq!(status["run"]["number"], 1);
}

#[test]
fn only_the_log_tells_missing_from_not_covered_instances() {
    let world = world_with_rules([foreign()]);
    let ask = |name: &str, id: &str| {
        world.apply_reset(name, json!({"instanceIDs": [id], "stableStateTimeoutSeconds": 2}));
        untimed(&world.wait_for(name, "Stalled"), name, id)
    };
    let not_covered = ask("foreign", FOREIGN);
    let not_found = ask("typo", "i-nowhere1");
    world.ecs().core().put_access_key(AccessKey::testing().deny("DescribeInstances", None));
    let not_permitted = ask("blind", "i-nowhere2");

    assert_eq!(not_covered["conditions"][0]["reason"], "InstanceNotAllowed", "{not_covered:#}");
    assert_eq!(not_covered.to_string(), not_found.to_string());
    assert_eq!(not_covered.to_string(), not_permitted.to_string());
    world.assert_untouched(FOREIGN);

    let told = |name: &str| format!("{} {:?}", world.get("passwordreset", name), world.events(name));
    eventually("the object's end is an event", || told("foreign").contains("\"regarding\"").then_some(()));
    for word in ["payroll", "windows", "Stopped", "security"] {
        assert!(!told("foreign").contains(word), "{word} is told:\n{}", told("foreign"));
    }

    for (id, why) in [(FOREIGN, "no rule covers its tags"), ("i-nowhere1", "not found"), ("i-nowhere2", "may not call")]
    {
        let lines = refusals(&world.log(), id);
        assert_eq!(lines.iter().filter(|line| line.contains(why)).count(), 1, "once for each change: {lines:#?}");
        for word in ["default", "prod"] {
            assert!(lines.iter().all(|line| line.contains(word)), "{word}: {lines:#?}");
        }
    }
}

/// A status without its moments, and with the names of object and instance replaced.
fn untimed(status: &Value, name: &str, id: &str) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !name.ends_with("Time"));
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut status: Value = {
        let object = format!("passwordreset {name} ");
        serde_json::from_str(&status.to_string().replace(id, "i-x").replace(&object, "passwordreset x ")).unwrap()
    };
    strip(&mut status);
    status
}

/// The lines by which the account's owner learns why an instance is kept from an object.
fn refusals(log: &str, id: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains("the account's rules keep an instance") && line.contains(id));
    lines.map(str::to_owned).collect()
}
