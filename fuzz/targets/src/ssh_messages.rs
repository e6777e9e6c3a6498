//! Every decoder of SSH messages, chosen by the message number in front.

use sterna_ssh_proto::messages::{self, auth, channel, global, kex, keyboard, transport};
use sterna_sshwire::Reader;

pub fn run(data: &[u8]) {
    let Some((number, fields)) = data.split_first() else { return };
    let r = || Reader::new(fields);
    let mut again = Vec::new();
    match *number {
        messages::DISCONNECT => {
            if let Ok(message) = transport::Disconnect::decode(&mut r()) {
                let text = transport::peer_text(message.text);
                assert!(!text.contains('\u{1b}'));
            }
        }
        messages::SERVICE_REQUEST | messages::SERVICE_ACCEPT => {
            let _ = transport::decode_service(&mut r());
        }
        messages::EXT_INFO => {
            let mut entries = 0;
            let _ = transport::decode_ext_info(&mut r(), |_, _| entries += 1);
            assert!(entries * 8 <= fields.len());
        }
        messages::KEXINIT => {
            if let Ok(init) = kex::KexInit::decode(&mut r()) {
                assert!(init.kex.iter().count() <= fields.len());
            }
        }
        30 | 32 => {
            for as_mpint in [false, true] {
                if let Ok(value) = kex::decode_init(&mut r(), as_mpint) {
                    kex::encode_public(&mut again, *number, value, as_mpint);
                    assert_eq!(again, data);
                    again.clear();
                }
            }
        }
        31 | 33 => {
            for as_mpint in [false, true] {
                if let Ok(reply) = kex::ExchangeReply::decode(&mut r(), as_mpint) {
                    reply.encode(&mut again, *number, as_mpint);
                    assert_eq!(again, data);
                    again.clear();
                }
            }
            if let Ok((p, g)) = kex::decode_gex_group(&mut r()) {
                kex::encode_gex_group(&mut again, p, g);
                assert_eq!(again[1..], *fields);
            }
        }
        34 => {
            if let Ok(request) = kex::GexRequest::decode(&mut r()) {
                request.encode(&mut again);
                assert_eq!(again, data);
            }
        }
        messages::USERAUTH_REQUEST => _ = auth::Request::decode(&mut r()),
        messages::USERAUTH_FAILURE => _ = auth::decode_failure(&mut r()),
        messages::USERAUTH_BANNER => _ = auth::decode_banner(&mut r()),
        messages::USERAUTH_PK_OK => {
            if let Ok((algorithm, key)) = auth::decode_pk_ok(&mut r()) {
                auth::encode_pk_ok(&mut again, algorithm, key);
                assert_eq!(again, data);
            }
            if let Ok(prompts) = keyboard::decode_info_request(&mut r()) {
                assert!(prompts.prompts.len() <= 100);
            }
            let _ = auth::decode_passwd_changereq(&mut r());
        }
        messages::USERAUTH_INFO_RESPONSE => {
            for count in 0..3 {
                if let Ok(Some(answers)) = keyboard::decode_info_response(&mut r(), count) {
                    assert_eq!(answers.len(), count);
                    keyboard::encode_info_response(&mut again, &answers);
                    assert_eq!(again, data);
                }
            }
        }
        messages::GLOBAL_REQUEST => {
            if let Ok(request) = global::Request::decode(&mut r()) {
                let _ = global::decode_blobs(request.fields);
            }
        }
        messages::REQUEST_SUCCESS => _ = global::decode_blobs(fields),
        messages::CHANNEL_OPEN => _ = channel::Open::decode(&mut r()),
        messages::CHANNEL_OPEN_CONFIRMATION => _ = channel::OpenConfirmation::decode(&mut r()),
        messages::CHANNEL_OPEN_FAILURE => _ = channel::decode_open_failure(&mut r()),
        messages::CHANNEL_WINDOW_ADJUST => {
            if let Ok((recipient, len)) = channel::decode_window_adjust(&mut r()) {
                channel::encode_window_adjust(&mut again, recipient, len);
                assert_eq!(again, data);
            }
        }
        messages::CHANNEL_DATA => {
            if let Ok((_, bytes)) = channel::decode_data(&mut r()) {
                assert_eq!(bytes.len() + channel::DATA_HEAD_LEN, data.len());
            }
        }
        messages::CHANNEL_EXTENDED_DATA => _ = channel::decode_extended_data(&mut r()),
        messages::CHANNEL_REQUEST => _ = channel::Request::decode(&mut r()),
        messages::PING => {
            if let Ok(bytes) = transport::decode_ping(&mut r()) {
                transport::encode_pong(&mut again, bytes);
                assert_eq!(again[1..], *fields);
            }
        }
        _ => _ = channel::decode_recipient(&mut r()),
    }
}
