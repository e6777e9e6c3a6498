//! Clients of every make log in at our server by every method it has, and are refused beside each.
//!
//! A refusal looks the same from outside whatever its reason is. So each test also waits for the line
//! of the server's log that names the rule: a client that was refused for another reason fails it.

mod authority;
mod certificates;
mod chains;
mod external;
mod forged;
mod host_based;
mod host_certificates;
mod keyboard;
mod keys;
mod openssh;
mod other_clients;
mod passwords;
mod policy;
mod python;
mod scene;
mod security_keys;
