//! Every operation against OpenSSH's `sftp-server`, and a scripted server that misbehaves.

use std::process::Stdio;

use sterna_sftp_proto::extension::{Md5HashReply, PosixAttrs, RangesReply};
use sterna_sshwire::put_string;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::script::{against, against_offering};
use super::*;

async fn real_server() -> Option<Sftp> {
    let program = "/usr/lib/openssh/sftp-server";
    if !std::path::Path::new(program).exists() {
        eprintln!("skipped: {program} is not installed");
        return None;
    }
    let mut child = tokio::process::Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let io = tokio::io::join(child.stdout.take().unwrap(), child.stdin.take().unwrap());
    tokio::spawn(async move { child.wait().await });
    Some(Sftp::over(io, SftpOptions::default()).await.unwrap())
}

#[tokio::test]
async fn every_operation_of_openssh_works() {
    let Some(sftp) = real_server().await else { return };
    let root = tempfile::tempdir().unwrap();
    let root = root.path().to_str().unwrap();
    let at = |name: &str| format!("{root}/{name}").into_bytes();

    assert_eq!(sftp.limits().read_len, IO_LEN_MAX);
    assert!(sftp.offers("posix-rename@openssh.com") && !sftp.offers("check-file"));
    sftp.mkdir_all(at("a/b/c")).await.unwrap();
    sftp.ensure_dir(at("a"), None).await.unwrap();
    let file = sftp
        .open(at("a/f"), OpenOptions::new().read(true).write(true).create(true).permissions(0o600))
        .await
        .unwrap();
    let data = vec![7; 1_000_000];
    file.write_at(0, &data).await.unwrap();
    assert_eq!(*file.read_at(999_999, 10).await.unwrap(), [7]);
    assert!(file.read_at(1_000_000, 10).await.unwrap().is_empty());
    file.sync().await.unwrap();
    assert_eq!(file.stat().await.unwrap().size, Some(1_000_000));
    file.set_attrs(&Attrs { size: Some(10), ..Attrs::default() }).await.unwrap();
    file.close().await.unwrap();
    assert_eq!(sftp.copy_file(at("a/f"), at("a/g")).await.unwrap(), 10);
    assert!(sftp.copy_file(at("a/f"), at("a/../a/f")).await.is_err());
    assert_eq!(sftp.rename(at("a/g"), at("a/f")).await.unwrap(), RenameOutcome::Atomic);
    sftp.symlink("f", at("a/l")).await.unwrap();
    assert_eq!(sftp.read_link(at("a/l")).await.unwrap(), b"f");
    assert_eq!(FileKind::of(&sftp.lstat(at("a/l")).await.unwrap()), FileKind::Symlink);
    assert_eq!(sftp.stat(at("a/l")).await.unwrap().size, Some(10));
    sftp.hardlink(at("a/f"), at("a/h")).await.unwrap();
    assert_eq!(sftp.copy_file(at("a/f"), at("a/h")).await.unwrap(), 10);
    assert_eq!(sftp.stat(at("a/f")).await.unwrap().size, Some(10));
    sftp.set_attrs(at("a/h"), &Attrs { permissions: Some(0o640), ..Attrs::default() })
        .await
        .unwrap();
    let names: Vec<_> = sftp.list(at("a")).await.unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, [b"b", b"f", b"h", b"l"]);
    let found = sftp.glob(at("?/[fh]")).await.unwrap();
    assert_eq!(found.iter().map(|(p, _)| p.clone()).collect::<Vec<_>>(), [at("a/f"), at("a/h")]);
    assert!(sftp.statvfs(at("")).await.unwrap().blocks > 0);
    assert_eq!(sftp.realpath(at("a/../a/f")).await.unwrap(), at("a/f"));
    assert!(sftp.home_directory("").await.unwrap().starts_with(b"/"));
    if sftp.offers("users-groups-by-id@openssh.com") {
        assert_eq!(sftp.users_groups(&[0], &[]).await.unwrap().0, [b"root"]);
    }
    sftp.remove(at("a/l")).await.unwrap();
    sftp.rmdir(at("a/b/c")).await.unwrap();
    assert!(sftp.stat(at("a/l")).await.unwrap_err().is_not_found());
    assert!(matches!(
        sftp.check_file(at("a/f"), &[], 0, 0, 0).await,
        Err(Error::Unsupported { .. })
    ));
}

/// The data of an ATTRS reply with times and our own pair.
fn exact_attrs(modified_nanos: u32) -> Vec<u8> {
    let mut fields = Vec::new();
    let times = sterna_sftp_proto::Times { accessed: 1, modified: 2 };
    let posix = PosixAttrs { accessed_nanos: 9, modified_nanos, file_id: 77, links: 2 };
    Attrs { times: Some(times), posix: Some(posix), ..Attrs::default() }.encode(&mut fields);
    fields
}

#[tokio::test]
async fn exact_attributes_are_asked_for_where_they_are_offered() {
    let offered = [("posix-attrs@sterna-sftp", "1")];
    let (ours, io) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(async move {
        let mut script = script::Script::greeting(io, &offered).await;
        let (wire_type, id, body) = script.request().await;
        assert_eq!((wire_type, &body[4..]), (200, &b"posix-attrs@sterna-sftp"[..]));
        script.status(id, 0).await;
        let (_, id, _) = script.request().await;
        script.reply(105, id, &exact_attrs(123_456_789)).await;
        let (_, id, body) = script.request().await;
        script.status(id, 0).await;
        body
    });
    let sftp = Sftp::over(ours, SftpOptions::default()).await.unwrap();

    assert!(sftp.has_exact_attrs());
    let attrs = sftp.stat("/f").await.unwrap();
    assert_eq!((attrs.modified_nanos(), attrs.accessed_nanos()), (Some(123_456_789), Some(9)));
    assert_eq!((attrs.file_id(), attrs.links()), (Some(77), Some(2)));
    sftp.set_attrs("/f", &attrs).await.unwrap();

    let set = server.await.unwrap();
    assert!(set.ends_with(&exact_attrs(123_456_789)));
}

#[tokio::test]
async fn nanoseconds_are_not_sent_to_who_did_not_agree() {
    let sftp = against(|mut script| async move {
        let (_, id, body) = script.request().await;
        let said = if body.windows(5).any(|w| w == b"posix") { 4 } else { 0 };
        script.status(id, said).await;
        std::future::pending().await
    })
    .await;

    assert!(!sftp.has_exact_attrs());
    let times = sterna_sftp_proto::Times { accessed: 1, modified: 2 };
    let attrs = Attrs { times: Some(times), ..Attrs::default() }.with_nanos(3, 4);
    sftp.set_attrs("/f", &attrs).await.unwrap();
}

async fn started_with(bytes: &[u8]) -> Result<Sftp, Error> {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    theirs.write_all(bytes).await.unwrap();
    let result = Sftp::over(ours, SftpOptions::default()).await;
    drop(theirs);
    result
}

#[tokio::test]
async fn a_shell_that_prints_is_quoted_and_other_starts_are_refused() {
    let error = started_with(b"Hello there\nmore").await.err().unwrap();
    assert!(error.to_string().contains("printed \"Hello there\""), "{error}");
    for bad in [
        &[0, 0, 0, 5, 2, 0, 0, 0, 2][..],
        &[0, 0, 0, 5, 9, 0, 0, 0, 3],
        &[0xff; 8],
        &[0, 0, 0, 0, 0],
        &[0, 0, 0, 7, 2, 0, 0, 0, 3, 0, 9],
    ] {
        assert!(started_with(bad).await.is_err(), "{bad:?}");
    }
    assert!(
        started_with(&[0, 0, 0, 5, 2, 0, 0, 0, 6]).await.is_ok(),
        "ProFTPD answers more than it was asked"
    );
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_ends_the_channel_for_all() {
    let sftp = against(|mut script| async move {
        let (_, id, _) = script.request().await;
        script.reply(101, id + 77, &[0; 8]).await;
        std::future::pending().await
    })
    .await;

    let error = sftp.stat("/x").await.unwrap_err();

    assert!(matches!(error, Error::Peer { .. }), "{error}");
    assert!(matches!(sftp.stat("/y").await, Err(Error::Peer { .. })));
}

#[tokio::test]
async fn a_reply_that_makes_no_sense_ends_the_channel_for_all() {
    // A STATUS that is cut off, a DATA whose length lies, a packet type that no reply has.
    for (wire_type, fields) in [(101, &[0, 0][..]), (103, &[0, 0, 0, 9, 1]), (77, &[])] {
        let sftp = against(move |mut script| async move {
            let (_, id, _) = script.request().await;
            script.reply(wire_type, id, fields).await;
            std::future::pending().await
        })
        .await;

        assert!(matches!(sftp.stat("/x").await, Err(Error::Peer { .. })), "{wire_type}");
        assert!(matches!(sftp.stat("/y").await, Err(Error::Peer { .. })), "{wire_type}");
    }
}

#[tokio::test]
async fn more_data_than_asked_for_is_an_error() {
    let sftp = against(|mut script| async move {
        let (_, id, _) = script.request().await;
        script.reply(102, id, &[0, 0, 0, 1, b'h']).await;
        let (_, id, _) = script.request().await;
        let mut fields = Vec::new();
        put_string(&mut fields, &[0; 11]);
        script.reply(103, id, &fields).await;
        std::future::pending().await
    })
    .await;
    let file = sftp.open("/f", OpenOptions::new().read(true)).await.unwrap();

    assert!(matches!(file.read_at(0, 10).await, Err(Error::Peer { .. })));
}

#[tokio::test]
async fn names_that_lead_elsewhere_never_come_out_of_a_listing() {
    for bad in [&b"../x"[..], b"a/b", b"/abs", b"", b"zero\0byte"] {
        let sftp = against(move |mut script| async move {
            let (_, id, _) = script.request().await;
            script.reply(102, id, &[0, 0, 0, 1, b'h']).await;
            let (_, id, _) = script.request().await;
            script.names(id, &[b".", b"..", b"fine", bad]).await;
            std::future::pending().await
        })
        .await;

        assert!(matches!(sftp.list("/").await, Err(Error::Peer { .. })), "{bad:?}");
    }
}

#[tokio::test]
async fn a_directory_that_never_ends_and_never_brings_anything_is_given_up() {
    let sftp = against(|mut script| async move {
        let (_, id, _) = script.request().await;
        script.reply(102, id, &[0, 0, 0, 1, b'h']).await;
        loop {
            let (_, id, _) = script.request().await;
            script.names(id, &[b"."]).await;
        }
    })
    .await;

    assert!(matches!(sftp.list("/").await, Err(Error::Peer { .. })));
}

#[tokio::test]
async fn a_directory_that_never_ends_and_goes_on_bringing_names_is_given_up() {
    let sftp = against(|mut script| async move {
        let (_, id, _) = script.request().await;
        script.reply(102, id, &[0, 0, 0, 1, b'h']).await;
        loop {
            let (_, id, _) = script.request().await;
            script.names(id, &[b"one", b"other"]).await;
        }
    })
    .await;
    let mut dir = sftp.open_dir("/").await.unwrap();
    // As if it had brought almost as many as a directory may have.
    dir.entries = crate::limits::LIST_ENTRIES_MAX - 2;

    assert_eq!(dir.next_batch().await.unwrap().map(|batch| batch.len()), Some(2));
    let error = dir.next_batch().await.unwrap_err();
    assert!(matches!(&error, Error::Peer { why } if why.contains("without end")), "{error}");
}

#[tokio::test]
async fn a_resolved_path_must_be_exactly_one_usable_name() {
    for names in [&[][..], &[b"a" as &[u8], b"b"], &[b""], &[b"a\0b"]] {
        let sftp = against(move |mut script| async move {
            let (_, id, _) = script.request().await;
            script.names(id, names).await;
            std::future::pending().await
        })
        .await;

        assert!(matches!(sftp.realpath("x").await, Err(Error::Peer { .. })), "{names:?}");
    }
}

#[tokio::test]
async fn a_dropped_request_leaves_the_channel_usable() {
    let sftp = against(|mut script| async move {
        let (_, first, _) = script.request().await;
        let (_, second, _) = script.request().await;
        // In the other order, the late one first seen by nobody.
        for id in [second, first] {
            script.reply(105, id, &[0; 4]).await;
        }
        let (_, third, _) = script.request().await;
        script.reply(105, third, &[0; 4]).await;
        std::future::pending().await
    })
    .await;
    let mut dropped = Box::pin(sftp.stat("/first"));
    assert!(poll_once(dropped.as_mut()).await.is_none());
    drop(dropped);

    assert!(sftp.stat("/second").await.is_ok());
    assert!(sftp.stat("/third").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_was_opened_for_nobody_is_closed() {
    let (gone, is_gone) = oneshot::channel::<()>();
    let (saw, sees) = oneshot::channel();
    let sftp = against(|mut script| async move {
        let (_, id, _) = script.request().await;
        is_gone.await.unwrap();
        script.reply(102, id, &[0, 0, 0, 2, b'h', b'7']).await;
        let (wire_type, _, fields) = script.request().await;
        saw.send((wire_type, fields)).unwrap();
    })
    .await;
    let mut open = Box::pin(sftp.open("/f", OpenOptions::new().read(true)));
    assert!(poll_once(open.as_mut()).await.is_none());
    drop(open);
    gone.send(()).unwrap();

    let close = timeout(SFTP_SILENCE_MAX, sees).await.expect("a request").unwrap();
    assert_eq!(close, (4, b"\0\0\0\x02h7".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_file_is_closed_even_if_the_queue_is_full() {
    let (saw, sees) = oneshot::channel();
    let sftp = against(|mut script| async move {
        let (_, id, _) = script.request().await;
        script.reply(102, id, &[0, 0, 0, 1, b'h']).await;
        saw.send(script.request().await.0).unwrap();
    })
    .await;
    let file = sftp.open("/f", OpenOptions::new().read(true)).await.unwrap();
    let full = sftp.inner.calls.reserve_many(crate::limits::SFTP_QUEUE_LEN).await.unwrap();

    drop(file);
    drop(full);

    assert_eq!(timeout(SFTP_SILENCE_MAX, sees).await.expect("a request").unwrap(), 4);
}

async fn poll_once<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_a_closed_one_at_once() {
    let silent = against(|script| async move {
        let _open = script;
        std::future::pending().await
    })
    .await;
    let closed = against(|script| async move { drop(script) }).await;

    assert!(
        matches!(silent.stat("/x").await, Err(Error::Interrupted { why, .. }) if why.contains("120"))
    );
    assert!(matches!(closed.stat("/x").await, Err(Error::Interrupted { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_server_may_take_its_time_to_store_a_file() {
    let sftp = against(|mut script| async move {
        let (_, id, _) = script.request().await;
        script.reply(102, id, &[0, 0, 0, 1, b'h']).await;
        let (_, id, _) = script.request().await;
        tokio::time::sleep(10 * SFTP_SILENCE_MAX).await;
        script.status(id, 0).await;
        std::future::pending().await
    })
    .await;
    let file = sftp.open("/f", OpenOptions::new().write(true)).await.unwrap();

    file.close().await.unwrap();

    // Afterwards patience is short again.
    let began = tokio::time::Instant::now();
    assert!(matches!(sftp.stat("/x").await, Err(Error::Interrupted { .. })));
    assert!(began.elapsed() < 2 * SFTP_SILENCE_MAX);
}

#[tokio::test]
async fn lengths_beyond_the_bound_end_the_channel_without_being_allocated() {
    for len in [0, 4, REPLY_PACKET_LEN_MAX as u32 + 1, u32::MAX] {
        let sftp = against(move |mut script| async move {
            script.request().await;
            script.io.write_all(&len.to_be_bytes()).await.unwrap();
            script.io.write_all(&[0; 16]).await.unwrap();
            std::future::pending().await
        })
        .await;

        assert!(matches!(sftp.stat("/x").await, Err(Error::Peer { .. })), "{len}");
    }
}

/// A `ranges@asyncssh.com` reply.
fn ranges_reply(ranges: &[(u64, u64)], at_end: bool) -> Vec<u8> {
    let (mut wire, mut data) = (Vec::new(), Vec::new());
    RangesReply::build(ranges.iter().copied(), at_end, &mut wire).encode(&mut data);
    data
}

#[tokio::test]
async fn data_ranges_stay_within_the_question_and_always_lead_to_an_end() {
    let replies = [
        Some(ranges_reply(&[(0, 20), (30, 100)], false)),
        Some(ranges_reply(&[(200, 5)], false)),
        None,
        Some(ranges_reply(&[(30, 5), (10, 5)], true)),
    ];
    let sftp = against_offering(&[("ranges@asyncssh.com", "1")], |mut script| async move {
        let (_, id, _) = script.request().await;
        script.reply(102, id, b"\0\0\0\x01h").await;
        for reply in replies {
            let (_, id, _) = script.request().await;
            match reply {
                Some(data) => script.reply(201, id, &data).await,
                None => script.status(id, 1).await,
            }
        }
        std::future::pending().await
    })
    .await;
    let file = sftp.open("/f", OpenOptions::new().read(true)).await.unwrap();

    let clipped = file.data_ranges(10..50).await.unwrap();
    assert_eq!((&clipped.ranges[..], clipped.at_end), (&[10..20, 30..50][..], false));
    let outside = file.data_ranges(10..50).await.unwrap();
    assert_eq!((outside.ranges.len(), outside.at_end), (0, true), "no question for ever");
    let end_of_file = file.data_ranges(10..50).await.unwrap();
    assert_eq!((end_of_file.ranges.len(), end_of_file.at_end), (0, true));
    assert!(matches!(file.data_ranges(0..9).await, Err(Error::Peer { .. })), "out of order");
}

#[tokio::test]
async fn md5_hash_tells_a_digest_from_a_difference_and_from_nonsense() {
    let reply = |digest: &[u8]| {
        let mut data = Vec::new();
        Md5HashReply { digest }.encode(&mut data);
        data
    };
    let replies = [reply(&[7; 16]), reply(b""), reply(b"short"), b"\0\0\0\x03md5".to_vec()];
    let sftp = against_offering(&[("md5-hash", "1")], |mut script| async move {
        for data in replies {
            let (_, id, _) = script.request().await;
            script.reply(201, id, &data).await;
        }
        std::future::pending().await
    })
    .await;

    assert_eq!(sftp.md5_hash("/f", 0, 0, b"").await.unwrap(), Some([7; 16]));
    assert_eq!(sftp.md5_hash("/f", 0, 0, &[1; 16]).await.unwrap(), None);
    assert!(matches!(sftp.md5_hash("/f", 0, 0, b"").await, Err(Error::Peer { .. })));
    assert!(matches!(sftp.md5_hash("/f", 0, 0, b"").await, Err(Error::Peer { .. })));
    assert!(matches!(sftp.xattrs("/f").await, Err(Error::Unsupported { .. })));
}

/// Goal: a server that is known to answer whatever it is asked costs no round trip for its limits.
/// Method: it says VERSION only when it has the question.
#[tokio::test(start_paused = true)]
async fn limits_may_be_asked_for_before_version() {
    const LIMITS: &[u8] = b"limits@openssh.com";
    let (ours, mut io) = tokio::io::duplex(1 << 16);
    let options = SftpOptions::default();
    let (engine, handle) = Engine::new(options.silence_max);
    let asked = Questions::default().limits(&handle);
    tokio::spawn(over::run(ours, engine));
    let server = async {
        io.read_exact(&mut [0; 9]).await.unwrap();
        let mut question = vec![0; io.read_u32().await.unwrap() as usize];
        io.read_exact(&mut question).await.unwrap();
        assert_eq!((question[0], &question[9..]), (200, LIMITS));
        let mut version = vec![2, 0, 0, 0, 3];
        put_string(&mut version, LIMITS);
        put_string(&mut version, b"1");
        let mut answer = vec![201];
        answer.extend_from_slice(&question[1..5]);
        for number in [1 << 18, 100_000, 50_000, 7_u64] {
            answer.extend_from_slice(&number.to_be_bytes());
        }
        let mut out = Vec::new();
        put_string(&mut out, &version);
        put_string(&mut out, &answer);
        io.write_all(&out).await.unwrap();
    };

    let (sftp, ()) = tokio::join!(Sftp::start(handle, asked, &options), server);

    let limits = sftp.unwrap().inner.limits;
    assert_eq!((limits.read_len, limits.write_len, limits.open_handles), (100_000, 50_000, 7));
}

/// Goal: a call that has its place in the queue and is not in it yet, when the channel fails, hears of that.
/// Method: its place is taken, the engine fails on another thread, and only then the call comes.
#[test]
fn a_call_that_comes_while_the_channel_fails_is_answered() {
    let (mut engine, handle) = Engine::new(std::time::Duration::from_secs(60));
    let place = handle.calls.clone().try_reserve_owned().unwrap();
    let gone = Error::Interrupted { doing: "talk to the server", why: "it went".into() };
    let (reply_to, mut reply) = oneshot::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| engine.fail(&gone));
        while !handle.calls.is_closed() {
            std::thread::yield_now();
        }
        let request = Request::Stat(sterna_sftp_proto::messages::Stat { path: b"/f" });
        drop(place.send(call(request, ReplyTo::One(reply_to))));
    });

    assert!(
        matches!(reply.try_recv(), Ok(Err(Error::Interrupted { .. }))),
        "it would wait for ever"
    );
}
