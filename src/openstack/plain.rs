//! Reads a plain object, as nearly all rows of a list are, faster than serde_json.
//!
//! A plain object has keys of ASCII, numbers, `true`, `false`, `null`, and strings without escapes. Whatever is not
//! plain, not valid or not complete is refused, and the caller uses serde_json. So no rule for such text is written
//! twice. Its functions are inlined always: left to the compiler, a row takes a third longer.
//! Docs: docs/decisions/0051.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor, value::BorrowedBytesDeserializer},
    forward_to_deserialize_any,
};

/// Reads the object at the beginning, and returns its length. `None` says nothing about the text: serde_json may read
/// it or not.
pub(super) fn object<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Option<(T, usize)> {
    let mut object = Object { rest: text.strip_prefix(b"{")?, state: State::Begin };
    let value = T::deserialize(&mut object).ok()?;
    Some((value, text.len() - object.rest.len()))
}

/// serde_json has to read the text.
#[derive(Debug)]
struct NotPlain;

impl fmt::Display for NotPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a plain object")
    }
}

impl std::error::Error for NotPlain {}

impl de::Error for NotPlain {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Object<'de> {
    rest: &'de [u8],
    state: State,
}

#[derive(PartialEq)]
enum State {
    Begin,
    Within,
    End,
}

impl<'de> Object<'de> {
    /// The next byte that is no space.
    #[inline(always)]
    fn token(&mut self) -> Result<u8, NotPlain> {
        loop {
            let (byte, rest) = self.rest.split_first().ok_or(NotPlain)?;
            self.rest = rest;
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Ok(*byte);
            }
        }
    }

    /// The rest of a string, after its first quote; and whether it is ASCII.
    #[inline(always)]
    fn string(&mut self) -> Result<(&'de [u8], bool), NotPlain> {
        let (length, is_ascii) = length_of_string(self.rest).ok_or(NotPlain)?;
        let (string, rest) = self.rest.split_at_checked(length).ok_or(NotPlain)?;
        self.rest = rest.get(1..).ok_or(NotPlain)?;
        Ok((string, is_ascii))
    }

    #[inline(always)]
    fn text(&mut self) -> Result<&'de str, NotPlain> {
        str::from_utf8(self.string()?.0).map_err(|_| NotPlain)
    }

    #[inline(always)]
    fn key<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<K::Value, NotPlain> {
        match self.string()? {
            // serde takes ASCII as bytes, too, and does not check it once more.
            (key, true) => seed.deserialize(BorrowedBytesDeserializer::new(key)),
            (_, false) => Err(NotPlain),
        }
    }

    #[inline(always)]
    fn prefix(&mut self, prefix: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    #[inline(always)]
    fn word(&mut self, word: &[u8]) -> Result<(), NotPlain> {
        if self.prefix(word) { Ok(()) } else { Err(NotPlain) }
    }
}

/// Only structs and maps. A newtype may be serde_json's `RawValue`, which would take a member for its text.
impl<'de> Deserializer<'de> for &mut Object<'de> {
    type Error = NotPlain;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NotPlain> {
        Err(NotPlain)
    }

    #[inline(always)]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        let value = visitor.visit_map(&mut *self)?;
        if self.state == State::End { Ok(value) } else { Err(NotPlain) }
    }

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NotPlain> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Object<'de> {
    type Error = NotPlain;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, NotPlain> {
        // As Python writes it.
        if self.state == State::Within && self.prefix(b", \"") {
            return self.key(seed).map(Some);
        }
        let byte = match (self.token()?, &self.state) {
            (b'}', State::Begin | State::Within) => {
                self.state = State::End;
                return Ok(None);
            }
            (byte, State::Begin) => byte,
            (b',', State::Within) => self.token()?,
            _ => return Err(NotPlain),
        };
        if byte != b'"' {
            return Err(NotPlain);
        }
        self.state = State::Within;
        self.key(seed).map(Some)
    }

    #[inline(always)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NotPlain> {
        if !self.prefix(b": ") && self.token()? != b':' {
            return Err(NotPlain);
        }
        let text = self.rest;
        let first = self.token()?;
        seed.deserialize(Value { first, text, object: self })
    }
}

/// A value whose first byte has been read.
struct Value<'a, 'de> {
    first: u8,
    /// With the first byte, and perhaps spaces before it.
    text: &'de [u8],
    object: &'a mut Object<'de>,
}

impl<'de> Value<'_, 'de> {
    /// serde_json knows what a number is, and rounds it.
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        let mut number = serde_json::Deserializer::from_slice(self.text);
        let value = number.deserialize_any(visitor).map_err(|_| NotPlain)?;
        let length = number.into_iter::<IgnoredAny>().byte_offset();
        self.object.rest = self.text.get(length..).ok_or(NotPlain)?;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = NotPlain;

    #[inline(always)]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        match self.first {
            b'"' => visitor.visit_borrowed_str(self.object.text()?),
            b'-' | b'0'..=b'9' => match small_integer(self.first, self.object.rest) {
                Some((number, rest)) => {
                    self.object.rest = rest;
                    visitor.visit_u64(number)
                }
                None => self.number(visitor),
            },
            b'n' => {
                self.object.word(b"ull")?;
                visitor.visit_unit()
            }
            b't' => {
                self.object.word(b"rue")?;
                visitor.visit_bool(true)
            }
            b'f' => {
                self.object.word(b"alse")?;
                visitor.visit_bool(false)
            }
            _ => Err(NotPlain),
        }
    }

    #[inline(always)]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        if self.first == b'n' {
            self.object.word(b"ull")?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    #[inline(always)]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotPlain> {
        match self.first {
            // It need not be UTF-8.
            b'"' => {
                self.object.string()?;
                visitor.visit_unit()
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// The length of a string without escapes: the number of bytes before its last quote. Whether it is ASCII. `None` for
/// other strings, and for one at the very end of the text.
///
/// As serde_json does, it compares eight bytes at once. A byte is less than a limit if the difference borrows from its
/// highest bit. Borrowing changes only bytes after the first such byte, and only the first one counts.
#[inline(always)]
fn length_of_string(text: &[u8]) -> Option<(usize, bool)> {
    const EACH: u64 = u64::MAX / 255;
    const HIGHEST: u64 = EACH << 7;
    let (mut rest, mut seen) = (text, 0);
    loop {
        let (chunk, after) = rest.split_first_chunk::<8>()?;
        let bytes = u64::from_le_bytes(*chunk);
        // With this bit changed, a quote is 0x20, a space is 0x22, and control characters remain below 0x20.
        let quote_or_control = (bytes ^ (EACH * 0x02)).wrapping_sub(EACH * 0x21);
        let backslash = (bytes ^ (EACH * u64::from(b'\\'))).wrapping_sub(EACH);
        let ends = (quote_or_control | backslash) & !bytes & HIGHEST;
        if ends == 0 {
            seen |= bytes;
            rest = after;
            continue;
        }
        seen |= bytes & (ends ^ (ends - 1));
        let at = ends.trailing_zeros() as usize / 8;
        let length = text.len() - rest.len() + at;
        return (chunk.get(at) == Some(&b'"')).then_some((length, seen & HIGHEST == 0));
    }
}

/// An integer of at most 16 digits, and what follows it.
#[inline(always)]
fn small_integer(first: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = u64::from(first.checked_sub(b'0')?);
    for (at, byte) in rest.iter().enumerate().take(16) {
        match byte {
            b'0'..=b'9' if number > 0 => number = number * 10 + u64::from(byte - b'0'),
            b'0'..=b'9' | b'.' | b'e' | b'E' => return None,
            _ => return Some((number, rest.get(at..)?)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        n: Option<f64>,
        #[serde(default)]
        u: Option<u64>,
        #[serde(default)]
        s: String,
        #[serde(default)]
        b: Option<bool>,
        any: Option<serde_json::Value>,
    }

    /// What serde_json reads at the beginning, and its length.
    fn by_serde_json(text: &str) -> Option<(Row, usize)> {
        let mut rows = serde_json::Deserializer::from_slice(text.as_bytes()).into_iter();
        let row = rows.next()?.ok()?;
        Some((row, rows.byte_offset()))
    }

    /// A line is: a text, and whether it is a plain object.
    #[test]
    fn what_is_plain() {
        let long = format!(r#"{{"{0}": "{0}", "n": 1}}"#, "k".repeat(1000));
        for (text, is_plain) in [
            ("{}", true),
            (" {}", false),
            ("{ \n\t\r}", true),
            (r#"{"n": 1, "u": 2, "s": "x y", "b": true, "any": "é"}"#, true),
            (r#"{ "n" : -1.5e3 , "b":false,"any":null,"x":"a{[]}:," }"#, true),
            (r#"{"x": 0, "n": 0, "u": 18446744073709551615, "any": 0.1}"#, true),
            (r#"{"x": 12345678901234567, "u": 1234567890123456, "any": -7}"#, true),
            (r#"{"x": "ü", "y": -1e9}"#, true),
            (&long, true),
            ("", false),
            ("[]", false),
            ("null", false),
            ("{", false),
            ("{}}", true),
            // serde_json reads these.
            (r#"{"x": 1e400}"#, false),
            (r#"{"s": "a\nb"}"#, false),
            (r#"{"\u006e": 1}"#, false),
            (r#"{"ä": 1}"#, false),
            (r#"{"x": [1]}"#, false),
            (r#"{"x": {}}"#, false),
            // And these it refuses.
            (r#"{"n": 1, "n": 1}"#, false),
            (r#"{"s": 1}"#, false),
            (r#"{"s": null}"#, false),
            (r#"{"u": 1.0}"#, false),
            (r#"{"u": -1}"#, false),
            (r#"{"b": 1}"#, false),
            (r#"{"n": 1e400}"#, false),
            (r#"{"x": 01}"#, false),
            (r#"{"x": 1.}"#, false),
            (r#"{"x": -}"#, false),
            (r#"{"x": +1}"#, false),
            (r#"{"x": NaN}"#, false),
            (r#"{"x": nul}"#, false),
            (r#"{"x": nulls}"#, false),
            (r#"{"x": }"#, false),
            (r#"{"x"}"#, false),
            (r#"{"x" 1}"#, false),
            (r#"{"x": 1,}"#, false),
            (r#"{, "x": 1}"#, false),
            (r#"{"x": 1 "y": 2}"#, false),
            (r#"{x: 1}"#, false),
            (r#"{"x": "y}"#, false),
            ("{\"x\": \"a\nb\"}", false),
            ("{\"x\n\": 1}", false),
        ] {
            // A string at the very end is not read.
            let text = format!("{text}        ");
            let read = object::<Row>(text.as_bytes());
            assert_eq!(read.is_some(), is_plain, "{text}");
            if is_plain {
                assert_eq!(read, by_serde_json(&text), "{text}");
            }
        }
    }

    /// serde_json checks the encoding of what is kept, and of keys.
    #[test]
    fn a_text_need_not_be_utf_8_if_it_is_ignored() {
        for (before, after, is_read) in
            [(r#"{"x": ""#, r#""}"#, true), (r#"{"s": ""#, r#""}"#, false), (r#"{""#, r#"": 1}"#, false)]
        {
            let text = [before.as_bytes(), b"\xff", after.as_bytes(), b"        "].concat();
            assert_eq!(object::<Row>(&text).is_some(), is_read, "{before}");
            let whole: Result<Row, _> = serde_json::from_slice(&text);
            assert_eq!(whole.is_ok(), is_read, "{before}");
        }
    }

    /// serde_json hands over the text of a value as a member with a name of its own.
    #[test]
    fn a_member_is_not_taken_for_the_text_of_a_value() {
        #[derive(Debug, Deserialize)]
        struct Kept {
            #[serde(rename = "x")]
            _x: Box<RawValue>,
        }
        let text = br#"{"$serde_json::private::RawValue": "[1]"}        "#;
        assert!(object::<&RawValue>(text).is_none() && object::<Box<RawValue>>(text).is_none());
        assert!(object::<Kept>(br#"{"x": "[1]"}        "#).is_none());
        assert!(serde_json::from_slice::<Kept>(br#"{"x": "[1]"}"#).is_ok());
    }

    fn members() -> impl Strategy<Value = String> {
        let keys = ["n", "u", "s", "b", "any", "x", "y", "long name of a key", "é", r"\u006e", ""];
        let values = [
            "0",
            "-0",
            "7",
            "-7",
            "1.5",
            "-1.5e-3",
            "1E+2",
            "01",
            "1.",
            "1e",
            "-",
            "1e400",
            "1234567890123456",
            "12345678901234567",
            "18446744073709551615",
            "18446744073709551616",
            "0.000277777777777778",
            "null",
            "true",
            "false",
            "tru",
            "\"\"",
            "\"text\"",
            "\"a text of more than eight bytes\"",
            "\"é and more\"",
            r#""\n""#,
            "\"\u{1}\"",
            "\"\u{7f}\"",
            "[]",
            "{}",
            "[1]",
            r#"{"n": 1}"#,
            "",
        ];
        let spaces = select(["", "", " ", "\n\t"].to_vec());
        let member = (select(keys.to_vec()), select(values.to_vec()), spaces);
        vec(member, 0..6).prop_map(|members| {
            let member = |(key, value, space)| format!(r#"{space}"{key}"{space}: {value}{space}"#);
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(", "))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// One byte of some texts is another one.
        #[test]
        fn what_is_plain_is_read_as_serde_json_reads_it(
            text in members(),
            change in proptest::option::of((any::<prop::sample::Index>(), select(br#"{}[]:,"\ 0-.e"#.to_vec()))),
        ) {
            let mut text: Vec<char> = text.chars().collect();
            if let Some((at, byte)) = change {
                let at = at.index(text.len());
                text[at] = byte.into();
            }
            let text = text.into_iter().chain(" ".repeat(8).chars()).collect::<String>();
            if let Some(read) = object::<Row>(text.as_bytes()) {
                prop_assert_eq!(Some(read), by_serde_json(&text), "{}", text);
            }
        }

        /// A text that ends anywhere is not read, so that more of it can come.
        #[test]
        fn what_is_incomplete_is_not_read(text in members(), end in any::<prop::sample::Index>()) {
            if let Some((_, length)) = object::<Row>(format!("{text}        ").as_bytes()) {
                prop_assert!(object::<Row>(&text.as_bytes()[..end.index(length)]).is_none());
            }
        }
    }
}
