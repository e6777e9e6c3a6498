//! The example is run as a stranger would: log in with a password, get a file.

#[path = "../../examples/own_storage.rs"]
mod example;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tokio::process::Command;

#[tokio::test]
async fn the_example_serves_its_own_storage_to_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let server = example::server("127.0.0.1:0".parse().unwrap(), dir.path(), "multiply").unwrap();
    let port = server.local_addrs()[0].port().to_string();
    let running = tokio::spawn(server.run(std::future::pending(), Duration::ZERO));
    let askpass = dir.path().join("askpass");
    std::fs::write(&askpass, "#!/bin/sh\necho multiply\n").unwrap();
    std::fs::set_permissions(&askpass, std::fs::Permissions::from_mode(0o700)).unwrap();

    let output = Command::new("sftp")
        .args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-P", &port])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no"])
        .args(["guest@127.0.0.1:/7.txt", "got"])
        .env("SSH_ASKPASS", &askpass)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .current_dir(dir.path())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("OpenSSH's client is installed");

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let got = std::fs::read_to_string(dir.path().join("got")).unwrap();
    assert!(got.starts_with("1 x 7 = 7\n") && got.ends_with("1000 x 7 = 7000\n"));
    running.abort();
}
