//! What is answered to one request: first as values, so that rules can change them, then as bytes.

use sterna_sftp_proto::attrs::kind;
use sterna_sftp_proto::messages::{Data, ExtendedReply, Handle, Name, NameWriter, Status};
use sterna_sftp_proto::{Attrs, Reply, StatusCode};

/// One name of a NAME reply. Any bytes: a name is only what the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: Vec<u8>,
    pub attrs: Attrs<'static>,
}

impl Named {
    /// A regular file of `size` bytes.
    pub fn file(name: impl Into<Vec<u8>>, size: u64) -> Self {
        Self::new(name, kind::REGULAR | 0o644, size)
    }

    pub fn dir(name: impl Into<Vec<u8>>) -> Self {
        Self::new(name, kind::DIRECTORY | 0o755, 0)
    }

    pub fn link(name: impl Into<Vec<u8>>) -> Self {
        Self::new(name, kind::SYMLINK | 0o777, 1)
    }

    fn new(name: impl Into<Vec<u8>>, permissions: u32, size: u64) -> Self {
        let attrs = Attrs { size: Some(size), permissions: Some(permissions), ..Attrs::default() };
        Self { name: name.into(), attrs }
    }
}

/// A reply that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(StatusCode),
    Handle(Vec<u8>),
    Data(Vec<u8>),
    Names(Vec<Named>),
    Attrs(Attrs<'static>),
    Extended(Vec<u8>),
}

impl Answer {
    /// The whole packet.
    pub(super) fn encode(&self, id: u32) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Status(code) => Reply::Status(Status::of(*code)).encode(id, &mut out),
            Self::Handle(handle) => Reply::Handle(Handle { handle }).encode(id, &mut out),
            Self::Data(data) => Reply::Data(Data { data }).encode(id, &mut out),
            Self::Attrs(attrs) => Reply::Attrs(*attrs).encode(id, &mut out),
            Self::Extended(data) => {
                Reply::ExtendedReply(ExtendedReply { data }).encode(id, &mut out);
            }
            // The writer of real servers refuses a batch of none.
            Self::Names(names) if names.is_empty() => {
                out.extend([0, 0, 0, 9, Name::TYPE]);
                out.extend(id.to_be_bytes());
                out.extend([0; 4]);
            }
            Self::Names(names) => {
                let mut writer = NameWriter::new(id, &mut out);
                for Named { name, attrs } in names {
                    writer.push(name, attrs, |long| long.extend_from_slice(name));
                }
                assert!(writer.finish(), "there are names");
            }
        }
        out
    }

    /// With another size wherever one is told.
    pub(super) fn with_size(self, size: u64) -> Self {
        let resized = |attrs: Attrs<'static>| Attrs { size: attrs.size.map(|_| size), ..attrs };
        match self {
            Self::Attrs(attrs) => Self::Attrs(resized(attrs)),
            Self::Names(names) => {
                let names = names.into_iter();
                Self::Names(names.map(|n| Named { attrs: resized(n.attrs), ..n }).collect())
            }
            other => other,
        }
    }
}
