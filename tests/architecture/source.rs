//! The sources as the rules of `main.rs` read them: text without comments, literals and tests, and the paths in it. It
//! relies on rustfmt, which ends each item at the start of a line.

use std::path::{Path, PathBuf};

use regex::Captures;

/// A regular expression that is compiled once.
macro_rules! regex {
    ($pattern:expr) => {{
        static REGEX: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| regex::Regex::new($pattern).unwrap());
        &*REGEX
    }};
}
pub(crate) use regex;

/// One source file.
pub struct Source {
    /// Relative to `src`, with `/`.
    pub name: String,
    /// As it is.
    pub text: String,
    /// What is compiled outside tests, without comments; each literal is empty.
    pub code: String,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        let code = regex!(r##"(?s)//[^\n]*|\br#".*?"#|\br"[^"]*"|"(?:\\.|[^"\\])*"|'(?:\\[^']+|\\'|[^'\\])'"##);
        let code = code.replace_all(text, |it: &Captures| if it[0].starts_with("//") { "" } else { "\"\"" });
        // To the `;` at the end of its line, or to the brace at the start of one.
        let test_only = regex!(r"(?m)^#\[cfg\(test\)\]\n(?:#.*\n)*(?:.*;$|(?s:.*?)^\}$)");
        Self { name: name.to_owned(), text: text.to_owned(), code: test_only.replace_all(&code, "").into_owned() }
    }

    /// The module that the file is part of, from the root: `decide/memory.rs` is `["decide", "memory"]`.
    fn module(&self) -> Vec<&str> {
        let parts = self.name.trim_end_matches(".rs").split('/');
        parts.filter(|part| !["mod", "lib", "main"].contains(part)).collect()
    }

    /// The first segment of the module; empty for the root.
    pub fn top(&self) -> &str {
        self.module().first().copied().unwrap_or_default()
    }

    /// Every path that the file names, `use` trees spread out, `self` and `super` resolved to paths that begin with `crate`.
    pub fn paths(&self) -> Vec<String> {
        let tree = regex!(r"\buse ([^<;][^;]*);");
        let imported = tree.captures_iter(&self.code).flat_map(|it| leaves(&it[1]));
        let rest = tree.replace_all(&self.code, "");
        let named = regex!(r"\b\w+(?:::\w+)+").find_iter(&rest).map(|it| it.as_str().to_owned());
        imported.chain(named).map(|path| self.resolve(&path)).collect()
    }

    fn resolve(&self, path: &str) -> String {
        let supers = path.split("::").take_while(|segment| *segment == "super").count();
        let is_relative = supers > 0 || path.starts_with("self::");
        if !is_relative {
            return path.to_owned();
        }
        let mut base = self.module();
        base.truncate(base.len().saturating_sub(supers));
        base.insert(0, "crate");
        base.into_iter().chain(path.split("::").skip(supers.max(1))).collect::<Vec<_>>().join("::")
    }
}

/// The paths of a `use` tree: the innermost braces are spread out until there are none.
fn leaves(tree: &str) -> Vec<String> {
    let mut tree = regex!(r"\s+as \w+").replace_all(tree, "").into_owned();
    while let Some(found) = regex!(r"((?:\w+::)*)\{([^{}]*)\}").captures(&tree) {
        let spread: Vec<_> = split(&found[2]).map(|leaf| format!("{}{leaf}", &found[1])).collect();
        tree = tree.replace(&found[0], &spread.join(","));
    }
    split(&tree).map(|leaf| leaf.trim_end_matches("::self").to_owned()).collect()
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|leaf| !leaf.is_empty())
}

/// All files below `src`, those that hold nothing but tests left out.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    files.retain(|file| regex!(r"\.rs$").is_match(file.to_str().unwrap()));
    files.retain(|file| !regex!(r"(tests|fixtures)\.rs$").is_match(file.to_str().unwrap()));
    assert!(files.len() > 40, "only {} files were found below src", files.len());
    let name = |file: &Path| file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|file| Source::new(&name(file), &std::fs::read_to_string(file).unwrap())).collect()
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

#[test]
fn paths_are_found_in_use_trees_and_in_expressions() {
    let text = r##"
//! use commented::out;
use std::{fmt, collections::{BTreeMap as Map, BTreeSet}};
use super::{self as ecs, limit, wire::*};
fn f<'a>(x: &'static str) -> char { let c = '"'; let s = "in::a::string // x"; let r = r#"raw "quoted" ::"#; self::g(crate::clock::now()); '\'' }
#[cfg(test)]
mod tests {
    use hidden::path;
}
#[cfg(test)]
#[path = "x.rs"]
mod more_tests;
use last::one;
"##;
    let paths = Source::new("ecs/client.rs", text).paths();
    let expected = [
        "std::fmt",
        "std::collections::BTreeMap",
        "std::collections::BTreeSet",
        "crate::ecs",
        "crate::ecs::limit",
        "crate::ecs::wire::*",
        "last::one",
        "crate::ecs::client::g",
        "crate::clock::now",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn super_leads_out_of_a_folder_as_well_as_out_of_a_file() {
    let name = |file: &str, text: &str| Source::new(file, text).paths()[0].clone();
    assert_eq!(name("decide/mod.rs", "use super::ecs;"), "crate::ecs");
    assert_eq!(name("decide/memory.rs", "use super::super::ecs;"), "crate::ecs");
    assert_eq!(name("decide/memory.rs", "use super::budget;"), "crate::decide::budget");
}
