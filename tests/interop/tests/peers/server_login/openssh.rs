//! One login of OpenSSH's client.

use std::fs;
use std::path::Path;
use std::process::Command;

use sterna_interop::client::command_max;
use sterna_interop::machine;
use sterna_interop::steps::{Outcome, check, check_equal};
use sterna_testkit::openssh::PASSWORD;
use sterna_testkit::processes::{Finished, run};

use crate::server_login::scene::{Served, write_program};

/// Exit status of `sftp` when `ssh` found no way in.
const REFUSED: i32 = 255;

/// What is tried. Nothing of the person who runs the tests is used: no agent, no configuration.
#[derive(Clone, Debug)]
pub struct Attempt<'s> {
    served: &'s Served,
    user: &'s str,
    /// What `PreferredAuthentications` is.
    methods: Option<&'s str>,
    options: Vec<String>,
    has_key: bool,
    /// Part of a question, and the answer to it.
    answers: Vec<(String, String)>,
    is_nobody: bool,
}

impl<'s> Attempt<'s> {
    pub fn of(served: &'s Served, user: &'s str) -> Self {
        Self {
            served,
            user,
            methods: None,
            options: vec![],
            has_key: false,
            answers: vec![],
            is_nobody: false,
        }
    }

    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Tries only these methods, in this order.
    #[must_use]
    pub fn by(mut self, methods: &'s str) -> Self {
        self.methods = Some(methods);
        self
    }

    /// Offers the key in this file, with the certificate beside it.
    #[must_use]
    pub fn key(mut self, file: &Path) -> Self {
        self.has_key = true;
        self.option(format!("IdentityFile={}", file.display()))
    }

    /// Gives `answer` to a question that contains `question`.
    #[must_use]
    pub fn answer(mut self, question: &str, answer: &str) -> Self {
        self.answers.push((question.to_owned(), answer.to_owned()));
        self
    }

    /// Tries this password, and nothing else.
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        self.by("password").answer("password", password)
    }

    /// Runs as the account without rights.
    #[must_use]
    pub fn by_nobody(mut self) -> Self {
        self.is_nobody = true;
        self
    }

    /// Logs in and runs lines of a batch file.
    pub fn run(&self, batch: &str) -> Outcome<Finished> {
        let path = |name| self.served.scratch.join(name);
        fs::write(path("batch"), batch)?;
        let _ = fs::remove_file(path("asked"));
        write_program(&path("askpass"), &self.askpass(&path("asked")))?;
        let mut sftp = Command::new("sftp");
        let batch_mode = if self.answers.is_empty() { "yes" } else { "no" };
        sftp.args(["-vvv", "-F", "none", "-o", &format!("BatchMode={batch_mode}")]);
        sftp.arg("-b").arg(path("batch")).args(["-P", &self.served.port.to_string()]);
        let known_hosts = format!("UserKnownHostsFile={}", self.served.known_hosts.display());
        let mut options = vec![
            known_hosts,
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "NumberOfPasswordPrompts=1".to_owned(),
        ];
        options.extend(self.methods.map(|methods| format!("PreferredAuthentications={methods}")));
        if !self.has_key {
            options.push("IdentityFile=none".to_owned());
        }
        for option in self.options.iter().chain(&options) {
            sftp.args(["-o", option]);
        }
        sftp.arg(format!("{}@127.0.0.1", self.user));
        sftp.env("SSH_ASKPASS", path("askpass")).env("SSH_ASKPASS_REQUIRE", "force");
        sftp.env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        if self.is_nobody {
            machine::open(&self.served.scratch);
            sftp = machine::as_nobody(&sftp);
        }
        Ok(run(&mut sftp, b"", command_max()))
    }

    /// The program that answers, and writes down every question.
    fn askpass(&self, asked: &Path) -> String {
        let mut text =
            format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> {}\ncase $1 in\n", asked.display());
        for (question, answer) in &self.answers {
            text += &format!("*'{question}'*) printf '%s\\n' '{answer}' ;;\n");
        }
        text + "*) exit 1 ;;\nesac\n"
    }

    /// The questions of the last run, one a line.
    pub fn asked(&self) -> String {
        fs::read_to_string(self.served.scratch.join("asked")).unwrap_or_default()
    }

    /// It must get in and may write.
    pub fn succeeds(&self) -> Outcome {
        let done = self.run("mkdir written\nrmdir written\n")?;
        check(done.success(), || format!("it did not get in, or not to write\n{}", done.describe()))
    }

    /// It must get in and may read, and nothing else.
    pub fn may_only_read(&self) -> Outcome {
        let done = self.run("ls\nmkdir written\n")?;
        let text = String::from_utf8_lossy(&done.stderr);
        let refused = text.contains("Authenticated to") && text.contains("remote mkdir");
        check(done.code() == Some(1) && refused, || {
            format!("it did not get in, or could write\n{}", done.describe())
        })?;
        check(!self.served.root(self.user).join("written").exists(), || "it wrote".to_owned())
    }

    /// It must be refused, and the log must say that it was for this rule.
    pub fn is_refused(&self, rule: &str) -> Outcome {
        self.refusal(rule).map(drop)
    }

    /// As [`is_refused`](Self::is_refused); what the client was told.
    pub fn refusal(&self, rule: &str) -> Outcome<Vec<String>> {
        let mark = self.served.mark();
        let done = self.run("pwd\n")?;
        check(done.code() == Some(REFUSED), || format!("it was not refused\n{}", done.describe()))?;
        let text = String::from_utf8_lossy(&done.stderr);
        let told: Vec<String> = text
            .lines()
            .filter(|line| line.contains("can continue") || line.contains("Permission denied"))
            .map(|line| line.trim_end().replace(&format!("{}@", self.user), "USER@"))
            .collect();
        let denied = told.iter().any(|line| line.contains("USER@127.0.0.1: Permission denied"));
        check(denied, || format!("it ended for another reason\n{}", done.describe()))?;
        self.served
            .logs_refusal(mark, self.user, rule)
            .map_err(|why| format!("{why}\n{}", done.describe()))?;
        Ok(told)
    }
}

/// One row of a table: the attempt must get in, or be refused by a rule.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    In,
    ReadOnly,
    Refused(&'static str),
}

impl Expect {
    pub fn of(self, attempt: &Attempt<'_>) -> Outcome {
        match self {
            Self::In => attempt.succeeds(),
            Self::ReadOnly => attempt.may_only_read(),
            Self::Refused(rule) => attempt.is_refused(rule),
        }
    }
}

/// The same words for everybody who is refused: `told` are those of several refusals.
pub fn all_told_the_same(told: &[Vec<String>]) -> Outcome {
    for other in told {
        check_equal("what a refused client is told", other, &told[0])?;
    }
    Ok(())
}

/// An attempt with the password that every user of the tests has.
pub fn by_password<'s>(served: &'s Served, user: &'s str) -> Attempt<'s> {
    Attempt::of(served, user).password(PASSWORD)
}
