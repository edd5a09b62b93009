//! May this be? Asked before anything listens or is dialled; what no row allows is refused.

use guitai_types::{Date, Zone, place::Text};

use crate::{
    matrix::{Matrix, Row, RowId},
    names::{End, Port, Protocol, Role, Transport, Word as _},
};

/// What the matrix says of a listener or a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// These rows allow it, ordered by id; never none.
    Admitted(Vec<RowId>),
    /// None does.
    Refused(Refusal),
}

impl Verdict {
    /// Whether it may be.
    pub const fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted(_))
    }
}

/// Why no row allows it; the row that comes closest is named.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The matrix has no such role in such a zone.
    Undeclared(End),
    /// No row is about it at all.
    NoRow,
    /// A row would, had it not expired.
    Expired {
        /// Which.
        row: RowId,
        /// Its last day.
        since: Date,
    },
    /// A row is about these ends and this protocol, but the other end opens.
    OtherSideOpens {
        /// Which.
        row: RowId,
    },
    /// A row is about it, but at another port.
    OtherPort {
        /// Which.
        row: RowId,
        /// Where.
        transport: Transport,
        /// Where.
        port: Port,
    },
    /// A row is about these ends, but allows another protocol.
    OtherProtocol {
        /// Which.
        row: RowId,
        /// What it allows.
        protocol: Protocol,
    },
}

/// What several verdicts on one question come to, as a node obeys them: one that admits is enough, and a row that has
/// run out still lets through, loudly, for a date that passes in the night must not take the counter down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may be.
    Admitted,
    /// It may be, and somebody has to see to the row.
    RunOut {
        /// The row whose last day is over.
        row: RowId,
        /// Its last day.
        since: Date,
    },
    /// It may not be; the reason of the verdict that was first.
    Refused(Refusal),
}

/// What verdicts come to; of none, nothing allows it.
pub fn standing(verdicts: impl IntoIterator<Item = Verdict>) -> Standing {
    let mut refused = None;
    let mut run_out = None;
    for verdict in verdicts {
        match verdict {
            Verdict::Admitted(_) => return Standing::Admitted,
            Verdict::Refused(Refusal::Expired { row, since }) => {
                run_out = run_out.or(Some(Standing::RunOut { row, since }));
            }
            Verdict::Refused(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    run_out.unwrap_or_else(|| Standing::Refused(refused.unwrap_or(Refusal::NoRow)))
}

impl Refusal {
    /// The reason in words.
    pub fn words(&self) -> Text {
        let (zh, en) = match self {
            Self::Undeclared(end) => (
                format!("矩阵未声明 {end}"),
                format!("the matrix does not declare {end}"),
            ),
            Self::NoRow => ("没有任何一行允许".to_owned(), "no row allows it".to_owned()),
            Self::Expired { row, since } => (
                format!("{row} 行仅有效至 {since}"),
                format!("row {row} held until {since} only"),
            ),
            Self::OtherSideOpens { row } => (
                format!("{row} 行规定由对端建立连接"),
                format!("row {row} has the other side open"),
            ),
            Self::OtherPort {
                row,
                transport,
                port,
            } => (
                format!("{row} 行只允许 {transport} {port}"),
                format!("row {row} allows {transport} {port} only"),
            ),
            Self::OtherProtocol { row, protocol } => (
                format!("{row} 行只允许 {protocol}"),
                format!("row {row} allows {protocol} only"),
            ),
        };
        Text { zh, en }
    }
}

impl Matrix {
    /// May a role in a zone listen there, on a day?
    pub fn admit_listener(
        &self,
        zone: Zone,
        role: Role,
        transport: Transport,
        port: Port,
        on: Date,
    ) -> Verdict {
        let end = End { zone, role };
        if !self.declares(end) {
            return Verdict::Refused(Refusal::Undeclared(end));
        }
        let about = |row: &&Row| row.listener() == end;
        let fits = |row: &&Row| about(row) && row.transport == transport && row.port == port;
        self.verdict(fits, on).unwrap_or_else(|| {
            let near = self.rows().iter().find(about);
            Verdict::Refused(near.map_or(Refusal::NoRow, |row| Refusal::OtherPort {
                row: row.id.clone(),
                transport: row.transport,
                port: row.port,
            }))
        })
    }

    /// May a role in a zone open a connection of that protocol to another, on a day?
    pub fn admit_dial(&self, from: End, to: End, protocol: Protocol, on: Date) -> Verdict {
        for end in [from, to] {
            if !self.declares(end) {
                return Verdict::Refused(Refusal::Undeclared(end));
            }
        }
        let arrow = |row: &&Row| row.opener() == from && row.listener() == to;
        let fits = |row: &&Row| arrow(row) && row.protocol == protocol;
        self.verdict(fits, on).unwrap_or_else(|| {
            let mut rows = self.rows().iter();
            let turned = |row: &&Row| {
                row.opener() == to && row.listener() == from && row.protocol == protocol
            };
            let refusal = if let Some(row) = rows.clone().find(turned) {
                let row = row.id.clone();
                Refusal::OtherSideOpens { row }
            } else if let Some(row) = rows.find(arrow) {
                Refusal::OtherProtocol {
                    row: row.id.clone(),
                    protocol: row.protocol,
                }
            } else {
                Refusal::NoRow
            };
            Verdict::Refused(refusal)
        })
    }

    /// Of the rows that fit, those that hold; `None` where none fits.
    fn verdict(&self, fits: impl Fn(&&Row) -> bool, on: Date) -> Option<Verdict> {
        let fitting: Vec<&Row> = self.rows().iter().filter(fits).collect();
        let holding = fitting.iter().filter(|row| row.holds(on));
        let holding: Vec<RowId> = holding.map(|row| row.id.clone()).collect();
        if !holding.is_empty() {
            return Some(Verdict::Admitted(holding));
        }
        let latest = fitting.into_iter().max_by_key(|row| row.expires)?;
        Some(Verdict::Refused(Refusal::Expired {
            row: latest.id.clone(),
            since: latest.expires,
        }))
    }
}

/// An arrow in words: who opens what to whom, and where that listens.
pub(crate) fn arrow(row: &Row) -> Text {
    let (opener, listener) = (row.opener(), row.listener());
    let (protocol, transport, port) = (row.protocol, row.transport, row.port);
    Text {
        zh: format!("{opener} 向 {listener} 建立 {protocol} 连接({transport} {port})"),
        en: format!("{opener} open {protocol} to {listener} ({transport} {port})"),
    }
}

/// Which way data goes, by the names of the ends.
pub(crate) fn ways(row: &Row) -> String {
    let (from, to) = (row.from.role.word(), row.to.role.word());
    match row.data {
        crate::Ways::FromTo => format!("{from} → {to}"),
        crate::Ways::ToFrom => format!("{to} → {from}"),
        crate::Ways::Both => format!("{from} ↔ {to}"),
    }
}
