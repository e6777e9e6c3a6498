//! `sterna user totp` and `recovery`: the second factor, and the codes for the day it is lost.

use std::{
    io::{self, IsTerminal as _},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use serde_json::Value as Json;
use sterna_identity::{RecoveryCode, TotpSecret};
use sterna_ssh_crypto::SystemRandom;
use zeroize::Zeroizing;

use super::{
    Context,
    edit::cannot_edit,
    files::{Located, UserFiles, shown_name},
    qr,
};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
    output::{Object, Output},
    prompt,
    users_file::Setting,
};

const TOTP_EXAMPLES: &str = "\
Examples:
  sterna user totp alice                    shows a QR code and asks for a code to confirm
  sterna user totp alice --issuer 'Example files'
  sterna user totp alice --force            a new secret; the old app entry stops working
  sterna user totp alice --remove
  sterna user totp alice --json             for a page that shows it to the user

Codes are asked for by the method keyboard-interactive: the user's methods must name it, as in
methods = [\"publickey,keyboard-interactive\"].";

const RECOVERY_EXAMPLES: &str = "\
Examples:
  sterna user recovery alice                prints ten new codes; the old ones stop working";

/// Recovery codes of a user.
const RECOVERY_CODES: usize = 10;

/// How often a code may be mistyped before nothing is written.
const CONFIRM_ATTEMPTS: u32 = 3;

/// Give a user a second factor: one-time codes of an authenticator app
#[derive(Debug, Args)]
#[command(after_help = TOTP_EXAMPLES)]
pub struct TotpArgs {
    pub name: String,
    /// Name of this server in the app (default: the name of this machine)
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// Replace the secret that the user has
    #[arg(long)]
    pub force: bool,
    /// Take the second factor and the recovery codes away
    #[arg(long, conflicts_with_all = ["issuer", "force", "no_confirm", "qr", "json"])]
    pub remove: bool,
    /// Do not ask for a code before the secret is written
    #[arg(long)]
    pub no_confirm: bool,
    /// Draw the QR code even if this is no terminal
    #[arg(long, conflicts_with = "json")]
    pub qr: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Make new recovery codes for a user who has a second factor
#[derive(Debug, Args)]
#[command(after_help = RECOVERY_EXAMPLES)]
pub struct RecoveryArgs {
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl TotpArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        if self.remove {
            return self.remove(context);
        }
        self.refuse_second(UserFiles::read(&context.config)?.find(&self.name)?)?;
        let secret = TotpSecret::make(&mut SystemRandom);
        let uri = secret.otpauth_uri(&self.issuer(), &self.name);
        let output = Output::new(context.global, self.json);
        // What a person must see before a code can be confirmed; for programs it comes at the end.
        let confirms = output.terminal && io::stdin().is_terminal() && !self.json;
        if confirms {
            self.show(&output, &uri)?;
            if !self.no_confirm {
                self.confirm(&secret)?;
            }
        }
        let codes = RecoveryCodes::make();
        context.edit_user(&self.name, |user, text| {
            self.refuse_second(user)?;
            let base32 = Setting::Text(secret.to_base32().to_string());
            text.set(&self.name, "totp_secret", &base32)
                .and_then(|()| text.set(&self.name, "recovery_codes", &codes.setting()))
                .map_err(cannot_edit(user))
        })?;
        context.changed(&format!("{}: second factor set", shown_name(&self.name)));
        if self.json {
            let object = Object::new()
                .with("name", self.name)
                .with("uri", uri.as_str())
                .with("secret", secret.to_base32().as_str());
            output.object(object.with("recovery_codes", codes.json()))?;
            return Ok(Exit::Done);
        }
        if !confirms {
            self.show(&output, &uri)?;
        }
        codes.show(&output)?;
        Ok(Exit::Done)
    }

    fn remove(&self, context: &Context<'_>) -> Result<Exit> {
        let removed = context.edit_user(&self.name, |user, text| {
            let had = text.remove(&self.name, "totp_secret").map_err(cannot_edit(user))?;
            text.remove(&self.name, "recovery_codes").map_err(cannot_edit(user))?;
            Ok(had)
        })?;
        let name = shown_name(&self.name);
        match removed {
            true => context.changed(&format!("{name}: second factor removed")),
            false if !context.global.quiet => eprintln!("{name}: had no second factor"),
            false => {}
        }
        Ok(Exit::Done)
    }

    /// A secret that an app holds already is replaced only if that was said.
    fn refuse_second(&self, user: Located<'_>) -> Result<()> {
        if self.force || !user.view.values.contains_key("totp_secret") {
            return Ok(());
        }
        Err(Failure::incomplete(shown_name(&self.name), "has a second factor already")
            .hint("--force makes a new one; the old one stops working then"))
    }

    fn issuer(&self) -> String {
        match &self.issuer {
            Some(issuer) => issuer.clone(),
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    fn show(&self, output: &Output, uri: &str) -> Result<()> {
        if output.terminal || self.qr {
            match qr::draw(uri, output.color) {
                Some(lines) => lines.iter().try_for_each(|line| output.line(line))?,
                None => output.line("The names are too long for a QR code; use the address:")?,
            }
        }
        output.line(uri)
    }

    /// Proves that the app has the secret: a user whose app has not could never log in.
    fn confirm(&self, secret: &TotpSecret) -> Result<()> {
        let name = shown_name(&self.name);
        for attempt in 1..=CONFIRM_ATTEMPTS {
            let again = if attempt > 1 { "That is not the code. " } else { "" };
            let question = format!("{again}Six digits that the app shows for {name}: ");
            let Some(code) = prompt::ask(&question) else { break };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            if secret.verify(&code, now.as_secs()).is_some() {
                return Ok(());
            }
        }
        Err(Failure::incomplete(name, "not confirmed, nothing was changed").hint(
            "the clocks of this machine and of the app must agree to half a minute; --no-confirm \
             writes the secret without asking",
        ))
    }
}

impl RecoveryArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        let codes = RecoveryCodes::make();
        context.edit_user(&self.name, |user, text| {
            if !user.view.values.contains_key("totp_secret") {
                let name = shown_name(&self.name);
                return Err(Failure::incomplete(&name, "has no second factor to recover")
                    .hint(format!("`sterna user totp {name}` makes one")));
            }
            text.set(&self.name, "recovery_codes", &codes.setting()).map_err(cannot_edit(user))
        })?;
        context.changed(&format!("{}: new recovery codes", shown_name(&self.name)));
        let output = Output::new(context.global, self.json);
        if self.json {
            let object = Object::new().with("name", self.name);
            output.object(object.with("recovery_codes", codes.json()))?;
            return Ok(Exit::Done);
        }
        codes.show(&output)?;
        Ok(Exit::Done)
    }
}

/// New codes: shown once, kept as hashes.
struct RecoveryCodes(Vec<RecoveryCode>);

impl RecoveryCodes {
    fn make() -> Self {
        Self((0..RECOVERY_CODES).map(|_| RecoveryCode::make(&mut SystemRandom)).collect())
    }

    fn setting(&self) -> Setting {
        Setting::List(self.0.iter().map(|code| code.hash().to_string()).collect())
    }

    fn json(&self) -> Vec<Json> {
        self.0.iter().map(|code| Json::from(code.shown().as_str())).collect()
    }

    fn show(&self, output: &Output) -> Result<()> {
        output.line("Recovery codes, each good once in place of a code of the app:")?;
        for code in &self.0 {
            output.line(Zeroizing::new(format!("  {}", code.shown().as_str())).as_str())?;
        }
        Ok(())
    }
}
