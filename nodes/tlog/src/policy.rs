//! Whom a reader believes: these logs, and so many of these witnesses (tlog-policy).

use std::collections::HashMap;

use super::{
    BadCheckpoint, Checkpoint, Digest,
    note::{Note, NoteError, Signed, VerifierKey},
};

/// Largest policy file read, in bytes.
pub const POLICY_BYTES_MAX: usize = 65_536;
/// Most logs, witnesses and groups of a policy, each; the document asks for 32 at least.
pub const PARTIES_MAX: usize = 64;

/// Why a policy cannot be read, or a checkpoint is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A policy larger than any that is read.
    #[error("a policy of {bytes} bytes; at most {POLICY_BYTES_MAX} are read")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// A line of the policy is wrong.
    #[error("line {line} of the policy: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It does not say who must have signed.
    #[error("the policy has no quorum line")]
    NoQuorum,
    /// A signature does not fit.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] BadCheckpoint),
    /// No log of the policy signed it under its own name.
    #[error("no log of the policy signed the checkpoint of {origin}")]
    LogUnsigned {
        /// Whose checkpoint it says it is.
        origin: String,
    },
    /// Too few witnesses signed.
    #[error("too few witnesses signed the checkpoint: {}", if found.is_empty() { "none" } else { found })]
    Quorum {
        /// Names of those who did.
        found: String,
    },
}

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
    groups: Vec<Group>,
    /// `None`: nobody needs to have witnessed it.
    quorum: Option<Party>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    needed: usize,
    members: Vec<Party>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Party {
    Witness(usize),
    Group(usize),
}

/// A checkpoint that a policy believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed<'a> {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// What the log is made of, which its key says.
    pub digest: Digest,
    /// Witnesses that signed it, and when.
    pub witnesses: Vec<Signed<'a>>,
}

impl Policy {
    /// A policy of one log and `needed` of some witnesses.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of(
        log: &VerifierKey,
        witnesses: &[VerifierKey],
        needed: usize,
    ) -> Result<Self, PolicyError> {
        Self::parse(&text(log, witnesses, needed))
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// Which line is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLarge { bytes: text.len() });
        }
        let mut reading = Reading::default();
        for (line, text) in (1..).zip(text.split('\n')) {
            // tlog-policy, "Character set": also where a comment has it.
            if text.chars().any(|c| c != '\t' && c.is_ascii_control()) {
                let why = "a control character".to_owned();
                return Err(PolicyError::Line { line, why });
            }
            let words: Vec<&str> = text
                .split([' ', '\t'])
                .filter(|it| !it.is_empty())
                .collect();
            if words.first().is_some_and(|first| !first.starts_with('#')) {
                let read = reading.line(&words);
                read.map_err(|why| PolicyError::Line { line, why })?;
            }
        }
        let quorum = reading.quorum.ok_or(PolicyError::NoQuorum)?;
        Ok(Self {
            quorum,
            ..reading.policy
        })
    }

    /// Keys of the logs.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// The checkpoint, when a log of the policy signed it under its own name and enough witnesses did.
    ///
    /// # Errors
    /// What is missing.
    pub fn believe(&self, note: &Note) -> Result<Believed<'_>, PolicyError> {
        let checkpoint = Checkpoint::of(note)?;
        let nobody = |error| match error {
            NoteError::Unsigned => Ok(Vec::new()),
            error => Err(error),
        };
        let logs = note.verify(&self.logs).or_else(nobody)?;
        let mut logs = logs.into_iter();
        let log = logs.find(|signed| signed.key.name() == checkpoint.origin);
        let Some(log) = log else {
            let origin = checkpoint.origin;
            return Err(PolicyError::LogUnsigned { origin });
        };
        let witnesses = note.verify(&self.witnesses).or_else(nobody)?;
        if self
            .quorum
            .is_some_and(|quorum| !self.has_witnessed(quorum, &witnesses))
        {
            let names: Vec<&str> = witnesses.iter().map(|signed| signed.key.name()).collect();
            return Err(PolicyError::Quorum {
                found: names.join(", "),
            });
        }
        let digest = log.key.kind().digest();
        Ok(Believed {
            checkpoint,
            digest,
            witnesses,
        })
    }

    fn has_witnessed(&self, party: Party, signed: &[Signed<'_>]) -> bool {
        match party {
            Party::Witness(at) => {
                let key = self.witnesses.get(at);
                signed.iter().any(|signed| Some(signed.key) == key)
            }
            // Members were named before their group, so this ends.
            Party::Group(at) => self.groups.get(at).is_some_and(|group| {
                let members = group.members.iter();
                members
                    .filter(|it| self.has_witnessed(**it, signed))
                    .count()
                    >= group.needed
            }),
        }
    }
}

/// The file that says: one log, and `needed` of these witnesses.
#[must_use]
pub fn text(log: &VerifierKey, witnesses: &[VerifierKey], needed: usize) -> String {
    let mut lines = vec![format!("log {log}")];
    let witness = |key: &VerifierKey| format!("witness {} {key}", key.name());
    lines.extend(witnesses.iter().map(witness));
    if needed == 0 {
        lines.push("quorum none".to_owned());
    } else {
        let names: Vec<&str> = witnesses.iter().map(VerifierKey::name).collect();
        lines.push(format!("group witnesses {needed} {}", names.join(" ")));
        lines.push("quorum witnesses".to_owned());
    }
    lines.join("\n") + "\n"
}

struct Reading {
    policy: Policy,
    names: HashMap<String, Party>,
    grouped: Vec<Party>,
    quorum: Option<Option<Party>>,
}

impl Default for Reading {
    fn default() -> Self {
        let policy = Policy {
            logs: Vec::new(),
            witnesses: Vec::new(),
            groups: Vec::new(),
            quorum: None,
        };
        Self {
            policy,
            names: HashMap::new(),
            grouped: Vec::new(),
            quorum: None,
        }
    }
}

impl Reading {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["log", key] | ["log", key, _] => {
                let key = read(key, false)?;
                add(&mut self.policy.logs, key).map(|_| ())
            }
            ["witness", name, key] | ["witness", name, key, _] => {
                let key = read(key, true)?;
                let at = add(&mut self.policy.witnesses, key)?;
                self.name(name, Party::Witness(at))
            }
            ["group", name, needed, members @ ..] if !members.is_empty() => {
                let needed = match *needed {
                    "all" => members.len(),
                    "any" => 1,
                    number => super::checkpoint::decimal(number)
                        .and_then(|number| usize::try_from(number).ok())
                        .filter(|number| (1..=members.len()).contains(number))
                        .ok_or_else(|| format!("{number} of {} members", members.len()))?,
                };
                let members: Result<Vec<Party>, String> =
                    members.iter().map(|member| self.member(member)).collect();
                let at = self.policy.groups.len();
                if at == PARTIES_MAX {
                    return Err(format!("more than {PARTIES_MAX}"));
                }
                let members = members?;
                self.policy.groups.push(Group { needed, members });
                self.name(name, Party::Group(at))
            }
            ["quorum", name] => {
                if self.quorum.is_some() {
                    return Err("a second quorum".to_owned());
                }
                self.quorum = Some(match *name {
                    "none" => None,
                    name => Some(self.known(name)?),
                });
                Ok(())
            }
            _ => Err("neither log, witness, group nor quorum".to_owned()),
        }
    }

    fn name(&mut self, name: &str, party: Party) -> Result<(), String> {
        if name == "none" || self.names.insert(name.to_owned(), party).is_some() {
            return Err(format!("the name {name} is taken"));
        }
        Ok(())
    }

    fn known(&self, name: &str) -> Result<Party, String> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| format!("{name} is not named before"))
    }

    /// Nobody counts in two ways.
    fn member(&mut self, name: &str) -> Result<Party, String> {
        let party = self.known(name)?;
        if self.grouped.contains(&party) {
            return Err(format!("{name} is in a group already"));
        }
        self.grouped.push(party);
        Ok(party)
    }
}

fn read(key: &str, cosigns: bool) -> Result<VerifierKey, String> {
    let key = VerifierKey::parse(key).map_err(|error| error.to_string())?;
    if key.kind().is_cosignature() == cosigns {
        Ok(key)
    } else if cosigns {
        Err("a witness' key makes cosignatures".to_owned())
    } else {
        Err("a log's key makes no cosignatures".to_owned())
    }
}

fn add(keys: &mut Vec<VerifierKey>, key: VerifierKey) -> Result<usize, String> {
    if keys.iter().any(|it| it.has_same_key(&key)) {
        return Err("the same key twice".to_owned());
    }
    if keys.len() == PARTIES_MAX {
        return Err(format!("more than {PARTIES_MAX}"));
    }
    keys.push(key);
    Ok(keys.len() - 1)
}
