//! Changes of a file as an input of the fuzzer: four bytes each, what is done, where (two bytes), and with what.

/// Changes of one file at most.
const CHANGES_MAX: usize = 64;

/// The file with these changes, one after the other.
pub(crate) fn changed(file: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let (changes, _) = changes.as_chunks();
    changes.iter().take(CHANGES_MAX).for_each(|change| apply(*change, &mut file));
    file
}

fn apply([what, high, low, with]: [u8; 4], file: &mut Vec<u8>) {
    let at = usize::from(u16::from_be_bytes([high, low])) % (file.len() + 1);
    let end = (at + usize::from(with)).min(file.len());
    match what % 6 {
        0 => {
            if let Some(byte) = file.get_mut(at) {
                *byte ^= with;
            }
        }
        1 => file.insert(at, with),
        2 => drop(file.drain(at..end)),
        3 => {
            let piece = file[at..end].to_vec();
            file.extend(piece);
        }
        // From here to the end of the line.
        4 => {
            let len = file[at..].iter().position(|byte| *byte == b'\n');
            let end = len.map_or(file.len(), |len| at + len + 1);
            file.drain(at..end);
        }
        _ => file.truncate(at),
    }
}
