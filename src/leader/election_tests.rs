//! client-go's rules one by one, and then all of them at once under requests and answers that are late or lost.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;

const TIMING: ElectionTimes = ElectionTimes {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

/// A moment, in milliseconds from an arbitrary one.
#[allow(clippy::disallowed_methods)] // one origin for all moments
fn at(milliseconds: u64) -> Instant {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    *ORIGIN + Duration::from_millis(milliseconds)
}

fn election() -> Election {
    Election::new("me".to_owned(), TIMING)
}

fn lease(version: u64, holder: &str, seconds: u64, transitions: i32) -> LeaseView {
    let duration = Some(Duration::from_secs(seconds));
    LeaseView { version: version.to_string(), holder: holder.to_owned(), duration, transitions }
}

fn write(replaces: Option<u64>, holder: &str, seconds: u64, transitions: i32, changes_hands: bool) -> Write {
    let duration = Duration::from_secs(seconds);
    Write {
        replaces: replaces.map(|it| it.to_string()),
        holder: holder.to_owned(),
        duration,
        transitions,
        changes_hands,
    }
}

/// Leads by version 7 of the Lease, written at 0.
fn leader() -> Election {
    let mut election = election();
    election.written(lease(7, "me", 15, 3), at(0));
    election
}

#[test]
fn a_missing_lease_is_created() {
    let mut election = election();
    assert_eq!(election.renewal(), None, "it has to be read first");
    assert_eq!(election.read(None, at(0)), Ok(Some(write(None, "me", 15, 0, true))));
    assert_eq!(election.leads_until(), None, "a write that was not answered makes no leader");
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let taken = election().read(Some(lease(4, "", 1, 2)), at(0));
    assert_eq!(taken, Ok(Some(write(Some(4), "me", 15, 3, true))));
}

#[test]
fn foreign_lease_is_kept_until_unchanged_for_its_duration() {
    let mut election = election();
    // Longer than this process's own: its holder counts on it.
    let theirs = lease(4, "other", 40, 2);
    for now in [0, 15_000, 39_999] {
        assert_eq!(election.read(Some(theirs.clone()), at(now)), Ok(None), "at {now} ms");
    }
    assert_eq!(election.read(Some(theirs), at(40_000)), Ok(Some(write(Some(4), "me", 15, 3, true))));
}

#[test]
fn renewal_by_another_begins_the_wait_again() {
    let mut election = election();
    assert_eq!(election.read(Some(lease(4, "other", 15, 2)), at(0)), Ok(None));
    assert_eq!(election.read(Some(lease(5, "other", 15, 2)), at(14_000)), Ok(None));
    assert_eq!(election.read(Some(lease(5, "other", 15, 2)), at(28_000)), Ok(None));
    assert!(election.read(Some(lease(5, "other", 15, 2)), at(29_000)).unwrap().is_some());
}

#[test]
fn lease_deleted_in_between_is_not_waited_for_any_more() {
    let mut election = election();
    assert_eq!(election.read(Some(lease(4, "other", 15, 2)), at(0)), Ok(None));
    assert!(election.read(None, at(1_000)).unwrap().is_some());
    // Another process was quicker.
    election.not_written();
    assert_eq!(election.read(Some(lease(1, "third", 15, 0)), at(15_000)), Ok(None));
}

#[test]
fn a_lease_without_a_duration_is_given_that_of_this_process() {
    let mut election = election();
    let theirs = LeaseView { duration: None, ..lease(4, "other", 0, 2) };
    for (now, free) in [(0, false), (14_999, false), (15_000, true)] {
        assert_eq!(election.read(Some(theirs.clone()), at(now)).unwrap().is_some(), free, "at {now} ms");
    }
}

#[test]
fn leadership_counts_from_the_sending_of_the_write() {
    let mut election = election();
    election.written(lease(5, "me", 15, 3), at(2_000));
    assert_eq!(election.leads_until(), Some(at(17_000)));
    assert_eq!(election.renew_by(at(2_000)), Ok(at(12_000)));
}

#[test]
fn a_leader_renews_what_it_wrote_last_without_reading() {
    let mut election = leader();
    assert_eq!(election.renewal(), Some(write(Some(7), "me", 15, 3, false)));
    election.written(lease(8, "me", 15, 3), at(2_000));
    assert_eq!(election.renewal(), Some(write(Some(8), "me", 15, 3, false)));
    assert_eq!(election.leads_until(), Some(at(17_000)));
}

#[test]
fn renewal_after_a_foreign_write_reads_and_renews() {
    let mut election = leader();
    election.not_written();
    assert_eq!(election.renewal(), None);
    assert_eq!(election.leads_until(), Some(at(15_000)), "what was won earlier stays won");
    // Another client has put a label on it.
    let renewed = election.read(Some(lease(9, "me", 15, 3)), at(2_000));
    assert_eq!(renewed, Ok(Some(write(Some(9), "me", 15, 3, false))));
}

#[test]
fn lost_answer_to_a_claim_does_not_change_the_leader() {
    let mut election = election();
    assert!(election.read(None, at(0)).unwrap().is_some());
    election.not_written();
    let again = election.read(Some(lease(1, "me", 15, 0)), at(2_000));
    assert_eq!(again, Ok(Some(write(Some(1), "me", 15, 0, false))));
    assert_eq!(election.leads_until(), None);
}

#[test]
fn a_leader_that_has_not_renewed_by_the_deadline_has_lost() {
    let mut election = leader();
    assert_eq!(election.renew_by(at(9_999)), Ok(at(10_000)));
    assert_eq!(election.renew_by(at(10_000)), Err(LeadershipLoss::NotRenewed(TIMING.renew_deadline)));
    election.written(lease(8, "me", 15, 3), at(8_000));
    assert_eq!(election.renew_by(at(10_000)), Ok(at(18_000)));
}

#[test]
fn a_leader_whose_lease_is_anothers_has_lost() {
    assert_eq!(
        leader().read(Some(lease(9, "other", 15, 4)), at(2_000)),
        Err(LeadershipLoss::Taken("other".to_owned()))
    );
}

#[test]
fn a_leader_whose_lease_was_deleted_or_emptied_has_lost() {
    assert_eq!(leader().read(None, at(2_000)), Err(LeadershipLoss::Gone));
    assert_eq!(leader().read(Some(lease(9, "", 15, 3)), at(2_000)), Err(LeadershipLoss::Gone));
}

#[test]
fn a_leader_releases_its_lease_for_the_next_to_take_at_once() {
    assert_eq!(leader().release(Some(lease(7, "me", 15, 3))), Some(write(Some(7), "", 1, 3, true)));
    for others in [None, Some(lease(9, "other", 15, 4)), Some(lease(9, "", 1, 3))] {
        assert_eq!(leader().release(others), None);
    }
}

#[test]
fn a_standby_looks_more_often_than_a_leader_renews() {
    assert_eq!((election().pause(), leader().pause()), (Duration::from_secs(1), Duration::from_secs(2)));
}

// === All of it at once ===

/// What happens next, and to which process.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Time passes.
    Pass(u64),
    /// A process sends, is heard and is answered.
    Ask(usize),
    /// A process sends what it has to send, if it waits for no answer.
    Send(usize),
    /// The API server handles what was sent; before or after the sender has given up on it.
    Handle(usize),
    /// The process gets the answer.
    Answer(usize),
    /// The process hears nothing and gives up waiting.
    GiveUp(usize),
    /// The process is asked to stop: its successor in the same place has an identity of its own.
    Restart(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let who = 0..3_usize;
    let next = prop_oneof![
        4 => (1..9_000_u64).prop_map(Move::Pass),
        4 => who.clone().prop_map(Move::Ask),
        4 => who.clone().prop_map(Move::Send),
        4 => who.clone().prop_map(Move::Handle),
        4 => who.clone().prop_map(Move::Answer),
        1 => who.clone().prop_map(Move::GiveUp),
        1 => who.prop_map(Move::Restart),
    ];
    proptest::collection::vec(next, 200..400)
}

/// A process, what it has sent last and when, and the answer that is under way to it.
struct Process {
    election: Election,
    claim: Option<Write>,
    sent: Option<(Option<Write>, Instant)>,
    answer: Option<Result<Option<LeaseView>, ()>>,
}

/// Three processes, and what the API server has stored.
struct World {
    now: u64,
    stored: Option<LeaseView>,
    versions: u64,
    identities: usize,
    processes: Vec<Process>,
    /// Requests whose senders have given up, and which arrive all the same.
    strays: Vec<Write>,
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { now: 0, stored: None, versions: 0, identities: 0, processes: Vec::new(), strays: Vec::new() };
        world.processes = (0..3).map(|_| world.process()).collect();
        world
    }

    fn process(&mut self) -> Process {
        self.identities += 1;
        let election = Election::new(format!("process {}", self.identities), TIMING);
        Process { election, claim: None, sent: None, answer: None }
    }

    /// The API server's compare-and-swap.
    fn store(&mut self, write: &Write) -> Result<Option<LeaseView>, ()> {
        if self.stored.as_ref().map(|lease| &lease.version) != write.replaces.as_ref() {
            return Err(());
        }
        self.versions += 1;
        let stored = lease(self.versions, &write.holder, write.duration.as_secs(), write.transitions);
        self.stored = Some(stored.clone());
        Ok(Some(stored))
    }

    fn take(&mut self, next: Move) {
        match next {
            Move::Pass(milliseconds) => self.now += milliseconds,
            Move::Ask(who) => {
                for next in [Move::Send(who), Move::Handle(who), Move::Answer(who)] {
                    self.take(next);
                }
            }
            Move::Send(who) => {
                let process = &mut self.processes[who];
                if process.sent.is_none() {
                    let claim = process.claim.take().or_else(|| process.election.renewal());
                    process.sent = Some((claim, at(self.now)));
                }
            }
            Move::Handle(who) => {
                if let Some(stray) = self.strays.pop() {
                    let _ = self.store(&stray);
                }
                let Process { sent, answer: None, .. } = &self.processes[who] else { return };
                self.processes[who].answer = match sent.clone() {
                    None => None,
                    Some((None, _)) => Some(Ok(self.stored.clone())),
                    Some((Some(claim), _)) => Some(self.store(&claim)),
                };
            }
            Move::Answer(who) => {
                let process = &mut self.processes[who];
                let (Some(answer), Some((claim, sent))) = (process.answer.take(), process.sent.clone()) else { return };
                process.sent = None;
                match (claim, answer) {
                    (Some(_), Ok(stored)) => process.election.written(stored.unwrap(), sent),
                    (Some(_), Err(())) => process.election.not_written(),
                    (None, lease) => match process.election.read(lease.unwrap(), at(self.now)) {
                        Ok(claim) => process.claim = claim,
                        Err(_) => self.take(Move::Restart(who)),
                    },
                }
            }
            Move::GiveUp(who) => {
                let process = &mut self.processes[who];
                process.election.not_written();
                if let (Some((Some(claim), _)), None) = (process.sent.take(), process.answer.take()) {
                    self.strays.push(claim);
                }
            }
            Move::Restart(who) => {
                self.take(Move::GiveUp(who));
                self.processes[who] = self.process();
            }
        }
    }

    fn leaders(&self) -> usize {
        let leads = |process: &&Process| process.election.leads_until().is_some_and(|until| until > at(self.now));
        self.processes.iter().filter(leads).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_never_lead_at_once_whatever_is_late_or_lost(moves in moves()) {
        let mut world = World::new();
        for next in moves {
            world.take(next);
            prop_assert!(world.leaders() <= 1, "{next:?}");
        }
    }
}

#[test]
fn the_random_histories_do_change_leaders() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut changes = 0;
    for _ in 0..50 {
        let moves = moves().new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        for next in moves {
            world.take(next);
        }
        changes += world.stored.map_or(0, |lease| lease.transitions);
    }
    assert!(changes > 50, "only {changes} changes of leader in 50 histories: they prove little");
}
