//! A client in front of a server that a test plays by hand.

pub(crate) use sterna_testkit::sftp::Script;

use super::{Sftp, SftpOptions};

/// Starts a client against `play`, which begins after VERSION 3 without extensions.
pub(crate) async fn against<F>(play: impl FnOnce(Script) -> F) -> Sftp
where
    F: Future<Output = ()> + Send + 'static,
{
    against_offering(&[], play).await
}

/// As [`against`], with these extensions in VERSION: names and values.
pub(crate) async fn against_offering<F>(
    extensions: &[(&str, &str)],
    play: impl FnOnce(Script) -> F,
) -> Sftp
where
    F: Future<Output = ()> + Send + 'static,
{
    let (ours, io) = tokio::io::duplex(1 << 20);
    let (sftp, script) =
        tokio::join!(Sftp::over(ours, SftpOptions::default()), Script::greeting(io, extensions));
    tokio::spawn(play(script));
    sftp.unwrap()
}
