//! The objects that are reset while the controller is being killed, and how each run is judged.

use serde_json::{Value, json};

use crate::common::{Fault, Instance, PASSWORD, REGION, Rule, Status, World, eventually, row};

/// A kind of run.
#[derive(Clone, Copy, Debug)]
pub enum Scenario {
    /// Two Running instances, one after the other.
    InTurn,
    /// A Running, a Stopped and a Starting instance at once.
    Mixed,
    /// Two Running instances at once; the answer to the first restart is lost.
    LostAnswer,
}

/// One run of a scenario: an object and instances of its own.
pub struct Run<'a> {
    world: &'a World,
    scenario: Scenario,
    name: String,
    ids: Vec<String>,
}

impl<'a> Run<'a> {
    /// The instances exist, and faults are in place; nothing is asked for yet.
    pub fn new(world: &'a World, scenario: Scenario, number: usize) -> Self {
        let name = format!("run{number}");
        let ids: Vec<String> = ["a", "b", "c"].map(|letter| format!("i-run{number:04}{letter}")).to_vec();
        let quick = |instance: Instance| instance.rebooting(0.1, 0.3);
        let running = |id: &String| quick(Instance::running(id, REGION));
        let instances = match scenario {
            Scenario::InTurn | Scenario::LostAnswer => ids.iter().take(2).map(running).collect(),
            Scenario::Mixed => {
                let [a, b, c] = &ids[..] else { unreachable!() };
                let mut starting = Instance::starting(c, REGION);
                // Begun in an earlier minute, so that nothing waits for the next one.
                starting.start_time = world.ecs().now().checked_sub(jiff::SignedDuration::from_hours(1)).ok();
                vec![running(a), Instance::stopped(b, REGION), quick(starting)]
            }
        };
        let ids = ids.into_iter().take(instances.len()).collect();
        world.ecs().with_core(|core, now| {
            core.clear_faults();
            for instance in instances {
                core.add_instance(now, instance);
            }
            if matches!(scenario, Scenario::LostAnswer) {
                core.inject(Rule::once("RebootInstance", Fault::LoseAnswerAfterEffect));
            }
        });
        Self { world, scenario, name, ids }
    }

    /// Asks for the reset, as often as need be.
    pub fn apply(&self) {
        let at_once = if matches!(self.scenario, Scenario::InTurn) { 1 } else { 3 };
        self.world.apply_reset(
            &self.name,
            json!({"instanceIDs": self.ids, "restart": {"maxUnavailable": at_once, "minReadySeconds": 0}, "maxFailures": 3}),
        );
    }

    /// Whether every instance has ended.
    pub fn has_ended(&self) -> bool {
        let status = self.status();
        self.ids.iter().all(|id| ENDS.contains(&row(&status, id)["state"].as_str().unwrap_or_default()))
    }

    /// Waits for that.
    pub fn wait_for_the_end(&self) {
        eventually("every instance ends", || self.has_ended().then_some(()));
    }

    /// No instance was restarted twice, none was missed, and what is said to be in effect is. Returns how many ended
    /// Unknown.
    pub fn judge(&self) -> usize {
        let status = self.status();
        let mut unknown = 0;
        for id in &self.ids {
            let row = row(&status, id);
            let (reboots, core) = (self.world.reboots(id), self.world.ecs().core());
            let in_effect = core.in_effect_password(id) == Some(PASSWORD);
            let pending = core.pending_password(id) == Some(PASSWORD);
            match row["state"].as_str().unwrap_or_default() {
                "InEffect" => assert!(reboots == 1 && in_effect, "{id}: {reboots} restarts: {row:#}"),
                "EffectiveAtNextStart" => {
                    let stopped = core.status(id) == Some(Status::Stopped);
                    assert!(reboots == 0 && pending && stopped, "{id}: {reboots} restarts: {row:#}");
                }
                "Unknown" => {
                    assert!(reboots <= 1, "{id}: {reboots} restarts: {row:#}");
                    unknown += 1;
                }
                _ => panic!("{id}: {row:#}"),
            }
        }
        unknown
    }

    /// Forgets the run, so that the next one finds the cluster as this one did.
    pub fn clean_up(&self) {
        self.world.delete_reset(&self.name);
        let records = ["resetrecords", "--all", "--namespace", crate::common::SYSTEM_NAMESPACE];
        self.world.kubectl(&[&["delete"], &records[..]].concat());
    }

    fn status(&self) -> Value {
        let reset = ["get", "passwordreset", &self.name, "--namespace", crate::common::NAMESPACE, "--output=json"];
        let object = self.world.try_kubectl(&reset, "").unwrap_or_default();
        serde_json::from_str::<Value>(&object).unwrap_or_default()["status"].clone()
    }
}

const ENDS: [&str; 5] = ["InEffect", "EffectiveAtNextStart", "Superseded", "Failed", "Unknown"];
