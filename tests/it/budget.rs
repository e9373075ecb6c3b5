//! The bound of an account over all objects: how many instances are away at once, whoever asks, and whose turn it is.

use serde_json::json;

use ecs_simulator::Journal;

use crate::common::{ACCOUNT, Instance, PASSWORD, REGION, World, eventually};

/// A world whose account lets so many instances be away.
fn bounded(instances: impl IntoIterator<Item = Instance>, max_unavailable: u32) -> World {
    limited(instances, "maxUnavailable", max_unavailable)
}

fn limited(instances: impl IntoIterator<Item = Instance>, limit: &str, most: u32) -> World {
    let world = World::with(instances);
    let mut account = world.account();
    account["spec"]["limits"][limit] = json!(most);
    world.apply(&account);
    world.wait_for_changed_account(ACCOUNT);
    world
}

#[test]
fn two_objects_share_the_slots_of_their_account() {
    let ids = |object: &str| (0..3).map(|n| format!("i-{object}00000{n}")).collect::<Vec<_>>();
    let (web, db) = (ids("web"), ids("db0"));
    let all: Vec<String> = web.iter().chain(&db).cloned().collect();
    let world = bounded(all.iter().map(|id| Instance::running(id, REGION)), 2);
    for (name, ids) in [("web", &web), ("db", &db)] {
        world.apply_reset(name, json!({"instanceIDs": ids, "restart": {"maxUnavailable": 3, "minReadySeconds": 1}}));
    }
    let waiting = world.wait_for_reset("db", "it names the account's slots", |object| {
        let rows = object["status"]["instances"].as_array()?;
        let row = rows.iter().find(|row| row["reason"] == "WaitingForAccountSlot")?;
        row["message"].as_str().map(str::to_owned)
    });
    assert!(waiting.starts_with("waiting for a slot of ECSAccount default; its maxUnavailable allows 2"), "{waiting}");
    let (web_status, db_status) = (world.wait_for("web", "Ready"), world.wait_for("db", "Ready"));
    for (status, ids) in [(&web_status, &web), (&db_status, &db)] {
        for id in ids {
            world.assert_reset_and_restarted_once(status, id, PASSWORD);
        }
    }
    assert!(world.journal(Journal::max_away) <= 2);
}

#[test]
fn objects_take_turns_at_the_accounts_slot() {
    let id = |object: usize, n: usize| format!("i-fleet{object}{n:04}");
    let ids: Vec<String> = (0..5).flat_map(|object| (0..2).map(move |n| id(object, n))).collect();
    let world = bounded(ids.iter().map(|id| Instance::running(id, REGION)), 1);
    let apply = |object: usize| {
        let ids: Vec<String> = (0..2).map(|n| id(object, n)).collect();
        world.apply_reset(&format!("fleet{object}"), json!({"instanceIDs": ids, "restart": {"maxUnavailable": 2}}));
    };
    // The first has the slot until all the others are seen to wait for it.
    let held = id(0, 0);
    world.hold(&held);
    apply(0);
    eventually("the first one restarts", || (world.reboots(&held) == 1).then_some(()));
    (1..5).for_each(apply);
    for object in 1..5 {
        world.wait_for_reset(&format!("fleet{object}"), "it waits for the account's slot", |object| {
            let rows = object["status"]["instances"].as_array()?;
            rows.iter().any(|row| row["reason"] == "WaitingForAccountSlot").then_some(())
        });
    }
    world.release(&held);
    (0..5).for_each(|object| drop(world.wait_for(&format!("fleet{object}"), "Ready")));
    assert!(world.journal(Journal::max_away) <= 1);
    // The first one was there before the others; of those nobody has a second one before everybody has had a first.
    let order: Vec<usize> = world.journal(|journal| {
        let calls = journal.requests().filter(|it| it.action == "ModifyInstanceAttribute");
        calls.map(|it| it.instance_ids[0]["i-fleet".len()..=("i-fleet".len())].parse().unwrap()).collect()
    });
    let firsts = |object: usize| order.iter().position(|it| *it == object).unwrap();
    let seconds = |object: usize| order.iter().rposition(|it| *it == object).unwrap();
    assert!((1..5).all(|object| (1..5).all(|other| firsts(object) < seconds(other))), "{order:?}");
}

#[test]
fn no_zone_has_more_away_than_its_account_allows() {
    let ids = |zone: &str| (0..3).map(|n| format!("i-zone{zone}0000{n}")).collect::<Vec<_>>();
    let zones = ["a", "b"].map(|zone| (zone, ids(zone)));
    let instances =
        zones.iter().flat_map(|(zone, ids)| ids.iter().map(|id| Instance::running(id, REGION).in_zone(zone)));
    let world = limited(instances, "maxUnavailablePerZone", 1);
    let all: Vec<&String> = zones.iter().flat_map(|(_, ids)| ids).collect();
    // Two objects, each with instances of both zones.
    for (name, half) in [("web", 0), ("db", 1)] {
        let ids: Vec<&&String> = all.iter().skip(half).step_by(2).collect();
        world.apply_reset(name, json!({"instanceIDs": ids, "restart": {"maxUnavailable": 3}}));
    }
    let waiting = world.wait_for_reset("db", "it names the zone", |object| {
        let rows = object["status"]["instances"].as_array()?;
        let row = rows.iter().find(|row| row["reason"] == "WaitingForAccountSlot")?;
        row["message"].as_str().map(str::to_owned)
    });
    assert!(
        waiting.contains("in zone cn-hangzhou-") && waiting.contains("maxUnavailablePerZone allows 1"),
        "{waiting}"
    );
    let statuses = [world.wait_for("web", "Ready"), world.wait_for("db", "Ready")];
    for id in &all {
        let status = statuses.iter().find(|status| status["instances"].to_string().contains(id.as_str())).unwrap();
        world.assert_reset_and_restarted_once(status, id, PASSWORD);
        assert!(world.record(id)["spec"]["zoneID"].as_str().unwrap().starts_with("cn-hangzhou-"));
    }
    for (zone, ids) in &zones {
        let most = world.journal(|journal| journal.max_away_of(|id| ids.iter().any(|it| it == id)));
        assert_eq!(most, 1, "zone {zone}");
    }
}
