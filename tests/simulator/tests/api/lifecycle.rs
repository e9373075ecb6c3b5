//! What a password and a power operation do to an instance, and when.

use crate::client::{REGION, World};
use ecs_simulator::{AccessKey, Config, Effect, Instance, Outcome, RebootShows, Status};

const ID: &str = "i-bp1aaaaaaaaaaaaaaaaa";
const PASSWORD: &str = "()`~!@#$%^&*-_+=|{}[]:;'<A1b>/";

fn world(instance: Instance) -> World {
    World::new(Config::default().with(instance))
}

fn status_of(world: &mut World) -> String {
    world.describe(&[])[0]["Status"].as_str().unwrap().to_owned()
}

#[test]
fn a_password_waits_for_the_reboot_and_arrives_intact() {
    let mut world = world(Instance::running(ID, REGION).rebooting(2.0, 3.0));
    assert_eq!(world.modify(ID, PASSWORD).status, 200);
    assert_eq!((world.core.pending_password(ID), world.core.in_effect_password(ID)), (Some(PASSWORD), None));
    world.pass(60.0);
    assert_eq!(world.core.in_effect_password(ID), None);
    assert_eq!(world.reboot(ID).status, 200);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(status_of(&mut world));
        world.pass(1.0);
    }
    assert_eq!(seen, ["Running", "Running", "Starting", "Starting", "Starting", "Running"]);
    assert_eq!((world.core.pending_password(ID), world.core.in_effect_password(ID)), (None, Some(PASSWORD)));
    let effects: Vec<_> = world.core.journal().effects().map(|entry| entry.effect.clone()).collect();
    assert_eq!(
        effects,
        [
            Effect::PasswordSet,
            Effect::RebootBegan,
            Effect::StatusChanged { from: Status::Running, to: Status::Starting },
            Effect::PasswordInEffect,
            Effect::StatusChanged { from: Status::Starting, to: Status::Running },
        ]
    );
}

#[test]
fn start_time_has_minutes_and_follows_reboots_by_default() {
    for (follows, expected) in [(true, "2026-11-24T05:22Z"), (false, "2026-11-24T04:21Z")] {
        let mut instance = Instance::running(ID, REGION).rebooting(30.0, 30.0);
        instance.start_time_follows_reboot = follows;
        instance.reboot_shows = RebootShows::Stopping;
        let mut world = world(instance);
        assert_eq!(world.describe(&[])[0]["StartTime"], "2026-11-24T04:21Z");
        world.reboot(ID);
        world.pass(31.0);
        assert_eq!(status_of(&mut world), "Stopping");
        world.pass(60.0);
        assert_eq!(world.describe(&[])[0]["StartTime"], expected, "follows: {follows}");
    }
}

#[test]
fn stopped_instance_applies_its_password_when_started() {
    let mut world = world(Instance::stopped(ID, REGION));
    assert_eq!(world.modify(ID, PASSWORD).status, 200);
    assert_eq!(world.reboot(ID).code(), "IncorrectInstanceStatus");
    assert_eq!(world.ask("StartInstance", &[("InstanceId", ID)]).status, 200);
    assert_eq!(status_of(&mut world), "Starting");
    world.pass(1.0);
    assert_eq!(world.core.in_effect_password(ID), Some(PASSWORD));
    assert_eq!(world.ask("StopInstance", &[("InstanceId", ID)]).status, 200);
    assert_eq!(status_of(&mut world), "Stopping");
    world.pass(1.0);
    assert_eq!(status_of(&mut world), "Stopped");
}

#[test]
fn transitional_states_refuse_a_password() {
    for status in [Status::Pending, Status::Starting, Status::Stopping] {
        let mut world = world(Instance::new(ID, REGION, status).held());
        let got = world.modify(ID, PASSWORD);
        assert_eq!((got.status, got.code()), (403, "IncorrectInstanceStatus"), "{status}");
    }
}

#[test]
fn a_pending_instance_comes_up_by_itself() {
    let mut world = world(Instance::new(ID, REGION, Status::Pending));
    world.pass(1.5);
    assert_eq!(status_of(&mut world), "Starting");
    world.pass(1.0);
    assert_eq!(status_of(&mut world), "Running");
}

#[test]
fn a_held_reboot_begins_but_does_not_come_back_until_released() {
    let mut world = world(Instance::running(ID, REGION).held());
    world.reboot(ID);
    world.pass(3600.0);
    assert_eq!(status_of(&mut world), "Starting");
    world.core.release(world.now, ID).unwrap();
    assert_eq!(world.core.status(ID), Some(Status::Running));
    assert_eq!(world.core.start_time(ID), Some(world.now));
}

#[test]
fn two_accepted_reboots_are_two_restarts() {
    let mut world = world(Instance::running(ID, REGION).rebooting(1.0, 5.0));
    world.reboot(ID);
    world.reboot(ID);
    world.pass(2.0);
    assert_eq!(world.reboot(ID).code(), "IncorrectInstanceStatus");
    world.pass(60.0);
    let began = world.core.journal().effects().filter(|entry| entry.effect == Effect::RebootBegan).count();
    assert_eq!((began, world.core.journal().reboots(ID)), (2, 2));
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut world = world(Instance::running(ID, REGION));
    let got = world.ask("RebootInstance", &[("InstanceId", ID), ("DryRun", "true")]);
    assert_eq!((got.status, got.code()), (400, "DryRunOperation"));
    world.pass(60.0);
    assert_eq!(world.core.journal().effects().count(), 0);
    assert_eq!(world.core.journal().reboots(ID), 0);
    assert!(world.core.journal().requests().all(|entry| entry.dry_run));
}

#[test]
fn ram_decides_who_may_touch_what() {
    let key = AccessKey::testing().deny("RebootInstance", None).deny("ModifyInstanceAttribute", Some("i-a"));
    let mut world = World::new(
        Config { access_keys: vec![key], ..Config::default() }
            .with(Instance::running("i-a", REGION))
            .with(Instance::running("i-b", REGION)),
    );
    assert_eq!(world.modify("i-a", PASSWORD).code(), "Forbidden.RAM");
    assert_eq!(world.modify("i-b", PASSWORD).status, 200);
    assert_eq!(world.reboot("i-b").code(), "Forbidden.RAM");
}

#[test]
fn the_journal_counts_how_many_were_away_at_once() {
    let ids = ["i-a", "i-b", "i-c"];
    let config = ids.iter().fold(Config::default().with(Instance::stopped("i-off", REGION)), |config, id| {
        config.with(Instance::running(id, REGION).rebooting(1.0, 10.0))
    });
    let mut world = World::new(config);
    for id in ids {
        world.reboot(id);
        world.pass(6.0);
    }
    world.pass(60.0);
    assert_eq!(world.core.journal().max_away(), 2);
    let reboots = world.core.journal().executed_by_instance("RebootInstance");
    assert_eq!(reboots.into_iter().collect::<Vec<_>>(), ids.map(|id| (id, 1)));
    assert_eq!(world.core.journal().away_over_time().last().unwrap().1, 0);
}

#[test]
fn outsiders_act_without_a_request() {
    let mut world = world(Instance::running(ID, REGION));
    world.modify(ID, PASSWORD);
    world.core.reboot(world.now, ID).unwrap();
    world.pass(5.0);
    assert_eq!(world.core.in_effect_password(ID), Some(PASSWORD));
    assert_eq!(world.core.journal().reboots(ID), 0);
    let began = world.core.journal().effects().find(|entry| entry.effect == Effect::RebootBegan).unwrap();
    assert_eq!(began.cause, None);
    world.core.power_off(world.now, ID).unwrap();
    assert_eq!(world.core.status(ID), Some(Status::Stopped));
}

#[test]
fn the_journal_links_an_effect_to_its_request() {
    let mut world = world(Instance::running(ID, REGION));
    let request_id = world.reboot(ID).body["RequestId"].as_str().unwrap().to_owned();
    world.pass(5.0);
    assert!(world.core.journal().effects().all(|entry| entry.cause.as_ref() == Some(&request_id)));
    let entry = world.core.journal().calls("RebootInstance", ID).next().unwrap();
    assert_eq!((&entry.outcome, &entry.request_id, entry.url.as_str()), (&Outcome::Executed, &request_id, "/"));
}
