//! The token of the cluster's service account, which STS takes for a role. Reads one file and nothing else.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use secrecy::SecretString;
use zeroize::Zeroizing;

/// The longest token that STS takes.
const TOKEN_BYTES_MAX: usize = 20_000;

/// A role, and what it is had for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcRole {
    /// `acs:ram::<account>:role/<name>`.
    pub role_arn: String,
    /// `acs:ram::<account>:oidc-provider/<name>`: who vouches for the token.
    pub oidc_provider_arn: String,
    /// Where the kubelet keeps the token, which it replaces long before it expires: read it again each time.
    pub token_file: PathBuf,
}

/// Why a file gave no token. It names the file and holds nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It could not be opened, or is not text.
    #[error(
        "the token file {} cannot be read ({}): the pod needs a projected service account token for the audience sts.aliyuncs.com",
        file.display(),
        if *kind == ErrorKind::NotFound { "no such file".to_owned() } else { kind.to_string() }
    )]
    Unreadable {
        /// Where it is.
        file: PathBuf,
        /// What the system says.
        kind: ErrorKind,
    },
    /// STS takes no token of this length.
    #[error("the token file {} has more than {TOKEN_BYTES_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    /// It holds nothing but blanks.
    #[error("the token file {} is empty", .0.display())]
    Empty(PathBuf),
}

impl OidcRole {
    /// The token as it is now.
    pub fn token(&self) -> Result<SecretString, TokenFileError> {
        let file = || self.token_file.clone();
        // Made once, large enough: nothing of the token is left behind where the buffer was moved from.
        let mut token = Zeroizing::new(String::with_capacity(TOKEN_BYTES_MAX + 2));
        let read = File::open(&self.token_file)
            .and_then(|opened| opened.take(TOKEN_BYTES_MAX as u64 + 1).read_to_string(&mut token));
        match read {
            Err(error) => Err(TokenFileError::Unreadable { file: file(), kind: error.kind() }),
            Ok(_) if token.len() > TOKEN_BYTES_MAX => Err(TokenFileError::TooLong(file())),
            Ok(_) if token.trim().is_empty() => Err(TokenFileError::Empty(file())),
            Ok(_) => Ok(SecretString::from(token.trim())),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn token_file_is_read_each_time_and_its_faults_are_named() {
        let directory = std::env::temp_dir().join(format!("oidc-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let token_file = directory.join("token");
        let role =
            OidcRole { role_arn: String::new(), oidc_provider_arn: String::new(), token_file: token_file.clone() };
        let error = || role.token().err().unwrap().to_string();
        assert!(error().contains("cannot be read (no such file)"));
        for token in ["first", "second"] {
            std::fs::write(&token_file, format!("{token}\n")).unwrap();
            assert_eq!(role.token().unwrap().expose_secret(), token);
        }
        std::fs::write(&token_file, " \n").unwrap();
        assert!(error().contains("is empty"));
        std::fs::write(&token_file, "t".repeat(TOKEN_BYTES_MAX + 1)).unwrap();
        assert!(error().contains("more than"));
        std::fs::write(&token_file, [0xFF]).unwrap();
        assert!(error().contains("cannot be read"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
