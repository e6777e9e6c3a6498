//! OpenSSH's `ssh-keysign`: it may read the host's private keys, we may not.
//!
//! The helper is started with the connection's socket as descriptor 3, finds out by it what this machine
//! is called, and signs only a host-based login of the user who started it from that machine. Messages
//! in both directions are `uint32 length | byte version | …` (OpenSSH ssh-keysign.c, msg.c).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use sterna_sshwire::{Reader, put_string, put_u8, put_u32};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::display_name;
use crate::error::io_reason;
use crate::limits::{KEYSIGN_REPLY_LEN_MAX, KEYSIGN_TIMEOUT};

/// Where systems keep the helper.
const HELPERS: [&str; 5] = [
    "/usr/lib/openssh/ssh-keysign",
    "/usr/libexec/openssh/ssh-keysign",
    "/usr/lib/ssh/ssh-keysign",
    "/usr/libexec/ssh-keysign",
    "/usr/local/libexec/ssh-keysign",
];

const VERSION: u8 = 2;

/// The helper's descriptor of the socket; it refuses those below.
const SOCKET_FD: i32 = 3;

/// A signature blob over `data` by the host key named in it.
///
/// # Errors
/// What the helper said, for a person.
pub(super) async fn sign(socket: Option<&OwnedFd>, data: &[u8]) -> Result<Vec<u8>, String> {
    let helper = HELPERS.iter().map(Path::new).find(|helper| helper.exists());
    let helper = helper.ok_or(
        "the host's private keys cannot be read, and OpenSSH's ssh-keysign \
                               is not installed",
    )?;
    run(helper, socket, data).await
}

async fn run(helper: &Path, socket: Option<&OwnedFd>, data: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |what: &str, error: &std::io::Error| {
        format!("{} {what}: {}", helper.display(), io_reason(error))
    };
    // Without a socket the helper goes by the machine's own name, as we do.
    let socket = match socket {
        Some(socket) => socket.try_clone(),
        None => File::open("/dev/null").map(OwnedFd::from),
    };
    let socket = socket.map_err(|e| failed("has no socket", &e))?;
    let mut command = Command::new(helper);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
        .fd_mappings(vec![FdMapping { parent_fd: socket, child_fd: SOCKET_FD }])
        .map_err(|e| format!("{}: {e}", helper.display()))?;
    let mut command = tokio::process::Command::from(command);
    let mut child = command.kill_on_drop(true).spawn().map_err(|e| failed("does not start", &e))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let talk = async {
        if let Some(mut stdin) = stdin {
            // If it has ended already, it has said why.
            let _ = stdin.write_all(&request(data)).await;
        }
        let (reply, said) = tokio::join!(read(stdout), read(stderr));
        (reply, said, child.wait().await)
    };
    let (reply, said, status) = timeout(KEYSIGN_TIMEOUT, talk)
        .await
        .map_err(|_| format!("{} does not answer", helper.display()))?;
    match status {
        Ok(status) if status.success() => signature(&reply)
            .ok_or_else(|| format!("the answer of {} cannot be read", helper.display())),
        _ => {
            let said = said.split(|b| *b == b'\n').find(|line| !line.is_empty());
            Err(format!("{} signs not: {}", helper.display(), display_name(said.unwrap_or(b"?"))))
        }
    }
}

fn request(data: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(data.len() + 16);
    put_u8(&mut body, VERSION);
    put_u32(&mut body, SOCKET_FD as u32);
    put_string(&mut body, data);
    let mut message = Vec::with_capacity(body.len() + 4);
    put_string(&mut message, &body);
    message
}

fn signature(reply: &[u8]) -> Option<Vec<u8>> {
    let mut r = Reader::new(reply);
    let body = r.string("ssh-keysign reply", KEYSIGN_REPLY_LEN_MAX).ok()?;
    r.finish("ssh-keysign reply").ok()?;
    let mut r = Reader::new(body);
    if r.u8("version").ok()? != VERSION {
        return None;
    }
    let signature = r.string("signature", KEYSIGN_REPLY_LEN_MAX).ok()?.to_vec();
    r.finish("ssh-keysign reply").ok()?;
    Some(signature)
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(from) = from {
        let _ = from.take(KEYSIGN_REPLY_LEN_MAX as u64).read_to_end(&mut out).await;
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("helper");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_request_has_version_descriptor_and_data() {
        let wire = [
            0, 0, 0, 11, //  uint32 length
            2,  //            byte version
            0, 0, 0, 3, //   uint32 descriptor
            0, 0, 0, 2, b'h', b'i', // string data
        ];

        assert_eq!(request(b"hi"), wire);
    }

    #[test]
    fn a_reply_of_another_version_or_with_more_in_it_is_none() {
        assert_eq!(signature(&[0, 0, 0, 6, 2, 0, 0, 0, 1, b's']), Some(b"s".to_vec()));
        assert_eq!(signature(&[0, 0, 0, 6, 1, 0, 0, 0, 1, b's']), None);
        assert_eq!(signature(&[0, 0, 0, 7, 2, 0, 0, 0, 1, b's', 0]), None);
        assert_eq!(signature(&[0, 0, 0, 6, 2, 0, 0, 0, 1, b's', 0]), None);
        assert_eq!(signature(&[]), None);
    }

    /// Goal: the helper gets the request on stdin and the very socket as descriptor 3, nothing above.
    /// Method: a script answers with the inode of its descriptor 3 as the signature.
    #[tokio::test]
    async fn the_helper_is_given_the_socket_and_its_answer_is_taken() {
        let (_directory, helper) = script(
            "cat >/dev/null; name=$(readlink /proc/self/fd/3); \
             printf '\\000\\000\\000%b\\002\\000\\000\\000%b%s' \
             \"\\\\0$(printf %o $((${#name} + 5)))\" \"\\\\0$(printf %o ${#name})\" \"$name\"",
        );
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let expected = rustix::fs::fstat(&socket).unwrap().st_ino;

        let signature = run(&helper, Some(&socket), b"data").await.unwrap();

        assert_eq!(String::from_utf8(signature).unwrap(), format!("socket:[{expected}]"));
    }

    #[tokio::test]
    async fn a_refusal_says_what_the_helper_said() {
        let (_directory, helper) = script("echo 'ssh-keysign not enabled' >&2; exit 255");

        let error = run(&helper, None, b"data").await.unwrap_err();

        assert!(error.ends_with("ssh-keysign not enabled"), "{error}");
        assert!(run(Path::new("/nonexistent"), None, b"").await.is_err());
    }
}
