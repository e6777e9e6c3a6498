//! The client's bytes to an absolute path of the backend, and the requests that ask for one:
//! REALPATH, `expand-path@openssh.com`, `home-directory`.
//!
//! Only joining is done here: what dots and links mean is decided by the backend, once, with the
//! file system itself.

use std::sync::Arc;

use sterna_sftp_proto::extension::{ExpandPath, HomeDirectory};
use sterna_sftp_proto::messages::Realpath;

use super::reply::Answer;
use super::table::{Serving, Start};

/// How clients learn where they are: the first request of most is REALPATH of `.`.
pub(super) fn realpath(request: &Realpath<'_>, at: &mut Serving<'_>) -> Start {
    canonical(at.absolute(request.path), at)
}

pub(super) fn expand_path(request: &ExpandPath<'_>, at: &mut Serving<'_>) -> Start {
    let (policy, names) = (at.policy, &at.policy.names);
    let expanded = expand(&policy.start_dir, &policy.home, request.path, |user| {
        if user == policy.user { Some(policy.home.clone()) } else { names.home(user) }
    });
    match expanded {
        Some(path) => canonical(path, at),
        None => Start::Now(Answer::not_found("no such user")),
    }
}

/// An empty name is the session's own user.
pub(super) fn home_directory(request: &HomeDirectory<'_>, at: &mut Serving<'_>) -> Start {
    let home = if request.user.is_empty() || request.user == at.policy.user {
        Some(at.policy.home.clone())
    } else {
        at.policy.names.home(request.user)
    };
    let answer = home.map_or(Answer::not_found("no such user"), Answer::Name);
    Start::Now(answer)
}

fn canonical(path: Vec<u8>, at: &Serving<'_>) -> Start {
    let backend = Arc::clone(at.backend);
    Start::answer(move || backend.realpath(&path).map_or_else(Answer::from, Answer::Name))
}

/// `path` as seen from `start`: absolute ones stay, an empty one is `start`.
pub(crate) fn absolute(start: &[u8], path: &[u8]) -> Vec<u8> {
    match path {
        [b'/', ..] => path.to_vec(),
        [] => start.to_vec(),
        _ => join(start, path),
    }
}

/// What `~`, `~/x` and `~user/x` mean; `None` if that user is not known. `home_of` answers for
/// names of other users; everything without a tilde is as [`absolute`] has it.
pub(crate) fn expand(
    start: &[u8],
    home: &[u8],
    path: &[u8],
    home_of: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let Some(after_tilde) = path.strip_prefix(b"~") else {
        return Some(absolute(start, path));
    };
    let user_len = after_tilde.iter().position(|b| *b == b'/').unwrap_or(after_tilde.len());
    let (user, rest) = after_tilde.split_at(user_len);
    let base = if user.is_empty() { home.to_vec() } else { home_of(user)? };
    match rest.iter().position(|b| *b != b'/') {
        None => Some(base),
        Some(at) => Some(join(&base, &rest[at..])),
    }
}

fn join(base: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(base.len() + 1 + rest.len());
    joined.extend_from_slice(base);
    if joined.last() != Some(&b'/') {
        joined.push(b'/');
    }
    joined.extend_from_slice(rest);
    joined
}

/// The names that `path` goes through. Two paths with the same ones mean the same file, and the other
/// way round as long as no `..` and no link is among them.
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_begin_in_the_start_directory() {
        assert_eq!(absolute(b"/home/a", b""), b"/home/a");
        assert_eq!(absolute(b"/home/a", b"."), b"/home/a/.");
        assert_eq!(absolute(b"/", b"x"), b"/x");
        assert_eq!(absolute(b"/home/a", b"../x"), b"/home/a/../x");
        assert_eq!(absolute(b"/home/a", b"/x"), b"/x");
    }

    #[test]
    fn a_tilde_is_the_home_and_only_at_the_beginning() {
        let expand = |path: &[u8]| {
            expand(b"/start", b"/home/a", path, |user| {
                (user == b"bob").then(|| b"/home/bob".to_vec())
            })
        };
        assert_eq!(expand(b"~").unwrap(), b"/home/a");
        assert_eq!(expand(b"~/").unwrap(), b"/home/a");
        assert_eq!(expand(b"~//x/y").unwrap(), b"/home/a/x/y");
        assert_eq!(expand(b"~bob/x").unwrap(), b"/home/bob/x");
        assert_eq!(expand(b"~eve"), None);
        assert_eq!(expand(b"a~").unwrap(), b"/start/a~");
        assert_eq!(expand(b"/~2/x").unwrap(), b"/~2/x");
    }
}
