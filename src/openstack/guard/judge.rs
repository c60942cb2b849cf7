//! Judges one IP address. The ranges are those of docs/security.md, "Addresses that the operator calls".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Cidr;

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum AddressRule {
    /// The address and port of the Kubernetes API server. No setting allows it.
    #[error("the address of the Kubernetes API server")]
    ApiServer,
    /// 127.0.0.0/8, ::1.
    #[error("a loopback address")]
    Loopback,
    /// 169.254.0.0/16, fe80::/10. Most metadata services of clouds are here.
    #[error("a link-local address")]
    LinkLocal,
    /// A metadata service outside of the link-local range.
    #[error("the address of a cloud's metadata service")]
    Metadata,
    /// 0.0.0.0/8, ::. Linux connects to itself at 0.0.0.0.
    #[error("an unspecified address")]
    Unspecified,
    /// 224.0.0.0/4, ff00::/8.
    #[error("a multicast address")]
    Multicast,
    /// 192.0.0.0/24, 240.0.0.0/4.
    #[error("a reserved address")]
    Reserved,
}

/// The verdict on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressVerdict {
    /// The operator calls it.
    Allowed,
    /// The operator does not call it.
    Refused(AddressRule),
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Cidr {
    Cidr::v4(Ipv4Addr::new(a, b, c, d), bits)
}

/// An IPv6 range by its first two groups and its last one.
const fn v6(first: u16, second: u16, last: u16, bits: u8) -> Cidr {
    Cidr::v6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, last), bits)
}

const REFUSED: [(Cidr, AddressRule); 15] = [
    (v4(0, 0, 0, 0, 8), AddressRule::Unspecified),
    (v4(127, 0, 0, 0, 8), AddressRule::Loopback),
    (v4(169, 254, 0, 0, 16), AddressRule::LinkLocal),
    (v4(192, 0, 0, 0, 24), AddressRule::Reserved),
    (v4(224, 0, 0, 0, 4), AddressRule::Multicast),
    (v4(240, 0, 0, 0, 4), AddressRule::Reserved),
    // Alibaba Cloud.
    (v4(100, 100, 100, 200, 32), AddressRule::Metadata),
    // Azure.
    (v4(168, 63, 129, 16, 32), AddressRule::Metadata),
    (v6(0, 0, 0, 128), AddressRule::Unspecified),
    (v6(0, 0, 1, 128), AddressRule::Loopback),
    (v6(0xfe80, 0, 0, 10), AddressRule::LinkLocal),
    (v6(0xff00, 0, 0, 8), AddressRule::Multicast),
    // AWS.
    (v6(0xfd00, 0x0ec2, 0, 32), AddressRule::Metadata),
    // Google Cloud.
    (v6(0xfd20, 0x00ce, 0x0254, 128), AddressRule::Metadata),
    // Scaleway.
    (v6(0xfd00, 0x0042, 0x0042, 128), AddressRule::Metadata),
];

/// An IPv4 address inside an IPv6 address.
struct Embedded {
    address: Ipv4Addr,
    /// Whether this is certainly where packets go. Otherwise it is one of several readings of the same bits.
    certain: bool,
}

impl Embedded {
    /// An uncertain reading counts only if it reaches something that must not be called. The other refused ranges
    /// cannot be reached by TCP through a gateway, and other bits often look like them.
    fn matters(&self, rule: AddressRule) -> bool {
        self.certain
            || matches!(
                rule,
                AddressRule::ApiServer | AddressRule::Loopback | AddressRule::LinkLocal | AddressRule::Metadata
            )
    }
}

/// Judges the address of one connection.
///
/// A range in `allowed` lifts every rule but the API server's. An IPv6 address that contains an IPv4 address is refused
/// if that one is. Its form alone is no reason: clusters with IPv6 only reach IPv4 by NAT64.
#[must_use]
pub fn judge(address: IpAddr, port: u16, allowed: &[Cidr], api_servers: &[SocketAddr]) -> AddressVerdict {
    let embedded = match address {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(address) => embedded(address),
    };
    let is_api_server = |address: IpAddr| {
        let same = |server: &SocketAddr| server.ip().to_canonical() == address && server.port() == port;
        api_servers.iter().any(same)
    };
    let inner = || embedded.iter().map(|inner| IpAddr::V4(inner.address));
    if is_api_server(address) || inner().any(is_api_server) {
        return AddressVerdict::Refused(AddressRule::ApiServer);
    }
    let is_allowed = |address: IpAddr| allowed.iter().any(|range| range.contains(address));
    if is_allowed(address) {
        return AddressVerdict::Allowed;
    }
    let outer = in_range(address).into_iter();
    let inner = embedded.iter().filter_map(|inner| {
        let address = IpAddr::V4(inner.address);
        in_range(address).filter(|rule| inner.matters(*rule) && !is_allowed(address))
    });
    outer.chain(inner).min().map_or(AddressVerdict::Allowed, AddressVerdict::Refused)
}

/// Whether the address, or certainly the IPv4 address inside it, is in the range.
pub(super) fn is_within(address: IpAddr, range: Cidr) -> bool {
    let inner = match address {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(address) => embedded(address),
    };
    range.contains(address) || inner.iter().any(|inner| inner.certain && range.contains(inner.address.into()))
}

fn in_range(address: IpAddr) -> Option<AddressRule> {
    REFUSED.iter().find(|(range, _)| range.contains(address)).map(|(_, rule)| *rule)
}

/// The IPv4 addresses inside an IPv6 address.
fn embedded(address: Ipv6Addr) -> Vec<Embedded> {
    let bytes = address.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| bytes[place]));
    let sure = |places| vec![Embedded { address: at(places), certain: true }];
    const LAST: [usize; 4] = [12, 13, 14, 15];
    match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        // Compatible, mapped (RFC 4291, 2.5.5), and NAT64's well-known prefix (RFC 6052, 2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => sure(LAST),
        // NAT64 within the network's own prefix (RFC 8215). The prefix has 48, 56, 64 or 96 bits, and the address does
        // not say which (RFC 6052, 2.2).
        [0x64, 0xff9b, 1, ..] => {
            let readings = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]];
            let readings = readings.map(|places| Embedded { address: at(places), certain: false });
            let whole = [Embedded { address: at(LAST), certain: bytes[6..12].iter().all(|byte| *byte == 0) }];
            readings.into_iter().chain(whole).collect()
        }
        // 6to4 (RFC 3056, 2).
        [0x2002, ..] => sure([2, 3, 4, 5]),
        // Teredo: the server, and the client with all bits inverted (RFC 4380, 4). Packets go to the client.
        [0x2001, 0, ..] => vec![
            Embedded { address: at([4, 5, 6, 7]), certain: false },
            Embedded { address: Ipv4Addr::from_bits(!at(LAST).to_bits()), certain: true },
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    const ALLOWED: AddressVerdict = AddressVerdict::Allowed;
    const LOOPBACK: AddressVerdict = AddressVerdict::Refused(AddressRule::Loopback);
    const LINK_LOCAL: AddressVerdict = AddressVerdict::Refused(AddressRule::LinkLocal);
    const METADATA: AddressVerdict = AddressVerdict::Refused(AddressRule::Metadata);
    const UNSPECIFIED: AddressVerdict = AddressVerdict::Refused(AddressRule::Unspecified);
    const MULTICAST: AddressVerdict = AddressVerdict::Refused(AddressRule::Multicast);
    const RESERVED: AddressVerdict = AddressVerdict::Refused(AddressRule::Reserved);
    const API_SERVER: AddressVerdict = AddressVerdict::Refused(AddressRule::ApiServer);

    fn plain(address: &str) -> AddressVerdict {
        judge(address.parse().unwrap(), 443, &[], &[])
    }

    /// A line is a range: the last address below, the first and last inside, the first above, and the two verdicts.
    #[test]
    fn the_ends_of_each_range() {
        for (below, first, last, above, inside, outside) in [
            ("", "0.0.0.0", "0.255.255.255", "1.0.0.0", UNSPECIFIED, ALLOWED),
            ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", ALLOWED, ALLOWED),
            ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0", ALLOWED, ALLOWED),
            ("100.100.100.199", "100.100.100.200", "100.100.100.200", "100.100.100.201", METADATA, ALLOWED),
            ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", LOOPBACK, ALLOWED),
            ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17", METADATA, ALLOWED),
            ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0", LINK_LOCAL, ALLOWED),
            ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", ALLOWED, ALLOWED),
            ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0", RESERVED, ALLOWED),
            ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0", ALLOWED, ALLOWED),
            ("223.255.255.255", "224.0.0.0", "239.255.255.255", "", MULTICAST, ALLOWED),
            ("", "240.0.0.0", "255.255.255.255", "", RESERVED, ALLOWED),
            ("", "::", "::", "", UNSPECIFIED, ALLOWED),
            ("", "::1", "::1", "", LOOPBACK, ALLOWED),
            ("fbff:ffff::", "fc00::", "fcff:ffff::", "fd00:1::", ALLOWED, ALLOWED),
            ("fd00:42::41", "fd00:42::42", "fd00:42::42", "fd00:42::43", METADATA, ALLOWED),
            (
                "fd00:ec1:ffff::",
                "fd00:ec2::",
                "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff",
                "fd00:ec3::",
                METADATA,
                ALLOWED,
            ),
            ("fd20:ce::253", "fd20:ce::254", "fd20:ce::254", "fd20:ce::255", METADATA, ALLOWED),
            ("fe7f:ffff::", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::", LINK_LOCAL, ALLOWED),
            ("feff:ffff::", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", MULTICAST, ALLOWED),
        ] {
            for (address, expected) in [(below, outside), (first, inside), (last, inside), (above, outside)] {
                if !address.is_empty() {
                    assert_eq!(plain(address), expected, "{address}");
                }
            }
        }
    }

    #[test]
    fn the_ipv4_address_inside_is_judged() {
        for (address, expected) in [
            ("::ffff:7f00:1", LOOPBACK),
            ("::ffff:169.254.169.254", LINK_LOCAL),
            ("::ffff:10.0.0.1", ALLOWED),
            ("::127.0.0.1", LOOPBACK),
            ("::0.0.0.2", UNSPECIFIED),
            ("::100.100.100.200", METADATA),
            ("::192.0.2.1", ALLOWED),
            ("64:ff9b::7f00:1", LOOPBACK),
            ("64:ff9b::", UNSPECIFIED),
            ("64:ff9b::169.254.169.254", LINK_LOCAL),
            ("64:ff9b::168.63.129.16", METADATA),
            ("64:ff9b::192.168.1.1", ALLOWED),
            ("64:ff9b::1:0:0", ALLOWED),
            // The same by a prefix of 96 bits, and of 64, 56 and 48 bits. Gateways ignore what follows the address.
            ("64:ff9b:1::127.0.0.1", LOOPBACK),
            ("64:ff9b:1::224.0.0.1", MULTICAST),
            ("64:ff9b:1::", UNSPECIFIED),
            ("64:ff9b:1:fffe::169.254.169.254", LINK_LOCAL),
            ("64:ff9b:1:0:a9:fea9:fe00:0", LINK_LOCAL),
            ("64:ff9b:1:a9:fe:a9fe::", LINK_LOCAL),
            ("64:ff9b:1:a9fe:a9:fe00::", LINK_LOCAL),
            ("64:ff9b:1:a9fe:a9:fe00::1", LINK_LOCAL),
            ("64:ff9b:1:a00:0:100::", ALLOWED),
            ("64:ff9b:1::10.0.0.1", ALLOWED),
            ("64:ff9b:1:fffe::10.0.0.1", ALLOWED),
            ("64:ff9b:2::127.0.0.1", ALLOWED),
            ("2002:7f00:1::", LOOPBACK),
            ("2002:a9fe:a9fe::1", LINK_LOCAL),
            ("2002:a00:1::1", ALLOWED),
            // Teredo: the client is 127.0.0.1, 169.254.169.254 and 192.0.2.45; then the server is 127.0.0.1.
            ("2001:0:4136:e378:8000:63bf:80ff:fffe", LOOPBACK),
            ("2001:0:4136:e378:8000:63bf:5601:5601", LINK_LOCAL),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", ALLOWED),
            ("2001:0:7f00:1:8000:63bf:3fff:fdd2", LOOPBACK),
            ("2001::f5ff:fffe", ALLOWED),
            ("2001:1::80ff:fffe", ALLOWED),
            ("2001:db8::7f00:1", ALLOWED),
        ] {
            assert_eq!(plain(address), expected, "{address}");
        }
    }

    /// A line is a URL's host, as a tenant may write it.
    #[test]
    fn every_spelling_in_a_url_is_the_same_address() {
        for (host, expected) in [
            ("127.0.0.1", LOOPBACK),
            ("127.0.0.1.", LOOPBACK),
            ("2130706433", LOOPBACK),
            ("017700000001", LOOPBACK),
            ("0x7f000001", LOOPBACK),
            ("0x7f.1", LOOPBACK),
            ("127.1", LOOPBACK),
            ("127.0.1", LOOPBACK),
            ("0177.0.0.1", LOOPBACK),
            ("0X7F.0x0.00.1", LOOPBACK),
            ("%31%32%37.0.0.1", LOOPBACK),
            ("１２７.０.０.１", LOOPBACK),
            ("127。0。0。1", LOOPBACK),
            ("①②⑦.0.0.1", LOOPBACK),
            ("0", UNSPECIFIED),
            ("0x0", UNSPECIFIED),
            ("0.0.0.0", UNSPECIFIED),
            ("2852039166", LINK_LOCAL),
            ("0xa9fea9fe", LINK_LOCAL),
            ("169.254.43518", LINK_LOCAL),
            ("[::1]", LOOPBACK),
            ("[0:0:0:0:0:0:0:1]", LOOPBACK),
            ("[0000::0001]", LOOPBACK),
            ("[::]", UNSPECIFIED),
            ("[::ffff:127.0.0.1]", LOOPBACK),
            ("[::FFFF:7F00:1]", LOOPBACK),
            ("[0:0:0:0:0:ffff:a9fe:a9fe]", LINK_LOCAL),
            ("[::127.0.0.1]", LOOPBACK),
            ("[64:ff9b::7f00:1]", LOOPBACK),
            ("[64:ff9b:1::a9fe:a9fe]", LINK_LOCAL),
            ("[2002:7f00:1::]", LOOPBACK),
            ("[2001:0:4136:e378:8000:63bf:80ff:fffe]", LOOPBACK),
            ("[fe80::1]", LINK_LOCAL),
            ("[fd00:ec2::254]", METADATA),
            ("192.0.2.1", ALLOWED),
            ("3221225985", ALLOWED),
            ("[2001:db8::1]", ALLOWED),
        ] {
            let url = Url::parse(&format!("http://{host}/v3")).unwrap();
            let address = super::super::literal(&url);
            let verdict = address.map(|address| judge(address, 80, &[], &[]));
            assert_eq!(verdict, Some(expected), "{host}");
        }
        // These are no URLs.
        for host in ["[fe80::1%25eth0]", "[fe80::1%eth0]", "127.0.0.256", "0x100000000", "1.2.3.4.5", "[::1"] {
            assert!(Url::parse(&format!("http://{host}/v3")).is_err(), "{host}");
        }
    }

    #[test]
    fn what_the_operator_allows() {
        for (address, allowed, expected) in [
            ("127.0.0.1", "127.0.0.0/8", ALLOWED),
            ("127.0.0.2", "127.0.0.1/32", LOOPBACK),
            ("::ffff:127.0.0.1", "127.0.0.0/8", ALLOWED),
            ("64:ff9b::127.0.0.1", "127.0.0.0/8", ALLOWED),
            ("2001:0:4136:e378:8000:63bf:80ff:fffe", "127.0.0.0/8", ALLOWED),
            ("64:ff9b:1::127.0.0.1", "64:ff9b:1::/48", ALLOWED),
            ("::1", "127.0.0.0/8", LOOPBACK),
            ("::1", "::1/128", ALLOWED),
            ("169.254.169.254", "127.0.0.0/8", LINK_LOCAL),
            ("169.254.169.254", "169.254.169.254/32", ALLOWED),
            ("fe80::1", "fe80::/10", ALLOWED),
        ] {
            assert_eq!(judge(address.parse().unwrap(), 443, &[allowed.parse().unwrap()], &[]), expected, "{address}");
        }
    }

    #[test]
    fn the_api_server_is_refused_by_address_and_port() {
        let servers = ["10.96.0.1:443", "[fd00:10:96::1]:443", "[::ffff:192.0.2.1]:6443"];
        let servers = servers.map(|server| server.parse().unwrap());
        for (address, port, expected) in [
            ("10.96.0.1", 443, API_SERVER),
            ("10.96.0.1", 6443, ALLOWED),
            ("10.96.0.2", 443, ALLOWED),
            ("::ffff:10.96.0.1", 443, API_SERVER),
            ("::10.96.0.1", 443, API_SERVER),
            ("64:ff9b::10.96.0.1", 443, API_SERVER),
            ("64:ff9b::10.96.0.1", 80, ALLOWED),
            ("64:ff9b:1:a60:0:100::", 443, API_SERVER),
            ("2002:a60:1::", 443, API_SERVER),
            ("fd00:10:96::1", 443, API_SERVER),
            ("fd00:10:96::1", 444, ALLOWED),
            ("192.0.2.1", 6443, API_SERVER),
        ] {
            for allowed in [&[][..], &["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]] {
                let verdict = judge(address.parse().unwrap(), port, allowed, &servers);
                assert_eq!(verdict, expected, "{address} {port} {allowed:?}");
            }
        }
    }
}
