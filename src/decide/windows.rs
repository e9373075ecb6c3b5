//! Maintenance windows: whether one is open at a moment, until when, and when the next one opens. Values only.
//!
//! A schedule is read in local time and each opening is then placed on the zone's clock: a local time that a change of the clocks
//! skips opens when the clocks have changed, and one that comes twice opens the first time only. Time zones are compiled in, since a
//! container has none.

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions, parse_crontab_with};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::{Hold, later};
use crate::api::Reason;
use crate::api::password_reset::MaintenanceWindow;

/// The longest duration of a window.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// A change of a zone's clocks moves them no further.
const CLOCK_CHANGE: SignedDuration = SignedDuration::from_hours(3);
/// Openings that are checked for one moment: a schedule of each minute has as many in the longest window and a change of the clocks.
const OPENINGS_MAX: usize = 2_000;

/// A window that is open, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// When it opens.
    pub start: Timestamp,
    /// When it closes.
    pub end: Timestamp,
}

/// What an object's windows say of a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// The object has none: any time will do.
    AnyTime,
    /// One is open.
    Open(Opening),
    /// None is; the next one.
    Closed(Opening),
    /// They cannot be read: nothing begins.
    Unusable(Hold),
}

impl WindowState {
    /// The window that is open, or the next one.
    pub fn opening(&self) -> Option<Opening> {
        match self {
            Self::Open(opening) | Self::Closed(opening) => Some(*opening),
            Self::AnyTime | Self::Unusable(_) => None,
        }
    }
}

/// What `windows` say of the moment `now`.
pub fn at(windows: Option<&[MaintenanceWindow]>, now: Timestamp) -> WindowState {
    let Some(windows) = windows else { return WindowState::AnyTime };
    let mut openings = Vec::new();
    for (index, window) in windows.iter().enumerate() {
        match Window::read(window).and_then(|window| window.around(now)) {
            Ok(mut found) => openings.append(&mut found),
            Err(why) => {
                return WindowState::Unusable(Hold::new(Reason::InvalidSpec, format!("spec.windows[{index}]: {why}")));
            }
        }
    }
    let open =
        openings.iter().filter(|opening| opening.start <= now && now < opening.end).max_by_key(|opening| opening.end);
    let next = openings.iter().filter(|opening| opening.start > now).min_by_key(|opening| opening.start);
    match (open, next) {
        (Some(open), _) => WindowState::Open(*open),
        (None, Some(next)) => WindowState::Closed(*next),
        (None, None) => {
            WindowState::Unusable(Hold::new(Reason::InvalidSpec, "spec.windows: no window opens within five years"))
        }
    }
}

/// Why a claim or a restart waits, where no window is open.
pub fn hold(state: &WindowState) -> Option<Hold> {
    match state {
        WindowState::AnyTime | WindowState::Open(_) => None,
        WindowState::Closed(next) => {
            let message = format!("waiting for the maintenance window that opens at {}", next.start);
            Some(Hold::new(Reason::WaitingForWindow, message).until(next.start))
        }
        WindowState::Unusable(hold) => Some(hold.clone()),
    }
}

/// The length of `15m`, `3h` or `1h30m`; `None`: it is none, or not from 15 minutes to 24 hours.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let (hours, rest) = text.split_once('h').unwrap_or(("0", text));
    let minutes = if rest.is_empty() { "0" } else { rest.strip_suffix('m')? };
    let minutes = hours.parse::<i64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    let duration = SignedDuration::from_mins(minutes);
    (SignedDuration::from_mins(15)..=LONGEST).contains(&duration).then_some(duration)
}

/// One window, read.
struct Window {
    crontab: Crontab,
    zone: TimeZone,
    duration: SignedDuration,
}

impl Window {
    fn read(window: &MaintenanceWindow) -> Result<Self, String> {
        let MaintenanceWindow { schedule, duration: length, time_zone } = window;
        let zone = TimeZoneDatabase::bundled()
            .get(time_zone)
            .map_err(|_| format!("{time_zone} is not a known time zone; use a name such as Asia/Shanghai"))?;
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = parse_crontab_with(schedule, options)
            .map_err(|_| format!("{schedule:?} is not a schedule of five fields; use one such as \"0 2 * * 6\""))?;
        let duration = duration(length)
            .ok_or_else(|| format!("{length:?} is not a duration from 15m to 24h; use one such as 3h or 1h30m"))?;
        Ok(Self { crontab, zone, duration })
    }

    /// The openings that may be open at `now`, and the next one.
    fn around(&self, now: Timestamp) -> Result<Vec<Opening>, String> {
        let local = self.zone.to_datetime(now);
        let from = as_if_utc(local)?.saturating_sub(self.duration + CLOCK_CHANGE).unwrap_or(Timestamp::MIN);
        let mut openings = Vec::new();
        let mut last = from;
        for _ in 0..OPENINGS_MAX {
            let Some(next) = self.next(last) else { break };
            last = next;
            let start = self.place(Offset::UTC.to_datetime(next))?;
            let opening = Opening { start, end: later(start, self.duration) };
            if opening.end > now {
                openings.push(opening);
            }
            if start > now {
                return Ok(openings);
            }
        }
        if openings.is_empty() { Err("the schedule names no time within five years".to_owned()) } else { Ok(openings) }
    }

    /// The next local time after `last`, both as if the zone were UTC. One search covers four years.
    fn next(&self, last: Timestamp) -> Option<Timestamp> {
        let search = |from: Timestamp| self.crontab.find_next(from).ok().map(|found| found.timestamp());
        let year_later = || last.to_zoned(TimeZone::UTC).checked_add(1.year()).ok().map(|then| then.timestamp());
        search(last).or_else(|| search(year_later()?))
    }

    /// When the local time is there: for the first time, or where it is skipped when the clocks have changed.
    fn place(&self, local: DateTime) -> Result<Timestamp, String> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        let placed = match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => {
                let after = ambiguous.later().map_err(|error| error.to_string())?;
                return Ok(self
                    .zone
                    .preceding(later(after, SignedDuration::from_secs(1)))
                    .next()
                    .map_or(after, |change| change.timestamp()));
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier(),
        };
        placed.map_err(|error| error.to_string())
    }
}

fn as_if_utc(local: DateTime) -> Result<Timestamp, String> {
    Offset::UTC.to_timestamp(local).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
