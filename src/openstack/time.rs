//! Times as OpenStack's services write them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// Reads a time, with or without a fraction. Services often leave out the zone and mean UTC: Heat and Nova always, and
/// Keystone in a time that an application credential's end has set (seen with 22.0.2).
#[doc(hidden)]
#[must_use]
pub fn openstack_time(text: &str) -> Option<Timestamp> {
    let utc = |civil: DateTime| Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp());
    text.parse().ok().or_else(|| utc(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_zone_and_fraction() {
        for (text, second) in [
            ("2026-11-22T05:09:46.000000", Some(1_795_324_186)),
            ("2026-11-22T05:09:46.000000Z", Some(1_795_324_186)),
            ("2026-11-22T05:09:46", Some(1_795_324_186)),
            ("2026-11-22T05:09:46Z", Some(1_795_324_186)),
            ("2026-11-22 05:09:46", Some(1_795_324_186)),
            ("2026-11-22T06:09:46+01:00", Some(1_795_324_186)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(openstack_time(text).map(Timestamp::as_second), second, "{text}");
        }
    }
}
