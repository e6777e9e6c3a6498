//! Users in settings files as text: found, added, changed and removed, with every other byte of the
//! file kept. Text in, text out: nothing here opens a file, and nothing judges what a key means.
//!
//! The parser says where things stand, and only there the text is cut: comments, blank lines, order,
//! quotes and line ends elsewhere cannot change.

mod array;
pub mod key_lines;
mod setting;
mod splice;
mod user_text;

pub use setting::Setting;
pub use user_text::{EditError, Form, UserText, UserView};
