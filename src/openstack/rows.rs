//! Lists of any length. Rows that are not needed are dropped during parsing.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Collects the needed parts of a list's rows.
pub(crate) trait Rows: Default {
    /// A row as the service sends it.
    type Row<'de>: Deserialize<'de>;

    /// Processes the next row.
    fn add(&mut self, row: Self::Row<'_>);
}

/// A list that is parsed row by row.
#[derive(Debug, PartialEq)]
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

/// An optional value: `None` if its shape is not the expected one.
///
/// The parser first skips the value and then parses it, so that an error in it affects only this value. A value within
/// `n` others is skipped `n` times.
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
        while let Some(row) = list.next_element::<R::Row<'de>>()? {
            rows.add(row);
        }
        Ok(List(rows))
    }
}
