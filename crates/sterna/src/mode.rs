//! A change of permission bits as `chmod` takes it: `644`, `u+rwX,g-w,o=`.
//!
//! A symbolic mode needs the old bits; an octal one does not, and saves asking for them.

/// A parsed mode: applied to the bits of each file in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeChange {
    /// These bits, whatever was before.
    Octal(u32),
    /// Clauses in the order in which they apply.
    Symbolic(Vec<Clause>),
}

/// One clause such as `go-w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Which of `u`, `g`, `o` it is about, as the mask of all bits that belong to them.
    who: u32,
    operator: Operator,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Bits for all three classes, still to be masked by `who`; `conditional_x` adds execution for
    /// directories and for files that somebody may already execute.
    Bits { bits: u32, conditional_x: bool },
    /// The bits that another class has: the shift of `u`, `g` or `o`.
    CopyFrom { shift: u32 },
}

/// Permission bits that can be changed; more in an octal mode is a mistake.
const MODE_MAX: u32 = 0o7777;
/// More clauses than this make no sense and are not stored.
const CLAUSES_MAX: usize = 64;

impl ModeChange {
    /// Reads `text`; `None` if it is no mode.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && text.len() <= 6;
            let bits = u32::from_str_radix(text, 8).ok()?;
            return (plain && bits <= MODE_MAX).then_some(Self::Octal(bits));
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            parse_clauses(part, &mut clauses)?;
            if clauses.len() > CLAUSES_MAX {
                return None;
            }
        }
        Some(Self::Symbolic(clauses))
    }

    /// Whether [`ModeChange::apply`] looks at the old bits.
    pub fn needs_old(&self) -> bool {
        matches!(self, Self::Symbolic(_))
    }

    /// The new permission bits, from the old ones and whether the file is a directory.
    pub fn apply(&self, old: u32, is_directory: bool) -> u32 {
        match self {
            Self::Octal(bits) => *bits,
            Self::Symbolic(clauses) => {
                clauses.iter().fold(old & MODE_MAX, |mode, clause| clause.apply(mode, is_directory))
            }
        }
    }
}

impl Clause {
    fn apply(self, mode: u32, is_directory: bool) -> u32 {
        let bits = match self.what {
            What::Bits { bits, conditional_x } => {
                let x = conditional_x && (is_directory || mode & 0o111 != 0);
                bits | if x { 0o111 } else { 0 }
            }
            What::CopyFrom { shift } => ((mode >> shift) & 7) * 0o111,
        } & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => mode & !self.who | bits,
        }
    }
}

/// Reads `[ugoa]*([-+=]perms)+`.
fn parse_clauses(part: &str, clauses: &mut Vec<Clause>) -> Option<()> {
    let operators_at = part.find(['+', '-', '='])?;
    let mut who = 0;
    for class in part[..operators_at].chars() {
        who |= match class {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    if operators_at == 0 {
        // Without a class all are meant. chmod(1) would leave out what its umask hides; the umask
        // of this side has no say about files of the other.
        who = 0o7777;
    }
    let mut rest = &part[operators_at..];
    while !rest.is_empty() {
        let operator = match rest.as_bytes()[0] {
            b'+' => Operator::Add,
            b'-' => Operator::Remove,
            b'=' => Operator::Set,
            _ => return None,
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
        clauses.push(Clause { who, operator, what: parse_what(&rest[1..end])? });
        rest = &rest[end..];
    }
    Some(())
}

fn parse_what(text: &str) -> Option<What> {
    match text {
        "u" => return Some(What::CopyFrom { shift: 6 }),
        "g" => return Some(What::CopyFrom { shift: 3 }),
        "o" => return Some(What::CopyFrom { shift: 0 }),
        _ => {}
    }
    let (mut bits, mut conditional_x) = (0, false);
    for letter in text.chars() {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            'X' => conditional_x = true,
            's' => bits |= 0o6000,
            't' => bits |= 0o1000,
            _ => return None,
        }
    }
    Some(What::Bits { bits, conditional_x })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str, old: u32, is_directory: bool) -> u32 {
        ModeChange::parse(text).unwrap().apply(old, is_directory)
    }

    #[test]
    fn octal_replaces_all_bits() {
        assert_eq!(applied("644", 0o777, false), 0o644);
        assert_eq!(applied("0755", 0, false), 0o755);
        assert_eq!(applied("4711", 0, false), 0o4711);
        assert!(!ModeChange::parse("600").unwrap().needs_old());
    }

    #[test]
    fn symbolic_changes_what_it_names_and_nothing_else() {
        for (text, old, new) in [
            ("u+x", 0o644, 0o744),
            ("go-rwx", 0o777, 0o700),
            ("a=r", 0o777, 0o444),
            ("+w", 0o444, 0o666),
            ("o=", 0o777, 0o770),
            ("g=u", 0o640, 0o660),
            ("u=rw,g=r,o=", 0o777, 0o640),
            ("u+s,o+t", 0o755, 0o5755),
            ("g=rx", 0o2770, 0o0750),
            ("u-w+x", 0o644, 0o544),
            ("-x", 0o755, 0o644),
        ] {
            assert_eq!(applied(text, old, false), new, "{text} on {old:o}");
        }
    }

    #[test]
    fn capital_x_gives_execution_only_where_it_makes_sense() {
        assert_eq!(applied("a+X", 0o644, false), 0o644);
        assert_eq!(applied("a+X", 0o644, true), 0o755);
        assert_eq!(applied("a+X", 0o744, false), 0o755);
    }

    #[test]
    fn nonsense_is_no_mode() {
        for text in ["", "8", "77777", "u", "u+q", "z+r", "u+r,", "0x1f", "644u", "+r ", "-٣"] {
            assert_eq!(ModeChange::parse(text), None, "{text}");
        }
    }
}
