//! ECS's rules for a logon password, checked before any call.
//!
//! 8 to 30 characters of at least three classes, specials from a list of 30, on Windows no leading `/` (ECS API 2014-05-26,
//! `ModifyInstanceAttribute`, parameter `Password`). A message names the rule, never the place: whoever may read a
//! condition but not the Secret learns no character of it.

/// The specials that ECS allows; everything else outside letters and digits is refused.
const SPECIALS: &[u8] = br"()`~!@#$%^&*-_+=|{}[]:;'<>,.?/";

/// The rule that a password breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is nothing.
    #[error("the password is empty; put 8 to 30 characters into the Secret")]
    Empty,
    /// A newline at the end, which editors and `echo` add.
    #[error("the password ends with a newline; write the Secret without it, for example with `printf %s` or `echo -n`")]
    TrailingNewline,
    /// Not 8 to 30 characters.
    #[error("the password must have 8 to 30 characters")]
    Length,
    /// A character outside the allowed ones.
    #[error(
        "the password holds a character that ECS does not allow; allowed are letters, digits and ( ) ` ~ ! @ # $ % ^ & * - _ + = | {{ }} [ ] : ; ' < > , . ? /"
    )]
    Character,
    /// Fewer than three classes.
    #[error("the password must hold at least three of: upper-case letters, lower-case letters, digits, specials")]
    Classes,
    /// A leading `/` on Windows.
    #[error("the password of a Windows instance must not start with '/'")]
    LeadingSlash,
}

/// Checks the rules that hold for every instance.
///
/// # Errors
/// The first rule that is broken.
pub fn check(password: &[u8]) -> Result<(), Broken> {
    if password.is_empty() {
        return Err(Broken::Empty);
    }
    if matches!(password.last(), Some(b'\n' | b'\r')) {
        return Err(Broken::TrailingNewline);
    }
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || SPECIALS.contains(byte);
    if !password.iter().all(allowed) {
        return Err(Broken::Character);
    }
    if !(8..=30).contains(&password.len()) {
        return Err(Broken::Length);
    }
    let classes: [fn(&u8) -> bool; 4] =
        [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit, |byte| SPECIALS.contains(byte)];
    if classes.iter().filter(|class| password.iter().any(class)).count() < 3 {
        return Err(Broken::Classes);
    }
    Ok(())
}

/// Checks the rule that holds for Windows alone.
///
/// # Errors
/// [`Broken::LeadingSlash`].
pub fn check_windows(password: &[u8]) -> Result<(), Broken> {
    if password.first() == Some(&b'/') { Err(Broken::LeadingSlash) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_special_is_allowed() {
        assert_eq!(SPECIALS.len(), 30);
        for special in SPECIALS {
            let password = [b"Abcdef1".as_slice(), &[*special]].concat();
            assert_eq!(check(&password), Ok(()), "{}", char::from(*special));
        }
    }

    #[test]
    fn each_rule_is_named() {
        for (password, broken) in [
            ("", Broken::Empty),
            ("Abcdefg1\n", Broken::TrailingNewline),
            ("Abcdefg1\r\n", Broken::TrailingNewline),
            ("Abcde1!", Broken::Length),
            ("Abcdefghijklmnopqrstuvwxyz12345", Broken::Length),
            ("Abcdefg1 x", Broken::Character),
            ("Abcdefg1\"x", Broken::Character),
            ("Abcdefg1\\x", Broken::Character),
            ("Abcdéfg1", Broken::Character),
            ("Abcdefg1\0", Broken::Character),
            ("abcdefg1", Broken::Classes),
            ("ABCDEFG!", Broken::Classes),
        ] {
            assert_eq!(check(password.as_bytes()), Err(broken), "{password:?}");
        }
        assert_eq!(check(b"Abcdefg1"), Ok(()));
        assert_eq!(check(b"Abcdefghijklmnopqrstuvwxyz1234"), Ok(()));
    }

    #[test]
    fn a_leading_slash_is_refused_on_windows_only() {
        assert_eq!(check(b"/Abcdef1"), Ok(()));
        assert_eq!(check_windows(b"/Abcdef1"), Err(Broken::LeadingSlash));
        assert_eq!(check_windows(b"Abcdef1/"), Ok(()));
    }
}
