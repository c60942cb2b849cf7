//! A text that must not be printed.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use secrecy::{ExposeSecret, SecretString};

/// A password, an application credential's secret or a token.
///
/// It has no `Display`, its `Debug` prints `[redacted]`, and its memory is cleared on drop. Comparison and hash use the
/// content, so that equal credentials can share a session.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself. Use it only in a request's body or header.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_nothing_and_compares_by_content() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret, Secret::from("hunter2".to_owned()));
        assert_ne!(secret, Secret::from("hunter3".to_owned()));
    }
}
