//! Two matrices, and what the second allows that the first did not.

use std::collections::BTreeSet;

use guitai_types::place::Text;

use crate::{
    admit::{arrow, ways},
    matrix::{Matrix, RoleEntry, Row, RowId, ZoneEntry},
    names::Word as _,
};

/// What makes the second matrix of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Name, version, zones and roles of the second, where any is another.
    pub head: Option<Head>,
    /// Rows that are not the same, ordered by id.
    pub rows: Vec<RowChange>,
}

/// What a matrix has beside its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Of which deployment it is.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// Zones.
    pub zones: Vec<ZoneEntry>,
    /// Roles.
    pub roles: Vec<RoleEntry>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// It is new.
    Added(Box<Row>),
    /// It is gone.
    Removed(Box<Row>),
    /// It is another.
    Changed {
        /// As it was.
        before: Box<Row>,
        /// As it is.
        after: Box<Row>,
    },
}

/// Whether a change allows more or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Something may be that might not be before.
    Widens,
    /// Something may no longer be.
    Narrows,
    /// Neither: other words for the same.
    Neutral,
}

impl Effect {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Widens => "widens",
            Self::Narrows => "narrows",
            Self::Neutral => "neutral",
        }
    }
}

/// One change as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The row; none for the head.
    pub row: Option<RowId>,
    /// Whether more or less is allowed.
    pub effect: Effect,
    /// What changes.
    pub words: Text,
}

impl Diff {
    /// What makes `after` of `before`.
    pub fn between(before: &Matrix, after: &Matrix) -> Self {
        let head = |it: &Matrix| Head {
            name: it.name.clone(),
            version: it.version,
            zones: it.zones.clone(),
            roles: it.roles.clone(),
        };
        let changed = head(before) != head(after);
        let ids: BTreeSet<&RowId> = before
            .rows()
            .iter()
            .chain(after.rows())
            .map(|row| &row.id)
            .collect();
        let row = |id: &&RowId| match (before.row(id), after.row(id)) {
            (None, Some(after)) => Some(RowChange::Added(Box::new(after.clone()))),
            (Some(before), None) => Some(RowChange::Removed(Box::new(before.clone()))),
            (Some(before), Some(after)) if before != after => Some(RowChange::Changed {
                before: Box::new(before.clone()),
                after: Box::new(after.clone()),
            }),
            _ => None,
        };
        Self {
            head: changed.then(|| head(after)),
            rows: ids.iter().filter_map(row).collect(),
        }
    }

    /// Whether both matrices are the same.
    pub const fn is_empty(&self) -> bool {
        self.head.is_none() && self.rows.is_empty()
    }

    /// Whether anything may be that might not be before.
    pub fn widens(&self) -> bool {
        let rows = self.rows.iter().flat_map(RowChange::sentences);
        rows.into_iter().any(|it| it.effect == Effect::Widens)
    }

    /// The second matrix, made of the first.
    ///
    /// # Errors
    /// What results is no matrix, because the first is not the one that this was made from.
    pub fn apply(&self, before: &Matrix) -> Result<Matrix, crate::ParseError> {
        let mut made = before.clone();
        if let Some(head) = &self.head {
            made.name.clone_from(&head.name);
            made.version = head.version;
            made.zones.clone_from(&head.zones);
            made.roles.clone_from(&head.roles);
        }
        for change in &self.rows {
            made.rows.retain(|row| &row.id != change.id());
            match change {
                RowChange::Added(row) | RowChange::Changed { after: row, .. } => {
                    made.rows.push((**row).clone());
                }
                RowChange::Removed(_) => {}
            }
        }
        made.rows.sort_by(|a, b| a.id.cmp(&b.id));
        made.checked(|_| 0)
    }

    /// Every change as a sentence: what widens first, then what narrows.
    pub fn sentences(&self, before: &Matrix) -> Vec<Sentence> {
        let head = self.head.as_ref().map(|head| head.sentence(before));
        let rows = self.rows.iter().flat_map(RowChange::sentences);
        let mut sentences: Vec<Sentence> = head.into_iter().chain(rows).collect();
        sentences.sort_by_key(|it| it.effect);
        sentences
    }
}

impl Head {
    fn sentence(&self, before: &Matrix) -> Sentence {
        let (name, version) = (&self.name, self.version);
        let was = before.version;
        let places = if self.zones == before.zones && self.roles == before.roles {
            ("", "")
        } else {
            (";区域或角色有变", "; zones or roles are others")
        };
        Sentence {
            row: None,
            effect: Effect::Neutral,
            words: Text {
                zh: format!("{name}:第 {was} 版改为第 {version} 版{}", places.0),
                en: format!("{name}: version {was} becomes {version}{}", places.1),
            },
        }
    }
}

impl RowChange {
    /// The row that it is about.
    pub const fn id(&self) -> &RowId {
        match self {
            Self::Added(row) | Self::Removed(row) => &row.id,
            Self::Changed { after, .. } => &after.id,
        }
    }

    /// Its sentences, one for each field that is another.
    pub fn sentences(&self) -> Vec<Sentence> {
        match self {
            Self::Added(row) => vec![added(row)],
            Self::Removed(row) => vec![removed(row)],
            Self::Changed { before, after } => changed(before, after),
        }
    }
}

fn sentence(row: &Row, effect: Effect, zh: String, en: String) -> Sentence {
    Sentence {
        row: Some(row.id.clone()),
        effect,
        words: Text { zh, en },
    }
}

/// The verb agrees with "may".
fn added(row: &Row) -> Sentence {
    let it = arrow(row);
    let (zh, en) = it
        .zh
        .split_once(' ')
        .zip(it.en.split_once(' '))
        .unwrap_or_default();
    let (class, data, until) = (row.class.word().to_uppercase(), ways(row), row.expires);
    let zh = format!(
        "{} 今后可{};数据 {data},最高 {class},至 {until}",
        zh.0, zh.1
    );
    let en = format!(
        "{} may now {}; data {data}, at most {class}, until {until}",
        en.0, en.1
    );
    sentence(row, Effect::Widens, zh, en)
}

fn removed(row: &Row) -> Sentence {
    let it = arrow(row);
    let (zh, en) = it
        .zh
        .split_once(' ')
        .zip(it.en.split_once(' '))
        .unwrap_or_default();
    let zh = format!("不再允许 {} {}", zh.0, zh.1);
    let en = format!("{} may no longer {}", en.0, en.1);
    sentence(row, Effect::Narrows, zh, en)
}

fn changed(before: &Row, after: &Row) -> Vec<Sentence> {
    let mut said = Vec::new();
    let mut say = |effect, zh, en| said.push(sentence(after, effect, zh, en));
    let place = |row: &Row| {
        (
            row.opener(),
            row.listener(),
            row.protocol,
            row.transport,
            row.port,
        )
    };
    if place(before) != place(after) {
        let (was, is) = (arrow(before), arrow(after));
        // Whatever it is now, it might not be before; what might be no longer may.
        say(
            Effect::Widens,
            format!("改为允许 {}", is.zh),
            format!("now lets {}", is.en),
        );
        say(
            Effect::Narrows,
            format!("不再允许 {}", was.zh),
            format!("no longer lets {}", was.en),
        );
    } else {
        let written = |row: &Row| (row.from, row.to, row.opens);
        if written(before) != written(after) {
            let (from, to) = (after.from, after.to);
            say(
                Effect::Neutral,
                format!("两端改写为 {from} 与 {to}"),
                format!("its ends are written as {from} and {to} now"),
            );
        }
        directions(before, after, &mut say);
    }
    if before.class != after.class {
        let (was, is) = (
            before.class.word().to_uppercase(),
            after.class.word().to_uppercase(),
        );
        say(
            larger(&before.class, &after.class),
            format!("数据级别由 {was} 改为 {is}"),
            format!("may carry up to {is}; it was {was}"),
        );
    }
    for message in after
        .messages
        .iter()
        .filter(|one| !before.messages.contains(one))
    {
        say(
            Effect::Widens,
            format!("今后可传 {message}"),
            format!("may now carry {message}"),
        );
    }
    for message in before
        .messages
        .iter()
        .filter(|one| !after.messages.contains(one))
    {
        say(
            Effect::Narrows,
            format!("不再允许 {message}"),
            format!("may no longer carry {message}"),
        );
    }
    sealing(before, after, &mut say);
    limits(before, after, &mut say);
    if before.expires != after.expires {
        let (was, is) = (before.expires, after.expires);
        say(
            larger(&was, &is),
            format!("有效期由 {was} 改为 {is}"),
            format!("holds until {is}; it was {was}"),
        );
    }
    if before.owner != after.owner {
        let (was, is) = (&before.owner, &after.owner);
        say(
            Effect::Neutral,
            format!("责任方由“{was}”改为“{is}”"),
            format!("is owned by \"{is}\"; it was \"{was}\""),
        );
    }
    if before.purpose != after.purpose {
        let is = &after.purpose;
        say(
            Effect::Neutral,
            format!("用途改写为“{}”", is.zh),
            format!("its purpose reads \"{}\" now", is.en),
        );
    }
    said
}

/// By who opens and who listens, and not by the sides: those may have been turned round.
fn directions(before: &Row, after: &Row, say: &mut impl FnMut(Effect, String, String)) {
    let sends = |row: &Row, opener: bool| {
        let side = if opener { row.opens } else { row.opens.other() };
        row.data.leaves(side)
    };
    for opener in [true, false] {
        let (from, to) = if opener {
            (after.opener(), after.listener())
        } else {
            (after.listener(), after.opener())
        };
        match (sends(before, opener), sends(after, opener)) {
            (false, true) => say(
                Effect::Widens,
                format!("数据今后也可由 {from} 流向 {to}"),
                format!("data may now also go from {from} to {to}"),
            ),
            (true, false) => say(
                Effect::Narrows,
                format!("数据不再允许由 {from} 流向 {to}"),
                format!("data may no longer go from {from} to {to}"),
            ),
            _ => {}
        }
    }
}

fn sealing(before: &Row, after: &Row, say: &mut impl FnMut(Effect, String, String)) {
    match (before.sealed_for.is_empty(), after.sealed_for.is_empty()) {
        (true, false) => say(
            Effect::Narrows,
            "内容改为端到端加封".to_owned(),
            "what it carries is now sealed end to end".to_owned(),
        ),
        (false, true) => say(
            Effect::Widens,
            "内容不再端到端加封,两端均可读".to_owned(),
            "what it carries is no longer sealed: both ends read it".to_owned(),
        ),
        _ => {
            for role in after
                .sealed_for
                .iter()
                .filter(|one| !before.sealed_for.contains(one))
            {
                say(
                    Effect::Widens,
                    format!("{role} 今后可启封其内容"),
                    format!("{role} may now open what is sealed in it"),
                );
            }
            for role in before
                .sealed_for
                .iter()
                .filter(|one| !after.sealed_for.contains(one))
            {
                say(
                    Effect::Narrows,
                    format!("不再允许 {role} 启封其内容"),
                    format!("{role} may no longer open what is sealed in it"),
                );
            }
        }
    }
}

fn limits(before: &Row, after: &Row, say: &mut impl FnMut(Effect, String, String)) {
    let (was, is) = (&before.limits, &after.limits);
    let limits = [
        (
            was.message_bytes,
            is.message_bytes,
            "单条消息字节数",
            "bytes a message",
        ),
        (
            was.messages_per_second,
            is.messages_per_second,
            "每秒消息数",
            "messages a second",
        ),
        (
            was.connections_per_second,
            is.connections_per_second,
            "每秒新建连接数",
            "new connections a second",
        ),
    ];
    for (was, is, zh, en) in limits {
        if was != is {
            say(
                larger(&was, &is),
                format!("{zh}上限由 {was} 改为 {is}"),
                format!("takes at most {is} {en}; it was {was}"),
            );
        }
    }
}

fn larger<T: Ord>(was: &T, is: &T) -> Effect {
    if is > was {
        Effect::Widens
    } else {
        Effect::Narrows
    }
}
