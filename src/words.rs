//! Makes text from outside safe to print.
//!
//! A name from a cloud, a Secret or an object may contain terminal escapes, line breaks, invisible characters, or
//! characters that change the direction of the text around them. Such a name must not forge a line of the log or of
//! `kubectl describe`. Every text from outside passes [`word`] or [`escaped`] before it becomes part of a status, an
//! event, a metric, a line of the log, or the output of `check`.
//!
//! The operator compares names in their escaped form wherever people see and repeat that form, such as in
//! `ignoreHosts`. Values that it sends to a cloud are never escaped.

use std::borrow::Cow;

/// The maximum length of a name from outside, in bytes.
pub const LONGEST: usize = 255;

/// Unicode's format characters (category Cf, version 16), its line and paragraph separators (Zl, Zp), and code points
/// that it reserves for more of them. They are invisible, and some change the direction of the following text.
const INVISIBLE: [(char, char); 20] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    // Tags, and variation selectors that can hide any text.
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character controls a terminal or the surrounding text, or is invisible.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    let is_noncharacter = u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    c.is_control() || is_noncharacter || INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Writes each unsafe character as its escape, such as `\u{202e}`. The result has at most `most` bytes, whole
/// characters and whole escapes.
///
/// A text without unsafe characters only loses what is too long. A second call therefore changes nothing.
#[must_use]
pub fn escaped(text: &str, most: usize) -> String {
    cut(text, most).0
}

/// A name from outside: [`escaped`], at most 255 bytes.
#[must_use]
pub fn word(text: &str) -> String {
    escaped(text, LONGEST)
}

/// [`word`], without a copy of nearly all names.
#[must_use]
pub fn word_of(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_plain(&text, LONGEST) { text } else { word(&text).into() }
}

/// [`word`] for names that identify something. `None` if the name is too long, because the beginning of a name may be
/// another name.
#[must_use]
pub fn whole_word(text: &str) -> Option<String> {
    let (word, is_whole) = cut(text, LONGEST);
    is_whole.then_some(word)
}

/// [`escaped`], and whether that is the whole text.
fn cut(text: &str, most: usize) -> (String, bool) {
    if is_plain(text, most) {
        return (text.to_owned(), true);
    }
    let mut safe = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        let escape = is_unsafe(c).then(|| c.escape_unicode());
        if safe.len() + escape.as_ref().map_or(c.len_utf8(), ExactSizeIterator::len) > most {
            return (safe, false);
        }
        match escape {
            Some(escape) => safe.extend(escape),
            None => safe.push(c),
        }
    }
    (safe, true)
}

/// Whether it is short and of printable ASCII, as nearly all names are. Much faster than the whole check.
fn is_plain(text: &str, most: usize) -> bool {
    text.len() <= most && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A text of several lines, with each line [`escaped`] and no line lost. Only for text whose lines are the operator's
/// own.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    let is_bad = |c: char| c != '\n' && is_unsafe(c);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(|line| escaped(line, usize::MAX)).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unsafe_characters_become_escapes() {
        for (name, text, safe) in [
            ("plain", "No such project.", "No such project."),
            ("lines and tabs", "a\r\nb\tc", r"a\u{d}\u{a}b\u{9}c"),
            ("a terminal's escape", "\u{1b}[31mred\u{7}", r"\u{1b}[31mred\u{7}"),
            ("the same in one character", "\u{9b}2J", r"\u{9b}2J"),
            ("NUL and DEL", "a\0b\u{7f}c", r"a\u{0}b\u{7f}c"),
            ("direction", "a\u{202e}b\u{2066}c\u{200f}d\u{61c}e", r"a\u{202e}b\u{2066}c\u{200f}d\u{61c}e"),
            ("invisible", "a\u{200b}b\u{feff}c\u{ad}d", r"a\u{200b}b\u{feff}c\u{ad}d"),
            ("tags", "\u{e0001}\u{e0041}\u{e01ef}", r"\u{e0001}\u{e0041}\u{e01ef}"),
            ("separators", "a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
            ("noncharacters", "\u{fffe}\u{ffff}\u{fdd0}\u{1ffff}", r"\u{fffe}\u{ffff}\u{fdd0}\u{1ffff}"),
            ("other scripts", "Ошибка 错误 ✗ 😀 é", "Ошибка 错误 ✗ 😀 é"),
            ("a backslash stays", r"DOMAIN\user \u{202e}", r"DOMAIN\user \u{202e}"),
            ("spaces stay", " a ", " a "),
            ("nothing", "", ""),
        ] {
            assert_eq!(word(text), safe, "{name}");
        }
    }

    #[test]
    fn a_cut_keeps_characters_and_escapes_whole() {
        for (name, text, most, safe) in [
            ("fits", "abcd", 4, "abcd"),
            ("too long", "abcde", 4, "abcd"),
            ("within a character", "éé", 3, "é"),
            ("within an escape", "ab\u{202e}c", 9, "ab"),
            ("after an escape", "ab\u{202e}c", 10, r"ab\u{202e}"),
            ("no room", "abc", 0, ""),
        ] {
            assert_eq!(escaped(text, most), safe, "{name}");
        }
        assert_eq!(word(&"x".repeat(256)).len(), 255);
        for (name, text, is_whole) in [
            ("the longest", "x".repeat(255), true),
            ("longer", "x".repeat(256), false),
            ("the longest with escapes", "\u{1}".repeat(51), true),
            ("longer with escapes", "\u{1}".repeat(52), false),
        ] {
            assert_eq!(whole_word(&text).is_some(), is_whole, "{name}");
        }
        assert_eq!(word(&"\u{1b}".repeat(256)), r"\u{1b}".repeat(42));
    }

    #[test]
    fn only_line_breaks_between_own_lines_stay() {
        assert_eq!(lines("a\nb"), "a\nb");
        assert_eq!(lines("a\n\u{1b}[2Jb\r\nc"), "a\n\\u{1b}[2Jb\\u{d}\nc");
    }

    /// The tables of Unicode come with proptest, which enables them in the parser of `regex`.
    #[test]
    fn every_control_and_format_character_of_unicode_is_unsafe() {
        let unicode = regex::Regex::new(r"^[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Bidi_Control}]").unwrap();
        let mut buffer = [0; 4];
        let found: Vec<_> = ('\0'..=char::MAX).filter(|c| unicode.is_match(c.encode_utf8(&mut buffer))).collect();
        assert!(found.len() > 200, "{}", found.len());
        for c in found {
            assert!(is_unsafe(c), "{}", c.escape_unicode());
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_safe_and_short(text in any::<String>(), most in 0_usize..300) {
            let safe = escaped(&text, most);
            prop_assert!(safe.len() <= most && !safe.contains(is_unsafe));
            prop_assert_eq!(escaped(&safe, most), safe);
        }

        /// Most characters that proptest chooses are harmless.
        #[test]
        fn any_control_character_becomes_safe(text in "[\u{0}-\u{9f}\u{200b}-\u{206f}\u{e0000}-\u{e00ff}]{0,300}") {
            let safe = word(&text);
            prop_assert!(safe.len() <= LONGEST && !safe.contains(is_unsafe));
            prop_assert_eq!(word(&safe), safe);
        }
    }
}
