//! Lists of digests, line by line: what is read is written so that it is read again.

use sterna_client::sync::ManifestLine;

pub fn run(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let Some(read) = ManifestLine::parse(line) else { continue };
        assert!(!read.name.is_empty() && !read.digest.is_empty());
        assert!(read.name.len() + 2 * read.digest.len() < line.len());
        let written = read.encode();
        assert!(!written.contains(&b'\n'));
        assert_eq!(ManifestLine::parse(&written), Some(read));
    }
}
