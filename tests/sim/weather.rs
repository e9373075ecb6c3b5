//! Faults by chance: how often each kind happens, and until when.

use crate::dice::Dice;
use crate::plan::{Class, Fault, Ms, Stage, WatchFault};

/// How bad it is. Numbers are out of 1000 requests or events.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// From then on nothing goes wrong any more.
    pub until: Ms,
    /// A process dies at a request.
    pub crashes: u64,
    /// Something happens to a request.
    pub faults: u64,
    /// Something happens to an event of a watch.
    pub watch_faults: u64,
    /// Whether caches and readings may show the past: what Kubernetes and ECS do not promise but have been seen to do.
    pub stale: bool,
}

/// How late a lost request may still be carried out: ECS refuses it by its Timestamp before that.
const LATEST: Ms = 31 * 60 * 1000;

impl Weather {
    /// How old the view of a reading may be.
    pub const LAG: Ms = 60_000;

    /// Weather whose badness follows from the seed, between mild and awful.
    pub fn of(dice: Dice, until: Ms) -> Self {
        let dice = dice.sub("weather");
        Self {
            until,
            crashes: dice.within("crashes", 0..=30),
            faults: dice.within("faults", 0..=150),
            watch_faults: dice.within("watch faults", 0..=100),
            stale: dice.happens("stale", 500),
        }
    }

    pub fn crash(&self, dice: Dice, now: Ms, what: &str) -> Option<Stage> {
        let dice = dice.sub("crash");
        (now < self.until && dice.happens(what, self.crashes)).then(|| match dice.sub("stage").draw(what) % 3 {
            0 => Stage::Before,
            1 => Stage::Sent,
            _ => Stage::Answered,
        })
    }

    pub fn fault(&self, dice: Dice, now: Ms, class: Class, what: &str) -> Option<Fault> {
        let dice = dice.sub("fault");
        if now >= self.until || !dice.happens(what, self.faults) {
            return None;
        }
        let size = dice.sub("size");
        let kind = dice.sub("kind").draw(what);
        let slow = Fault::Slow(size.within(what, 1_000..=15_000));
        let choices: &[Fault] = match class {
            Class::List if self.stale => &[Fault::Unavailable, slow, Fault::Past(size.within(what, 1..=8))],
            Class::Watch if self.stale => &[Fault::LoseRequest, slow, Fault::Past(size.within(what, 1..=8))],
            Class::Get | Class::List | Class::Watch => &[Fault::Unavailable, Fault::LoseRequest, slow],
            Class::Write => &[
                Fault::Conflict,
                Fault::Unavailable,
                Fault::LoseRequest,
                Fault::LoseAnswer,
                Fault::Late(size.within(what, 100..=20_000)),
                slow,
            ],
            Class::Read if self.stale => &[
                Fault::LoseAnswer,
                Fault::Refuse("InternalError", 500),
                Fault::Stale(size.within(what, 1_000..=Self::LAG)),
                Fault::Empty,
                slow,
            ],
            Class::Read => &[Fault::LoseAnswer, Fault::Refuse("InternalError", 500), slow],
            Class::Change => &[
                Fault::LoseRequest,
                Fault::LoseAnswer,
                Fault::NotSent,
                Fault::Late(size.within(what, 100..=LATEST)),
                Fault::Refuse("IncorrectInstanceStatus", 403),
                Fault::Refuse("Throttling.User", 400),
                Fault::Refuse("InternalError", 500),
                Fault::Slow(size.within(what, 1_000..=40_000)),
                Fault::Pause(size.within(what, 1_000..=LATEST)),
            ],
        };
        usize::try_from(kind).ok().and_then(|kind| choices.get(kind % choices.len())).copied()
    }

    pub fn watch_fault(&self, dice: Dice, now: Ms, what: &str) -> Option<WatchFault> {
        let dice = dice.sub("watch fault");
        if now >= self.until || !dice.happens(what, self.watch_faults) {
            return None;
        }
        let hold = WatchFault::Hold(dice.sub("hold").within(what, 500..=20_000));
        Some(match dice.sub("kind").draw(what) % 6 {
            0 if self.stale => WatchFault::Drop,
            1 if self.stale => WatchFault::Swap,
            2 => WatchFault::Double,
            3 => WatchFault::Break,
            4 => WatchFault::Gone,
            _ => hold,
        })
    }
}
