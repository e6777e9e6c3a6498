//! `sterna sum`: checksums of remote files, computed by the server where it can; lists of them.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use sterna_client::{Error, FileKind, OpenOptions, Place, Sftp, sync::ManifestLine};
use sterna_ssh_crypto::{DigestAlgorithm, Digester};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath, bytes_of},
    exit::Exit,
    failure::{Failure, Result},
    output::{Object, Output, display_name, hex_text},
    remote::{Remotes, report},
    remote_glob::join,
};

const EXAMPLES: &str = "\
Examples:
  sterna sum alice@nas:big.iso
  sterna sum -r alice@nas:backup > SHA256SUMS        names as seen from inside of backup
  sterna sum --check SHA256SUMS alice@nas:backup
  sterna sum --json -a md5 alice@nas:a.bin | jq -r .digest";

/// Requests that are ahead while a file is read.
const READS_AHEAD: usize = 16;
/// Directories below one place; deeper is a circle.
const DEPTH_MAX: usize = 64;
/// Longest line of a list, in bytes: a digest and a path with every byte escaped.
const LINE_LEN_MAX: u64 = 256 + 2 * 64 * 1024;

/// Print checksums of files, and check lists of them
///
/// The server computes them by itself where it can (check-file); otherwise the content comes here. The
/// lines are those of sha256sum.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SumArgs {
    /// md5, sha1, sha256, sha384, sha512 or blake3
    #[arg(short, long, value_name = "ALGO", value_parser = parse_algorithm)]
    pub algorithm: Option<DigestAlgorithm>,
    /// Everything below directories, by names relative to them
    #[arg(short, long, conflicts_with = "check")]
    pub recursive: bool,
    /// Compare files below one place with this list (- reads stdin)
    #[arg(short, long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// One JSON object for each file
    #[arg(long)]
    pub json: bool,
    /// Files to sum
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl SumArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        if let Some(file) = &self.check {
            let [RemotePath(place)] = &self.places[..] else {
                return Err(Failure::usage("--check", "takes one place"));
            };
            let check = Check { file, algorithm: self.algorithm, json: self.json };
            let remote = remotes.to(place).await?;
            let root = Root::Remote(remote.sftp, place.path().to_vec());
            return check.list(global, &root).await;
        }
        let output = Output::new(global, self.json);
        let algorithm = self.algorithm.unwrap_or(DigestAlgorithm::Sha256);
        let mut worst = Exit::Done;
        let found = remotes.each(&self.places, async |target| {
            let (sftp, path) = (target.sftp(), target.path());
            if !self.recursive {
                return print(&output, self.json, algorithm, sftp, path, path).await;
            }
            worst = worst.worst(self.tree(&output, algorithm, sftp, path).await?);
            Ok(())
        });
        let found = found.await?;
        Ok(found.worst(worst))
    }

    /// All regular files below a directory, sorted directory by directory.
    async fn tree(
        &self,
        output: &Output,
        algorithm: DigestAlgorithm,
        sftp: &Sftp,
        root: &[u8],
    ) -> Result<Exit> {
        let mut worst = Exit::Done;
        let mut waiting = vec![(Vec::new(), 0)];
        while let Some((rel, depth)) = waiting.pop() {
            let listed = match sftp.list(join(root, &rel)).await {
                Ok(listed) => listed,
                Err(error) if error.ends_channel() || rel.is_empty() => return Err(error.into()),
                Err(error) => {
                    worst = worst.worst(report(error.into())?);
                    continue;
                }
            };
            let mut dirs = Vec::new();
            for entry in listed {
                let name = join(&rel, &entry.name);
                let done = match entry.kind() {
                    FileKind::Dir if depth < DEPTH_MAX => {
                        dirs.push((name, depth + 1));
                        continue;
                    }
                    FileKind::File | FileKind::Unknown => {
                        let path = join(root, &name);
                        print(output, self.json, algorithm, sftp, &path, &name).await
                    }
                    _ => Err(Failure::incomplete(display_name(&name), "is not a regular file")),
                };
                if let Err(failure) = done {
                    worst = worst.worst(report(failure)?);
                }
            }
            waiting.extend(dirs.into_iter().rev());
        }
        Ok(worst)
    }
}

async fn print(
    output: &Output,
    json: bool,
    algorithm: DigestAlgorithm,
    sftp: &Sftp,
    path: &[u8],
    name: &[u8],
) -> Result<()> {
    let (digest, by) = sum(sftp, path, algorithm).await?;
    if json {
        return output.object(
            Object::new()
                .with_name("path", name)
                .with("algorithm", algorithm.name())
                .with("digest", hex_text(&digest))
                .with("computed_by", by),
        );
    }
    let line = ManifestLine { digest, name: name.to_vec() }.encode();
    output.line(output.name(&line))
}

/// Where the files of a list are.
pub enum Root {
    Local(PathBuf),
    Remote(Sftp, Vec<u8>),
}

/// A list of digests to be compared with what is there.
pub struct Check<'c> {
    pub file: &'c Path,
    /// `None`: what the length of each digest says.
    pub algorithm: Option<DigestAlgorithm>,
    pub json: bool,
}

impl Check<'_> {
    /// Checks the list against a place here or on a server.
    ///
    /// # Errors
    /// If the list cannot be read or no connection is possible.
    pub async fn run(
        &self,
        remotes: &mut Remotes,
        global: &GlobalArgs,
        place: &OsString,
    ) -> Result<Exit> {
        let root = match Place::parse(bytes_of(place))? {
            Place::Local(path) => Root::Local(path),
            Place::Remote(place) => {
                Root::Remote(remotes.to(&place).await?.sftp, place.path().to_vec())
            }
        };
        self.list(global, &root).await
    }

    async fn list(&self, global: &GlobalArgs, root: &Root) -> Result<Exit> {
        let output = Output::new(global, self.json);
        let shown = display_name(self.file.as_os_str().as_encoded_bytes());
        let failed = |error: io::Error| Failure::io(shown.clone(), &error);
        let mut lines: Box<dyn BufRead> = match self.file.as_os_str() == "-" {
            true => Box::new(BufReader::new(io::stdin())),
            false => Box::new(BufReader::new(File::open(self.file).map_err(failed)?)),
        };
        let mut worst = Exit::Done;
        let (mut number, mut listed) = (0_u64, 0_u64);
        let mut line = Vec::new();
        loop {
            line.clear();
            let len = lines.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line);
            if len.map_err(failed)? == 0 {
                break;
            }
            number += 1;
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if text.is_empty() {
                continue;
            }
            listed += 1;
            let done = match ManifestLine::parse(text) {
                Some(line) => self.one(&output, root, &line).await,
                None => Err(Failure::incomplete(
                    format!("{shown}, line {number}"),
                    "is no digest and name",
                )),
            };
            if let Err(failure) = done {
                worst = worst.worst(report(failure)?);
            }
        }
        if listed == 0 {
            return Err(Failure::incomplete(shown, "holds no digest"));
        }
        Ok(worst)
    }

    async fn one(&self, output: &Output, root: &Root, line: &ManifestLine) -> Result<()> {
        let name = display_name(&line.name);
        let algorithm = self.algorithm.or_else(|| line.algorithm());
        let algorithm = algorithm.filter(|a| a.output_len() == line.digest.len());
        let algorithm = algorithm
            .ok_or_else(|| Failure::incomplete(name.clone(), "its digest has an unknown length"))?;
        let found = match root {
            Root::Local(root) => {
                let path = root.join(
                    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&line.name),
                );
                sum_local(&path, algorithm).map_err(|e| Failure::io(name.clone(), &e))?
            }
            Root::Remote(sftp, root) => sum(sftp, &join(root, &line.name), algorithm).await?.0,
        };
        let equal = found == line.digest;
        if self.json {
            output.object(
                Object::new()
                    .with_name("path", &line.name)
                    .with("algorithm", algorithm.name())
                    .with("equal", equal),
            )?;
        } else if equal && !output.quiet {
            output.line([&output.name(&line.name), &b": OK"[..]].concat())?;
        }
        match equal {
            true => Ok(()),
            false => Err(Failure::new(
                Exit::Verification,
                name,
                format!("{} differs from the list", algorithm.name()),
            )),
        }
    }
}

fn sum_local(path: &Path, algorithm: DigestAlgorithm) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut digester = Digester::new(algorithm);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digester.finish()),
            Ok(len) => digester.update(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The digest of a whole file, and who computed it: `"server"` or `"client"`.
async fn sum(
    sftp: &Sftp,
    path: &[u8],
    algorithm: DigestAlgorithm,
) -> std::result::Result<(Vec<u8>, &'static str), Error> {
    if sftp.can_check(algorithm) {
        match sftp.check_file(path, &[algorithm], 0, 0, 0).await {
            Ok(mut reply) if reply.digests.len() == 1 => {
                return Ok((reply.digests.swap_remove(0), "server"));
            }
            // A server that offers it and does not do it is not a reason to give up; that the file
            // is missing shows below as well.
            Ok(_) | Err(Error::Refused { .. } | Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let file = sftp.open(path, OpenOptions::new().read(true)).await?;
    let mut pieces = file.reader(READS_AHEAD);
    let mut digester = Digester::new(algorithm);
    while let Some(piece) = pieces.next().await? {
        digester.update(&piece);
    }
    Ok((digester.finish(), "client"))
}

fn parse_algorithm(text: &str) -> std::result::Result<DigestAlgorithm, String> {
    let plain = text.to_ascii_lowercase().replace('-', "");
    DigestAlgorithm::from_name(&plain).ok_or_else(|| {
        let known: Vec<_> = DigestAlgorithm::ALL.iter().map(|a| a.name()).collect();
        format!("not one of {}", known.join(", "))
    })
}
