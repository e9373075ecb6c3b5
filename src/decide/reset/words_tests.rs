//! What a `PasswordReset` says: its rows before a claim, its conditions, its events, and what is wrong with a password.

use std::slice;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::eligibility::is_unread;
use super::facts::{BadRecord, ReadHold, ResetFacts, Target};
use super::password_rules::{self, Broken, Kind, LineBreak, Place};
use super::plan::{Plan, plan};
use super::runs::RunPassword;
use super::status::status;
use super::{events, rows};
use crate::api::Reason;
use crate::api::conditions::{self, find};
use crate::api::password_reset::{InstanceRow, PasswordResetSpec, PasswordResetStatus, Requested, Run, State, Trigger};
use crate::api::reset_record::{OwnerHistory, Phase, ResetRecord};
use crate::decide::budget::{Holder, Outlook};
use crate::decide::fixtures::{
    at, claimed, fingerprint, holder, of_another, owner, reading, request, reset_facts, reset_spec, row, run, target,
};
use crate::decide::history::{self, Request};
use crate::decide::resolution::Resolution;
use crate::decide::words_tests::Words;
use crate::decide::{Hold, Power, Reading};

fn running() -> Reading {
    reading(0, -600, Power::Running, -600)
}

fn read_hold(reason: Reason, message: &str) -> ReadHold {
    ReadHold { hold: Hold::new(reason, message), is_for_a_person: true }
}

#[test]
fn words_of_rows_before_a_claim() {
    let mut words = Words::of("rows");
    let (spec, request, running) = (reset_spec(1), request(), running());
    let of = |facts: &ResetFacts, target: Target| plan(facts, &[target], at(0)).rows.remove(0);
    let facts = || reset_facts(&spec, &request);
    let id = spec.instance_ids.as_ref().unwrap()[0].as_str();
    let seen = || target(id, Some(&running));
    words.row("nothing in the way", &of(&facts(), seen()));

    // The gates, in their order.
    for bad in [BadRecord::Unreadable, BadRecord::OfAnotherInstance] {
        words.row(&format!("record {bad:?}"), &of(&facts(), Target { bad_record: Some(bad), ..seen() }));
    }
    let early = Request { resolution: Resolution::parse(&format!("{id}/1=Happened")), ..request.clone() };
    words.row("decided beforehand", &of(&reset_facts(&spec, &early), seen()));
    let with_record = |record: &ResetRecord| of(&facts(), Target { record: Some(record), ..seen() });
    let mut record = of_another();
    record.status.as_mut().unwrap().phase = Phase::Unrecognized;
    words.row("record in an unknown phase", &with_record(&record));
    let mut record = claimed();
    record.spec.owner = owner("other");
    record.status.as_mut().unwrap().row.as_mut().unwrap().message = "<the message of its row>".to_owned();
    words.row("another object at work", &with_record(&record));
    let mut restarting = record.clone();
    let status = restarting.status.as_mut().unwrap();
    (status.phase, status.accepted_at) = (Phase::Restarting, Some(Time(at(-60))));
    (status.password_acknowledged_at, status.start_time_before) = (Some(Time(at(-90))), Some(Time(at(-600))));
    words.row("another object restarts it", &with_record(&restarting));
    record.spec.owner.namespace = "dev".to_owned();
    words.row("an object of another namespace at work", &with_record(&record));
    let mut record = of_another();
    record.status.as_mut().unwrap().unanswered_until = Some(Time(at(900)));
    words.row("an answer is outstanding", &with_record(&record));
    let mut record = of_another();
    record.status.as_mut().unwrap().last_restart_time = Some(Time(at(-60)));
    words.row("restarted recently", &with_record(&record));
    let hold = Hold::new(Reason::SecretNotFound, "<the message of the object's hold>");
    words.row("object held", &of(&ResetFacts { secret_hold: Some(&hold), ..facts() }, seen()));
    let suspended = PasswordResetSpec { suspend: Some(true), ..spec.clone() };
    words.row("suspended", &of(&reset_facts(&suspended, &request), seen()));

    // The password.
    let broken = Some(Broken::Length);
    words.row("password unfit", &of(&ResetFacts { broken, ..facts() }, seen()));

    // The instance itself.
    let shown = |reading: &Reading| of(&facts(), target(id, Some(reading)));
    let starting = Reading { since: at(0), ..reading(0, 0, Power::Transitional("Starting".to_owned()), -600) };
    words.row("in transition", &shown(&starting));
    let mut locked = running.clone();
    locked.seen.as_mut().unwrap().locks = vec!["security".to_owned(), "financial".to_owned()];
    words.row("locked", &shown(&locked));
    let mut expired = running.clone();
    expired.seen.as_mut().unwrap().expires = Some(at(-3_600));
    words.row("expired", &shown(&expired));
    let absent = Reading { seen: None, ..running.clone() };
    for may_describe in [None, Some(true), Some(false)] {
        let facts = ResetFacts { may_describe, ..facts() };
        words.row(&format!("not shown, may_describe {may_describe:?}"), &of(&facts, target(id, Some(&absent))));
    }
    let hides = || ResetFacts { hides_unpermitted: true, ..facts() };
    words.row("not shown or not permitted, account with rules", &of(&hides(), target(id, Some(&absent))));
    let requested = Requested { tokens: request.tokens.clone(), retry: None, fingerprint: None };
    let before = |reason: Reason| InstanceRow {
        reason: reason.to_string(),
        state_time: Some(Time(at(-60))),
        attempts: 0,
        claim: None,
        ..row(State::WaitingForStableState)
    };
    let waited = before(Reason::WaitingForStableState);
    let again = || ResetFacts { requested: Some(&requested), ..facts() };
    let at_deadline = |reading| of(&again(), Target { before: Some(&waited), ..target(id, Some(reading)) });
    words.row("in transition, at the deadline", &at_deadline(&starting));
    words.row("locked, at the deadline", &at_deadline(&locked));
    words.row("not shown, at the deadline", &at_deadline(&absent));
    words.row("not read yet", &of(&facts(), target(id, None)));
    let read_hold = read_hold(Reason::ReadRefused, "<the message of the hold>");
    let unread = of(&ResetFacts { read_hold: Some(&read_hold), ..facts() }, target(id, None));
    assert!(is_unread(&unread));
    words.row("cannot be read", &unread);

    // The memory.
    let mut record = of_another();
    let own = InstanceRow { password_set_time: Some(Time(at(-600))), ..row(State::InEffect) };
    let entry = OwnerHistory { owner: owner("web"), row: own, ..record.status.as_ref().unwrap().completed[0].clone() };
    record.status.as_mut().unwrap().completed.insert(0, entry);
    words.row("superseded", &with_record(&record));
    record.spec.owner.namespace = "dev".to_owned();
    record.status.as_mut().unwrap().completed[1].owner.namespace = "dev".to_owned();
    words.row("superseded by an object of another namespace", &with_record(&record));

    // The claim itself.
    let claim = plan(&facts(), &[seen()], at(0)).claims.remove(0);
    words.row("claimed", &rows::initial_row(&claim, 1, at(0)));
    words.assert();
}

#[test]
fn words_of_rows_that_wait_for_others() {
    let mut words = Words::of("waits");
    let (spec, request, running) = (reset_spec(6), request(), running());
    let targets = || spec.instance_ids.iter().flatten().map(|id| target(id, Some(&running))).collect::<Vec<_>>();
    let facts = || reset_facts(&spec, &request);
    words.row("for a slot, two holders", &plan(&facts(), &targets(), at(0)).rows[5]);
    let four: Vec<Holder> = ["a", "b", "c", "d"].map(|id| holder(&format!("i-bp1b{id}"), Outlook::Frees)).into();
    let many = ResetFacts { slot_holders: &four, ..facts() };
    words.row("for a slot, four holders", &plan(&many, &targets(), at(0)).rows[0]);
    let late = [holder("i-bp1ba", Outlook::FreesUntil(at(120))), holder("i-bp1bb", Outlook::Stays("<why>".to_owned()))];
    let stuck = ResetFacts { slot_holders: &late, ..facts() };
    words.row("for a slot, its holders are late", &plan(&stuck, &targets(), at(0)).rows[0]);
    let failed = InstanceRow { reason: Reason::InstanceNotFound.to_string(), attempts: 0, ..row(State::Failed) };
    let requested = Requested { tokens: request.tokens.clone(), retry: None, fingerprint: None };
    let mut all = targets();
    all[0].before = Some(&failed);
    let paused = plan(&ResetFacts { requested: Some(&requested), ..facts() }, &all, at(0));
    assert!(paused.paused);
    words.row("after a failure", &paused.rows[1]);

    let mut restarting = claimed();
    let status = restarting.status.as_mut().unwrap();
    status.phase = Phase::Restarting;
    status.password_acknowledged_at = Some(Time(at(-230)));
    status.start_time_before = Some(Time(at(-600)));
    status.accepted_at = Some(Time(at(-200)));
    status.row = Some(with(State::Restarting, Reason::Restarting));
    let shown = |reading: &Reading| {
        let target = Target { record: Some(&restarting), ..target("i-bp1a0000", Some(reading)) };
        plan(&facts(), &[target], at(0)).rows.remove(0)
    };
    let stopped = reading(-2, -30, Power::Stopped, -600);
    words.row("for its return", &shown(&reading(-2, -30, Power::Transitional("Starting".to_owned()), -600)));
    words.row("for its return, Stopped", &shown(&stopped));
    words.row("for its return, not shown", &shown(&Reading { seen: None, ..stopped.clone() }));
    words.row(
        "for its return, read long ago",
        &shown(&Reading { seen: None, ..reading(-100, -100, Power::Stopped, -600) }),
    );

    let mut record = claimed();
    record.spec.fingerprint = fingerprint("earlier");
    let mut all = targets();
    all[0].record = Some(&record);
    words.row("for the earlier password", &plan(&facts(), &all, at(0)).rows[1]);
    let run = Run { fingerprint: Some(fingerprint("earlier")), start_time: Time(at(-60)), ..run() };
    let set = InstanceRow { password_set_time: Some(Time(at(-30))), ..row(State::InEffect) };
    record.status.as_mut().unwrap().phase = Phase::InEffect;
    record.status.as_mut().unwrap().unanswered_until = None;
    record.status.as_mut().unwrap().row = Some(set.clone());
    record.status.as_mut().unwrap().completed = history::complete(&[], &record.spec, set);
    let mut all = targets();
    all[0].record = Some(&record);
    words.row("Secret changed", &plan(&ResetFacts { run: Some(&run), ..facts() }, &all, at(0)).rows[1]);
    words.assert();
}

fn status_spec() -> PasswordResetSpec {
    PasswordResetSpec { stable_state_timeout_seconds: None, ..reset_spec(1) }
}

/// A row whose message is of another snapshot.
fn with(state: State, reason: Reason) -> InstanceRow {
    InstanceRow { reason: reason.to_string(), message: "<the row's message>".to_owned(), ..row(state) }
}

fn shown(facts: &ResetFacts, plan: &Plan, kind: &str) -> String {
    let conditions = status(facts, plan, at(0)).conditions;
    let condition = find(&conditions, kind).unwrap();
    format!("{kind}={}, {}: {}", condition.status, condition.reason, condition.message)
}

#[test]
fn words_of_ready() {
    let mut words = Words::of("ready");
    let (one, request) = (status_spec(), request());
    let suspended: &PasswordResetSpec = Box::leak(Box::new(PasswordResetSpec { suspend: Some(true), ..one.clone() }));
    let mut say = |situation: &str, plan: &Plan, change: &dyn Fn(&mut ResetFacts)| {
        let mut facts = reset_facts(&one, &request);
        change(&mut facts);
        words.say(situation, shown(&facts, plan, conditions::READY));
    };
    let as_it_is = |_: &mut ResetFacts| {};
    let rows = |rows: &[InstanceRow]| Plan { rows: rows.to_vec(), ..Plan::default() };
    let (pending, done) = (with(State::Pending, Reason::Pending), row(State::InEffect));
    let failed = with(State::Failed, Reason::InstanceNotFound);
    let unknown = with(State::Unknown, Reason::RestartOutcomeUnknown);

    let password = RunPassword { is_mixed: true, instances: 1, ..RunPassword::default() };
    let mixed = Plan { password, ..rows(&[done.clone(), done.clone()]) };
    say("ended, two passwords", &mixed, &as_it_is);
    let all_done = [done.clone(), row(State::EffectiveAtNextStart), row(State::Superseded)];
    say("ended, done", &rows(&all_done), &as_it_is);
    say("ended, one failed", &rows(&[done.clone(), failed.clone()]), &as_it_is);
    say("ended, four failed", &rows(&[failed.clone(), failed.clone(), failed.clone(), failed.clone()]), &as_it_is);
    say("ended, one Unknown", &rows(&[done.clone(), unknown.clone()]), &as_it_is);
    let asks = |facts: &mut ResetFacts| facts.asks_to_resolve = true;
    say("ended, the annotation has another form", &rows(slice::from_ref(&unknown)), &asks);
    let resolving = Request { resolution: Resolution::parse("i-bp1a0000/9=Happened"), ..request.clone() };
    let decided = |facts: &mut ResetFacts| {
        facts.asks_to_resolve = true;
        facts.request = Box::leak(Box::new(resolving.clone()));
    };
    say("ended, the annotation does not count", &rows(slice::from_ref(&unknown)), &decided);
    let not_yet = Plan { decision_counts_at: Some(at(2_040)), ..rows(slice::from_ref(&unknown)) };
    say("ended, the annotation does not count yet", &not_yet, &decided);
    let misdirected = Some("names claim 9 of i-bp1a0000; this object's last claim on it is 1".to_owned());
    let of_another_claim = Plan { misdirected, ..rows(slice::from_ref(&unknown)) };
    say("ended, the annotation names another claim", &of_another_claim, &decided);

    say("another password", &rows(&[with(State::Pending, Reason::SecretChangedDuringRun)]), &as_it_is);
    let paused = |all: &[InstanceRow]| Plan { paused: true, ..rows(all) };
    say("paused on a failure", &paused(&[failed.clone(), pending.clone(), pending.clone()]), &as_it_is);
    let stopped = with(State::EffectiveAtNextStart, Reason::StoppedAfterRestart);
    say("paused on one found Stopped", &paused(&[stopped, pending.clone()]), &as_it_is);
    say("suspended", &rows(&[done.clone(), pending.clone()]), &|facts| facts.spec = suspended);
    say("records unusable", &rows(&[with(State::Pending, Reason::RecordUnusable)]), &as_it_is);
    say("held by a row", &rows(&[with(State::WaitingForStableState, Reason::Throttled)]), &as_it_is);
    let unread = rows(&[with(State::WaitingForStableState, Reason::ReadRefused)]);
    say("held for long", &Plan { unread_for_too_long: true, ..unread }, &as_it_is);
    let not_allowed: &Hold = Box::leak(Box::new(Hold::new(Reason::RegionNotAllowed, "<the message of the hold>")));
    say("held by the account", &rows(slice::from_ref(&pending)), &|facts| facts.account_hold = Some(not_allowed));
    let held_up = Some(Hold::new(Reason::SlotHeld, "<the message of the hold>"));
    say("no slot becomes free", &Plan { held_up, ..rows(slice::from_ref(&pending)) }, &as_it_is);
    say("at work", &rows(&[done, with(State::Restarting, Reason::Restarting)]), &as_it_is);

    let (spec, running) = (reset_spec(3), running());
    let targets: Vec<Target> = spec.instance_ids.iter().flatten().map(|id| target(id, Some(&running))).collect();
    let stays = |id| holder(&format!("i-bp1b{id}"), Outlook::Stays("<why>".to_owned()));
    let holders = ["a", "b", "c", "d"].map(stays);
    let full = plan(&ResetFacts { slot_holders: &holders, ..reset_facts(&spec, &request) }, &targets, at(0));
    words.hold("no slot becomes free, its hold", &full.held_up.unwrap());
    words.assert();
}

#[test]
fn words_of_the_other_conditions() {
    let mut words = Words::of("conditions");
    let (spec, request) = (status_spec(), request());
    let mut say = |situation: &str, kind: &str, rows: Vec<InstanceRow>, change: &dyn Fn(&mut ResetFacts, &mut Plan)| {
        let mut plan = Plan { rows, ..Plan::default() };
        let mut facts = reset_facts(&spec, &request);
        change(&mut facts, &mut plan);
        words.say(situation, shown(&facts, &plan, kind));
    };
    let as_it_is = |_: &mut ResetFacts, _: &mut Plan| {};
    let named = |state| InstanceRow { name: Some("web-1".to_owned()), ..row(state) };
    let set = |state| InstanceRow { password_set_time: Some(Time(at(-60))), ..named(state) };

    say("account usable", conditions::ACCOUNT_READY, vec![named(State::Pending)], &as_it_is);
    say("password fits", conditions::PASSWORD_READY, vec![named(State::Pending)], &as_it_is);
    say("password unfit", conditions::PASSWORD_READY, vec![named(State::Pending)], &|facts, _| {
        facts.broken = Some(Broken::Length);
    });
    let missing = with(State::Failed, Reason::InstanceNotFound);
    say("instances missing", conditions::TARGETS_RESOLVED, vec![missing.clone(), missing], &as_it_is);
    let mut refused = with(State::Failed, Reason::NotPermitted);
    say("a claim refused by RAM", conditions::TARGETS_RESOLVED, vec![refused.clone()], &as_it_is);
    refused.attempts = 0;
    say("an instance hidden by RAM", conditions::TARGETS_RESOLVED, vec![refused], &as_it_is);
    say("instances not read yet", conditions::TARGETS_RESOLVED, vec![row(State::Pending)], &as_it_is);
    say("instances found", conditions::TARGETS_RESOLVED, vec![named(State::Pending)], &as_it_is);
    let changed = |_: &mut ResetFacts, plan: &mut Plan| plan.out_of_sync = vec!["i-bp1a0000".to_owned()];
    say("Secret changed, run goes on", conditions::SECRET_IN_SYNC, vec![set(State::Restarting)], &changed);
    say("Secret changed, run ended", conditions::SECRET_IN_SYNC, vec![set(State::InEffect)], &changed);
    say("nothing set", conditions::SECRET_IN_SYNC, vec![named(State::Pending)], &as_it_is);
    let uncompared = |_: &mut ResetFacts, plan: &mut Plan| plan.uncompared = true;
    say("not comparable", conditions::SECRET_IN_SYNC, vec![set(State::InEffect)], &uncompared);
    say("in sync", conditions::SECRET_IN_SYNC, vec![set(State::InEffect)], &as_it_is);
    words.assert();
}

#[test]
fn words_of_events() {
    let mut words = Words::of("events");
    let before = PasswordResetStatus::default();
    let mut with_short_window = reset_spec(1);
    with_short_window.restart.as_mut().unwrap().timeout_seconds = Some(1_800);
    let window = serde_json::json!({"schedule": "0 2 * * 6", "duration": "15m", "timeZone": "UTC"});
    with_short_window.windows = Some(vec![serde_json::from_value(window).unwrap()]);
    let mut say = |situation: &str, before: &PasswordResetStatus, after: &PasswordResetStatus| {
        for event in events::between(&with_short_window, before, after) {
            words.say(situation, format!("{}, {}: {}", event.kind, event.reason, event.note));
        }
    };
    let applied = PasswordResetStatus { observed_generation: Some(1), ..before.clone() };
    say("a short window", &before, &applied);
    let triggers = [
        Trigger::Created,
        Trigger::RunID,
        Trigger::RerunRequested,
        Trigger::Retry,
        Trigger::InstanceAdded,
        Trigger::SecretChanged,
    ];
    for trigger in triggers {
        let run = Run { number: 2, trigger, ..run() };
        let instances = vec![row(State::SettingPassword), row(State::Pending)];
        say("a run begins", &before, &PasswordResetStatus { run: Some(run), instances, ..before.clone() });
    }
    let (request, plan) = (request(), Plan { rows: vec![row(State::InEffect)], ..Plan::default() });
    let done = PasswordResetStatus { run: None, ..status(&reset_facts(&status_spec(), &request), &plan, at(0)) };
    say("it has ended", &before, &done);
    let keyed = InstanceRow {
        key_pair_name: Some("ops".to_owned()),
        password_set_time: Some(Time(at(0))),
        ..row(State::PasswordSet)
    };
    let keyed = PasswordResetStatus { instances: vec![keyed], ..before.clone() };
    say("a password beside a key pair", &before, &keyed);
    words.assert();
}

#[test]
fn words_of_unfit_passwords() {
    let mut words = Words::of("password");
    words.say("empty", Broken::Empty);
    for line_break in [LineBreak::Lf, LineBreak::CrLf, LineBreak::Cr] {
        words.say("ends with a line break", Broken::TrailingNewline(line_break));
    }
    words.say("length", Broken::Length);
    for place in [Place::Start, Place::Position(3), Place::End] {
        words.say("character", Broken::Character { kind: Kind::Space, place });
    }
    for character in "\u{FEFF} \u{A0}\u{3000}\t\n\r\0\u{1B}\u{200B}\u{2019}\u{2013}\"é\u{1F511}".chars() {
        let Err(Broken::Character { kind, .. }) = password_rules::check(&format!("Abcdefg{character}1")) else {
            panic!("{character:?} is allowed");
        };
        words.say("kind", kind);
    }
    words.say("classes", Broken::Classes);
    words.say("Windows", Broken::LeadingSlash);
    words.assert();
}
