//! How long a look at a file takes while another one is transferred on the same connection:
//! `latency get|put user@host:/FILE LOCAL PORT KEY`.
//!
//! Prints milliseconds of STAT before and during the transfer, on its channel and on another one.

use std::time::{Duration, Instant};

use sterna_client::transfer::{Options, Transfer, Verify};
use sterna_client::{Destination, Session, Sftp};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, place, local, port, key] = &arguments[..] else {
        return Err("latency get|put user@host:/FILE LOCAL PORT KEY".into());
    };
    let place = Destination::parse(place)?;
    let session = Session::builder(&place)
        .option("StrictHostKeyChecking=no")
        .option("UserKnownHostsFile=/dev/null")
        .port(port.parse()?)
        .identity(key)
        .connect()
        .await?;
    let (busy, other) = (session.sftp().await?, session.sftp().await?);
    println!("alone           {}", figures(&[stat(&busy).await?, stat(&busy).await?]));

    let options = Options { verify: Verify::Off, ..Options::default() };
    let transfer = Transfer::new(&busy).options(options);
    let (local, remote) = (std::path::PathBuf::from(local), place.path().to_vec());
    let is_get = verb == "get";
    let work = tokio::spawn(async move {
        if is_get {
            transfer.get(&[remote], &local).await
        } else {
            transfer.put(&[local], &remote).await
        }
    });
    let (mut on_busy, mut on_other) = (Vec::new(), Vec::new());
    while !work.is_finished() {
        on_busy.push(stat(&busy).await?);
        on_other.push(stat(&other).await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let summary = work.await??;
    println!("same channel    {}", figures(&on_busy));
    println!("other channel   {}", figures(&on_other));
    let rate = summary.bytes as f64 / f64::from(1 << 20) / summary.seconds;
    println!("meanwhile       {rate:.1} MiB/s");
    std::process::exit(summary.exit_code().into());
}

async fn stat(sftp: &Sftp) -> Result<Duration, Failure> {
    let begun = Instant::now();
    sftp.stat(b"/").await?;
    Ok(begun.elapsed())
}

fn figures(times: &[Duration]) -> String {
    let mut ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    ms.sort_by(f64::total_cmp);
    match ms[..] {
        [] => "none".to_owned(),
        _ => {
            let (median, max) = (ms[ms.len() / 2], ms[ms.len() - 1]);
            format!("{} looks, median {median:.0} ms, longest {max:.0} ms", ms.len())
        }
    }
}
