//! SFTP server library.

mod buffers;
mod io_pool;
pub mod limits;
pub mod sftp;
pub mod stdio;
mod wake;

pub use buffers::{Buffer, BufferPool};
pub use io_pool::IoPool;
