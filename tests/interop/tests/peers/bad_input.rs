//! Garbage, lies and floods towards our running server: it closes or answers with a status, goes
//! on serving, and a transfer of somebody else never notices.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sterna_interop::binary::{is_baseline, peer_script, python};
use sterna_interop::client::{Client, Sftp};
use sterna_interop::content::{compare_files, write_file};
use sterna_interop::raw::{
    ANSWER_MAX, RawSftp, VERSION_LINE, connect, kexinit, packet, read_packet, read_version,
};
use sterna_interop::server::{self, Server};
use sterna_interop::steps::{Failure, Outcome, Steps, check};
use sterna_testkit::processes::{Stream, run};

/// Connections of a small flood. OpenSSH starts to drop at ten.
const FLOOD: usize = 60;

/// Size of the file that somebody else moves meanwhile, in bytes, and the rate in kbit/s: one
/// transfer lasts about two seconds.
const BYSTANDER_SIZE: u64 = 8 << 20;
const BYSTANDER_RATE: &str = "-l32000";

/// OpenSSH may do this its own way; we do not check it.
const OPENSSH_DIFFERS: Failure = Failure::Cannot("OpenSSH does this differently");

/// Runs `attacks` while a bystander moves files up and down; then looks whether the server and the
/// bystander are well.
fn while_somebody_transfers(server: &Server, attacks: impl FnOnce(&mut Steps)) {
    let over = AtomicBool::new(false);
    let mut steps = Steps::new(format!("bad input towards {}", server.name));
    thread::scope(|scope| {
        let bystander = scope.spawn(|| bystander(server, &over));
        // Also when an attack panics: otherwise the bystander would never end.
        let attacked = catch_unwind(AssertUnwindSafe(|| attacks(&mut steps)));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = attacked {
            resume_unwind(panic);
        }
        let outcome = bystander.join().expect("no panic");
        steps.run("the bystander's transfers", || outcome);
    });
    steps.run("the server is well", || {
        let printed = server.process.printed(Stream::Stderr);
        let text = String::from_utf8_lossy(&printed);
        check(!text.contains("panicked"), || "it panicked".to_owned())?;
        Sftp::openssh(server).batch(b"pwd\n").map(drop)
    });
    steps.finish(|| server.process.log());
}

fn bystander(server: &Server, over: &AtomicBool) -> Outcome {
    let here = server.place.dir("bystander");
    let (source, back) = (here.join("source"), here.join("back"));
    write_file(&source, BYSTANDER_SIZE, 8);
    let mut sftp = Sftp::openssh(server).argument(BYSTANDER_RATE);
    loop {
        let last = over.load(Ordering::Relaxed);
        sftp.put(&source, &server.remote("bystander"))?;
        sftp.get(&server.remote("bystander"), &back)?;
        compare_files(&source, &back)?;
        if last {
            return Ok(());
        }
    }
}

/// Waits until the server closes. Whatever it says before that is fine.
fn closes(stream: &mut TcpStream) -> Outcome {
    let mut sink = vec![0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if is_baseline() {
                    return Err(OPENSSH_DIFFERS);
                }
                return Err(Failure::Failed(format!("still open after {ANSWER_MAX:?}")));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Sends bytes on a new connection and waits until the server closes it.
fn sent_is_refused(server: &Server, bytes: &[u8]) -> Outcome {
    let mut stream = connect(server.login.address())?;
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes);
    closes(&mut stream)
}

/// The same after both version lines and the server's KEXINIT.
fn sent_after_version_is_refused(server: &Server, bytes: &[u8]) -> Outcome {
    let mut stream = connect(server.login.address())?;
    stream.write_all(VERSION_LINE)?;
    read_version(&mut stream)?;
    read_packet(&mut stream)?;
    let _ = stream.write_all(bytes);
    closes(&mut stream)
}

fn good_kexinit() -> Vec<u8> {
    kexinit("curve25519-sha256", "ssh-ed25519", "aes128-ctr", "hmac-sha2-256")
}

#[test]
fn garbage_before_the_keys_closes_that_connection_only() {
    let server = server::sterna();

    while_somebody_transfers(&server, |steps| {
        for (what, bytes) in [
            ("a web request", b"GET / HTTP/1.1\r\nHost: sterna\r\n\r\n".to_vec()),
            ("another protocol version", b"SSH-1.5-old\r\n".to_vec()),
            ("a line without end", vec![b'x'; 100_000]),
            ("a version line without end", [b"SSH-2.0-", &[b'x'; 100_000][..]].concat()),
            ("zero bytes", vec![0; 10_000]),
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(100)),
        ] {
            steps.run(what, || sent_is_refused(&server, &bytes));
        }
        steps.run("nothing, then the end", || {
            let mut stream = connect(server.login.address())?;
            stream.shutdown(Shutdown::Write)?;
            closes(&mut stream)
        });
    });
}

#[test]
fn impossible_packets_close_that_connection_only() {
    let server = server::sterna();
    let long = |length: u32| [&length.to_be_bytes()[..], &[4; 64]].concat();

    while_somebody_transfers(&server, |steps| {
        for (what, bytes) in [
            ("length 0xffffffff", long(u32::MAX)),
            ("length 0x7fffffff", long(0x7fff_ffff)),
            ("length 1 MiB", long(1 << 20)),
            ("length 0", long(0)),
            ("length 1", long(1)),
            ("length not a multiple of the block", long(13)),
            ("more padding than packet", [&12_u32.to_be_bytes()[..], &[255; 12]].concat()),
            ("no payload", [&12_u32.to_be_bytes()[..], &[11; 12]].concat()),
            ("message number 0", packet(&[0])),
            ("lists longer than the packet", {
                let mut payload = vec![20];
                payload.extend([7; 16]);
                payload.extend(u32::MAX.to_be_bytes());
                packet(&payload)
            }),
            ("a KEXINIT that ends early", packet(&good_kexinit()[..40])),
            ("nothing in common", packet(&kexinit("x", "x", "x", "x"))),
            ("KEXINIT twice", [packet(&good_kexinit()), packet(&good_kexinit())].concat()),
        ] {
            steps.run(what, || sent_after_version_is_refused(&server, &bytes));
        }
        steps.run("a packet that ends early", || {
            let mut stream = connect(server.login.address())?;
            stream.write_all(VERSION_LINE)?;
            stream.write_all(&packet(&good_kexinit())[..50])?;
            stream.shutdown(Shutdown::Write)?;
            closes(&mut stream)
        });
    });
}

#[test]
fn messages_out_of_phase_close_that_connection_only() {
    let server = server::sterna();
    let string =
        |text: &[u8]| [&u32::try_from(text.len()).unwrap_or(0).to_be_bytes()[..], text].concat();
    let channel_open =
        [&[90][..], &string(b"session"), &[0; 4], &[0, 1, 0, 0], &[0, 1, 0, 0]].concat();
    let auth_request =
        [&[50][..], &string(b"tern"), &string(b"ssh-connection"), &string(b"none")].concat();

    while_somebody_transfers(&server, |steps| {
        for (what, payload) in [
            ("a channel before keys", channel_open),
            ("a login before keys", auth_request),
            ("a service before keys", [&[5][..], &string(b"ssh-userauth")].concat()),
            ("channel data before keys", [&[94][..], &[0; 4], &string(b"data")].concat()),
            ("a global request before keys", [&[80][..], &string(b"x"), &[1]].concat()),
            ("NEWKEYS before a key exchange", vec![21]),
            ("a login's success from the client", vec![52]),
        ] {
            steps.run(format!("{what}, instead of KEXINIT"), || {
                sent_after_version_is_refused(&server, &packet(&payload))
            });
            steps.run(format!("{what}, after KEXINIT"), || {
                let bytes = [packet(&good_kexinit()), packet(&payload)].concat();
                sent_after_version_is_refused(&server, &bytes)
            });
        }
    });
}

/// Goal: connections that never say anything do not keep anybody out.
#[test]
fn a_flood_of_silent_connections_keeps_nobody_out() {
    let server = server::sterna();

    while_somebody_transfers(&server, |steps| {
        let mut silent = Vec::new();
        steps.run(format!("{FLOOD} connections"), || {
            for _ in 0..FLOOD {
                silent.push(connect(server.login.address())?);
            }
            Ok(())
        });
        steps.run("a login meanwhile", || Sftp::openssh(&server).batch(b"pwd\n").map(drop));
    });
}

/// Goal: what an SSH client does wrong behind the encryption hurts only itself.
/// Method: a script with Paramiko's transport, which lets us send any message.
#[test]
fn misbehaviour_behind_the_encryption_hurts_only_itself() {
    let Some(python) = python() else { return };
    let server = server::sterna();
    let login = &server.login;
    let actions = [
        "channel_before_login",
        "data_for_no_channel",
        "unknown_message",
        "unknown_global_request",
        "unknown_channel_type",
        "unknown_channel_request",
        "shell_request",
        "many_channels",
        "more_than_the_window",
        "more_than_the_packet_size",
        "wrong_signature",
        "many_wrong_passwords",
        "unknown_service",
    ];

    while_somebody_transfers(&server, |steps| {
        for action in actions {
            steps.run(action, || {
                let mut script = Command::new(&python);
                script.arg(peer_script("hostile_client.py")).arg(action);
                script.arg(login.port.to_string()).arg(&login.user).arg(&login.key.private);
                let done = run(&mut script, b"", ANSWER_MAX * 3);
                if is_baseline() && !done.success() {
                    return Err(OPENSSH_DIFFERS);
                }
                check(done.success(), || done.describe())
            });
        }
    });
}

const INIT: u8 = 1;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const STAT: u8 = 17;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;

/// SFTP's `string`: length and bytes.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a short string");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// An SFTP session whose version exchange is done.
fn sftp_session(server: &Server) -> Result<RawSftp, Failure> {
    let mut raw = RawSftp::open(&server.login);
    raw.send_packet(INIT, &3_u32.to_be_bytes());
    match raw.receive()? {
        Some(version) if version.first() == Some(&2) => Ok(raw),
        other => Err(Failure::Failed(format!("no VERSION but {other:?}\n{}", raw.log()))),
    }
}

/// Opens a file of the server for reading (1) or writing and creating (0x0a). The handle comes as
/// it stands in a request: with its length.
fn open_handle(raw: &mut RawSftp, path: &Path, flags: u32) -> Result<Vec<u8>, Failure> {
    let path = path.as_os_str().as_encoded_bytes();
    raw.send_packet(
        OPEN,
        &[&7_u32.to_be_bytes()[..], &string(path), &flags.to_be_bytes(), &[0; 4]].concat(),
    );
    match raw.receive()? {
        Some(reply) if reply.first() == Some(&HANDLE) => Ok(reply[5..].to_vec()),
        other => Err(Failure::Failed(format!("no HANDLE but {other:?}\n{}", raw.log()))),
    }
}

/// The answer must be a STATUS that is not OK, or the end of the session.
fn refuses_or_closes(raw: &mut RawSftp) -> Outcome {
    match raw.receive()? {
        None => Ok(()),
        Some(reply) if reply.first() == Some(&STATUS) && reply.get(5..9) != Some(&[0; 4][..]) => {
            Ok(())
        }
        Some(reply) => Err(Failure::Failed(format!("answered {reply:?}\n{}", raw.log()))),
    }
}

#[test]
fn broken_sftp_packets_end_in_a_status_or_the_end_of_that_session() {
    let server = server::sterna();
    let id = 1_u32.to_be_bytes();
    let framed = |length: u32, rest: &[u8]| [&length.to_be_bytes()[..], rest].concat();

    while_somebody_transfers(&server, |steps| {
        for (what, bytes) in [
            ("length 0xffffffff", framed(u32::MAX, &[READ, 0, 0, 0, 1])),
            ("length 0", framed(0, &[0; 8])),
            ("length 10 MiB", framed(10 << 20, &[WRITE, 0, 0, 0, 1])),
            ("an unknown type", framed(5, &[[99].as_slice(), &id].concat())),
            ("a type of servers", framed(9, &[[STATUS].as_slice(), &id, &[0; 4]].concat())),
            ("no request id", framed(3, &[STAT, 0, 0])),
            ("no body", framed(5, &[[STAT].as_slice(), &id].concat())),
            (
                "a string longer than the packet",
                framed(13, &[[STAT].as_slice(), &id, &1000_u32.to_be_bytes(), b"/etc"].concat()),
            ),
            (
                "a string of 4 GiB",
                framed(13, &[[STAT].as_slice(), &id, &u32::MAX.to_be_bytes(), b"/etc"].concat()),
            ),
            (
                "a path with a zero byte",
                framed(12, &[[STAT].as_slice(), &id, &string(b"a\0b")].concat()),
            ),
            (
                "a path of 100 000 bytes",
                framed(100_009, &[[STAT].as_slice(), &id, &string(&[b'a'; 100_000])].concat()),
            ),
            (
                "a handle that was never given",
                framed(
                    5 + 4 + 8 + 8 + 4,
                    &[[READ].as_slice(), &id, &string(b"unknown!"), &[0; 8], &[0, 0, 0, 9]]
                        .concat(),
                ),
            ),
            ("an empty handle", framed(9, &[[CLOSE].as_slice(), &id, &string(b"")].concat())),
            (
                "a handle of 100 000 bytes",
                framed(100_009, &[[CLOSE].as_slice(), &id, &string(&[b'h'; 100_000])].concat()),
            ),
            (
                "an unknown extension",
                framed(17, &[[200].as_slice(), &id, &string(b"x@sterna")].concat()),
            ),
        ] {
            steps.run(what, || {
                let mut raw = sftp_session(&server)?;
                raw.send(&bytes);
                refuses_or_closes(&mut raw)
            });
        }
        steps.run("a request before INIT", || {
            let mut raw = RawSftp::open(&server.login);
            raw.send_packet(STAT, &[&id[..], &string(b"/")].concat());
            refuses_or_closes(&mut raw)
        });
    });
}

#[test]
fn handles_and_offsets_that_cannot_be_are_refused() {
    let server = server::sterna();
    write_file(&server.local("small"), 1000, 1);
    let id = 1_u32.to_be_bytes();
    let read = |handle: &[u8], offset: u64, len: u32| {
        [&id[..], handle, &offset.to_be_bytes(), &len.to_be_bytes()].concat()
    };

    while_somebody_transfers(&server, |steps| {
        steps.run("a handle that was closed", || {
            let mut raw = sftp_session(&server)?;
            let handle = open_handle(&mut raw, &server.remote("small"), 1)?;
            raw.send_packet(CLOSE, &[&id[..], &handle].concat());
            let closed = raw.receive()?.unwrap_or_default();
            check(closed.get(5..9) == Some(&[0; 4][..]), || format!("CLOSE said {closed:?}"))?;
            raw.send_packet(READ, &read(&handle, 0, 10));
            refuses_or_closes(&mut raw)
        });
        steps.run("a handle of another session", || {
            let mut first = sftp_session(&server)?;
            let mut second = sftp_session(&server)?;
            for _ in 0..3 {
                open_handle(&mut first, &server.remote("small"), 1)?;
            }
            let handle = open_handle(&mut first, &server.remote("small"), 1)?;
            second.send_packet(READ, &read(&handle, 0, 10));
            refuses_or_closes(&mut second)
        });
        steps.run("a read at the last offset", || {
            let mut raw = sftp_session(&server)?;
            let handle = open_handle(&mut raw, &server.remote("small"), 1)?;
            raw.send_packet(READ, &read(&handle, u64::MAX, 10));
            refuses_or_closes(&mut raw)
        });
        steps.run("a read of 4 GiB gives what there is", || {
            let mut raw = sftp_session(&server)?;
            let handle = open_handle(&mut raw, &server.remote("small"), 1)?;
            raw.send_packet(READ, &read(&handle, 0, u32::MAX));
            let reply = raw.receive()?.unwrap_or_default();
            if is_baseline() {
                return Err(OPENSSH_DIFFERS);
            }
            let content = fs::read(server.local("small"))?;
            check(reply.first() == Some(&DATA) && reply.get(9..) == Some(&content[..]), || {
                format!("{} bytes of type {:?}", reply.len(), reply.first())
            })
        });
        steps.run("a write at the last offset", || {
            let mut raw = sftp_session(&server)?;
            let handle = open_handle(&mut raw, &server.remote("written"), 0x0a)?;
            let write = [&id[..], &handle, &u64::MAX.to_be_bytes(), &string(b"data")].concat();
            raw.send_packet(WRITE, &write);
            refuses_or_closes(&mut raw)
        });
        steps.run("a write to a handle for reading", || {
            let mut raw = sftp_session(&server)?;
            let handle = open_handle(&mut raw, &server.remote("small"), 1)?;
            raw.send_packet(WRITE, &[&id[..], &handle, &[0; 8], &string(b"data")].concat());
            refuses_or_closes(&mut raw)
        });
        steps.run("thousands of handles", || {
            let mut raw = sftp_session(&server)?;
            let path = server.remote("small");
            let body =
                [&id[..], &string(path.as_os_str().as_encoded_bytes()), &[0, 0, 0, 1], &[0; 4]];
            let body = body.concat();
            for _ in 0..2_000 {
                raw.send_packet(OPEN, &body);
                // Refused from some number on, which is the server's choice.
                if raw.receive()?.is_none() {
                    return Err(Failure::Failed(format!("closed\n{}", raw.log())));
                }
            }
            Ok(())
        });
    });
}
