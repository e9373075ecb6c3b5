//! Inputs near a target's corpus, as a strategy of proptest, and the loop over them. Judges nothing itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use serde_json::{Value, json};

/// No input is longer: everything that reads bytes from outside bounds them before it parses.
const LENGTH_MAX: usize = 64 << 10;

/// Numbers and times at the edges of what types and calendars hold, and marks that end or begin something somewhere.
const NUMBERS: &str = "0 -1 1 255 4294967295 4294967296 9223372036854775807 18446744073709551615 1e308";
const TIMES: &str = "9999-12-30T21:59:59Z 9999-12-31T23:59:59Z 0000-01-01T00:00:00Z 1970-01-01T00:00:00Z \
    2026-11-24T12:00:00Z 2026-11-24T12:00Z 2026-11-24T12:20:00Z 2026-02-30T00:00:00Z 2026-11-24T12:00:60Z";
const MARKS: [&str; 10] = ["\n", "\n\n", "\r", " ", "\u{0}", "\u{FEFF}", "é", "\u{1F511}", "..", "[{"];
const MARKS_OF_ASCII: &str = "= / % + * ~ & . ? # @ - < > \" { }";

/// Tries `target` on its corpus, then on inputs near it; `words` are worth putting in beside those of the corpus. It panics
/// where a promise breaks. An ordinary run makes the same inputs every time; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask
/// for others.
pub fn fuzz<R>(name: &str, words: &str, target: impl Fn(&[u8]) -> R) {
    let corpus = corpus(name);
    for (file, input) in &corpus {
        println!("{}", file.display());
        target(input);
    }
    // A seed that fails makes another input once the corpus or a list of words has changed: the input itself is kept.
    let mut config = ProptestConfig { failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        (config.cases, config.rng_seed) = (600, RngSeed::Fixed(1));
    }
    let inputs = near(corpus.into_iter().map(|(_, input)| input).collect(), words);
    let outcome = TestRunner::new(config).run(&inputs, |input| {
        target(&input);
        Ok(())
    });
    if let Err(TestError::Fail(why, input)) = &outcome {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
        std::fs::write(&file, input).unwrap();
        panic!("{why}\n{name} fails on {}: {}", file.display(), String::from_utf8_lossy(input));
    }
    outcome.unwrap();
}

/// The files of a target's corpus, in the order of their names.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files: BTreeSet<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "{name} has no corpus");
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

/// What is done to an input, at a place of its document if it holds one, else at a place of its bytes.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    /// Something of the same type: a word, a number, a time.
    Alike(String, Value, String),
    Put(Value),
    Add(String, Value),
    Repeat(usize),
    Byte(u8),
}

/// An input of the corpus, up to four changes away.
fn near(corpus: Vec<Vec<u8>>, words: &str) -> impl Strategy<Value = Vec<u8>> {
    let list = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    // A longer one may be a secret, which a message shows with right if it stands where an id should be.
    let short = corpus.iter().flat_map(|input| words_of(input)).filter(|it| it.len() < 25);
    let common = [TIMES, NUMBERS, MARKS_OF_ASCII].into_iter().flat_map(list).chain(MARKS.map(str::to_owned));
    let known: BTreeSet<String> = short.chain(common).collect();
    let word = prop_oneof![select(list(words)), select(known.into_iter().collect::<Vec<_>>())];
    let number = select(list(NUMBERS)).prop_map(|it| serde_json::from_str::<Value>(&it).unwrap());
    let fresh = prop_oneof![
        3 => word.clone().prop_map(Value::from),
        1 => number.clone(),
        1 => any::<bool>().prop_map(Value::from),
        1 => (1..2_000_usize).prop_map(|length| json!("x".repeat(length))),
        1 => select(vec![json!(null), json!(""), json!([]), json!({})]),
    ];
    let change = prop_oneof![
        Just(Change::Remove),
        (word.clone(), number, select(list(TIMES))).prop_map(|it| Change::Alike(it.0, it.1, it.2)),
        fresh.clone().prop_map(Change::Put),
        (word, fresh).prop_map(|(word, value)| Change::Add(word, value)),
        (1..200_usize).prop_map(Change::Repeat),
        any::<u8>().prop_map(Change::Byte),
    ];
    // The first byte as often as all others: a status stands there.
    let place = (prop::bool::weighted(0.1), any::<Index>(), 0..8_usize);
    let changes = prop::collection::vec((place, change, prop::bool::weighted(0.75)), 0..=4);
    (select(corpus), changes).prop_map(|(mut input, changes)| {
        for ((is_first, index, length), change, keeps_form) in changes {
            let document = document_in(&input).filter(|_| keeps_form && !matches!(change, Change::Byte(_)));
            input = match document {
                Some((head, document)) => [head, in_document(document, index, &change).as_bytes()].concat(),
                None => in_bytes(&input, if is_first { 0 } else { index.index(input.len() + 1) }, length, &change),
            };
            // After each: four repetitions on top of each other make gigabytes.
            input.truncate(LENGTH_MAX);
        }
        input
    })
}

/// The JSON that an input ends with, and what comes before it.
fn document_in(input: &[u8]) -> Option<(&[u8], Value)> {
    let (head, rest) = input.split_at(input.iter().position(|it| *it == b'{')?);
    Some((head, serde_json::from_slice(rest).ok()?))
}

/// The keys and texts of a document, or the words of a text.
fn words_of(input: &[u8]) -> Vec<String> {
    let Some((_, document)) = document_in(input) else {
        let text = String::from_utf8_lossy(input);
        return text.split([' ', '\n', '<', '>', '=', '"']).map(str::to_owned).collect();
    };
    let mut words = Vec::new();
    for place in places(&document) {
        words.extend(document.pointer(&place).unwrap().as_str().map(str::to_owned));
        words.extend(place.rsplit('/').next().map(|it| it.replace("~1", "/").replace("~0", "~")));
    }
    words
}

/// All places of a document, as JSON pointers; the root is the first.
fn places(value: &Value) -> Vec<String> {
    let below = |key: &str, inner: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        places(inner).into_iter().map(move |place| format!("/{key}{place}")).collect::<Vec<_>>()
    };
    let inner: Vec<String> = match value {
        Value::Object(fields) => fields.iter().flat_map(|(key, inner)| below(key, inner)).collect(),
        Value::Array(items) => items.iter().enumerate().flat_map(|(n, inner)| below(&n.to_string(), inner)).collect(),
        _ => Vec::new(),
    };
    [String::new()].into_iter().chain(inner).collect()
}

fn in_document(mut document: Value, index: Index, change: &Change) -> String {
    let places = places(&document);
    let place = index.get(&places);
    if let (Change::Remove, Some((parent, key))) = (change, place.rsplit_once('/')) {
        match document.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.remove(key)),
            Value::Array(items) => drop(items.remove(key.parse().unwrap())),
            _ => {}
        }
        return document.to_string();
    }
    let at = document.pointer_mut(place).unwrap();
    match (change, &mut *at) {
        (Change::Alike(..), Value::Bool(is)) => *is = !*is,
        (Change::Alike(_, number, _), Value::Number(_)) => *at = number.clone(),
        (Change::Alike(_, _, time), Value::String(text)) if text.contains('T') && text.ends_with('Z') => {
            time.clone_into(text);
        }
        (Change::Alike(word, ..), Value::String(text)) => word.clone_into(text),
        (Change::Add(word, value), Value::Object(fields)) => drop(fields.insert(word.clone(), value.clone())),
        (Change::Add(_, value), Value::Array(items)) => items.push(value.clone()),
        (Change::Repeat(times), Value::String(text)) => *text = text.repeat(*times),
        (Change::Repeat(times), Value::Array(items)) => *items = vec![items.clone(); times % 20].concat(),
        (Change::Put(value) | Change::Add(_, value), _) => *at = value.clone(),
        _ => {}
    }
    document.to_string()
}

fn in_bytes(input: &[u8], from: usize, length: usize, change: &Change) -> Vec<u8> {
    let to = (from + length).min(input.len());
    let old = &input[from..to];
    let new = match change {
        Change::Remove => Vec::new(),
        Change::Put(Value::String(text)) | Change::Alike(text, ..) => text.clone().into_bytes(),
        Change::Put(value) => value.to_string().into_bytes(),
        Change::Add(word, _) => [word.as_bytes(), old].concat(),
        Change::Repeat(times) => old.repeat(1 + times),
        Change::Byte(byte) => vec![*byte],
    };
    [&input[..from], &new, &input[to..]].concat()
}
