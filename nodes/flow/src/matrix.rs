//! The matrix as it is when it has been read: it keeps every rule of [`crate::fault::Why`].

use std::{fmt, str::FromStr};

use guitai_crypto::sm3;
use guitai_types::{
    Date, Hex, Zone,
    canonical::{self, CanonicalError},
    place::Text,
};
use serde::{Deserialize, Serialize};

use crate::{
    fault::{Fault, ParseError},
    limits::{FAULTS_MAX, FILE_BYTES_MAX, ROW_ID_BYTES_MAX},
    names::{DataClass, End, Port, Protocol, Role, Side, Transport, Ways},
    rules,
};

/// What the first line of a matrix says.
pub const FORMAT: &str = "guitai-flow-matrix/1";
/// The demonstration's, which declares every flow of this release.
pub const SHIPPED: &str = include_str!("../../../profiles/demo.flows.toml");

/// What may cross between zones. A version is never edited: a change is the next version, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Always [`FORMAT`].
    pub(crate) format: String,
    /// Of which deployment it is.
    pub(crate) name: String,
    /// From 1, one more with every change.
    pub(crate) version: u64,
    /// Zones, ordered by id.
    pub(crate) zones: Vec<ZoneEntry>,
    /// Roles, ordered by id.
    pub(crate) roles: Vec<RoleEntry>,
    /// Rows, ordered by id: their order in a file means nothing.
    pub(crate) rows: Vec<Row>,
}

/// A zone of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneEntry {
    /// Which.
    pub id: Zone,
    /// What people call it.
    pub name: Text,
}

/// A role of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleEntry {
    /// Which.
    pub id: Role,
    /// Where it stands.
    pub zone: Zone,
    /// What people call it.
    pub name: Text,
}

/// One flow that may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Stable for ever: logs, counters and reviews name it.
    pub id: RowId,
    /// Where what the flow is for begins.
    pub from: End,
    /// Where it ends.
    pub to: End,
    /// What is spoken.
    pub protocol: Protocol,
    /// What carries it.
    pub transport: Transport,
    /// Where the end that does not open listens.
    pub port: Port,
    /// Which end opens the connection.
    pub opens: Side,
    /// Which way data may go.
    pub data: Ways,
    /// The most sensitive class of data that may be in it.
    pub class: DataClass,
    /// Kinds of message, ordered; empty where the protocol has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
    /// Who can open what is sealed end to end in it, ordered; every other end passes it on unread. Empty:
    /// nothing is sealed, both ends read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_for: Vec<Role>,
    /// How much.
    pub limits: Limits,
    /// What it is for.
    pub purpose: Text,
    /// Who answers for it.
    pub owner: String,
    /// The last day on which it holds, in Beijing.
    pub expires: Date,
}

/// How much may flow in a row; 0 is none and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Longest message in bytes: a request body, a control message, a media frame.
    pub message_bytes: u64,
    /// Messages a second that one listener takes, over all connections of the row.
    pub messages_per_second: u64,
    /// New connections a second that one listener takes.
    pub connections_per_second: u64,
}

impl Matrix {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, by line, row and field; up to [`FAULTS_MAX`] faults at once.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        crate::read::matrix(text)
    }

    /// Reads the canonical form, and refuses any bytes but the canonical ones.
    ///
    /// # Errors
    /// It is longer than [`FILE_BYTES_MAX`], not in that form, or breaks a rule; faults have no lines.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > FILE_BYTES_MAX {
            let bytes = bytes.len();
            return Err(ParseError::TooLarge { bytes });
        }
        let matrix: Self = canonical::from_bytes(bytes).map_err(ParseError::Canonical)?;
        matrix.checked(|_| 0)
    }

    /// The matrix if it keeps every rule; `line` says where a row stands.
    pub(crate) fn checked(self, line: impl Fn(&RowId) -> usize) -> Result<Self, ParseError> {
        let broken = rules::broken(&self).into_iter();
        let faults: Vec<Fault> = broken
            .map(|(row, field, why)| Fault {
                line: row.as_ref().map_or(0, &line),
                row: row.map(|row| row.to_string()),
                field,
                why,
            })
            .take(FAULTS_MAX)
            .collect();
        if faults.is_empty() {
            Ok(self)
        } else {
            Err(ParseError::Faults(faults))
        }
    }

    /// The matrix that the product ships with.
    ///
    /// # Errors
    /// Never: the file is a constant of the program, and a test reads it.
    pub fn shipped() -> Result<Self, ParseError> {
        Self::parse(SHIPPED)
    }

    /// Of which deployment it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From 1, one more with every change.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Zones by id.
    pub fn zones(&self) -> &[ZoneEntry] {
        &self.zones
    }

    /// Roles by id.
    pub fn roles(&self) -> &[RoleEntry] {
        &self.roles
    }

    /// Rows by id.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A row.
    pub fn row(&self, id: &RowId) -> Option<&Row> {
        self.rows.iter().find(|row| &row.id == id)
    }

    /// Whether it knows a role in that zone.
    pub fn declares(&self, end: End) -> bool {
        let mut roles = self.roles.iter();
        roles.any(|role| role.id == end.role && role.zone == end.zone)
    }

    /// The bytes that are signed and agreed on: RFC 8785 JSON of everything in it.
    ///
    /// # Errors
    /// Never for one that was read: its integers are small and nothing in it is null.
    pub fn canonical(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// SM3 (GB/T 32905) of [`Self::canonical`].
    ///
    /// # Errors
    /// As [`Self::canonical`].
    pub fn digest(&self) -> Result<Hex, CanonicalError> {
        self.canonical()
            .map(|bytes| Hex(sm3::hash(&bytes).to_vec()))
    }
}

impl Row {
    /// One of its ends.
    pub const fn end(&self, side: Side) -> End {
        match side {
            Side::From => self.from,
            Side::To => self.to,
        }
    }

    /// Who opens the connection.
    pub const fn opener(&self) -> End {
        self.end(self.opens)
    }

    /// Who listens.
    pub const fn listener(&self) -> End {
        self.end(self.opens.other())
    }

    /// Whether it lets a kind of message through.
    pub fn has(&self, message: &str) -> bool {
        self.messages.iter().any(|kind| kind == message)
    }

    /// Whether it holds on a day; its last one included.
    pub fn holds(&self, on: Date) -> bool {
        on <= self.expires
    }

    /// Whether an end reads what it carries; sealed data it otherwise passes on.
    pub fn is_read_by(&self, role: Role) -> bool {
        self.sealed_for.is_empty() || self.sealed_for.contains(&role)
    }

    /// Whether it and another allow the same connection, so that nobody could say which one did.
    pub fn overlaps(&self, other: &Self) -> bool {
        let place = |row: &Self| {
            (
                row.opener(),
                row.listener(),
                row.protocol,
                row.transport,
                row.port,
            )
        };
        place(self) == place(other)
    }
}

/// The id of a row: 1 to [`ROW_ID_BYTES_MAX`] of a–z, 0–9 and `-`, beginning with a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RowId(String);

/// Why a text is no id of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a row's id has 1 to {ROW_ID_BYTES_MAX} characters of a-z, 0-9 and '-', and begins with a letter"
)]
pub struct RowIdError;

impl RowId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RowId {
    type Err = RowIdError;

    fn from_str(text: &str) -> Result<Self, RowIdError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if begins && text.len() <= ROW_ID_BYTES_MAX && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RowIdError)
        }
    }
}

impl TryFrom<String> for RowId {
    type Error = RowIdError;

    fn try_from(text: String) -> Result<Self, RowIdError> {
        text.parse()
    }
}

impl From<RowId> for String {
    fn from(id: RowId) -> Self {
        id.0
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
