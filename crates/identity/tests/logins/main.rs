//! Every rule of a login as a table: beside each attempt that passes stand those that must not.

mod authorized_keys;
mod certificates;
mod chains;
mod explain;
mod external;
mod host_based;
mod keyboard;
mod password_change;
mod policy;
mod questioner;
mod random;
mod secrecy;
mod support;
