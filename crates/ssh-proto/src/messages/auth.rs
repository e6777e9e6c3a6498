//! Authentication messages (RFC 4252): requests, their methods' fields, and the answers.

use sterna_sshwire::{DecodeError, Reader, put_bool, put_name_list, put_string};

use super::{
    USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_PASSWD_CHANGEREQ, USERAUTH_PK_OK, USERAUTH_REQUEST,
    USERAUTH_SUCCESS,
};
use crate::limits::{
    CLIENT_HOST_LEN_MAX, KEY_BLOB_LEN_MAX, NAME_LEN_MAX, NAME_LIST_LEN_MAX, PACKET_LEN_MAX,
    PASSWORD_LEN_MAX,
};

/// The service that runs on top of authentication; the only one there is.
pub const SERVICE_CONNECTION: &str = "ssh-connection";
pub const SERVICE_USERAUTH: &str = "ssh-userauth";

pub const METHOD_NONE: &str = "none";
pub const METHOD_PASSWORD: &str = "password";
pub const METHOD_PUBLIC_KEY: &str = "publickey";
/// As `publickey`, with the server's host key signed too (OpenSSH PROTOCOL §3.1).
pub const METHOD_PUBLIC_KEY_BOUND: &str = "publickey-hostbound-v00@openssh.com";

pub const METHOD_HOST_BASED: &str = "hostbased";
pub const METHOD_KEYBOARD_INTERACTIVE: &str = "keyboard-interactive";

/// `SSH_MSG_USERAUTH_REQUEST`. Spec: RFC 4252 §5.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub user: &'a [u8],
    pub service: &'a [u8],
    pub method: Method<'a>,
}

/// The method's own fields. Spec: RFC 4252 §5.2, §7, §8, §9; RFC 4256 §3.1.
#[derive(Clone, Debug)]
pub enum Method<'a> {
    None,
    Password {
        password: &'a [u8],
        new_password: Option<&'a [u8]>,
    },
    PublicKey {
        algorithm: &'a [u8],
        key: &'a [u8],
        signature: Option<&'a [u8]>,
        /// The host key that the client saw, in the host-bound form.
        bound_to: Option<&'a [u8]>,
    },
    HostBased {
        algorithm: &'a [u8],
        /// The client host's key or certificate.
        key: &'a [u8],
        /// The client host's name, which OpenSSH ends with a dot.
        client_host: &'a [u8],
        /// The user's name on the client host.
        client_user: &'a [u8],
        signature: &'a [u8],
    },
    KeyboardInteractive {
        /// What the client would like to be asked; a hint.
        submethods: &'a [u8],
    },
    Other {
        name: &'a [u8],
    },
}

impl<'a> Request<'a> {
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        // A long user name is refused like an unknown one, not as a protocol error.
        let user = r.string("user name", PACKET_LEN_MAX)?;
        let service = r.string("service name", NAME_LEN_MAX)?;
        let name = r.string("method name", NAME_LEN_MAX)?;
        let method = match std::str::from_utf8(name).unwrap_or_default() {
            METHOD_NONE => Method::None,
            METHOD_PASSWORD => {
                let change = r.bool("password change")?;
                let password = r.string("password", PACKET_LEN_MAX)?;
                let new_password =
                    change.then(|| r.string("new password", PACKET_LEN_MAX)).transpose()?;
                let too_long = |p: &[u8]| p.len() > PASSWORD_LEN_MAX;
                if too_long(password) || new_password.is_some_and(too_long) {
                    // Never hashed, never right.
                    return Ok(Self { user, service, method: Method::Other { name } });
                }
                Method::Password { password, new_password }
            }
            plain_or_bound @ (METHOD_PUBLIC_KEY | METHOD_PUBLIC_KEY_BOUND) => {
                let signed = r.bool("has signature")?;
                let algorithm = r.string("algorithm", NAME_LEN_MAX)?;
                let key = r.string("public key", KEY_BLOB_LEN_MAX)?;
                let bound = plain_or_bound == METHOD_PUBLIC_KEY_BOUND;
                let bound_to =
                    bound.then(|| r.string("server host key", KEY_BLOB_LEN_MAX)).transpose()?;
                let signature =
                    signed.then(|| r.string("signature", KEY_BLOB_LEN_MAX)).transpose()?;
                Method::PublicKey { algorithm, key, signature, bound_to }
            }
            METHOD_HOST_BASED => Method::HostBased {
                algorithm: r.string("algorithm", NAME_LEN_MAX)?,
                key: r.string("host key", KEY_BLOB_LEN_MAX)?,
                client_host: r.string("client host", CLIENT_HOST_LEN_MAX)?,
                client_user: r.string("client user", CLIENT_HOST_LEN_MAX)?,
                signature: r.string("signature", KEY_BLOB_LEN_MAX)?,
            },
            METHOD_KEYBOARD_INTERACTIVE => {
                r.string("language", NAME_LEN_MAX)?;
                let submethods = r.string("submethods", PACKET_LEN_MAX)?;
                Method::KeyboardInteractive { submethods }
            }
            _ => {
                // The fields of a method that we do not know are its own business.
                r.rest();
                Method::Other { name }
            }
        };
        r.finish("USERAUTH_REQUEST")?;
        Ok(Self { user, service, method })
    }
}

/// Appends what all requests begin with.
pub fn put_request_head(out: &mut Vec<u8>, user: &[u8], method: &str) {
    out.push(USERAUTH_REQUEST);
    put_string(out, user);
    put_string(out, SERVICE_CONNECTION.as_bytes());
    put_string(out, method.as_bytes());
}

/// `new` asks to change the password on the way. Spec: RFC 4252 §8.
pub fn encode_password(out: &mut Vec<u8>, user: &[u8], password: &[u8], new: Option<&[u8]>) {
    put_request_head(out, user, METHOD_PASSWORD);
    put_bool(out, new.is_some());
    put_string(out, password);
    if let Some(new) = new {
        put_string(out, new);
    }
}

pub fn encode_public_key(
    out: &mut Vec<u8>,
    user: &[u8],
    algorithm: &str,
    key: &[u8],
    bound_to: Option<&[u8]>,
    signature: Option<&[u8]>,
) {
    put_request_head(out, user, public_key_method(bound_to));
    put_bool(out, signature.is_some());
    put_string(out, algorithm.as_bytes());
    put_string(out, key);
    if let Some(host_key) = bound_to {
        put_string(out, host_key);
    }
    if let Some(signature) = signature {
        put_string(out, signature);
    }
}

/// The bytes that a public-key login signs. Spec: RFC 4252 §7; OpenSSH PROTOCOL §3.1 when bound.
pub fn signed_bytes(
    session_id: &[u8],
    user: &[u8],
    algorithm: &str,
    key: &[u8],
    bound_to: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + key.len());
    put_string(&mut out, session_id);
    put_request_head(&mut out, user, public_key_method(bound_to));
    put_bool(&mut out, true);
    put_string(&mut out, algorithm.as_bytes());
    put_string(&mut out, key);
    if let Some(host_key) = bound_to {
        put_string(&mut out, host_key);
    }
    out
}

fn public_key_method(bound_to: Option<&[u8]>) -> &'static str {
    if bound_to.is_some() { METHOD_PUBLIC_KEY_BOUND } else { METHOD_PUBLIC_KEY }
}

/// Appends a host-based request without its signature: behind the session identifier this is what is
/// signed. Spec: RFC 4252 §9.
pub fn put_host_based(
    out: &mut Vec<u8>,
    user: &[u8],
    algorithm: &str,
    key: &[u8],
    client_host: &[u8],
    client_user: &[u8],
) {
    put_request_head(out, user, METHOD_HOST_BASED);
    put_string(out, algorithm.as_bytes());
    put_string(out, key);
    put_string(out, client_host);
    put_string(out, client_user);
}

/// The bytes that a host-based login signs. Spec: RFC 4252 §9.
pub fn host_based_signed_bytes(
    session_id: &[u8],
    user: &[u8],
    algorithm: &str,
    key: &[u8],
    client_host: &[u8],
    client_user: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + key.len());
    put_string(&mut out, session_id);
    put_host_based(&mut out, user, algorithm, key, client_host, client_user);
    out
}

/// A request that asks to be asked. `submethods` is a hint. Spec: RFC 4256 §3.1.
pub fn encode_keyboard_interactive(out: &mut Vec<u8>, user: &[u8], submethods: &str) {
    put_request_head(out, user, METHOD_KEYBOARD_INTERACTIVE);
    put_string(out, b"");
    put_string(out, submethods.as_bytes());
}

pub fn encode_failure(out: &mut Vec<u8>, methods: &[String], partial: bool) {
    out.push(USERAUTH_FAILURE);
    put_name_list(out, methods.iter().map(String::as_str));
    put_bool(out, partial);
}

/// `SSH_MSG_USERAUTH_FAILURE`: what can continue, and whether a step was right. Spec: RFC 4252 §5.1.
pub fn decode_failure(r: &mut Reader<'_>) -> Result<(Vec<String>, bool), DecodeError> {
    let list = r.name_list("methods that can continue", NAME_LIST_LEN_MAX)?;
    let partial = r.bool("partial success")?;
    r.finish("USERAUTH_FAILURE")?;
    Ok((list.iter().map(str::to_owned).collect(), partial))
}

pub fn encode_success(out: &mut Vec<u8>) {
    out.push(USERAUTH_SUCCESS);
}

pub fn encode_banner(out: &mut Vec<u8>, text: &str) {
    out.push(USERAUTH_BANNER);
    put_string(out, text.as_bytes());
    put_string(out, b"");
}

/// `SSH_MSG_USERAUTH_BANNER`. Spec: RFC 4252 §5.4.
pub fn decode_banner<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let text = r.string("banner", PACKET_LEN_MAX)?;
    r.string("language", NAME_LEN_MAX)?;
    r.finish("USERAUTH_BANNER")?;
    Ok(text)
}

pub fn encode_passwd_changereq(out: &mut Vec<u8>, prompt: &str) {
    out.push(USERAUTH_PASSWD_CHANGEREQ);
    put_string(out, prompt.as_bytes());
    put_string(out, b"");
}

/// `SSH_MSG_USERAUTH_PASSWD_CHANGEREQ`: the prompt for a new password. Spec: RFC 4252 §8.
pub fn decode_passwd_changereq<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let prompt = r.string("prompt", PACKET_LEN_MAX)?;
    r.string("language", NAME_LEN_MAX)?;
    r.finish("USERAUTH_PASSWD_CHANGEREQ")?;
    Ok(prompt)
}

pub fn encode_pk_ok(out: &mut Vec<u8>, algorithm: &[u8], key: &[u8]) {
    out.push(USERAUTH_PK_OK);
    put_string(out, algorithm);
    put_string(out, key);
}

/// `SSH_MSG_USERAUTH_PK_OK`: algorithm and key blob. Spec: RFC 4252 §7.
pub fn decode_pk_ok<'a>(r: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let algorithm = r.string("algorithm", NAME_LEN_MAX)?;
    let key = r.string("public key", KEY_BLOB_LEN_MAX)?;
    r.finish("USERAUTH_PK_OK")?;
    Ok((algorithm, key))
}
