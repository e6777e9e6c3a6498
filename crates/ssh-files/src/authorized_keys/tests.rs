//! authorized_keys: options kept with their values, options refused with their reasons.

use proptest::prelude::*;
use sterna_ssh_crypto::PrivateKey;

use super::*;

fn key_text(seed: u8) -> String {
    PrivateKey::from_ed25519_seed(&[seed; 32]).unwrap().public().to_openssh("")
}

fn parse(options: &str) -> Result<AuthorizedKey, LineError> {
    format!("{options}{} a comment", key_text(1)).parse()
}

fn options(text: &str) -> KeyOptions {
    parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).options
}

#[test]
fn flags_about_other_things_than_files_change_nothing() {
    let plain = parse("").unwrap();
    assert_eq!((plain.comment.as_str(), plain.line), ("a comment", 0));
    assert_eq!(plain.options, KeyOptions::default());
    for options in [
        "pty ",
        "No-PTY,no-X11-forwarding\t ",
        "permitopen=\"host:1, \\\"quoted\\\" ssh-ed25519 \",permitlisten=\"8080\",user-rc ",
    ] {
        assert_eq!(parse(options).as_ref(), Ok(&plain), "{options}");
    }
}

#[test]
fn options_that_narrow_a_key_are_kept_with_their_values() {
    let default = KeyOptions::default;
    assert_eq!(options("restrict,pty "), KeyOptions { restrict: true, ..default() });
    assert_eq!(options("verify-required "), KeyOptions { verify_required: true, ..default() });
    assert_eq!(options("No-Touch-Required "), KeyOptions { no_touch_required: true, ..default() });
    assert_eq!(options("verify-required,no-verify-required "), default());
    assert_eq!(options("no-touch-required,touch-required "), default());
    assert_eq!(options("cert-authority "), KeyOptions { cert_authority: true, ..default() });
    let from = Some("10.0.0.0/8,!10.1.*,*.example.org".parse().unwrap());
    assert_eq!(
        options("FROM=\"10.0.0.0/8,!10.1.*,*.example.org\" "),
        KeyOptions { from, ..default() }
    );
    let expiry_time = Some(1_700_000_000);
    assert_eq!(
        options("expiry-time=\"20231114221320Z\" "),
        KeyOptions { expiry_time, ..default() }
    );
}

#[test]
fn a_command_keeps_its_blanks_commas_and_backslashes() {
    for (text, command) in [
        (r#"command="internal-sftp -R" "#, r"internal-sftp -R"),
        (r#"restrict,command="a \"b c\", d\n \\x" "#, r#"a "b c", d\n \\x"#),
        (r#"command="" "#, ""),
    ] {
        assert_eq!(options(text).command.unwrap(), command.as_bytes(), "{text}");
    }
    let line = [b"command=\"\xff\xfe\" ", key_text(1).as_bytes()].concat();
    assert_eq!(parse_authorized_keys(&line).0[0].options.command, Some(vec![0xff, 0xfe]));
}

#[test]
fn principals_are_whole_names_and_need_an_authority() {
    let principals = |text| options(text).principals;
    let names = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    assert_eq!(principals("cert-authority,principals=\"alice,ops\" "), names(&["alice", "ops"]));
    assert_eq!(principals("principals=\"alice\",cert-authority "), names(&["alice"]));
    assert_eq!(principals("cert-authority,principals=\"\" "), names(&[]));
    assert_eq!(principals("cert-authority "), None);
    assert_eq!(parse("principals=\"alice\" "), Err(LineError::PrincipalsWithoutAuthority));
}

#[test]
fn a_key_is_good_up_to_its_last_second() {
    let options = options("expiry-time=\"20231114221320Z\",expiry-time=\"20300101\" ");
    assert!(!options.is_expired_at(1_700_000_000));
    assert!(options.is_expired_at(1_700_000_001));
    assert!(!KeyOptions::default().is_expired_at(u64::MAX));
}

#[test]
fn what_cannot_be_enforced_or_is_unknown_refuses_the_line_with_the_reason() {
    let unknown = |name: &str| LineError::UnknownOption(name.into());
    for (options, why) in [
        ("environment=\"A=b\" ", LineError::NotEnforced("environment")),
        ("restrict,Tunnel=\"0\" ", LineError::NotEnforced("tunnel")),
        ("read-only ", unknown("read-only")),
        ("restricted ", unknown("restricted")),
        ("no-restrict ", unknown("no-restrict")),
        // With a value too many, or without one.
        ("restrict=\"yes\" ", unknown("restrict")),
        ("from ", unknown("from")),
        ("command ", unknown("command")),
        ("from=\"a\",FROM=\"b\" ", LineError::Twice("from")),
        ("command=\"a\",command=\"a\" ", LineError::Twice("command")),
        ("cert-authority,principals=\"a\",principals=\"b\" ", LineError::Twice("principals")),
        (
            "from=\"10.0.0.1/8\" ",
            LineError::From(AddressError::BitsBeyondMask("10.0.0.1/8".into())),
        ),
        ("from=\"\" ", LineError::From(AddressError::Empty)),
        ("expiry-time=\"soon\" ", LineError::ExpiryTime("soon".into())),
    ] {
        assert_eq!(parse(options), Err(why), "{options}");
    }
}

#[test]
fn broken_options_refuse_the_line() {
    for options in [
        "permitopen=\"never ends ",
        "command=\"ends in a quote that is none\\\" ",
        "permitopen=unquoted ",
        "restrict, ",
        ",restrict ",
        "permitopen=\"a\"pty ",
        "=\"a\" ",
    ] {
        assert_eq!(parse(options), Err(LineError::Options), "{options}");
    }
    assert_eq!("restrict".parse::<AuthorizedKey>(), Err(LineError::Options));
    assert!("restrict ".parse::<AuthorizedKey>().is_err());
    assert!(matches!("ssh-ed25519 AAAA".parse::<AuthorizedKey>(), Err(LineError::Key(_))));
}

#[test]
fn a_bad_line_costs_only_itself_and_is_named() {
    let (one, two) = (key_text(1), key_text(2));
    let file = format!("# keys\n\n{one}\r\ntunnel=\"1\" {one}\n  {one} twice\nrubbish\n{two}");

    let (keys, refused) = parse_authorized_keys(file.as_bytes());

    let lines: Vec<_> = keys.iter().map(|key| (key.line, key.key.to_openssh(""))).collect();
    assert_eq!(lines, [(3, one), (7, two)]);
    let lines: Vec<usize> = refused.iter().map(|refused| refused.line).collect();
    assert_eq!(lines, [4, 6]);
    assert_eq!(refused[0].why, LineError::NotEnforced("tunnel"));
}

#[test]
fn lines_of_one_key_stay_apart_in_their_order_if_options_differ() {
    let one = key_text(1);
    let file = format!("from=\"10.0.0.1\" {one}\nfrom=\"10.0.0.1\" {one} again\nrestrict {one}\n");

    let (keys, refused) = parse_authorized_keys(file.as_bytes());

    assert_eq!(keys.iter().map(|key| key.line).collect::<Vec<_>>(), [1, 3]);
    assert!(keys[0].options.from.is_some() && keys[1].options.from.is_none());
    assert!(refused.is_empty());
}

#[test]
fn long_lines_and_files_end() {
    let long = format!("{} {}", key_text(1), "x".repeat(AUTHORIZED_KEYS_LINE_LEN_MAX));
    assert_eq!(long.parse::<AuthorizedKey>(), Err(LineError::TooLong));
    let (_, refused) = parse_authorized_keys(&vec![b'\n'; AUTHORIZED_KEYS_LEN_MAX + 2]);
    assert_eq!(refused.last().unwrap().why, LineError::TooMany);
    let mut many = String::new();
    for n in 0..=AUTHORIZED_KEYS_MAX {
        many += &format!("command=\"{n}\" {}\n", key_text(1));
    }
    let (keys, refused) = parse_authorized_keys(many.as_bytes());
    assert_eq!((keys.len(), refused.len()), (AUTHORIZED_KEYS_MAX, 1));
}

#[test]
fn a_file_as_people_write_it_is_read() {
    let (keys, refused) = parse_authorized_keys(include_bytes!("../../testdata/authorized_keys"));

    assert_eq!(refused.iter().map(|r| r.line).collect::<Vec<_>>(), [8]);
    let told: Vec<_> = keys.iter().map(|k| (k.line, k.comment.as_str())).collect();
    assert_eq!(told, [(2, "alice"), (3, "bob at work"), (5, "carol"), (6, "authority")]);
    assert_eq!(keys[1].options.command.as_deref(), Some(&b"internal-sftp -R -d \"/in box\""[..]));
    assert!(keys[3].options.cert_authority);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(file: Vec<u8>) {
        let (keys, refused) = parse_authorized_keys(&file);
        prop_assert!(keys.len() + refused.len() <= 1 + file.iter().filter(|b| **b == b'\n').count());
    }

    #[test]
    fn what_cannot_be_read_grants_nothing(options in "(restrict|from=|principals=|\"a\"|,|=|\\\\|\"| ){0,8}") {
        let line = format!("{options}{}", key_text(1));
        if let Ok(key) = line.parse::<AuthorizedKey>() {
            // Every option that narrows and was read is there.
            prop_assert_eq!(key.options.from.is_some(), line.contains("from="));
            prop_assert_eq!(key.options.restrict, line.contains("restrict"));
        }
    }
}
