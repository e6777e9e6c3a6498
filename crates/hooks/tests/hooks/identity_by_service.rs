//! External identity over HTTP: the request, the answers, and every way to fail.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use sterna_hooks::limits::{ANSWER_LEN_MAX, CONCURRENT_MAX};
use sterna_hooks::{Hook, HookError, Transport};
use sterna_identity::Credential;
use sterna_identity::hook::ExternalIdentity;

use crate::support::{
    IMPATIENCE, PASSWORD, Server, ask_password, attempt, identity, logged, respond, said, service,
};

const ALLOW: &str = r#"{"result":"allow","user":{"root":"/"}}"#;

#[test]
fn answers_mean_deny_allow_or_judge() {
    for (answer, expected) in [
        (r#"{"result":"deny"}"#, "deny"),
        (ALLOW, "allow alice /"),
        (r#"{"result":"judge","user":{"root":"/srv"}}"#, "judge alice /srv"),
    ] {
        let server = Server::saying(answer);

        assert_eq!(ask_password(&service(&server.url)), expected);

        let requests = server.taken();
        assert_eq!(requests.len(), 1);
        let head = requests[0].head.to_ascii_lowercase();
        assert!(head.starts_with("post /login http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
        assert_eq!(
            requests[0].body,
            json!({
                "version": 1,
                "user": "alice",
                "method": "password",
                "password": PASSWORD,
                "source": "192.0.2.7",
                "client_version": "SSH-2.0-Test_1",
            })
        );
    }
}

#[test]
fn what_is_no_answer_lets_nobody_in() {
    for answer in ["", "<html>", r#"{"result":"allow"}"#, r#"{"result":"deny","why":"x"}"#] {
        let server = Server::saying(answer);
        let said = ask_password(&service(&server.url));
        assert!(said.starts_with("error: the answer does not read: "), "{answer}: {said}");
    }
}

#[test]
fn every_status_but_200_is_a_failure() {
    for status in ["201 Created", "204 No Content", "401 Unauthorized", "500 Oops"] {
        let server = Server::start(move |_, stream| respond(stream, status, ALLOW));
        let said = ask_password(&service(&server.url));
        assert!(said.starts_with("error: ") && said.contains(&status[..3]), "{status}: {said}");
    }
}

/// Goal: the password goes nowhere but to the address in the settings.
#[test]
fn a_redirect_is_not_followed() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let elsewhere = Server::saying(ALLOW);
        let location = elsewhere.url.clone();
        let server = Server::start(move |_, stream| {
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            );
        });

        let said = ask_password(&service(&server.url));

        assert!(said.starts_with("error: ") && said.contains(&status[..3]), "{status}: {said}");
        assert_eq!(elsewhere.taken().len(), 0);
    }
}

#[test]
fn an_answer_has_an_end() {
    let huge = |padding: usize| {
        Server::start(move |_, stream| {
            respond(stream, "200 OK", &format!("{ALLOW}{}", " ".repeat(padding)));
        })
    };
    let endless = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b' '; 4096]).is_ok() {}
    });
    let too_long = format!("error: the answer does not read: longer than {ANSWER_LEN_MAX} bytes");

    assert_eq!(ask_password(&service(&huge(ANSWER_LEN_MAX - ALLOW.len()).url)), "allow alice /");
    assert_eq!(ask_password(&service(&huge(ANSWER_LEN_MAX - ALLOW.len() + 1).url)), too_long);
    assert_eq!(ask_password(&service(&endless.url)), too_long);

    let headers = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-More: and more\r\n").is_ok() {}
    });
    assert!(ask_password(&service(&headers.url)).starts_with("error: "));
}

/// Goal: nobody waits longer than the time-out, wherever the service stops.
#[test]
fn time_is_over_for_a_service_that_hangs() {
    let beginnings = ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"];
    for beginning in beginnings {
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let server = Server::start(move |_, stream| {
            let _ = stream.write_all(beginning.as_bytes());
            let _ = stream.flush();
            let _ = wait.recv();
        });
        let mut hook = service(&server.url);
        hook.timeout = IMPATIENCE;

        assert_eq!(ask_password(&hook), "error: no answer in time", "{beginning:?}");
        drop(stop);
    }
}

#[test]
fn a_service_that_is_not_there_lets_nobody_in() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();

    let said = ask_password(&service(&format!("http://127.0.0.1:{port}/")));

    assert!(said.starts_with(&format!("error: http://127.0.0.1:{port}/: ")), "{said}");
}

#[test]
fn a_token_is_read_for_each_question() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let write = |text: &str, mode| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let server = Server::saying(ALLOW);
    let mut hook = service(&server.url);
    let Transport::Http { token_file, .. } = &mut hook.transport else { unreachable!() };
    *token_file = Some(file.clone());
    assert!(matches!(hook.check(), Err(HookError::Failed(_))));
    write("first\n", 0o600);
    let identity = identity(&hook);
    let ask = || said(identity.ask(&attempt("alice", Credential::Password(b"x"))));

    assert_eq!(hook.check(), Ok(()));
    assert_eq!(ask(), "allow alice /");
    write("second\n", 0o600);
    assert_eq!(ask(), "allow alice /");
    write("third\n", 0o644);
    assert!(ask().starts_with("error: "));
    assert!(matches!(hook.check(), Err(HookError::Untrusted { .. })));

    let heads: Vec<_> =
        server.taken().into_iter().map(|request| request.head.to_ascii_lowercase()).collect();
    assert_eq!(heads.len(), 2);
    assert!(heads[0].contains("\r\nauthorization: bearer first"), "{heads:?}");
    assert!(heads[1].contains("\r\nauthorization: bearer second"), "{heads:?}");
}

#[test]
fn a_positive_answer_is_kept() {
    let server = Server::saying(ALLOW);
    let mut hook = service(&server.url);
    hook.cache = Duration::from_secs(60);
    let identity = identity(&hook);
    let ask =
        |password: &[u8]| said(identity.ask(&attempt("alice", Credential::Password(password))));

    assert_eq!(ask(b"a"), "allow alice /");
    assert_eq!(ask(b"a"), "allow alice /");
    assert_eq!(ask(b"b"), "allow alice /");

    assert_eq!(server.taken().len(), 2);
}

#[test]
fn no_password_is_logged_or_shown() {
    let server = Server::start(|request, stream| {
        respond(stream, "200 OK", &request.body.to_string());
    });
    let identity = identity(&service(&server.url));
    let attempt = attempt("alice", Credential::Password(PASSWORD.as_bytes()));

    let (answer, log) = logged(|| identity.ask(&attempt));

    assert!(answer.is_err());
    let shown = format!("{answer:?} {log:?} {identity:?}");
    assert!(!shown.contains("horse"), "{shown}");
}

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect()
}

fn tls_server() -> Server {
    let certificate = CertificateDer::from_pem_file(data("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let wrap = move |stream| {
        let connection =
            rustls::ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
        Ok(rustls::StreamOwned::new(connection, stream))
    };
    Server::start_behind(wrap, "https", |_, stream| respond(stream, "200 OK", ALLOW))
}

/// Goal: a password reaches only a service whose certificate is trusted and names the host.
#[test]
fn https_needs_a_certificate_of_a_trusted_authority_for_this_host() {
    let server = tls_server();
    let with = |url: &str, ca: &str| {
        let mut hook = service(url);
        let Transport::Http { ca_file, .. } = &mut hook.transport else { unreachable!() };
        *ca_file = Some(data(ca));
        ask_password(&hook)
    };

    assert_eq!(with(&server.url, "ca.pem"), "allow alice /");
    assert_eq!(server.taken().len(), 1);

    let other_name = server.url.replace("127.0.0.1", "localhost");
    for (url, ca) in [(&server.url, "other-ca.pem"), (&other_name, "ca.pem")] {
        let said = with(url, ca);
        assert!(said.starts_with("error: ") && said.contains("certificate"), "{url} {ca}: {said}");
    }
    assert_eq!(server.taken().len(), 0);
}

/// Goal: as many questions at once as the bound says, no more, and the others wait for their turn.
/// Method: all threads ask at once; the service answers nobody before the bound is inside.
#[test]
fn questions_wait_for_their_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let inside = Arc::new((Barrier::new(CONCURRENT_MAX), AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = inside.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let counted = counted.clone();
            std::thread::spawn(move || {
                let (full, now, most) = &*counted;
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                let _ = stream.read(&mut [0; 4096]);
                full.wait();
                // Before the answer: who asked must not be seen inside when the next one comes.
                now.fetch_sub(1, SeqCst);
                respond(&mut stream, "200 OK", ALLOW);
            });
        }
    });
    let identity = identity(&service(&url));

    std::thread::scope(|scope| {
        for _ in 0..3 * CONCURRENT_MAX {
            scope.spawn(|| {
                let answer = identity.ask(&attempt("alice", Credential::Password(b"x")));
                assert_eq!(said(answer), "allow alice /");
            });
        }
    });

    assert_eq!(inside.2.load(SeqCst), CONCURRENT_MAX);
}

#[test]
fn the_check_finds_what_cannot_work() {
    for url in ["http://hooks.example.com/", "https://a:b@hooks.example.com/", "", "x"] {
        assert!(matches!(service(url).check(), Err(HookError::Setting(_))), "{url}");
    }
    let mut plain = service("http://hooks.example.com/");
    let Transport::Http { allow_plain_http, .. } = &mut plain.transport else { unreachable!() };
    *allow_plain_http = true;
    assert_eq!(plain.check(), Ok(()));
    let late = Hook { timeout: Duration::ZERO, ..plain };
    assert!(matches!(late.check(), Err(HookError::Setting(_))));
}
