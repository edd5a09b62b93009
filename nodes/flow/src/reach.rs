//! If a role is taken over: what can it open, answer, read, forge, and what not? Answered from the matrix alone:
//! a node on which several roles stand has what each of them has.

use std::collections::BTreeSet;

use guitai_types::Date;
use serde::Serialize;

use crate::{
    matrix::{Matrix, Row, RowId},
    names::{DataClass, End, Port, Protocol, Side, Transport, Word as _},
    rules,
};

/// What a role that was taken over has in its hands, on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The role.
    pub from: End,
    /// The day.
    pub on: Date,
    /// Rows that it opens.
    pub opens: Vec<Touch>,
    /// Rows that it answers.
    pub answers: Vec<Touch>,
    /// Classes of data that it reads.
    pub reads: BTreeSet<DataClass>,
    /// Classes of data that it passes on sealed: it can drop and delay them, not read them.
    pub passes: BTreeSet<DataClass>,
    /// Kinds of message that it reads.
    pub messages_read: BTreeSet<String>,
    /// Kinds of message that it passes on sealed.
    pub messages_passed: BTreeSet<String>,
    /// Kinds of message that it can send, and so forge.
    pub messages_sent: BTreeSet<String>,
    /// What it cannot.
    pub cannot: Cannot,
}

/// A row that a role has a part in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Touch {
    /// Which.
    pub row: RowId,
    /// With whom.
    pub peer: End,
    /// What is spoken.
    pub protocol: Protocol,
    /// What carries it.
    pub transport: Transport,
    /// Where the listener listens.
    pub port: Port,
    /// The most sensitive class in it.
    pub class: DataClass,
    /// Whether it reads what the row carries; what is sealed for others it passes on.
    pub reads: bool,
    /// Whether data reach it.
    pub receives: bool,
    /// Whether it sends data.
    pub sends: bool,
}

/// What a role that was taken over cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cannot {
    /// Open any connection to these.
    pub open_to: BTreeSet<End>,
    /// Have a part in any connection with these, whoever opens.
    pub meet: BTreeSet<End>,
    /// Speak these.
    pub speak: BTreeSet<Protocol>,
    /// Read data of these classes.
    pub read: BTreeSet<DataClass>,
    /// Send messages of these kinds, of protocols that tell kinds apart.
    pub send: BTreeSet<String>,
}

impl Matrix {
    /// What `from` has in its hands once it is taken over, on a day; `None` if the matrix does not declare it.
    pub fn reach(&self, from: End, on: Date) -> Option<Reach> {
        if !self.declares(from) {
            return None;
        }
        let holding = || self.rows().iter().filter(|row| row.holds(on));
        let touch = |row: &Row, side: Side| Touch {
            row: row.id.clone(),
            peer: row.end(side.other()),
            protocol: row.protocol,
            transport: row.transport,
            port: row.port,
            class: row.class,
            reads: row.is_read_by(from.role),
            receives: row.data.leaves(side.other()),
            sends: row.data.leaves(side),
        };
        let opens: Vec<Touch> = holding()
            .filter(|row| row.opener() == from)
            .map(|row| touch(row, row.opens))
            .collect();
        let answers: Vec<Touch> = holding()
            .filter(|row| row.listener() == from)
            .map(|row| touch(row, row.opens.other()))
            .collect();

        let (mut reads, mut passes) = (BTreeSet::new(), BTreeSet::new());
        let (mut messages_read, mut messages_passed) = (BTreeSet::new(), BTreeSet::new());
        let mut messages_sent = BTreeSet::new();
        for row in holding().filter(|row| [row.from, row.to].contains(&from)) {
            let is_read = row.is_read_by(from.role);
            let classes = if is_read { &mut reads } else { &mut passes };
            // A row's class is the highest there may be in it; lower ones may be as well.
            classes.extend(DataClass::ALL.iter().filter(|class| **class <= row.class));
            let seen = if is_read {
                &mut messages_read
            } else {
                &mut messages_passed
            };
            seen.extend(row.messages.iter().cloned());
            for side in [Side::From, Side::To] {
                if row.end(side) == from && is_read {
                    let sent = row.messages.iter().filter(|it| leaves(row, it, side));
                    messages_sent.extend(sent.cloned());
                }
            }
        }
        passes.retain(|class| !reads.contains(class));
        messages_passed.retain(|message| !messages_read.contains(message));

        let touched = || opens.iter().chain(&answers);
        let peers: BTreeSet<End> = touched().map(|touch| touch.peer).collect();
        let spoken: BTreeSet<Protocol> = touched().map(|touch| touch.protocol).collect();
        let everyone = || {
            self.roles().iter().map(|role| End {
                zone: role.zone,
                role: role.id,
            })
        };
        let can_open = |end: &End| opens.iter().any(|touch| touch.peer == *end);
        let kinds = Protocol::ALL
            .iter()
            .flat_map(|protocol| protocol.messages().iter().copied().flatten());
        let cannot = Cannot {
            open_to: everyone().filter(|end| !can_open(end)).collect(),
            meet: everyone()
                .filter(|end| *end != from && !peers.contains(end))
                .collect(),
            speak: Protocol::ALL
                .iter()
                .copied()
                .filter(|one| !spoken.contains(one))
                .collect(),
            read: DataClass::ALL
                .iter()
                .copied()
                .filter(|class| !reads.contains(class))
                .collect(),
            send: kinds
                .filter(|kind| !messages_sent.contains(**kind))
                .map(|kind| (*kind).to_owned())
                .collect(),
        };
        Some(Reach {
            from,
            on,
            opens,
            answers,
            reads,
            passes,
            messages_read,
            messages_passed,
            messages_sent,
            cannot,
        })
    }
}

/// Whether a kind of message goes out at that end. Of calls, questions and consensus both ends say every kind:
/// one asks, the other answers; the opener alone begins.
fn leaves(row: &Row, message: &str, side: Side) -> bool {
    match rules::leaves(row, message) {
        Some(only) => only == side,
        None if begins(row.protocol) => row.opens == side,
        None => row.data.leaves(side),
    }
}

/// Whether messages of a protocol are requests, which only the opener makes.
const fn begins(protocol: Protocol) -> bool {
    matches!(
        protocol,
        Protocol::Call | Protocol::Node | Protocol::Crl | Protocol::Raft
    )
}

impl Reach {
    /// Whether it has a part in no row at all.
    pub const fn is_empty(&self) -> bool {
        self.opens.is_empty() && self.answers.is_empty()
    }

    /// Every row that it has a part in, once.
    pub fn rows(&self) -> BTreeSet<&RowId> {
        let touched = self.opens.iter().chain(&self.answers);
        touched.map(|touch| &touch.row).collect()
    }
}
