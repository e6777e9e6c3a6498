//! Extended attributes of local files: those that users may have, in bounded memory.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{
    Mode, OFlags, XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr, listxattr,
    removexattr, setxattr,
};
use rustix::io::{Errno, Result as IoResult};

use super::attrs::own_entry;
use super::io;
use super::root::Root;
use crate::limits::{XATTR_NAME_LEN_MAX, XATTR_VALUE_LEN_MAX};
use crate::{Error, ErrorKind, Result, Xattr, XattrAnswer, XattrWhen};

/// What users may ask for. The other name spaces hold capabilities, access lists and labels.
const USERS: &[u8] = b"user.";

/// Of the file that is open here.
pub(super) fn on_file(fd: &OwnedFd, asked: &Xattr<'_>) -> Result<XattrAnswer> {
    asked_of(asked, |call| match call {
        Call::Get(name, buffer) => fgetxattr(fd, name, buffer),
        Call::List(buffer) => flistxattr(fd, buffer),
        Call::Set(name, value, flags) => fsetxattr(fd, name, value, flags).map(|()| 0),
        Call::Remove(name) => fremovexattr(fd, name).map(|()| 0),
    })
}

/// Of what `path` leads to; it is resolved once.
pub(super) fn on_path(root: &Root, path: &[u8], asked: &Xattr<'_>) -> Result<XattrAnswer> {
    let fd = root.open_at(path, OFlags::PATH, Mode::empty()).map_err(|e| io("xattr", e))?;
    // These calls refuse a descriptor that was opened by `O_PATH`; its entry leads to exactly that object.
    let entry = own_entry(&fd);
    let entry = entry.as_str();
    asked_of(asked, |call| match call {
        Call::Get(name, buffer) => getxattr(entry, name, buffer),
        Call::List(buffer) => listxattr(entry, buffer),
        Call::Set(name, value, flags) => setxattr(entry, name, value, flags).map(|()| 0),
        Call::Remove(name) => removexattr(entry, name).map(|()| 0),
    })
}

/// One system call; what it has read is in the buffer.
enum Call<'c> {
    Get(&'c CString, &'c mut [u8]),
    List(&'c mut [u8]),
    Set(&'c CString, &'c [u8], XattrFlags),
    Remove(&'c CString),
}

fn asked_of(asked: &Xattr<'_>, call: impl Fn(Call<'_>) -> IoResult<usize>) -> Result<XattrAnswer> {
    let fail = |errno: Errno| io("xattr", errno);
    match *asked {
        Xattr::Get(name) => {
            let name = checked(name)?;
            let mut value = vec![0; XATTR_VALUE_LEN_MAX];
            let len = call(Call::Get(&name, &mut value)).map_err(fail)?;
            value.truncate(len);
            Ok(XattrAnswer::Value(value))
        }
        Xattr::List => {
            let mut wire = vec![0; XATTR_VALUE_LEN_MAX];
            let len = call(Call::List(&mut wire)).map_err(fail)?;
            let names = wire[..len].split(|byte| *byte == 0);
            let names = names.filter(|name| name.starts_with(USERS)).map(<[u8]>::to_vec);
            Ok(XattrAnswer::Names(names.collect()))
        }
        Xattr::Set { name, value, when } => {
            let name = checked(name)?;
            if value.len() > XATTR_VALUE_LEN_MAX {
                return Err(Error::new(ErrorKind::NoSpace, "xattr"));
            }
            let flags = match when {
                XattrWhen::Always => XattrFlags::empty(),
                XattrWhen::Missing => XattrFlags::CREATE,
                XattrWhen::There => XattrFlags::REPLACE,
            };
            call(Call::Set(&name, value, flags)).map_err(fail)?;
            Ok(XattrAnswer::Done)
        }
        Xattr::Remove(name) => {
            call(Call::Remove(&checked(name)?)).map_err(fail)?;
            Ok(XattrAnswer::Done)
        }
    }
}

/// The name for the kernel, if it is one that users may have.
fn checked(name: &[u8]) -> Result<CString> {
    let fail = |kind| Error::new(kind, "xattr");
    if !name.starts_with(USERS) {
        return Err(fail(ErrorKind::PermissionDenied));
    }
    if name.len() > XATTR_NAME_LEN_MAX {
        return Err(fail(ErrorKind::NameTooLong));
    }
    CString::new(name).map_err(|_| fail(ErrorKind::Invalid))
}
