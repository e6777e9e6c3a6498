//! What one client does: sessions one after the other, each with some operations that a seed chooses.

use std::rc::Rc;
use std::time::Duration;

use sterna_sftp_proto::extension::{CheckFileName, CheckFileReply, CopyData, Fsync, PosixRename};
use sterna_sftp_proto::messages::{
    Close, Fstat, Open, Opendir, Read, Readdir, Realpath, Remove, Rename, Stat, Write,
};
use sterna_sftp_proto::{Attrs, OpenFlags, Reply, StatusCode};
use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use sterna_sshwire::Reader;
use sterna_testkit::Seed;

use super::conn::{Conn, Gone};
use super::content::Version;
use super::model::{DIRECT_DIR, Direct, FINAL_DIR, FIXED_DIR, Model, Piece};
use super::seen::Seen;
use super::world::{PASSWORD, SHARED, World};

/// What a session does at most.
const OPERATIONS_MAX: usize = 12;

/// Names that a client publishes files under.
const NAMES: usize = 4;

/// One client with its own files.
pub struct Client {
    world: Rc<World>,
    number: usize,
    random: Seed,
    /// Direct files and renamed ones so far: each has a name of its own.
    made: usize,
}

impl Client {
    /// Client `number`, who has made `made` names before.
    pub fn new(world: &Rc<World>, number: usize, made: usize, random: Seed) -> Self {
        Self { world: Rc::clone(world), number, random, made }
    }

    /// Everything that this client ever does.
    pub async fn run(mut self) {
        self.sleep(3000).await;
        for visit in 0..1 + self.random.below(3) {
            let random = Seed::new(self.random.next_u64());
            let Ok(mut conn) = Conn::new(&self.world, self.number, visit, random) else { return };
            // That a session is lost is no failure; what was acknowledged in it counts.
            let _ = self.visit(&mut conn).await;
            drop(conn);
            self.sleep(500).await;
        }
    }

    async fn sleep(&mut self, max_ms: usize) {
        let time = Duration::from_millis(self.random.below(max_ms) as u64);
        tokio::time::sleep(time).await;
    }

    async fn visit(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        match self.random.below(20) {
            0 => return conn.linger().await,
            1 => return conn.log_in(b"wrong").await,
            _ => conn.log_in(PASSWORD).await?,
        }
        for _ in 0..1 + self.random.below(OPERATIONS_MAX) {
            match self.random.below(16) {
                0..=2 => self.publish(conn).await?,
                3 => self.publish_shared(conn).await?,
                4 | 5 => self.write_in_place(conn).await?,
                6 | 7 => self.read_fixed(conn).await?,
                8 => self.read_own(conn).await?,
                9 => self.read_others(conn).await?,
                10 => self.rename_final(conn).await?,
                11 => self.change_direct(conn).await?,
                12 => self.copy(conn).await?,
                13 => self.digest(conn).await?,
                14 => self.list(conn).await?,
                _ => self.sync_directory(conn).await?,
            }
            if self.random.below(4) == 0 {
                self.sleep(20_000).await;
            }
        }
        if self.random.below(3) > 0 { conn.leave().await } else { Ok(()) }
    }

    fn model<T>(&self, with: impl FnOnce(&mut Model) -> T) -> T {
        with(&mut self.world.model.borrow_mut())
    }

    fn len(&mut self, conn: &Conn) -> u64 {
        let max =
            if conn.is_tiny() { 3_000 } else { [1, 3_000, 70_000, 300_000][self.random.below(4)] };
        self.random.below(max) as u64
    }

    fn own_name(&mut self) -> Vec<u8> {
        let lot = self.random.below(NAMES);
        format!("{FINAL_DIR}/c{}-{lot}", self.number).into_bytes()
    }

    fn new_name(&mut self, dir: &str) -> Vec<u8> {
        self.made += 1;
        format!("{dir}/c{}-new{}", self.number, self.made).into_bytes()
    }

    /// Cuts `len` bytes into WRITEs.
    fn pieces(&mut self, len: u64) -> Vec<(u64, u64)> {
        let max = [500, 8_000, 32_768, 100_000][self.random.below(4)].max(len as usize / 50);
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < len {
            let end = len.min(at + 1 + self.random.below(max) as u64);
            pieces.push((at, end));
            at = end;
        }
        pieces
    }

    async fn open(
        &mut self,
        conn: &mut Conn,
        path: &[u8],
        flags: OpenFlags,
    ) -> Result<Option<Vec<u8>>, Gone> {
        let id = conn.send(Open { path, flags, attrs: Attrs::default() });
        conn.handle(id).await
    }

    async fn publish(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let name = self.own_name();
        // What an earlier session asked may still come.
        if self.model(|model| model.final_of(&name).is_unsure) {
            return Ok(());
        }
        self.upload(conn, &name).await
    }

    async fn publish_shared(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let name = SHARED[self.random.below(SHARED.len())];
        self.upload(conn, name).await
    }

    /// An upload that is published when it is closed.
    async fn upload(&mut self, conn: &mut Conn, name: &[u8]) -> Result<(), Gone> {
        let len = self.len(conn);
        let version = self.model(|model| model.new_version(len));
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let Some(handle) = self.open(conn, name, flags).await? else { return Ok(()) };
        let mut sent = Vec::new();
        for (begin, end) in self.pieces(len) {
            let data = &version.bytes(begin..end)[..];
            sent.push(conn.send(Write { handle: &handle, offset: begin, data }));
            if self.random.below(10) == 0 {
                conn.pause().await;
            }
        }
        if self.random.below(3) == 0 {
            sent.push(conn.send_extended(Fsync { handle: &handle }));
        }
        let mut written = true;
        let waits = self.random.below(2) == 0;
        if waits || self.random.below(8) == 0 {
            for id in sent.drain(..) {
                written &= conn.is_done(id).await?;
            }
            if !waits {
                // It stays open, and what was sent is not published.
                return Ok(());
            }
        }
        let is_complete = written;
        if is_complete {
            self.model(|model| model.close_sent(name, version));
        }
        let close = conn.send(Close { handle: &handle });
        for id in sent {
            written &= conn.is_done(id).await?;
        }
        let closed = conn.is_done(close).await?;
        assert!(written || !closed, "a refused WRITE or FSYNC, and a good CLOSE of {name:?}");
        if is_complete {
            self.model(|model| model.close_answered(name, version, written, closed));
        }
        self.world.count(|counts| counts.uploads += u64::from(closed));
        Ok(())
    }

    /// A file that is written in place, in any order, synced now and then.
    async fn write_in_place(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let len = self.len(conn);
        let name = self.new_name(DIRECT_DIR);
        let pieces = self.pieces(len);
        let at = self.make_direct(&name, len, pieces, None);
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let Some(handle) = self.open(conn, &name, flags).await? else { return Ok(()) };
        self.model(|model| model.direct[at].is_open_acknowledged = true);
        let mut order: Vec<usize> =
            (0..self.model(|model| model.direct[at].pieces.len())).collect();
        if self.random.below(2) == 0 {
            for n in (1..order.len()).rev() {
                order.swap(n, self.random.below(n + 1));
            }
        }
        let mut waiting = Vec::new();
        for piece in order {
            let (version, (begin, end)) =
                self.model(|model| (model.direct[at].version, model.direct[at].pieces[piece].0));
            let data = &version.bytes(begin..end)[..];
            self.model(|model| model.direct[at].pieces[piece].1 = Piece::Sent);
            waiting.push((piece, conn.send(Write { handle: &handle, offset: begin, data })));
            match self.random.below(16) {
                0 => self.sync(conn, &handle, at, &mut waiting).await?,
                1 => conn.pause().await,
                _ => {}
            }
        }
        if self.random.below(3) > 0 {
            self.sync(conn, &handle, at, &mut waiting).await?;
        }
        self.take_written(conn, at, &mut waiting).await?;
        if self.random.below(6) > 0 {
            let id = conn.send(Close { handle: &handle });
            conn.is_done(id).await?;
        }
        Ok(())
    }

    fn make_direct(
        &mut self,
        name: &[u8],
        len: u64,
        pieces: Vec<(u64, u64)>,
        version: Option<Version>,
    ) -> usize {
        let owner = self.number;
        self.model(|model| {
            let version = version.unwrap_or_else(|| model.new_version(len));
            model.direct.push(Direct {
                owner,
                names: vec![name.to_vec()],
                version,
                pieces: pieces.into_iter().map(|piece| (piece, Piece::Unsent)).collect(),
                is_open_acknowledged: false,
                name_is_synced: false,
                remove_sent: false,
                is_removed: false,
                is_unsure: false,
            });
            model.direct.len() - 1
        })
    }

    async fn take_written(
        &mut self,
        conn: &mut Conn,
        at: usize,
        waiting: &mut Vec<(usize, u32)>,
    ) -> Result<(), Gone> {
        for (piece, id) in waiting.drain(..) {
            if conn.is_done(id).await? {
                self.model(|model| model.direct[at].pieces[piece].1 = Piece::Written);
            }
        }
        Ok(())
    }

    /// fsync@openssh.com: all that was written before is safe from now on.
    async fn sync(
        &mut self,
        conn: &mut Conn,
        handle: &[u8],
        at: usize,
        waiting: &mut Vec<(usize, u32)>,
    ) -> Result<(), Gone> {
        let id = conn.send_extended(Fsync { handle });
        self.take_written(conn, at, waiting).await?;
        if conn.is_done(id).await? {
            let keeps_name = self.world.has_journal;
            self.model(|model| {
                let of = &mut model.direct[at];
                of.name_is_synced |= keeps_name;
                for (_, piece) in &mut of.pieces {
                    if *piece == Piece::Written {
                        *piece = Piece::Synced;
                    }
                }
            });
            self.world.count(|counts| counts.syncs += 1);
        }
        Ok(())
    }

    async fn sync_directory(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let opened = conn.send(Opendir { path: DIRECT_DIR.as_bytes() });
        let Some(handle) = conn.handle(opened).await? else { return Ok(()) };
        let handle = &handle[..];
        let (there, owner) = (|of: &Direct| of.is_open_acknowledged && !of.is_unsure, self.number);
        let id = conn.send_extended(Fsync { handle });
        if conn.is_done(id).await? {
            self.model(|model| {
                let own = model.direct.iter_mut().filter(|of| of.owner == owner && there(of));
                own.for_each(|of| of.name_is_synced = true);
            });
            self.world.count(|counts| counts.syncs += 1);
        }
        let id = conn.send(Close { handle });
        conn.is_done(id).await.map(drop)
    }

    /// Reads a file to its end, in pieces of any size, several at a time. If it cannot be opened, `refusal` says why.
    async fn read(
        &mut self,
        conn: &mut Conn,
        path: &[u8],
        seen: &mut Seen,
        refusal: &mut Option<StatusCode>,
    ) -> Result<(), Gone> {
        let id = conn.send(Open { path, flags: OpenFlags::READ, attrs: Attrs::default() });
        let answer = conn.answer(id).await?;
        let handle = match answer.decode() {
            Reply::Handle(handle) => handle.handle.to_vec(),
            Reply::Status(status) => {
                *refusal = Some(status.code);
                return Ok(());
            }
            other => panic!("{other:?}"),
        };
        let handle = &handle[..];
        let stat = (self.random.below(2) == 0).then(|| conn.send(Fstat { handle }));
        let len_max =
            if conn.is_tiny() { 2_000 } else { [400, 40_000, 300_000][self.random.below(3)] };
        let ahead = 1 + self.random.below(12);
        let (mut next, mut asked, mut is_over) = (0, std::collections::VecDeque::new(), false);
        let mut left = 200;
        loop {
            while !is_over && left > 0 && asked.len() < ahead {
                let len = 1 + self.random.below(len_max) as u32;
                asked.push_back((next, len, conn.send(Read { handle, offset: next, len })));
                next += u64::from(len);
                left -= 1;
            }
            let Some((offset, len, id)) = asked.pop_front() else { break };
            let answer = conn.answer(id).await?;
            match answer.decode() {
                Reply::Data(data) => {
                    assert!(data.data.len() <= len as usize, "more than was asked for");
                    let count = data.data.len() as u64;
                    self.world.count(|counts| counts.read_bytes += count);
                    seen.pieces.push((offset, data.data.to_vec()));
                }
                Reply::Status(status) if status.code == StatusCode::Eof => {
                    seen.ends.push(offset);
                    is_over = true;
                }
                Reply::Status(status) if status.code != StatusCode::Ok => is_over = true,
                other => panic!("{other:?} to a READ"),
            }
        }
        if let Some(id) = stat {
            let answer = conn.answer(id).await?;
            if let Reply::Attrs(attrs) = answer.decode() {
                seen.sizes.extend(attrs.size);
            }
        }
        if self.random.below(8) > 0 {
            let id = conn.send(Close { handle });
            conn.is_done(id).await?;
        }
        Ok(())
    }

    /// A file that nobody changes.
    async fn read_fixed(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let lot = self.random.below(if conn.is_tiny() { 2 } else { 4 });
        let (name, version) = self.model(|model| model.fixed[lot].clone());
        let (mut seen, mut refusal) = (Seen::default(), None);
        let result = self.read(conn, &name, &mut seen, &mut refusal).await;
        seen.check(&[version], "a fixed file");
        assert_ne!(refusal, Some(StatusCode::NoSuchFile), "a fixed file");
        result
    }

    /// A file that this client has published or written.
    async fn read_own(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let name = self.own_name();
        let direct = self.model(|model| {
            let mut own = model.direct.iter().filter(|of| of.owner == self.number && of.is_whole());
            own.next().map(|of| (of.names[0].clone(), of.version))
        });
        let found = match direct {
            Some(direct) if self.random.below(2) == 0 => Some(direct),
            _ => self.model(|model| model.sure(&name)).map(|version| (name, version)),
        };
        let Some((name, version)) = found else { return Ok(()) };
        let (mut seen, mut refusal) = (Seen::default(), None);
        let result = self.read(conn, &name, &mut seen, &mut refusal).await;
        seen.check(&[version], "an own file");
        assert_ne!(refusal, Some(StatusCode::NoSuchFile), "an own file");
        result
    }

    /// A file that others publish meanwhile: what is read is of one whole version.
    async fn read_others(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let name = match self.random.below(3) {
            0 => format!("{FINAL_DIR}/c{}-0", self.number.saturating_sub(1)).into_bytes(),
            lot => SHARED[lot - 1].to_vec(),
        };
        if self.number == 0 && !SHARED.contains(&&name[..]) {
            return Ok(());
        }
        let (mut seen, mut refusal) = (Seen::default(), None);
        let result = self.read(conn, &name, &mut seen, &mut refusal).await;
        if refusal.is_none() && !(seen.pieces.is_empty() && seen.sizes.is_empty()) {
            let may = self.model(|model| model.ever(&name));
            seen.check(&may, "a file of others");
        }
        result
    }

    /// Moves a published file, or takes it away.
    async fn rename_final(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let name = self.own_name();
        if self.model(|model| model.sure(&name)).is_none() {
            return Ok(());
        }
        if self.random.below(2) == 0 {
            self.model(|model| model.remove_sent(&name));
            let id = conn.send(Remove { path: &name });
            let done = conn.is_done(id).await?;
            self.model(|model| model.remove_answered(&name, done));
            self.world.count(|counts| counts.removes += u64::from(done));
            return Ok(());
        }
        let to = self.new_name(FINAL_DIR);
        self.model(|model| model.rename_sent(&name, &to));
        let id = self.send_rename(conn, &name, &to);
        let done = conn.is_done(id).await?;
        self.model(|model| model.rename_answered(&name, &to, done));
        self.world.count(|counts| counts.renames += u64::from(done));
        Ok(())
    }

    fn send_rename(&mut self, conn: &mut Conn, old_path: &[u8], new_path: &[u8]) -> u32 {
        match self.random.below(2) {
            0 => conn.send(Rename { old_path, new_path }),
            _ => conn.send_extended(PosixRename { old_path, new_path }),
        }
    }

    /// An own file that is whole.
    fn whole(&mut self) -> Option<usize> {
        let (number, lot) = (self.number, self.random.next_u64() as usize);
        self.model(|model| {
            let own = model.direct.iter().enumerate();
            let own: Vec<_> = own.filter(|(_, of)| of.owner == number && of.is_whole()).collect();
            (!own.is_empty()).then(|| own[lot % own.len()].0)
        })
    }

    async fn change_direct(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let Some(at) = self.whole() else { return Ok(()) };
        let name = self.model(|model| model.direct[at].names[0].clone());
        let to = self.new_name(DIRECT_DIR);
        let removes = self.random.below(3) == 0;
        self.model(|model| {
            let of = &mut model.direct[at];
            of.is_unsure = true;
            of.remove_sent = removes;
            if !removes {
                of.names.push(to.clone());
            }
        });
        let id = match removes {
            true => conn.send(Remove { path: &name }),
            false => self.send_rename(conn, &name, &to),
        };
        let done = conn.is_done(id).await?;
        self.model(|model| {
            let of = &mut model.direct[at];
            of.is_unsure = false;
            of.is_removed = removes && done;
        });
        self.world.count(|counts| match removes {
            true => counts.removes += u64::from(done),
            false => counts.renames += u64::from(done),
        });
        Ok(())
    }

    /// copy-data from one own file to a new one.
    async fn copy(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let Some(from) = self.whole() else { return Ok(()) };
        let (name, version) =
            self.model(|model| (model.direct[from].names[0].clone(), model.direct[from].version));
        let Some(source) = self.open(conn, &name, OpenFlags::READ).await? else { return Ok(()) };
        let to = self.new_name(DIRECT_DIR);
        let at = self.make_direct(&to, version.len, vec![(0, version.len)], Some(version));
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        let Some(target) = self.open(conn, &to, flags).await? else { return Ok(()) };
        self.model(|model| {
            let of = &mut model.direct[at];
            of.is_open_acknowledged = true;
            of.pieces[0].1 = Piece::Sent;
        });
        let id = conn.send_extended(CopyData {
            read_handle: &source,
            read_offset: 0,
            len: if self.random.below(2) == 0 { 0 } else { version.len },
            write_handle: &target,
            write_offset: 0,
        });
        if conn.is_done(id).await? {
            self.model(|model| model.direct[at].pieces[0].1 = Piece::Written);
            self.world.count(|counts| counts.copies += 1);
            self.sync(conn, &target, at, &mut Vec::new()).await?;
        }
        for handle in [&source, &target] {
            let id = conn.send(Close { handle });
            conn.is_done(id).await?;
        }
        Ok(())
    }

    /// check-file: the digest is of what the model holds.
    async fn digest(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let lot = self.random.below(4);
        let (path, version) = match self.whole() {
            Some(at) if lot > 0 => {
                self.model(|model| (model.direct[at].names[0].clone(), model.direct[at].version))
            }
            _ => self.model(|model| model.fixed[lot].clone()),
        };
        let id = conn.send_extended(CheckFileName {
            path: &path,
            hash_list: b"sha256",
            offset: 0,
            len: 0,
            block_len: 0,
        });
        let answer = conn.answer(id).await?;
        match answer.decode() {
            Reply::ExtendedReply(reply) => {
                let mut digester = Digester::new(DigestAlgorithm::Sha256);
                digester.update(&version.bytes(0..version.len));
                let right = digester.finish();
                let told = CheckFileReply::decode(&mut Reader::new(reply.data)).unwrap();
                let told: Vec<_> = told.digests(right.len()).unwrap().collect();
                assert_eq!(told, [&right[..]], "the digest of {path:?}");
                self.world.count(|counts| counts.digests += 1);
            }
            Reply::Status(status) => assert_ne!(status.code, StatusCode::Ok),
            other => panic!("{other:?} to check-file"),
        }
        Ok(())
    }

    /// Lists a directory: nothing that is there for sure is missing, and no part shows.
    async fn list(&mut self, conn: &mut Conn) -> Result<(), Gone> {
        let paths = [conn.send(Stat { path: b"/in" }), conn.send(Realpath { path: b"/d/../in" })];
        for id in paths {
            conn.answer(id).await?;
        }
        let dir = [FINAL_DIR, FIXED_DIR][self.random.below(2)];
        let opened = conn.send(Opendir { path: dir.as_bytes() });
        let Some(handle) = conn.handle(opened).await? else { return Ok(()) };
        let handle = &handle[..];
        let mut names = Vec::new();
        let is_whole = loop {
            let id = conn.send(Readdir { handle });
            let answer = conn.answer(id).await?;
            match answer.decode() {
                Reply::Name(batch) => names.extend(batch.iter().map(|it| it.filename.to_vec())),
                Reply::Status(status) => break status.code == StatusCode::Eof,
                other => panic!("{other:?} to READDIR"),
            }
        };
        assert!(!names.contains(&b".sterna-staging".to_vec()));
        if is_whole && dir == FINAL_DIR {
            for lot in 0..NAMES {
                let name = format!("c{}-{lot}", self.number).into_bytes();
                let path = [FINAL_DIR.as_bytes(), b"/", &name].concat();
                let is_sure = self.model(|model| model.sure(&path)).is_some();
                assert!(!is_sure || names.contains(&name), "{name:?} is not listed");
            }
        }
        let id = conn.send(Close { handle });
        conn.is_done(id).await.map(drop)
    }
}
