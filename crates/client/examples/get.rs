//! Connects, lists a directory, downloads a file: `get user@host:/dir/file [PORT [PASSWORD-FILE]]`.

use sterna_client::transfer::Transfer;
use sterna_client::{Destination, Session, Zeroizing, display_name};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let place = Destination::parse(arguments.first().ok_or("which file?")?)?;
    let mut builder = Session::builder(&place).option("StrictHostKeyChecking=accept-new");
    if let Some(port) = arguments.get(1) {
        builder = builder.port(port.parse()?);
    }
    if let Some(file) = arguments.get(2) {
        builder =
            builder.password(Zeroizing::new(std::fs::read_to_string(file)?.trim_end().to_owned()));
    }
    let sftp = builder.connect().await?.sftp().await?;
    for entry in sftp.list(".").await? {
        println!("{}", display_name(&entry.name));
    }
    let summary = Transfer::new(&sftp).get(&[place.path()], ".".as_ref()).await?;
    println!("{} files, {} bytes", summary.files, summary.bytes);
    std::process::exit(summary.exit_code().into());
}
