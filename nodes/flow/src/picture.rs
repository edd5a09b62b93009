//! The matrix as a picture: zones as boxes, roles in them, one arrow for each pair that talks, pointing the way
//! connections are opened. The same matrix and language give the same bytes.

use std::collections::BTreeMap;

use guitai_types::{Date, Zone, place::Text};

use crate::{
    matrix::{Matrix, Row},
    names::{DataClass, End, Role, Ways, Word as _},
};

/// The picture's size in its own units.
const WIDTH: i32 = 2030;
const HEIGHT: i32 = 1040;
/// A line of a card, and its letters.
const LINE: i32 = 21;
const LETTERS: i32 = 13;
/// Room inside of a card, and between its columns.
const PAD: i32 = 10;
const GAP: i32 = 12;
/// How much of a line a mark of class takes, and a lock.
const CHIP: i32 = 36;
const LOCK: i32 = 13;

const FONT: &str =
    "'Noto Sans CJK SC','Source Han Sans SC','PingFang SC','Microsoft YaHei',sans-serif";
const STYLE: &str = "text{fill:#1d2733}.z{font-size:22px;font-weight:700}.zi{font-size:13px;fill:#64748b}\
.r{font-size:18px;font-weight:700}.ri{font-size:13px;fill:#64748b}.c{font-size:13px}.p{font-size:12px;fill:#64748b}\
.k{font-size:11px;font-weight:700}.t{font-size:28px;font-weight:700}.s{font-size:14px;fill:#64748b}\
.a{fill:none;stroke:#334155;stroke-width:2.2;stroke-linejoin:round}";

/// A box: left, top, width, height.
#[derive(Debug, Clone, Copy)]
struct Area {
    x: i32,
    y: i32,
    w: i32,
    h: i32,
}

impl Area {
    const fn new(x: i32, y: i32, w: i32, h: i32) -> Self {
        Self { x, y, w, h }
    }
    const fn right(self) -> i32 {
        self.x + self.w
    }
    const fn bottom(self) -> i32 {
        self.y + self.h
    }
    const fn cx(self) -> i32 {
        self.x + self.w / 2
    }
    const fn cy(self) -> i32 {
        self.y + self.h / 2
    }
}

/// Where a zone is drawn, in which colours.
const fn zone_area(zone: Zone) -> (Area, &'static str, &'static str) {
    match zone {
        Zone::Outer => (Area::new(40, 130, 250, 830), "#f1f5f9", "#94a3b8"),
        Zone::Dmz => (Area::new(560, 130, 250, 830), "#fff7ed", "#fb923c"),
        Zone::Inner => (Area::new(1050, 130, 940, 830), "#ecfdf5", "#34d399"),
    }
}

/// Where a role is drawn: people and recorders stand so that no two arrows cross.
const fn role_area(role: Role) -> Area {
    match role {
        Role::Customer => Area::new(65, 390, 200, 150),
        Role::Edge => Area::new(585, 210, 200, 540),
        Role::Relay => Area::new(1075, 210, 190, 130),
        Role::Core => Area::new(1075, 570, 190, 190),
        Role::Recorder => Area::new(1510, 400, 170, 100),
        Role::Agent => Area::new(1800, 400, 165, 100),
        Role::Operator => Area::new(1800, 830, 165, 100),
        Role::ObjectStore => Area::new(1800, 610, 165, 80),
    }
}

/// The way of an arrow, and where its card stands.
struct Way {
    points: Vec<(i32, i32)>,
    card: (i32, i32),
}

/// Draws the matrix as it holds on a day, in Chinese or else in English.
pub fn svg(matrix: &Matrix, chinese: bool, on: Date) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"{FONT}\">\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"h\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto-start-reverse\"><path d=\"M0 0L10 5L0 10z\" fill=\"#334155\"/></marker></defs>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let pick = |text: &Text| {
        if chinese {
            text.zh.clone()
        } else {
            text.en.clone()
        }
    };
    head(&mut out, matrix, chinese, on);
    for zone in matrix.zones() {
        let (area, fill, stroke) = zone_area(zone.id);
        rect(&mut out, area, 18, fill, stroke);
        let (x, y) = (area.x + 22, area.y + 36);
        text(&mut out, "z", x, y, &pick(&zone.name));
        text(&mut out, "zi", x, y + 20, zone.id.word());
    }
    let mut pairs: BTreeMap<(End, End), Vec<&Row>> = BTreeMap::new();
    for row in matrix.rows().iter().filter(|row| row.holds(on)) {
        let pair = (row.opener(), row.listener());
        pairs.entry(pair).or_default().push(row);
    }
    let ways: Vec<(Way, &Vec<&Row>)> = pairs
        .iter()
        .map(|((opener, listener), rows)| (way(opener.role, listener.role, rows), rows))
        .collect();
    for (way, _) in &ways {
        arrow(&mut out, &way.points);
    }
    for role in matrix.roles() {
        let area = role_area(role.id);
        let stroke = zone_area(role.zone).2;
        rect(&mut out, area, 12, "#fff", stroke);
        let y = area.cy();
        middle(&mut out, "r", area.cx(), y, &pick(&role.name));
        middle(&mut out, "ri", area.cx(), y + 21, role.id.word());
    }
    for (way, rows) in &ways {
        card(&mut out, way.card, rows, chinese);
    }
    out.push_str("</svg>\n");
    out
}

fn head(out: &mut String, matrix: &Matrix, chinese: bool, on: Date) {
    let digest = matrix.digest().map(|it| it.to_string());
    let digest = digest.unwrap_or_default();
    let (name, version) = (matrix.name(), matrix.version());
    let title = if chinese {
        format!("流转矩阵 {name} 第 {version} 版")
    } else {
        format!("Flow matrix {name}, version {version}")
    };
    text(out, "t", 40, 58, &title);
    let holding = matrix.rows().iter().filter(|row| row.holds(on)).count();
    let all = matrix.rows().len();
    let below = if chinese {
        format!("{on} 有效 {holding} 行,共 {all} 行 · SM3 {digest}")
    } else {
        format!("{holding} of {all} rows hold on {on} · SM3 {digest}")
    };
    text(out, "s", 40, 88, &below);
    let legend = if chinese {
        [
            "箭头指向被连接的一端:谁建立连接",
            "允许的最高数据级别(JR/T 0171)",
            "端到端加封,途经者不可读",
        ]
    } else {
        [
            "an arrow points the way a connection is opened",
            "highest class of data (JR/T 0171)",
            "sealed end to end: who passes it on cannot read it",
        ]
    };
    let y = HEIGHT - 34;
    let [arrows, classes, sealed] = legend;
    arrow(out, &[(40, y - 5), (86, y - 5)]);
    text(out, "s", 98, y, arrows);
    let mut x = 98 + width(arrows, 14) + 50;
    for class in DataClass::ALL {
        chip(out, x, y - 15, *class);
        x += 36;
    }
    text(out, "s", x + 4, y, classes);
    x += width(classes, 14) + 54;
    lock(out, x, y - 15);
    text(out, "s", x + 20, y, sealed);
}

/// The way of the arrows there are; another pair gets a straight line.
fn way(opener: Role, listener: Role, rows: &[&Row]) -> Way {
    let (a, b) = (role_area(opener), role_area(listener));
    let across = |y: i32| {
        let (from, to) = if a.x > b.x {
            (a.x, b.right())
        } else {
            (a.right(), b.x)
        };
        let middle = if a.x > b.x {
            i32::midpoint(zone_gap(a), to)
        } else {
            i32::midpoint(from, to)
        };
        Way {
            points: vec![(from, y), (to, y)],
            card: (middle, y),
        }
    };
    let elbow = |x: i32, from: i32, y: i32, middle: i32| Way {
        points: vec![(x, from), (x, y), (b.right(), y)],
        card: (middle, y),
    };
    match (opener, listener) {
        (Role::Customer | Role::Relay | Role::Core, Role::Edge) => across(a.cy()),
        (Role::Agent, Role::Relay) => elbow(a.cx(), a.y, b.cy() - 28, 1690),
        (Role::Recorder, Role::Relay) => elbow(a.x + 30, a.y, b.cy() + 36, 1420),
        (Role::Recorder, Role::Core) => elbow(a.x + 30, a.bottom(), b.y + 34, 1420),
        (Role::Core, Role::Recorder) => Way {
            points: vec![
                (a.right(), a.y + 90),
                (b.x + 140, a.y + 90),
                (b.x + 140, b.bottom()),
            ],
            card: (1470, a.y + 90),
        },
        (Role::Recorder, Role::ObjectStore) => Way {
            points: vec![
                (a.right() - 20, a.bottom()),
                (a.right() - 20, b.cy() - 25),
                (b.x, b.cy() - 25),
            ],
            card: (1750, b.cy() - 25),
        },
        (Role::Agent, Role::Core) => elbow(a.cx(), a.bottom(), b.y + 150, 1640),
        (Role::Operator, Role::Core) => Way {
            points: vec![
                (a.x, a.y + 30),
                (b.right() - 45, a.y + 30),
                (b.right() - 45, b.bottom()),
            ],
            card: (1540, a.y + 30),
        },
        (Role::Operator, Role::Edge) => Way {
            points: vec![(a.x, a.y + 75), (b.cx(), a.y + 75), (b.cx(), b.bottom())],
            card: (930, a.y + 75),
        },
        (Role::Relay, Role::Relay) => hoop(a.cx(), a.bottom(), 1, rows),
        (Role::Core, Role::Core) => hoop(a.cx(), a.y, -1, rows),
        (Role::Recorder, Role::Recorder) => hoop(a.x + 125, a.y, -1, rows),
        _ => Way {
            points: vec![(a.cx(), a.cy()), (b.cx(), b.cy())],
            card: (i32::midpoint(a.cx(), b.cx()), i32::midpoint(a.cy(), b.cy())),
        },
    }
}

/// Cards between zones stand in the gap, not in the zone of who opens.
const fn zone_gap(opener: Area) -> i32 {
    let inner = zone_area(Zone::Inner).0.x;
    if opener.x > inner { inner } else { opener.x }
}

/// A connection of a role to its own kind, above (-1) or below (1) the edge of its box.
fn hoop(x: i32, edge: i32, down: i32, rows: &[&Row]) -> Way {
    let reach = edge + down * 30;
    Way {
        points: vec![
            (x - 30, edge),
            (x - 30, reach),
            (x + 30, reach),
            (x + 30, edge),
        ],
        card: (x, reach + down * card_size(rows).1 / 2),
    }
}

fn arrow(out: &mut String, points: &[(i32, i32)]) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
    out.push_str(&format!(
        "<polyline class=\"a\" points=\"{}\" marker-end=\"url(#h)\"/>\n",
        points.join(" ")
    ));
}

/// Where a row's listener listens, and which way data go where it is not both.
fn place(row: &Row) -> String {
    let way = match row.data {
        Ways::Both => "↔".to_owned(),
        Ways::FromTo => format!("→ {}", row.to.role),
        Ways::ToFrom => format!("→ {}", row.from.role),
    };
    format!("{} {} {way}", row.transport, row.port)
}

/// How wide the two columns of a card are, protocols and places.
fn columns(rows: &[&Row]) -> (i32, i32) {
    let widest = |it: &dyn Fn(&Row) -> i32| rows.iter().map(|row| it(row)).max();
    let protocols = widest(&|row| width(row.protocol.word(), LETTERS));
    let places = widest(&|row| width(&place(row), LETTERS - 1));
    (protocols.unwrap_or_default(), places.unwrap_or_default())
}

fn card_size(rows: &[&Row]) -> (i32, i32) {
    let (protocols, places) = columns(rows);
    let sealed = rows.iter().any(|row| !row.sealed_for.is_empty());
    let w = CHIP + protocols + GAP + places + if sealed { GAP + LOCK } else { 0 } + 2 * PAD;
    let h = LINE * i32::try_from(rows.len()).unwrap_or(i32::MAX / LINE) + PAD;
    (w, h)
}

fn card(out: &mut String, (cx, cy): (i32, i32), rows: &[&Row], chinese: bool) {
    let (w, h) = card_size(rows);
    let (protocols, _) = columns(rows);
    let area = Area::new(cx - w / 2, cy - h / 2, w, h);
    rect(out, area, 8, "#ffffff", "#cbd5e1");
    let mut y = area.y + PAD / 2;
    for row in rows {
        let purpose = if chinese {
            &row.purpose.zh
        } else {
            &row.purpose.en
        };
        let (id, purpose) = (&row.id, escaped(purpose));
        out.push_str(&format!("<g><title>{id}: {purpose}</title>\n"));
        chip(out, area.x + PAD, y + 3, row.class);
        let x = area.x + PAD + CHIP;
        text(out, "c", x, y + 15, row.protocol.word());
        text(out, "p", x + protocols + GAP, y + 15, &place(row));
        if !row.sealed_for.is_empty() {
            lock(out, area.right() - PAD - LOCK, y + 3);
        }
        out.push_str("</g>\n");
        y += LINE;
    }
}

fn chip(out: &mut String, x: i32, y: i32, class: DataClass) {
    let (fill, ink) = match class {
        DataClass::C1 => ("#e2e8f0", "#334155"),
        DataClass::C2 => ("#fde68a", "#78350f"),
        DataClass::C3 => ("#fecaca", "#7f1d1d"),
    };
    let name = class.word().to_uppercase();
    out.push_str(&format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"28\" height=\"16\" rx=\"8\" fill=\"{fill}\"/><text class=\"k\" x=\"{}\" y=\"{}\" text-anchor=\"middle\" style=\"fill:{ink}\">{name}</text>\n",
        x + 14,
        y + 12
    ));
}

fn lock(out: &mut String, x: i32, y: i32) {
    out.push_str(&format!(
        "<g transform=\"translate({x} {y})\"><path d=\"M3.5 7V4.5a3 3 0 0 1 6 0V7\" fill=\"none\" stroke=\"#0f766e\" stroke-width=\"1.8\"/><rect x=\"1\" y=\"7\" width=\"11\" height=\"8\" rx=\"2\" fill=\"#0f766e\"/></g>\n"
    ));
}

fn rect(out: &mut String, area: Area, round: i32, fill: &str, stroke: &str) {
    let Area { x, y, w, h } = area;
    out.push_str(&format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"1.5\"/>\n"
    ));
}

fn text(out: &mut String, class: &str, x: i32, y: i32, words: &str) {
    let words = escaped(words);
    out.push_str(&format!(
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{words}</text>\n"
    ));
}

fn middle(out: &mut String, class: &str, x: i32, y: i32, words: &str) {
    let words = escaped(words);
    out.push_str(&format!(
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{words}</text>\n"
    ));
}

/// How wide a text is about, in letters of `size`.
fn width(text: &str, size: i32) -> i32 {
    let letter = |c: char| {
        if c < '\u{2e80}' {
            size * 62 / 100
        } else {
            size
        }
    };
    text.chars().map(letter).sum()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
