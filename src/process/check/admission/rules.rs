//! Evaluates the CRD's CEL rules. They have three forms, which do not justify a CEL interpreter.

use serde_json::Value;

use crate::api::GoDuration;

/// Whether a value satisfies a rule. `None` for a rule of another form; a test shows that the CRD has none.
pub(super) fn holds(rule: &str, value: &Value) -> Option<bool> {
    // Only an update has an old object, and a file contains none.
    if rule == "self == oldSelf" {
        return Some(true);
    }
    if let Some((least, most)) = range(rule) {
        let length = GoDuration::from(value.as_str().unwrap_or_default()).parse();
        return Some(length.is_some_and(|length| (least.parse()..=most.parse()).contains(&Some(length))));
    }
    is_unique(rule).then(|| {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().all(|(at, item)| !items[..at].contains(item))
    })
}

/// Parses the bounds of `duration(self) >= duration('1s') && duration(self) <= duration('10m')`.
fn range(rule: &str) -> Option<(GoDuration, GoDuration)> {
    let rest = rule.strip_prefix("duration(self) >= duration('")?.strip_suffix("')")?;
    let (least, most) = rest.split_once("') && duration(self) <= duration('")?;
    Some((least.into(), most.into()))
}

/// Whether the rule has the form `self.all(x, self.exists_one(y, x == y))`, with any names.
fn is_unique(rule: &str) -> bool {
    let parts = || {
        let (one, rest) = rule.strip_prefix("self.all(")?.strip_suffix("))")?.split_once(", self.exists_one(")?;
        let (other, equality) = rest.split_once(", ")?;
        Some((one, other, equality))
    };
    parts().is_some_and(|(one, other, equality)| {
        equality == format!("{one} == {other}") || equality == format!("{other} == {one}")
    })
}
