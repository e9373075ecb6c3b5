//! The loop: replays a target's corpus, then mutates it for a number of inputs or a time. Judges nothing itself.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::mutate::{Dice, mutate};

/// How many inputs an ordinary run makes of each target.
const INPUTS_OF_AN_ORDINARY_RUN: u64 = 600;
/// How many inputs are kept because of a new answer.
const KEPT_MAX: usize = 2_000;

/// Tries `target` on its corpus and on mutants of it; `words` are worth putting into an input. What `target` returns is what
/// it has seen of an input, in short: a new answer makes the input worth mutating further. It panics where a promise breaks.
#[allow(clippy::disallowed_methods, reason = "a budget of time needs a clock")]
pub fn fuzz<A: Hash>(name: &str, words: &[&str], target: impl Fn(&[u8]) -> A) {
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|it| it.parse().expect("FUZZ_SECONDS is a number"));
    let seed = std::env::var("FUZZ_SEED").map_or(1, |it| it.parse().expect("FUZZ_SEED is a number"));
    let mut pool = corpus(name);
    assert!(!pool.is_empty(), "{name} has no corpus");
    let mut known = HashSet::new();
    for input in &pool {
        known.insert(answer(name, &target, input));
    }
    let (began, mut dice, mut inputs) = (Instant::now(), Dice::new(seed), 0);
    let goes_on = |inputs: u64| match seconds {
        Some(seconds) => began.elapsed() < Duration::from_secs(seconds),
        None => inputs < INPUTS_OF_AN_ORDINARY_RUN,
    };
    while goes_on(inputs) {
        let (input, other) = (&pool[dice.roll(pool.len())], &pool[dice.roll(pool.len())]);
        let mutant = mutate(&mut dice, input, other, words);
        if known.insert(answer(name, &target, &mutant)) && pool.len() < KEPT_MAX {
            pool.push(mutant);
        }
        inputs += 1;
    }
    let answers = known.len();
    println!("{name}: {inputs} inputs with seed {seed} in {} s, {answers} answers", began.elapsed().as_secs());
}

fn answer<A: Hash>(name: &str, target: impl Fn(&[u8]) -> A, input: &[u8]) -> u64 {
    let answer = catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|_| {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{:016x}", hasher.finish()));
        std::fs::write(&file, input).unwrap();
        let shown: String = String::from_utf8_lossy(input).chars().take(2_000).collect();
        panic!("{name} fails on {} ({} bytes): {shown}", file.display(), input.len());
    });
    let mut hasher = DefaultHasher::new();
    answer.hash(&mut hasher);
    hasher.finish()
}

/// The files of a target's corpus, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}
