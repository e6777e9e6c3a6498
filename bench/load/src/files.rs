//! Reading a remote file from start to end, with a bounded number of bytes under way.

use sterna_client::{Error, OpenOptions, Sftp};

/// Hands each piece of the file to `piece`, in order. At most `in_flight_len` bytes are asked for at a
/// time, but at least one request.
pub async fn read_all(
    sftp: &Sftp,
    path: &str,
    in_flight_len: usize,
    mut piece: impl FnMut(&[u8]),
) -> Result<(), Error> {
    let file = sftp.open(path, OpenOptions::new().read(true)).await?;
    let mut reader = file.reader(in_flight_len / sftp.limits().read_len as usize);
    while let Some(data) = reader.next().await? {
        piece(&data);
    }
    Ok(())
}
