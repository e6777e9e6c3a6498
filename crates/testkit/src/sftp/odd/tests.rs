//! Rules count what they are for, and answers wait where they must.

use sterna_sftp_proto::Reply;
use sterna_sftp_proto::client::{Client, Incoming};
use sterna_sftp_proto::messages::{Open, Read, Readdir, Stat};

use super::*;

/// Sends requests in one go, reads as many replies as there are until the server stops; each is its
/// request's number and what it is.
async fn ask(server: OddServer, requests: &[sterna_sftp_proto::Request<'_>]) -> Vec<String> {
    let mut io = server.start();
    let mut client: Client<usize> = Client::new();
    let mut out = Vec::new();
    client.encode_init(&mut out);
    for (n, request) in requests.iter().enumerate() {
        client.request(*request, n, &mut out).unwrap();
    }
    io.write_all(&out).await.unwrap();
    let (mut assembler, mut seen) = (FrameAssembler::for_client(), Vec::new());
    let mut input = vec![0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(1), io.read(&mut input)).await;
        let Ok(Ok(len @ 1..)) = read else { return seen };
        let mut bytes = &input[..len];
        while let Some(frame) = assembler.next(&mut bytes).unwrap() {
            match client.accept(&frame) {
                Ok(Incoming::Version(_)) => {}
                Ok(Incoming::Reply { token, reply, .. }) => seen.push(match reply {
                    Reply::Status(status) => format!("{token} {}", status.code.number()),
                    Reply::Attrs(attrs) => format!("{token} size {:?}", attrs.size),
                    Reply::Data(data) => format!("{token} {} bytes", data.data.len()),
                    _ => format!("{token} other"),
                }),
                Err(error) => seen.push(error.to_string()),
            }
        }
    }
}

fn stat(path: &str) -> sterna_sftp_proto::Request<'_> {
    Stat { path: path.as_bytes() }.into()
}

#[tokio::test(start_paused = true)]
async fn rules_count_their_own_requests_and_all_others_are_answered_rightly() {
    let server = OddServer::new(Tree::new().file("/f", "12345"))
        .on(Request::named("stat").path("/f").nth(2), Odd::Status(4))
        .on(Request::named("stat").path("/f").from(3), Odd::Size(99))
        .on(Request::named("readdir"), Odd::BareStatus(3));

    let readdir = Readdir { handle: b"" }.into();
    let seen = ask(server, &[stat("/f"), stat("/"), stat("/f"), stat("/f"), readdir]).await;

    assert_eq!(seen, ["0 size Some(5)", "1 size Some(4096)", "2 4", "3 size Some(99)", "4 3"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_shuffled_comes_in_another_order_and_what_is_too_much_is_refused() {
    let many: Vec<_> = (0..20).map(|_| stat("/")).collect();
    let shuffled = ask(OddServer::new(Tree::new()).shuffled(1), &many).await;
    let refused = ask(OddServer::new(Tree::new()).outstanding_max(18), &many).await;

    let order = |seen: &[String]| -> Vec<usize> {
        seen.iter().map(|s| s.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let mut sorted = order(&shuffled);
    sorted.sort_unstable();
    assert_ne!(order(&shuffled), sorted);
    assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    assert_eq!(refused[17..], ["17 size Some(4096)", "18 4", "19 4"]);
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_middle_of_an_answer_is_the_last_that_comes() {
    let server = OddServer::new(Tree::new().file("/f", vec![7; 1000]))
        .on(Request::named("read").nth(2), Odd::CutInside);
    let open = Open { path: b"/f", flags: OpenFlags::READ, attrs: Default::default() }.into();
    let read = || Read { handle: &[0, 0, 0, 1], offset: 0, len: 600 }.into();

    let seen = ask(server, &[open, read(), read(), stat("/")]).await;

    assert_eq!(seen, ["0 other", "1 600 bytes"]);
}
