//! Selectors: which instances they match, when they are looked up, and what is never touched.

use serde_json::{Value, json};

use crate::common::{
    ACCOUNT, Config, Fault, Instance, PASSWORD, REGION, Rule, Setup, World, condition, eventually, row,
};

fn web(id: &str) -> Instance {
    Instance::running(id, REGION).tagged("app", "web")
}

fn by_tag(max_targets: u32) -> Value {
    json!({"selector": {"tags": {"app": "web"}, "maxTargets": max_targets}, "restart": {"maxUnavailable": 2}})
}

fn ids(status: &Value) -> Value {
    status["targets"]["instanceIDs"].clone()
}

fn tag(world: &World, id: &str, value: Option<&str>) {
    let mut core = world.ecs().core();
    let tags = &mut core.instance_mut(id).unwrap().tags;
    match value {
        Some(value) => drop(tags.insert("app".to_owned(), value.to_owned())),
        None => drop(tags.remove("app")),
    }
}

#[test]
fn tagged_fleet_is_reset_and_stays_the_same_for_the_run() {
    let world = World::with([web("i-web00001"), web("i-web00002").held(), Instance::running("i-db000001", REGION)]);
    world.apply_reset("web", by_tag(10));
    world.wait_for_state("web", "i-web00001", "InEffect");
    assert_eq!(ids(&world.status("web")), json!(["i-web00001", "i-web00002"]));

    // In mid-run one more gets the tag and one loses it.
    tag(&world, "i-db000001", Some("web"));
    tag(&world, "i-web00002", None);
    world.release("i-web00002");
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-web00001", PASSWORD);
    world.assert_reset_and_restarted_once(&status, "i-web00002", PASSWORD);
    world.assert_untouched("i-db000001");
    assert_eq!(status["targets"]["matched"], 2);

    // No instance is restarted twice in one minute.
    world.advance(60);
    let again = json!({"runID": "again", "selector": by_tag(10)["selector"]});
    world.apply_reset("web", again);
    let status = world.wait_for_run("web", 2);
    assert_eq!(ids(&status), json!(["i-db000001", "i-web00001"]));
    assert_eq!(world.reboots("i-web00002"), 1);
}

#[test]
fn too_many_matches_touch_nothing_until_narrowed() {
    // More than a page of them.
    let instances = (0..120).map(|n| web(&format!("i-web{n:05}")));
    let world = World::with(instances);
    world.apply_reset("web", by_tag(100));
    let status = world.wait_for("web", "Stalled");
    let ready = condition(&status, "Ready");
    assert_eq!(ready["reason"], "TooManyTargets");
    let message = ready["message"].as_str().unwrap();
    assert!(message.starts_with("120 instances match") && message.contains("i-web00009"), "{message}");
    assert_eq!(
        (&status["progress"], condition(&status, "TargetsResolved")["status"].as_str()),
        (&json!("0/0"), Some("False"))
    );
    world.assert_untouched("i-web00000");

    let narrow = json!({"selector": {"names": ["i-web0000*"], "tags": {"app": "web"}, "maxTargets": 100,
                                     "excludeInstanceIDs": ["i-web00000"]}, "restart": {"policy": "Never", "maxUnavailable": 50}});
    world.apply_reset("web", narrow);
    let status = world.wait_for("web", "Ready");
    assert_eq!(status["progress"], "9/9");
    world.assert_untouched("i-web00000");
    world.assert_untouched("i-web00010");
}

#[test]
fn no_match_stalls_until_an_instance_is_tagged() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.apply_reset("web", by_tag(5));
    let status = world.wait_for("web", "Stalled");
    assert_eq!(condition(&status, "Ready")["reason"], "NoTargets");
    tag(&world, "i-running1", Some("web"));
    // It is looked up again each minute, by a timer that no test waits for.
    world.advance(60);
    world.annotate("web", "retry-requested-at", Some("now"));
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-running1", PASSWORD);
}

#[test]
fn selector_matches_only_what_the_rules_allow() {
    let mine = web("i-mine0001").tagged("team", "prod");
    let world = World::with([mine, web("i-theirs01").tagged("team", "other")]);
    let mut account = world.account();
    account["spec"]["rules"] = json!([{"instanceTags": {"team": "prod"}}]);
    world.apply(&account);
    world.wait_for_changed_account(ACCOUNT);
    world.apply_reset("web", by_tag(1));
    let status = world.wait_for("web", "Ready");
    assert_eq!((ids(&status), &status["targets"]["matched"]), (json!(["i-mine0001"]), &json!(1)));
    assert!(!status.to_string().contains("i-theirs01"), "{status:#}");
    world.assert_untouched("i-theirs01");
    assert_eq!(row(&status, "i-mine0001")["state"], "InEffect");
}

/// ECS shows no more than 1,000: the one that the rules allow may be among the others.
#[test]
fn selector_that_reaches_what_ecs_shows_touches_nothing() {
    let theirs = (0..1_000).map(|n| web(&format!("i-web{n:05}")).tagged("team", "other"));
    let mine = [web("i-aaa00001").tagged("team", "prod"), web("i-zzz00001").tagged("team", "prod")];
    let world = World::with(theirs.chain(mine).collect::<Vec<_>>());
    let mut account = world.account();
    account["spec"]["rules"] = json!([{"instanceTags": {"team": "prod"}}]);
    world.apply(&account);
    world.wait_for_changed_account(ACCOUNT);
    world.apply_reset("web", by_tag(10));
    let ready = world.wait_for_reason("web", "TooManyTargets");
    assert!(ready["message"].as_str().unwrap().starts_with("ECS shows at most 1,000 instances"), "{ready}");
    world.journal(|journal| assert_eq!(journal.asked("ModifyInstanceAttribute"), 0));
    world.apply_reset("web", json!({"selector": {"tags": {"app": "web", "team": "prod"}, "maxTargets": 10}}));
    assert_eq!(ids(&world.wait_for("web", "Ready")), json!(["i-aaa00001", "i-zzz00001"]));
}

#[test]
fn page_that_fails_selects_nothing() {
    let instances: Vec<Instance> = (0..120).map(|n| web(&format!("i-web{n:05}"))).collect();
    let ecs = Config { instances, ..Config::default() };
    let world = World::start(Setup { ecs, ..Setup::default() });
    // The second page, and not the first.
    let refuse = Fault::Refuse { code: "InternalError".to_owned(), http: 500, message: String::new() };
    for fault in [Fault::Delay { milliseconds: 1 }, refuse] {
        world.ecs().core().inject(Rule::once("DescribeInstances", fault));
    }
    world.apply_reset("web", by_tag(100));
    // Half of them would have been few enough.
    eventually("it is looked up again after the refusal", || {
        (condition(&world.status("web"), "Ready")["reason"] == "TooManyTargets").then_some(())
    });
    world.journal(|journal| assert_eq!(journal.asked("ModifyInstanceAttribute"), 0));
}

#[test]
fn fleet_retagged_between_two_pages_is_one_list_for_the_run() {
    let id = |n: usize| format!("i-web{n:05}");
    let instances: Vec<Instance> =
        (0..120).map(|n| web(&id(n))).chain([Instance::running("i-zzz00000", REGION)]).collect();
    let ecs = Config { instances, ..Config::default() };
    let world = World::start(Setup { ecs, ..Setup::default() });
    // The second page is late: by then another instance has the tag, and one of the first page has lost it.
    for milliseconds in [1, 5_000] {
        world.ecs().core().inject(Rule::once("DescribeInstances", Fault::Delay { milliseconds }));
    }
    let excluded: Vec<String> = (0..40).map(id).collect();
    let mut spec = by_tag(100);
    spec["selector"]["excludeInstanceIDs"] = json!(excluded);
    spec["suspend"] = json!(true);
    let pages = || world.journal(|journal| journal.asked("DescribeInstances"));
    let before = pages();
    world.apply_reset("web", spec.clone());
    eventually("the first page is read", || (pages() > before).then_some(()));
    tag(&world, "i-zzz00000", Some("web"));
    tag(&world, &id(50), None);
    assert_eq!(pages(), before + 1, "the second page came too soon to prove anything");
    let targets = || world.status("web")["targets"].clone();
    let found = eventually("the list is stored", || Some(targets()).filter(Value::is_object));
    let ids: Vec<&str> = found["instanceIDs"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.windows(2).all(|two| two[0] != two[1]), "{ids:?}");
    assert!((79..=81).contains(&ids.len()) && found["matched"] == ids.len(), "{found:#}");
    tag(&world, "i-zzz00000", None);
    tag(&world, &id(60), None);
    spec["maxFailures"] = json!(1);
    world.apply_reset("web", spec);
    world.wait_for_reset("web", "the new spec is answered", |object| {
        (object["status"]["observedGeneration"] == object["metadata"]["generation"]).then_some(())
    });
    assert_eq!(targets(), found, "the run keeps its list");
    world.journal(|journal| assert_eq!(journal.asked("ModifyInstanceAttribute"), 0));
}
