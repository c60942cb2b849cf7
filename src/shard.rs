//! Shards: the shares of the CloudTenants that several processes serve.
//!
//! A CloudTenant belongs to the shard `h mod n`, where n is the number of shards and h the first eight bytes of the
//! SHA-256 digest of its UID, as a big-endian number. Processes of different versions must agree on this rule, so it
//! never changes.

use std::{fmt, str::FromStr};

use ring::digest::{SHA256, digest};

/// The largest number of shards. The set of shards that a process serves fits into 64 bits.
pub const MOST: u32 = 64;

/// The number of further shards for which a process is a candidate, besides its own and those that it serves. Together
/// the processes watch a few Leases each, and not all Leases each.
const REACH: u32 = 3;

/// One of `count` shards. The default is the only shard, to which all CloudTenants belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// Why a text or a pair of numbers is not a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The text has another form.
    #[error("a shard is written INDEX/NUMBER, as in 0/2 and 1/2 for two shards")]
    Form,
    /// There are no shards, or too many.
    #[error("the number of shards must be from 1 to {most}, and not {0}", most = MOST)]
    Count(u32),
    /// There is no such shard.
    #[error("the index of the last of {count} shards is {last}, so there is no shard {index}", last = .count - 1)]
    Index {
        /// The index.
        index: u32,
        /// The number of shards.
        count: u32,
    },
}

/// The shards that a process serves, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Served(u64);

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Shard {
    /// Returns the shard with this index, from 0, of a number of shards.
    ///
    /// # Errors
    /// There is no such shard, or the number of shards is 0 or more than [`MOST`].
    pub const fn new(index: u32, count: u32) -> Result<Self, ShardError> {
        if count == 0 || count > MOST {
            return Err(ShardError::Count(count));
        }
        if index >= count {
            return Err(ShardError::Index { index, count });
        }
        Ok(Self { index, count })
    }

    /// The index, from 0.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The number of shards.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Whether this is the only shard.
    #[must_use]
    pub const fn is_only(self) -> bool {
        self.count == 1
    }

    /// Whether the CloudTenant with this UID belongs to the shard.
    #[must_use]
    pub fn owns(self, uid: &str) -> bool {
        self.is_only() || number(uid) % u64::from(self.count) == u64::from(self.index)
    }

    /// Returns all shards, beginning with this one.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (0..self.count).map(move |distance| Self { index: (self.index + distance) % self.count, ..self })
    }

    /// Whether a process of this shard that serves `served` is a candidate for `other`. Each shard that it serves in
    /// addition extends its reach by one, so the processes that are left reach every shard.
    #[must_use]
    pub fn reaches(self, other: Self, served: Served) -> bool {
        let distance = (other.index + self.count - self.index) % self.count;
        let also = self.all().skip(1).take_while(|next| served.contains(*next)).count();
        u64::from(distance) <= u64::from(REACH) + also as u64
    }

    /// The name of the Lease for this shard. `base` is the name of the Lease of an installation without shards. The
    /// name has the number of shards, so that Leases for another number differ.
    #[must_use]
    pub fn lease_name(self, base: &str) -> String {
        if self.is_only() { base.to_owned() } else { format!("{base}-shard-{}-of-{}", self.index, self.count) }
    }

    /// The names of all Leases that a process of an installation with this number of shards uses: `base`, and one for
    /// each shard.
    #[must_use]
    pub fn lease_names(self, base: &str) -> Vec<String> {
        let mut names = vec![base.to_owned()];
        let each = (0..self.count).map(|index| Self { index, ..self }.lease_name(base));
        names.extend(each.filter(|_| !self.is_only()));
        names
    }
}

/// The number by which a CloudTenant belongs to a shard.
fn number(uid: &str) -> u64 {
    let digest = digest(&SHA256, uid.as_bytes());
    digest.as_ref().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, count) = text.trim().split_once('/').ok_or(ShardError::Form)?;
        let read = |digits: &str| {
            let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| all_digits).ok_or(ShardError::Form)
        };
        Self::new(read(index)?, read(count)?)
    }
}

impl Served {
    /// Whether the process serves this shard.
    #[must_use]
    pub const fn contains(self, shard: Shard) -> bool {
        self.0 & (1 << shard.index) != 0
    }

    /// Returns the shards with this one, or without it.
    #[must_use]
    pub const fn with(self, shard: Shard, is_served: bool) -> Self {
        let bit = 1 << shard.index;
        Self(if is_served { self.0 | bit } else { self.0 & !bit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn a_shard_is_an_index_and_a_number() {
        let ok = |index, count| Ok((index, count));
        for (text, expected) in [
            ("0/1", ok(0, 1)),
            ("0/2", ok(0, 2)),
            ("1/2", ok(1, 2)),
            (" 1/2\n", ok(1, 2)),
            ("01/2", ok(1, 2)),
            ("63/64", ok(63, 64)),
            ("2/2", Err(ShardError::Index { index: 2, count: 2 })),
            ("1/1", Err(ShardError::Index { index: 1, count: 1 })),
            ("4294967295/2", Err(ShardError::Index { index: u32::MAX, count: 2 })),
            ("0/0", Err(ShardError::Count(0))),
            ("64/65", Err(ShardError::Count(65))),
            ("0/4294967295", Err(ShardError::Count(u32::MAX))),
            ("", Err(ShardError::Form)),
            ("1", Err(ShardError::Form)),
            ("1/", Err(ShardError::Form)),
            ("/2", Err(ShardError::Form)),
            ("1/2/3", Err(ShardError::Form)),
            ("-1/2", Err(ShardError::Form)),
            ("+1/2", Err(ShardError::Form)),
            ("1 / 2", Err(ShardError::Form)),
            ("0x1/2", Err(ShardError::Form)),
            ("1.0/2", Err(ShardError::Form)),
            ("a/b", Err(ShardError::Form)),
            ("0/4294967296", Err(ShardError::Form)),
        ] {
            let read = text.parse::<Shard>().map(|shard| (shard.index(), shard.count()));
            assert_eq!(read, expected, "{text:?}");
        }
        assert_eq!(shard("1/2").to_string(), "1/2");
        assert_eq!(
            ShardError::Index { index: 2, count: 2 }.to_string(),
            "the index of the last of 2 shards is 1, so there is no shard 2"
        );
    }

    /// Each line: UID | its number, as `sha256sum` gives it | its shard of 2, 3, 4 and 64.
    #[test]
    fn a_uid_always_belongs_to_the_same_shard() {
        for (uid, expected, shards) in [
            ("", 16_406_829_232_824_261_652, [0, 1, 0, 20]),
            ("a", 14_598_278_634_844_962_250, [0, 1, 2, 10]),
            ("3f2a9c51-d07b-4e86-8b1d-f6a4c0e97b22", 2_428_684_780_081_348_380, [0, 0, 0, 28]),
            ("00000000-0000-0000-0000-000000000000", 1_349_170_572_285_598_868, [0, 2, 0, 20]),
            ("7d9f0c3e-5b1a-4c2d-9e8f-001122334455", 2_145_331_699_256_766_723, [1, 0, 3, 3]),
        ] {
            assert_eq!(number(uid), expected, "{uid}");
            assert!(Shard::default().owns(uid));
            for (count, index) in [2, 3, 4, 64].into_iter().zip(shards) {
                let owners: Vec<_> = Shard::new(0, count).unwrap().all().filter(|shard| shard.owns(uid)).collect();
                assert_eq!(owners, [Shard { index, count }], "{uid} of {count}");
            }
        }
    }

    #[test]
    fn shards_have_about_the_same_number_of_cloud_tenants() {
        for count in [2, 3, 4, 7, 64] {
            let mut sizes = vec![0_u32; count as usize];
            for tenant in 0..64_000_u64 {
                let uid = format!("{:08x}-5b1a-4c2d-9e8f-{:012x}", tenant.wrapping_mul(2_654_435_761), tenant);
                sizes[(number(&uid) % u64::from(count)) as usize] += 1;
            }
            let mean = 64_000 / count;
            let odd: Vec<_> = sizes.iter().filter(|size| size.abs_diff(mean) > mean / 5).collect();
            assert!(odd.is_empty(), "{count} shards of about {mean}: {sizes:?}");
        }
    }

    /// Each line: own shard | shards that it serves | shards for which it is a candidate.
    #[test]
    fn the_shards_that_a_process_serves_extend_its_reach() {
        for (own, served, reached) in [
            ("0/1", vec![], vec![0]),
            ("1/2", vec![1], vec![1, 0]),
            ("3/4", vec![3], vec![3, 0, 1, 2]),
            ("0/8", vec![], vec![0, 1, 2, 3]),
            ("6/8", vec![6], vec![6, 7, 0, 1]),
            ("6/8", vec![6, 7, 0], vec![6, 7, 0, 1, 2, 3]),
            ("6/8", vec![6, 0], vec![6, 7, 0, 1]),
            ("0/8", vec![1, 2, 3, 4, 5, 6, 7], vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ] {
            let own = shard(own);
            let at = |index| Shard { index, ..own };
            let served = served.into_iter().fold(Served::default(), |served, index| served.with(at(index), true));
            let found: Vec<_> = own.all().filter(|other| own.reaches(*other, served)).map(Shard::index).collect();
            assert_eq!(found, reached, "{own} {served:?}");
        }
        assert_eq!(Served::default().with(shard("63/64"), true).with(shard("63/64"), false), Served::default());
    }

    #[test]
    fn a_lease_is_named_for_its_shard_and_their_number() {
        assert_eq!(Shard::default().lease_names("operator"), ["operator"]);
        let expected = ["operator", "operator-shard-0-of-2", "operator-shard-1-of-2"];
        assert_eq!(shard("1/2").lease_names("operator"), expected);
        assert_eq!(shard("1/2").lease_name("operator"), expected[2]);
    }
}
