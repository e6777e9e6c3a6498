//! Sans-IO server half: the handshake, and frame to request. What may overtake what is in
//! `order.rs`; replies are written with [`Reply::encode`](crate::Reply::encode) and
//! [`NameWriter`](crate::messages::NameWriter).

use std::fmt;

use sterna_sshwire::{DecodeError, Reader, Why};

use crate::extension::{Extended, Extension, ExtensionSet};
use crate::frame::put_frame;
use crate::messages::{ExtensionPairs, Init, Status, VERSION, Version};
use crate::{Request, StatusCode};

/// What one frame from the client turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// INIT: answer it with [`Server::encode_version`]. A second one is answered the same way and
    /// changes nothing.
    Init {
        version: u32,
    },
    Request {
        id: u32,
        request: Request<'a>,
    },
    /// Not to be carried out; answer `id` with [`Refusal::status`]. The session goes on.
    Refused {
        id: u32,
        refusal: Refusal,
    },
}

/// Why a request was refused before anybody looked at what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A field is missing or means nothing.
    Malformed(DecodeError),
    /// No such packet type in version 3.
    UnknownType(u8),
    /// An extension that was not announced in this session.
    NotAnnounced,
}

impl Refusal {
    /// What the client is told. A field over its bound is a failure: the message was well made.
    pub fn status(&self) -> Status<'static> {
        Status::of(match self {
            Self::Malformed(DecodeError { why: Why::TooLong { .. }, .. }) => StatusCode::Failure,
            Self::Malformed(_) => StatusCode::BadMessage,
            Self::UnknownType(_) | Self::NotAnnounced => StatusCode::OpUnsupported,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "malformed request: {error}"),
            Self::UnknownType(wire_type) => write!(f, "unknown packet type {wire_type}"),
            Self::NotAnnounced => f.write_str("extension was not announced"),
        }
    }
}

/// The client broke the protocol so that nothing can be answered: close the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerError {
    /// The first packet was of this type.
    NotInit(u8),
    /// The frame has no request id, or an INIT no version.
    NoId,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInit(wire_type) => write!(f, "first packet has type {wire_type}, not INIT"),
            Self::NoId => f.write_str("packet without a request id"),
        }
    }
}

impl std::error::Error for PeerError {}

/// One session, from INIT on.
#[derive(Clone, Debug)]
pub struct Server {
    announced: ExtensionSet,
    began: bool,
}

impl Server {
    /// A session whose client may use the extensions in `announced` and no others.
    pub fn new(announced: ExtensionSet) -> Self {
        Self { announced, began: false }
    }

    /// Takes one frame (type byte first).
    ///
    /// # Errors
    /// The session is over; see [`PeerError`].
    pub fn accept<'a>(&mut self, frame: &'a [u8]) -> Result<Incoming<'a>, PeerError> {
        let mut r = Reader::new(frame);
        let wire_type = r.u8("type").map_err(|_| PeerError::NoId)?;
        if wire_type == Init::TYPE {
            let init = Init::decode(&mut r).map_err(|_| PeerError::NoId)?;
            self.began = true;
            return Ok(Incoming::Init { version: init.version });
        }
        if !self.began {
            return Err(PeerError::NotInit(wire_type));
        }
        let id = r.u32("request id").map_err(|_| PeerError::NoId)?;
        let refusal = match Request::decode(wire_type, &mut r) {
            None => Refusal::UnknownType(wire_type),
            Some(Err(error)) => Refusal::Malformed(error),
            Some(Ok(Request::Extended(extended))) if !self.allows(&extended) => {
                Refusal::NotAnnounced
            }
            Some(Ok(request)) => return Ok(Incoming::Request { id, request }),
        };
        Ok(Incoming::Refused { id, refusal })
    }

    /// Appends VERSION: always 3, which is also what a client of an older version is told.
    pub fn encode_version(&self, out: &mut Vec<u8>) {
        let mut buffer = Vec::new();
        let extensions = ExtensionPairs::build(self.announced.announcement(), &mut buffer);
        let version = Version { version: VERSION, extensions };
        put_frame(out, Version::TYPE, None, |out| version.encode(out));
    }

    fn allows(&self, extended: &Extended<'_>) -> bool {
        match extended.row() {
            // Never announced, and answered by OK: a client introduces itself.
            Some(row) if row.extension == Extension::VendorId => true,
            Some(row) => self.announced.contains(row.extension),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Stat;

    fn began(announced: ExtensionSet) -> Server {
        let mut server = Server::new(announced);
        server.accept(&[1, 0, 0, 0, 3]).unwrap();
        server
    }

    fn refusal(incoming: Incoming<'_>) -> (u32, StatusCode) {
        let Incoming::Refused { id, refusal } = incoming else { panic!("{incoming:?}") };
        (id, refusal.status().code)
    }

    #[test]
    fn anything_before_init_ends_the_session() {
        let mut server = Server::new(ExtensionSet::NONE);

        assert_eq!(server.accept(&[17, 0, 0, 0, 1, 0, 0, 0, 0]), Err(PeerError::NotInit(17)));
    }

    #[test]
    fn init_of_any_version_and_a_second_one_are_answered() {
        for version in [0, 2, 3, 4, 6, u32::MAX] {
            let mut server = Server::new(ExtensionSet::NONE);
            let init = [&[1][..], &version.to_be_bytes()].concat();

            assert_eq!(server.accept(&init), Ok(Incoming::Init { version }));
            assert_eq!(server.accept(&init), Ok(Incoming::Init { version }));
        }
        let mut out = Vec::new();
        Server::new(ExtensionSet::NONE).encode_version(&mut out);
        assert_eq!(out, [0, 0, 0, 5, 2, 0, 0, 0, 3]);
    }

    #[test]
    fn an_unknown_type_is_unsupported_and_the_next_request_works() {
        let mut server = began(ExtensionSet::NONE);

        let refused = refusal(server.accept(&[99, 0, 0, 0, 4]).unwrap());

        assert_eq!(refused, (4, StatusCode::OpUnsupported));
        let stat = server.accept(&[17, 0, 0, 0, 5, 0, 0, 0, 1, b'f']).unwrap();
        assert_eq!(stat, Incoming::Request { id: 5, request: Stat { path: b"f" }.into() });
    }

    #[test]
    fn junk_behind_a_request_is_ignored_and_a_short_one_is_a_bad_message() {
        let mut server = began(ExtensionSet::NONE);

        let junk = server.accept(&[17, 0, 0, 0, 5, 0, 0, 0, 1, b'f', 9, 9]).unwrap();
        let short = refusal(server.accept(&[17, 0, 0, 0, 6, 0, 0, 0, 2, b'f']).unwrap());

        assert!(matches!(junk, Incoming::Request { .. }));
        assert_eq!(short, (6, StatusCode::BadMessage));
    }

    #[test]
    fn nul_in_a_path_is_a_bad_message_and_a_long_path_a_failure() {
        let mut server = began(ExtensionSet::NONE);
        let mut long = vec![17, 0, 0, 0, 7, 0, 0, 0x10, 0x01];
        long.extend_from_slice(&[b'x'; 4097]);

        let nul = refusal(server.accept(&[17, 0, 0, 0, 6, 0, 0, 0, 2, b'f', 0]).unwrap());
        let long = refusal(server.accept(&long).unwrap());

        assert_eq!(nul, (6, StatusCode::BadMessage));
        assert_eq!(long, (7, StatusCode::Failure));
    }

    #[test]
    fn an_extension_that_was_not_announced_is_unsupported() {
        use crate::extension::Fsync;
        let mut frame = Vec::new();
        Request::from(Extended::from(Fsync { handle: b"h" })).encode(8, &mut frame);

        let refused = refusal(began(ExtensionSet::NONE).accept(&frame[4..]).unwrap());

        assert_eq!(refused, (8, StatusCode::OpUnsupported));
        let mut server = began(ExtensionSet::all());
        assert!(matches!(server.accept(&frame[4..]), Ok(Incoming::Request { .. })));
    }
}
