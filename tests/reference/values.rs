//! Values of the chart, by the comments in its values.yaml: those that begin with `# --`, as helm-docs reads them.

use std::fmt::Write as _;

use super::{cell, note, read};

/// Where the values are.
pub const SOURCE: &str = "deploy/chart/values.yaml";

/// The page.
pub fn page() -> String {
    let mut page = note(&format!("`{SOURCE}`"));
    page.push_str("# Chart values\n\nThe chart refuses a key that it does not know; `values.schema.json` has the types.\n\n| value | default | what it does |\n|---|---|---|\n");
    for Entry { path, default, text } in entries(&read(SOURCE)) {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let _ = writeln!(page, "| `{path}` | {default} | {} |", cell(&text));
    }
    page
}

struct Entry {
    path: String,
    default: String,
    text: String,
}

fn entries(yaml: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // The keys above a line, each with its indentation.
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut text = String::new();
    let mut list = None;
    for line in yaml.lines() {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim());
        if list.is_some_and(|at| indent > at || line.starts_with("- ")) {
            continue;
        }
        list = line.starts_with("- ").then_some(indent);
        if list.is_some() {
            continue;
        }
        if let Some(more) = line.strip_prefix("# -- ") {
            text.push_str(more);
            text.push(' ');
        } else if line.is_empty() || line.starts_with('#') {
            if !line.starts_with("# ") {
                text.clear();
            }
        } else if let Some((key, value)) = line.split_once(':') {
            above.retain(|(at, _)| *at < indent);
            above.push((indent, key));
            let value = value.trim();
            if !value.is_empty() || !text.is_empty() {
                let path = above.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
                let default = value.split(" #").next().unwrap_or_default().trim().to_owned();
                entries.push(Entry { path, default, text: std::mem::take(&mut text) });
            }
        }
    }
    assert!(entries.len() > 10, "{SOURCE} was not understood");
    entries
}
