//! An SFTP server on stdin and stdout that misbehaves as its argument says: `sshd` runs it as its
//! subsystem. It has `/f` with 300,000 bytes, `/t/f` with four, and nothing on disk.

use sterna_testkit::sftp::{Named, Odd, OddServer, Request, Tree};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let play = std::env::args().nth(1).unwrap_or_default();
    let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let honest = OddServer::new(Tree::new().file("/f", content).file("/t/f", "evil"));
    let listing = |name| vec![Named::file("f", 4), Named::file(name, 4)];
    let server = match play.as_str() {
        "honest" => honest,
        "noise" => honest.noise("Welcome to nas01!\nLast login: today\n"),
        "escape" => honest.on(Request::named("readdir"), Odd::Names(listing("../escaped"))),
        "absolute" => honest.on(Request::named("readdir"), Odd::Names(listing("/tmp/escaped"))),
        "size" => honest
            .on(Request::named("stat"), Odd::Size(600_000))
            .on(Request::named("fstat"), Odd::Size(600_000)),
        "end" => honest.on(Request::named("read").from(3), Odd::Status(1)),
        "short" => honest.on(Request::named("read"), Odd::Short(10_000)),
        "id" => honest.on(Request::named("read").nth(2), Odd::OtherId),
        "denied" => honest.on(Request::named("open"), Odd::BareStatus(3)),
        "cut" => honest.on(Request::named("open"), Odd::Cut),
        other => panic!("no play named {other:?}"),
    };
    server.serve(tokio::io::join(tokio::io::stdin(), tokio::io::stdout())).await;
}
