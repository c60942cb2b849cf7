//! Lists that a service may make as long as it likes: what is not wanted of them is not kept.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

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
