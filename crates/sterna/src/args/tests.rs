//! Checks of the command line as a whole.

use clap::{CommandFactory, Parser};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_declarations_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_in_its_help() {
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();

        assert!(help.contains("Example"), "{}", command.get_name());
    }
}

#[test]
fn openssh_options_mean_the_same_on_every_remote_command() {
    for line in [
        "sterna get -P 2022 -i a -i b -F c -o A=b -o C=d --password-file p -v -q -r h:x .",
        "sterna put -P 2022 -i a -p h x h:y",
        "sterna ls -P 1 -l -a h:x h:y",
        "sterna stat -P 1 --json h:x",
        "sterna cat -P 1 h:x",
        "sterna mkdir -p -P 1 h:x",
        "sterna rm -rf -P 1 h:x",
        "sterna rmdir -P 1 h:x",
        "sterna mv -P 1 h:x h:y",
        "sterna cp -P 1 h:x h:y",
        "sterna ln -s -P 1 x h:y",
        "sterna chmod -P 1 u+x h:y",
        "sterna chmod -w h:y",
        "sterna df -h -P 1 h:",
        "sterna sum -a md5 -P 1 h:x",
        "sterna sftp -b - -P 1 -oStrictHostKeyChecking=no -R 64 -B 32768 u@h:x",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_tried() {
    for line in [
        "sterna",
        "sterna nonsense",
        "sterna ls",
        "sterna ls local-file",
        "sterna get h:x",
        "sterna ls -P 0 h:x",
        "sterna ls -P 65536 h:x",
        "sterna chmod 999 h:x",
        "sterna get --verify=perhaps h:x .",
        "sterna serve --config x.toml dir",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn sftp_server_takes_the_flags_that_stand_in_sshd_configurations() {
    for line in [
        "sterna sftp-server",
        "sterna sftp-server -R -d /srv -u 027",
        "sterna sftp-server -e -f AUTHPRIV -l INFO",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}
