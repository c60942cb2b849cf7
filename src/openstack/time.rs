//! Times in the formats of OpenStack's services.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// Parses a time since 1970, with or without a fraction. A time without a zone is UTC. Heat and Nova always omit the zone.
/// Keystone 22.0.2 omits it in a time that comes from an application credential's expiry.
#[doc(hidden)]
#[must_use]
pub fn openstack_time(text: &str) -> Option<Timestamp> {
    let utc = |civil: DateTime| Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let time = text.parse().ok().or_else(|| utc(text.parse().ok()?));
    time.filter(is_plausible)
}

/// Whether a service can mean this time. Kubernetes has no times before Christ, and no service ran before 1970.
pub(super) fn is_plausible(time: &Timestamp) -> bool {
    *time >= Timestamp::UNIX_EPOCH
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
            ("2016-12-31T23:59:60Z", Some(1_483_228_799)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59Z", None),
            ("0001-01-01T00:00:00", None),
            ("-000044-03-15T12:00:00Z", None),
            ("-009999-01-02T01:59:59", None),
            ("9999-12-30T00:00:00Z", Some(253_402_128_000)),
            ("10000-01-01T00:00:00Z", None),
            ("+010000-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(openstack_time(text).map(Timestamp::as_second), second, "{text}");
        }
    }
}
