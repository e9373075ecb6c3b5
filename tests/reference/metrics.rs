//! Metrics, by the source that registers them: a family that nothing was counted in is not served, so `/metrics` of a fresh
//! process does not list them all.

use std::fmt::Write as _;

use super::{cell, note, read};

/// The page.
pub fn page() -> String {
    let source = ["mod", "labels", "process"].map(|name| {
        let source = read(&format!("src/metrics/{name}.rs"));
        source.split("#[cfg(test)]").next().unwrap().to_owned()
    });
    let source = &source.concat();
    let mut page = note("`src/metrics`");
    page.push_str("# Metrics\n\n");
    page.push_str("Port 8080 serves them at `/metrics` in the OpenMetrics format. [Monitoring](../MONITORING.md) says how to read them.\n\n");
    page.push_str("| metric | type | labels | what it counts |\n|---|---|---|---|\n");
    let families = families(source);
    assert!(families.len() > 10, "src/metrics was not understood");
    for Family { field, kind, labels } in families {
        let [name, help] = literals(source, &format!("{field}: "));
        row(&mut page, &name, &kind, &labels, &help);
    }
    let [name, help] = literals(source, "r.register(");
    row(&mut page, &name, "info", &fields(source, "BuildLabels"), &help);
    for kind in ["counter", "gauge"] {
        for call in source.split(&format!("{kind}(to, ")).skip(1) {
            let mut texts = call.split('"').skip(1).step_by(2);
            row(&mut page, texts.next().unwrap(), kind, &[], texts.next().unwrap());
        }
    }
    page
}

fn row(page: &mut String, name: &str, kind: &str, labels: &[String], help: &str) {
    // As a scraper stores it.
    let suffix = match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let labels = labels.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(page, "| `{name}{suffix}` | {kind} | {labels} | {} |", cell(help));
}

struct Family {
    field: String,
    kind: String,
    labels: Vec<String>,
}

/// The fields of `Metrics` that are a family: `name: Family<Labels, Kind…>,`, and those that have no labels.
fn families(source: &str) -> Vec<Family> {
    let body = block(source, "pub struct Metrics {");
    let mut families = Vec::new();
    for line in body.lines() {
        if let Some((field, kind @ ("Counter," | "Histogram,"))) = line.trim().split_once(": ") {
            let kind = kind.trim_end_matches(',').to_lowercase();
            families.push(Family { field: field.to_owned(), kind, labels: Vec::new() });
        }
        let Some((field, rest)) = line.trim().split_once(": Family<") else { continue };
        let (labels, kind) = rest.split_once(", ").unwrap();
        let kind = ["Counter", "Gauge", "Histogram"].into_iter().find(|it| kind.starts_with(it)).unwrap();
        families.push(Family { field: field.to_owned(), kind: kind.to_lowercase(), labels: fields(source, labels) });
    }
    families
}

/// The names of the fields of a struct.
fn fields(source: &str, name: &str) -> Vec<String> {
    let body = block(source, &format!("struct {name} {{"));
    body.lines()
        .filter_map(|line| Some(line.trim().trim_start_matches("pub(super) ").split_once(": ")?.0.to_owned()))
        .collect()
}

fn block<'a>(source: &'a str, start: &str) -> &'a str {
    let at = source.find(start).unwrap_or_else(|| panic!("src/metrics has no `{start}`")) + start.len();
    &source[at..at + source[at..].find("\n}").unwrap()]
}

/// The first two texts after a mark in the constructor: name and help.
fn literals(source: &str, mark: &str) -> [String; 2] {
    let constructor = &source[source.find("pub fn new()").unwrap()..];
    let at = constructor.find(mark).unwrap_or_else(|| panic!("src/metrics does not register `{mark}`"));
    let mut texts = constructor[at..].split('"').skip(1).step_by(2);
    [texts.next().unwrap().to_owned(), texts.next().unwrap().to_owned()]
}
