//! Where a value comes from, the command line or a variable: for refusals, which name what the reader has to change, and for the
//! first line of the log. Checks nothing.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::InvalidSetting;

/// Every flag with its value, given or not, as it could be typed.
pub(super) fn all(command: &Command, values: &ArgMatches) -> String {
    let flag = |arg: &Arg| {
        let value = values.try_get_raw(arg.get_id().as_str()).ok()??.next()?;
        Some(format!("--{}={}", arg.get_long()?, value.to_string_lossy()))
    };
    command.get_arguments().filter_map(flag).collect::<Vec<_>>().join(" ")
}

/// The problem with a value, with the variable's name where the value is a variable's.
pub(super) fn source_named(error: &InvalidSetting, command: &Command, values: &ArgMatches) -> String {
    let InvalidSetting { flag, problem } = error;
    let named = command.get_arguments().find(|arg| arg.get_long() == Some(*flag)).and_then(|arg| {
        let variable = arg.get_env()?.to_string_lossy();
        let is_variable = values.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable);
        is_variable.then(|| format!("{variable} (the variable of --{flag}) {problem}"))
    });
    named.unwrap_or_else(|| error.to_string())
}

/// The error about a value that does not parse, with the variable's name where the value is a variable's: clap blames the flag, which
/// nobody has typed.
pub(super) fn blamed(error: clap::Error, command: &mut Command, typed: &[OsString]) -> clap::Error {
    let variable = variable(&error, command, typed);
    let (Some((command, variable, flag)), Some(ContextValue::String(value))) =
        (variable, error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    let why = std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
    command.error(
        ErrorKind::ValueValidation,
        format!("invalid value {value:?} in {variable}, the variable of {flag}{why}"),
    )
}

/// The subcommand, variable and flag that an error is about, if the flag was not typed.
fn variable<'a>(
    error: &clap::Error,
    command: &'a mut Command,
    typed: &[OsString],
) -> Option<(&'a mut Command, String, String)> {
    let Some(ContextValue::String(invalid)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = invalid.split([' ', '=', '[']).next()?.to_owned();
    let is_flag = |word: &OsString| {
        let word = word.to_string_lossy();
        word == flag.as_str() || word.strip_prefix(&flag).is_some_and(|rest| rest.starts_with('='))
    };
    if typed.iter().any(is_flag) {
        return None;
    }
    let command = command.get_subcommands_mut().find(|sub| typed.iter().any(|word| word == sub.get_name()))?;
    let is_it = |arg: &&Arg| arg.get_long().is_some_and(|long| flag == format!("--{long}"));
    let variable = command.get_arguments().find(is_it)?.get_env()?.to_string_lossy().into_owned();
    Some((command, variable, flag))
}
