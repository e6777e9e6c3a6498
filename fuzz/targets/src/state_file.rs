//! The state file with changes: it is opened or called damaged, and what can be read of it is within its bounds.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::OnceLock;

use ipnet::IpNet;
use sterna_state::{FILE_NAME, State, StoredPenalty, Unban, limits};

use crate::changes::changed;

/// Input: changes of a file that was written (`changes.rs`).
pub fn run(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = changed(genuine(), data);
    fs::write(dir.path().join(FILE_NAME), &bytes).expect("a file");
    let Ok(state) = State::open(dir.path()) else {
        assert_ne!(bytes, genuine());
        return;
    };
    // Whatever it says, it says something.
    let _ = state.claim_totp_step("ann", 7);
    let _ = state.claim_recovery_code("ann", &[7; 32]);
    let _ = state.advance_counter("SHA256:x", 7);
    let _ = state.take_unban_requests();
    let _ = state.remove_expired_penalties(1000);
    if let Ok(penalties) = state.penalties() {
        assert!(penalties.len() <= limits::PENALTIES_MAX as usize);
    }
}

fn genuine() -> &'static [u8] {
    static GENUINE: OnceLock<Vec<u8>> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path()).expect("a state");
        fs::read(dir.path().join(FILE_NAME)).expect("what was written")
    })
}

fn write(dir: &Path) -> sterna_state::Result<()> {
    let state = State::open(dir)?;
    state.claim_totp_step("ann", 6)?;
    state.claim_recovery_code("ann", &[6; 32])?;
    state.advance_counter("SHA256:x", 6)?;
    let source = IpNet::from(std::net::IpAddr::from(Ipv4Addr::new(192, 0, 2, 7)));
    let reason = "failed login".to_owned();
    let penalty = StoredPenalty { source, until: 900, offences: 2, forget_at: 2000, reason };
    state.save_penalties(&[penalty])?;
    state.request_unban(Unban::Source(source))
}
