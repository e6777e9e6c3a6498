//! Single files through the engine, for a caller that plans by itself which ones ([`sync`](crate::sync)).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use tokio::sync::OwnedSemaphorePermit;

use super::download::Download;
use super::flock::Flock;
pub(crate) use super::flock::Place;
use super::lanes::{Lane, Reached};
use super::local::LocalDir;
use super::passing::Passing;
use super::progress::FileReport;
use super::upload::Upload;
use super::{Cancel, Context, Event, Options, Summary, Transfer, blocking, open_state_dir, verify};
use crate::Error;
use crate::limits::DIGEST_READS_MAX;
use crate::sftp::{Attrs, OpenOptions, Sftp};

/// The engine towards one server. Clones share everything that files of one transfer share.
#[derive(Clone)]
pub(crate) struct Mover {
    context: Arc<Context>,
}

/// Places among the files in flight.
#[derive(Clone)]
pub(crate) struct Places(Arc<Flock>);

impl Places {
    /// Waits for one.
    pub(crate) async fn place(&self) -> Place {
        self.0.place().await
    }
}

/// How far a file has come that passes through here, in bytes, over all attempts.
#[derive(Debug, Default)]
pub(crate) struct Carried(Reached);

impl Carried {
    /// It has come to `at` at least.
    pub(crate) fn note(&self, at: u64) {
        self.0.note(at);
    }

    /// Whether this is the first attempt. True once.
    pub(crate) fn begins(&self) -> bool {
        self.0.begins()
    }
}

/// A local file as the engine takes it.
pub(crate) struct LocalFile {
    pub(crate) dir: Arc<LocalDir>,
    pub(crate) name: Vec<u8>,
    /// What messages call it.
    pub(crate) path: Vec<u8>,
    /// The name may be a link, which is followed.
    pub(crate) follow: bool,
}

impl Transfer {
    /// The engine as these settings describe it.
    pub(crate) async fn mover(&self) -> Result<Mover, Error> {
        let state_dir = self.options.state_dir.clone().filter(|_| self.options.resume);
        let journals = blocking(move || state_dir.and_then(|dir| open_state_dir(&dir))).await?;
        Ok(Mover { context: self.context(journals) })
    }
}

impl Mover {
    pub(crate) fn options(&self) -> &Options {
        &self.context.options
    }

    /// A channel for one request or a few.
    ///
    /// # Errors
    /// If the last connection was lost and there will be no other; `path` is what for.
    pub(crate) async fn sftp(&self, path: &[u8]) -> Result<Sftp, Error> {
        Ok(self.context.lanes.pick(path).await?.sftp.clone())
    }

    /// Asks for something that may be asked for again when the connection is lost. `path` is what for.
    ///
    /// # Errors
    /// Those of `work`, and those of [`sftp`](Self::sftp).
    pub(crate) async fn ask<T, F>(
        &self,
        path: &[u8],
        mut work: impl FnMut(Sftp) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let on_lane = |lane: Arc<Lane>| held(lane.clone(), work(lane.sftp.clone()));
        self.context.on_lane(path, &Reached::default(), on_lane).await
    }

    /// As [`ask`](Self::ask), for a file that is read or written on the channel and may take many attempts
    /// as long as it gets further.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn carry<T, F>(
        &self,
        path: &[u8],
        carried: &Carried,
        mut work: impl FnMut(Sftp) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let on_lane = |lane: Arc<Lane>| held(lane.clone(), work(lane.sftp.clone()));
        self.context.file_on_lane(path, &carried.0, on_lane).await
    }

    /// Whether nobody has looked yet if the server keeps the attributes that it says it sets. True once.
    pub(crate) fn looks_at_attrs(&self) -> bool {
        !self.context.attrs_looked_at.swap(true, Ordering::Relaxed)
    }

    /// Runs `work`, in which as many files may be in flight as there are places.
    pub(crate) async fn in_flight<T, F>(&self, work: impl FnOnce(Places) -> F) -> T
    where
        F: Future<Output = T>,
    {
        Flock::run(&self.context, |flock| work(Places(flock))).await
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.context.cancel
    }

    /// Nothing new should be begun.
    pub(crate) fn is_stopped(&self) -> bool {
        self.context.is_stopped()
    }

    pub(crate) fn event(&self, event: &Event<'_>) {
        self.context.progress.event(event);
    }

    pub(crate) fn done(&self, report: &FileReport) {
        self.context.done(report);
    }

    pub(crate) fn failed(&self, path: &[u8], error: Error) {
        self.context.failed(path, error);
    }

    /// `count` files need nothing; nobody wants to hear of each.
    pub(crate) fn unchanged(&self, count: u64) {
        self.context.summary().skipped += count;
    }

    /// Something is left out on purpose, and why.
    pub(crate) fn skipped(&self, path: &[u8], why: &str) {
        self.context.skipped(path, why);
    }

    /// Bytes of a file that failed travelled all the same.
    pub(crate) fn travelled(&self, bytes: u64) {
        self.context.travelled(bytes);
    }

    /// Something has got the name `target` at the server by other means than [`upload`](Self::upload).
    pub(crate) async fn named(&self, target: &[u8]) {
        self.context.named(target).await;
    }

    /// Waits until names that were given are on stable storage.
    pub(crate) async fn settle_names(&self) {
        self.context.settle_names().await;
    }

    pub(crate) fn finish(&self) -> Summary {
        self.context.finish()
    }

    /// Uploads one file; goes on by itself after a lost connection.
    pub(crate) async fn upload(
        &self,
        file: LocalFile,
        target: Vec<u8>,
        place: Place,
    ) -> Result<FileReport, Error> {
        let LocalFile { dir, name, path, follow } = file;
        Upload::new(dir, name, path, follow, target).arrive(&self.context, place).await
    }

    /// Downloads one file; `attrs` are those of the listing. Goes on by itself after a lost connection.
    pub(crate) async fn download(
        &self,
        source: Vec<u8>,
        attrs: Attrs,
        (dir, name): (Arc<LocalDir>, Vec<u8>),
        place: Place,
    ) -> Result<FileReport, Error> {
        Download::new(source, attrs, dir, name).arrive(&self.context, place).await
    }

    /// Algorithms that the server computes by itself, best first.
    pub(crate) async fn check_algorithms(&self) -> Result<Vec<DigestAlgorithm>, Error> {
        Ok(verify::check_algorithms(&self.sftp(b"").await?))
    }

    /// The digest of a remote file, computed at the server by `check-file` or a command; `None` if it has
    /// no means.
    pub(crate) async fn digest_at_server(
        &self,
        path: &[u8],
        algorithm: DigestAlgorithm,
    ) -> Result<Option<Vec<u8>>, Error> {
        let checked = self.ask(path, |sftp| async move {
            match sftp.can_check(algorithm) {
                true => sftp.check_file(path, &[algorithm], 0, 0, 0).await.map(Some),
                false => Ok(None),
            }
        });
        match checked.await {
            Ok(Some(found)) => return Ok(found.digests.into_iter().next()),
            Err(error) if error.is_not_found() => return Err(error),
            Ok(None) | Err(Error::Refused { .. } | Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
        if algorithm != self.context.command_digests.algorithm() {
            return Ok(None);
        }
        let run = |lane: Arc<Lane>| async move {
            let Some(session) = self.context.commands(&lane) else { return Ok(None) };
            self.context.command_digests.of(session, path).await.map(Some)
        };
        match self.context.on_lane(path, &Reached::default(), run).await {
            Ok(digest) => Ok(digest),
            // What is over with the last connection says nothing about commands.
            Err(error @ (Error::Unsupported { .. } | Error::Interrupted { .. }))
                if !self.context.lanes.is_ended() =>
            {
                self.context.command_failed(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The same; where the server has no means, its content is read and the digest computed here. The
    /// flag says that.
    pub(crate) async fn digest(
        &self,
        path: &[u8],
        algorithm: DigestAlgorithm,
    ) -> Result<(Vec<u8>, bool), Error> {
        match self.digest_at_server(path, algorithm).await? {
            Some(digest) => Ok((digest, false)),
            None => {
                let read =
                    |sftp: Sftp| async move { digest_by_reading(&sftp, path, algorithm).await };
                Ok((self.ask(path, read).await?, true))
            }
        }
    }

    /// Waits for room for `len` bytes in memory.
    pub(crate) async fn budget(&self, len: usize) -> Result<OwnedSemaphorePermit, Error> {
        self.context.budget(len).await
    }

    /// Waits until the rate allows `len` more bytes.
    pub(crate) async fn pace(&self, len: usize) -> Result<(), Error> {
        self.context.pace(len).await
    }
}

/// Holds a lane while something is done there, so that it counts as in use.
async fn held<T>(lane: Arc<Lane>, work: impl Future<Output = T>) -> T {
    let _lane = lane;
    work.await
}

/// The digest of an open local file.
pub(crate) async fn digest_local(
    file: Arc<OwnedFd>,
    algorithm: DigestAlgorithm,
) -> Result<Vec<u8>, Error> {
    let stat = rustix::fs::fstat(&file).map_err(|e| Error::local("stat", "", e))?;
    Passing::new(algorithm, file).finish(u64::try_from(stat.st_size).unwrap_or(0)).await
}

/// Reads a remote file from start to end, several requests ahead, and computes its digest here.
async fn digest_by_reading(
    sftp: &Sftp,
    path: &[u8],
    algorithm: DigestAlgorithm,
) -> Result<Vec<u8>, Error> {
    let mut file = sftp.open(path, OpenOptions::new().read(true)).await?.reader(DIGEST_READS_MAX);
    let mut digester = Digester::new(algorithm);
    while let Some(data) = file.next().await? {
        digester.update(&data);
    }
    Ok(digester.finish())
}
