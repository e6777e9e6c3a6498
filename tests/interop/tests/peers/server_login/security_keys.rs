//! Keys that must be touched, and that count: OpenSSH's client with an agent that plays the token.

use sterna_interop::steps::{Outcome, Steps};
use sterna_interop::token::{TOUCHED, Token, VERIFIED};

use crate::server_login::openssh::{Attempt, Expect};
use crate::server_login::scene::{Scene, Served};

fn by_token<'s>(served: &'s Served, user: &'s str, token: &Token) -> Attempt<'s> {
    Attempt::of(served, user)
        .by("publickey")
        .option("IdentitiesOnly=no")
        .option(format!("IdentityAgent={}", token.socket.display()))
}

#[test]
fn a_security_key_lets_in_only_used_as_its_line_demands() {
    let rows = [
        ("plain", TOUCHED, Expect::In),
        ("plain", 0, Expect::Refused("authorized_keys.touch")),
        ("plain", VERIFIED, Expect::Refused("authorized_keys.touch")),
        ("untouched", 0, Expect::In),
        ("verified", TOUCHED | VERIFIED, Expect::In),
        ("verified", TOUCHED, Expect::Refused("authorized_keys.verify-required")),
        ("stranger", TOUCHED, Expect::Refused("authorized_keys")),
    ];
    for kind in Token::KINDS {
        let Some(mut scene) = Scene::new() else { return };
        let (Some(token), Some(other)) = (Token::start(kind), Token::start(kind)) else { return };
        let line = &token.public_line;
        for (user, keys) in [
            ("plain", line.clone()),
            ("untouched", format!("no-touch-required {line}")),
            ("verified", format!("verify-required {line}")),
            ("stranger", other.public_line.clone()),
        ] {
            scene.write(&format!("{user}.keys"), &format!("{keys}\n"));
            scene.user(user, &format!("authorized_keys_file = '{user}.keys'"));
        }
        let served = scene.start();
        let mut steps = Steps::new(format!("security keys, sk-{}", kind.name()));

        for (counter, (user, flags, expect)) in (1..).zip(rows) {
            token.used(flags, counter);
            steps.run(format!("{user}, used with flags {flags}"), || {
                expect.of(&by_token(&served, user, &token))
            });
        }
        steps.run("flags that the signature was not made with", || {
            token.used_but_claims(0, 50, TOUCHED);
            by_token(&served, "plain", &token).is_refused("signature")
        });

        steps.finish(|| served.log());
    }
}

/// Whoever copies a security key has a counter that falls behind the other's.
#[test]
fn a_counter_that_does_not_go_forward_keeps_out_also_over_a_restart() {
    for kind in Token::KINDS {
        let Some(mut scene) = Scene::new() else { return };
        let Some(token) = Token::start(kind) else { return };
        scene.user(
            "tern",
            &crate::server_login::scene::authorized(std::slice::from_ref(&token.public_line)),
        );
        scene.user(
            "other",
            &crate::server_login::scene::authorized(std::slice::from_ref(&token.public_line)),
        );
        let served = scene.start();
        let mut steps = Steps::new(format!("counters, sk-{}", kind.name()));
        let at = |served: &Served, user: &str, counter: u32, expect: Expect| -> Outcome {
            token.used(TOUCHED, counter);
            expect.of(&by_token(served, user, &token))
        };
        let went_back = Expect::Refused("key.counter");

        steps.run("the first", || at(&served, "tern", 7, Expect::In));
        steps.run("forward", || at(&served, "tern", 8, Expect::In));
        steps.run("the same", || at(&served, "tern", 8, went_back));
        steps.run("back", || at(&served, "tern", 7, went_back));
        steps.run("back, for another user with the key", || at(&served, "other", 7, went_back));
        drop(served);
        let served = scene.start();
        steps.run("back, after a restart", || at(&served, "tern", 8, went_back));
        steps.run("forward, after a restart", || at(&served, "tern", 9, Expect::In));

        steps.finish(|| served.log());
    }
}
