//! Sends a file or a tree and tells what happens meanwhile; Ctrl-C stops it so that the same command goes on
//! later: `put SOURCE user@host:/dir [PORT [PASSWORD-FILE]]`.

use std::path::PathBuf;
use std::sync::Arc;

use sterna_client::transfer::{Cancel, Event, Options, Progress, Transfer};
use sterna_client::{Destination, Session, Zeroizing, display_name};

/// Hears of everything that happens; must be quick, for the transfer waits meanwhile.
struct Tell;

impl Progress for Tell {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Done(report) => {
                let name = display_name(&report.path);
                let (bytes, from, how) =
                    (report.bytes, report.resumed_from, report.verified.as_str());
                println!("{name}: {bytes} bytes, sent from byte {from} on, verified by {how}");
            }
            Event::Error { path, error } => eprintln!("{}: {error}", display_name(path)),
            // Others tell when a file begins, how far it is, and what is tried again or left out.
            _ => {}
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = PathBuf::from(arguments.next().ok_or("which file?")?);
    let place = Destination::parse(&arguments.next().ok_or("where to?")?)?;
    let mut builder = Session::builder(&place).option("StrictHostKeyChecking=accept-new");
    if let Some(port) = arguments.next() {
        builder = builder.port(port.parse()?);
    }
    if let Some(file) = arguments.next() {
        let password = std::fs::read_to_string(file)?.trim_end().to_owned();
        builder = builder.password(Zeroizing::new(password));
    }
    let session = builder.connect().await?;
    let sftp = session.sftp().await?;

    let cancel = Cancel::new();
    let stopping = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stopping.cancel();
        }
    });
    let options = Options { recursive: true, preserve: true, ..Options::default() };
    let transfer = Transfer::new(&sftp)
        // Where SFTP has no digests, a command at the server may have them.
        .session(&session)
        .options(options)
        .progress(Arc::new(Tell))
        .cancel(cancel);
    let summary = transfer.put(&[source], place.path()).await?;
    println!(
        "{} files, {} failed, {} bytes sent",
        summary.files, summary.failed, summary.bytes_sent
    );
    std::process::exit(summary.exit_code().into());
}
