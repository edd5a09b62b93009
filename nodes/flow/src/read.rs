//! From a file to a matrix: every fault with its line, row and field.

use std::{collections::BTreeMap, ops::Range};

use guitai_types::{Date, place::Text};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    fault::{Fault, ParseError, Why},
    limits::{FAULTS_MAX, FILE_BYTES_MAX, NAME_CHARS_MAX, ROWS_MAX},
    matrix::{Limits, Matrix, RoleEntry, Row, RowId, ZoneEntry},
    names::{End, RawPort, UnknownWord, Word},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMatrix {
    format: String,
    name: String,
    version: u64,
    zones: Vec<RawZone>,
    roles: Vec<RawRole>,
    #[serde(default)]
    rows: Vec<Spanned<RawRow>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawZone {
    id: Spanned<String>,
    name: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    id: Spanned<String>,
    zone: Spanned<String>,
    name: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnd {
    zone: Spanned<String>,
    role: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    id: Spanned<String>,
    from: RawEnd,
    to: RawEnd,
    protocol: Spanned<String>,
    transport: Spanned<String>,
    port: Spanned<RawPort>,
    opens: Spanned<String>,
    data: Spanned<String>,
    class: Spanned<String>,
    #[serde(default)]
    messages: Vec<String>,
    #[serde(default)]
    sealed_for: Vec<Spanned<String>>,
    limits: Limits,
    purpose: Text,
    owner: String,
    expires: Spanned<String>,
}

/// Reads a matrix.
pub(crate) fn matrix(text: &str) -> Result<Matrix, ParseError> {
    let raw: RawMatrix = toml(text)?;
    let mut reader = Reader {
        text,
        row: None,
        faults: Vec::new(),
    };
    if raw.rows.len() > ROWS_MAX {
        let (found, max) = (raw.rows.len(), ROWS_MAX);
        let at = raw.rows.get(ROWS_MAX).map(Spanned::span);
        reader.fault(at, "rows", Why::TooMany { found, max });
        return Err(ParseError::Faults(reader.faults));
    }
    let mut zones: Vec<ZoneEntry> = raw
        .zones
        .into_iter()
        .filter_map(|it| reader.zone(it))
        .collect();
    zones.sort_by_key(|zone| zone.id);
    let mut roles: Vec<RoleEntry> = raw
        .roles
        .into_iter()
        .filter_map(|it| reader.role(it))
        .collect();
    roles.sort_by_key(|role| role.id);
    let mut lines = BTreeMap::new();
    let mut rows = Vec::new();
    for raw in raw.rows {
        let line = line_of(text, raw.span().start);
        if let Some(row) = reader.row(raw.into_inner()) {
            lines.insert(row.id.clone(), line);
            rows.push(row);
        }
    }
    if !reader.faults.is_empty() {
        reader.faults.truncate(FAULTS_MAX);
        return Err(ParseError::Faults(reader.faults));
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    let matrix = Matrix {
        format: raw.format,
        name: raw.name,
        version: raw.version,
        zones,
        roles,
        rows,
    };
    matrix.checked(|row| lines.get(row).copied().unwrap_or_default())
}

/// Reads any file of ours, and says in which line and row it is none.
pub(crate) fn toml<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, ParseError> {
    if text.len() > FILE_BYTES_MAX {
        let bytes = text.len();
        return Err(ParseError::TooLarge { bytes });
    }
    ::toml::from_str(text).map_err(|error| {
        let at = error.span().map(|span| span.start);
        ParseError::Toml {
            line: at.map(|at| line_of(text, at)).unwrap_or_default(),
            row: at.and_then(|at| row_around(text, at)),
            message: error.message().to_owned(),
        }
    })
}

/// The line of a byte, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|byte| **byte == b'\n').count() + 1
}

/// The id of the row around a byte, where serde could not tell: fields are read before rows are.
fn row_around(text: &str, at: usize) -> Option<String> {
    let (before, after) = text.split_at_checked(at)?;
    let begins = before.rfind("[[rows]]")?;
    if after.starts_with("[[rows]]") {
        return first_id(after.get("[[rows]]".len()..)?);
    }
    first_id(text.get(begins + "[[rows]]".len()..)?)
}

fn first_id(text: &str) -> Option<String> {
    let lines = text
        .lines()
        .take_while(|line| !line.trim_start().starts_with("[["));
    let id = lines
        .filter_map(|line| line.trim().strip_prefix("id"))
        .find_map(|rest| rest.trim_start().strip_prefix('='))?;
    let id: RowId = id.trim().trim_matches('"').parse().ok()?;
    Some(id.to_string())
}

struct Reader<'a> {
    text: &'a str,
    row: Option<String>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, at: Option<Range<usize>>, field: &'static str, why: Why) {
        let line = at
            .map(|at| line_of(self.text, at.start))
            .unwrap_or_default();
        let row = self.row.clone();
        self.faults.push(Fault {
            line,
            row,
            field,
            why,
        });
    }

    fn word<W: Word>(&mut self, field: &'static str, raw: &Spanned<String>) -> Option<W> {
        match W::read(raw.get_ref()) {
            Ok(word) => Some(word),
            Err(UnknownWord { value, known }) => {
                let value = value.chars().take(NAME_CHARS_MAX).collect();
                self.fault(Some(raw.span()), field, Why::Unknown { value, known });
                None
            }
        }
    }

    fn form<T, E: ToString>(
        &mut self,
        field: &'static str,
        at: Range<usize>,
        read: Result<T, E>,
    ) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                let must = error.to_string();
                self.fault(Some(at), field, Why::Form { must });
                None
            }
        }
    }

    fn zone(&mut self, raw: RawZone) -> Option<ZoneEntry> {
        let id = self.word("zones.id", &raw.id)?;
        Some(ZoneEntry { id, name: raw.name })
    }

    fn role(&mut self, raw: RawRole) -> Option<RoleEntry> {
        let id = self.word("roles.id", &raw.id);
        let zone = self.word("roles.zone", &raw.zone);
        Some(RoleEntry {
            id: id?,
            zone: zone?,
            name: raw.name,
        })
    }

    fn end(&mut self, field: &'static str, raw: &RawEnd) -> Option<End> {
        let zone = self.word(field, &raw.zone);
        let role = self.word(field, &raw.role);
        Some(End {
            zone: zone?,
            role: role?,
        })
    }

    /// Reads every field before it gives up, so that each fault of the row is named.
    fn row(&mut self, raw: RawRow) -> Option<Row> {
        self.row = None;
        let id = self.form("id", raw.id.span(), raw.id.get_ref().parse::<RowId>());
        self.row = id.as_ref().map(ToString::to_string);
        let from = self.end("from", &raw.from);
        let to = self.end("to", &raw.to);
        let protocol = self.word("protocol", &raw.protocol);
        let transport = self.word("transport", &raw.transport);
        let port = self.form("port", raw.port.span(), raw.port.into_inner().0);
        let opens = self.word("opens", &raw.opens);
        let data = self.word("data", &raw.data);
        let class = self.word("class", &raw.class);
        let mut messages = raw.messages;
        messages.sort_unstable();
        let mut sealed_for: Vec<_> = raw
            .sealed_for
            .iter()
            .filter_map(|role| self.word("sealed_for", role))
            .collect();
        sealed_for.sort_unstable();
        let expires = raw.expires.get_ref().parse::<Date>();
        let expires = self.form("expires", raw.expires.span(), expires);
        Some(Row {
            id: id?,
            from: from?,
            to: to?,
            protocol: protocol?,
            transport: transport?,
            port: port?,
            opens: opens?,
            data: data?,
            class: class?,
            messages,
            sealed_for,
            limits: raw.limits,
            purpose: raw.purpose,
            owner: raw.owner,
            expires: expires?,
        })
    }
}
