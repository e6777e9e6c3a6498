//! Append helpers: SSH fields at the end of a caller's buffer.

#[inline]
pub fn put_u8(out: &mut Vec<u8>, value: u8) {
    out.push(value);
}

#[inline]
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

#[inline]
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[inline]
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// A `string`: length, then the bytes.
///
/// # Panics
/// If `bytes` is 4 GiB or longer: our own mistake, no peer byte leads here.
#[inline]
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, wire_len(bytes.len()));
    out.extend_from_slice(bytes);
}

/// A `string` whose content is written by `fill`; the length is filled in afterwards.
#[inline]
pub fn put_string_with(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    put_u32(out, 0);
    fill(out);
    let len = wire_len(out.len() - at - 4);
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// A non-negative `mpint` from its big-endian magnitude; leading zeros are dropped.
pub fn put_mpint(out: &mut Vec<u8>, magnitude: &[u8]) {
    let magnitude = trimmed(magnitude);
    let padded = magnitude.first().is_some_and(|b| b & 0x80 != 0);
    put_u32(out, wire_len(magnitude.len() + usize::from(padded)));
    if padded {
        out.push(0);
    }
    out.extend_from_slice(magnitude);
}

/// Bytes that [`put_mpint`] will append for `magnitude`.
pub fn mpint_len(magnitude: &[u8]) -> usize {
    let magnitude = trimmed(magnitude);
    4 + magnitude.len() + usize::from(magnitude.first().is_some_and(|b| b & 0x80 != 0))
}

/// A `name-list`: the names joined by commas.
pub fn put_name_list<'n>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'n str>) {
    put_string_with(out, |out| {
        for (i, name) in names.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
        }
    });
}

fn trimmed(magnitude: &[u8]) -> &[u8] {
    let zeros = magnitude.iter().take_while(|b| **b == 0).count();
    &magnitude[zeros..]
}

#[inline]
fn wire_len(len: usize) -> u32 {
    u32::try_from(len).expect("we never write a string of 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_and_classic_secrets_strip_and_pad_as_mpints() {
        let mut secret = [0u8; 32];
        (secret[0], secret[31]) = (0x80, 1);
        let mut out = Vec::new();
        put_mpint(&mut out, &secret);
        assert_eq!(out[..6], [0, 0, 0, 33, 0, 0x80]);

        let mut secret = [0u8; 32];
        secret[1] = 0x7f;
        let mut out = Vec::new();
        put_mpint(&mut out, &secret);
        assert_eq!(out[..5], [0, 0, 0, 31, 0x7f]);
        assert_eq!(out.len(), mpint_len(&secret));
    }

    #[test]
    fn name_lists_match_the_vectors() {
        let mut out = Vec::new();
        put_name_list(&mut out, []);
        assert_eq!(hex::encode(&out), "00000000");

        out.clear();
        put_name_list(&mut out, ["none", "zlib@openssh.com"]);
        assert_eq!(hex::encode(&out), "000000156e6f6e652c7a6c6962406f70656e7373682e636f6d");
    }
}
