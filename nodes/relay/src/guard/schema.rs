//! What a message may have in it, field by field, as [`check`](super::check) checks it: for whoever audits the guard.
//! The tests fill every field of every question to its limit, and then beyond.

use guitai_types::limits::{
    CONTROL_BYTES_MAX, DOORS_MAX, FILE_BYTES_MAX, FILE_NAME_CHARS_MAX, ID_BYTES_MAX,
    MESSAGE_CHARS_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX,
};

use super::check::{
    FOUND_MAX, HASH_CHARS, HASHES_MAX, ORIGIN_BYTES_MAX, PARTICIPANTS_MAX, POINT_BYTES, SM3_BYTES,
    STEPS_MAX, TITLE_CHARS_MAX, WRAPPED_BYTES,
};
use crate::token::TOKEN_BYTES_MAX;

/// What a field's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 1 to so many characters of a-z, 0-9 and '-'.
    Id(usize),
    /// One line of printable text, characters.
    Line(usize),
    /// Printable text of several lines, characters.
    Text(usize),
    /// An uncompressed point of the SM2 curve, bytes; in hexadecimal twice as many characters.
    Point(usize),
    /// What SM2 wraps, bytes, or nothing.
    Wrapped(usize),
    /// An integer from, to.
    Integer(u64, u64),
    /// Yes or no.
    Flag,
    /// Only yes.
    Yes,
    /// Letters, digits, `-`, `_` and `.`, bytes.
    Token(usize),
    /// Scheme, host and port, bytes.
    Origin(usize),
    /// A digest in hexadecimal, characters.
    Hash(usize),
    /// A time in milliseconds.
    Time,
    /// A word of a closed set.
    Word,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any number from 0 on.
    Number,
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its path; `[]` after what there may be several of.
    pub path: &'static str,
    /// What it may be.
    pub form: Form,
    /// How many of it there may be at most.
    pub count: usize,
}

/// One kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// As the flow matrix names it: `ask.rate`.
    pub kind: &'static str,
    /// Its fields; nothing else may be in it.
    pub fields: &'static [Field],
}

/// Longest message in bytes, whatever is in it.
pub const MESSAGE_BYTES_MAX: usize = CONTROL_BYTES_MAX;

const fn one(path: &'static str, form: Form) -> Field {
    Field {
        path,
        form,
        count: 1,
    }
}

const fn many(path: &'static str, form: Form, count: usize) -> Field {
    Field { path, form, count }
}

/// What the rules of the edge found in a text; `found` may be empty.
const FOUND_RULE: Field = many("found[].rule", Form::Id(ID_BYTES_MAX), FOUND_MAX);
const FOUND_ACTION: Field = many(
    "found[].action",
    Form::OneOf(&["count", "mask", "block"]),
    FOUND_MAX,
);
const FOUND_COUNT: Field = many(
    "found[].count",
    Form::Integer(0, MESSAGE_CHARS_MAX as u64),
    FOUND_MAX,
);
const FILE_NAME: Field = one("file.name", Form::Line(FILE_NAME_CHARS_MAX));
const FILE_KIND: Field = one("file.kind", Form::OneOf(&["jpeg", "png", "pdf"]));
const FILE_BYTES: Field = one("file.bytes", Form::Integer(1, FILE_BYTES_MAX as u64));
const FILE_SM3: Field = one("file.sm3", Form::Hash(2 * SM3_BYTES));
const TICKET: Field = one("ticket", Form::Id(ID_BYTES_MAX));
const MEDIA_KEY: Field = one("media_key", Form::Point(POINT_BYTES));

/// How a ticket looks to its customer.
const VIEW: &[Field] = &[
    one("view.ticket", Form::Id(ID_BYTES_MAX)),
    one("view.institution", Form::Id(ID_BYTES_MAX)),
    one("view.queue", Form::Id(ID_BYTES_MAX)),
    one("view.phase", Form::Word),
    one("view.phase.stars", Form::Integer(1, 5)),
    one("view.phase.call.peer", Form::Line(TITLE_CHARS_MAX)),
    one("view.phase.call.session", Form::Id(ID_BYTES_MAX)),
    many(
        "view.phase.call.participants[]",
        Form::Word,
        PARTICIPANTS_MAX,
    ),
    many(
        "view.phase.call.steps[].id",
        Form::Id(ID_BYTES_MAX),
        STEPS_MAX,
    ),
    many(
        "view.phase.call.steps[].name",
        Form::Line(TITLE_CHARS_MAX),
        STEPS_MAX,
    ),
    many(
        "view.phase.call.steps[].wording",
        Form::Text(NOTE_CHARS_MAX),
        STEPS_MAX,
    ),
    many("view.phase.call.done[]", Form::Id(ID_BYTES_MAX), STEPS_MAX),
    many(
        "view.phase.call.confirmed[]",
        Form::Id(ID_BYTES_MAX),
        STEPS_MAX,
    ),
    one("view.phase.call.media.token", Form::Token(TOKEN_BYTES_MAX)),
    one("view.phase.call.media.publish", Form::Id(ID_BYTES_MAX)),
    one("view.phase.call.media.watch", Form::Id(ID_BYTES_MAX)),
    one(
        "view.phase.call.media.key.wrapped",
        Form::Wrapped(WRAPPED_BYTES),
    ),
    many(
        "view.phase.call.key.holders[]",
        Form::Line(TITLE_CHARS_MAX),
        PARTICIPANTS_MAX,
    ),
];

/// Every kind of message that crosses between the DMZ and the inner zone.
pub const SCHEMAS: &[Schema] = &[
    Schema {
        kind: "ask.catalogue",
        fields: &[],
    },
    Schema {
        kind: "ask.open-ticket",
        fields: &[
            one("institution", Form::Id(ID_BYTES_MAX)),
            one("queue", Form::Id(ID_BYTES_MAX)),
            one("customer", Form::Line(NAME_CHARS_MAX)),
            one("consent.recording", Form::Yes),
            one("consent.wording", Form::Line(NAME_CHARS_MAX)),
            one("consent.at", Form::Time),
            MEDIA_KEY,
        ],
    },
    Schema {
        kind: "ask.ticket",
        fields: &[TICKET],
    },
    Schema {
        kind: "ask.watch-ticket",
        fields: &[TICKET],
    },
    Schema {
        kind: "ask.close-ticket",
        fields: &[TICKET, one("hang_up", Form::Flag)],
    },
    Schema {
        kind: "ask.rate",
        fields: &[
            TICKET,
            one("stars", Form::Integer(1, 5)),
            one("comment", Form::Text(NOTE_CHARS_MAX)),
        ],
    },
    Schema {
        kind: "ask.rejoin",
        fields: &[TICKET, MEDIA_KEY],
    },
    Schema {
        kind: "ask.leave",
        fields: &[TICKET, MEDIA_KEY],
    },
    Schema {
        kind: "ask.confirm",
        fields: &[TICKET, one("step", Form::Id(ID_BYTES_MAX))],
    },
    Schema {
        kind: "ask.say",
        fields: &[
            TICKET,
            one("text", Form::Text(MESSAGE_CHARS_MAX)),
            FOUND_RULE,
            FOUND_ACTION,
            FOUND_COUNT,
        ],
    },
    Schema {
        kind: "ask.messages",
        fields: &[TICKET, one("after", Form::Number)],
    },
    Schema {
        kind: "ask.send-file",
        fields: &[TICKET, FILE_NAME, FILE_KIND, FILE_BYTES, FILE_SM3],
    },
    Schema {
        kind: "ask.fetch-file",
        fields: &[TICKET, one("message", Form::Id(ID_BYTES_MAX))],
    },
    Schema {
        kind: "answer.catalogue",
        fields: &[
            one("institutions[].id", Form::Id(ID_BYTES_MAX)),
            one("institutions[].name", Form::Line(TITLE_CHARS_MAX)),
            one("institutions[].queues[].id", Form::Id(ID_BYTES_MAX)),
            one("institutions[].queues[].name", Form::Line(TITLE_CHARS_MAX)),
        ],
    },
    Schema {
        kind: "answer.opened",
        fields: VIEW,
    },
    Schema {
        kind: "answer.ticket",
        fields: VIEW,
    },
    Schema {
        kind: "answer.messages",
        fields: &[
            one("messages[].id", Form::Id(ID_BYTES_MAX)),
            one("messages[].number", Form::Number),
            one("messages[].at", Form::Time),
            one("messages[].from", Form::Word),
            one("messages[].body.text", Form::Text(MESSAGE_CHARS_MAX)),
            one("messages[].body.file.name", Form::Line(FILE_NAME_CHARS_MAX)),
            one("messages[].body.file.kind", Form::Word),
            one(
                "messages[].body.file.bytes",
                Form::Integer(1, FILE_BYTES_MAX as u64),
            ),
            one("messages[].body.file.sm3", Form::Hash(2 * SM3_BYTES)),
            many("messages[].found[].rule", Form::Id(ID_BYTES_MAX), FOUND_MAX),
        ],
    },
    Schema {
        kind: "answer.file",
        fields: &[FILE_NAME, FILE_KIND, FILE_BYTES, FILE_SM3],
    },
    Schema {
        kind: "answer.done",
        fields: &[],
    },
    Schema {
        kind: "answer.refused",
        fields: &[
            one("problem.code", Form::Word),
            one("problem.detail", Form::Line(NOTE_CHARS_MAX)),
        ],
    },
    Schema {
        kind: "order.hello",
        fields: &[one("epoch", Form::Integer(0, u64::MAX))],
    },
    Schema {
        kind: "order.end-session",
        fields: &[one("session", Form::Id(ID_BYTES_MAX))],
    },
    Schema {
        kind: "order.revoke-ticket",
        fields: &[TICKET],
    },
    Schema {
        kind: "order.doors",
        fields: &[
            many("doors[].node", Form::Id(ID_BYTES_MAX), DOORS_MAX),
            many("doors[].http", Form::Origin(ORIGIN_BYTES_MAX), DOORS_MAX),
            many(
                "doors[].webtransport",
                Form::Origin(ORIGIN_BYTES_MAX),
                DOORS_MAX,
            ),
            many(
                "doors[].websocket",
                Form::Origin(ORIGIN_BYTES_MAX),
                DOORS_MAX,
            ),
            many(
                "doors[].certificate_hashes[]",
                Form::Hash(HASH_CHARS),
                HASHES_MAX,
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use guitai_crypto::sm2::SecretKey;
    use guitai_types::{Hex, control::Ask};
    use serde_json::{Value, json};

    use super::*;
    use crate::guard::{
        check,
        message::{decode, remake},
    };

    /// Values that fit, at the limit, and values that do not.
    fn samples(form: Form) -> (Value, Vec<Value>) {
        let key = || Hex(SecretKey::generate().public().to_point().to_vec());
        match form {
            Form::Id(max) => (
                json!("a".repeat(max)),
                vec![json!("a".repeat(max + 1)), json!(""), json!("A"), json!(1)],
            ),
            Form::Line(max) => (
                json!("王".repeat(max)),
                vec![
                    json!("王".repeat(max + 1)),
                    json!("a\nb"),
                    json!("a<b"),
                    json!("a\u{202e}b"),
                    json!(1),
                ],
            ),
            Form::Text(max) => (
                json!("王".repeat(max)),
                vec![json!("王".repeat(max + 1)), json!("\u{7}"), json!(["a"])],
            ),
            Form::Point(bytes) => {
                let mut off = key();
                off.0[bytes - 1] ^= 1;
                let short = Hex(key().0[..bytes - 1].to_vec());
                (json!(key()), vec![json!(off), json!(short), json!("")])
            }
            Form::Integer(from, to) => {
                let below = from.checked_sub(1).map(|it| json!(it));
                let wrong = below.into_iter().chain([json!(to + 1), json!("1")]);
                (json!(to), wrong.collect())
            }
            Form::Number => (json!(u64::MAX), vec![json!(-1), json!("1"), json!(0.5)]),
            Form::OneOf(words) => (json!(words[0]), vec![json!("none of them"), json!(1)]),
            Form::Hash(chars) => (
                json!("ab".repeat(chars / 2)),
                vec![
                    json!("ab".repeat(chars / 2 + 1)),
                    json!(""),
                    json!("x".repeat(chars)),
                ],
            ),
            Form::Flag => (json!(false), vec![json!("no"), json!(0), Value::Null]),
            Form::Yes => (json!(true), vec![json!(false), json!("yes")]),
            Form::Time => (json!(1), vec![json!(-1), json!("now")]),
            other => panic!("no question has a {other:?}"),
        }
    }

    fn put(message: &mut Value, path: &str, value: Value) {
        let mut at = message;
        for part in path.split('.') {
            at = match part.strip_suffix("[]") {
                None => &mut at[part],
                Some(list) => {
                    let list = &mut at[list];
                    if list.is_null() {
                        *list = json!([{}]);
                    }
                    &mut list[0]
                }
            };
        }
        *at = value;
    }

    fn passes(message: &Value) -> bool {
        let bytes = serde_json::to_vec(message).unwrap();
        let decoded = decode::<Ask>(&bytes);
        decoded.is_ok_and(|(ask, _)| check(&ask).is_ok() && remake(&ask).is_ok())
    }

    #[test]
    fn every_question_passes_with_each_field_at_its_limit_and_with_none_beyond() {
        let asks = SCHEMAS.iter().filter(|it| it.kind.starts_with("ask."));
        let mut kinds = 0;
        for Schema { kind, fields } in asks {
            let mut whole = json!({ "ask": kind.trim_start_matches("ask.") });
            for field in *fields {
                put(&mut whole, field.path, samples(field.form).0);
            }
            assert!(passes(&whole), "{kind}: {whole}");
            for field in *fields {
                for wrong in samples(field.form).1 {
                    let mut message = whole.clone();
                    put(&mut message, field.path, wrong.clone());
                    assert!(!passes(&message), "{kind}: {} {wrong}", field.path);
                }
                if field.path.contains("[]") {
                    // There may be none of it.
                } else if let Some((above, name)) = field.path.rsplit_once('.') {
                    let mut message = whole.clone();
                    put(&mut message, above, json!({}));
                    assert!(!passes(&message), "{kind} without {name}");
                } else {
                    let mut message = whole.clone();
                    message.as_object_mut().unwrap().remove(field.path);
                    assert!(!passes(&message), "{kind} without {}", field.path);
                }
            }
            let mut more = whole.clone();
            more["more"] = json!(1);
            assert!(!passes(&more), "{kind} with a field more");
            kinds += 1;
        }
        assert_eq!(kinds, <Ask as crate::guard::message::Message>::KINDS.len());
    }

    #[test]
    fn every_kind_that_crosses_has_a_schema_and_no_other_has() {
        use crate::guard::message::Message as _;
        use guitai_types::control::{Answer, Order};
        let named = |tag: &str, kinds: &[&str]| -> Vec<String> {
            kinds.iter().map(|kind| format!("{tag}.{kind}")).collect()
        };
        let known = [
            named(Ask::TAG, Ask::KINDS),
            named(Answer::TAG, Answer::KINDS),
            named(Order::TAG, Order::KINDS),
        ];
        let described: Vec<&str> = SCHEMAS.iter().map(|it| it.kind).collect();
        assert_eq!(described, known.concat());
    }
}
