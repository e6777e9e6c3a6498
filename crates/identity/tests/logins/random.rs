//! Random attempts against a second, much simpler idea of who may log in.

use sterna_identity::{Credential, Directory, Signature, User};
use sterna_ssh_crypto::OfferedKey;
use sterna_testkit::Seed;

use crate::support::*;

/// Name, chains, whether there is a code.
const USERS: [(&str, &[&str], bool); 6] = [
    ("one", &["publickey", "password"], false),
    ("two", &["publickey,password"], false),
    ("keys", &["publickey,publickey", "password,publickey"], false),
    ("coded", &["publickey,keyboard-interactive", "keyboard-interactive,password"], true),
    ("three", &["password,publickey,keyboard-interactive"], true),
    ("off", &["password"], false),
];

fn users() -> Directory {
    directory(USERS.iter().map(|(name, chains, coded)| User {
        totp: coded.then(totp),
        enabled: *name != "off",
        ..full_user(name, chains)
    }))
}

/// What was proven rightly since the name last changed, in order; whatever the server made of it.
#[derive(Default)]
struct Model {
    user: usize,
    proven: Vec<(&'static str, u8)>,
    password_answered: bool,
}

impl Model {
    /// Whether a chain can be found in the order of what was proven, each key used once.
    fn may_be_in(&self) -> bool {
        let (name, chains, _) = USERS[self.user];
        name != "off"
            && chains.iter().any(|chain| {
                let mut used = Vec::new();
                let mut proven = self.proven.iter();
                chain.split(',').all(|step| {
                    proven.by_ref().any(|(method, key)| {
                        let fits = *method == step && !(step == "publickey" && used.contains(key));
                        if fits {
                            used.push(*key);
                        }
                        fits
                    })
                })
            })
    }
}

#[test]
fn nobody_gets_in_who_has_not_proven_a_chain() {
    let users = users();
    let mut seed = Seed::new(2_718);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..4_000 {
        let world = Script::default();
        let mut model = Model { user: seed.below(USERS.len()), ..Model::default() };
        let mut connection = Connection::new(&users, &world, USERS[model.user].0);
        for _ in 0..12 {
            if seed.below(12) == 0 {
                model = Model { user: seed.below(USERS.len()), ..Model::default() };
                // Under another name nothing survives; under the same one it may, so that the model
                // asks for more than the server.
                connection.user = "somebody else";
                connection.says(Credential::None);
                connection.user = USERS[model.user].0;
            }
            let key_number = 1 + seed.below(3) as u8;
            let key: OfferedKey = offered(key_number);
            let said = match seed.below(9) {
                0 => connection.says(Credential::None),
                1 => connection.says(Credential::PublicKeyQuery(&key)),
                2 | 3 => {
                    // Key 3 is nobody's.
                    if key_number < 3 {
                        model.proven.push(("publickey", key_number));
                    }
                    connection.says(signed(&key))
                }
                4 => connection.says(signed_as(&key, Signature::Invalid)),
                5 => {
                    model.proven.push(("password", 0));
                    connection.says(RIGHT)
                }
                6 => connection.says(WRONG),
                7 => {
                    model.password_answered = false;
                    connection.says(ASK_ME)
                }
                _ => {
                    let answers: [&[u8]; 4] = [PASSWORD, CODE, CODE_BEFORE, b"wrong"];
                    let answer = answers[seed.below(4)];
                    let coded = USERS[model.user].2;
                    let is_code = answer == CODE || answer == CODE_BEFORE;
                    let earlier = model.proven.iter().any(|(method, _)| *method == "password");
                    if (coded && is_code && (model.password_answered || earlier))
                        || (!coded && answer == PASSWORD)
                    {
                        model.proven.push(("keyboard-interactive", 0));
                    }
                    model.password_answered |= answer == PASSWORD;
                    connection.answers(&[answer])
                }
            };
            if said == "accept" {
                assert!(model.may_be_in(), "{} by {:?}", connection.user, model.proven);
                accepted += 1;
                break;
            }
            refused += 1;
        }
    }
    // Both must happen often, or nothing was tested.
    assert!(accepted > 500 && refused > 5_000, "{accepted} accepted, {refused} not");
}
