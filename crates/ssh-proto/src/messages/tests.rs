//! Vectors in both directions, and every message cut short, grown and scrambled.

use proptest::prelude::*;
use sterna_sshwire::{DecodeError, Reader, put_string, put_u32};

use super::auth::{Method, Request};
use super::*;
use crate::event::{ChannelRequest, Prompt, Prompts};
use crate::vectors::bytes;

/// Vectors of whole messages that we read; those with `true` end exactly where their last field does.
const MESSAGES: &[(&str, bool)] = &[
    ("T4.I_C", false),
    ("T4.I_S", false),
    ("T27.I_C", false),
    ("T9.payload", true),
    ("T14.query_no_signature", true),
    ("T14.PK_OK_reply", true),
    ("T14.full_request", true),
    ("T16.full_request", true),
    ("T17.password_request", true),
    ("T18.request", true),
    ("T17.change_request", true),
    ("T19.FAILURE", true),
    ("T20.hostkeys_00_request", false),
    ("T20.prove_request", false),
    ("T20.reply", false),
    ("T21.EXT_INFO", true),
    ("T21.PING_x", true),
    ("T22.open_session_channel_0_window_2_MiB_packet_32768", false),
    ("T22.confirmation_to_0_own_channel_0_window_0", false),
    ("T22.subsystem_sftp_want_reply", false),
    ("T22.exec_id", false),
    ("T22.env_LANG_C_no_reply", false),
    ("T22.exit_status_3", false),
    ("T22.exit_signal_TERM", false),
    ("T22.window_adjust_65536", true),
    ("T22.data_carrying_SFTP_INIT_3", true),
    ("T22.extended_data_stderr_e", true),
    ("T22.EOF", true),
    ("T22.CLOSE", true),
    ("T22.keepalive_on_channel", false),
    ("T22.open_failure_1", false),
    ("T22.DISCONNECT_11", false),
];

/// Writes one message.
type Build<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Reads a message by its number, as the connection does. `Err(None)`: a number with no decoder.
fn decode(message: &[u8]) -> Result<(), Option<DecodeError>> {
    let Some((number, fields)) = message.split_first() else { return Err(None) };
    let r = &mut Reader::new(fields);
    match *number {
        DISCONNECT => transport::Disconnect::decode(r).map(drop),
        SERVICE_REQUEST | SERVICE_ACCEPT => transport::decode_service(r).map(drop),
        EXT_INFO => transport::decode_ext_info(r, |_, _| ()),
        KEXINIT => kex::KexInit::decode(r).map(drop),
        30 | 32 => kex::decode_init(r, false)
            .and(kex::decode_init(&mut Reader::new(fields), true))
            .map(drop),
        31 | 33 => kex::ExchangeReply::decode(r, fields.len().is_multiple_of(2)).map(drop),
        34 => kex::GexRequest::decode(r).map(drop),
        35 => kex::decode_gex_group(r).map(drop),
        USERAUTH_REQUEST => Request::decode(r).map(drop),
        USERAUTH_FAILURE => auth::decode_failure(r).map(drop),
        USERAUTH_BANNER => auth::decode_banner(r).map(drop),
        USERAUTH_PK_OK => auth::decode_pk_ok(r).map(drop),
        GLOBAL_REQUEST => {
            global::Request::decode(r).and_then(|q| global::decode_blobs(q.fields)).map(drop)
        }
        REQUEST_SUCCESS => global::decode_blobs(fields).map(drop),
        CHANNEL_OPEN => channel::Open::decode(r).map(drop),
        CHANNEL_OPEN_CONFIRMATION => channel::OpenConfirmation::decode(r).map(drop),
        CHANNEL_OPEN_FAILURE => channel::decode_open_failure(r).map(drop),
        CHANNEL_WINDOW_ADJUST => channel::decode_window_adjust(r).map(drop),
        CHANNEL_DATA => channel::decode_data(r).map(drop),
        CHANNEL_EXTENDED_DATA => channel::decode_extended_data(r).map(drop),
        CHANNEL_REQUEST => channel::Request::decode(r).map(drop),
        CHANNEL_EOF | CHANNEL_CLOSE | CHANNEL_SUCCESS | CHANNEL_FAILURE => {
            channel::decode_recipient(r).map(drop)
        }
        PING => transport::decode_ping(r).map(drop),
        _ => return Err(None),
    }
    .map_err(Some)
}

#[test]
fn every_vector_is_read() {
    for (name, _) in MESSAGES {
        assert_eq!(decode(&bytes(name)), Ok(()), "{name}");
    }
}

/// ENC-4. Messages whose end is a list or belongs to a type may be cut there; nothing else may.
#[test]
fn every_prefix_of_every_message_fails_cleanly_and_surplus_bytes_are_refused() {
    for (name, exact) in MESSAGES {
        let whole = bytes(name);
        for len in 1..whole.len() {
            let cut = decode(&whole[..len]);
            if *exact {
                assert!(matches!(cut, Err(Some(_))), "{name} cut to {len}");
            }
        }
        let grown = [&whole[..], &[0]].concat();
        assert_eq!(decode(&grown).is_err(), *exact || name.starts_with("T20"), "{name} grown");
    }
    // Those with an open end still need all of their fixed fields.
    for (name, fixed_len) in [
        ("T4.I_C", 1 + 16 + 40),
        ("T22.open_session_channel_0_window_2_MiB_packet_32768", 24),
        ("T22.confirmation_to_0_own_channel_0_window_0", 17),
        ("T22.subsystem_sftp_want_reply", 27),
        ("T22.exit_status_3", 25),
        ("T22.DISCONNECT_11", 12),
        ("T22.open_failure_1", 15),
    ] {
        for len in 1..fixed_len {
            assert!(decode(&bytes(name)[..len]).is_err(), "{name} cut to {len}");
        }
    }
}

#[test]
fn t9_t19_t21_transport_and_answers_encode_to_their_vectors() {
    let encoded = |build: Build<'_>| {
        let mut out = Vec::new();
        build(&mut out);
        out
    };
    let methods = ["publickey", "keyboard-interactive"].map(str::to_owned);
    let signatures = b"ssh-ed25519,rsa-sha2-512,rsa-sha2-256";
    let entries: [(&str, &[u8]); 3] = [
        ("server-sig-algs", signatures),
        ("publickey-hostbound@openssh.com", b"0"),
        ("ping@openssh.com", b"0"),
    ];
    let cases: [(&str, Build<'_>); 7] = [
        ("T9.payload", &|p| transport::encode_service_request(p, auth::SERVICE_USERAUTH)),
        ("T19.FAILURE", &|p| auth::encode_failure(p, &methods, true)),
        ("T19.SUCCESS", &|p| auth::encode_success(p)),
        ("T21.EXT_INFO", &|p| transport::encode_ext_info(p, &entries)),
        ("T21.PONG_x", &|p| transport::encode_pong(p, b"x")),
        ("T22.UNIMPLEMENTED_5", &|p| transport::encode_unimplemented(p, 5)),
        ("T22.DISCONNECT_11", &|p| transport::Disconnect { reason: 11, text: b"bye" }.encode(p)),
    ];
    for (name, build) in cases {
        assert_eq!(hex::encode(encoded(build)), hex::encode(bytes(name)), "{name}");
    }

    let (listed, partial) =
        auth::decode_failure(&mut Reader::new(&bytes("T19.FAILURE")[1..])).unwrap();
    assert_eq!((&listed[..], partial), (&methods[..], true));
    let mut read = Vec::new();
    let ext_info = bytes("T21.EXT_INFO");
    transport::decode_ext_info(&mut Reader::new(&ext_info[1..]), |n, v| read.push((n, v))).unwrap();
    let expected: Vec<_> = entries.iter().map(|(n, v)| (n.as_bytes(), *v)).collect();
    assert_eq!(read, expected);
    assert_eq!(transport::decode_ping(&mut Reader::new(&bytes("T21.PING_x")[1..])), Ok(&b"x"[..]));
}

#[test]
fn t14_to_t17_login_requests_encode_and_decode() {
    let key = {
        let ok = bytes("T14.PK_OK_reply");
        let (algorithm, key) = auth::decode_pk_ok(&mut Reader::new(&ok[1..])).unwrap();
        assert_eq!(algorithm, b"ssh-ed25519");
        let mut again = Vec::new();
        auth::encode_pk_ok(&mut again, algorithm, key);
        assert_eq!(again, ok);
        key.to_vec()
    };
    let full = bytes("T14.full_request");
    let request = Request::decode(&mut Reader::new(&full[1..])).unwrap();
    assert_eq!((request.user, request.service), (&b"alice"[..], &b"ssh-connection"[..]));
    let Method::PublicKey { algorithm: b"ssh-ed25519", key: k, signature: Some(s), bound_to: None } =
        request.method
    else {
        panic!("{request:?}")
    };
    assert_eq!(k, key);
    let mut again = Vec::new();
    auth::encode_public_key(&mut again, b"alice", "ssh-ed25519", k, None, Some(s));
    assert_eq!(again, full);
    again.clear();
    auth::encode_public_key(&mut again, b"alice", "ssh-ed25519", k, None, None);
    assert_eq!(again, bytes("T14.query_no_signature"));

    let (session_id, host_key) = (bytes("T4.H"), bytes("T3.public_key_blob"));
    let signed = |bound| auth::signed_bytes(&session_id, b"alice", "ssh-ed25519", &key, bound);
    assert_eq!(signed(None), bytes("T14.bytes_to_sign"));
    assert_eq!(signed(Some(&host_key)), bytes("T15.bytes_to_sign"));
    let public = sterna_ssh_crypto::PublicKey::from_wire(&key).unwrap();
    assert!(public.verify("ssh-ed25519", &signed(None), s).is_ok());
    let bound = bytes("T15.signature_blob");
    assert!(public.verify("ssh-ed25519", &signed(Some(&host_key)), &bound).is_ok());
    assert!(public.verify("ssh-ed25519", &signed(None), &bound).is_err());

    let hostbased = bytes("T16.full_request");
    let request = Request::decode(&mut Reader::new(&hostbased[1..])).unwrap();
    let Method::HostBased {
        algorithm: b"ssh-ed25519",
        key: k,
        client_host,
        client_user,
        signature,
    } = request.method
    else {
        panic!("{request:?}")
    };
    assert_eq!((client_host, client_user), (&b"client.example.org."[..], &b"bob"[..]));
    again.clear();
    auth::put_host_based(&mut again, b"alice", "ssh-ed25519", k, client_host, client_user);
    put_string(&mut again, signature);
    assert_eq!(again, hostbased);
    let signed = auth::host_based_signed_bytes(
        &session_id,
        b"alice",
        "ssh-ed25519",
        k,
        client_host,
        client_user,
    );
    assert_eq!(signed, bytes("T16.bytes_to_sign"));
    let client_key = sterna_ssh_crypto::PublicKey::from_wire(k).unwrap();
    assert!(client_key.verify("ssh-ed25519", &signed, signature).is_ok());

    let password = bytes("T17.password_request");
    let request = Request::decode(&mut Reader::new(&password[1..])).unwrap();
    assert!(matches!(request.method, Method::Password { password: b"pw", new_password: None }));
    again.clear();
    auth::encode_password(&mut again, b"alice", b"pw", None);
    assert_eq!(again, password);
    let expired = bytes("T17.PASSWD_CHANGEREQ");
    let prompt = auth::decode_passwd_changereq(&mut Reader::new(&expired[1..]));
    assert_eq!(prompt, Ok(&b"expired"[..]));
    let change = bytes("T17.change_request");
    let request = Request::decode(&mut Reader::new(&change[1..])).unwrap();
    let Method::Password { password: b"pw", new_password: Some(b"new") } = request.method else {
        panic!("{request:?}")
    };
    again.clear();
    auth::encode_password(&mut again, b"alice", b"pw", Some(b"new"));
    assert_eq!(again, change);
    again.clear();
    auth::encode_passwd_changereq(&mut again, "expired");
    assert_eq!(again, expired);
}

#[test]
fn t18_questions_and_answers_encode_and_decode() {
    use keyboard::{
        decode_info_request, decode_info_response, encode_info_request, encode_info_response,
    };
    let request = bytes("T18.request");
    let decoded = Request::decode(&mut Reader::new(&request[1..])).unwrap();
    assert!(matches!(decoded.method, Method::KeyboardInteractive { submethods: b"" }));
    let mut out = Vec::new();
    auth::encode_keyboard_interactive(&mut out, b"alice", "");
    assert_eq!(out, request);

    let code = Prompt { text: "Code: ".to_owned(), echo: false };
    let one = Prompts { prompts: vec![code], ..Prompts::default() };
    let none = Prompts { name: "note".to_owned(), ..Prompts::default() };
    for (name, prompts) in
        [("T18.INFO_REQUEST_one_hidden_prompt", one), ("T18.INFO_REQUEST_zero_prompts", none)]
    {
        let message = bytes(name);
        out.clear();
        encode_info_request(&mut out, &prompts);
        assert_eq!(out, message, "{name}");
        assert_eq!(decode_info_request(&mut Reader::new(&message[1..])), Ok(prompts));
        for len in 1..message.len() {
            assert!(decode_info_request(&mut Reader::new(&message[1..len])).is_err(), "{len}");
        }
    }

    let answer = bytes("T18.INFO_RESPONSE");
    let answers = vec![zeroize::Zeroizing::new(b"123456".to_vec())];
    out.clear();
    encode_info_response(&mut out, &answers);
    assert_eq!(out, answer);
    let decode =
        |message: &[u8], count| decode_info_response(&mut Reader::new(&message[1..]), count);
    assert_eq!(decode(&answer, 1), Ok(Some(answers)));
    assert_eq!(decode(&answer, 0), Ok(None), "more answers than questions");
    assert_eq!(decode(&answer, 2), Ok(None), "fewer");
    assert_eq!(decode(&bytes("T18.INFO_RESPONSE_to_it"), 0), Ok(Some(Vec::new())));
}

/// A count of 2^32-1 must cost nothing (CVE-2026-42189).
#[test]
fn counts_of_questions_and_answers_are_bounded() {
    use crate::limits::{ANSWER_LEN_MAX, PROMPTS_MAX};
    for count in [PROMPTS_MAX + 1, u32::MAX] {
        let mut answers = Vec::new();
        put_u32(&mut answers, count);
        assert!(keyboard::decode_info_response(&mut Reader::new(&answers), 1).is_err());
        let mut request = Vec::new();
        (0..3).for_each(|_| put_string(&mut request, b""));
        put_u32(&mut request, count);
        assert!(keyboard::decode_info_request(&mut Reader::new(&request)).is_err());
    }
    let mut long = Vec::new();
    put_u32(&mut long, 1);
    put_string(&mut long, &[b'x'; ANSWER_LEN_MAX + 1]);
    assert_eq!(keyboard::decode_info_response(&mut Reader::new(&long), 1), Ok(None));
}

#[test]
fn t20_host_key_rotation_encodes_and_proves() {
    let key = bytes("T3.public_key_blob");
    let mut out = Vec::new();
    global::encode_request(&mut out, global::HOST_KEYS, false, std::slice::from_ref(&key));
    assert_eq!(out, bytes("T20.hostkeys_00_request"));
    out.clear();
    global::encode_request(&mut out, global::HOST_KEYS_PROVE, true, std::slice::from_ref(&key));
    assert_eq!(out, bytes("T20.prove_request"));
    let request = global::Request::decode(&mut Reader::new(&out[1..])).unwrap();
    assert_eq!((request.name, request.want_reply), (global::HOST_KEYS_PROVE.as_bytes(), true));
    assert_eq!(global::decode_blobs(request.fields), Ok(vec![key.clone()]));

    let signed = global::prove_bytes(&bytes("T4.H"), &key);
    assert_eq!(signed, bytes("T20.bytes_to_sign"));
    let reply = bytes("T20.reply");
    let signatures = global::decode_blobs(&reply[1..]).unwrap();
    out.clear();
    global::encode_success(&mut out, &signatures);
    assert_eq!(out, reply);
    let public = sterna_ssh_crypto::PublicKey::from_wire(&key).unwrap();
    assert!(public.verify("ssh-ed25519", &signed, &signatures[0]).is_ok());
}

#[test]
fn t22_channel_messages_encode_and_decode() {
    use channel as c;
    let open = c::Open { kind: b"session", sender: 0, window: 2 << 20, packet_len_max: 32_768 };
    let confirmation =
        c::OpenConfirmation { recipient: 0, sender: 0, window: 0, packet_len_max: 32_768 };
    let string = |p: &mut Vec<u8>, s: &[u8]| sterna_sshwire::put_string(p, s);
    let cases: [(&str, Build<'_>); 9] = [
        ("T22.open_session_channel_0_window_2_MiB_packet_32768", &|p| open.encode(p)),
        ("T22.confirmation_to_0_own_channel_0_window_0", &|p| confirmation.encode(p)),
        ("T22.subsystem_sftp_want_reply", &|p| {
            c::encode_request(p, 0, "subsystem", true, |p| string(p, b"sftp"));
        }),
        ("T22.exec_id", &|p| c::encode_request(p, 0, "exec", true, |p| string(p, b"id"))),
        ("T22.exit_status_3", &|p| {
            c::encode_request(p, 0, "exit-status", false, |p| p.extend([0, 0, 0, 3]));
        }),
        ("T22.window_adjust_65536", &|p| c::encode_window_adjust(p, 0, 65_536)),
        ("T22.EOF", &|p| c::encode_eof(p, 0)),
        ("T22.CLOSE", &|p| c::encode_close(p, 0)),
        ("T22.open_failure_1", &|p| c::encode_open_failure(p, 0, c::OPEN_PROHIBITED, "no")),
    ];
    for (name, build) in cases {
        let mut out = Vec::new();
        build(&mut out);
        assert_eq!(hex::encode(out), hex::encode(bytes(name)), "{name}");
    }

    let fields = |name| bytes(name)[1..].to_vec();
    let wire = fields("T22.open_session_channel_0_window_2_MiB_packet_32768");
    assert_eq!(c::Open::decode(&mut Reader::new(&wire)), Ok(open));
    let wire = fields("T22.confirmation_to_0_own_channel_0_window_0");
    assert_eq!(c::OpenConfirmation::decode(&mut Reader::new(&wire)), Ok(confirmation));
    let wire = bytes("T22.data_carrying_SFTP_INIT_3");
    let (recipient, data) = c::decode_data(&mut Reader::new(&wire[1..])).unwrap();
    assert_eq!((recipient, data.len(), c::data_head(0, 9)[..] == wire[..9]), (0, 9, true));
    let wire = fields("T22.extended_data_stderr_e");
    assert_eq!(c::decode_extended_data(&mut Reader::new(&wire)), Ok((0, &b"e"[..])));
    let request = |name| c::Request::decode(&mut Reader::new(&fields(name))).unwrap();
    for (name, want_reply, expected) in [
        ("T22.subsystem_sftp_want_reply", true, ChannelRequest::Subsystem(b"sftp".to_vec())),
        ("T22.exec_id", true, ChannelRequest::Exec(b"id".to_vec())),
        (
            "T22.env_LANG_C_no_reply",
            false,
            ChannelRequest::Env { name: b"LANG".to_vec(), value: b"C".to_vec() },
        ),
        ("T22.exit_status_3", false, ChannelRequest::ExitStatus(3)),
        (
            "T22.exit_signal_TERM",
            false,
            ChannelRequest::ExitSignal { name: "TERM".to_owned(), text: String::new() },
        ),
        (
            "T22.keepalive_on_channel",
            true,
            ChannelRequest::Other { name: "keepalive@openssh.com".to_owned() },
        ),
    ] {
        let read = request(name);
        assert_eq!((read.want_reply, read.request), (want_reply, expected), "{name}");
    }
}

#[test]
fn a_direct_connection_names_where_to_and_where_from() {
    let open = channel::Open { kind: b"direct-tcpip", sender: 1, window: 2, packet_len_max: 3 };
    let mut out = Vec::new();
    open.encode(&mut out);
    channel::encode_direct_tcpip(&mut out, "h", 22);

    let mut wire = vec![90, 0, 0, 0, 12]; // CHANNEL_OPEN, string channel type
    wire.extend(b"direct-tcpip");
    wire.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]); // sender, window, packet
    wire.extend([0, 0, 0, 1, b'h', 0, 0, 0, 22]); // string host, uint32 port
    wire.extend([0, 0, 0, 9]); // string originator
    wire.extend(b"127.0.0.1");
    wire.extend([0, 0, 0xff, 0xff]); // uint32 originator port
    assert_eq!(out, wire);
    assert_eq!(channel::Open::decode(&mut Reader::new(&wire[1..])), Ok(open));
}

#[test]
fn counts_and_lengths_that_lie_are_refused_without_allocating() {
    for lie in [5u32, 1025, 0x7fff_ffff, u32::MAX] {
        let lie = lie.to_be_bytes();
        for head in [
            &[7u8][..],
            &[1, 0, 0, 0, 2],
            &[50],
            &[51],
            &[53],
            &[60],
            &[80],
            &[81],
            &[90],
            &[94, 0, 0, 0, 0],
            &[95, 0, 0, 0, 0, 0, 0, 0, 1],
            &[98, 0, 0, 0, 0],
            &[192],
        ] {
            let message = [head, &lie[..], &[0; 3]].concat();
            assert!(matches!(decode(&message), Err(Some(_))), "{message:02x?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_a_decoder_panic(
        number in any::<u8>(),
        fields in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decode(&[&[number][..], &fields].concat());
    }

    #[test]
    fn vectors_with_changed_bytes_make_no_decoder_panic(
        which in 0..MESSAGES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        number in proptest::option::of(any::<u8>()),
    ) {
        let mut message = bytes(MESSAGES[which].0);
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if let Some(number) = number {
            message[0] = number;
        }
        let _ = decode(&message);
    }

    #[test]
    fn text_of_a_peer_holds_nothing_that_moves_a_terminal(
        text in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let shown = transport::peer_text(&text);
        prop_assert!(shown.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
    }
}
