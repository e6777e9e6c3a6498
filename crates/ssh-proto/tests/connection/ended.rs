//! What is over stays over: answers of the application that come too late.

use std::time::Duration;

use crate::support::{auth_request, before_login, carry_to_server, poll, take_output};
use sterna_ssh_proto::{AuthAnswer, Deadline, Error, Reason};
use sterna_sshwire::put_string;
use sterna_testkit::{Pair, PairConfig};

/// A server that has been asked about a password and has not answered.
fn asked_about_password() -> Pair {
    let mut pair = before_login(PairConfig::new(1));
    let mut request = auth_request("alice", "ssh-connection", "password");
    request.push(0);
    put_string(&mut request, b"correct horse");
    pair.client.connection.inject(&request, &mut pair.client.output);
    carry_to_server(&mut pair);
    let event = poll(&mut pair.server, pair.clock.now()).unwrap().unwrap();
    assert!(event.starts_with("AuthRequest"), "{event}");
    pair
}

#[test]
fn a_password_accepted_after_the_grace_time_logs_nobody_in() {
    let mut pair = asked_about_password();
    let late = pair.clock.now() + Duration::from_secs(3600);
    let server = &mut pair.server;
    let timeout = server.connection.handle_timeout(late, &mut server.output);
    assert_eq!(timeout, Err(Error::TimedOut(Deadline::Login)));
    take_output(server);

    server.connection.answer_auth(AuthAnswer::Accept, late, &mut server.output).unwrap();

    assert!(server.connection.is_ended() && !server.connection.is_open());
    assert_eq!(poll(server, late), Ok(None));
    assert!(server.output.is_empty(), "nothing follows DISCONNECT");
}

#[test]
fn a_password_accepted_after_our_disconnect_logs_nobody_in() {
    let mut pair = asked_about_password();
    let (now, server) = (pair.clock.now(), &mut pair.server);
    server.connection.disconnect(Reason::ByApplication, "bye", &mut server.output);
    take_output(server);

    server.connection.answer_auth(AuthAnswer::Accept, now, &mut server.output).unwrap();

    assert!(server.connection.is_ended() && server.output.is_empty());
}

#[test]
fn a_signature_after_the_end_sends_nothing() {
    let mut pair = Pair::new(PairConfig::new(2));
    let now = pair.clock.now();
    let hello = take_output(&mut pair.server);
    pair.client.feed(&hello);
    pair.client.run(now);
    carry_to_server(&mut pair);
    let event = poll(&mut pair.server, now).unwrap().unwrap();
    assert!(event.starts_with("Sign"), "{event}");
    let server = &mut pair.server;
    server.connection.disconnect(Reason::ByApplication, "bye", &mut server.output);
    take_output(server);

    server.connection.answer_signature(Some(vec![0; 80]), now, &mut server.output).unwrap();

    assert!(server.connection.is_ended() && server.output.is_empty());
}

#[test]
fn trust_in_a_host_after_the_end_sends_nothing() {
    let mut pair = Pair::new(PairConfig::new(3));
    let now = pair.clock.now();
    for _ in 0..2 {
        let bytes = take_output(&mut pair.server);
        pair.client.feed(&bytes);
        let event = poll(&mut pair.client, now).unwrap();
        if let Some(event) = event {
            assert!(event.starts_with("HostKey"), "{event}");
            break;
        }
        carry_to_server(&mut pair);
        pair.server.run(now);
    }
    let client = &mut pair.client;
    client.connection.disconnect(Reason::ByApplication, "bye", &mut client.output);
    take_output(client);

    client.connection.answer_host_key(true, now, &mut client.output).unwrap();

    assert!(client.connection.is_ended() && client.output.is_empty());
}
