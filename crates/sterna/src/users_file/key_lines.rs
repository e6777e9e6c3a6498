//! Lines of an authorized keys file: one more, or one fewer; all others stay byte for byte.

/// A line that holds a key, or means to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLine {
    /// Counted from 1.
    pub line: usize,
    pub text: String,
}

/// Every line that is neither blank nor a comment.
pub fn key_lines(file: &[u8]) -> Vec<KeyLine> {
    let texts = file.split(|&byte| byte == b'\n').map(String::from_utf8_lossy);
    texts
        .enumerate()
        .map(|(index, text)| KeyLine { line: index + 1, text: text.trim().to_owned() })
        .filter(|line| !line.text.is_empty() && !line.text.starts_with('#'))
        .collect()
}

/// The file with one more line at its end.
pub fn with_line(file: &[u8], line: &str) -> Vec<u8> {
    let newline: &[u8] = match file.iter().position(|&byte| byte == b'\n') {
        Some(at) if file[..at].ends_with(b"\r") => b"\r\n",
        _ => b"\n",
    };
    let mut out = file.to_vec();
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(newline);
    }
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(newline);
    out
}

/// The file without its line `line`, counted from 1.
pub fn without_line(file: &[u8], line: usize) -> Vec<u8> {
    let lines = file.split_inclusive(|&byte| byte == b'\n').enumerate();
    lines.filter(|(index, _)| index + 1 != line).flat_map(|(_, text)| text).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"# mine\n\nssh-ed25519 AAAA a\n  restrict ssh-rsa BBBB \xff\r\nlast";

    #[test]
    fn lines_with_keys_keep_their_numbers() {
        let lines: Vec<_> = key_lines(FILE).into_iter().map(|l| (l.line, l.text)).collect();

        assert_eq!(
            lines,
            [
                (3, "ssh-ed25519 AAAA a".to_owned()),
                (4, "restrict ssh-rsa BBBB \u{fffd}".to_owned()),
                (5, "last".to_owned())
            ]
        );
    }

    #[test]
    fn other_lines_stay_byte_for_byte() {
        let longer = with_line(FILE, "new");
        assert_eq!(longer, [FILE, b"\nnew\n"].concat());
        assert_eq!(without_line(&longer, 6), [FILE, b"\n"].concat());
        assert_eq!(without_line(FILE, 4), b"# mine\n\nssh-ed25519 AAAA a\nlast");
        assert_eq!(without_line(FILE, 9), FILE);
    }

    #[test]
    fn line_ends_follow_the_file() {
        assert_eq!(with_line(b"", "a"), b"a\n");
        assert_eq!(with_line(b"a\r\n", "b"), b"a\r\nb\r\n");
        assert_eq!(with_line(b"a\r\nb", "c"), b"a\r\nb\r\nc\r\n");
    }
}
