//! The bounded reader under any sequence of field types: what it takes never exceeds what is there.

use sterna_sshwire::{Reader, put_mpint, put_string};

/// Input: one byte per field to read, a zero byte, then the message.
pub fn run(data: &[u8]) {
    let split = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let (fields, message) = data.split_at(split);
    let mut reader = Reader::new(message);
    for field in fields {
        let before = reader.remaining();
        let bound = usize::from(field >> 3) * 8;
        match field % 8 {
            0 => _ = reader.u8("u8"),
            1 => _ = reader.u32("u32"),
            2 => _ = reader.u64("u64"),
            3 => {
                if let Ok(bytes) = reader.string("string", bound) {
                    assert!(bytes.len() <= bound && reader.remaining() + bytes.len() + 4 == before);
                    let mut wire = Vec::new();
                    put_string(&mut wire, bytes);
                    assert_eq!(Reader::new(&wire).string("string", bound), Ok(bytes));
                }
            }
            4 => _ = reader.utf8("utf8", bound),
            5 => {
                if let Ok(magnitude) = reader.mpint("mpint", bound) {
                    assert!(magnitude.len() <= bound && magnitude.first() != Some(&0));
                    let mut wire = Vec::new();
                    put_mpint(&mut wire, magnitude);
                    assert_eq!(Reader::new(&wire).mpint("mpint", bound), Ok(magnitude));
                }
            }
            6 => {
                if let Ok(list) = reader.name_list("list", bound) {
                    assert!(list.iter().all(|n| !n.is_empty() && !n.contains(',')));
                }
            }
            _ => _ = reader.bytes("bytes", bound),
        }
        assert!(reader.remaining() <= before);
    }
}
