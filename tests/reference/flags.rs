//! Flags and variables, by `--help`.

use std::fmt::Write as _;
use std::process::Command;

use super::{cell, note};

/// The page.
pub fn page() -> String {
    let mut page = note("`ecs-password-reset controller --help`");
    page.push_str("# Flags and environment variables\n\n");
    page.push_str("A flag wins over its variable. Both take the same values, and a value out of range is refused at the start.\n\n");
    page.push_str("| flag | variable | default | what it does |\n|---|---|---|---|\n");
    for flag in parse(&help()) {
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        let (name, variable, default) = (code(&flag.name), code(&flag.variable), code(&flag.default));
        let _ = writeln!(page, "| {name} | {variable} | {default} | {} |", cell(&flag.text));
    }
    page
}

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ecs-password-reset"))
        .args(["controller", "--help"])
        // The defaults are shown, and not what a variable of this shell makes of them.
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[derive(Default)]
struct Flag {
    name: String,
    text: String,
    variable: String,
    default: String,
}

/// Each flag begins a line of its own; its text follows, with default and variable in brackets at the end.
fn parse(help: &str) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    let options = help.split_once("Options:").unwrap().1;
    for line in options.lines().map(str::trim) {
        if line.starts_with('-') {
            let name = line.trim_start_matches("-h, ").to_owned();
            flags.push(Flag { name, ..Flag::default() });
        } else if let Some(flag) = flags.last_mut() {
            flag.text.push_str(line);
            flag.text.push(' ');
        }
    }
    for flag in &mut flags {
        take(&mut flag.text, "[env: ").trim_end_matches('=').clone_into(&mut flag.variable);
        flag.default = take(&mut flag.text, "[default: ");
        take(&mut flag.text, "[possible values: ");
    }
    flags.retain(|flag| flag.name != "--help");
    assert!(flags.len() > 20, "--help was not understood:\n{help}");
    flags
}

/// Takes what a bracket holds out of the text.
fn take(text: &mut String, start: &str) -> String {
    let Some(at) = text.find(start) else { return String::new() };
    let end = at + text[at..].find(']').unwrap();
    let found = text[at + start.len()..end].to_owned();
    text.replace_range(at..=end, "");
    found
}
