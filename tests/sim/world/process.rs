//! The machines and the processes on them: each runs the whole controller, and can die at any moment.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ecs_password_reset::admin::Readiness;
use ecs_password_reset::clock::Clock;
use ecs_password_reset::ecs::EcsClient;
use ecs_password_reset::leader::Leadership;
use ecs_password_reset::metrics::Metrics;
use ecs_password_reset::run::{self, Dependencies};
use ecs_password_reset::settings::{self, Settings};
use ecs_simulator::api_server::Kind;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::doors::Door;
use super::{Happening, State, World};
use crate::plan::{Ms, Plan};
use crate::scenario::SYSTEM_NAMESPACE;

/// How soon a machine runs the controller again after it died.
const RESTART: std::ops::RangeInclusive<Ms> = 1_000..=40_000;

/// One run of the program, counted from 1 over all machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId(pub usize);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.0)
    }
}

/// A process, dead or alive.
pub struct Process {
    machine: usize,
    alive: bool,
    /// Until when nothing goes in or out.
    paused_until: Ms,
    task: AbortHandle,
    metrics: Arc<Metrics>,
}

/// What the API server serves: the CRDs as they are installed, and the built-in kinds that the controller uses.
pub fn kinds() -> Vec<Kind> {
    const CRDS: [&str; 3] = [
        include_str!("../../../crds/ecs.password-reset.dev_passwordresets.yaml"),
        include_str!("../../../crds/ecs.password-reset.dev_ecsaccounts.yaml"),
        include_str!("../../../crds/ecs.password-reset.dev_resetrecords.yaml"),
    ];
    thread_local! {
        /// Parsing them takes longer than many a run.
        static KINDS: Vec<Kind> = CRDS
            .iter()
            .map(|crd| Kind::of_crd(&serde_saphyr::from_str(crd).unwrap()).unwrap())
            .chain([Kind::secret(), Kind::lease(), Kind::event()])
            .collect();
    }
    KINDS.with(Clone::clone)
}

/// The defaults of production, but for the polls of ECS: half an hour of them is most of the work of a run with a lost restart.
fn settings(plan: &Plan) -> Settings {
    static DEFAULTS: LazyLock<Settings> =
        LazyLock::new(|| settings::parse(["ecs-password-reset", "controller"]).expect("the defaults are valid"));
    Settings {
        namespace: SYSTEM_NAMESPACE.to_owned(),
        describe_interval: Duration::from_secs(10),
        clock_skew_limit: plan.skew_limit,
        // The simulated API server has no admission, so nothing is guarded by it.
        allow_missing_policy: true,
        leader_elect: plan.election,
        leader_elect_identity: "simulated".to_owned(),
        ..DEFAULTS.clone()
    }
}

impl World {
    /// A machine begins to run the controller.
    pub(super) fn start(&self, state: &mut State, machine: usize) {
        let process = ProcessId(state.processes.len() + 1);
        let door = Door { world: self.clone(), process };
        let wrong = state.plan.clocks[machine];
        let elapsed = Duration::from_millis(state.now).mul_f64(wrong.rate);
        let local = super::EPOCH + jiff::SignedDuration::from_secs(wrong.ahead_seconds) + elapsed;
        let seed = state.plan.dice().draw(&process.to_string());
        let clock = Clock::simulated(local, wrong.rate, seed);
        let outside = Dependencies {
            client: door.client(SYSTEM_NAMESPACE),
            ecs: EcsClient::new(door.clone(), door.clone(), door.clone()),
            process: clock.nonce(),
            clock,
            leadership: Leadership::always(),
        };
        state.judge.process(process, &outside.process, wrong, state.now);
        let settings = settings(&state.plan);
        let (metrics, ready, stop) =
            (Arc::new(Metrics::new()), Arc::new(Readiness::default()), CancellationToken::new());
        let (world, counted) = (self.clone(), Arc::clone(&metrics));
        let task = tokio::spawn(async move {
            let ended = if settings.leader_elect {
                let lease_client = door.client(SYSTEM_NAMESPACE);
                run::run_while_leading(settings, outside, lease_client, counted, ready, stop).await
            } else {
                run::run_controllers(settings, outside, counted, ready, stop).await
            };
            let mut state = world.state();
            state.end(process, &format!("ends by itself: {ended:?}"));
            world.0.changed.notify_one();
        });
        state.story.note(state.now, || format!("{process} starts"));
        state.processes.push(Process { machine, alive: true, paused_until: 0, task: task.abort_handle(), metrics });
    }
}

impl World {
    /// A client of a process that runs nothing but the test itself.
    pub fn client(&self) -> kube::Client {
        let mut state = self.state();
        let process = ProcessId(state.processes.len() + 1);
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        state.processes.push(Process {
            machine: 0,
            alive: true,
            paused_until: 0,
            task,
            metrics: Arc::new(Metrics::new()),
        });
        Door { world: self.clone(), process }.client(SYSTEM_NAMESPACE)
    }
}

impl State {
    pub(super) fn is_alive(&self, process: ProcessId) -> bool {
        self.processes.get(process.0 - 1).is_some_and(|process| process.alive)
    }

    /// How long a process is still stopped.
    pub(super) fn paused_for(&self, process: ProcessId) -> Ms {
        self.processes[process.0 - 1].paused_until.saturating_sub(self.now)
    }

    /// SIGSTOP, and SIGCONT later.
    pub(super) fn pause(&mut self, process: ProcessId, by: Ms) {
        self.processes[process.0 - 1].paused_until = self.now + by;
    }

    /// `kill -9`, as soon as this millisecond is over: what else the process does in it must not hang on the order in which
    /// its tasks happen to run.
    pub(super) fn crash(&mut self, id: ProcessId) {
        self.schedule(self.now + 1, "", Happening::Die(id));
    }

    /// Nothing of a process does anything any more. Its machine starts another one soon.
    pub(super) fn die(&mut self, id: ProcessId) {
        if self.is_alive(id) {
            self.end(id, "dies");
        }
    }

    fn end(&mut self, id: ProcessId, how: &str) {
        let process = &mut self.processes[id.0 - 1];
        process.alive = false;
        process.task.abort();
        let machine = process.machine;
        self.story.note(self.now, || format!("{id} {how}"));
        let after = self.plan.dice().within(&format!("restart after {id}"), RESTART);
        self.schedule(self.now + after, &format!("start {machine}"), Happening::Start(machine));
    }

    /// Ends everything that runs.
    pub fn stop_all(&mut self) {
        for process in &mut self.processes {
            process.alive = false;
            process.task.abort();
        }
    }

    /// Passes that panicked: kube would go on as if nothing had been.
    pub fn panics(&self) -> bool {
        self.counted("controller_runtime_reconcile_panics_total{") > 0
    }

    /// What the metrics say whose lines begin so, over all processes.
    pub fn counted(&self, series: &str) -> u64 {
        let texts = self.processes.iter().map(|process| process.metrics.encode());
        let of = |text: String| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(series));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        texts.map(of).sum()
    }
}
