//! Texts that are compared by digest. The size of a map's key and the cost of a lookup do not depend on their length.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use ring::digest::{Context, SHA256};

/// The SHA-256 digest of a list of texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// The digest of these texts in this order.
    pub(super) fn of(texts: &[&str]) -> Self {
        let mut context = Context::new(&SHA256);
        for text in texts {
            // The length prefix ensures that two different lists never have the same bytes.
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        let mut digest = [0; 32];
        digest.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(digest)
    }

    /// A stable number below `whole`.
    pub(super) fn part_of(self, whole: u32) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d]) % whole.max(1)
    }
}

/// In hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A `cacert` in PEM. Clones share the text.
#[derive(Clone)]
pub(super) struct Bundle {
    pem: Arc<str>,
    digest: Digest,
}

impl Bundle {
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the same bundle, but sharing `text` instead of holding a copy, if both texts are equal.
    pub(super) fn sharing(self, text: Option<&Arc<str>>) -> Self {
        let pem = text.filter(|text| *text == &self.pem).cloned();
        Self { pem: pem.unwrap_or(self.pem), ..self }
    }
}

impl From<&str> for Bundle {
    fn from(pem: &str) -> Self {
        Self { digest: Digest::of(&[pem]), pem: pem.into() }
    }
}

impl PartialEq for Bundle {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Bundle {}

impl Hash for Bundle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bundle").field(&self.pem.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_equal_by_content() {
        assert!(Digest::of(&["a", "bc"]) == Digest::of(&["a", "bc"]));
        for other in [["ab", "c"], ["abc", ""], ["", "abc"], ["bc", "a"]] {
            assert!(Digest::of(&["a", "bc"]) != Digest::of(&other), "{other:?}");
        }
        assert_eq!(Bundle::from("a"), Bundle::from("a"));
        assert_ne!(Bundle::from("a"), Bundle::from("b"));
    }
}
