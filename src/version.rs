//! Which controller this is: its version and the commit that it was built from. Decides nothing.

use std::sync::LazyLock;

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, where the build was given one in `ECS_PASSWORD_RESET_REVISION`, as `make image` and `make dist` do.
pub const REVISION: &str = match option_env!("ECS_PASSWORD_RESET_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// What `--version` prints after the program's name.
pub fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {REVISION})"));
    &LONG
}
