//! Times in the formats of OpenStack's services.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// Parses a time, with or without a fraction. A time without a zone is UTC. Heat and Nova always omit the zone.
/// Keystone 22.0.2 omits it in a time that comes from an application credential's expiry.
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
