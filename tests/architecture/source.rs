//! Just enough of a Rust reader for the rules of `main.rs`: it cuts a file into tokens, leaves out what only tests see,
//! and lists the paths that are named. It knows no types and expands no macros.

use std::path::{Path, PathBuf};

/// A piece of source text. Comments and white space are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// An identifier, a keyword or a number.
    Word(String),
    /// The content of a string literal of any kind, escapes left as they are.
    Text(String),
    /// `::`
    PathSeparator,
    /// Any other character that means something.
    Mark(char),
}

impl Token {
    pub fn is_word(&self, text: &str) -> bool {
        matches!(self, Self::Word(word) if word == text)
    }
}

/// One source file without its tests.
pub struct Source {
    /// Relative to `src`, with `/`.
    pub name: String,
    /// As it is.
    pub text: String,
    /// The code that is compiled outside tests.
    pub tokens: Vec<Token>,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), tokens: without_tests(&tokenize(text)) }
    }

    /// The module that the file is part of, from the root: `decide/memory.rs` is `["decide", "memory"]`.
    pub fn module(&self) -> Vec<&str> {
        let parts = self.name.trim_end_matches(".rs").split('/');
        parts.filter(|part| !["mod", "lib", "main"].contains(part)).collect()
    }

    /// The first segment of [`Self::module`]; empty for the root.
    pub fn top(&self) -> &str {
        self.module().first().copied().unwrap_or_default()
    }

    /// Every path with `::` in it that the file names, `use` trees spread out, `crate`, `self` and `super` resolved to
    /// paths that begin with `crate`.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let module = self.module();
        paths(&self.tokens).into_iter().map(|path| resolve(path, &module)).collect()
    }
}

/// All files below `src`, those that hold nothing but tests left out.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let is_for_tests = name.ends_with("tests.rs") || name.ends_with("fixtures.rs");
        if file.extension().is_some_and(|it| it == "rs") && !is_for_tests {
            sources.push(Source::new(name, &std::fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(sources.len() > 40, "only {} files were found below src", sources.len());
    sources
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

fn tokenize(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("//") {
            rest = after.split_once('\n').map_or("", |(_, next)| next);
        } else if rest.starts_with("/*") {
            rest = after_block_comment(rest);
        } else if let Some((content, after)) = string_literal(rest) {
            tokens.push(Token::Text(content.to_owned()));
            rest = after;
        } else if first == '\'' {
            rest = after_quote(rest);
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else if let Some(after) = rest.strip_prefix("::") {
            tokens.push(Token::PathSeparator);
            rest = after;
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Mark(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn after_block_comment(text: &str) -> &str {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    &text[at..]
}

/// The content of the string literal that `text` begins with, and what follows it.
fn string_literal(text: &str) -> Option<(&str, &str)> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'));
    if let Some(body) = body {
        let hashes = body.len() - body.trim_start_matches('#').len();
        if let Some(body) = body[hashes..].strip_prefix('"') {
            return body.split_once(&format!("\"{}", "#".repeat(hashes)));
        }
    }
    let body = text.strip_prefix('b').unwrap_or(text).strip_prefix('"')?;
    let mut escaped = false;
    let end = body.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((&body[..end], &body[end + 1..]))
}

/// What follows a lifetime or a character literal.
fn after_quote(text: &str) -> &str {
    let inner = &text[1..];
    if let Some(escape) = inner.strip_prefix('\\') {
        let skipped = escape.chars().next().map_or(0, char::len_utf8);
        return escape[skipped..].split_once('\'').map_or("", |(_, next)| next);
    }
    let width = inner.chars().next().map_or(0, char::len_utf8);
    inner[width..].strip_prefix('\'').unwrap_or_else(|| inner.trim_start_matches(is_word))
}

/// Leaves out each item after `#[cfg(test)]`, to its `;` or the end of its braces.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let test_only = tokenize("#[cfg(test)]");
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&test_only) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0_u32;
        at += test_only.len();
        while at < tokens.len() {
            let token = &tokens[at];
            at += 1;
            match token {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') if depth == 1 => break,
                Token::Mark('}') => depth -= 1,
                Token::Mark(';') if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

fn paths(tokens: &[Token]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins_path = matches!(tokens[at], Token::Word(_)) && tokens.get(at + 1) == Some(&Token::PathSeparator);
        // `use<…>` in a return type captures lifetimes and names nothing.
        let follows_use = at > 0 && tokens[at - 1].is_word("use") && tokens[at] != Token::Mark('<');
        if begins_path || follows_use {
            at = tree(tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path or `use` tree from `at`; returns where it ends.
fn tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some(Token::Word(word)) => {
                path.push(word.clone());
                at += 1;
            }
            Some(Token::Mark('*')) if path.len() > prefix.len() || !prefix.is_empty() => {
                path.push("*".to_owned());
                at += 1;
            }
            Some(Token::Mark('{')) => {
                at += 1;
                while at < tokens.len() && tokens[at] != Token::Mark('}') {
                    let before = at;
                    at = tree(tokens, at, &path, found);
                    // `as name` and commas between two branches.
                    while at < tokens.len() && !matches!(tokens[at], Token::Mark(',' | '}')) {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at) == Some(&Token::Mark(',')));
                    assert!(at > before, "a `use` tree that this reader does not understand: {path:?}");
                }
                return at + 1;
            }
            _ => break,
        }
        if tokens.get(at) != Some(&Token::PathSeparator) {
            break;
        }
        at += 1;
    }
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    found.push(path);
    at
}

fn resolve(path: Vec<String>, module: &[&str]) -> Vec<String> {
    let mut base: Vec<&str> = module.to_vec();
    let mut rest = path.as_slice();
    match path[0].as_str() {
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => return path,
    }
    let base = base.into_iter().map(str::to_owned);
    ["crate".to_owned()].into_iter().chain(base).chain(rest.iter().cloned()).collect()
}

#[test]
fn paths_are_found_in_use_trees_and_in_expressions() {
    let text = r##"
        //! use commented::out;
        use std::{fmt, collections::{BTreeMap as Map, BTreeSet}};
        use super::{self as ecs, limit, wire::*};
        fn f<'a>(x: &'static str) -> char { let c = '"'; let s = "in::a::string"; let r = r#"raw "quoted" ::"#; self::g(crate::clock::now()); '\'' }
        #[cfg(test)]
        mod tests { use hidden::path; }
        #[cfg(test)]
        #[path = "x.rs"]
        mod more_tests;
        use last::one;
    "##;
    let source = Source::new("ecs/client.rs", text);
    let paths: Vec<String> = source.paths().iter().map(|path| path.join("::")).collect();
    let expected = [
        "std::fmt",
        "std::collections::BTreeMap",
        "std::collections::BTreeSet",
        "crate::ecs",
        "crate::ecs::limit",
        "crate::ecs::wire::*",
        "crate::ecs::client::g",
        "crate::clock::now",
        "last::one",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn super_leads_out_of_a_folder_as_well_as_out_of_a_file() {
    let name = |file: &str, text: &str| Source::new(file, text).paths()[0].join("::");
    assert_eq!(name("decide/mod.rs", "use super::ecs;"), "crate::ecs");
    assert_eq!(name("decide/memory.rs", "use super::super::ecs;"), "crate::ecs");
    assert_eq!(name("decide/memory.rs", "use super::budget;"), "crate::decide::budget");
}
