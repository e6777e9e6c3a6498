//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Longest time-out that a hook may have: whoever logs in waits as long, within the login grace time.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Longest time that a positive answer may be kept: as long may somebody come in who was removed.
pub const CACHE_MAX: Duration = Duration::from_secs(3600);

/// Positive answers that are kept. More than a server of one machine sees logins in a minute.
pub const CACHE_ENTRIES_MAX: usize = 1024;

/// Bytes of one answer: a user with some hundred keys fits.
pub const ANSWER_LEN_MAX: usize = 256 * 1024;

/// Bytes of one round of a dialogue from a program or service: all prompts at their longest are far
/// more than a person reads.
pub const ROUND_LEN_MAX: usize = 64 * 1024;

/// Bytes of what one run of a program writes to standard error that reach the log.
pub const LOGGED_LEN_MAX: usize = 4 * 1024;

/// Lines of it: each is an event of its own.
pub const LOGGED_LINES_MAX: usize = 20;

/// Characters of a foreign text quoted in an error.
pub const QUOTED_LEN_MAX: usize = 200;

/// Questions under way at once, for one hook. Each may be a process; further ones wait for their turn.
pub const CONCURRENT_MAX: usize = 16;

/// Dialogues with a program under way at once, for one hook: each is a process that waits for a
/// person, so there are more of them than of questions.
pub const DIALOGUES_MAX: usize = 64;

/// Programs under way at once in a helper that starts them: as many as all hooks of a server together.
pub const RUNS_MAX: usize = 2 * DIALOGUES_MAX;

/// Rounds of one dialogue, as `PROMPT_ROUNDS_MAX` of `sterna-ssh-proto`.
pub const ROUNDS_MAX: u32 = 16;

/// Prompts of one round, as in OpenSSH.
pub const PROMPTS_MAX: usize = 100;

/// Bytes of an instruction or of one prompt; far more than a terminal shows.
pub const TEXT_LEN_MAX: usize = 2 * 1024;

/// Words of a command, its program included.
pub const COMMAND_WORDS_MAX: usize = 64;

/// Bytes of one word of a command in the settings.
pub const COMMAND_WORD_LEN_MAX: usize = 4 * 1024;

/// Bytes of a service's address.
pub const URL_LEN_MAX: usize = 2 * 1024;

/// Bytes of the file with a bearer token; signed tokens have one or two KiB.
pub const TOKEN_LEN_MAX: usize = 8 * 1024;

/// Bytes of a file with certificates of authorities; all public ones together have 250 KiB.
pub const CA_FILE_LEN_MAX: usize = 1024 * 1024;

/// Bytes of a response's header lines.
pub const HEADERS_LEN_MAX: usize = 16 * 1024;
