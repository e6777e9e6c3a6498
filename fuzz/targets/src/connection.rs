//! Whole connections of both roles: real sequences of messages, changed before they are sealed, against an application
//! that keeps the books (`testkit::states`): nobody is logged in whom it did not accept.

use std::sync::LazyLock;

use sterna_ssh_proto::Role;
use sterna_testkit::states::{Keys, Seen, Spoil, Subject, Symbol, alphabet, find, fresh, step};

static KEYS: LazyLock<Keys> = LazyLock::new(Keys::generate);

/// What leads into the depth, so that not every input must find it.
const TO_SERVER: &[&str] = &[
    "version",
    "KEXINIT strict",
    "ECDH_INIT",
    "NEWKEYS",
    "SERVICE_REQUEST ssh-userauth",
    "USERAUTH_REQUEST password right",
    "CHANNEL_OPEN session",
    "CHANNEL_REQUEST subsystem sftp",
];
const TO_CLIENT: &[&str] = &[
    "KEXINIT strict",
    "ECDH_REPLY",
    "NEWKEYS",
    "SERVICE_ACCEPT ssh-userauth",
    "USERAUTH_SUCCESS",
    "CHANNEL_OPEN_CONFIRMATION",
    "CHANNEL_SUCCESS",
];

/// Input: one byte of choices, then steps of four bytes. Bit 0: which role is attacked. Bit 1: the application answers
/// late. Bits 4 to 7: how far the connection has come. A step: which message (or what our application does), and how it
/// is changed.
pub fn run(data: &[u8]) {
    let Some((choice, steps)) = data.split_first() else { return };
    let (role, start, symbols) = match choice & 1 {
        0 => (Role::Server, TO_SERVER, alphabet::to_server()),
        _ => (Role::Client, TO_CLIENT, alphabet::to_client()),
    };
    let (mut subject, mut peer) = fresh(role, &KEYS);
    for name in start.iter().take(usize::from(choice >> 4)) {
        step(&mut subject, &mut peer, &symbols[find(&symbols, name)]);
    }
    subject.hesitates = choice & 2 != 0;
    for (at, words) in steps.chunks_exact(4).enumerate() {
        let [which, how, a, b] = *words else { unreachable!("four bytes") };
        match usize::from(which) {
            254 => say(&mut subject, &mut peer, |subject| subject.rekey()),
            255 => say(&mut subject, &mut peer, |subject| subject.answer()),
            which => {
                peer.spoils.extend(spoil(how, a, b));
                let symbol: &Symbol = &symbols[which % symbols.len()];
                step(&mut subject, &mut peer, symbol);
                // What says nothing takes no change with it to the next one.
                peer.spoils.clear();
            }
        }
        if subject.is_over() || peer.deaf || at > 200 {
            return;
        }
    }
}

fn say(
    subject: &mut Subject<'_>,
    peer: &mut sterna_testkit::states::Peer<'_>,
    act: impl FnOnce(&mut Subject<'_>) -> Seen,
) {
    let mut seen = act(subject);
    subject.speak_to(peer, &mut seen);
}

fn spoil(how: u8, a: u8, b: u8) -> Option<Spoil> {
    let words = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 256, 1 << 16, 4];
    let (at, word) = (usize::from(a), words[usize::from(b) % words.len()]);
    match how % 8 {
        0..=2 => None,
        3 | 4 => Some(Spoil::Xor { at, with: b }),
        5 => Some(Spoil::Cut { at }),
        6 => Some(Spoil::Grow { by: at, with: b }),
        _ => Some(Spoil::Word { at, word }),
    }
}
