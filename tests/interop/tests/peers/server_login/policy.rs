//! Who may come at all: enabled, from here, at this time. And what a refused client is told.

use sterna_interop::steps::{Steps, check};
use sterna_testkit::openssh::{KeyKind, PASSWORD};

use crate::server_login::openssh::{Attempt, Expect, all_told_the_same, by_password};
use crate::server_login::scene::{Scene, authorized, now, password};

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The name of the day that is so many days away from today, in UTC.
fn day(away: u64) -> &'static str {
    // 1970 began on a Thursday.
    DAYS[((now() / 86_400 + 4 + away) % 7) as usize]
}

#[test]
fn policy_keeps_out_and_the_client_is_told_what_a_wrong_password_is_told() {
    let three_days = format!("['{}', '{}', '{}']", day(6), day(0), day(1));
    let not_today = format!("['{}']", day(3));
    let rows = [
        ("enabled", "enabled = true".to_owned(), Expect::In),
        ("disabled", "enabled = false".to_owned(), Expect::Refused("user.enabled")),
        ("from-here", "allow_from = ['127.0.0.0/8']".to_owned(), Expect::In),
        (
            "from-elsewhere",
            "allow_from = ['192.0.2.0/24']".to_owned(),
            Expect::Refused("user.allow_from"),
        ),
        (
            "not-from-here",
            "allow_from = ['!127.0.0.1', '127.0.0.0/8']".to_owned(),
            Expect::Refused("user.allow_from"),
        ),
        // Three days, so that midnight may pass.
        ("in-hours", format!("hours = {three_days}\ntime_zone = 'UTC'"), Expect::In),
        (
            "out-of-hours",
            format!("hours = {not_today}\ntime_zone = 'UTC'"),
            Expect::Refused("user.hours"),
        ),
        ("not-expired", "expires = 2090-01-01".to_owned(), Expect::In),
        ("expired", "expires = 2020-01-01".to_owned(), Expect::Refused("user.expires")),
        ("of-group", "groups = ['closed']".to_owned(), Expect::Refused("user.enabled")),
        ("over-group", "groups = ['closed']\nenabled = true".to_owned(), Expect::In),
        ("reads", "read_only = true".to_owned(), Expect::ReadOnly),
    ];
    let Some(mut scene) = Scene::new() else { return };
    scene.table("[[group]]\nname = 'closed'\nenabled = false");
    let key = scene.key("key", KeyKind::Ed25519);
    let keys = authorized(std::slice::from_ref(&key.public_line));
    let methods = "methods = ['publickey', 'password', 'keyboard-interactive']";
    for (user, lines, _) in &rows {
        scene.user(user, &format!("{}\n{keys}\n{methods}\n{lines}", password()));
    }
    let served = scene.start();
    let mut steps = Steps::new("policy");

    let mut told = Vec::new();
    for (user, lines, expect) in &rows {
        let by_key = Attempt::of(&served, user).by("publickey").key(&key.private);
        steps.run(format!("{user}, by key: {lines}"), || expect.of(&by_key));
        let by_keyboard = Attempt::of(&served, user).by("keyboard-interactive");
        let by_keyboard = by_keyboard.answer("Password: ", PASSWORD);
        steps.run(format!("{user}, by keyboard"), || expect.of(&by_keyboard));
        steps.run(format!("{user}, by password"), || {
            let attempt = by_password(&served, user);
            match expect {
                Expect::Refused(rule) => told.push(attempt.refusal(rule)?),
                Expect::In | Expect::ReadOnly => expect.of(&attempt)?,
            }
            Ok(())
        });
    }
    steps.run("wrong password", || {
        told.push(Attempt::of(&served, "enabled").password("wrong horse").refusal("password")?);
        Ok(())
    });
    steps.run("nobody of that name", || {
        told.push(by_password(&served, "stranger").refusal("user")?);
        Ok(())
    });
    steps.run("all were told the same", || {
        check(told.len() == 8, || format!("{told:#?}"))?;
        all_told_the_same(&told)
    });

    steps.finish(|| served.log());
}
