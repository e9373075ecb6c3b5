//! ECS's rules for a logon password, checked before any call.
//!
//! 8 to 30 characters of at least three classes, specials from a list of 30, on Windows no leading `/` (ECS API 2014-05-26,
//! `ModifyInstanceAttribute`, parameter `Password`). A message names the rule; of a character that is not allowed its kind and
//! its place, since such a one is mostly invisible. No message shows a character, and none tells the password's length: the last place is
//! "at the end".

use std::fmt;

/// The specials that ECS allows; everything else outside letters and digits is refused.
const SPECIALS: &[u8] = br"()`~!@#$%^&*-_+=|{}[]:;'<>,.?/";

/// The rule that a password breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is nothing.
    #[error("the password is empty; put 8 to 30 characters into the Secret")]
    Empty,
    /// A line break at the end, which editors and `echo` add.
    #[error("the password ends with {0}; write the Secret without it, for example with `printf %s` or `echo -n`")]
    TrailingNewline(LineBreak),
    /// Not 8 to 30 characters.
    #[error("the password must have 8 to 30 characters")]
    Length,
    /// A character outside the allowed ones.
    #[error(
        "the password contains a character that ECS does not allow: {kind} {place}; allowed are letters, digits and ( ) ` ~ ! @ # $ % ^ & * - _ + = | {{ }} [ ] : ; ' < > , . ? /"
    )]
    Character {
        /// What kind of character.
        kind: Kind,
        /// Where the first of them is.
        place: Place,
    },
    /// Fewer than three classes.
    #[error("the password must contain at least three of: upper-case letters, lower-case letters, digits, specials")]
    Classes,
    /// A leading `/` on Windows.
    #[error("the password of a Windows instance must not start with '/'")]
    LeadingSlash,
}

/// How a password ends that ends with a line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineBreak {
    /// As Unix writes it.
    Lf,
    /// As Windows writes it.
    CrLf,
    /// The half of it that is left when only the newline was cut off.
    Cr,
}

impl fmt::Display for LineBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lf => "a newline",
            Self::CrLf => "a carriage return and a newline (CR LF)",
            Self::Cr => "a carriage return (CR)",
        })
    }
}

/// What kind of character is not allowed: enough to find it, and not the character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// U+FEFF, which editors put in front of a text.
    ByteOrderMark,
    /// The character that divides words.
    Space,
    /// One that looks like a space and divides no words.
    NoBreakSpace,
    /// Any other white space outside ASCII.
    OtherSpace,
    /// Tab.
    Tab,
    /// The newline.
    Newline,
    /// The carriage return.
    CarriageReturn,
    /// NUL: every second one of a text in UTF-16.
    Nul,
    /// Any other control character.
    Control,
    /// One that shows as nothing.
    Invisible,
    /// A quotation mark that a word processor put in the place of `'` or `"`.
    TypographicQuote,
    /// A dash that a word processor put in the place of `-`.
    TypographicDash,
    /// ECS takes all printable characters of ASCII but these.
    QuoteOrBackslash,
    /// A letter that is not one of the 26.
    Letter,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(character: char) -> Self {
        match character {
            '\u{FEFF}' => Self::ByteOrderMark,
            ' ' => Self::Space,
            '\u{A0}' | '\u{202F}' | '\u{2007}' => Self::NoBreakSpace,
            '\t' => Self::Tab,
            '\n' => Self::Newline,
            '\r' => Self::CarriageReturn,
            '\0' => Self::Nul,
            '"' | '\\' => Self::QuoteOrBackslash,
            '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' => Self::Invisible,
            '\u{2018}'..='\u{201F}' | '\u{2032}' | '\u{2033}' | '\u{B4}' | '\u{AB}' | '\u{BB}' => {
                Self::TypographicQuote
            }
            '\u{2010}'..='\u{2015}' | '\u{2212}' => Self::TypographicDash,
            character if character.is_control() => Self::Control,
            character if character.is_whitespace() => Self::OtherSpace,
            character if character.is_alphabetic() => Self::Letter,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByteOrderMark => "a byte order mark",
            Self::Space => "a space",
            Self::NoBreakSpace => "a no-break space",
            Self::OtherSpace => "a space outside ASCII",
            Self::Tab => "a tab",
            Self::Newline => "a newline",
            Self::CarriageReturn => "a carriage return (CR)",
            Self::Nul => "a NUL, as in a text in UTF-16,",
            Self::Control => "a control character",
            Self::Invisible => "an invisible character",
            Self::TypographicQuote => "a typographic quotation mark",
            Self::TypographicDash => "a typographic dash",
            Self::QuoteOrBackslash => "a double quotation mark or a backslash",
            Self::Letter => "a letter outside ASCII",
            Self::Other => "a character outside ASCII",
        })
    }
}

/// Where a character is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the first one.
    Start,
    /// Counted in characters from 1.
    Position(usize),
    /// It is the last one. Its number would be the password's length.
    End,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("at the start"),
            Self::Position(position) => write!(f, "at position {position}"),
            Self::End => f.write_str("at the end"),
        }
    }
}

/// Checks the rules that hold for every instance.
///
/// # Errors
/// The first rule that is broken.
pub fn check(password: &str) -> Result<(), Broken> {
    let line_break = match password.as_bytes() {
        [] => return Err(Broken::Empty),
        [.., b'\r', b'\n'] => Some(LineBreak::CrLf),
        [.., b'\n'] => Some(LineBreak::Lf),
        [.., b'\r'] => Some(LineBreak::Cr),
        _ => None,
    };
    if let Some(line_break) = line_break {
        return Err(Broken::TrailingNewline(line_break));
    }
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || u8::try_from(it).is_ok_and(|it| SPECIALS.contains(&it));
    if let Some((index, character)) = password.chars().enumerate().find(|(_, character)| !is_allowed(*character)) {
        let place = match index {
            0 => Place::Start,
            _ if password.chars().nth(index + 1).is_none() => Place::End,
            _ => Place::Position(index + 1),
        };
        return Err(Broken::Character { kind: Kind::of(character), place });
    }
    if !(8..=30).contains(&password.len()) {
        return Err(Broken::Length);
    }
    let classes: [fn(&u8) -> bool; 4] =
        [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit, |byte| SPECIALS.contains(byte)];
    if classes.iter().filter(|class| password.as_bytes().iter().any(class)).count() < 3 {
        return Err(Broken::Classes);
    }
    Ok(())
}

/// Checks the rule that holds for Windows alone.
///
/// # Errors
/// [`Broken::LeadingSlash`].
pub fn check_windows(password: &str) -> Result<(), Broken> {
    if password.starts_with('/') { Err(Broken::LeadingSlash) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_special_is_allowed() {
        assert_eq!(SPECIALS.len(), 30);
        for special in SPECIALS {
            let password = format!("Abcdef1{}", char::from(*special));
            assert_eq!(check(&password), Ok(()), "{password}");
        }
    }

    #[test]
    fn each_rule_is_named() {
        for (password, broken) in [
            ("", Broken::Empty),
            ("Abcdefg1\n", Broken::TrailingNewline(LineBreak::Lf)),
            ("Abcdefg1\r\n", Broken::TrailingNewline(LineBreak::CrLf)),
            ("Abcdefg1\r", Broken::TrailingNewline(LineBreak::Cr)),
            ("Abcde1!", Broken::Length),
            ("Abcdefghijklmnopqrstuvwxyz12345", Broken::Length),
            ("abcdefg1", Broken::Classes),
            ("ABCDEFG!", Broken::Classes),
        ] {
            assert_eq!(check(password), Err(broken), "{password:?}");
        }
        assert_eq!(check("Abcdefg1"), Ok(()));
        assert_eq!(check("Abcdefghijklmnopqrstuvwxyz1234"), Ok(()));
    }

    #[test]
    fn a_character_is_named_by_kind_and_place_and_not_shown() {
        for (password, says) in [
            ("\u{FEFF}Abcdefg1", "a byte order mark at the start"),
            ("Abcdefg1\u{A0}x", "a no-break space at position 9"),
            ("Abcdefg1\u{A0}", "a no-break space at the end"),
            ("Abcdefg1 ", "a space at the end"),
            (" Abcdefg1", "a space at the start"),
            ("Abcd\refg1", "a carriage return (CR) at position 5"),
            ("Abcd\nefg1", "a newline at position 5"),
            ("A\0b\0c\0d\0e\0f\0", "a NUL, as in a text in UTF-16, at position 2"),
            ("Abcdefg\t1", "a tab at position 8"),
            ("Abcdefg\u{1B}1", "a control character at position 8"),
            ("Abcdefg\u{3000}1", "a space outside ASCII at position 8"),
            ("Abcdefg\u{200B}1", "an invisible character at position 8"),
            ("Abcdefg\u{2019}1", "a typographic quotation mark at position 8"),
            ("Abcdefg\u{2013}1", "a typographic dash at position 8"),
            ("Abcdefg\"1", "a double quotation mark or a backslash at position 8"),
            ("Abcdefg\\1", "a double quotation mark or a backslash at position 8"),
            ("Äbcdéfg1", "a letter outside ASCII at the start"),
            ("abcdéfg1", "a letter outside ASCII at position 5"),
            ("Abcdefg\u{1F511}1", "a character outside ASCII at position 8"),
            (" ", "a space at the start"),
        ] {
            let said = check(password).unwrap_err().to_string();
            assert!(said.contains(&format!(": {says}; allowed are")), "{password:?}: {said}");
            assert!(!said.contains("bcd") && said.is_ascii(), "{said}");
        }
    }

    #[test]
    fn no_message_tells_the_length_or_the_characters_of_a_password() {
        // The message is the same for every length and for every other last character.
        for bad in ["\u{A0}", "\n", "\r", "é", "\"", "\u{FEFF}"] {
            let said = |password: String| check(&password).unwrap_err().to_string();
            assert_eq!(said(format!("Abcdefg1{bad}")), said(format!("Zyxwvuts9876{bad}")), "{bad:?}");
            assert_eq!(said(format!("Ab{bad}defg1")), said(format!("Yx{bad}wvuts9876")), "{bad:?}");
        }
        assert_eq!(check("Abcde1!"), check(&"Zy9".repeat(100)));
    }

    #[test]
    fn a_leading_slash_is_refused_on_windows_only() {
        assert_eq!(check("/Abcdef1"), Ok(()));
        assert_eq!(check_windows("/Abcdef1"), Err(Broken::LeadingSlash));
        assert_eq!(check_windows("Abcdef1/"), Ok(()));
    }
}
