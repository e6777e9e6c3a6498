//! `sterna sum`: checksums of remote files, computed by the server where it can.

use clap::Args;
use sterna_client::{Error, OpenOptions, Sftp};
use sterna_ssh_crypto::{DigestAlgorithm, Digester};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::Result,
    output::{Object, Output, hex_text},
    read_ahead::ReadAhead,
    remote::Remotes,
};

const EXAMPLES: &str = "\
Examples:
  sterna sum alice@nas:big.iso
  sterna sum -a blake3 alice@nas:'backup/*' > sums
  sterna sum --json -a md5 alice@nas:a.bin | jq -r .digest";

/// Print checksums of files
///
/// The server computes them by itself where it can (check-file); otherwise the content comes here.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SumArgs {
    /// md5, sha1, sha256, sha384, sha512 or blake3
    #[arg(short, long, value_name = "ALGO", default_value = "sha256", value_parser = parse_algorithm)]
    pub algorithm: DigestAlgorithm,
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
        let output = Output::new(global, self.json);
        let mut remotes = Remotes::new(&self.client, global)?;
        remotes
            .each(&self.places, async |target| {
                let (digest, by) = sum(target.sftp(), target.path(), self.algorithm).await?;
                let digest = hex_text(&digest);
                if self.json {
                    return output.object(
                        Object::new()
                            .with_name("path", target.path())
                            .with("algorithm", self.algorithm.name())
                            .with("digest", digest)
                            .with("computed_by", by),
                    );
                }
                output.line([digest.as_bytes(), b"  ", &output.name(target.path())].concat())
            })
            .await
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
    let mut pieces = ReadAhead::new(file, sftp.limits().read_len);
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
