//! Mutations of bytes, and of JSON where the bytes are JSON. Knows no target; all chance comes from one seed.

use serde_json::{Value, json};

/// No input is longer: everything that reads bytes from outside bounds them before it parses.
const LENGTH_MAX: usize = 64 << 10;

/// Numbers and times at the edges of what types and calendars hold.
const NUMBERS: &[&str] =
    &["0", "-1", "1", "255", "4294967295", "4294967296", "9223372036854775807", "18446744073709551615", "1e308"];
const TIMES: &[&str] = &[
    "9999-12-30T21:59:59Z",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "1970-01-01T00:00:00Z",
    "2026-11-24T12:00:00Z",
    "2026-11-24T12:00Z",
    "2026-11-24T12:20:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-24T12:00:60Z",
];

/// A generator of chance (`SplitMix64`).
pub struct Dice(u64);

impl Dice {
    /// One whose rolls follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 0 to `sides` − 1; `sides` is not 0.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap() % sides
    }

    /// One of `items`.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &'a [&'a T]) -> &'a T {
        items[self.roll(items.len())]
    }
}

/// A mutant of `input`, one to four changes away; `other` is an input to take parts from, `words` are those of the target.
pub fn mutate(dice: &mut Dice, input: &[u8], other: &[u8], words: &[&str]) -> Vec<u8> {
    let mut mutant = input.to_vec();
    for _ in 0..=dice.roll(4) {
        mutant = match serde_json::from_slice::<Value>(&mutant) {
            Ok(value) if dice.roll(4) > 0 => json_mutant(dice, value, words),
            _ => byte_mutant(dice, mutant, other, words),
        };
        // After each: four repetitions on top of each other make gigabytes.
        mutant.truncate(LENGTH_MAX);
    }
    mutant
}

fn byte_mutant(dice: &mut Dice, mut bytes: Vec<u8>, other: &[u8], words: &[&str]) -> Vec<u8> {
    let from = dice.roll(bytes.len() + 1);
    let to = (from + 1 + dice.roll(8)).min(bytes.len());
    let range = from.min(to)..to;
    let byte = u8::try_from(dice.roll(256)).unwrap();
    match dice.roll(7) {
        0 => drop(bytes.drain(range)),
        1 => drop(bytes.splice(range, [byte])),
        2 => drop(bytes.splice(range, word(dice, words).into_bytes())),
        3 => drop(bytes.splice(from..from, word(dice, words).into_bytes())),
        4 => {
            let start = dice.roll(other.len() + 1);
            bytes.splice(from.., other[start..].iter().copied());
        }
        5 => {
            let part = bytes[range].repeat(1 + dice.roll(200));
            bytes.splice(from..from, part);
        }
        _ => {
            if let Some(at) = bytes.get_mut(from) {
                *at ^= 1 << dice.roll(8);
            }
        }
    }
    bytes
}

fn json_mutant(dice: &mut Dice, mut value: Value, words: &[&str]) -> Vec<u8> {
    let mut place = dice.roll(count(&value));
    let fresh = fresh(dice, words);
    let name = word(dice, words);
    let (how, which) = (dice.roll(4), dice.roll(1_000));
    if let Some(at) = nth(&mut value, &mut place) {
        match at {
            Value::Object(fields) if how > 0 && !fields.is_empty() => {
                let key = fields.keys().nth(which % fields.len()).unwrap().clone();
                match how {
                    1 => drop(fields.remove(&key)),
                    2 => drop(fields.insert(key, fresh)),
                    _ => drop(fields.insert(name, fresh)),
                }
            }
            Value::Array(items) if how > 0 && !items.is_empty() => {
                let item = items[which % items.len()].clone();
                match how {
                    1 => drop(items.remove(which % items.len())),
                    2 => items.push(fresh),
                    _ => items.extend(std::iter::repeat_n(item, 1 + which % 20)),
                }
            }
            Value::String(text) if how == 1 => *text = text.repeat(1 + which % 50),
            Value::String(text) if how == 2 => {
                let bytes = byte_mutant(dice, std::mem::take(text).into_bytes(), b"", words);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            _ if how < 3 => *at = like(dice, at, words),
            _ => *at = fresh,
        }
    }
    value.to_string().into_bytes()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The place with this number, counted from the root.
fn nth<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, number)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, number)),
        _ => None,
    }
}

/// A value that may well stand in the place of `at`.
fn like(dice: &mut Dice, at: &Value, words: &[&str]) -> Value {
    match at {
        Value::Bool(is) => json!(!is),
        Value::Number(_) => serde_json::from_str(dice.pick(NUMBERS)).unwrap(),
        Value::String(text) if text.contains('T') && text.ends_with('Z') => json!(dice.pick(TIMES)),
        Value::String(_) if !words.is_empty() => json!(dice.pick(words)),
        _ => fresh(dice, words),
    }
}

fn fresh(dice: &mut Dice, words: &[&str]) -> Value {
    match dice.roll(8) {
        0 => Value::Null,
        1 => json!(dice.roll(2) == 0),
        2 => serde_json::from_str(dice.pick(NUMBERS)).unwrap(),
        3 => json!([]),
        4 => json!({}),
        5 => json!("x".repeat(dice.roll(2_000))),
        _ => json!(word(dice, words)),
    }
}

fn word(dice: &mut Dice, words: &[&str]) -> String {
    match dice.roll(4) {
        0 => dice.pick(TIMES).to_owned(),
        1 => dice.pick(NUMBERS).to_owned(),
        _ if words.is_empty() => String::new(),
        _ => dice.pick(words).to_owned(),
    }
}
