//! The method `password`, and the change that a server may demand (RFC 4252 §8; PWD-1).

use sterna_ssh_proto::ClientAuth;
use zeroize::Zeroizing;

use super::{Progress, Round, progress_of};
use crate::Error;
use crate::display::display_text;
use crate::limits::{PASSWORD_CHANGES_MAX, PASSWORD_RETYPES_MAX};
use crate::session::login::Turn;

impl Round<'_> {
    pub(super) async fn password(&mut self) -> Result<Progress, Error> {
        if !self.credentials.host_is_trusted {
            self.inform("no password is sent: the host key is not trusted");
            return Ok(Progress::Nothing);
        }
        loop {
            let Some(password) = self.next_password().await? else { return Ok(Progress::Nothing) };
            let password = bytes_of(&password);
            let attempt = ClientAuth::Password { password: password.clone() };
            let turn = match self.attempt("password", attempt).await? {
                Turn::PasswordExpired(why) => self.change_password(password, why).await?,
                turn => turn,
            };
            match progress_of(turn) {
                Progress::Nothing => {}
                progress => return Ok(progress),
            }
        }
    }

    async fn next_password(&mut self) -> Result<Option<Zeroizing<String>>, Error> {
        if let Some(password) =
            self.credentials.password.clone().filter(|_| !self.given_password_used)
        {
            self.given_password_used = true;
            return Ok(Some(password));
        }
        let settings = self.credentials.settings;
        let may_ask = !settings.batch_mode && self.credentials.password.is_none();
        if !may_ask || self.passwords_asked >= settings.password_prompts {
            return Ok(None);
        }
        self.passwords_asked += 1;
        let attempt = self.passwords_asked;
        let (user, host) = (settings.user.clone(), settings.host.clone());
        self.with_prompt(move |prompt| prompt.password(&user, &host, attempt)).await
    }

    /// Changes the password, as often as the server finds the new one not good enough. Whatever else
    /// it says is the answer to the login.
    async fn change_password(
        &mut self,
        old: Zeroizing<Vec<u8>>,
        mut why: String,
    ) -> Result<Turn, Error> {
        for _ in 0..PASSWORD_CHANGES_MAX {
            for line in why.lines().filter(|line| !line.trim().is_empty()) {
                self.inform(&display_text(line));
            }
            let Some(new) = self.new_password().await? else {
                return Err(self.error("the password must be changed first".into()));
            };
            let change = ClientAuth::PasswordChange { old: old.clone(), new: bytes_of(&new) };
            match self.attempt("password change", change).await? {
                Turn::PasswordExpired(again) => why = again,
                turn => return Ok(turn),
            }
        }
        Err(self.error(format!("no new password was good enough ({PASSWORD_CHANGES_MAX} tries)")))
    }

    /// A new password, typed twice alike.
    async fn new_password(&self) -> Result<Option<Zeroizing<String>>, Error> {
        let place = self.place();
        for _ in 0..PASSWORD_RETYPES_MAX {
            let asked = self.ask(format!("New password of {place}: "), false).await?;
            let Some(new) = asked.filter(|new| !new.is_empty()) else { return Ok(None) };
            let again = self.ask(format!("The new password of {place} again: "), false).await?;
            match again {
                Some(again) if *again == *new => return Ok(Some(new)),
                Some(_) => self.inform("the two are different"),
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn bytes_of(password: &Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(password.as_bytes().to_vec())
}
