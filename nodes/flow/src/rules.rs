//! The rules that one matrix can show by itself. Whether rows have expired depends on the day and is asked by
//! [`crate::check()`]; a matrix of last year must still be readable.

use std::collections::BTreeSet;

use guitai_types::{Zone, place::Text};

use crate::{
    fault::Why,
    limits::{
        CONNECTIONS_PER_SECOND_MAX, MESSAGE_BYTES_MAX, MESSAGES_PER_SECOND_MAX, NAME_CHARS_MAX,
        OWNER_CHARS_MAX, PURPOSE_CHARS_MAX, ROWS_MAX, VERSION_MAX,
    },
    matrix::{FORMAT, Matrix, Row, RowId},
    messages::{ANSWERS, ASKS, EDGE_NEEDS, ORDERS, TUNNEL_NEEDS},
    names::{Protocol, Role, Side, Word as _},
};

/// Where, which field, which rule.
pub(crate) type Broken = (Option<RowId>, &'static str, Why);

/// Every rule that `matrix` breaks.
pub(crate) fn broken(matrix: &Matrix) -> Vec<Broken> {
    let mut found = Vec::new();
    head(matrix, &mut found);
    if matrix.rows.len() > ROWS_MAX {
        let why = Why::TooMany {
            found: matrix.rows.len(),
            max: ROWS_MAX,
        };
        found.push((None, "rows", why));
        // Comparing thousands of rows with each other is what the limit is there to prevent.
        return found;
    }
    if !ordered(&matrix.rows, |row| &row.id) {
        found.push((None, "rows", unordered()));
    }
    for (index, row) in matrix.rows.iter().enumerate() {
        one(matrix, row, &mut found);
        let before = matrix.rows.iter().take(index);
        for other in before {
            if other.id == row.id {
                let value = row.id.to_string();
                found.push((Some(row.id.clone()), "id", Why::Twice { value }));
            } else if other.overlaps(row) {
                let other = other.id.clone();
                found.push((Some(row.id.clone()), "port", Why::Overlap { other }));
            }
        }
    }
    found
}

fn head(matrix: &Matrix, found: &mut Vec<Broken>) {
    let mut say = |field, why: Option<Why>| found.extend(why.map(|why| (None, field, why)));
    let format = (matrix.format != FORMAT).then(|| Why::Format {
        found: matrix.format.chars().take(NAME_CHARS_MAX).collect(),
    });
    say("format", format);
    say("name", line(&matrix.name, NAME_CHARS_MAX));
    say("version", range(matrix.version, VERSION_MAX));
    say(
        "zones",
        (!ordered(&matrix.zones, |zone| &zone.id)).then(unordered),
    );
    say(
        "roles",
        (!ordered(&matrix.roles, |role| &role.id)).then(unordered),
    );
    let mut seen = BTreeSet::new();
    for zone in &matrix.zones {
        let value = zone.id.word().to_owned();
        say(
            "zones.id",
            (!seen.insert(zone.id)).then_some(Why::Twice { value }),
        );
        say("zones.name", both(&zone.name, NAME_CHARS_MAX));
    }
    let mut roles = BTreeSet::new();
    for role in &matrix.roles {
        let value = role.id.word().to_owned();
        say(
            "roles.id",
            (!roles.insert(role.id)).then_some(Why::Twice { value }),
        );
        say("roles.name", both(&role.name, NAME_CHARS_MAX));
        let end = crate::End {
            zone: role.zone,
            role: role.id,
        };
        let strays = role.id.zone() != role.zone;
        say("roles.zone", strays.then_some(Why::Zone { end }));
        let what = role.zone.word().to_owned();
        let unknown = !seen.contains(&role.zone);
        say("roles.zone", unknown.then_some(Why::Undeclared { what }));
    }
}

fn one(matrix: &Matrix, row: &Row, found: &mut Vec<Broken>) {
    let id = || Some(row.id.clone());
    let mut say = |field, why: Option<Why>| found.extend(why.map(|why| (id(), field, why)));
    for (field, end) in [("from", row.from), ("to", row.to)] {
        let strays = end.role.zone() != end.zone;
        let undeclared = !strays && !matrix.declares(end);
        say(field, strays.then_some(Why::Zone { end }));
        let what = end.to_string();
        say(field, undeclared.then_some(Why::Undeclared { what }));
    }
    let (opener, listener) = (row.opener(), row.listener());
    let allowed = may_open(opener.zone, listener.zone);
    say(
        "opens",
        (!allowed).then_some(Why::Opens { opener, listener }),
    );
    let carried = row.protocol.transport() == row.transport;
    let protocol = row.protocol;
    say(
        "transport",
        (!carried).then_some(Why::Transport { protocol }),
    );
    for why in messages(row) {
        say("messages", Some(why));
    }
    for why in sealing(row) {
        say("sealed_for", Some(why));
    }
    let limits = &row.limits;
    say(
        "limits.message_bytes",
        range(limits.message_bytes, MESSAGE_BYTES_MAX),
    );
    let most = MESSAGES_PER_SECOND_MAX;
    say(
        "limits.messages_per_second",
        range(limits.messages_per_second, most),
    );
    let most = CONNECTIONS_PER_SECOND_MAX;
    say(
        "limits.connections_per_second",
        range(limits.connections_per_second, most),
    );
    say("purpose", both(&row.purpose, PURPOSE_CHARS_MAX));
    say("owner", line(&row.owner, OWNER_CHARS_MAX));
}

/// The arrows between zones: the inner zone opens wherever it must, the outer zone opens to the DMZ, and the
/// DMZ opens nothing, not even to itself.
pub(crate) const fn may_open(opener: Zone, listener: Zone) -> bool {
    matches!(
        (opener, listener),
        (Zone::Inner, Zone::Inner | Zone::Dmz) | (Zone::Outer, Zone::Dmz)
    )
}

fn messages(row: &Row) -> Vec<Why> {
    let protocol = row.protocol;
    let mut found = Vec::new();
    if row.messages.is_empty() && !protocol.messages().is_empty() {
        found.push(Why::NoMessages { protocol });
    }
    let lacks = needed(row).iter().filter(|value| !row.has(value));
    found.extend(lacks.map(|value| Why::Needed { value }));
    let mut before: Option<&String> = None;
    for value in &row.messages {
        let short = || value.chars().take(NAME_CHARS_MAX).collect::<String>();
        if !protocol.knows(value) {
            let value = short();
            found.push(Why::Message { protocol, value });
        } else if before == Some(value) {
            found.push(Why::Twice { value: short() });
        } else if before.is_some_and(|before| before > value) {
            found.push(unordered());
        } else if let Some(leaves) = leaves(row, value)
            && !row.data.leaves(leaves)
        {
            found.push(Why::Way { value: short() });
        }
        before = Some(value);
    }
    found
}

/// What a row must let through if it lets through anything: nodes hold each message against it.
fn needed(row: &Row) -> &'static [&'static str] {
    match row.protocol {
        Protocol::Tunnel => TUNNEL_NEEDS,
        Protocol::Node if row.listener().zone == Zone::Dmz => EDGE_NEEDS,
        _ => &[],
    }
}

/// From which end a control message goes: questions come from the DMZ, everything else from inside.
pub(crate) fn leaves(row: &Row, message: &str) -> Option<Side> {
    let zone = if ASKS.contains(&message) {
        Zone::Dmz
    } else if ANSWERS.contains(&message) || ORDERS.contains(&message) {
        Zone::Inner
    } else {
        return None;
    };
    [Side::From, Side::To]
        .into_iter()
        .find(|side| row.end(*side).zone == zone)
}

fn sealing(row: &Row) -> Vec<Why> {
    let mut found = Vec::new();
    let mut before: Option<Role> = None;
    for role in row.sealed_for.iter().copied() {
        if !holds_keys(role) {
            found.push(Why::Sealed { role });
        }
        if before.is_some_and(|before| before == role) {
            let value = role.word().to_owned();
            found.push(Why::Twice { value });
        } else if before.is_some_and(|before| before > role) {
            found.push(unordered());
        }
        before = Some(role);
    }
    let sealed = matches!(
        row.protocol,
        Protocol::WebSocket
            | Protocol::WebTransport
            | Protocol::MoqDoor
            | Protocol::MoqMesh
            | Protocol::S3
    );
    if !sealed && !row.sealed_for.is_empty() {
        found.push(Why::Form {
            must: "empty: only media and recordings in an object store are sealed".to_owned(),
        });
    }
    found
}

/// Who can have the media key of a call: its parties, the recorders, and the core node that draws it.
const fn holds_keys(role: Role) -> bool {
    matches!(
        role,
        Role::Customer | Role::Agent | Role::Recorder | Role::Core
    )
}

/// A file's order means nothing; one order is kept, so that one matrix has one digest.
fn ordered<T, K: Ord>(items: &[T], key: impl Fn(&T) -> &K) -> bool {
    items.is_sorted_by(|a, b| key(a) <= key(b))
}

fn unordered() -> Why {
    Why::Form {
        must: "ordered".to_owned(),
    }
}

fn range(value: u64, max: u64) -> Option<Why> {
    let min = 1;
    (!(min..=max).contains(&value)).then_some(Why::Range { value, min, max })
}

fn both(text: &Text, max: usize) -> Option<Why> {
    line(&text.zh, max).or_else(|| line(&text.en, max))
}

/// One line that shows something: it stands in tables, pictures and rules of the firewall.
fn line(text: &str, max: usize) -> Option<Why> {
    let chars = text.chars().count();
    let plain = text.chars().all(|c| !c.is_control() && !is_hidden(c));
    let fits = !text.trim().is_empty() && chars <= max && plain;
    (!fits).then_some(Why::Length { chars, max })
}

/// Characters that change what is seen of others (Unicode's bidirectional controls and line separators).
const fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
