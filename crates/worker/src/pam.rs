//! Passwords and sessions by PAM. Its library is loaded when it is needed, since it may not be there, and its modules are
//! code of others: only helpers load it, for one login each.
//!
//! `unsafe`: functions are found by name and called with the types that `security/pam_appl.h` of Linux-PAM gives them;
//! texts end with a NUL and live until the call returns; the conversation's data outlives the handle (`Login` keeps it in
//! a box that does not move); what the conversation answers is allocated by `calloc` and `strdup`, because PAM frees it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use zeroize::Zeroizing;

const LIBRARY: &CStr = c"libpam.so.0";

const SUCCESS: c_int = 0;
const BUFFER_ERROR: c_int = 5;
const CONVERSATION_ERROR: c_int = 19;

const PROMPT_ECHO_OFF: c_int = 1;
const ERROR_MESSAGE: c_int = 3;
const TEXT_INFO: c_int = 4;

const ITEM_TTY: c_int = 3;
const ITEM_REMOTE_HOST: c_int = 4;

const SILENT: c_int = 0x8000;
const DISALLOW_NULL_TOKEN: c_int = 1;
const ESTABLISH_CREDENTIALS: c_int = 2;
const DELETE_CREDENTIALS: c_int = 4;

/// Messages of one round of a conversation (`PAM_MAX_NUM_MSG`).
const MESSAGES_MAX: c_int = 32;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

type Handle = *mut c_void;
type Call = unsafe extern "C" fn(Handle, c_int) -> c_int;
type Start =
    unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut Handle) -> c_int;
type SetItem = unsafe extern "C" fn(Handle, c_int, *const c_void) -> c_int;
type ErrorText = unsafe extern "C" fn(Handle, c_int) -> *const c_char;

struct Library {
    start: Start,
    set_item: SetItem,
    authenticate: Call,
    account: Call,
    credentials: Call,
    open_session: Call,
    close_session: Call,
    end: Call,
    error_text: ErrorText,
}

/// A password with a NUL at its end.
type Secret = Zeroizing<Vec<u8>>;

/// A login under way, or a session.
pub(crate) struct Login {
    pam: Library,
    handle: Handle,
    status: c_int,
    in_session: bool,
    /// Read by the conversation; `None`: nobody is asked.
    _password: Box<Option<Secret>>,
}

impl Library {
    fn load() -> Result<Self, String> {
        // SAFETY: see the head of this file. The library is never unloaded. Names are looked for everywhere, so that one
        // that stands before the library (as tests put there) is found first.
        unsafe {
            if libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL).is_null() {
                return Err("libpam.so.0 is not installed".to_owned());
            }
            Ok(Self {
                start: std::mem::transmute::<*mut c_void, Start>(symbol(c"pam_start")?),
                set_item: std::mem::transmute::<*mut c_void, SetItem>(symbol(c"pam_set_item")?),
                authenticate: std::mem::transmute::<*mut c_void, Call>(symbol(
                    c"pam_authenticate",
                )?),
                account: std::mem::transmute::<*mut c_void, Call>(symbol(c"pam_acct_mgmt")?),
                credentials: std::mem::transmute::<*mut c_void, Call>(symbol(c"pam_setcred")?),
                open_session: std::mem::transmute::<*mut c_void, Call>(symbol(
                    c"pam_open_session",
                )?),
                close_session: std::mem::transmute::<*mut c_void, Call>(symbol(
                    c"pam_close_session",
                )?),
                end: std::mem::transmute::<*mut c_void, Call>(symbol(c"pam_end")?),
                error_text: std::mem::transmute::<*mut c_void, ErrorText>(symbol(c"pam_strerror")?),
            })
        }
    }
}

fn secret(password: &[u8]) -> Result<Secret, String> {
    match password.contains(&0) {
        true => Err("a NUL in the password".to_owned()),
        false => Ok(Zeroizing::new([password, b"\0"].concat())),
    }
}

fn symbol(name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: the name ends with a NUL.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    match found.is_null() {
        true => Err(format!("libpam has no {}", name.to_string_lossy())),
        false => Ok(found),
    }
}

impl Login {
    /// Begins for `user`, who comes from `source` if that is known.
    ///
    /// # Errors
    /// PAM is not installed, or does not start.
    pub(crate) fn start(
        service: &str,
        user: &str,
        password: Option<&[u8]>,
        source: Option<&str>,
    ) -> Result<Self, String> {
        let text = |text: &[u8]| CString::new(text).map_err(|_| "a NUL in it".to_owned());
        let (service, user) = (text(service.as_bytes())?, text(user.as_bytes())?);
        let password = password.map(secret).transpose()?;
        let password = Box::new(password);
        let pam = Library::load()?;
        let data = ptr::from_ref::<Option<Secret>>(&*password).cast_mut().cast();
        let conversation = Conversation { converse, data };
        let mut handle = ptr::null_mut();
        // SAFETY: see the head of this file; PAM copies the conversation.
        let status = unsafe {
            (pam.start)(service.as_ptr(), user.as_ptr(), &raw const conversation, &raw mut handle)
        };
        if status != SUCCESS || handle.is_null() {
            return Err(format!("PAM does not start: {status}"));
        }
        let login = Self { pam, handle, status, in_session: false, _password: password };
        login.set_item(ITEM_TTY, c"ssh");
        if let Some(source) = source.and_then(|source| CString::new(source).ok()) {
            login.set_item(ITEM_REMOTE_HOST, &source);
        }
        Ok(login)
    }

    fn set_item(&self, item: c_int, value: &CStr) {
        // SAFETY: PAM copies the text. What it makes of it is for its modules.
        unsafe {
            (self.pam.set_item)(self.handle, item, value.as_ptr().cast());
        }
    }

    /// # Errors
    /// Why the password lets nobody in.
    pub(crate) fn authenticate(&mut self) -> Result<(), String> {
        self.call(self.pam.authenticate, SILENT | DISALLOW_NULL_TOKEN)
    }

    /// # Errors
    /// Why the account is not open: expired, not at this time, a password that must be changed.
    pub(crate) fn check_account(&mut self) -> Result<(), String> {
        self.call(self.pam.account, SILENT)
    }

    /// Opens the session, which ends with this value.
    ///
    /// # Errors
    /// What a module says.
    pub(crate) fn open_session(&mut self) -> Result<(), String> {
        self.call(self.pam.credentials, SILENT | ESTABLISH_CREDENTIALS)?;
        self.call(self.pam.open_session, SILENT)?;
        self.in_session = true;
        Ok(())
    }

    fn call(&mut self, function: Call, flags: c_int) -> Result<(), String> {
        // SAFETY: the handle is open until `drop`.
        self.status = unsafe { function(self.handle, flags) };
        if self.status == SUCCESS {
            return Ok(());
        }
        // SAFETY: as above; the text is the library's and ends with a NUL.
        let text = unsafe {
            let text = (self.pam.error_text)(self.handle, self.status);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        Err(text.unwrap_or_else(|| format!("PAM error {}", self.status)))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if self.in_session {
            // Nothing can be done about what fails here.
            let _ = self.call(self.pam.close_session, SILENT);
            let _ = self.call(self.pam.credentials, SILENT | DELETE_CREDENTIALS);
        }
        // SAFETY: the handle is not used afterwards.
        unsafe {
            (self.pam.end)(self.handle, self.status);
        }
    }
}

/// Answers what is not to be seen with the password, and has nothing to say to anything else.
extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    if !(1..=MESSAGES_MAX).contains(&count) || messages.is_null() || responses.is_null() {
        return CONVERSATION_ERROR;
    }
    // SAFETY: PAM gives `count` pointers to messages and a place for the answers; `data` is what `start` gave.
    unsafe {
        let Some(password) = data.cast::<Option<Secret>>().as_ref() else {
            return CONVERSATION_ERROR;
        };
        let answers = libc::calloc(count as usize, size_of::<Response>()).cast::<Response>();
        if answers.is_null() {
            return BUFFER_ERROR;
        }
        for index in 0..count as usize {
            let message = (*messages.add(index)).as_ref();
            let answered = match (message.map(|message| message.style), password) {
                (Some(PROMPT_ECHO_OFF), Some(password)) => {
                    (*answers.add(index)).text = libc::strdup(password.as_ptr().cast());
                    true
                }
                (Some(ERROR_MESSAGE | TEXT_INFO), _) => true,
                _ => false,
            };
            if !answered {
                for index in 0..count as usize {
                    libc::free((*answers.add(index)).text.cast());
                }
                libc::free(answers.cast());
                return CONVERSATION_ERROR;
            }
        }
        *responses = answers;
    }
    SUCCESS
}
