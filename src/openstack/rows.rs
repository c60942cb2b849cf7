//! Lists that a service may make as long as it likes: what is not wanted of them is not kept.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// What is kept of a list's rows.
pub(crate) trait Rows: Default {
    /// A row as the service sends it.
    type Row: for<'de> Deserialize<'de>;

    /// The next row.
    fn add(&mut self, row: Self::Row);
}

/// A list, read row by row.
#[derive(Debug)]
pub(crate) struct List<R>(pub(crate) R);

impl<R: Rows> Default for List<R> {
    fn default() -> Self {
        Self(R::default())
    }
}

impl<'de, R: Rows> Deserialize<'de> for List<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reader(PhantomData))
    }
}

/// A value that others can do without: `None` where it has another shape than it should have.
///
/// It is skipped first and read then, so that what is odd within it ends there. A value within `n` others is passed
/// over `n` times.
#[derive(Debug)]
pub(crate) struct Odd<T>(pub(crate) Option<T>);

impl<T> Default for Odd<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Odd<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(text.get()).ok()))
    }
}

struct Reader<R>(PhantomData<R>);

impl<'de, R: Rows> Visitor<'de> for Reader<R> {
    type Value = List<R>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut rows = R::default();
        while let Some(row) = list.next_element()? {
            rows.add(row);
        }
        Ok(List(rows))
    }
}
