//! What comes before SFTP: login scripts that print.

use sterna_client::Error;
use sterna_testkit::sftp::{OddServer, Tree};

use crate::stage::client;

/// What OpenSSH's sftp calls "Received message too long".
#[tokio::test(start_paused = true)]
async fn what_a_login_script_prints_is_shown_with_what_to_do_about_it() {
    for (noise, shown) in [
        ("Welcome to nas01!\nLast login: today\n", "Welcome to nas01!"),
        ("stty: standard input: Inappropriate ioctl for device\n", "stty: standard input"),
        ("\u{1b}[31mred\u{1b}[0m\n", "red"),
        ("hi\n", "hi"),
        ("no line feed at all", "no line feed at all"),
    ] {
        let server = OddServer::new(Tree::new()).noise(noise);

        let error = client(server).await.err().expect("that is no SFTP");

        let text = error.to_string();
        assert!(matches!(error, Error::NotSftp { .. }), "{noise:?}: {text}");
        assert!(text.contains(shown), "{noise:?}: {text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert_eq!(error.exit_code(), 1);
        let hint = error.hint().expect("a hint");
        assert!(hint.contains("ssh"), "{hint}");
    }
}
