//! Which addresses are one source.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::settings::NetBlockSize;

/// The network that `address` is counted in. An IPv4 address that comes through an IPv6 socket
/// (`::ffff:192.0.2.1`) is an IPv4 address.
pub(super) fn network_of(address: IpAddr, blocks: NetBlockSize) -> IpNet {
    let address = address.to_canonical();
    let network = match address {
        IpAddr::V4(address) => Ipv4Net::new(address, blocks.ipv4).map(IpNet::V4),
        IpAddr::V6(address) => Ipv6Net::new(address, blocks.ipv6).map(IpNet::V6),
    };
    // More bits than an address has: each address is a source.
    network.unwrap_or_else(|_| IpNet::from(address)).trunc()
}

/// Whether `address` lies in one of these networks.
pub(crate) fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_source_by_their_network() {
        let table = [
            ("192.0.2.77", "32:64", "192.0.2.77/32"),
            ("::ffff:192.0.2.77", "32:64", "192.0.2.77/32"),
            ("192.0.2.77", "24:64", "192.0.2.0/24"),
            ("192.0.2.77", "0:64", "0.0.0.0/0"),
            ("2001:db8:1:2:3:4:5:6", "32:64", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3:4:5:6", "32:128", "2001:db8:1:2:3:4:5:6/128"),
            ("2001:db8:1:2:3:4:5:6", "32:48", "2001:db8:1::/48"),
        ];
        for (address, blocks, source) in table {
            let found = network_of(address.parse().unwrap(), blocks.parse().unwrap());

            assert_eq!(found.to_string(), source, "{address} {blocks}");
        }
    }

    #[test]
    fn more_bits_than_an_address_has_are_all_of_them() {
        let blocks = NetBlockSize { ipv4: 33, ipv6: 129 };

        assert_eq!(network_of([192, 0, 2, 1].into(), blocks).to_string(), "192.0.2.1/32");
    }

    #[test]
    fn networks_contain_addresses_however_these_arrive() {
        let networks = ["192.0.2.0/24".parse().unwrap(), "::1/128".parse().unwrap()];

        for (address, inside) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.1", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(is_in(address.parse().unwrap(), &networks), inside, "{address}");
        }
    }
}
