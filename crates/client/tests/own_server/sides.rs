//! Two directories, and a transfer of a file called `f` between them by way of a [`relay`](crate::relay).

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sterna_client::transfer::{Options, Summary, Transfer};
use sterna_client::{Error, Sftp};

use crate::relay::{IO_LEN, Server, Wish};
use crate::stage::Recorder;

/// Bytes in flight.
pub const WINDOW: u64 = 4 * IO_LEN as u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Get,
    Put,
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::Get, Self::Put];
}

/// `here/` is local, `there/` is what the server shows as `/`.
pub struct Sides {
    pub dir: tempfile::TempDir,
    pub way: Way,
}

impl Sides {
    pub fn new(way: Way) -> Self {
        Self::in_dir(way, tempfile::tempdir().unwrap())
    }

    /// With all files in memory: where no digest is asked for, their bytes go straight into packets and out of
    /// them.
    pub fn in_memory(way: Way) -> Self {
        Self::in_dir(way, tempfile::tempdir_in("/dev/shm").unwrap())
    }

    fn in_dir(way: Way, dir: tempfile::TempDir) -> Self {
        for side in ["here", "there"] {
            fs::create_dir(dir.path().join(side)).unwrap();
        }
        Self { dir, way }
    }

    fn side(&self, here: bool) -> PathBuf {
        self.dir.path().join(if here { "here" } else { "there" })
    }

    pub fn source(&self) -> PathBuf {
        self.side(self.way == Way::Put).join("f")
    }

    pub fn target(&self) -> PathBuf {
        self.side(self.way == Way::Get).join("f")
    }

    pub fn part(&self) -> PathBuf {
        self.target().with_file_name(".f.sterna-part")
    }

    pub fn options(&self) -> Options {
        Options {
            window_start: WINDOW as usize,
            window_max: WINDOW as usize,
            state_dir: Some(self.dir.path().join("state")),
            fsync: false,
            ..Options::default()
        }
    }

    pub async fn serve(&self, wish: Wish) -> Result<Server, Error> {
        Server::start(&self.dir.path().join("there"), wish).await
    }

    /// Transfers `f` on a channel.
    pub async fn transfer(
        &self,
        sftp: &Sftp,
        options: Options,
        recorder: &Arc<Recorder>,
    ) -> Result<Summary, Error> {
        let transfer = Transfer::new(sftp)
            .options(options)
            .progress(recorder.clone())
            .cancel(recorder.cancel.clone());
        match self.way {
            Way::Get => transfer.get(&[b"/f"], &self.target()).await,
            Way::Put => transfer.put(&[self.source()], b"/f").await,
        }
    }

    /// Transfers `f` with a server of its own; returns how that ended, and the bytes of all packets.
    pub async fn run(
        &self,
        wish: Wish,
        options: Options,
        recorder: &Arc<Recorder>,
    ) -> (Summary, u64) {
        let server = self.serve(wish).await.unwrap();
        let summary = self.transfer(&server.sftp, options, recorder).await.unwrap();
        let bytes = server.bytes();
        server.end().await;
        (summary, bytes)
    }

    /// Nothing but the target is left beside the target.
    pub fn assert_clean(&self, what: &dyn std::fmt::Debug) {
        let dir = self.target().parent().unwrap().to_owned();
        let names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["f"], "{what:?}");
    }
}
