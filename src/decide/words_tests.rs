//! The messages that users read, one snapshot a kind in `tests/words`: a line for each situation, so that a reviewer reads them all and
//! sees in the diff which one a change touches. This file has the snapshot itself, and the messages of the floor.
//!
//! After a change: `INSTA_UPDATE=always cargo test --lib words`, then read the diff.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::password_reset::{InstanceRow, Requested, State};
use crate::api::reset_record::{Phase, ResetRecord};
use crate::decide::budget::{self, Outlook};
use crate::decide::fixtures::{at, bounds, claimed, owner, reading, row};
use crate::decide::history::Request;
use crate::decide::memory::{self, Loss, OwnMemory};
use crate::decide::{Hold, InstanceView, Power, Reading};

/// The words for each situation.
pub(crate) struct Words {
    kind: &'static str,
    lines: Vec<String>,
}

impl Words {
    pub(crate) fn of(kind: &'static str) -> Self {
        Self { kind, lines: Vec::new() }
    }

    pub(crate) fn say(&mut self, situation: &str, message: impl std::fmt::Display) {
        self.lines.push(format!("{situation}: {message}"));
    }

    pub(crate) fn hold(&mut self, situation: &str, hold: &Hold) {
        self.say(situation, format!("{}: {}", hold.reason, hold.message));
    }

    pub(crate) fn row(&mut self, situation: &str, row: &InstanceRow) {
        self.say(situation, format!("{:?}, {}: {}", row.state, row.reason, row.message));
    }

    /// Compares with the snapshot.
    pub(crate) fn assert(self) {
        let mut settings = insta::Settings::new();
        settings.set_snapshot_path("../../tests/words");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(self.kind, self.lines.join("\n")));
    }
}

#[test]
fn words_of_lost_memory() {
    let mut words = Words::of("memory");
    let (owner, tokens) = (owner("web"), vec!["run:1".to_owned()]);
    let requested = Requested { tokens: tokens.clone(), retry: None, fingerprint: None };
    let before = InstanceRow { claim: Some(3), attempts: 2, ..row(State::Restarting) };
    let own = OwnMemory {
        owner: &owner,
        tokens: &tokens,
        row: Some(&before),
        requested: Some(&requested),
        run: None,
        asks_anew: false,
    };
    for loss in [Loss::Incomplete, Loss::Older, Loss::Missing, Loss::Forgotten] {
        words.row(&format!("{loss:?}"), &memory::row_of(loss, "i-bp1a0000", None, own, at(0)));
    }
    let other = claimed().spec;
    let of_other = OwnMemory { owner: &crate::decide::fixtures::owner("other"), row: None, ..own };
    let row = memory::row_of(Loss::Incomplete, "i-bp1a0000", Some(&other), of_other, at(0));
    words.row("Incomplete, of another object's claim", &row);
    words.assert();
}

#[test]
fn words_of_slots_that_stay_held() {
    let mut words = Words::of("slots");
    let request = Request {
        owner: owner("web"),
        tokens: vec!["run:1".to_owned()],
        retry: None,
        fingerprint: None,
        resets_on_change: false,
        resolution: None,
    };
    let ended = |phase: Phase| {
        let mut record = claimed();
        let status = record.status.as_mut().unwrap();
        status.phase = phase;
        status.unanswered_until = None;
        status.start_time_before = Some(Time(at(-600)));
        record
    };
    let mut stays = |situation: &str, record: ResetRecord, reading: Reading| {
        let holders = budget::holders(&[record], &request.owner, |_| Some(reading.clone()), bounds(), at(1_000));
        let [budget::Holder { outlook: Outlook::Stays(why), .. }] = holders.as_slice() else {
            panic!("{situation}: {holders:?}");
        };
        words.say(situation, why);
    };
    let shown = |power| reading(900, 100, power, -600);
    let starting = || Power::Transitional("Starting".to_owned());
    stays("Failed, Stopped", ended(Phase::Failed), shown(Power::Stopped));
    stays("Failed, in transition", ended(Phase::Failed), shown(starting()));
    stays("Failed, not shown", ended(Phase::Failed), Reading { seen: None, ..shown(Power::Stopped) });
    let forbidden = shown(Power::Stopped).seen.map(|seen| InstanceView { permitted: false, ..seen });
    stays("Failed, not permitted", ended(Phase::Failed), Reading { seen: forbidden, ..shown(Power::Stopped) });
    stays("Unknown, Stopped", ended(Phase::Unknown), shown(Power::Stopped));
    stays("Unknown, in transition", ended(Phase::Unknown), shown(starting()));
    stays("Unknown, not shown", ended(Phase::Unknown), Reading { seen: None, ..shown(Power::Stopped) });
    stays("a phase of another version", ended(Phase::Unrecognized), shown(Power::Running));
    words.assert();
}
