//! Lines as people and batch files write them.

use super::*;

fn command(line: &str) -> ShellCommand {
    parse(line.as_bytes()).unwrap().command.unwrap()
}

fn word(text: &str) -> Word {
    words::split(text.as_bytes()).unwrap().remove(0)
}

#[test]
fn prefixes_say_how_a_batch_treats_the_line() {
    let prefixes = |line: &str| {
        let line = parse(line.as_bytes()).unwrap();
        (line.prefixes.ignore_failure, line.prefixes.silent)
    };

    assert_eq!(prefixes("ls"), (false, false));
    assert_eq!(prefixes("  -ls"), (true, false));
    assert_eq!(prefixes("@ls"), (false, true));
    assert_eq!(prefixes("-@ls"), (true, true));
    assert_eq!(prefixes("@- ls"), (true, true));
}

#[test]
fn empty_lines_and_comments_do_nothing() {
    for line in ["", "   ", "# ls", "-", "@ # x"] {
        assert_eq!(parse(line.as_bytes()).unwrap().command, None, "{line}");
    }
}

#[test]
fn flags_may_be_joined_and_end_at_two_dashes() {
    let flags = LsFlags { long: true, reverse: true, by_time: true, ..LsFlags::default() };

    assert_eq!(command("ls -lrt dir"), ShellCommand::Ls { flags, path: Some(word("dir")) });
    assert_eq!(command("ls -l -r -t"), ShellCommand::Ls { flags, path: None });
    assert_eq!(command("rm -"), ShellCommand::Rm { path: word("-") });
    assert_eq!(
        command("ls -- -x"),
        ShellCommand::Ls { flags: LsFlags::default(), path: Some(word("-x")) }
    );
}

#[test]
fn transfers_know_resume_sync_preserve_and_recursion() {
    let all = TransferFlags { resume: true, sync: true, preserve: true, recursive: true };

    assert_eq!(
        command("get -afpR a b"),
        ShellCommand::Get { flags: all, remote: word("a"), local: Some(word("b")) }
    );
    assert_eq!(
        command("reput -fPr a"),
        ShellCommand::Put { flags: all, local: word("a"), remote: None }
    );
}

#[test]
fn synonyms_mean_the_same() {
    assert_eq!(command("mv a b"), command("rename a b"));
    assert_eq!(command("copy a b"), command("cp a b"));
    assert_eq!(command("symlink a b"), command("ln -s a b"));
    assert_eq!(command("exit"), command("QUIT"));
    assert_eq!(command("?"), command("help"));
}

#[test]
fn modes_are_octal_or_symbolic() {
    let chmod = |line| match command(line) {
        ShellCommand::Chmod { follow, mode, .. } => (follow, mode),
        other => panic!("{other:?}"),
    };

    assert_eq!(chmod("chmod 644 f"), (true, ModeChange::Octal(0o644)));
    assert_eq!(chmod("chmod -h 600 f"), (false, ModeChange::Octal(0o600)));
    assert_eq!(chmod("chmod -x f").1, ModeChange::parse("-x").unwrap());
}

#[test]
fn other_shells_get_their_line_untouched() {
    assert_eq!(
        command("!echo \"a  # b"),
        ShellCommand::Local { command: Some(b"echo \"a  # b".to_vec()) }
    );
    assert_eq!(command("!"), ShellCommand::Local { command: None });
    assert_eq!(command("lls -l 'a b'"), ShellCommand::Lls { arguments: b"-l 'a b'".to_vec() });
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_reason() {
    for (line, reason) in [
        ("frobnicate", "no such command"),
        ("get", "needs a remote path"),
        ("rename a", "needs an old and a new path"),
        ("rm a b", "one argument too many: b"),
        ("ls -z", "no flag -z"),
        ("chmod 9 f", "not a mode"),
        ("lumask 8", "not a mask"),
        ("chown alice f", "not a numeric user id"),
        ("get \"a", "a quote is not closed"),
    ] {
        let error = parse(line.as_bytes()).unwrap_err();
        assert!(error.contains(reason), "{line}: {error}");
    }
}
