//! What happened in a run, in words, for the one run that a person wants to read.

use std::fmt::Write as _;

use crate::plan::Ms;

/// The lines of a story, or nothing: most runs are never read.
pub struct Story(Option<Vec<(Ms, String)>>);

impl Story {
    /// No story is written.
    pub fn untold() -> Self {
        Self(None)
    }

    /// Every line is kept.
    pub fn told() -> Self {
        Self(Some(Vec::new()))
    }

    /// Adds a line, if anybody is to read it.
    pub fn note(&mut self, at: Ms, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.push((at, line()));
        }
    }

    /// Whether lines are kept.
    pub fn is_told(&self) -> bool {
        self.0.is_some()
    }

    /// All of it, in the order of time.
    pub fn text(&self) -> String {
        let mut lines: Vec<_> = self.0.iter().flatten().collect();
        lines.sort_by_key(|(at, _)| *at);
        let mut text = String::new();
        for (at, line) in lines {
            let _ = writeln!(text, "{:>6}.{:03} s  {line}", at / 1000, at % 1000);
        }
        text
    }
}
