//! Everything outside the controller: the API server, ECS, the network between, time, and the machines that processes run on.
//!
//! A run is a sequence of happenings, each at its own virtual millisecond: a request arrives, an answer arrives, an event of
//! a watch arrives, a person does something, a process starts. Whatever a process sends becomes a happening, so nothing is
//! left to the order in which its tasks happen to run.

mod doors;
mod observe;
mod process;
mod travel;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ecs_simulator::api_server::ApiServer;
use ecs_simulator::{Config, Core};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::judge::Judge;
use crate::plan::{Ms, Plan};
use crate::scenario::{Do, Scenario, When};
use crate::story::Story;
pub use observe::has_ended;
use process::Process;
pub use process::ProcessId;
pub use travel::{Asked, Travel, UnderWay};
use watches::Stream;

/// When every run begins, on ECS's clock.
pub const EPOCH: Timestamp = Timestamp::constant(1_795_497_667, 0);

/// What processes and the driver share. Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something was put on the agenda.
    changed: Notify,
    origin: Instant,
}

/// All state. Everything runs on one thread; the lock is there because the controller's types ask for it.
pub struct State {
    pub now: Ms,
    pub api: ApiServer,
    pub ecs: Core,
    pub judge: Judge,
    pub story: Story,
    plan: Plan,
    /// By time, then by name and number: the order does not depend on who was first to ask.
    agenda: BTreeMap<(Ms, String, u64), Happening>,
    count: u64,
    processes: Vec<Process>,
    travels: BTreeMap<u64, Travel>,
    /// How often each request was made: its name and that distinguish it.
    asked: BTreeMap<String, u64>,
    streams: BTreeMap<u64, Stream>,
    /// Which watches of which process were answered 410 since all had to list again.
    listed_again: BTreeSet<(ProcessId, String)>,
    /// The requests that were sent.
    pub requests: Vec<Asked>,
    /// The keys of the events of watches.
    pub watch_events: Vec<String>,
    script: Vec<Option<(When, Do)>>,
    looked_at: u64,
    ecs_told: usize,
}

/// What happens at some moment.
enum Happening {
    /// A request reaches the server.
    Arrive(u64),
    /// An answer reaches the process.
    Answer(u64),
    /// A line of a watch reaches the process; `None`: its end.
    Line(u64, Option<String>),
    /// A watch may have something to say by itself: a bookmark, or that its time is over.
    Look(u64),
    /// Every watch is answered 410.
    Relist,
    /// A person does what the script says.
    Act(usize),
    /// A process dies.
    Die(ProcessId),
    /// A machine begins to run the controller.
    Start(usize),
}

impl World {
    /// A world as a scenario begins, with nothing running yet.
    pub fn new(scenario: &Scenario, plan: Plan, story: Story) -> Self {
        let mut ecs = Config { seed: plan.seed, ..Config::default() };
        ecs.instances.clone_from(&scenario.instances);
        let mut state = State {
            now: 0,
            api: ApiServer::new(process::kinds(), plan.seed),
            ecs: Core::new(ecs, EPOCH),
            judge: Judge::new(scenario, &plan),
            story,
            agenda: BTreeMap::new(),
            count: 0,
            processes: Vec::new(),
            travels: BTreeMap::new(),
            asked: BTreeMap::new(),
            streams: BTreeMap::new(),
            listed_again: BTreeSet::new(),
            requests: Vec::new(),
            watch_events: Vec::new(),
            script: scenario.script.iter().cloned().map(Some).collect(),
            looked_at: 0,
            ecs_told: 0,
            plan,
        };
        for object in &scenario.objects {
            state.apply(object);
        }
        state.look(None);
        for (index, (when, _)) in scenario.script.iter().enumerate() {
            if let When::At(at) = when {
                state.schedule(*at, "act", Happening::Act(index));
            }
        }
        if let Some(at) = state.plan.relist {
            state.schedule(at, "relist", Happening::Relist);
        }
        for machine in 0..state.plan.clocks.len() {
            state.schedule(0, &format!("start {machine}"), Happening::Start(machine));
        }
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), origin: now() }))
    }

    /// The state, as of now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now().saturating_duration_since(self.0.origin).as_millis();
        state.now = Ms::try_from(elapsed).unwrap();
        state
    }

    /// Lets time pass until everything has come to rest, for `limit` at most; whether it has.
    pub async fn run(&self, limit: Ms) -> bool {
        self.drive(limit, State::is_at_rest).await
    }

    /// Lets time pass until `done`, for `limit` at most; whether it was.
    pub async fn drive(&self, limit: Ms, done: impl Fn(&mut State) -> bool) -> bool {
        loop {
            let next = {
                let mut state = self.state();
                while let Some(happening) = state.take_due() {
                    self.happen(&mut state, happening);
                }
                if done(&mut state) {
                    return true;
                }
                if state.now >= limit {
                    return false;
                }
                state.agenda.keys().next().map_or(limit, |(at, ..)| *at).min(limit)
            };
            tokio::select! {
                biased;
                () = self.0.changed.notified() => {}
                () = sleep_until(self.0.origin + Duration::from_millis(next)) => {}
            }
        }
    }

    fn happen(&self, state: &mut State, happening: Happening) {
        match happening {
            Happening::Arrive(travel) => state.arrive(travel),
            Happening::Answer(travel) => state.answer(travel),
            Happening::Line(stream, line) => state.deliver(stream, line),
            Happening::Look(stream) => state.pump(stream),
            Happening::Relist => state.relist(),
            Happening::Act(index) => state.act(index),
            Happening::Die(process) => state.die(process),
            Happening::Start(machine) => self.start(state, machine),
        }
    }
}

impl State {
    /// The time on ECS's clock, and on the API server's.
    pub fn wall(&self) -> Timestamp {
        wall(self.now)
    }

    fn schedule(&mut self, at: Ms, name: &str, happening: Happening) {
        self.count += 1;
        self.agenda.insert((at, name.to_owned(), self.count), happening);
    }

    fn take_due(&mut self) -> Option<Happening> {
        let first = self.agenda.first_entry()?;
        (first.key().0 <= self.now).then(|| first.remove())
    }
}

/// A moment of the run on ECS's clock.
pub fn wall(at: Ms) -> Timestamp {
    EPOCH + Duration::from_millis(at)
}

#[allow(clippy::disallowed_methods, reason = "the simulation's only look at tokio's paused clock")]
fn now() -> Instant {
    Instant::now()
}
