//! A range of IP addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range of IP addresses, as in `10.0.0.0/8`. A single address is a range, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    /// The number of leading bits that all addresses of the range share.
    bits: u8,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The text has another form.
    #[error("{0:?} is no range of addresses: give ADDRESS/BITS, as in 10.0.0.0/8, or one address")]
    Form(String),
    /// The address has bits beyond the prefix, so that it is unclear which range is meant.
    #[error("{0:?} has bits beyond its prefix: give {1}")]
    Excess(String, Cidr),
}

impl Cidr {
    /// 127.0.0.0/8.
    pub(in crate::openstack) const LOOPBACK: Self = Self::v4(Ipv4Addr::new(127, 0, 0, 0), 8);

    pub(super) const fn v4(address: Ipv4Addr, bits: u8) -> Self {
        Self { base: IpAddr::V4(address), bits }
    }

    pub(super) const fn v6(address: Ipv6Addr, bits: u8) -> Self {
        Self { base: IpAddr::V6(address), bits }
    }

    /// Whether the address is in the range. An IPv4 range contains no IPv6 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.base.is_ipv4() == address.is_ipv4() && masked(address, self.bits) == masked(self.base, self.bits)
    }
}

/// The address with all bits beyond the prefix cleared.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let text = text.trim();
        let form = || CidrError::Form(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| form())?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => longest,
            Some(bits) if bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= longest).ok_or_else(form)?
            }
            Some(_) => return Err(form()),
        };
        let range = Self { base: masked(base, bits), bits };
        if range.base == base { Ok(range) } else { Err(CidrError::Excess(text.to_owned(), range)) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_two_ends() {
        for (range, first, last, outside) in [
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255", ["9.255.255.255", "11.0.0.0"]),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7", ["192.0.2.6", "192.0.2.8"]),
            ("192.0.2.8/31", "192.0.2.8", "192.0.2.9", ["192.0.2.7", "192.0.2.10"]),
            ("fd00:ec2::/32", "fd00:ec2::", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff", ["fd00:ec1::", "fd00:ec3::"]),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::1", ["2001:db8::", "2001:db8::2"]),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", ["::", "::ffff:1.2.3.4"]),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ["0.0.0.0", "255.255.255.255"]),
        ] {
            let cidr: Cidr = range.parse().unwrap();
            let contains = |address: &str| cidr.contains(address.parse().unwrap());
            assert!(contains(first) && contains(last), "{range}");
            assert!(!outside.iter().any(|address| contains(address)), "{range}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08x",
            "10.0.0/8",
            "010.0.0.0/8",
            "0x7f.1",
            "::/129",
            "[::1]",
            "fe80::1%eth0",
            "localhost",
            "10.0.0.0-10.0.0.9",
            "10.0.0.0/255.0.0.0",
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError::Form(text.to_owned())));
        }
        let refused = "127.0.0.1/8".parse::<Cidr>().unwrap_err();
        assert_eq!(refused.to_string(), "\"127.0.0.1/8\" has bits beyond its prefix: give 127.0.0.0/8");
    }
}
