//! What comes before SSH and inside of it, with seeded changes: none of it may cause a panic (`testkit::fuzz`).

use sterna_testkit::fuzz::each_of;

use crate::command_line::{Parsed, parse};
use crate::proxy_header::{HEADER_LEN_MAX, read_header};

const HEADERS: [&[u8]; 6] = [
    b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 22\r\nSSH-2.0-x\r\n",
    b"PROXY TCP6 2001:db8::1 ::1 443 22\r\n",
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nSSH",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x07\xc6\x33\x64\x01\x30\x39\0\x16\x04\0\x04\x01\x02\x03\x04SSH",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb\0\x16",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
];

const LINES: [&[u8]; 7] = [
    b"sha256sum -b -- '-a b' c",
    b"md5sum \"a\\\"b\\c\" it\\'s",
    b"echo 'abc' | sha1sum",
    b"md5 -r /x",
    b"b3sum -",
    b"echo ${ShellId}%ComSpec%",
    b"scp -t /x",
];

#[test]
fn headers_are_read_or_refused_within_their_bound() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seeds = HEADERS.map(<[u8]>::to_vec);
    each_of(&seeds, 20_000, |bytes| {
        let mut rest = bytes;
        let found = runtime.block_on(read_header(&mut rest));
        let taken = &bytes[..bytes.len() - rest.len()];
        assert!(taken.len() <= HEADER_LEN_MAX, "{}", taken.len());
        if let Ok(client) = found {
            // What is behind it has no say.
            let again = runtime.block_on(read_header(&mut &*taken));
            assert_eq!(again.expect("the same header"), client);
        }
    });
}

#[test]
fn commands_are_understood_or_unknown() {
    let seeds = LINES.map(<[u8]>::to_vec);
    each_of(&seeds, 20_000, |line| {
        let Parsed::Checksum { files, input, .. } = parse(line) else { return };
        // The names are the client's, whole: written with quotes they are the same ones.
        let mut quoted = b"b3sum --".to_vec();
        for file in &files {
            assert!(file.len() <= line.len());
            quoted.extend_from_slice(b" '");
            let parts: Vec<&[u8]> = file.split(|byte| *byte == b'\'').collect();
            quoted.extend_from_slice(&parts.join(&b"'\\''"[..]));
            quoted.push(b'\'');
        }
        match parse(&quoted) {
            Parsed::Checksum { files: again, .. } => assert_eq!(again, files),
            other => panic!("{other:?}"),
        }
        assert!(input.is_none_or(|input| input.len() <= line.len()));
    });
}
