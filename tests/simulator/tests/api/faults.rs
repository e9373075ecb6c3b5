//! Faults to order, and quotas: what the client sees against what really happened.

use crate::client::{REGION, World, read};
use ecs_simulator::{Config, Fault, Handling, Instance, Outcome, Rule};

const ID: &str = "i-a";
const PASSWORD: &str = "Abcdef1!";

fn world_with(rule: Rule) -> World {
    let mut world = World::new(Config::default().with(Instance::running(ID, REGION)));
    world.core.inject(rule);
    world
}

fn send_modify(world: &mut World) -> Option<crate::client::Got> {
    world.send("ModifyInstanceAttribute", &[("InstanceId", ID), ("Password", PASSWORD)])
}

#[test]
fn a_lost_answer_hides_an_effect_that_happened() {
    let mut world = world_with(Rule::once("ModifyInstanceAttribute", Fault::LoseAnswerAfterEffect));
    assert!(send_modify(&mut world).is_none());
    assert_eq!(world.core.pending_password(ID), Some(PASSWORD));
    let entry = world.core.journal().requests().next().unwrap();
    assert_eq!((&entry.outcome, entry.answered), (&Outcome::Executed, false));
    assert_eq!(world.core.journal().modifies(ID), 1);
    assert!(send_modify(&mut world).is_some(), "the rule was for one call");
}

#[test]
fn a_lost_request_has_no_effect() {
    let mut world = world_with(Rule::once("ModifyInstanceAttribute", Fault::LoseRequest));
    assert!(send_modify(&mut world).is_none());
    assert_eq!(world.core.pending_password(ID), None);
    let entry = world.core.journal().requests().next().unwrap();
    assert_eq!(entry.outcome, Outcome::Faulted("LoseRequest".to_owned()));
}

#[test]
fn a_late_request_acts_when_it_arrives() {
    let mut world = world_with(Rule::once("ModifyInstanceAttribute", Fault::LateEffect { after_seconds: 30.0 }));
    assert!(send_modify(&mut world).is_none());
    world.pass(29.0);
    assert_eq!(world.core.journal().entries().len(), 0);
    world.pass(1.0);
    assert_eq!(world.core.pending_password(ID), Some(PASSWORD));
    assert!(!world.core.journal().requests().next().unwrap().answered);
}

#[test]
fn a_late_request_that_is_too_old_by_then_is_dead() {
    let mut world = world_with(Rule::once("ModifyInstanceAttribute", Fault::LateEffect { after_seconds: 1861.0 }));
    assert!(send_modify(&mut world).is_none());
    world.pass(4000.0);
    assert_eq!(world.core.pending_password(ID), None);
    let entry = world.core.journal().requests().next().unwrap();
    assert_eq!(entry.outcome, Outcome::Refused("InvalidTimeStamp.Expired".to_owned()));
}

#[test]
fn a_delayed_request_is_judged_when_it_arrives() {
    let mut world = world_with(Rule::once("ModifyInstanceAttribute", Fault::Delay { milliseconds: 500 }));
    let parameters = world.parameters("ModifyInstanceAttribute", &[("InstanceId", ID), ("Password", PASSWORD)]);
    let signed = world.sign(parameters);
    let Handling::Later { delay, held } = world.handle(&signed) else { panic!("a delay was ordered") };
    assert_eq!(delay.as_millis(), 500);
    assert_eq!(world.core.pending_password(ID), None);
    world.pass(0.5);
    assert_eq!(read(world.core.arrive(world.now, &held)).unwrap().status, 200);
    assert_eq!(world.core.pending_password(ID), Some(PASSWORD));
}

#[test]
fn a_refusal_and_a_throttle_have_no_effect() {
    let refuse = Fault::Refuse { code: "InternalError".to_owned(), http: 500, message: "boom".to_owned() };
    let mut world = world_with(Rule::once("ModifyInstanceAttribute", refuse));
    world.core.inject(Rule::once("ModifyInstanceAttribute", Fault::Throttle { retry_after_milliseconds: Some(250) }));
    let got = world.modify(ID, PASSWORD);
    assert_eq!((got.status, got.code()), (500, "InternalError"));
    let got = world.modify(ID, PASSWORD);
    assert_eq!(
        (got.status, got.code(), &got.headers["x-acs-retry-after"]),
        (400, "Throttling.User", &http::HeaderValue::from_static("250"))
    );
    assert_eq!(world.core.pending_password(ID), None);
}

#[test]
fn a_gateway_page_may_or_may_not_hide_an_effect() {
    for after_effect in [false, true] {
        let fault = Fault::RawAnswer { http: 502, body: "<html>Bad Gateway</html>".to_owned(), after_effect };
        let mut world = world_with(Rule::once("ModifyInstanceAttribute", fault));
        let got = send_modify(&mut world).unwrap();
        assert_eq!((got.status, got.body.is_null()), (502, true));
        assert_eq!(world.core.pending_password(ID).is_some(), after_effect);
    }
}

#[test]
fn describes_can_be_stale_or_empty() {
    let mut world = world_with(Rule::once("DescribeInstances", Fault::StaleDescribe { seconds: 2.0 }).on(ID));
    world.core.inject(Rule::once("DescribeInstances", Fault::EmptyDescribe).on(ID));
    world.reboot(ID);
    world.pass(1.0);
    let one = [("InstanceIds", r#"["i-a"]"#)];
    assert_eq!(world.describe(&one)[0]["Status"], "Running");
    assert!(world.describe(&one).is_empty());
    assert_eq!(world.describe(&one)[0]["Status"], "Starting");
}

#[test]
fn a_fault_does_not_let_a_wrong_signature_in() {
    let mut world = world_with(Rule::once("ModifyInstanceAttribute", Fault::LoseAnswerAfterEffect));
    world.key.1 = "wrong".to_owned();
    assert!(send_modify(&mut world).is_none());
    assert_eq!(world.core.pending_password(ID), None);
}

#[test]
fn the_same_seed_and_the_same_requests_give_the_same_journal() {
    let run = || {
        let mut world = World::new(Config::default().with(Instance::running(ID, REGION)));
        world.modify(ID, PASSWORD);
        world.reboot(ID);
        world.pass(10.0);
        serde_json::to_string(world.core.journal().entries()).unwrap()
    };
    assert_eq!(run(), run());
}
