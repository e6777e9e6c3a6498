//! keyboard-interactive messages (RFC 4256): questions from the server, answers from the client.

use sterna_sshwire::{DecodeError, Reader, put_bool, put_string, put_u32};
use zeroize::Zeroizing;

use super::{USERAUTH_INFO_REQUEST, USERAUTH_INFO_RESPONSE};
use crate::event::{Prompt, Prompts};
use crate::limits::{ANSWER_LEN_MAX, NAME_LEN_MAX, PACKET_LEN_MAX, PROMPTS_MAX};
use crate::messages::transport::peer_text;

/// Appends `SSH_MSG_USERAUTH_INFO_REQUEST`. Spec: RFC 4256 §3.2.
pub fn encode_info_request(out: &mut Vec<u8>, prompts: &Prompts) {
    out.push(USERAUTH_INFO_REQUEST);
    put_string(out, prompts.name.as_bytes());
    put_string(out, prompts.instruction.as_bytes());
    put_string(out, b"");
    put_u32(out, prompts.prompts.len() as u32);
    for prompt in &prompts.prompts {
        put_string(out, prompt.text.as_bytes());
        put_bool(out, prompt.echo);
    }
}

/// Reads `SSH_MSG_USERAUTH_INFO_REQUEST`; its texts are cut, and hostile until filtered.
pub fn decode_info_request(r: &mut Reader<'_>) -> Result<Prompts, DecodeError> {
    let name = peer_text(r.string("name", PACKET_LEN_MAX)?);
    let instruction = peer_text(r.string("instruction", PACKET_LEN_MAX)?);
    r.string("language", NAME_LEN_MAX)?;
    let count = r.u32("prompt count")?;
    if count > PROMPTS_MAX {
        return Err(DecodeError::invalid("prompt count"));
    }
    let mut prompts = Vec::new();
    for _ in 0..count {
        let text = peer_text(r.string("prompt", PACKET_LEN_MAX)?);
        prompts.push(Prompt { text, echo: r.bool("echo")? });
    }
    r.finish("USERAUTH_INFO_REQUEST")?;
    Ok(Prompts { name, instruction, prompts })
}

/// Appends `SSH_MSG_USERAUTH_INFO_RESPONSE`. Spec: RFC 4256 §3.4.
pub fn encode_info_response(out: &mut Vec<u8>, answers: &[Zeroizing<Vec<u8>>]) {
    out.push(USERAUTH_INFO_RESPONSE);
    put_u32(out, answers.len() as u32);
    for answer in answers {
        put_string(out, answer);
    }
}

/// Reads `SSH_MSG_USERAUTH_INFO_RESPONSE`. `None` if it has not exactly `count` answers, or one that
/// is too long: an attempt that failed.
pub fn decode_info_response(
    r: &mut Reader<'_>,
    count: usize,
) -> Result<Option<Vec<Zeroizing<Vec<u8>>>>, DecodeError> {
    let given = r.u32("answer count")?;
    if given > PROMPTS_MAX {
        return Err(DecodeError::invalid("answer count"));
    }
    let mut answers = Vec::new();
    for _ in 0..given {
        answers.push(r.string("answer", PACKET_LEN_MAX)?);
    }
    r.finish("USERAUTH_INFO_RESPONSE")?;
    let fits = answers.len() == count && answers.iter().all(|a| a.len() <= ANSWER_LEN_MAX);
    Ok(fits.then(|| answers.iter().map(|answer| Zeroizing::new(answer.to_vec())).collect()))
}
