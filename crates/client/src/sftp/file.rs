//! An open remote file: positioned reads and writes, attributes, sync, close.

use std::sync::Arc;

use sterna_sftp_proto::extension::{CopyData, Extended, Extension, Fsync};
use sterna_sftp_proto::limits::REPLY_PACKET_LEN_MAX;
use sterna_sftp_proto::messages::{Close, Fsetstat, Fstat, Open};
use sterna_sftp_proto::{OpenFlags, Reply, StatusCode};

use super::buffer::Buffer;
use super::engine::{Ask, Call, Frame, ReplyTo};
use super::from_file::BlockSource;
use super::into_file::BlockTarget;
use super::{Attrs, Sftp, Waiting, refused};
use crate::Error;
use crate::limits::DATA_OVERHEAD_LEN;

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    flags: OpenFlags,
    permissions: Option<u32>,
}

impl OpenOptions {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn read(self, on: bool) -> Self {
        self.with(OpenFlags::READ, on)
    }

    #[must_use]
    pub fn write(self, on: bool) -> Self {
        self.with(OpenFlags::WRITE, on)
    }

    /// Every write goes to the end, whatever its offset.
    #[must_use]
    pub fn append(self, on: bool) -> Self {
        self.with(OpenFlags::APPEND, on)
    }

    #[must_use]
    pub fn create(self, on: bool) -> Self {
        self.with(OpenFlags::CREATE, on)
    }

    #[must_use]
    pub fn truncate(self, on: bool) -> Self {
        self.with(OpenFlags::TRUNCATE, on)
    }

    /// With `create`: an existing name is an error.
    #[must_use]
    pub fn exclusive(self, on: bool) -> Self {
        self.with(OpenFlags::EXCLUSIVE, on)
    }

    /// Mode of a file that is made by opening it; the server's umask applies.
    #[must_use]
    pub fn permissions(mut self, mode: u32) -> Self {
        self.permissions = Some(mode & 0o7777);
        self
    }

    fn with(mut self, flag: OpenFlags, on: bool) -> Self {
        self.flags = OpenFlags(if on { self.flags.0 | flag.0 } else { self.flags.0 & !flag.0 });
        self
    }
}

/// An open remote file. Dropping it closes it without telling how that went; [`File::close`] tells.
pub struct File {
    sftp: Sftp,
    handle: Arc<[u8]>,
    path: Vec<u8>,
    open: bool,
}

impl Sftp {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Refused`], for example if it does not exist.
    pub async fn open(&self, path: impl AsRef<[u8]>, options: OpenOptions) -> Result<File, Error> {
        let path = path.as_ref();
        let attrs = Attrs { permissions: options.permissions, ..Attrs::default() };
        let frame = self.ask(Open { path, flags: options.flags, attrs }.into()).await?;
        match frame.reply()? {
            Reply::Handle(reply) => Ok(File {
                sftp: self.clone(),
                handle: reply.handle.into(),
                path: path.to_vec(),
                open: true,
            }),
            other => Err(refused(other, "open", path)),
        }
    }
}

impl File {
    /// The path that it was opened by.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The server's name for the open file; opaque.
    pub fn handle(&self) -> &[u8] {
        &self.handle
    }

    pub(crate) fn sftp(&self) -> &Sftp {
        &self.sftp
    }

    /// Reads up to `len` bytes at byte `offset`; less may come. Empty only at or past the end.
    ///
    /// `len` is cut to what one request may ask for ([`Sftp::limits`]); `0` reads nothing.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Peer`] if more comes than was asked for.
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<ReadData, Error> {
        let len = u32::try_from(len).unwrap_or(u32::MAX).min(self.sftp.limits().read_len);
        if len == 0 {
            return Ok(ReadData::end());
        }
        let reply = self.begin_read(offset, len).await?;
        self.read_result(reply.frame().await?, len)
    }

    /// Sends one READ, of at most [`Limits::read_len`](super::Limits) bytes, without waiting.
    pub(crate) async fn begin_read(&self, offset: u64, len: u32) -> Result<Waiting, Error> {
        self.sftp.begin_call(|reply_to| self.read_call(offset, len, reply_to)).await
    }

    /// A READ whose reply goes to `reply_to`; [`read_result`](Self::read_result) reads it.
    pub(crate) fn read_call(&self, offset: u64, len: u32, reply_to: ReplyTo) -> Call {
        // A STATUS with a long text may come instead of little data.
        let reply_len_max = (len as usize + DATA_OVERHEAD_LEN).max(64 << 10);
        let ask = Ask::Read { handle: self.handle.clone(), offset, len };
        Call { ask, reply_len_max, is_long: false, reply_to }
    }

    /// The same for what goes to `target`, to the same offset; what could not be written at once comes in the reply.
    pub(crate) fn read_call_into(
        &self,
        offset: u64,
        len: u32,
        target: Arc<dyn BlockTarget>,
        reply_to: ReplyTo,
    ) -> Call {
        let ask = Ask::ReadInto { handle: self.handle.clone(), offset, len, target };
        Call { ask, ..self.read_call(offset, len, reply_to) }
    }

    pub(crate) fn read_result(&self, frame: Frame, asked_len: u32) -> Result<ReadData, Error> {
        let len = match frame.reply()? {
            Reply::Data(reply) if frame.written + reply.data.len() > asked_len as usize => {
                let len = frame.written + reply.data.len();
                return Err(Error::peer(format!("{len} bytes where {asked_len} were asked for")));
            }
            Reply::Data(reply) => reply.data.len(),
            Reply::Status(status) if status.code == StatusCode::Eof => return Ok(ReadData::end()),
            other => return Err(refused(other, "read", &self.path)),
        };
        Ok(ReadData { frame: Some(frame), len })
    }

    /// Writes all of `data` at byte `offset`, in as many requests as it takes, all in flight at once.
    ///
    /// # Errors
    /// The first that happened; what else was written is then unknown.
    pub async fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let step = self.sftp.limits().write_len as usize;
        let mut replies = Vec::new();
        for (index, chunk) in data.chunks(step).enumerate() {
            let mut buffer = self.sftp.pool().take(chunk.len());
            buffer.extend_from_slice(chunk);
            replies.push(self.begin_write(offset + (index * step) as u64, buffer).await?);
        }
        let mut first_error = None;
        for reply in replies {
            if let Err(error) = reply.frame().await.and_then(|frame| self.write_result(&frame)) {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// A WRITE of a whole buffer, which is not copied again on the way to the stream.
    pub(crate) fn write_call(&self, offset: u64, data: Buffer, reply_to: ReplyTo) -> Call {
        let ask = Ask::Write { handle: self.handle.clone(), offset, data };
        Call { ask, reply_len_max: 64 << 10, is_long: false, reply_to }
    }

    /// A WRITE of `len` bytes that stand in `source` at the same offset.
    pub(crate) fn write_call_from(
        &self,
        offset: u64,
        len: usize,
        source: Arc<dyn BlockSource>,
        reply_to: ReplyTo,
    ) -> Call {
        let ask = Ask::WriteFrom { handle: self.handle.clone(), offset, len, source };
        Call { ask, reply_len_max: 64 << 10, is_long: false, reply_to }
    }

    /// Sends one WRITE, of at most [`Limits::write_len`](super::Limits) bytes, without waiting.
    pub(crate) async fn begin_write(&self, offset: u64, data: Buffer) -> Result<Waiting, Error> {
        self.sftp.begin_call(|reply_to| self.write_call(offset, data, reply_to)).await
    }

    pub(crate) fn write_result(&self, frame: &Frame) -> Result<(), Error> {
        self.done(frame, "write")
    }

    /// Attributes of the open file.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn stat(&self) -> Result<Attrs, Error> {
        self.stat_result(&self.begin_stat().await?.frame().await?)
    }

    pub(crate) async fn begin_stat(&self) -> Result<Waiting, Error> {
        self.sftp.begin(Fstat { handle: &self.handle }.into()).await
    }

    pub(crate) fn stat_result(&self, frame: &Frame) -> Result<Attrs, Error> {
        super::paths::attrs_of(frame, "stat", &self.path)
    }

    /// Sets those attributes that are there; a size truncates or extends.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn set_attrs(&self, attrs: &Attrs) -> Result<(), Error> {
        self.done(&self.begin_set_attrs(attrs).await?.frame().await?, "set attributes of")
    }

    pub(crate) async fn begin_set_attrs(&self, attrs: &Attrs) -> Result<Waiting, Error> {
        self.sftp
            .begin(Fsetstat { handle: &self.handle, attrs: self.sftp.sendable(attrs) }.into())
            .await
    }

    /// Asks the server to bring the file to stable storage (`fsync@openssh.com`).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered.
    pub async fn sync(&self) -> Result<(), Error> {
        if !self.sftp.has(Extension::Fsync) {
            let extension = Extension::Fsync.row().announced;
            return Err(Error::Unsupported { doing: "sync", extension });
        }
        self.done(&self.begin_sync().await?.frame().await?, "sync")
    }

    /// The extension must be offered.
    pub(crate) async fn begin_sync(&self) -> Result<Waiting, Error> {
        self.sftp.begin(Extended::Fsync(Fsync { handle: &self.handle }).into()).await
    }

    /// Copies `len` bytes (0: to the end) at the server, without sending them (`copy-data`).
    ///
    /// Some servers answer success although the source ended early: compare sizes where it matters.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered.
    pub async fn copy_data(
        &self,
        offset: u64,
        len: u64,
        target: &File,
        target_offset: u64,
    ) -> Result<(), Error> {
        let request = Extended::CopyData(CopyData {
            read_handle: &self.handle,
            read_offset: offset,
            len,
            write_handle: &target.handle,
            write_offset: target_offset,
        });
        let frame = self.sftp.ask_extended(Extension::CopyData, request, "copy").await?;
        self.done(&frame, "copy")
    }

    /// Closes the file and tells how that went: a server may report a lost write only now.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn close(mut self) -> Result<(), Error> {
        let reply = self.begin_close().await?;
        self.done(&reply.frame().await?, "close")
    }

    /// Sends CLOSE without waiting: nothing may be asked of the handle after it.
    pub(crate) async fn begin_close(&mut self) -> Result<Waiting, Error> {
        self.open = false;
        self.sftp.begin(Close { handle: &self.handle }.into()).await
    }

    /// Reads the answer of a request that has no other result than success.
    pub(crate) fn done(&self, frame: &Frame, doing: &'static str) -> Result<(), Error> {
        match frame.reply()? {
            Reply::Status(status) if status.code == StatusCode::Ok => Ok(()),
            other => Err(refused(other, doing, &self.path)),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if self.open {
            self.sftp.send_and_forget(Close { handle: &self.handle }.into());
        }
    }
}

/// Bytes of a READ reply, still in the buffer in which they arrived.
pub struct ReadData {
    frame: Option<Frame>,
    len: usize,
}

impl ReadData {
    #[cfg(test)]
    pub(crate) fn of(data: &[u8]) -> Self {
        let bytes = [&[0; DATA_OVERHEAD_LEN], data].concat().into();
        Self { frame: Some(Frame { bytes, written: 0 }), len: data.len() }
    }

    fn end() -> Self {
        Self { frame: None, len: 0 }
    }

    /// Bytes in front of these that went to a file already.
    pub(crate) fn written(&self) -> usize {
        self.frame.as_ref().map_or(0, |frame| frame.written)
    }

    /// Whether the server said "end of file" rather than sending nothing.
    pub(crate) fn is_end(&self) -> bool {
        self.frame.is_none()
    }
}

impl std::ops::Deref for ReadData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.frame {
            // Type, id and the length word stand before the data; REPLY_PACKET_LEN_MAX bounds it all.
            Some(frame) => &frame.bytes[DATA_OVERHEAD_LEN..DATA_OVERHEAD_LEN + self.len],
            None => &[],
        }
    }
}

const _: () =
    assert!(DATA_OVERHEAD_LEN + (crate::limits::IO_LEN_MAX as usize) < REPLY_PACKET_LEN_MAX);
