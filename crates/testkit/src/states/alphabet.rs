//! What a peer can say, one well-formed message a symbol.
//!
//! Left out is what would only double the states behind the login: end of data, announced host keys, a second channel.

use sterna_ssh_proto::messages::auth::{
    encode_banner, encode_failure, encode_keyboard_interactive, encode_passwd_changereq,
    encode_password, encode_pk_ok, encode_public_key, encode_success, put_request_head,
    signed_bytes,
};
use sterna_ssh_proto::messages::keyboard::{encode_info_request, encode_info_response};
use sterna_ssh_proto::messages::transport::{
    Disconnect, encode_ext_info, encode_service_accept, encode_service_request,
    encode_unimplemented,
};
use sterna_ssh_proto::messages::{channel, global};
use sterna_ssh_proto::{Prompt, Prompts};
use sterna_sshwire::{put_string, put_u32};

use super::peer::Peer;
use super::subject::{PASSWORD, USER};

/// One message of the peer.
#[derive(Clone, Copy)]
pub struct Symbol {
    pub name: &'static str,
    pub say: fn(&mut Peer<'_>),
}

const fn say(name: &'static str, say: fn(&mut Peer<'_>)) -> Symbol {
    Symbol { name, say }
}

/// The position of a symbol, for sequences written by hand.
pub fn find(alphabet: &[Symbol], name: &str) -> usize {
    alphabet.iter().position(|s| s.name == name).unwrap_or_else(|| panic!("no symbol {name}"))
}

/// Builds a payload and says it.
fn built(peer: &mut Peer<'_>, build: impl FnOnce(&mut Vec<u8>)) {
    let mut payload = Vec::new();
    build(&mut payload);
    peer.payload(&payload);
}

fn public_key(peer: &mut Peer<'_>, sign: Option<&[u8]>) {
    let (key, algorithm) = (&peer.keys().user, "ssh-ed25519");
    let blob = key.public().to_wire();
    let signature = sign.map(|session_id| {
        let bytes = signed_bytes(session_id, USER.as_bytes(), algorithm, &blob, None);
        key.sign(algorithm, &bytes).unwrap()
    });
    built(peer, |out| {
        let user = USER.as_bytes();
        encode_public_key(out, user, algorithm, &blob, None, signature.as_deref());
    });
}

fn open_channel(kind: &'static [u8]) -> impl Fn(&mut Vec<u8>) {
    move |out| {
        let open = channel::Open { kind, sender: 0, window: 1 << 20, packet_len_max: 1 << 15 };
        open.encode(out);
    }
}

fn failure(peer: &mut Peer<'_>, method: &str, partial: bool) {
    built(peer, |out| encode_failure(out, &[method.to_owned()], partial));
}

/// What either role can say.
const OF_BOTH: &[Symbol] = &[
    say("version", |p| p.version()),
    say("KEXINIT", |p| p.kexinit(false)),
    say("KEXINIT strict", |p| p.kexinit(true)),
    say("NEWKEYS", |p| p.payload(&[21])),
    say("NEWKEYS too long", |p| p.payload(&[21, 0])),
    say("DISCONNECT", |p| built(p, |out| Disconnect { reason: 11, text: b"bye" }.encode(out))),
    say("IGNORE", |p| p.payload(&[2, 0, 0, 0, 0])),
    say("UNIMPLEMENTED", |p| built(p, |out| encode_unimplemented(out, 0))),
    say("DEBUG", |p| p.payload(&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    say("SERVICE_REQUEST ssh-userauth", |p| {
        built(p, |out| encode_service_request(out, "ssh-userauth"));
    }),
    say("SERVICE_REQUEST ssh-connection", |p| {
        built(p, |out| encode_service_request(out, "ssh-connection"));
    }),
    say("SERVICE_ACCEPT ssh-userauth", |p| {
        built(p, |out| encode_service_accept(out, "ssh-userauth"));
    }),
    say("SERVICE_ACCEPT ssh-connection", |p| {
        built(p, |out| encode_service_accept(out, "ssh-connection"));
    }),
    say("EXT_INFO", |p| {
        built(p, |out| encode_ext_info(out, &[("server-sig-algs", b"ssh-ed25519")]));
    }),
    say("message 8", |p| p.payload(&[8])),
    say("message 34", |p| p.payload(&[34, 0, 0, 8, 0, 0, 0, 12, 0, 0, 0, 32, 0])),
    say("USERAUTH_SUCCESS", |p| built(p, encode_success)),
    say("USERAUTH_FAILURE password", |p| failure(p, "password", false)),
    say("USERAUTH_BANNER", |p| built(p, |out| encode_banner(out, "hello"))),
    say("PK_OK", |p| {
        let blob = p.keys().user.public().to_wire();
        built(p, |out| encode_pk_ok(out, b"ssh-ed25519", &blob));
    }),
    say("INFO_REQUEST", |p| {
        let prompt = Prompt { text: "Password: ".to_owned(), echo: false };
        let prompts = Prompts { prompts: vec![prompt], ..Prompts::default() };
        built(p, |out| encode_info_request(out, &prompts));
    }),
    say("INFO_RESPONSE right", |p| {
        built(p, |out| encode_info_response(out, &[PASSWORD.to_vec().into()]));
    }),
    say("USERAUTH_REQUEST none", |p| {
        built(p, |out| put_request_head(out, USER.as_bytes(), "none"));
    }),
    say("GLOBAL_REQUEST", |p| {
        built(p, |out| global::encode_request(out, "keepalive@openssh.com", true, &[]));
    }),
    say("REQUEST_SUCCESS", |p| built(p, |out| global::encode_success(out, &[]))),
    say("REQUEST_FAILURE", |p| built(p, global::encode_failure)),
    say("CHANNEL_OPEN session", |p| built(p, open_channel(b"session"))),
    say("CHANNEL_OPEN_CONFIRMATION", |p| {
        let confirmation = channel::OpenConfirmation {
            recipient: 0,
            sender: 0,
            window: 1 << 20,
            packet_len_max: 1 << 15,
        };
        built(p, |out| confirmation.encode(out));
    }),
    say("CHANNEL_OPEN_FAILURE", |p| {
        built(p, |out| channel::encode_open_failure(out, 0, 1, "no"));
    }),
    say("CHANNEL_WINDOW_ADJUST", |p| built(p, |out| channel::encode_window_adjust(out, 0, 1))),
    say("CHANNEL_DATA", |p| {
        built(p, |out| {
            out.extend_from_slice(&channel::data_head(0, 5));
            out.extend_from_slice(&[0, 0, 0, 1, 1]);
        });
    }),
    say("CHANNEL_EXTENDED_DATA", |p| {
        built(p, |out| {
            out.push(95);
            put_u32(out, 0);
            put_u32(out, 1);
            put_string(out, b"text");
        });
    }),
    say("CHANNEL_CLOSE", |p| built(p, |out| channel::encode_close(out, 0))),
    say("CHANNEL_REQUEST subsystem sftp", |p| {
        built(p, |out| {
            channel::encode_request(out, 0, "subsystem", true, |out| put_string(out, b"sftp"));
        });
    }),
    say("CHANNEL_SUCCESS", |p| built(p, |out| channel::encode_request_answer(out, 0, true))),
    say("CHANNEL_FAILURE", |p| built(p, |out| channel::encode_request_answer(out, 0, false))),
    say("PING", |p| p.payload(&[192, 0, 0, 0, 1, b'x'])),
    say("PONG", |p| p.payload(&[193, 0, 0, 0, 1, b'x'])),
    say("message 0", |p| p.payload(&[0])),
    say("message 250", |p| p.payload(&[250])),
];

const OF_CLIENT: &[Symbol] = &[
    say("ECDH_INIT", |p| p.init()),
    say("ECDH_INIT of zeros", |p| {
        built(p, |out| {
            out.push(30);
            put_string(out, &[0; 32]);
        });
    }),
    say("USERAUTH_REQUEST password right", |p| {
        built(p, |out| encode_password(out, USER.as_bytes(), PASSWORD, None));
    }),
    say("USERAUTH_REQUEST password wrong", |p| {
        built(p, |out| encode_password(out, USER.as_bytes(), b"wrong", None));
    }),
    say("USERAUTH_REQUEST publickey query", |p| public_key(p, None)),
    say("USERAUTH_REQUEST publickey signed", |p| {
        let session_id = p.session_id.clone();
        public_key(p, Some(&session_id));
    }),
    say("USERAUTH_REQUEST publickey signed for another session", |p| {
        public_key(p, Some(&[3; 32]));
    }),
    say("USERAUTH_REQUEST keyboard-interactive", |p| {
        built(p, |out| encode_keyboard_interactive(out, USER.as_bytes(), ""));
    }),
    say("CHANNEL_OPEN direct-tcpip", |p| {
        built(p, |out| {
            open_channel(b"direct-tcpip")(out);
            channel::encode_direct_tcpip(out, "127.0.0.1", 22);
        });
    }),
];

const OF_SERVER: &[Symbol] = &[
    say("ECDH_REPLY", |p| p.reply(true)),
    say("ECDH_REPLY with a wrong signature", |p| p.reply(false)),
    say("USERAUTH_FAILURE publickey", |p| failure(p, "publickey", false)),
    say("USERAUTH_FAILURE keyboard-interactive", |p| failure(p, "keyboard-interactive", false)),
    say("USERAUTH_FAILURE partial", |p| failure(p, "password", true)),
    say("PASSWD_CHANGEREQ", |p| built(p, |out| encode_passwd_changereq(out, "change it"))),
    say("CHANNEL_OPEN auth-agent", |p| built(p, open_channel(b"auth-agent@openssh.com"))),
];

/// All that a client can say to a server.
pub fn to_server() -> Vec<Symbol> {
    [OF_BOTH, OF_CLIENT].concat()
}

/// All that a server can say to a client.
pub fn to_client() -> Vec<Symbol> {
    [OF_BOTH, OF_SERVER].concat()
}
