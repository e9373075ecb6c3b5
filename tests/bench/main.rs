//! What resets cost, scenario by scenario, on a real control plane with the release binary: `make bench`. It prints a table, writes
//! `target/bench/results.json`, and compares counts and ratios with `baseline.json`. Simulator, control plane and this program share the
//! machine with what is measured, so seconds are this machine's and are shown only. No test in CI runs it. It writes the baseline only when it
//! is asked to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do
#![allow(clippy::cast_precision_loss, clippy::disallowed_methods, reason = "it counts, and measures real time")]

mod api;
mod baseline;
#[path = "../common/mod.rs"]
mod common;
mod etcd;
mod fleet;
mod floors;
mod latency;
mod limits;
mod machine;
mod peers;
mod report;
mod requests;
mod secrets;
mod settled;
mod size;
mod starts;
mod world;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use report::Report;

/// A scenario: its name, what it is, and how it runs.
type Scenario = (&'static str, &'static str, fn(&Options) -> Vec<Report>);

const SCENARIOS: &[Scenario] = &[
    ("B1", "10 objects of many instances, 100 calls a second", fleet::ten_objects),
    ("B2", "one instance an object, 100 calls a second", fleet::one_each),
    ("B2-default", "one instance an object, the default 5 calls a second", fleet::one_each_by_default),
    ("B3", "a start among objects that are done (BENCH_SETTLED)", settled::starts),
    ("B4", "kill -9 with many resets in flight", starts::killed_in_flight),
    ("B5", "one Secret that many objects share", secrets::shared),
    ("B6", "a quota of ECS below the account's own rate", limits::throttled),
    ("B7", "10 restarts at once of 100 instances", limits::slots),
    ("B8", "from apply to the first call to ECS", latency::apply_to_first_call),
    ("B9", "from exec to ready", starts::ready),
    ("B10", "the size of the binary", size::of_the_binary),
];

/// What was asked for on the command line.
#[derive(Default)]
pub(crate) struct Options {
    names: Vec<String>,
    /// Run the peers beside B1.
    pub vs: bool,
    write_baseline: bool,
}

impl Options {
    fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--vs" => options.vs = true,
                "--write-baseline" => options.write_baseline = true,
                name if SCENARIOS.iter().any(|(known, ..)| *known == name) => options.names.push(argument),
                _ => {
                    let known: Vec<String> =
                        SCENARIOS.iter().map(|(name, what, _)| format!("  {name:<12}{what}")).collect();
                    return Err(format!(
                        "bench: '{argument}' is unknown; scenarios are\n{}\nand flags are --vs and --write-baseline",
                        known.join("\n")
                    ));
                }
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|it| it == name)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    // cargo-nextest asks every test program for its tests. This one has none, and does nothing in a plain `cargo test`.
    if arguments.peek().is_some_and(|first| first == "--list") {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("CONTROLLER").is_none() {
        eprintln!("bench: nothing is measured without CONTROLLER, the release binary: run `make bench`");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let (mut reports, mut failed) = (Vec::new(), Vec::new());
    for (name, what, run) in SCENARIOS.iter().filter(|(name, ..)| options.wants(name)) {
        eprintln!("bench: {name}: {what}");
        // One that fails has said why, and takes no figure of another with it.
        let Ok(measured) = std::panic::catch_unwind(AssertUnwindSafe(|| run(&options))) else {
            failed.push(*name);
            continue;
        };
        for report in measured {
            report.print();
            reports.push(report);
        }
    }
    report::write(&reports);
    if options.write_baseline {
        baseline::write(&reports);
    }
    if !failed.is_empty() {
        println!("FAILED {}", failed.join(", "));
    }
    if baseline::compare(&reports) && failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A size from the environment, or the default.
pub(crate) fn number_from(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}
