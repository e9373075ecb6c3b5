//! ECS's password rules, and the one type that holds a password: it cannot be printed, serialized or compared with `==`
//! in an assertion that would print it.

use crate::answer::Refusal;
use crate::instance::OsType;

/// The only special characters that ECS takes (`ModifyInstanceAttribute`, parameter Password). Not among them: space,
/// double quote, backslash, anything outside ASCII.
const SPECIALS: &str = "()`~!@#$%^&*-_+=|{}[]:;'<>,.?/";

/// A password. No `Debug`, `Display` or `Serialize` on purpose.
#[derive(Clone)]
pub(crate) struct Password(String);

impl Password {
    /// Takes the password if ECS would.
    pub(crate) fn accept(text: &str, os_type: OsType) -> Result<Self, Refusal> {
        let malformed =
            || Refusal::new("InvalidPassword.Malformed", 400, "The specified parameter \"Password\" is not valid.");
        let classes: [fn(char) -> bool; 4] = [
            |each| each.is_ascii_uppercase(),
            |each| each.is_ascii_lowercase(),
            |each| each.is_ascii_digit(),
            |each| SPECIALS.contains(each),
        ];
        let fits = (8..=30).contains(&text.chars().count())
            && text.chars().all(|each| classes.iter().any(|class| class(each)))
            && classes.iter().filter(|class| text.chars().any(class)).count() >= 3
            && !(os_type == OsType::Windows && text.starts_with('/'));
        if fits { Ok(Self(text.to_owned())) } else { Err(malformed()) }
    }

    /// The password itself, for [`crate::Core`]'s accessors.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str, os_type: OsType) -> bool {
        Password::accept(text, os_type).is_ok()
    }

    #[test]
    fn every_special_is_taken_and_nothing_else() {
        assert_eq!(SPECIALS.chars().count(), 30);
        for special in SPECIALS.chars() {
            assert!(taken(&format!("Abcdef1{special}"), OsType::Linux), "{special}");
        }
        for other in [' ', '"', '\\', '\n', '\t', 'é', '密', '\u{7f}'] {
            assert!(!taken(&format!("Abcdef1{other}"), OsType::Linux), "{other:?}");
        }
    }

    #[test]
    fn the_length_is_8_to_30() {
        for (length, fits) in [(7, false), (8, true), (30, true), (31, false)] {
            let text = format!("Aa1{}", "x".repeat(length - 3));
            assert_eq!(taken(&text, OsType::Linux), fits, "{length}");
        }
    }

    #[test]
    fn three_of_the_four_classes_are_needed() {
        for (text, fits) in [
            ("abcdefgh", false),
            ("Abcdefgh", false),
            ("abcdefg1", false),
            ("Abcdefg1", true),
            ("abcdef1!", true),
            ("ABCDEF1!", true),
        ] {
            assert_eq!(taken(text, OsType::Linux), fits, "{text}");
        }
    }

    #[test]
    fn only_windows_minds_a_leading_slash() {
        assert!(taken("/Abcdef1", OsType::Linux));
        assert!(!taken("/Abcdef1", OsType::Windows));
        assert!(taken("Abcdef1/", OsType::Windows));
    }
}
