//! Reasons are read back, and each is documented.

use super::Reason;

#[test]
fn a_reason_is_one_camel_case_word_and_is_read_back() {
    for reason in Reason::ALL {
        let text = reason.as_str();
        assert!(text.starts_with(|c: char| c.is_ascii_uppercase()), "{text}");
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric()), "{text}");
        assert_eq!(Reason::parse(text), Some(*reason));
    }
    assert_eq!(Reason::parse("TypedByHand"), None);
}

#[test]
fn the_documentation_explains_each_reason_once() {
    let lines = include_str!("../../docs/REASONS.md").lines();
    let rows = lines.filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut explained: Vec<&str> = rows.map(|(reason, _)| reason).collect();
    let mut all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    explained.sort_unstable();
    all.sort_unstable();
    assert_eq!(explained, all);
}
