//! What a state of the model is made of: one document per instance, two machines, two processes, the requests under way,
//! the object, and how much trouble the environment may still make. Data only; the rules are in the other files.
//!
//! Time is counted in ticks of half a minute: a minute is StartTime's precision, and its half is the shortest length that
//! the protocol tells apart. All lengths keep the order that they have in earnest.

use std::rc::Rc;

use ecs_password_reset::api::password_reset::PasswordResetStatus;
use ecs_password_reset::api::reset_record::{Attempt, Phase, ResetRecord};
use ecs_password_reset::decide::SEND_WINDOW;
use ecs_password_reset::decide::claim::step::Call;
use ecs_password_reset::decide::resolution::Resolution;
use jiff::Timestamp;

use crate::ecs::Machine;

/// Seconds in a tick.
const TICK: i64 = 30;
/// An arbitrary full minute.
const EPOCH: i64 = 1_800_000_000;
/// The instances.
pub const INSTANCES: [&str; 2] = ["i-1", "i-2"];

/// The moment of a tick.
pub fn at(tick: i64) -> Timestamp {
    Timestamp::from_second(EPOCH + tick * TICK).unwrap()
}

/// The tick of a moment.
pub fn tick(time: Timestamp) -> i64 {
    (time.as_second() - EPOCH).div_euclid(TICK)
}

/// The tick at which the minute of a tick begins.
pub fn minute(tick: i64) -> i64 {
    tick - tick.rem_euclid(2)
}

/// How long after its Timestamp a request may be sent, and how old the reading may be that allows it.
pub fn send_window() -> i64 {
    tick(at(0) + SEND_WINDOW)
}

/// A length in seconds.
pub fn seconds(ticks: i64) -> u32 {
    u32::try_from(ticks * TICK).unwrap()
}

/// A record as the API server holds it. Two are the same version if they are the same allocation.
pub type Version = Rc<ResetRecord>;

/// The whole state.
#[derive(Clone)]
pub struct World {
    /// The tick.
    pub now: i64,
    /// One for each instance, once it was claimed.
    pub records: [Option<Version>; 2],
    /// The instances.
    pub machines: [Machine; 2],
    /// Requests whose sender does not wait for them any more, but which may still arrive.
    pub copies: Vec<Copy>,
    /// The controllers.
    pub processes: [Process; 2],
    /// The process that begins passes; the other one ends those that it has under way, and begins one as a rival.
    pub lead: usize,
    /// What the leader's watch still shows of a record that another writer has written.
    pub behind: [Option<Option<Version>>; 2],
    /// The object.
    pub object: Object,
    /// Its status, where the search has one.
    pub status: Rc<PasswordResetStatus>,
    /// A backup, once it was taken.
    pub backup: Option<Backup>,
    /// The password in the Secret, by number.
    pub secret: Option<u8>,
    /// What was run on each instance, kept apart from the records as the yardstick for "needed".
    pub histories: [History; 2],
    /// The attempts that were stored for each instance and may still be sent, kept apart from the records as the yardstick
    /// for what is sent.
    pub log: [Vec<Stored>; 2],
    /// How much trouble is left.
    pub left: Budget,
    /// Counts processes and attempts, for their names.
    pub names: u32,
    /// What the last action has broken, if anything.
    pub broken: Option<String>,
}

/// A process.
#[derive(Clone)]
pub struct Process {
    /// Its id; a restart gives it a new one.
    pub id: String,
    /// Its memory of the attempt that it last sent for each instance.
    pub sent: [Option<String>; 2],
    /// When the latest reading of each instance that was delivered to it was asked for, if that showed no permission.
    pub forbidden: [Option<i64>; 2],
    /// A pass over each record, and one over the object.
    pub passes: [Pass; 3],
    /// Whether it is stopped between two of its steps, as by SIGSTOP.
    pub frozen: bool,
}

/// The pass over the object among a process's passes; the others are the instances'.
pub const OBJECT: usize = 2;

/// How far a pass has come. What precedes the first of these steps is one action: it only reads, and what was read may be
/// old by the time it is acted on, since other actions come between the steps.
#[derive(Clone)]
pub enum Pass {
    /// There is none.
    Idle,
    /// A record is about to be written over `base`, and then perhaps a call made.
    Store { base: Option<Version>, record: Version, then: Option<Sending> },
    /// A call is about to be sent under the attempt that `record` holds.
    Send { record: Version, sending: Sending },
    /// It was sent, and the answer is awaited.
    Await { record: Version, sending: Sending },
}

/// A call on its way.
#[derive(Clone, Copy)]
pub struct Sending {
    /// Which.
    pub call: Call,
    /// When the reading was asked for that allows it.
    pub read_at: i64,
    /// Whether that showed the account's permission.
    pub permitted: bool,
}

/// An attempt that was stored, as far as a request that is sent under it can be compared with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// By which process.
    pub process: String,
    /// The call that is sent under it.
    pub request: Copy,
    /// Whether it was sent, if it is a restart: that may be only once.
    pub sent: bool,
}

/// A request on its way without its sender.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copy {
    /// The instance.
    pub instance: usize,
    /// Whether it reboots; else it sets the password.
    pub reboot: bool,
    /// The claim that it belongs to.
    pub claim: i64,
    /// The Timestamp that it is signed with.
    pub timestamp: i64,
}

/// The PasswordReset.
#[derive(Clone)]
pub struct Object {
    /// Whether it is there.
    pub exists: bool,
    /// Changes each time that it is applied again.
    pub uid: u8,
    /// Its runID: 0 or 1.
    pub run: usize,
    /// Its retry annotation: 0 is none.
    pub retry: u8,
    /// Its annotation `resolve-unknown`.
    pub resolution: Option<Resolution>,
    /// Whether it is held back.
    pub held: bool,
}

/// What a backup holds.
#[derive(Clone)]
pub struct Backup {
    /// The records.
    pub records: [Option<Version>; 2],
    /// The object's status.
    pub status: Rc<PasswordResetStatus>,
}

/// What was run on one instance, in the words of the protocol's "Needed".
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// Whether any claim has ended.
    pub any: bool,
    /// The number of the last claim.
    pub claim: i64,
    /// What was run since the password last changed.
    pub tokens: Vec<String>,
    /// The fingerprint of the password of the last claim that ended.
    pub fingerprint: String,
    /// Where that one has failed: the object's uid and retry annotation at the claim.
    pub failed: Option<(String, Option<String>)>,
    /// The claim that a person wants to be repeated.
    pub again: Option<i64>,
}

/// How often each kind of trouble may happen.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A process dies and comes back with another id and no memory.
    pub crashes: u8,
    /// An answer is lost, of ECS (the request may then come late, or never) or of the API server.
    pub losses: u8,
    /// A process is stopped for any length of time.
    pub freezes: u8,
    /// The other process takes over.
    pub handovers: u8,
    /// A reading shows the past, the watch is behind, a reboot begins late or takes long.
    pub lags: u8,
    /// ECS refuses a request, for the moment or for good, or it cannot be sent.
    pub refusals: u8,
    /// Another actor stops, starts or restarts an instance.
    pub outsiders: u8,
    /// A person edits the Secret or the object, or decides on an Unknown.
    pub edits: u8,
    /// A process that does not lead, or not yet, begins a pass all the same.
    pub rivals: u8,
    /// The account's permission for an instance is taken away.
    pub bans: u8,
    /// A record or the object's status is restored from a backup: without its status, or as the backup holds it.
    pub restores: u8,
    /// An instance is released.
    pub releases: u8,
    /// The account may not describe an instance any more.
    pub hides: u8,
    /// How often the object is held back: suspended, or out of its maintenance window.
    pub holds: u8,
}

impl World {
    /// The record of an instance as the leader's watch and own writes show it.
    pub fn ledger(&self, instance: usize) -> Option<&Version> {
        self.behind[instance].as_ref().unwrap_or(&self.records[instance]).as_ref()
    }

    /// A name that was not used before.
    pub fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}{}", self.names)
    }

    /// Every request that may still be carried out.
    pub fn live_copies(&self) -> impl Iterator<Item = Copy> {
        let passes = self.processes.iter().flat_map(|process| &process.passes);
        let awaited = passes.filter_map(|pass| match pass {
            Pass::Await { record, sending } => Some(copy(record, *sending)),
            Pass::Idle | Pass::Store { .. } | Pass::Send { .. } => None,
        });
        self.copies.iter().copied().chain(awaited)
    }
}

impl Process {
    /// A process that has just started.
    pub fn new(id: String) -> Self {
        let passes = [Pass::Idle, Pass::Idle, Pass::Idle];
        Self { id, sent: [None, None], forbidden: [None, None], passes, frozen: false }
    }

    /// Whether it is in the middle of a pass.
    pub fn is_busy(&self) -> bool {
        self.passes.iter().any(|pass| !matches!(pass, Pass::Idle))
    }
}

/// The request that a call under a stored attempt is.
pub fn copy(record: &ResetRecord, sending: Sending) -> Copy {
    let timestamp = attempt(record).map_or(0, |attempt| tick(attempt.timestamp.0));
    let reboot = matches!(sending.call, Call::Restart { .. });
    Copy { instance: instance(record), reboot, claim: record.spec.claim, timestamp }
}

/// The instance that a record is of.
pub fn instance(record: &ResetRecord) -> usize {
    INSTANCES.iter().position(|id| *id == record.spec.instance_id).unwrap()
}

/// The attempt that a record holds.
pub fn attempt(record: &ResetRecord) -> Option<&Attempt> {
    record.status.as_ref()?.attempt.as_ref()
}

/// The phase of a record.
pub fn phase(record: &ResetRecord) -> Phase {
    record.status.as_ref().map_or(Phase::Idle, |status| status.phase)
}
