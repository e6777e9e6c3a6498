//! Digests by commands at the server, many files in one command.
//!
//! A command costs a login shell, which may take longer than the transfer of a small file. So files
//! that wait for a free slot are gathered, and the next command takes them all.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sterna_ssh_crypto::DigestAlgorithm;
use tokio::sync::{Semaphore, oneshot};

use crate::limits::{EXEC_OUTPUT_LEN_MAX, UNANSWERED_FILES_MAX};
use crate::{Error, Session};

/// Commands that run at once: while one does, the other files in flight gather for the next. A second
/// one makes nothing faster, and start-up files of shells that take locks make it slower.
const SLOTS: usize = 1;
/// A command waits for further files by an eighth of what the last one took, and never longer than
/// this: it would otherwise leave with the one file that came first, time and again.
const GATHER_MAX: Duration = Duration::from_millis(50);

/// How much one command may ask.
#[derive(Clone, Copy)]
struct Size {
    files: usize,
    /// Bytes of their names as they stand in the command.
    names_len: usize,
}

/// What every server takes: Dropbear ends the connection at a command of more than 9,000 bytes.
const SIZE_MAX: Size = Size { files: 256, names_len: 8 * 1024 };
/// What OpenSSH takes: half of the longest argument that Linux gives to a shell. With start-up files that run for
/// a second these are still a thousand files a second, all that may wait.
const SIZE_MAX_OPENSSH: Size = Size { files: 1024, names_len: 64 * 1024 };

impl Size {
    fn max(session: &Session) -> Self {
        match session.is_openssh() {
            true => SIZE_MAX_OPENSSH,
            false => SIZE_MAX,
        }
    }
}

/// Every byte of a name may come back escaped, behind a digest.
const _: () =
    assert!(SIZE_MAX_OPENSSH.files * 256 + SIZE_MAX_OPENSSH.names_len * 2 < EXEC_OUTPUT_LEN_MAX);

/// The queue in front of the digest commands of one transfer; all use one algorithm.
pub(super) struct CommandDigests {
    algorithm: DigestAlgorithm,
    slots: Semaphore,
    waiting: Mutex<Vec<Waiting>>,
    /// What the last command took.
    last_took: Mutex<Duration>,
    /// A command was of use.
    has_answered: AtomicBool,
    /// Files since then for which one was of none.
    unanswered: AtomicU32,
}

struct Waiting {
    /// `None`: none that could be lost.
    session: Option<Session>,
    path: Vec<u8>,
    reply: oneshot::Sender<Result<Vec<u8>, Error>>,
}

impl CommandDigests {
    pub(super) fn new(algorithm: DigestAlgorithm) -> Self {
        Self {
            algorithm,
            slots: Semaphore::new(SLOTS),
            waiting: Mutex::default(),
            last_took: Mutex::default(),
            has_answered: AtomicBool::new(false),
            unanswered: AtomicU32::new(0),
        }
    }

    pub(super) fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// Counts a file that there was no answer for. Returns whether it makes sense to ask for others.
    pub(super) fn note_unanswered(&self) -> bool {
        let unanswered = self.unanswered.fetch_add(1, Ordering::Relaxed);
        self.has_answered.load(Ordering::Relaxed) && unanswered < UNANSWERED_FILES_MAX
    }

    /// The digest of one remote file.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the command does not exist or cannot read this file;
    /// [`Error::Cancelled`] if the file whose turn it was to ask went away; [`Error::Interrupted`].
    pub(super) async fn of(&self, session: &Session, path: &[u8]) -> Result<Vec<u8>, Error> {
        let (reply, mut answer) = oneshot::channel();
        let waiting = Waiting { session: Some(session.clone()), path: path.to_vec(), reply };
        self.waiting().push(waiting);
        loop {
            // Whoever gets a slot asks for all that wait, which may be others than itself. Who has its
            // answer stands in nobody's way: behind it are those who have none.
            let _slot = tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or(Err(Error::Cancelled)),
                slot = self.slots.acquire() => slot,
            };
            tokio::time::sleep((self.last_took() / 8).min(GATHER_MAX)).await;
            let began = Instant::now();
            let batch = self.take_batch(Size::max(session));
            self.ask(session, batch).await;
            *self.last_took.lock().unwrap_or_else(PoisonError::into_inner) = began.elapsed();
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_took(&self) -> Duration {
        *self.last_took.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that waited longest, as many as one command takes.
    fn take_batch(&self, max: Size) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let mut names_len = 0;
        let fits = |w: &&Waiting| {
            names_len += word(&w.path).len();
            names_len <= max.names_len
        };
        let count = waiting.iter().take(max.files).take_while(fits).count();
        // A single name that is too long still goes, alone.
        let count = count.max(waiting.len().min(1));
        waiting.drain(..count).collect()
    }

    async fn ask(&self, session: &Session, batch: Vec<Waiting>) {
        if batch.is_empty() {
            return;
        }
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            let paths: Vec<&[u8]> = batch.iter().map(|w| &w.path[..]).collect();
            match digests(session, self.algorithm, &paths).await {
                Ok(found) => {
                    self.has_answered.store(true, Ordering::Relaxed);
                    self.unanswered.store(0, Ordering::Relaxed);
                    for (waiting, digest) in batch.into_iter().zip(found) {
                        let _ = waiting.reply.send(Ok(digest));
                    }
                }
                // One file of many may be the reason, or the length of the command. As long as no command
                // has answered, one file alone finds out whether any will.
                Err(Error::Unsupported { .. }) if batch.len() > 1 => {
                    let has_answered = self.has_answered.load(Ordering::Relaxed);
                    let first = if has_answered { batch.len() / 2 } else { 1 };
                    let rest = batch.split_off(first);
                    batches.extend([rest, batch]);
                }
                Err(error @ Error::Unsupported { .. })
                    if !self.has_answered.load(Ordering::Relaxed) =>
                {
                    for waiting in batch.into_iter().chain(batches.drain(..).flatten()) {
                        let _ = waiting.reply.send(Err(error.clone()));
                    }
                }
                Err(error) => {
                    // Those with a newer connection ask again, each of them when it is its turn.
                    let lost = session.is_closed();
                    let is_lost = |w: &Waiting| w.session.as_ref().is_none_or(Session::is_closed);
                    let (ended, others): (Vec<_>, Vec<_>) =
                        batch.into_iter().partition(|w| !lost || is_lost(w));
                    self.put_back(others);
                    for waiting in ended {
                        let _ = waiting.reply.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    fn put_back(&self, mut first: Vec<Waiting>) {
        let mut waiting = self.waiting();
        first.append(&mut waiting);
        *waiting = first;
    }
}

/// The digests of `paths`, in their order, by one command at the server.
///
/// # Errors
/// [`Error::Unsupported`] unless the command answers for every one of them.
pub(super) async fn digests(
    session: &Session,
    algorithm: DigestAlgorithm,
    paths: &[&[u8]],
) -> Result<Vec<Vec<u8>>, Error> {
    let program = match algorithm {
        DigestAlgorithm::Blake3 => "b3sum",
        DigestAlgorithm::Md5 => "md5sum",
        DigestAlgorithm::Sha1 => "sha1sum",
        DigestAlgorithm::Sha256 => "sha256sum",
        DigestAlgorithm::Sha384 => "sha384sum",
        DigestAlgorithm::Sha512 => "sha512sum",
    };
    let mut command = program.as_bytes().to_vec();
    for path in paths {
        command.extend_from_slice(&word(path));
    }
    let output = session.exec(&command).await?;
    let found = match output.status {
        Some(0) => parse(&output.stdout, algorithm, paths.len()),
        _ => None,
    };
    found.ok_or(Error::Unsupported {
        doing: "compute a digest",
        extension: "check-file or a digest command",
    })
}

/// One digest from each of `count` lines. The tools escape line feeds in names, so that a line is a
/// file; in front of such a line stands a backslash.
fn parse(stdout: &[u8], algorithm: DigestAlgorithm, count: usize) -> Option<Vec<Vec<u8>>> {
    let digest = |line: &[u8]| -> Option<Vec<u8>> {
        let line = line.strip_prefix(b"\\").unwrap_or(line);
        hex::decode(line.get(..algorithm.output_len() * 2)?).ok()
    };
    let lines = stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let found: Vec<Vec<u8>> = lines.map(digest).collect::<Option<_>>()?;
    (found.len() == count).then_some(found)
}

/// A path as it stands in a command, with the blank before it. A relative one counts from the login
/// directory for both sides; "./" keeps "-" from being an option.
fn word(path: &[u8]) -> Vec<u8> {
    let dot: &[u8] = if path.starts_with(b"/") { b"" } else { b"./" };
    [b" ", &quoted(&[dot, path].concat())[..]].concat()
}

/// `'…'` for a POSIX shell: the only character that means something inside is the quote itself.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in path {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::session::Command;
    use crate::{Destination, ExecOutput};

    #[test]
    fn no_name_leaves_its_quotes() {
        assert_eq!(quoted(b"a'; rm -rf /; '\n"), b"'a'\\''; rm -rf /; '\\''\n'");
        assert_eq!(quoted(b"$(x)`y`\\"), b"'$(x)`y`\\'");
    }

    #[test]
    fn an_answer_counts_only_if_it_speaks_of_every_file() {
        let md5 = DigestAlgorithm::Md5;
        let line = "d41d8cd98f00b204e9800998ecf8427e  name\n";
        let two = format!("{line}\\{line}");
        assert_eq!(parse(two.as_bytes(), md5, 2).unwrap()[1][..2], [0xd4, 0x1d]);
        assert!(parse(two.as_bytes(), md5, 3).is_none());
        assert!(parse(line.as_bytes(), md5, 2).is_none());
        assert!(parse(b"sha256sum: not found\n", md5, 1).is_none());
    }

    #[test]
    fn a_command_takes_what_waits_within_its_bounds() {
        for max in [SIZE_MAX, SIZE_MAX_OPENSSH] {
            let queue = CommandDigests::new(DigestAlgorithm::Sha256);
            let lens = (0..max.files + 5).map(|_| 10).chain([max.names_len + 1, 10]);
            for len in lens {
                let (reply, _) = oneshot::channel();
                queue.waiting().push(Waiting { session: None, path: vec![b'x'; len], reply });
            }

            let sizes: Vec<_> = std::iter::repeat_with(|| queue.take_batch(max).len())
                .take_while(|len| *len > 0)
                .collect();

            assert_eq!(sizes, [max.files, 5, 1, 1]);
        }
    }

    /// An account without a shell refuses every command: that is found out once, not for each file.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_runs_no_commands_is_not_asked_for_each_file() {
        let (session, sizes) = server(1);
        let queue = Arc::new(CommandDigests::new(DigestAlgorithm::Sha256));
        let mut files = tokio::task::JoinSet::new();
        for n in 0..100 {
            let (session, queue) = (session.clone(), queue.clone());
            files.spawn(async move { queue.of(&session, format!("f{n}").as_bytes()).await });
        }

        while let Some(found) = files.join_next().await {
            assert!(matches!(found.unwrap(), Err(Error::Unsupported { .. })));
        }

        // The first file came alone; the next command took all others.
        assert_eq!(*sizes.lock().unwrap(), [1, 99, 1]);
    }

    /// One file that nobody there can read does not end the verification of all others.
    #[tokio::test(start_paused = true)]
    async fn files_that_cannot_be_read_end_it_only_if_there_are_many_and_no_others() {
        let queue = CommandDigests::new(DigestAlgorithm::Sha256);
        let (session, _) = server(1);
        assert!(queue.of(&session, b"f").await.is_err());
        assert!(!queue.note_unanswered(), "no command has ever answered");

        let (session, _) = server(0);
        for _ in 0..3 {
            assert!(queue.of(&session, b"f").await.is_ok());
            let go_on = (0..100).take_while(|_| queue.note_unanswered()).count();
            assert_eq!(go_on, UNANSWERED_FILES_MAX as usize);
        }
    }

    /// A server whose commands take a second each and end so, and the number of files in each of them.
    fn server(status: u32) -> (Session, Arc<Mutex<Vec<usize>>>) {
        let place = Destination::parse("u@h:").unwrap();
        let settings = Session::builder(&place).config_file("none").settings().unwrap();
        let (commands, mut asked) = mpsc::channel(8);
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let noted = sizes.clone();
        tokio::spawn(async move {
            while let Some(Command::Exec { command, done }) = asked.recv().await {
                let count = command.iter().filter(|b| **b == b'\'').count() / 2;
                noted.lock().unwrap().push(count);
                tokio::time::sleep(Duration::from_secs(1)).await;
                let stdout = format!("{}  name\n", "00".repeat(32)).repeat(count).into_bytes();
                let _ =
                    done.send(Ok(ExecOutput { status: Some(status), stdout, stderr: Vec::new() }));
            }
        });
        (Session::new(commands, Arc::default(), settings, "server".to_owned()), sizes)
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_have_their_digest_keep_no_others_from_being_asked_for_together() {
        let (session, sizes) = server(0);
        let queue = Arc::new(CommandDigests::new(DigestAlgorithm::Sha256));
        let room = Arc::new(Semaphore::new(2 * SIZE_MAX.files));
        let mut files = tokio::task::JoinSet::new();
        for n in 0..8 * SIZE_MAX.files {
            let (session, queue, room) = (session.clone(), queue.clone(), room.clone());
            files.spawn(async move {
                let _room = room.acquire().await;
                queue.of(&session, format!("f{n}").as_bytes()).await.map(|digest| digest.len())
            });
        }

        while let Some(found) = files.join_next().await {
            assert_eq!(found.unwrap().unwrap(), 32);
        }

        let sizes = sizes.lock().unwrap();
        assert!(sizes.len() <= 12, "{sizes:?}");
    }
}
