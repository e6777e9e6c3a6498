//! The requests of `xattr@proftpd.org`: extended attributes that users may have (`user.…`).

use std::sync::Arc;

use sterna_sftp_proto::extension::{
    Fgetxattr, Flistxattr, Fremovexattr, Fsetxattr, Getxattr, GetxattrReply, Listxattr,
    ListxattrReply, Removexattr, Setxattr, XATTR_CREATE, XATTR_REPLACE,
};
use sterna_sftp_proto::limits::XATTR_VALUE_LEN_MAX;
use sterna_storage::{self as storage, Xattr, XattrAnswer, XattrWhen};

use super::handles::HandleId;
use super::reply::Answer;
use super::table::{Serving, Start};

pub(super) fn get(request: &Getxattr<'_>, at: &mut Serving<'_>) -> Start {
    let asked = Asked::Get { name: request.name.to_vec(), len_max: request.len_max };
    of_path(request.path, asked, at)
}

pub(super) fn get_by_handle(request: &Fgetxattr<'_>, at: &mut Serving<'_>) -> Start {
    let asked = Asked::Get { name: request.name.to_vec(), len_max: request.len_max };
    of_handle(request.handle, asked, at)
}

pub(super) fn set(request: &Setxattr<'_>, at: &mut Serving<'_>) -> Start {
    match Asked::set(request.name, request.value, request.flags) {
        Ok(asked) => of_path(request.path, asked, at),
        Err(answer) => Start::Now(answer),
    }
}

pub(super) fn set_by_handle(request: &Fsetxattr<'_>, at: &mut Serving<'_>) -> Start {
    match Asked::set(request.name, request.value, request.flags) {
        Ok(asked) => of_handle(request.handle, asked, at),
        Err(answer) => Start::Now(answer),
    }
}

pub(super) fn list(request: &Listxattr<'_>, at: &mut Serving<'_>) -> Start {
    of_path(request.path, Asked::List, at)
}

pub(super) fn list_by_handle(request: &Flistxattr<'_>, at: &mut Serving<'_>) -> Start {
    of_handle(request.handle, Asked::List, at)
}

pub(super) fn remove(request: &Removexattr<'_>, at: &mut Serving<'_>) -> Start {
    of_path(request.path, Asked::Remove { name: request.name.to_vec() }, at)
}

pub(super) fn remove_by_handle(request: &Fremovexattr<'_>, at: &mut Serving<'_>) -> Start {
    of_handle(request.handle, Asked::Remove { name: request.name.to_vec() }, at)
}

/// A request that outlives its frame.
enum Asked {
    Get { name: Vec<u8>, len_max: u32 },
    Set { name: Vec<u8>, value: Vec<u8>, when: XattrWhen },
    List,
    Remove { name: Vec<u8> },
}

impl Asked {
    fn set(name: &[u8], value: &[u8], flags: u32) -> Result<Self, Answer> {
        let when = match flags {
            0 => XattrWhen::Always,
            XATTR_CREATE => XattrWhen::Missing,
            XATTR_REPLACE => XattrWhen::There,
            _ => return Err(Answer::failure("xattr: flags that mean nothing")),
        };
        Ok(Self::Set { name: name.to_vec(), value: value.to_vec(), when })
    }

    fn xattr(&self) -> Xattr<'_> {
        match self {
            Self::Get { name, .. } => Xattr::Get(name),
            Self::Set { name, value, when } => Xattr::Set { name, value, when: *when },
            Self::List => Xattr::List,
            Self::Remove { name } => Xattr::Remove(name),
        }
    }

    fn answer(&self, result: storage::Result<XattrAnswer>) -> Answer {
        let mut body = Vec::new();
        match (result, self) {
            (Ok(XattrAnswer::Value(value)), Self::Get { len_max, .. })
                if value.len() > (*len_max as usize).min(XATTR_VALUE_LEN_MAX) =>
            {
                return Answer::failure("xattr: the value is longer than was asked for");
            }
            (Ok(XattrAnswer::Value(value)), _) => {
                GetxattrReply { value: &value }.encode(&mut body);
            }
            // A backend bounds all names of one file.
            (Ok(XattrAnswer::Names(names)), _) => {
                ListxattrReply::build(names, &mut Vec::new()).encode(&mut body);
            }
            (Ok(XattrAnswer::Done), _) => return Answer::OK,
            (Err(error), _) => return error.into(),
        }
        Answer::Extended(body)
    }
}

fn of_path(path: &[u8], asked: Asked, at: &Serving<'_>) -> Start {
    let path = at.absolute(path);
    let backend = Arc::clone(at.backend);
    Start::answer(move || asked.answer(backend.xattr(&path, &asked.xattr())))
}

/// Of an open file; directories have theirs by path.
fn of_handle(handle: &[u8], asked: Asked, at: &Serving<'_>) -> Start {
    let Some(file) = HandleId::from_wire(handle).and_then(|id| at.handles.file(id)) else {
        return Start::Now(Answer::BAD_HANDLE);
    };
    let file = Arc::clone(file);
    Start::answer(move || asked.answer(file.file.xattr(&asked.xattr())))
}
