//! What a scenario measured, as a table for people and as JSON. It judges nothing: `baseline.rs` compares.

use std::path::PathBuf;

use serde_json::{Value, json};

/// How far a figure can be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number of requests or bytes: nearly the same on every machine.
    Count,
    /// Two measurements of the same run, one by the other.
    Ratio,
    /// Seconds, milliseconds or MiB on this machine, with whatever else it did.
    Here,
    /// What was set up, or how the run went. Neither more nor less is better.
    Setting,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Ratio => "ratio",
            Self::Here => "this machine",
            Self::Setting => "setting",
        }
    }
}

/// One figure. Less is better, unless it is a setting.
pub struct Figure {
    /// What it is, in words.
    pub name: String,
    /// In its unit.
    pub value: f64,
    /// Such as `ms`, or what it is for each of.
    pub unit: &'static str,
    /// Whether it is compared.
    pub kind: Kind,
    /// The most that it should be.
    pub goal: Option<f64>,
}

/// A scenario's figures.
pub struct Report {
    /// Such as `B1`.
    pub scenario: String,
    /// How many instances or objects there were; figures of different sizes are not compared.
    pub size: usize,
    /// In the order in which they are shown.
    pub figures: Vec<Figure>,
}

impl Report {
    /// One without figures yet.
    pub fn new(scenario: &str, size: usize) -> Self {
        Self { scenario: scenario.to_owned(), size, figures: Vec::new() }
    }

    fn add(&mut self, kind: Kind, name: &str, value: f64, unit: &'static str) -> &mut Self {
        self.figures.push(Figure { name: name.to_owned(), value, unit, kind, goal: None });
        self
    }

    /// Adds a count.
    pub fn count(&mut self, name: &str, value: f64, unit: &'static str) -> &mut Self {
        self.add(Kind::Count, name, value, unit)
    }

    /// Adds a ratio.
    pub fn ratio(&mut self, name: &str, value: f64) -> &mut Self {
        self.add(Kind::Ratio, name, value, "×")
    }

    /// Adds what only this machine shows.
    pub fn here(&mut self, name: &str, value: f64, unit: &'static str) -> &mut Self {
        self.add(Kind::Here, name, value, unit)
    }

    /// Adds a setting, or how the run went.
    pub fn setting(&mut self, name: &str, value: f64, unit: &'static str) -> &mut Self {
        self.add(Kind::Setting, name, value, unit)
    }

    /// The most that the figure added last should be.
    pub fn goal(&mut self, goal: f64) -> &mut Self {
        self.figures.last_mut().unwrap().goal = Some(goal);
        self
    }

    /// Prints it as a table, with what was to be reached.
    pub fn print(&self) {
        println!("\n{} ({})", self.scenario, self.size);
        for Figure { name, value, unit, kind, goal } in &self.figures {
            let judged = goal.map_or_else(String::new, |goal| {
                let met = if *value <= goal { "met" } else { "NOT MET" };
                format!("goal ≤ {goal}: {met}")
            });
            let digits = if *value != 0.0 && value.abs() < 0.1 { 4 } else { 2 };
            println!("  {name:<44} {value:>10.digits$} {unit:<13} {:<13} {judged}", kind.name());
        }
    }

    fn to_json(&self) -> Value {
        let figures: Vec<Value> = self.figures.iter().map(Figure::to_json).collect();
        json!({"scenario": self.scenario, "size": self.size, "figures": figures})
    }
}

impl Figure {
    fn to_json(&self) -> Value {
        let mut figure = json!({"name": self.name, "value": self.value, "unit": self.unit, "kind": self.kind.name()});
        if let Some(goal) = self.goal {
            figure["goal"] = json!(goal);
        }
        figure
    }
}

/// Writes `target/bench/results.json`.
pub fn write(reports: &[Report]) {
    let all: Vec<Value> = reports.iter().map(Report::to_json).collect();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let results = json!({"cores": cores, "loadAtTheEnd": load.trim(), "scenarios": all});
    let file = directory().join("results.json");
    std::fs::write(&file, serde_json::to_string_pretty(&results).unwrap()).unwrap();
    println!("\nwritten to {}", file.display());
}

fn directory() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
