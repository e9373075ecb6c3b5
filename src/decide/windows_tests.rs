//! When windows open and close, the days on which the clocks change included.

use super::*;

fn window(schedule: &str, duration: &str, time_zone: &str) -> MaintenanceWindow {
    MaintenanceWindow { schedule: schedule.to_owned(), duration: duration.to_owned(), time_zone: time_zone.to_owned() }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Whether a window is open, with its opening or the next one.
fn seen(windows: &[MaintenanceWindow], now: &str) -> (bool, String, String) {
    match at(Some(windows), time(now)) {
        WindowState::Open(opening) => (true, opening.start.to_string(), opening.end.to_string()),
        WindowState::Closed(opening) => (false, opening.start.to_string(), opening.end.to_string()),
        other => panic!("{other:?}"),
    }
}

fn expect(is_open: bool, start: &str, end: &str) -> (bool, String, String) {
    (is_open, start.to_owned(), end.to_owned())
}

#[test]
fn object_without_windows_may_begin_at_any_time() {
    assert_eq!(at(None, time("2026-11-29T00:00:00Z")), WindowState::AnyTime);
}

#[test]
fn window_is_open_from_its_start_until_just_before_its_end() {
    // Saturday 02:00 in Shanghai is Friday 18:00 UTC.
    let saturday = [window("0 2 * * 6", "3h", "Asia/Shanghai")];
    let next = |is_open| expect(is_open, "2026-12-04T18:00:00Z", "2026-12-04T21:00:00Z");
    assert_eq!(seen(&saturday, "2026-12-04T17:59:59Z"), next(false));
    assert_eq!(seen(&saturday, "2026-12-04T18:00:00Z"), next(true));
    assert_eq!(seen(&saturday, "2026-12-04T20:59:59Z"), next(true));
    let later = expect(false, "2026-12-11T18:00:00Z", "2026-12-11T21:00:00Z");
    assert_eq!(seen(&saturday, "2026-12-04T21:00:00Z"), later);
}

#[test]
fn the_one_that_closes_last_counts_of_two_that_are_open() {
    let two = [window("0 2 * * *", "1h", "UTC"), window("30 2 * * *", "2h", "UTC")];
    let open = expect(true, "2026-11-29T02:30:00Z", "2026-11-29T04:30:00Z");
    assert_eq!(seen(&two, "2026-11-29T02:45:00Z"), open);
    assert_eq!(seen(&two, "2026-11-29T05:00:00Z"), expect(false, "2026-11-30T02:00:00Z", "2026-11-30T03:00:00Z"));
}

#[test]
fn skipped_local_time_opens_when_the_clocks_have_changed() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC.
    let berlin = [window("30 2 * * *", "15m", "Europe/Berlin")];
    let changed = |is_open| expect(is_open, "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z");
    assert_eq!(seen(&berlin, "2026-03-29T00:59:59Z"), changed(false));
    assert_eq!(seen(&berlin, "2026-03-29T01:00:00Z"), changed(true));
    assert_eq!(seen(&berlin, "2026-03-29T01:30:00Z"), expect(false, "2026-03-30T00:30:00Z", "2026-03-30T00:45:00Z"));
}

#[test]
fn local_time_that_comes_twice_opens_once() {
    // Berlin, 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC.
    let berlin = [window("30 2 * * *", "15m", "Europe/Berlin")];
    assert_eq!(seen(&berlin, "2026-10-25T00:30:00Z"), expect(true, "2026-10-25T00:30:00Z", "2026-10-25T00:45:00Z"));
    let next_day = expect(false, "2026-10-26T01:30:00Z", "2026-10-26T01:45:00Z");
    assert_eq!(seen(&berlin, "2026-10-25T01:30:00Z"), next_day);
}

#[test]
fn leap_day_is_found_years_ahead() {
    let leap = [window("0 0 29 2 *", "1h", "UTC")];
    let next = expect(false, "2028-02-29T00:00:00Z", "2028-02-29T01:00:00Z");
    assert_eq!(seen(&leap, "2026-11-29T00:00:00Z"), next);
    let following = expect(false, "2032-02-29T00:00:00Z", "2032-02-29T01:00:00Z");
    assert_eq!(seen(&leap, "2028-02-29T01:00:00Z"), following);
}

#[test]
fn what_cannot_be_read_is_named_and_nothing_begins() {
    for (wrong, named) in [
        (window("0 2 * * 6", "3h", "Asia/Shangai"), "Asia/Shangai"),
        (window("0 2 * *", "3h", "UTC"), "0 2 * *"),
        (window("0 2 31 2 *", "3h", "UTC"), "five years"),
        (window("0 2 * * 6", "3d", "UTC"), "3d"),
    ] {
        let fine = window("0 2 * * *", "24h", "UTC");
        let WindowState::Unusable(hold) = at(Some(&[fine, wrong]), time("2026-11-29T03:00:00Z")) else {
            panic!("{named} is read");
        };
        assert!(hold.message.starts_with("spec.windows[1]: ") && hold.message.contains(named), "{}", hold.message);
    }
}

#[test]
fn durations_are_hours_and_minutes_within_bounds() {
    for (text, minutes) in [("15m", 15), ("1h", 60), ("1h30m", 90), ("24h", 1_440), ("90m", 90)] {
        assert_eq!(duration(text), Some(SignedDuration::from_mins(minutes)), "{text}");
    }
    for text in ["", "h", "m", "14m", "24h1m", "25h", "3", "1d", "-3h", "1.5h", "99999999999999999999h", "30m1h"] {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn a_schedule_of_each_minute_is_always_open() {
    let each = [window("* * * * *", "24h", "America/New_York")];
    assert!(seen(&each, "2026-11-01T06:30:00Z").0);
}

/// `make windows` runs it, on what croniter and Python's zoneinfo say.
#[test]
#[ignore = "needs a file of another implementation: run by `make windows`"]
fn next_opening_is_what_croniter_says() {
    let lines = std::fs::read_to_string(std::env::var("WINDOWS_ORACLE").unwrap()).unwrap();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for line in lines.lines() {
        let [schedule, zone, now, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        asked += 1;
        let now = Timestamp::from_second(now.parse().unwrap()).unwrap();
        let found = Window::read(&window(schedule, "15m", zone)).and_then(|window| window.around(now));
        let opens =
            found.ok().and_then(|found| found.iter().map(|opening| opening.start).filter(|start| *start > now).min());
        let opens = opens.map_or("never".to_owned(), |start| start.as_second().to_string());
        if opens != expected {
            wrong.push(format!("{line}\t{opens}"));
        }
    }
    println!("{asked} schedules");
    assert!(
        asked > 100 && wrong.is_empty(),
        "{} of {asked}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}
