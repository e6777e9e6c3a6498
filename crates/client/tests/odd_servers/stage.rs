//! A target directory with something beside it that must never change, and transfers with an odd server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sterna_client::transfer::{Options, Summary, Transfer};
use sterna_client::{Error, Sftp, SftpOptions};
use sterna_testkit::sftp::OddServer;

/// What stands beside the target directory.
const OUTSIDE: &[u8] = b"nobody may touch this";

/// Longest run of a transfer, in virtual time: more than the patience with a silent server.
const RUN_MAX: Duration = Duration::from_secs(4 * 3600);

pub struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("here")).unwrap();
        fs::write(dir.path().join("outside"), OUTSIDE).unwrap();
        Self { dir }
    }

    /// The target directory.
    pub fn target(&self) -> PathBuf {
        self.dir.path().join("here")
    }

    pub fn here(&self, name: &str) -> PathBuf {
        self.target().join(name)
    }

    /// A file beside the target directory.
    pub fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    pub fn options(&self) -> Options {
        Options {
            recursive: true,
            fsync: false,
            state_dir: Some(self.dir.path().join("state")),
            ..Options::default()
        }
    }

    /// Downloads `source` into the target directory.
    pub async fn get(&self, server: OddServer, source: &str) -> Summary {
        self.get_with(server, source, self.options()).await
    }

    pub async fn get_with(&self, server: OddServer, source: &str, options: Options) -> Summary {
        let sftp = client(server).await.unwrap();
        let transfer = Transfer::new(&sftp).options(options);
        let target = self.target();
        let sources = [source];
        let run = transfer.get(&sources, &target);
        let summary = tokio::time::timeout(RUN_MAX, run).await.expect("it ends").unwrap();
        self.assert_nothing_escaped();
        summary
    }

    /// Uploads `name` of the target directory to `target`.
    pub async fn put(&self, server: OddServer, name: &str, target: &str) -> Summary {
        self.put_with(server, name, target, self.options()).await
    }

    pub async fn put_with(
        &self,
        server: OddServer,
        name: &str,
        target: &str,
        options: Options,
    ) -> Summary {
        let sftp = client(server).await.unwrap();
        let transfer = Transfer::new(&sftp).options(options);
        let sources = [self.here(name)];
        let run = transfer.put(&sources, target.as_bytes());
        tokio::time::timeout(RUN_MAX, run).await.expect("it ends").unwrap()
    }

    /// Everything below the target directory that is no part and no journal.
    pub fn names(&self) -> Vec<String> {
        let (mut names, root) = (Vec::new(), self.target());
        let mut waiting = vec![root.clone()];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if fs::symlink_metadata(&path).unwrap().is_dir() {
                    waiting.push(path.clone());
                }
                names.push(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
        names.retain(|name| !name.contains(".sterna-"));
        names.sort();
        names
    }

    fn assert_nothing_escaped(&self) {
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "state")
            .collect();
        names.sort();
        assert_eq!(names, ["here", "outside"]);
        assert_eq!(fs::read(self.outside()).unwrap(), OUTSIDE);
    }
}

pub async fn client(server: OddServer) -> Result<Sftp, Error> {
    Sftp::over(server.start(), SftpOptions::default()).await
}

/// Bytes that no repetition explains.
pub fn content(len: usize) -> Vec<u8> {
    sterna_testkit::Seed::new(len as u64).bytes(len)
}

/// The only failure of a transfer, as it is printed, and the exit status.
pub fn failure(summary: &Summary) -> (String, u8) {
    assert_eq!((summary.files, summary.failed), (0, 1), "{:?}", summary.errors);
    (summary.errors[0].1.to_string(), summary.exit_code())
}

pub fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
