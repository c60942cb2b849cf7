//! Parses a long list while it arrives, so that its memory does not depend on the number of rows.
//!
//! serde parses every row and every other value. This module only follows the objects that lead to the list. It copies
//! the rest of the document, with an empty list in place of the rows, for the reader of the whole document. So both
//! readers accept the same documents. Docs: docs/decisions/0051.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Deserializer;

use super::{plain, rows::Rows};

/// In bytes: the longest row, the longest other value, and the longest copy of the document without its rows.
const LONGEST: usize = 128 << 10;

/// Rows of a list that is parsed while it arrives.
pub(crate) trait StreamRows: Rows + Send + 'static {
    /// The keys that lead to the list.
    const PATH: &'static [&'static str];
    /// The limit for the decompressed body, in bytes.
    const BODY_LIMIT: usize;
    /// In bytes: the memory that the rows may need, whatever the cloud sends.
    const MEMORY: usize;
}

/// What takes a body of status 2xx while it arrives.
pub(crate) trait Sink: Default + Send + 'static {
    /// The limit for the decompressed body, in bytes. `None` if the sink takes nothing, and the answer has the body.
    const BODY_LIMIT: Option<usize>;
    /// In bytes: the memory that the sink may need.
    const MEMORY: usize;

    /// Takes as much as possible of the part, and returns its length. The next part begins with the rest.
    fn take(&mut self, part: &[u8]) -> usize;
}

/// Takes nothing.
impl Sink for () {
    const BODY_LIMIT: Option<usize> = None;
    const MEMORY: usize = 0;

    fn take(&mut self, _: &[u8]) -> usize {
        0
    }
}

impl<R: StreamRows> Sink for RowStream<R> {
    const BODY_LIMIT: Option<usize> = Some(R::BODY_LIMIT);
    const MEMORY: usize = R::MEMORY;

    fn take(&mut self, part: &[u8]) -> usize {
        self.read(part, false)
    }
}

/// A document with one long list.
#[derive(Debug)]
pub(crate) struct RowStream<R> {
    expected: Expected,
    /// The document so far, without rows and without spaces between tokens.
    document: Vec<u8>,
    /// The rows so far. `None` before the list begins.
    rows: Option<R>,
}

/// The next token. `depth` is the number of open objects; all of them lead to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value {
        depth: usize,
        on_path: bool,
    },
    FirstKey {
        depth: usize,
    },
    Key {
        depth: usize,
    },
    Colon {
        depth: usize,
        on_path: bool,
    },
    /// A comma, or the end of the object. With depth 0 the document has ended.
    Next {
        depth: usize,
    },
    FirstRow,
    Row,
    NextRow,
    /// The document is not valid.
    Nothing,
}

/// A complete document: the text without its rows, and the rows if the text had such a list.
pub(crate) struct Parts<R> {
    /// The list is empty here.
    pub(crate) document: Vec<u8>,
    pub(crate) rows: Option<R>,
}

impl<R> Default for RowStream<R> {
    fn default() -> Self {
        Self { expected: Expected::Value { depth: 0, on_path: true }, document: Vec::new(), rows: None }
    }
}

impl<R: StreamRows> RowStream<R> {
    /// Whether nothing has been read yet. A short body is parsed as a whole.
    pub(crate) fn is_new(&self) -> bool {
        self.expected == Self::default().expected
    }

    /// Reads the end of the body. `None` if the document is not valid, or has a value that is too long.
    pub(crate) fn finish(mut self, rest: &[u8]) -> Option<Parts<R>> {
        let is_complete = self.read(rest, true) == rest.len() && self.expected == Expected::Next { depth: 0 };
        is_complete.then_some(Parts { document: self.document, rows: self.rows })
    }

    /// Reads a whole body in parts; for tests. Each part has at least `least` new bytes.
    pub(crate) fn read_in_parts(mut self, body: &[u8], least: usize) -> Option<Parts<R>> {
        let (mut begin, mut end) = (0, least.max(1));
        while end < body.len() {
            begin += self.take(body.get(begin..end)?);
            end += least.max(1);
        }
        self.finish(body.get(begin..)?)
    }

    /// Returns how much of the part was read. The rest is one incomplete value, or nothing.
    fn read(&mut self, part: &[u8], is_last: bool) -> usize {
        let mut rest = part;
        loop {
            rest = trimmed(rest);
            let Some(&byte) = rest.first() else { break };
            match self.token(byte, rest, is_last) {
                Some(length) => rest = rest.get(length..).unwrap_or_default(),
                None if self.expected == Expected::Nothing => return part.len(),
                None => break,
            }
        }
        if !is_last && rest.len() > LONGEST {
            self.expected = Expected::Nothing;
            return part.len();
        }
        part.len() - rest.len()
    }

    /// Reads one token, which begins with this byte, and returns its length. `None` if it is incomplete or invalid.
    ///
    /// A value that serde refuses counts as incomplete: serde may refuse a number only because its end is missing. The
    /// rest then soon becomes longer than [`LONGEST`].
    fn token(&mut self, byte: u8, rest: &[u8], is_last: bool) -> Option<usize> {
        use Expected::{Colon, FirstKey, FirstRow, Key, Next, NextRow, Nothing, Row, Value};
        let (next, length) = match (self.expected, byte) {
            (Value { depth, on_path: true }, b'{') if depth < R::PATH.len() => (FirstKey { depth: depth + 1 }, 1),
            (Value { depth, on_path: true }, b'[') if depth == R::PATH.len() => {
                self.rows.get_or_insert_default();
                (FirstRow, 1)
            }
            (Value { depth, .. }, _) => (Next { depth }, value::<IgnoredAny>(rest, is_last)?.1),
            (FirstKey { depth } | Next { depth: depth @ 1.. }, b'}') => (Next { depth: depth - 1 }, 1),
            (FirstKey { depth } | Key { depth }, b'"') => {
                let (key, length) = value::<String>(rest, is_last)?;
                (Colon { depth, on_path: R::PATH.get(depth - 1) == Some(&key.as_str()) }, length)
            }
            (Colon { depth, on_path }, b':') => (Value { depth, on_path }, 1),
            (Next { depth: depth @ 1.. }, b',') => (Key { depth }, 1),
            (FirstRow | NextRow, b']') => (Next { depth: R::PATH.len() }, 1),
            (FirstRow | Row, _) => {
                let (row, length) = row::<R::Row<'_>>(rest, is_last)?;
                self.rows.get_or_insert_default().add(row);
                self.expected = NextRow;
                return Some(length);
            }
            (NextRow, b',') => {
                self.expected = Row;
                return Some(1);
            }
            _ => {
                self.expected = Nothing;
                return None;
            }
        };
        self.document.extend_from_slice(rest.get(..length)?);
        self.expected = if self.document.len() > LONGEST { Nothing } else { next };
        Some(length)
    }
}

/// As [`value`], and faster for a plain object.
#[inline]
fn row<'de, T: Deserialize<'de>>(rest: &'de [u8], is_last: bool) -> Option<(T, usize)> {
    plain::object(rest).filter(|(_, length)| *length <= LONGEST).or_else(|| value(rest, is_last))
}

/// Parses the value at the beginning, and returns its length. `None` if it is incomplete, invalid or too long.
///
/// A value at the very end may be incomplete, as in `1` and `10`.
fn value<'de, T: Deserialize<'de>>(rest: &'de [u8], is_last: bool) -> Option<(T, usize)> {
    let mut deserializer = Deserializer::from_slice(rest);
    let value = T::deserialize(&mut deserializer).ok()?;
    let length = deserializer.into_iter::<IgnoredAny>().byte_offset();
    (length <= LONGEST && (is_last || length < rest.len())).then_some((value, length))
}

/// Without spaces at the beginning. JSON has fewer kinds of spaces than [`u8::is_ascii_whitespace`].
fn trimmed(text: &[u8]) -> &[u8] {
    let is_token = |byte: &u8| !matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
    text.iter().position(is_token).and_then(|at| text.get(at..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::openstack::rows::List;

    #[derive(Debug, Clone, PartialEq, Deserialize)]
    struct Row {
        #[serde(default)]
        n: Option<f64>,
        #[serde(default)]
        s: Option<String>,
    }

    #[derive(Debug, Default, PartialEq)]
    struct All(Vec<Row>);

    impl Rows for All {
        type Row<'de> = Row;

        fn add(&mut self, row: Row) {
            self.0.push(row);
        }
    }

    impl StreamRows for All {
        const PATH: &'static [&'static str] = &["a", "rows"];
        const BODY_LIMIT: usize = usize::MAX;
        const MEMORY: usize = usize::MAX;
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Whole {
        a: Inner,
        #[serde(default)]
        links: Option<Vec<f64>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        #[serde(default)]
        rows: Option<List<All>>,
        total: Option<f64>,
    }

    fn whole(body: &[u8]) -> Option<Whole> {
        serde_json::from_slice(body).ok()
    }

    fn in_parts(body: &[u8], least: usize) -> Option<Whole> {
        let Parts { document, rows } = RowStream::<All>::default().read_in_parts(body, least)?;
        let mut whole = whole(&document)?;
        if rows.is_some() {
            whole.a.rows = rows.map(List);
        }
        Some(whole)
    }

    #[test]
    fn documents_and_what_is_read_of_them() {
        let row = |n: f64| Row { n: Some(n), s: None };
        for (body, rows) in [
            (r#"{"a":{"rows":[{"n":1},{"n":2}],"total":3}}"#, Some(Some(vec![row(1.0), row(2.0)]))),
            (r#" { "links" : [ 1 ] , "a" : { "total" : 3 , "rows" : [ { "n" : 1 } ] } } "#, Some(Some(vec![row(1.0)]))),
            (r#"{"a":{"rows":[]}}"#, Some(Some(vec![]))),
            (r#"{"a":{"rows":null}}"#, Some(None)),
            (r#"{"a":{}}"#, Some(None)),
            (r#"{"\u0061":{"\u0072ows":[{"n":1}]}}"#, Some(Some(vec![row(1.0)]))),
            // Objects of the same names elsewhere.
            (
                r#"{"b":{"rows":[{"n":1}]},"a":{"b":{"rows":[7]},"rows":[{"rows":[]}]},"rows":[3]}"#,
                Some(Some(vec![Row { n: None, s: None }])),
            ),
            // serde reads a struct from a list, too.
            (r#"[[[{"n":1}],3]]"#, Some(Some(vec![row(1.0)]))),
            (r#"{"a":[[[1,"x"]],3]}"#, Some(Some(vec![Row { n: Some(1.0), s: Some("x".to_owned()) }]))),
            (r#"{"a":{"rows":[{"n":1}],"rows":[{"n":1}]}}"#, None),
            (r#"{"a":{},"a":{}}"#, None),
            (r#"{"a":{"b":1,"b":2}}"#, Some(None)),
            (r#"{"a":{"rows":[{"n":1},]}}"#, None),
            (r#"{"a":{"rows":[,{"n":1}]}}"#, None),
            (r#"{"a":{"rows":[{"n":1} {"n":1}]}}"#, None),
            (r#"{"a":{"rows":[{"n":1}]},}"#, None),
            (r#"{"a":{"rows":[{"n":1}]}} x"#, None),
            (r#"{"a":{"rows":[{"n":1}]}}}"#, None),
            (r#"{"a":{"rows":[{"n":1}]}"#, None),
            (r#"{"a":{"rows":[{"n":"1"}]}}"#, None),
            (r#"{"a":{"rows":[{"n":1e999}]}}"#, None),
            (r#"{"a":{"rows":[{"n":NaN}]}}"#, None),
            (r#"{"a":{"rows":[{"x":-}]}}"#, None),
            (r#"{"a":{"rows":[{"x":"\ud800"}]}}"#, Some(Some(vec![Row { n: None, s: None }]))),
            (r#"{"a":{"rows":[{"s":"\ud800"}]}}"#, None),
            (r#"{"a":{"total":"3"}}"#, None),
            (r#"{"a":{},"links":7}"#, None),
            (r#"{"a":null}"#, None),
            ("\u{feff}{\"a\":{}}", None),
            ("null", None),
            ("{}", None),
            ("", None),
            (" ", None),
        ] {
            let read = |whole: Option<Whole>| whole.map(|whole| whole.a.rows.map(|List(All(rows))| rows));
            assert_eq!(read(whole(body.as_bytes())), rows, "{body}");
            for least in 1..body.len().max(2) {
                assert_eq!(read(in_parts(body.as_bytes(), least)), rows, "{body}, parts of {least}");
            }
        }
        let not_utf_8 = [&br#"{"a":{"rows":[{"x":""#[..], b"\xff", br#""}]}}"#].concat();
        assert!(whole(&not_utf_8).is_some() && in_parts(&not_utf_8, 5).is_some());
        let key = [&br#"{"a":{"rows":[{"n":1}]},""#[..], b"\xff", br#"":1}"#].concat();
        assert!(whole(&key).is_none() && in_parts(&key, 5).is_none());
    }

    /// Depth has no bound of its own: what is nested within a row is skipped without recursion.
    #[test]
    fn values_within_others_cost_no_stack() {
        for (depth, value) in [(100, 7), (50_000, 7), (50_000, 8)] {
            let nested = format!("{}{value}{}", "[".repeat(depth), "]".repeat(depth));
            let body = format!(r#"{{"a":{{"rows":[{{"x":{nested},"n":1}}]}},"y":{nested}}}"#);
            assert!(whole(body.as_bytes()).is_some() && in_parts(body.as_bytes(), 64 << 10).is_some(), "{depth}");
        }
    }

    /// A line is: the row, another value, and whether they are read. A whole body has no such bounds.
    #[test]
    fn one_long_value_is_refused() {
        // The row has eight more bytes, and the other value two. The rest of the document is short.
        const MOST: usize = LONGEST - 60;
        for (row, other, is_read) in
            [(MOST, 0, true), (LONGEST + 1, 0, false), (0, MOST, true), (0, LONGEST + 1, false)]
        {
            let [row, other] = [row, other].map(|length| "x".repeat(length));
            let body = format!(r#"{{"b":"{other}","a":{{"rows":[{{"x":"{row}"}}, {{}}]}}}}{}"#, " ".repeat(LONGEST));
            for least in [4 << 10, 100 << 10, 1 << 20] {
                assert_eq!(
                    in_parts(body.as_bytes(), least).is_some(),
                    is_read,
                    "{} {} {least}",
                    row.len(),
                    other.len()
                );
            }
            assert!(whole(body.as_bytes()).is_some());
        }
    }

    #[test]
    fn many_short_values_beside_the_list_are_refused() {
        let others = r#""b": [0], "#.repeat(LONGEST / 7);
        let body = format!(r#"{{{others}"a":{{"rows":[]}}}}{}"#, " ".repeat(4 << 10));
        assert!(in_parts(body.as_bytes(), 1 << 10).is_none());
    }

    /// Any value, and texts that are none.
    fn any_value() -> impl Strategy<Value = String> {
        let texts = [
            "0",
            "-0",
            "-1.5",
            "10",
            "1e5",
            "1E+2",
            "1e400",
            "123456789012345678901234567890",
            "null",
            "true",
            "\"\"",
            r#""é""#,
            r#""\u00e9\n""#,
            r#""\ud83d\ude00""#,
            r#""\ud83d""#,
            r#""a\"b\\""#,
            "[]",
            "{}",
            "[1, [2.5]]",
            r#"{"rows": [{"n": 1}]}"#,
            r#"{"a": {"a": "]}"}}"#,
            "-",
            "1.",
            "1e",
            "01",
            "tru",
            "NaN",
            "Infinity",
            "",
        ];
        select(texts.map(str::to_owned).to_vec())
    }

    fn members(keys: &'static [&'static str], value: BoxedStrategy<String>) -> impl Strategy<Value = String> {
        let member = (select(keys.to_vec()), value).prop_map(|(key, value)| format!("\"{key}\" :{value}"));
        vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(",\n")))
    }

    fn document() -> impl Strategy<Value = String> {
        let row = prop_oneof![4 => members(&["n", "s", "x", "rows"], any_value().boxed()), 1 => any_value()];
        let rows = vec(row, 0..5).prop_map(|rows| format!("[{}]", rows.join(", ")));
        let within = prop_oneof![3 => rows, 2 => any_value()].boxed();
        let inner =
            prop_oneof![6 => members(&["rows", "total", "x", "r\\u006fws"], within.clone()), 1 => within].boxed();
        let outer = prop_oneof![3 => inner.clone(), 1 => any_value()].boxed();
        let others = members(&["links", "rows", "x", "\\u0061"], outer);
        (inner, others, any::<bool>()).prop_map(|(inner, others, is_first)| {
            let others = &others[1..others.len() - 1];
            let mut members = vec![format!("\"a\": {inner}"), others.to_owned()];
            members.retain(|member| !member.is_empty());
            if !is_first {
                members.reverse();
            }
            format!("{{{}}}", members.join(", "))
        })
    }

    /// A byte that is inserted or replaced, or the end of the text.
    fn change() -> impl Strategy<Value = Option<(prop::sample::Index, u8, u8)>> {
        let byte = select(b"{}[],:\"\\ 1-e.\xff".to_vec());
        prop::option::weighted(0.4, (any::<prop::sample::Index>(), 0..3_u8, byte))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn parts_of_any_length_give_what_the_whole_gives(
            document in document(),
            change in change(),
            least in 1..60_usize,
        ) {
            let mut body = document.into_bytes();
            if let Some((at, kind, byte)) = change {
                let at = at.index(body.len());
                match kind {
                    0 => body.insert(at, byte),
                    1 => body[at] = byte,
                    _ => body.truncate(at),
                }
            }
            let (parts, whole) = (in_parts(&body, least), whole(&body));
            prop_assert_eq!(parts, whole);
        }
    }
}
