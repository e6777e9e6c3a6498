//! A command line of a client to what it asks for, without a shell.
//!
//! Quotes and backslashes mean what they mean to `sh`, because clients quote file names for it. Any
//! other character that a shell would act on makes the line unknown, with one exception: `echo`
//! piped into a checksum, which old versions of rclone send to see whether it works.

use sterna_ssh_crypto::DigestAlgorithm;

use crate::command::Style;
use crate::limits::COMMAND_LEN_MAX;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Text for standard output.
    Print(Vec<u8>),
    /// `pwd`.
    PrintStartDir,
    /// Checksums of files; of `input`, or else standard input, if there are none.
    Checksum {
        algorithm: DigestAlgorithm,
        style: Style,
        files: Vec<Vec<u8>>,
        input: Option<Vec<u8>>,
    },
    /// The server's side of scp's old protocol.
    Scp,
    Unknown,
}

/// rclone asks this to learn what kind of shell it talks to; a Unix shell leaves the second half.
const SHELL_PROBE: &[u8] = b"echo ${ShellId}%ComSpec%";
const SHELL_PROBE_ANSWER: &[u8] = b"%ComSpec%\n";

pub(crate) fn parse(line: &[u8]) -> Parsed {
    if line.len() > COMMAND_LEN_MAX {
        return Parsed::Unknown;
    }
    if line == SHELL_PROBE {
        return Parsed::Print(SHELL_PROBE_ANSWER.to_vec());
    }
    let Some(words) = split(line) else { return Parsed::Unknown };
    let mut parts = words.split(|word| matches!(word, Word::Pipe));
    match (parts.next(), parts.next(), parts.next()) {
        (Some(only), None, None) => simple(only, None),
        (Some(echo), Some(then), None) => match simple(echo, None) {
            Parsed::Print(text) => match simple(then, Some(text)) {
                checksum @ Parsed::Checksum { .. } => checksum,
                _ => Parsed::Unknown,
            },
            _ => Parsed::Unknown,
        },
        _ => Parsed::Unknown,
    }
}

fn simple(words: &[Word], input: Option<Vec<u8>>) -> Parsed {
    let words: Vec<&[u8]> = words.iter().map(Word::bytes).collect();
    let Some((program, arguments)) = words.split_first() else { return Parsed::Unknown };
    match (*program, arguments) {
        (b"echo", words) if !words.iter().any(|word| word.starts_with(b"-")) => {
            let mut text = words.join(&b' ');
            text.push(b'\n');
            Parsed::Print(text)
        }
        (b"pwd", []) => Parsed::PrintStartDir,
        (b"scp", _) => Parsed::Scp,
        (program, arguments) => checksum(program, arguments, input).unwrap_or(Parsed::Unknown),
    }
}

fn checksum(program: &[u8], arguments: &[&[u8]], input: Option<Vec<u8>>) -> Option<Parsed> {
    let (algorithm, gnu) =
        PROGRAMS.iter().find(|(name, ..)| *name == program).map(|r| (r.1, r.2))?;
    let mut style = Style::Gnu { binary: false };
    let mut files = Vec::new();
    let mut options_over = false;
    for argument in arguments {
        match *argument {
            b"--" if !options_over => options_over = true,
            b"-b" | b"--binary" if !options_over && gnu => style = Style::Gnu { binary: true },
            b"-t" | b"--text" if !options_over && gnu => style = Style::Gnu { binary: false },
            b"-r" if !options_over && !gnu => style = Style::BsdReversed,
            // Standard input by name is the same as no file, and only alone.
            b"-" if arguments.len() == 1 => {}
            option if !options_over && option.starts_with(b"-") => return None,
            file => files.push(file.to_vec()),
        }
    }
    // Without `-r` the BSD programs print another form that no client asks for.
    let known = gnu || style == Style::BsdReversed;
    known.then_some(Parsed::Checksum { algorithm, style, files, input })
}

/// Program, what it computes, and whether it is GNU's (or b3sum) and not BSD's.
const PROGRAMS: [(&[u8], DigestAlgorithm, bool); 12] = [
    (b"md5sum", DigestAlgorithm::Md5, true),
    (b"sha1sum", DigestAlgorithm::Sha1, true),
    (b"sha256sum", DigestAlgorithm::Sha256, true),
    (b"sha384sum", DigestAlgorithm::Sha384, true),
    (b"sha512sum", DigestAlgorithm::Sha512, true),
    (b"b3sum", DigestAlgorithm::Blake3, true),
    (b"md5", DigestAlgorithm::Md5, false),
    (b"sha1", DigestAlgorithm::Sha1, false),
    (b"sha256", DigestAlgorithm::Sha256, false),
    (b"sha384", DigestAlgorithm::Sha384, false),
    (b"sha512", DigestAlgorithm::Sha512, false),
    (b"blake3", DigestAlgorithm::Blake3, false),
];

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Text(Vec<u8>),
    Pipe,
}

impl Word {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) => bytes,
            Self::Pipe => b"|",
        }
    }
}

/// Takes quotes and backslashes off; `None` if a shell would do anything else with the line.
fn split(line: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => words.extend(word.take().map(Word::Text)),
            b'|' => {
                words.extend(word.take().map(Word::Text));
                words.push(Word::Pipe);
            }
            b'\\' => match bytes.next()? {
                b'\n' => return None,
                escaped => word.get_or_insert_default().push(escaped),
            },
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'\'' => break,
                        quoted => word.push(quoted),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'$' | b'`' => return None,
                        b'\\' => match bytes.next()? {
                            escaped @ (b'"' | b'\\' | b'$' | b'`') => word.push(escaped),
                            other => word.extend([b'\\', other]),
                        },
                        quoted => word.push(quoted),
                    }
                }
            }
            b'~' | b'#' if word.is_none() => return None,
            b'&' | b';' | b'<' | b'>' | b'(' | b')' | b'$' | b'`' | b'*' | b'?' | b'[' | b']'
            | b'!' | b'{' | b'}' | b'\n' | b'\r' | 0 => return None,
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word.map(Word::Text));
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(line: &[u8]) -> Vec<Vec<u8>> {
        match parse(line) {
            Parsed::Checksum { files, .. } => files,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_arrive_as_clients_quote_them() {
        assert_eq!(files(b"md5sum a b"), [b"a", b"b"]);
        assert_eq!(files(b"sha256sum -b -- '-a b'"), [b"-a b"]);
        assert_eq!(files(b"sha1sum \\$\\(rm\\ -rf\\ /\\)"), [b"$(rm -rf /)"]);
        assert_eq!(files(b"md5sum /test/'\n'"), [b"/test/\n"]);
        assert_eq!(files(b"md5sum 'it'\\''s'"), [b"it's"]);
        assert_eq!(files(b"md5sum \"a\\\"b\\c\""), [b"a\"b\\c"]);
        assert_eq!(files(b"md5sum \xff\xfe ''"), [&b"\xff\xfe"[..], b""]);
        assert_eq!(files(b"md5 -r x"), [b"x"]);
        assert!(files(b"md5sum").is_empty());
        assert!(files(b"b3sum -").is_empty());
    }

    #[test]
    fn what_a_shell_would_act_on_is_refused() {
        for line in [
            &b"md5sum a; id"[..],
            b"md5sum a && id",
            b"md5sum $(id)",
            b"md5sum `id`",
            b"md5sum \"$HOME\"",
            b"md5sum *",
            b"md5sum ~",
            b"md5sum a > b",
            b"md5sum a\nid",
            b"md5sum 'a",
            b"md5sum a\\",
            b"md5sum a | sh",
            b"id | md5sum",
            b"echo a | md5sum | sh",
            b"md5sum -c list",
            b"md5 x",
            b"",
            b"|",
            b"sh",
        ] {
            assert_eq!(parse(line), Parsed::Unknown, "{}", line.escape_ascii());
        }
        assert_eq!(parse(b"scp -t /; id"), Parsed::Unknown);
        assert_eq!(parse(b"scp -t /"), Parsed::Scp);
    }

    #[test]
    fn the_probes_of_rclone_are_answered() {
        assert_eq!(parse(b"echo ${ShellId}%ComSpec%"), Parsed::Print(b"%ComSpec%\n".to_vec()));
        assert_eq!(parse(b"echo 'abc'"), Parsed::Print(b"abc\n".to_vec()));
        let Parsed::Checksum { input, files, .. } = parse(b"echo 'abc' | md5sum") else { panic!() };
        assert_eq!(input.as_deref(), Some(&b"abc\n"[..]));
        assert!(files.is_empty());
    }
}
