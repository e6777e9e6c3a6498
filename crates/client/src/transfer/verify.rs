//! Whether what arrived is what was sent: digests of both sides, by the best means the server has.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use sterna_sftp_proto::extension::Extension;
use sterna_ssh_crypto::DigestAlgorithm;

use super::blocks::{differing, differing_by_reading};
use super::command_digests::digests;
use super::hash::HashAlgorithm;
use super::lanes::Lane;
use super::passing::Passing;
use super::ranges::Ranges;
use super::resume::Journal;
use super::{Context, Verified, Verify};
use crate::sftp::{File, OpenOptions, Sftp};
use crate::{Error, Session, display_name};

/// A digest of a remote file and who computed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    pub algorithm: DigestAlgorithm,
    pub bytes: Vec<u8>,
}

impl Digest {
    /// Lower-case hexadecimal.
    pub fn hex(&self) -> String {
        hex::encode(&self.bytes)
    }
}

/// Algorithms that the server can check, best first: BLAKE3 is fast and strong, MD5 better than nothing.
pub(super) fn check_algorithms(sftp: &Sftp) -> Vec<DigestAlgorithm> {
    use DigestAlgorithm::{Blake3, Md5, Sha1, Sha256, Sha384, Sha512};
    [Blake3, Sha256, Sha512, Sha384, Sha1, Md5].into_iter().filter(|a| sftp.can_check(*a)).collect()
}

/// The digest of a remote file, computed at the server: by `check-file`, else by running
/// `sha256sum` (or `b3sum`, `md5sum`, …) there if a session is given.
///
/// # Errors
/// [`Error::Unsupported`] if the server has no means.
pub async fn digest_remote(
    sftp: &Sftp,
    session: Option<&Session>,
    path: &[u8],
    algorithm: DigestAlgorithm,
) -> Result<Digest, Error> {
    match sftp.check_file(path, &[algorithm], 0, 0, 0).await {
        Ok(found) => {
            let bytes = found.digests.into_iter().next().unwrap_or_default();
            return Ok(Digest { algorithm, bytes });
        }
        Err(Error::Unsupported { .. }) => {}
        Err(error) => return Err(error),
    }
    let session =
        session.ok_or(Error::Unsupported { doing: "compute a digest", extension: "check-file" })?;
    let found = digests(session, algorithm, &[path]).await?;
    Ok(Digest { algorithm, bytes: found.into_iter().next().unwrap_or_default() })
}

/// The digest that the server will most likely be asked for, so that ours can be computed while the
/// bytes pass. `None`: none.
pub(super) fn expected_algorithm(context: &Context, lane: &Lane) -> Option<DigestAlgorithm> {
    if context.options.verify == Verify::Off {
        return None;
    }
    let by_command = || context.commands(lane).map(|_| context.command_digests.algorithm());
    let by_md5 = lane.sftp.has(Extension::Md5Hash).then_some(DigestAlgorithm::Md5);
    check_algorithms(&lane.sftp).first().copied().or(by_md5).or_else(by_command)
}

/// The algorithm of the hash that is computed while a file passes, if anybody will ask for one: to verify it,
/// or to prove a part after an interruption. The latter is the journal's part where the server has no
/// digests of its own to compare blocks by.
pub(super) fn passing_algorithm(
    context: &Context,
    lane: &Lane,
    has_journal: bool,
) -> Option<HashAlgorithm> {
    expected_algorithm(context, lane).map(HashAlgorithm::Digest).or_else(|| {
        let by_journal = has_journal && check_algorithms(&lane.sftp).is_empty();
        by_journal.then_some(Journal::ALGORITHM)
    })
}

/// The two sides of one file, which should be the same.
pub(super) struct Sides<'s> {
    pub(super) context: &'s Context,
    pub(super) lane: &'s Lane,
    pub(super) local: &'s Arc<OwnedFd>,
    pub(super) remote_path: &'s [u8],
    /// For messages.
    pub(super) source: &'s [u8],
    /// Bytes that both should have.
    pub(super) len: u64,
}

/// What a comparison found.
pub(super) enum Found {
    Same(Verified),
    /// In the words of a person.
    Differs(String),
}

impl Sides<'_> {
    /// Compares both sides as well as the options ask and the server can. `passing` is our digest, if
    /// it was computed while the bytes passed.
    ///
    /// # Errors
    /// [`Error::Cancelled`], and both stay as they are; those of asking the server.
    pub(super) async fn compare(&self, passing: Option<Passing>) -> Result<Found, Error> {
        // Digests of a large file take minutes; who asks to stop is not kept waiting.
        tokio::select! {
            found = self.compare_by_best(passing) => found,
            () = self.context.cancel.cancelled() => Err(Error::Cancelled),
        }
    }

    async fn compare_by_best(&self, passing: Option<Passing>) -> Result<Found, Error> {
        if self.context.options.verify == Verify::Off {
            return Ok(Found::Same(Verified::None));
        }
        let mut passing = passing;
        if let Some(algorithm) = check_algorithms(&self.lane.sftp).first().copied() {
            let algorithms = [algorithm];
            let (ours, theirs) = tokio::join!(
                self.our_digest(algorithm, &mut passing),
                self.lane.sftp.check_file(self.remote_path, &algorithms, 0, 0, 0)
            );
            match theirs {
                Ok(theirs) => return Ok(judge(&ours?, theirs.digests.first(), algorithm)),
                Err(Error::Refused { .. } | Error::Unsupported { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if self.lane.sftp.has(Extension::Md5Hash) {
            // No quick hash: it is the whole file that is in question.
            match self.lane.sftp.md5_hash(self.remote_path, 0, 0, b"").await {
                Ok(theirs) => {
                    let ours = self.our_digest(DigestAlgorithm::Md5, &mut passing).await?;
                    let theirs = theirs.map(|digest| digest.to_vec());
                    return Ok(judge(&ours, theirs.as_ref(), DigestAlgorithm::Md5));
                }
                Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(session) = self.context.commands(self.lane) {
            let algorithm = self.context.command_digests.algorithm();
            match self.context.command_digests.of(session, self.remote_path).await {
                Ok(theirs) => {
                    let ours = self.our_digest(algorithm, &mut passing).await?;
                    return Ok(judge(&ours, Some(&theirs), algorithm));
                }
                Err(error @ Error::Interrupted { .. }) if self.lane.sftp.is_closed() => {
                    return Err(error);
                }
                Err(error @ (Error::Unsupported { .. } | Error::Interrupted { .. })) => {
                    self.context.command_failed(&error);
                }
                Err(error) => return Err(error),
            }
        }
        match self.lane.sftp.stat(self.remote_path).await?.size {
            Some(there) if there != self.len => {
                let len = self.len;
                Ok(Found::Differs(format!("{len} bytes were expected, the server has {there}")))
            }
            _ if self.context.options.verify == Verify::Require => self.compare_by_reading().await,
            Some(_) => Ok(Found::Same(Verified::Size)),
            None => Ok(Found::Same(Verified::None)),
        }
    }

    async fn our_digest(
        &self,
        algorithm: DigestAlgorithm,
        passing: &mut Option<Passing>,
    ) -> Result<Vec<u8>, Error> {
        let passing = passing
            .take_if(|passing| passing.algorithm() == algorithm.into())
            .unwrap_or_else(|| Passing::new(algorithm, self.local.clone()));
        passing.finish(self.len).await
    }

    async fn compare_by_reading(&self) -> Result<Found, Error> {
        let remote =
            match self.lane.sftp.open(self.remote_path, OpenOptions::new().read(true)).await {
                Ok(remote) => remote,
                Err(error @ Error::Refused { .. }) if !self.context.is_too_much_at_once(&error) => {
                    return Ok(Found::Differs(format!("it cannot be compared: {error}")));
                }
                Err(error) => return Err(error),
            };
        let tell = self.tell();
        let different = differing_by_reading(self.local, &remote, 0..self.len, &tell).await?;
        Ok(match different.first() {
            None => Found::Same(Verified::ReadBack),
            Some(_) => Found::Differs("what was read back differs".into()),
        })
    }

    fn tell(&self) -> impl Fn(u64) + Sync {
        |done| self.context.comparing(self.source, done, self.len)
    }

    /// Whether [`differing`](Self::differing) may find something out.
    pub(super) fn can_tell_blocks(&self) -> bool {
        self.context.options.verify == Verify::Require
            || !check_algorithms(&self.lane.sftp).is_empty()
    }

    /// The blocks in which both sides differ, once it is known that they do; `None` if there is no
    /// means to tell, short of reading everything back, which is done only where it was asked for.
    /// `remote` must be open for reading.
    ///
    /// # Errors
    /// As [`compare`](Self::compare).
    pub(super) async fn differing(&self, remote: &File) -> Result<Option<Ranges>, Error> {
        let tell = self.tell();
        let find = async {
            if let Some(algorithm) = check_algorithms(remote.sftp()).first() {
                match differing(self.local, remote, *algorithm, self.len, &tell).await {
                    Err(Error::Refused { .. } | Error::Unsupported { .. }) => {}
                    found => return found.map(Some),
                }
            }
            match self.context.options.verify {
                Verify::Require => {
                    differing_by_reading(self.local, remote, 0..self.len, &tell).await.map(Some)
                }
                Verify::Auto | Verify::Off => Ok(None),
            }
        };
        tokio::select! {
            found = find => found,
            () = self.context.cancel.cancelled() => Err(Error::Cancelled),
        }
    }
}

fn judge(ours: &[u8], theirs: Option<&Vec<u8>>, algorithm: DigestAlgorithm) -> Found {
    if theirs.is_some_and(|theirs| theirs == ours) {
        return Found::Same(Verified::Digest(algorithm.name()));
    }
    let hex = |bytes: &[u8]| Digest { algorithm, bytes: bytes.to_vec() }.hex();
    Found::Differs(format!(
        "{} differs: here {}, at the server {}",
        algorithm.name(),
        hex(ours),
        theirs.map_or("nothing".into(), |theirs| display_name(hex(theirs).as_bytes()))
    ))
}

/// The error of a file whose sides differ. `first`: where the first block that differs begins.
pub(super) fn failed(path: &[u8], why: &str, first: Option<u64>) -> Error {
    let why = match first {
        Some(first) => format!("{why}; the first block that differs begins at byte {first}"),
        None => why.to_owned(),
    };
    Error::VerificationFailed { path: path.to_vec(), why }
}
