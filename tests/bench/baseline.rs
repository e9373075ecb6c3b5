//! Compares counts and ratios with `baseline.json`, which holds nothing else: seconds of another day say nothing. A figure that is worse
//! than the tolerance allows is a regression. Figures of another size, and scenarios that did not run, are left out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::report::{Kind, Report};

/// How much worse a count may be: by this share of the baseline, and by this much where the baseline is small.
/// A busy machine shares fewer reads and writes an attempt again that has waited too long.
const COUNT: (f64, f64) = (0.25, 0.25);
/// The same for a ratio, which the machine's other work still moves.
const RATIO: (f64, f64) = (0.5, 0.5);

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bench/baseline.json")
}

fn tolerance(kind: Kind) -> Option<(f64, f64)> {
    match kind {
        Kind::Count => Some(COUNT),
        Kind::Ratio => Some(RATIO),
        Kind::Here | Kind::Setting => None,
    }
}

fn read() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(file()).unwrap_or_else(|_| "{}".to_owned());
    serde_json::from_str(&text).expect("baseline.json is JSON")
}

/// Prints what is worse than the baseline, and returns whether nothing is.
pub fn compare(reports: &[Report]) -> bool {
    let baseline = read();
    let (mut compared, mut worse) = (0, Vec::new());
    for report in reports {
        let Some(known) = baseline.get(&report.scenario) else { continue };
        if known["size"] != report.size {
            println!("{}: not compared, the baseline is of size {}", report.scenario, known["size"]);
            continue;
        }
        for figure in &report.figures {
            let (Some((share, least)), Some(before)) =
                (tolerance(figure.kind), known["figures"][&figure.name].as_f64())
            else {
                continue;
            };
            compared += 1;
            let most = before + (before * share).max(least);
            if figure.value > most {
                let (name, value) = (&figure.name, figure.value);
                worse.push(format!("{} {name}: {value:.3}, was {before:.3}, at most {most:.3}", report.scenario));
            }
        }
    }
    println!("{compared} counts and ratios compared with the baseline, {} worse", worse.len());
    for line in &worse {
        println!("REGRESSION {line}");
    }
    worse.is_empty()
}

/// Puts the counts and ratios of these scenarios into the baseline.
pub fn write(reports: &[Report]) {
    let mut baseline = read();
    for report in reports {
        let figures = report.figures.iter().filter(|figure| tolerance(figure.kind).is_some());
        let figures: BTreeMap<&str, f64> =
            figures.map(|it| (&*it.name, (it.value * 1_000.0).round() / 1_000.0)).collect();
        baseline.insert(report.scenario.clone(), json!({"size": report.size, "figures": figures}));
    }
    std::fs::write(file(), serde_json::to_string_pretty(&baseline).unwrap() + "\n").unwrap();
    println!("written to {}", file().display());
}
