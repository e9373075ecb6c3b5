//! What goes wrong in a run. A plan is decided before the run and knows nothing of the controller: it looks at requests, at
//! events of watches, and at its seed.
//!
//! A request is known by its key: what it is, and how often it was made before in the run, such as
//! `PUT prod/passwordresets/web/status #2`. An event of a watch is known by its watch's key and its version.

use std::time::Duration;

use crate::dice::Dice;
use crate::weather::Weather;

/// Virtual milliseconds since the run began.
pub type Ms = u64;

/// Where a process dies, seen from one of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before it is sent: it never leaves.
    Before,
    /// It is sent and arrives, and nobody is there for the answer.
    Sent,
    /// The answer is there and is never looked at.
    Answered,
}

/// All of them.
pub const STAGES: [Stage; 3] = [Stage::Before, Stage::Sent, Stage::Answered];

/// What a request is, as far as a plan cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A get from the API server.
    Get,
    /// A list.
    List,
    /// The beginning of a watch.
    Watch,
    /// A create, replace, patch or delete.
    Write,
    /// `DescribeInstances` or `GetCallerIdentity`.
    Read,
    /// `ModifyInstanceAttribute` or `RebootInstance`.
    Change,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The API server answers 409, and nothing is written.
    Conflict,
    /// 503, and nothing is done.
    Unavailable,
    /// It never arrives, and the connection breaks.
    LoseRequest,
    /// It is carried out, and the connection breaks before the answer.
    LoseAnswer,
    /// It is carried out, and a proxy in front of the API server answers 504.
    GatewayTimeout,
    /// It never leaves, and the sender knows.
    NotSent,
    /// The connection breaks at once, and the request arrives so many milliseconds later.
    Late(Ms),
    /// Both ways take so many milliseconds longer together; the sender may have given up by then.
    Slow(Ms),
    /// The process is stopped for so many milliseconds: neither this request nor any other of it leaves, and no answer
    /// reaches it. The worst moment for that is after it was asked whether it still leads.
    Pause(Ms),
    /// ECS refuses it with this code, and nothing is done.
    Refuse(&'static str, u16),
    /// A list shows what was so many versions ago; a watch begins there.
    Past(u64),
    /// `DescribeInstances` shows what was so many milliseconds ago.
    Stale(Ms),
    /// `DescribeInstances` shows nothing.
    Empty,
}

/// What happens to one event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// It never arrives, and nothing tells so.
    Drop,
    /// It arrives twice.
    Double,
    /// It arrives after those that follow it.
    Swap,
    /// It, and all after it, arrive so many milliseconds late.
    Hold(Ms),
    /// The connection breaks instead.
    Break,
    /// The server answers 410 instead: list again.
    Gone,
}

/// How one simulated machine's clock is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WrongClock {
    /// How far it is ahead at the beginning of the run, in seconds.
    pub ahead_seconds: i64,
    /// How fast it runs; 1.0 is right.
    pub rate: f64,
}

/// A right clock.
pub const RIGHT: WrongClock = WrongClock { ahead_seconds: 0, rate: 1.0 };

/// An API server that lags for every process but the first.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// How many versions its lists are behind.
    pub versions: u64,
    /// How late the events of its watches are.
    pub events: Ms,
}

/// Everything that goes wrong in one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// The clock of each controller's machine; as many controllers run.
    pub clocks: Vec<WrongClock>,
    /// The requests at which the process that sends them dies, by their keys.
    pub crashes: Vec<(String, Stage)>,
    /// Faults of single requests, by their keys.
    pub faults: Vec<(String, Fault)>,
    /// Faults of single events of watches, by their keys.
    pub watch_faults: Vec<(String, WatchFault)>,
    /// Views of the past.
    pub lag: Option<Lag>,
    /// When every watch is answered 410, so that everybody lists again.
    pub relist: Option<Ms>,
    /// Faults by chance.
    pub weather: Option<Weather>,
    /// Whether the controllers elect a leader; else each works as if it were alone.
    pub election: bool,
    /// How far a machine's clock may be off before the controller starts nothing any more.
    pub skew_limit: Duration,
}

impl Plan {
    /// Nothing goes wrong, and one controller runs.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            clocks: vec![RIGHT],
            crashes: vec![],
            faults: vec![],
            watch_faults: vec![],
            lag: None,
            relist: None,
            weather: None,
            election: false,
            skew_limit: Duration::from_mins(5),
        }
    }

    /// The process dies at a request.
    pub fn with_crash(mut self, request: &str, stage: Stage) -> Self {
        self.crashes.push((request.to_owned(), stage));
        self
    }

    /// Something happens to a request.
    pub fn with_fault(mut self, request: &str, fault: Fault) -> Self {
        self.faults.push((request.to_owned(), fault));
        self
    }

    /// Something happens to an event of a watch.
    pub fn with_watch_fault(mut self, event: &str, fault: WatchFault) -> Self {
        self.watch_faults.push((event.to_owned(), fault));
        self
    }

    /// The dice of this run.
    pub fn dice(&self) -> Dice {
        Dice(self.seed)
    }

    /// Whether, and how, the process dies at a request.
    pub fn crash(&self, now: Ms, key: &str) -> Option<Stage> {
        let planned = self.crashes.iter().find(|(at, _)| at == key).map(|(_, stage)| *stage);
        planned.or_else(|| self.weather.as_ref()?.crash(self.dice(), now, key))
    }

    /// What happens to a request of the process with this number.
    pub fn fault(&self, now: Ms, process: usize, class: Class, key: &str) -> Option<Fault> {
        let planned = self.faults.iter().find(|(at, _)| at == key).map(|(_, fault)| *fault);
        let lag = self.lag.filter(|lag| process > 1 && class == Class::List && lag.versions > 0);
        let lagging = lag.map(|lag| Fault::Past(lag.versions));
        planned.or(lagging).or_else(|| self.weather.as_ref()?.fault(self.dice(), now, class, key))
    }

    /// What happens to an event of a watch.
    pub fn watch_fault(&self, now: Ms, key: &str) -> Option<WatchFault> {
        let planned = self.watch_faults.iter().find(|(at, _)| at == key).map(|(_, fault)| *fault);
        planned.or_else(|| self.weather.as_ref()?.watch_fault(self.dice(), now, key))
    }

    /// How late the events of a process's watches are.
    pub fn lag(&self, process: usize) -> Ms {
        self.lag.filter(|_| process > 1).map_or(0, |lag| lag.events)
    }
}
