//! Two KEXINITs in, one choice out, or what was offered in vain (RFC 4253 §7.1).

use sterna_ssh_crypto::{CipherRow, KexRow, MacRow, cipher, kex, mac};
use sterna_sshwire::{NameList, first_common};

use crate::Role;
use crate::config::Algorithms;
use crate::error::Error;
use crate::messages::kex::KexInit;

/// Pseudo-algorithms in the kex list of the first KEXINIT.
pub(crate) const EXT_INFO_CLIENT: &str = "ext-info-c";
pub(crate) const EXT_INFO_SERVER: &str = "ext-info-s";
pub(crate) const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
pub(crate) const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";

pub(crate) const COMPRESSION_NONE: &str = "none";
pub(crate) const COMPRESSION_DELAYED: &str = "zlib@openssh.com";

/// What one direction uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction {
    pub cipher: &'static CipherRow,
    /// `None` if the cipher authenticates by itself.
    pub mac: Option<&'static MacRow>,
    pub compress: bool,
}

/// The outcome of one negotiation.
#[derive(Clone, Debug)]
pub(crate) struct Negotiated {
    pub kex: &'static KexRow,
    pub host_key: String,
    pub client_to_server: Direction,
    pub server_to_client: Direction,
    /// The peer sent a packet on a wrong guess; it is to be ignored.
    pub ignore_guess: bool,
}

/// The lists that we offer, as names that have rows.
pub(crate) struct Offer<'a> {
    pub kex: Vec<&'a str>,
    pub host_key: Vec<&'a str>,
    pub ciphers: Vec<&'a str>,
    pub macs: Vec<&'a str>,
    pub compression: Vec<&'a str>,
}

impl<'a> Offer<'a> {
    /// `host_key` is what this side can use: what the server holds, what the client accepts.
    pub fn new(algorithms: &'a Algorithms, host_key: Vec<&'a str>) -> Self {
        let known = |names: &'a [String], has_row: fn(&str) -> bool| {
            names.iter().map(String::as_str).filter(|n| has_row(n)).collect()
        };
        Self {
            kex: known(&algorithms.kex, |n| kex(n).is_some()),
            host_key,
            ciphers: known(&algorithms.ciphers, |n| cipher(n).is_some()),
            macs: known(&algorithms.macs, |n| mac(n).is_some()),
            compression: known(&algorithms.compression, |n| {
                n == COMPRESSION_NONE || n == COMPRESSION_DELAYED
            }),
        }
    }
}

/// Chooses for both directions.
pub(crate) fn negotiate(
    role: Role,
    ours: &Offer<'_>,
    theirs: &KexInit<'_>,
) -> Result<Negotiated, Error> {
    let choose = |what, ours: &[&str], theirs: &NameList<'_>| choose(role, what, ours, theirs);
    let kex_name = choose("key exchange method", &ours.kex, &theirs.kex)?;
    let host_key = choose("host key algorithm", &ours.host_key, &theirs.host_key)?;
    let direction = |ciphers: &NameList<'_>, macs: &NameList<'_>, compression: &NameList<'_>| {
        let name = choose("cipher", &ours.ciphers, ciphers)?;
        let cipher = cipher(&name).expect("we offer only ciphers that have a row");
        let mac = if cipher.aead {
            None
        } else {
            let name = choose("MAC", &ours.macs, macs)?;
            Some(mac(&name).expect("we offer only MACs that have a row"))
        };
        let compression = choose("compression", &ours.compression, compression)?;
        Ok::<_, Error>(Direction { cipher, mac, compress: compression == COMPRESSION_DELAYED })
    };
    let client_to_server = direction(&theirs.cipher_c2s, &theirs.mac_c2s, &theirs.compression_c2s)?;
    let server_to_client = direction(&theirs.cipher_s2c, &theirs.mac_s2c, &theirs.compression_s2c)?;

    let first = |list: &[&str]| list.first().map(|n| n.as_bytes().to_vec()).unwrap_or_default();
    let guess_right = theirs.kex.literal_first() == first(&ours.kex)
        && theirs.host_key.literal_first() == first(&ours.host_key);
    Ok(Negotiated {
        kex: kex(&kex_name).expect("we offer only methods that have a row"),
        host_key,
        client_to_server,
        server_to_client,
        ignore_guess: theirs.first_packet_follows && !guess_right,
    })
}

/// The first of the client's names that the server also has.
fn choose(
    role: Role,
    what: &'static str,
    ours: &[&str],
    theirs: &NameList<'_>,
) -> Result<String, Error> {
    let chosen = match role {
        Role::Client => first_common(ours.iter().copied(), |n| theirs.contains(n)),
        Role::Server => first_common(theirs.iter(), |n| ours.contains(&n)),
    };
    chosen.map(str::to_owned).ok_or_else(|| Error::Incompatible {
        what,
        ours: ours.join(","),
        theirs: theirs.iter().collect::<Vec<_>>().join(","),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theirs<'a>(kex: &'a [u8], ciphers: &'a [u8], macs: &'a [u8]) -> KexInit<'a> {
        let list = NameList::new;
        KexInit {
            kex: list(kex),
            host_key: list(b"ssh-ed25519"),
            cipher_c2s: list(ciphers),
            cipher_s2c: list(ciphers),
            mac_c2s: list(macs),
            mac_s2c: list(macs),
            compression_c2s: list(b"none"),
            compression_s2c: list(b"none"),
            first_packet_follows: true,
        }
    }

    fn run(role: Role, theirs: &KexInit<'_>) -> Result<Negotiated, Error> {
        let algorithms = Algorithms::default();
        negotiate(role, &Offer::new(&algorithms, vec!["ssh-ed25519"]), theirs)
    }

    #[test]
    fn the_clients_order_wins_in_both_roles() {
        let theirs = theirs(
            b"ecdh-sha2-nistp256,curve25519-sha256",
            b"aes128-ctr,aes256-gcm@openssh.com",
            b"hmac-sha2-512",
        );
        assert_eq!(run(Role::Server, &theirs).unwrap().kex.name, "ecdh-sha2-nistp256");
        assert_eq!(run(Role::Client, &theirs).unwrap().kex.name, "curve25519-sha256");
        assert_eq!(run(Role::Server, &theirs).unwrap().client_to_server.cipher.name, "aes128-ctr");
    }

    #[test]
    fn an_aead_needs_no_common_mac() {
        let theirs = theirs(b"curve25519-sha256", b"aes128-gcm@openssh.com", b"");
        assert!(run(Role::Server, &theirs).unwrap().server_to_client.mac.is_none());
    }

    #[test]
    fn pseudo_names_are_never_chosen_and_the_error_shows_both_lists() {
        let theirs = theirs(b"ext-info-c,kex-strict-c-v00@openssh.com", b"aes128-ctr", b"none");
        let error = run(Role::Server, &theirs).unwrap_err();
        assert!(error.to_string().contains("kex-strict-c-v00"), "{error}");
    }

    #[test]
    fn a_guess_is_wrong_unless_both_first_names_agree() {
        let right = theirs(b"mlkem768x25519-sha256", b"aes128-ctr", b"hmac-sha2-256");
        assert!(!run(Role::Server, &right).unwrap().ignore_guess);
        let wrong = theirs(b"unknown@x,mlkem768x25519-sha256", b"aes128-ctr", b"hmac-sha2-256");
        assert!(run(Role::Server, &wrong).unwrap().ignore_guess);
    }
}
