//! Learns the state machine that a side shows to its peer, from outside, by asking.
//!
//! Two sequences lead to one state if every symbol behind them is answered alike, and if a key exchange runs, also every
//! symbol behind its end: in the middle of one nothing shows what comes after. That is a guess about what is further away;
//! long random walks hold it against the side itself (`ssh-proto`'s tests).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use sterna_ssh_proto::Role;

use super::alphabet::{Symbol, find};
use super::peer::{Keys, Peer};
use super::subject::{Seen, Subject};

/// Where a symbol leads: what is seen, and the state behind it; `None` is the end of the connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    pub seen: Seen,
    pub to: Option<usize>,
}

/// A state, the shortest sequence that leads there, and all ways out of it.
pub struct State {
    pub path: Vec<usize>,
    pub edges: Vec<Edge>,
}

/// What was learnt.
pub struct Machine {
    pub states: Vec<State>,
}

/// Bytes of a line of the page, about.
const LINE_LEN: usize = 100;

/// States beyond which the machine is taken to have no end.
const STATES_MAX: usize = 200;

/// Both ends of a fresh connection: the peer has heard what the subject says first.
pub fn fresh<'k>(role: Role, keys: &'k Keys) -> (Subject<'k>, Peer<'k>) {
    let other = match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    };
    let (mut subject, mut peer) = (Subject::new(role, keys), Peer::new(other, keys));
    subject.speak_to(&mut peer, &mut Seen::default());
    // Before the version line a client skips other lines: everything is text to it (RFC 4253 §4.2).
    if role == Role::Client {
        peer.version();
        let mut seen = subject.hear(&std::mem::take(&mut peer.said));
        subject.speak_to(&mut peer, &mut seen);
        assert!(seen.is_nothing());
    }
    (subject, peer)
}

/// One symbol, and what is seen of it.
pub fn step(subject: &mut Subject<'_>, peer: &mut Peer<'_>, symbol: &Symbol) -> Seen {
    (symbol.say)(peer);
    let mut seen = subject.hear(&std::mem::take(&mut peer.said));
    subject.speak_to(peer, &mut seen);
    seen
}

/// What is seen of the last symbol of `path`; `None` if the connection was over before.
fn last_seen(role: Role, keys: &Keys, alphabet: &[Symbol], path: &[usize]) -> Option<Seen> {
    let (mut subject, mut peer) = fresh(role, keys);
    let mut seen = Seen::default();
    for symbol in path {
        if seen.ended {
            return None;
        }
        seen = step(&mut subject, &mut peer, &alphabet[*symbol]);
    }
    Some(seen)
}

/// How everything is answered behind `path`, and then behind the rest of an exchange.
fn answers(role: Role, keys: &Keys, alphabet: &[Symbol], path: &[usize]) -> Vec<Option<Seen>> {
    let everything = |path: &[usize]| {
        let paths = (0..alphabet.len()).map(|last| [path, &[last]].concat());
        paths.map(|path| last_seen(role, keys, alphabet, &path)).collect::<Vec<_>>()
    };
    let answer = if role == Role::Server { "ECDH_INIT" } else { "ECDH_REPLY" };
    let (answer, new_keys) = (find(alphabet, answer), find(alphabet, "NEWKEYS"));
    let mut out = everything(path);
    let lives =
        |out: &[Option<Seen>], symbol: usize| out[symbol].as_ref().is_some_and(|seen| !seen.ended);
    if lives(&out, new_keys) {
        out.extend(everything(&[path, &[new_keys]].concat()));
    } else if lives(&out, answer) {
        out.extend(everything(&[path, &[answer, new_keys]].concat()));
    }
    out
}

/// Learns by breadth: every state that any sequence reaches is found at its shortest path.
pub fn learn(role: Role, keys: &Keys, alphabet: &[Symbol]) -> Machine {
    let start = answers(role, keys, alphabet, &[]);
    let mut known: HashMap<Vec<Option<Seen>>, usize> = HashMap::from([(start.clone(), 0)]);
    let mut found = vec![(Vec::new(), start)];
    let mut states = Vec::new();
    while let Some((path, seen)) = found.get(states.len()).cloned() {
        let mut edges = Vec::new();
        for (symbol, seen) in seen.into_iter().take(alphabet.len()).enumerate() {
            let seen = seen.expect("a path leads to a state");
            if seen.ended {
                edges.push(Edge { seen, to: None });
                continue;
            }
            let path = [&path[..], &[symbol]].concat();
            let answers = answers(role, keys, alphabet, &path);
            let to = *known.entry(answers.clone()).or_insert_with(|| {
                found.push((path, answers));
                found.len() - 1
            });
            assert!(found.len() < STATES_MAX, "the machine does not end");
            edges.push(Edge { seen, to: Some(to) });
        }
        states.push(State { path, edges });
    }
    Machine { states }
}

impl Machine {
    /// A page for people: each state, how it is reached, and what each message does there.
    pub fn describe(&self, title: &str, alphabet: &[Symbol]) -> String {
        let mut out = format!("{title}\n");
        for (number, state) in self.states.iter().enumerate() {
            let path: Vec<_> = state.path.iter().map(|s| alphabet[*s].name).collect();
            let path = if path.is_empty() { "nothing yet".to_owned() } else { path.join(", ") };
            let _ = write!(out, "\nstate {number}: {path}\n");
            let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for (symbol, edge) in state.edges.iter().enumerate() {
                groups.entry(line(number, edge)).or_default().push(alphabet[symbol].name);
            }
            for (what, symbols) in groups {
                let _ = writeln!(out, "    {what}:");
                let mut width = 0;
                for symbol in symbols {
                    let begins = width == 0 || width + symbol.len() > LINE_LEN;
                    width = symbol.len() + if begins { 0 } else { width + 2 };
                    out.push_str(match (begins, out.ends_with('\n')) {
                        (true, true) => "        ",
                        (true, false) => ",\n        ",
                        _ => ", ",
                    });
                    out.push_str(symbol);
                }
                out.push('\n');
            }
        }
        out
    }
}

fn line(from: usize, edge: &Edge) -> String {
    let mut parts = edge.seen.events.clone();
    if !edge.seen.said.is_empty() {
        parts.push(format!("says {}", edge.seen.said.join(" ")));
    }
    let to = match edge.to {
        None if parts.is_empty() => return "refused".to_owned(),
        None => "the end".to_owned(),
        Some(to) if to == from && parts.is_empty() => return "ignored".to_owned(),
        Some(to) if to == from => "stays".to_owned(),
        Some(to) => format!("to state {to}"),
    };
    parts.push(to);
    parts.join("; ")
}
