//! Security keys that an agent holds, at an `sshd` that demands how they are used. A script plays the
//! token.

use std::fs;

use sterna_interop::server;
use sterna_interop::steps::Steps;
use sterna_interop::token::{TOUCHED, Token, VERIFIED};
use sterna_testkit::openssh::{KeyFile, KeyKind};

use crate::client_login::attempt::Attempt;

#[test]
fn a_security_key_in_an_agent_lets_in_only_used_as_the_server_demands() {
    for kind in Token::KINDS {
        let Some(token) = Token::start(kind) else { return };
        let server = server::openssh();
        let attempt = Attempt::at(&server).agent(&token.socket);
        let mut steps = Steps::new(format!("security keys, sk-{}", kind.name()));

        steps.run("not authorized", || {
            token.used(TOUCHED, 1);
            attempt.is_refused()
        });
        for (options, flags, is_in) in [
            ("", TOUCHED, true),
            ("", 0, false),
            ("no-touch-required ", 0, true),
            ("verify-required ", TOUCHED | VERIFIED, true),
            ("verify-required ", TOUCHED, false),
        ] {
            steps.run(format!("\"{options}\", used with flags {flags}"), || {
                let line = format!("{options}{}\n", token.public_line);
                fs::write(&server.login.key.public, line)?;
                token.used(flags, 2);
                if is_in { attempt.succeeds() } else { attempt.is_refused() }
            });
        }
        steps.run("flags that the signature was not made with", || {
            fs::write(&server.login.key.public, format!("{}\n", token.public_line))?;
            token.used_but_claims(0, 3, TOUCHED);
            attempt.is_refused()
        });
        steps.run("nobody touches it, and a file is good", || {
            let file = KeyFile::generate(&server.place.path().join("file"), KeyKind::Ed25519);
            let both = format!("{}\n{}\n", token.public_line, file.public_line);
            fs::write(&server.login.key.public, both)?;
            token.used(0, 4);
            attempt.clone().key(&file.private).succeeds()
        });

        steps.finish(|| server.process.log());
    }
}
