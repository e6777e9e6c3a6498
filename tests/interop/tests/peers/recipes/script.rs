//! From a recipe's commands to a script that ends at the first line that does not do what it says.

use std::fmt::Write as _;

/// Functions that the lines of a script use. A server says on its standard output when it is ready; the
/// script goes on then, and takes its servers with it when it ends.
const PRELUDE: &str = r#"
set -eu
servers=
trap 'kill $servers ${SSH_AGENT_PID-} 2> /dev/null || true; wait' EXIT
wrong() { echo "wrong: $1" >&2; exit 1; }
until_listening() {
    while read -r line; do
        case $line in "listening on "*) return 0 ;; esac
    done
    return 1
}
"#;

/// Programs that a script may leave running: each has a pipe with a number of one digit.
const SERVERS_MAX: usize = 6;

/// What a line must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Demand<'l> {
    Exit(u8),
    Prints(&'l str),
    /// Runs until the script ends.
    Listens,
    /// A line of something longer, or a command that must succeed.
    None,
}

/// A line's command and what its comment demands.
pub fn demand(line: &str) -> (&str, Demand<'_>) {
    if let Some((command, text)) = line.rsplit_once("# prints ") {
        return (command.trim(), Demand::Prints(text.trim()));
    }
    if let Some((command, status)) = line.rsplit_once("# exit ") {
        let status = status.trim().parse().expect("an exit status behind `# exit`");
        return (command.trim(), Demand::Exit(status));
    }
    match line.strip_suffix(" &") {
        Some(command) => (command, Demand::Listens),
        None => (line, Demand::None),
    }
}

/// The script for `commands`.
///
/// # Panics
/// If it leaves too many programs running.
pub fn script(commands: &str) -> String {
    let mut script = PRELUDE.to_owned();
    let mut servers = 0;
    for line in commands.replace("\\\n", " ").lines() {
        let (command, demand) = demand(line);
        let wrong = format!("wrong {}", quoted(line));
        let _ = match demand {
            Demand::Exit(status) => {
                writeln!(
                    script,
                    "status=0\n{command} || status=$?\n[ $status -eq {status} ] || {wrong}"
                )
            }
            Demand::Prints(text) => writeln!(
                script,
                "printed=$({command}) || {wrong}\n\
                 case $printed in *{}*) ;; *) echo \"$printed\" >&2; {wrong} ;; esac",
                quoted(text)
            ),
            Demand::Listens => {
                servers += 1;
                assert!(servers <= SERVERS_MAX, "too many servers");
                let (pipe, number) = (format!("$HOME/.server{servers}"), servers + 2);
                writeln!(
                    script,
                    "mkfifo \"{pipe}\"\n{command} > \"{pipe}\" &\nservers=\"$servers $!\"\n\
                     exec {number}< \"{pipe}\"\nuntil_listening <&{number} || {wrong}"
                )
            }
            // The shell itself ends a script whose commands fail.
            Demand::None => writeln!(script, "{command}"),
        };
    }
    script
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_script_ends_where_a_line_does_not_do_what_it_says() {
        for (commands, ends_well) in [
            ("true", true),
            ("false\ntrue", false),
            ("exit_5() { return 5; }\nexit_5 # exit 5", true),
            ("true # exit 5\ntrue", false),
            ("false # exit 5\ntrue", false),
            ("echo 'a \"b\" c' # prints \"b\"", true),
            ("echo a # prints b\ntrue", false),
            ("{ echo b; false; } # prints b\ntrue", false),
            ("echo a \\\n b # prints a b", true),
            ("echo listening on 1:2 &\ntrue", true),
            ("echo not listening &\ntrue", false),
        ] {
            let home = tempfile::tempdir().unwrap();
            let mut sh = Command::new("sh");
            let done =
                sh.arg("-c").arg(script(commands)).env("HOME", home.path()).output().unwrap();
            assert_eq!(done.status.success(), ends_well, "{commands}");
        }
    }
}
