//! A page: what `kubectl` prints of an object in one situation, with what differs from run to run left out. Pages are stored in
//! `tests/words/situations`, where a reviewer reads them as a user would.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::wait::eventually;
use super::world::World;

/// How often a page is taken that is not the stored one: an event may come after the status that it is about. Fewer where the pages are
/// written again.
fn takes() -> usize {
    if std::env::var_os("INSTA_UPDATE").is_some() { 4 } else { 15 }
}

/// Where and under which number a page is stored, and what its reader has to know.
pub struct Page<'a> {
    /// `NN-name`.
    pub file: &'a str,
    /// What has happened before.
    pub story: &'a str,
    /// The object that the reader looks at.
    pub namespace: Option<&'a str>,
    /// `passwordreset` or `ecsaccount`.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl World {
    /// Waits until the Ready condition of a `PasswordReset` in `prod` has this reason, and compares what a user sees with the stored page.
    pub fn page(&self, file: &str, name: &str, reason: &str, story: &str) {
        self.wait_for_reason(name, reason);
        let namespace = Some(super::manifests::NAMESPACE);
        self.page_of(&Page { file, story, namespace, kind: "passwordreset", name });
    }

    /// The same for any object.
    pub fn page_of(&self, page: &Page) {
        let stored = stored(page.file);
        let (mut taken_so_often, mut last) = (0, String::new());
        let taken = eventually(&format!("the page {} stays the same", page.file), || {
            let taken = self.take(page);
            let is_steady = taken == last && (taken_so_often >= takes() || stored.is_none());
            let is_it = stored.as_ref() == Some(&taken);
            taken_so_often += 1;
            last.clone_from(&taken);
            (is_it || is_steady).then_some(taken)
        });
        let mut settings = insta::Settings::new();
        settings.set_snapshot_path("../words/situations");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(page.file, taken));
    }

    fn take(&self, page: &Page) -> String {
        let Page { namespace, kind, name, .. } = *page;
        let of = namespace.map_or_else(Vec::new, |namespace| vec!["-n", namespace]);
        let object = format!("{kind}/{name}");
        // Events of what has no namespace are in `default`.
        let events = ["events", "-n", namespace.unwrap_or("default"), "--for", &object];
        let commands = [
            [&["get", kind, name][..], &of].concat(),
            [&["get", kind, name][..], &of, &["-o", "wide"]].concat(),
            [&["describe", kind, name][..], &of].concat(),
            events.to_vec(),
        ];
        let printed = std::thread::scope(|scope| {
            let run = |command| scope.spawn(move || self.kubectl(command));
            let running = commands.each_ref().map(|command| run(command));
            running.map(|it| it.join().unwrap())
        });
        let mut text = page.story.to_owned();
        for (command, printed) in commands.iter().zip(&printed) {
            let _ = write!(text, "\n\n$ kubectl {}\n{}", command.join(" "), steady(printed).trim_end());
        }
        text
    }
}

fn stored(file: &str) -> Option<String> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/words/situations"));
    let text = std::fs::read_to_string(path.join(format!("{file}.snap"))).ok()?;
    let (_, page) = text.strip_prefix("---\n")?.split_once("\n---\n")?;
    Some(page.trim_end().to_owned())
}

/// What `kubectl` printed, without what differs from run to run.
fn steady(printed: &str) -> String {
    let lines: Vec<String> = printed.lines().map(|line| line.trim_end().to_owned()).collect();
    let mut steady = Vec::new();
    let mut rest = lines.as_slice();
    while let Some((line, after)) = rest.split_first() {
        let is_table = line.starts_with("NAME  ") || line.starts_with("LAST SEEN  ") || line.starts_with("  Type  ");
        let length = if is_table { rest.iter().take_while(|line| !line.is_empty()).count() } else { 0 };
        if length > 0 {
            let (table, after) = rest.split_at(length);
            steady.extend(realigned(table));
            rest = after;
        } else {
            // Worked out from how long restarts of other objects took, if there were any.
            if !line.starts_with("  Estimated Completion Time:") {
                steady.push(unaligned(&mask(line)));
            }
            rest = after;
        }
    }
    steady.join("\n")
}

/// A line of `describe` as it is whatever fields stand beside it: those that are there decide how far the values are indented.
fn unaligned(line: &str) -> String {
    match line.split_once(": ") {
        Some((key, value)) if !key.trim_start().contains(|c: char| !c.is_ascii_alphanumeric() && c != ' ') => {
            format!("{key}:  {}", value.trim_start())
        }
        _ => line.to_owned(),
    }
}

/// The lines of a table with its ages left out, and its columns as wide as they need to be then.
fn realigned(table: &[String]) -> Vec<String> {
    let header: Vec<char> = table[0].chars().collect();
    let begins: Vec<usize> =
        (0..header.len()).filter(|&at| header[at] != ' ' && (at == 0 || header[..at].ends_with(&[' ', ' ']))).collect();
    let cell = |line: &str, column: usize| -> String {
        let to = begins.get(column + 1).copied().unwrap_or(usize::MAX);
        let chars = line.chars().skip(begins[column]).take(to.saturating_sub(begins[column]));
        mask(chars.collect::<String>().trim())
    };
    let indented = begins[0] > 0;
    let ages = ["AGE", "LAST RUN", "LAST SEEN", "Age"];
    let is_age: Vec<bool> = (0..begins.len()).map(|it| ages.contains(&cell(&table[0], it).as_str())).collect();
    let mut rows: Vec<Vec<String>> = table
        .iter()
        .map(|line| {
            let cells = (0..begins.len()).map(|column| {
                let cell = cell(line, column);
                let is_value = is_age[column] && cell.starts_with(|c: char| c.is_ascii_digit() || c == '<');
                if is_value { "<age>".to_owned() } else { cell }
            });
            cells.collect()
        })
        .collect();
    if indented {
        // `describe` may show either of two events in one second first; `kubectl events` knows their order.
        rows[2..].sort_unstable();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let indent = " ".repeat(begins[0]);
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column)));
        format!("{indent}{}", cells.collect::<Vec<_>>().join("   ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// `d` is a digit, `x` one of hexadecimal; anything else is itself.
const MASKS: &[(&str, &str)] = &[
    // One that falls on a full minute is shown without seconds.
    ("dddd-dd-ddTdd:dd:ddZ", "<time>"),
    ("dddd-dd-ddTdd:ddZ", "<time>"),
    ("dd:dd:ddZ", "<time>"),
    ("dd:ddZ", "<time>"),
    ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "<uuid>"),
    ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "<digest>"),
    ("127.0.0.1:ddddd", "127.0.0.1:<port>"),
];

fn mask(line: &str) -> String {
    if let Some(at) = line.find("Resource Version:") {
        return format!("{}Resource Version:  <version>", &line[..at]);
    }
    // How often a call was tried by the time of a page depends on how long it took to get there, and on how often its record was touched.
    if let Some((indent, attempts)) = line.split_once("Attempts:")
        && attempts.trim().parse().is_ok_and(|attempts: u32| attempts > 1)
    {
        return format!("{indent}Attempts:  <2 or more>");
    }
    let chars: Vec<char> = line.chars().collect();
    let (mut masked, mut at) = (String::new(), 0);
    while at < chars.len() {
        let is_begin = at == 0 || !chars[at - 1].is_ascii_alphanumeric();
        let found = MASKS.iter().find(|(pattern, _)| is_begin && fits(pattern, &chars[at..]));
        if let Some((pattern, instead)) = found {
            masked.push_str(instead);
            at += pattern.chars().count();
        } else {
            masked.push(chars[at]);
            at += 1;
        }
    }
    masked
}

fn fits(pattern: &str, chars: &[char]) -> bool {
    let fits_one = |(wanted, is): (char, &char)| match wanted {
        'd' => is.is_ascii_digit(),
        'x' => is.is_ascii_hexdigit(),
        wanted => wanted == *is,
    };
    chars.len() >= pattern.chars().count()
        && pattern.chars().zip(chars).all(fits_one)
        && chars.get(pattern.chars().count()).is_none_or(|next| !next.is_ascii_alphanumeric())
}
