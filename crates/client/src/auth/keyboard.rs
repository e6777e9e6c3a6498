//! The method `keyboard-interactive`: the server asks, a person answers (RFC 4256; KBI-1, KBI-3).
//!
//! A password that was given beforehand answers one question only: the first, if it stands alone, is
//! not to be seen while it is typed, and asks for a password.

use sterna_ssh_proto::{ClientAuth, Prompts};
use zeroize::Zeroizing;

use super::{Progress, Round, progress_of};
use crate::Error;
use crate::display::display_text;
use crate::limits::KEYBOARD_ROUNDS_MAX;
use crate::session::login::Turn;

type Answers = Vec<Zeroizing<Vec<u8>>>;

impl Round<'_> {
    pub(super) async fn keyboard_interactive(&mut self) -> Result<Progress, Error> {
        if !self.credentials.host_is_trusted {
            self.inform("no answer is sent: the host key is not trusted");
            return Ok(Progress::Nothing);
        }
        let settings = self.credentials.settings;
        for _ in 0..settings.password_prompts {
            let has_password = self.credentials.password.is_some();
            if settings.batch_mode && (!has_password || self.given_answer_used) {
                return Ok(Progress::Nothing);
            }
            let (progress, asked) = self.dialogue().await?;
            // Without a question, or with the same answer, it would be the same dialogue again.
            if !matches!(progress, Progress::Nothing) || !asked || has_password {
                return Ok(progress);
            }
        }
        Ok(Progress::Nothing)
    }

    /// One dialogue to its end. True if there was a question that was answered.
    async fn dialogue(&mut self) -> Result<(Progress, bool), Error> {
        let submethods = self.credentials.settings.kbd_interactive_devices.join(",");
        let start = ClientAuth::KeyboardInteractive { submethods };
        let mut turn = self.attempt("keyboard-interactive", start).await?;
        let (mut rounds, mut asked) = (0, false);
        while let Turn::Prompted(prompts) = turn {
            rounds += 1;
            if rounds > KEYBOARD_ROUNDS_MAX {
                return Err(self.error("the server asks without end".into()));
            }
            // The next attempt, whatever it is, ends a dialogue that nobody goes on with.
            let Some(answers) = self.answers(&prompts, !asked).await? else {
                return Ok((Progress::Nothing, false));
            };
            asked |= !answers.is_empty();
            turn = self.go_on(ClientAuth::PromptAnswers { answers }).await?;
        }
        Ok((progress_of(turn), asked))
    }

    /// One answer for each question; `None` if nobody answers.
    async fn answers(
        &mut self,
        prompts: &Prompts,
        is_first: bool,
    ) -> Result<Option<Answers>, Error> {
        self.show_lines(&prompts.name);
        self.show_lines(&prompts.instruction);
        if let Some(password) = self.given_answer(prompts, is_first) {
            return Ok(Some(vec![password]));
        }
        let mut answers = Answers::with_capacity(prompts.prompts.len());
        for prompt in &prompts.prompts {
            // Long texts, such as menus, end with the line that asks.
            let (text, question) = prompt.text.rsplit_once('\n').unwrap_or(("", &prompt.text));
            self.show_lines(text);
            let question = format!("({}) {}", self.place(), display_text(question));
            let Some(answer) = self.ask(question, prompt.echo).await? else { return Ok(None) };
            answers.push(Zeroizing::new(answer.as_bytes().to_vec()));
        }
        Ok(Some(answers))
    }

    fn given_answer(&mut self, prompts: &Prompts, is_first: bool) -> Option<Zeroizing<Vec<u8>>> {
        let [prompt] = &prompts.prompts[..] else { return None };
        if !is_first || self.given_answer_used || prompt.echo || !asks_for_password(&prompt.text) {
            return None;
        }
        let password = self.credentials.password.as_ref()?;
        self.given_answer_used = true;
        Some(Zeroizing::new(password.as_bytes().to_vec()))
    }

    fn show_lines(&self, text: &str) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.inform(&display_text(line));
        }
    }
}

/// Whether a question wants the lasting password: in the languages of the usual PAM modules, and not a
/// code for one time or a new password.
pub(crate) fn asks_for_password(text: &str) -> bool {
    const PASSWORD: [&str; 5] =
        ["password", "passwort", "mot de passe", "contraseña", "wachtwoord"];
    const OTHER: [&str; 5] = ["one-time", "one time", "otp", "new", "code"];
    let text = text.to_lowercase();
    PASSWORD.iter().any(|word| text.contains(word)) && !OTHER.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_for_a_password_is_told_from_those_for_codes_and_new_passwords() {
        for text in ["Password: ", "alice@h's password:", "Passwort: ", "Mot de passe :"] {
            assert!(asks_for_password(text), "{text}");
        }
        for text in [
            "Verification code: ",
            "One-time password (OATH) for `a': ",
            "Code",
            "",
            "New password: ",
            "Password + OTP: ",
        ] {
            assert!(!asks_for_password(text), "{text}");
        }
    }
}
