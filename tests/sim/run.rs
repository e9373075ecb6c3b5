//! One run: a scenario, a plan, and what came of it.

use std::collections::BTreeMap;

use ecs_simulator::Core;

use crate::plan::{Ms, Plan};
use crate::scenario::Scenario;
use crate::story::Story;
use crate::world::{Asked, World};

/// What came of a run.
pub struct Report {
    /// What did not hold.
    pub violations: Vec<String>,
    /// Whether everything came to rest in time.
    pub at_rest: bool,
    /// When the run ended.
    pub ended: Ms,
    /// The requests that the controller sent, in the order of time; those of one moment in that of their keys.
    pub requests: Vec<Asked>,
    /// The keys of the events that its watches were sent.
    pub watch_events: Vec<String>,
    /// How claims ended, and how many did so.
    pub ends: BTreeMap<String, usize>,
    /// What ECS was asked and what happened there, one line each, without what is drawn at random.
    pub journal: Vec<String>,
    pub story: String,
    /// The instances that do not have the last value of the Secret in effect, where the scenario has one.
    pub outdated: Vec<String>,
    /// How many passes were made, and how many records they read from memory.
    pub passes: u64,
    pub records_read: u64,
}

/// Runs until everything has come to rest, for `limit` at most.
pub fn simulate(scenario: &Scenario, plan: Plan, story: Story, limit: Ms) -> Report {
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(scenario, plan, story);
        let at_rest = world.run(limit).await;
        let mut state = world.state();
        let ended = state.now;
        state.stop_all();
        state.let_everything_arrive();
        state.conclude(at_rest);
        let mut requests = std::mem::take(&mut state.requests);
        requests.sort();
        Report {
            violations: state.judge.violations().to_vec(),
            at_rest,
            ended,
            requests,
            watch_events: std::mem::take(&mut state.watch_events),
            ends: state.judge.ends().clone(),
            journal: state.journal(),
            story: state.story.text(),
            outdated: outdated(scenario, &state.ecs),
            passes: state.counted("controller_runtime_reconcile_total{"),
            records_read: state.counted("passwordreset_records_read_total"),
        }
    })
}

fn outdated(scenario: &Scenario, ecs: &Core) -> Vec<String> {
    let Some(last) = scenario.last_password else { return Vec::new() };
    let ids = scenario.instances.iter().map(|instance| instance.instance_id.clone());
    ids.filter(|id| ecs.in_effect_password(id) != Some(last)).collect()
}
