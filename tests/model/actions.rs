//! What can happen: the names of it, and in which order things happen when all goes well.

use ecs_password_reset::decide::Reading;

use crate::people;
use crate::world::{World, tick};

/// Something that happens. Processes and instances by their place.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A process looks at a record and decides.
    Look { process: usize, instance: usize, glance: Glance },
    /// A process looks at the object and decides.
    Plan { process: usize, glance: Glance },
    /// A reading comes that shows no permission, while a process is about to send.
    Notice { process: usize, instance: usize },
    /// It stores what it has decided.
    Store { process: usize, job: usize, fate: Fate },
    /// It sends a call.
    Send { process: usize, job: usize },
    /// ECS answers.
    Answer { process: usize, job: usize, reply: Reply },
    /// No answer comes.
    NoAnswer { process: usize, job: usize },
    /// A request whose sender has given up arrives.
    Arrive { copy: usize },
    /// The leader's watch shows a record as it is.
    Show { instance: usize },
    /// An accepted reboot begins.
    Begin { instance: usize },
    /// A reboot is done.
    Finish { instance: usize },
    /// A reboot is going to begin late, or to take long.
    Slow { instance: usize },
    /// The other process takes over.
    Handover,
    /// A process dies and comes back.
    Crash { process: usize },
    /// A process is stopped.
    Freeze { process: usize },
    /// It goes on.
    Thaw { process: usize },
    /// Another actor does something.
    Somebody(people::Deed),
    /// Half a minute passes.
    Tick,
}

/// Which reading a pass goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Glance {
    /// The reading.
    pub reading: Reading,
    /// Whether it was asked for now and does not lag.
    pub fresh: bool,
}

/// What becomes of a write that the API server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered, and every watch shows it.
    Shown,
    /// It is answered, and the leader's watch does not show it yet.
    NotShown,
    /// It is not answered.
    Unanswered,
}

/// What ECS says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is carried out if the instance's status allows it.
    ByStatus,
    /// Throttled.
    Later,
    /// Refused for good.
    Never,
    /// It did not even leave.
    NotSent,
}

/// An action and the state after it.
pub struct Move {
    /// What happens.
    pub action: Action,
    /// The world after it.
    pub world: World,
}

/// How soon an action happens once all trouble is over; `None`: it is trouble, or a person's whim. Only the leader begins
/// passes then.
pub fn fair_rank(action: &Action, lead: usize) -> Option<u8> {
    Some(match action {
        Action::Thaw { .. } => 0,
        Action::Store { fate: Fate::Shown, .. }
        | Action::Send { .. }
        | Action::Answer { reply: Reply::ByStatus, .. } => 1,
        Action::Show { .. } | Action::Begin { .. } | Action::Finish { .. } => 2,
        Action::Look { process, glance: Glance { fresh: true, .. }, .. } if *process == lead => 3,
        Action::Plan { process, glance: Glance { fresh: true, .. } } if *process == lead => 4,
        Action::Tick => 5,
        _ => return None,
    })
}

/// The tick at which a reading was asked for.
pub fn asked_at(glance: &Glance) -> i64 {
    tick(glance.reading.sent_at)
}
