//! Whether what arrived is what was sent: digests of both sides, by the best means the server has.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use sterna_ssh_crypto::{DigestAlgorithm, Digester};

use super::command_digests::digests;
use super::lanes::Lane;
use super::{Context, Verified, Verify, local};
use crate::sftp::Sftp;
use crate::{Error, Session, display_name};

/// Bytes hashed at once.
const HASH_STEP_LEN: usize = 256 << 10;

/// A digest of a remote file and who computed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    pub algorithm: DigestAlgorithm,
    pub bytes: Vec<u8>,
}

impl Digest {
    /// Lower-case hexadecimal.
    pub fn hex(&self) -> String {
        self.bytes.iter().map(|b| format!("{b:02x}")).collect()
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

/// The digest of an open local file.
pub(super) async fn digest_local(
    file: Arc<OwnedFd>,
    algorithm: DigestAlgorithm,
) -> Result<Vec<u8>, Error> {
    let work = move || {
        let mut digester = Digester::new(algorithm);
        let mut buffer = Vec::new();
        let mut at = 0;
        loop {
            buffer.clear();
            local::read_at(&file, &mut buffer, at, HASH_STEP_LEN)?;
            if buffer.is_empty() {
                return Ok(digester.finish());
            }
            digester.update(&buffer);
            at += buffer.len() as u64;
        }
    };
    super::blocking(work).await?.map_err(|e: std::io::Error| Error::local("read back", "", e))
}

/// Compares a local file with the remote one at `remote_path`, which should have `len` bytes. `path` is
/// for messages.
///
/// # Errors
/// [`Error::VerificationFailed`] if they differ, or if they cannot be compared and must be;
/// [`Error::Cancelled`], and both stay as they are.
pub(super) async fn verify(
    context: &Context,
    lane: &Lane,
    local: &Arc<OwnedFd>,
    remote_path: &[u8],
    len: u64,
    path: &[u8],
) -> Result<Verified, Error> {
    // Digests of a large file take minutes; who asks to stop is not kept waiting.
    tokio::select! {
        result = compare_both(context, lane, local, remote_path, len, path) => result,
        () = context.cancel.cancelled() => Err(Error::Cancelled),
    }
}

async fn compare_both(
    context: &Context,
    lane: &Lane,
    local: &Arc<OwnedFd>,
    remote_path: &[u8],
    len: u64,
    path: &[u8],
) -> Result<Verified, Error> {
    if context.options.verify == Verify::Off {
        return Ok(Verified::None);
    }
    if let Some(algorithm) = check_algorithms(&lane.sftp).first().copied() {
        let algorithms = [algorithm];
        let (ours, theirs) = tokio::join!(
            digest_local(local.clone(), algorithm),
            lane.sftp.check_file(remote_path, &algorithms, 0, 0, 0)
        );
        match theirs {
            Ok(theirs) => return compare(&ours?, theirs.digests.first(), algorithm, path),
            Err(Error::Refused { .. } | Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(session) = context.commands(lane) {
        let algorithm = context.command_digests.algorithm();
        match context.command_digests.of(session, remote_path).await {
            Ok(theirs) => {
                let ours = digest_local(local.clone(), algorithm).await?;
                return compare(&ours, Some(&theirs), algorithm, path);
            }
            // A server that runs no commands, or not this one, is not asked again.
            Err(Error::Unsupported { .. } | Error::Interrupted { .. }) => context.commands_failed(),
            Err(error) => return Err(error),
        }
    }
    let there = lane.sftp.stat(remote_path).await?.size;
    match there {
        Some(there) if there != len => {
            let why = format!("{len} bytes were expected, the server has {there}");
            Err(Error::VerificationFailed { path: path.to_vec(), why })
        }
        _ if context.options.verify == Verify::Require => {
            let why = "the server has no means to compute a digest".to_owned();
            Err(Error::VerificationFailed { path: path.to_vec(), why })
        }
        Some(_) => Ok(Verified::Size),
        None => Ok(Verified::None),
    }
}

fn compare(
    ours: &[u8],
    theirs: Option<&Vec<u8>>,
    algorithm: DigestAlgorithm,
    path: &[u8],
) -> Result<Verified, Error> {
    if theirs.is_some_and(|theirs| theirs == ours) {
        return Ok(Verified::Digest(algorithm.name()));
    }
    let hex = |bytes: &[u8]| Digest { algorithm, bytes: bytes.to_vec() }.hex();
    let why = format!(
        "{} differs: here {}, at the server {}",
        algorithm.name(),
        hex(ours),
        theirs.map_or("nothing".into(), |theirs| display_name(hex(theirs).as_bytes()))
    );
    Err(Error::VerificationFailed { path: path.to_vec(), why })
}
