//! Control messages and files between the DMZ and the inner zone. The edge may be in a stranger's hands, so what
//! comes from either end is decoded, checked and made anew; what is made anew is looked at here once more, by rules
//! that are written down apart from those of the guard.

use std::collections::BTreeSet;

use futures::executor::block_on;
use guitai_crypto::sm3;
use guitai_relay::guard::{
    self, MESSAGE_BYTES_MAX, SCHEMAS,
    parts::{Message as Family, decode, read_file, remake},
    schema::{Field, Form},
};
use guitai_types::{
    Hex, UnixMillis,
    control::{Answer, Ask, Catalogue, CatalogueInstitution, CatalogueQueue, OpenTicket, Order},
    limits::{CONTROL_BYTES_MAX, MESSAGE_CHARS_MAX},
    media::{HolderView, KeyView, MediaSuite},
    message::{Action, FileHead, FileType, Found, Message, MessageBody, Sender},
    place::Text,
    problem::{Code, Problem},
    record::{Business, Consent, Participant, RecordingState, WrappedKey},
    view::{CallView, DoorEntry, MediaAccess, TicketPhase, TicketView},
};
use serde_json::Value;

use crate::{Seed, key};

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    match choice % 4 {
        0 => asked(bytes),
        1 => answered(bytes),
        2 => ordered(bytes),
        _ => pieces(bytes),
    }
}

fn asked(bytes: &[u8]) -> bool {
    let Some(ask) = decoded::<Ask>(bytes) else {
        return false;
    };
    if guard::check(&ask).is_err() {
        return false;
    }
    let Some(made) = made(&ask) else {
        return false;
    };
    let kind = format!("ask.{}", ask.kind());
    let schema = SCHEMAS.iter().find(|it| it.kind == kind);
    let fields = schema.expect("every kind has a schema").fields;
    let known: BTreeSet<&str> = fields.iter().map(|field| field.path).collect();
    for (path, _) in leaves(&made) {
        assert!(
            path == "ask" || known.contains(path.as_str()),
            "{path} crosses and is in no schema"
        );
    }
    for field in fields {
        let values: Vec<Value> = leaves(&made)
            .into_iter()
            .filter(|(path, _)| path == field.path)
            .map(|(_, value)| value)
            .collect();
        assert!(
            values.len() <= field.count,
            "more {} than may be",
            field.path
        );
        values.iter().for_each(|value| fits(field, value));
    }
    true
}

/// An answer counts with its question, which the first byte chooses.
fn answered(bytes: &[u8]) -> bool {
    let Some((which, bytes)) = bytes.split_first() else {
        return false;
    };
    let asks = asks();
    let ask = &asks[usize::from(*which) % asks.len()];
    let Some(answer) = decoded::<Answer>(bytes) else {
        return false;
    };
    if guard::check_answer(ask, &answer).is_err() {
        return false;
    }
    let Some(made) = made(&answer) else {
        return false;
    };
    for (path, value) in leaves(&made) {
        shows_as_it_is(&path, &value);
    }
    if let Answer::Ticket { view } | Answer::Opened { view, .. } = &answer {
        assert_eq!(view.ticket.as_str(), "t-1", "somebody else's ticket");
        if let TicketPhase::InSession { call } = &view.phase {
            assert_eq!(
                call.media.key.recipient,
                Participant::Customer,
                "somebody else's key"
            );
            assert_eq!(
                call.business,
                Business::default(),
                "the bank's numbers go out"
            );
        }
    }
    true
}

fn ordered(bytes: &[u8]) -> bool {
    let Some(order) = decoded::<Order>(bytes) else {
        return false;
    };
    if guard::check_order(&order).is_err() {
        return false;
    }
    let Some(made) = made(&order) else {
        return false;
    };
    for (path, value) in leaves(&made) {
        shows_as_it_is(&path, &value);
        if let Some(text) = value.as_str().filter(|_| path.starts_with("doors[]")) {
            assert!(
                !text.contains(['\'', '"', ' ', '@', '?', '#', '\\']),
                "{path} is no origin"
            );
        }
    }
    true
}

/// The bytes behind a message: three of length that were announced, then frames.
fn pieces(bytes: &[u8]) -> bool {
    let Some(([a, b, c], mut wire)) = bytes.split_first_chunk() else {
        return false;
    };
    let announced = u32::from_be_bytes([0, *a, *b, *c]);
    let content: Vec<u8> = contents(wire).concat();
    let head = FileHead {
        name: "a.pdf".to_owned(),
        kind: FileType::Pdf,
        bytes: announced.into(),
        sm3: Hex(sm3::hash(&content).to_vec()),
    };
    let Ok(file) = block_on(read_file(&mut wire, &head)) else {
        return false;
    };
    assert_eq!(
        file.len() as u64,
        head.bytes,
        "more or less than was announced"
    );
    assert_eq!(
        sm3::hash(&file)[..],
        head.sm3.0[..],
        "another file than was announced"
    );
    true
}

/// What is in frames one after another, as far as they are whole.
fn contents(mut wire: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((length, rest)) = wire.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((content, rest)) = rest.split_at_checked(length) else {
            break;
        };
        found.push(content);
        wire = rest;
    }
    found
}

fn decoded<M: Family>(bytes: &[u8]) -> Option<M> {
    let (message, kind) = decode::<M>(bytes).ok()?;
    assert!(M::KINDS.contains(&kind), "a kind that there is not");
    assert!(bytes.len() <= MESSAGE_BYTES_MAX, "longer than any message");
    Some(message)
}

/// A message made anew; decoding that gives the same message.
fn made<M: Family + PartialEq + std::fmt::Debug>(message: &M) -> Option<Value> {
    let bytes = remake(message).ok()?;
    assert!(bytes.len() <= CONTROL_BYTES_MAX, "longer than any message");
    let (again, _) = decode::<M>(&bytes).expect("what was made anew is decoded");
    assert_eq!(again, *message, "another message after it was made anew");
    Some(serde_json::from_slice(&bytes).expect("it was made as JSON"))
}

/// Every value that holds no other, with its path as schemas write it.
fn leaves(value: &Value) -> Vec<(String, Value)> {
    fn walk(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    walk(&path, value, found);
                }
            }
            Value::Array(items) => items
                .iter()
                .for_each(|it| walk(&format!("{path}[]"), it, found)),
            leaf => found.push((path.to_owned(), leaf.clone())),
        }
    }
    let mut found = Vec::new();
    walk("", value, &mut found);
    found
}

/// Whether a value is what the schema says, which an auditor reads.
fn fits(field: &Field, value: &Value) {
    let path = field.path;
    let text = || {
        value
            .as_str()
            .unwrap_or_else(|| panic!("{path} is no text"))
    };
    let is_hex = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_right = match field.form {
        Form::Id(max) => {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            (1..=max).contains(&text().len()) && text().bytes().all(plain)
        }
        Form::Line(max) => text().chars().count() <= max && !text().contains(['\n', '\t']),
        Form::Text(max) => text().chars().count() <= max,
        Form::Point(bytes) => {
            text().len() == 2 * bytes && is_hex(text()) && text().starts_with("04")
        }
        Form::Wrapped(bytes) => text().is_empty() || (text().len() == 2 * bytes && is_hex(text())),
        Form::Integer(from, to) => value.as_u64().is_some_and(|it| (from..=to).contains(&it)),
        Form::Flag => value.is_boolean(),
        Form::Yes => *value == Value::Bool(true),
        Form::Token(bytes) => text().len() <= bytes && text().is_ascii(),
        Form::Origin(bytes) => text().len() <= bytes,
        Form::Hash(chars) => text().len() == chars && is_hex(text()),
        Form::Time | Form::Number => value.is_u64(),
        Form::Word => text().len() <= 63,
        Form::OneOf(words) => words.contains(&text()),
    };
    assert!(is_right, "{path} crosses and is no {:?}", field.form);
    shows_as_it_is(path, value);
}

/// Nothing that crosses opens a tag, moves the cursor or turns a line around (Unicode TR 36).
fn shows_as_it_is(path: &str, value: &Value) {
    let Some(text) = value.as_str() else {
        return;
    };
    let deceives = |c: char| {
        matches!(c, '<' | '>' | '\u{7f}' | '\u{ad}' | '\u{feff}')
            || (c < ' ' && c != '\n' && c != '\t')
            || ('\u{80}'..='\u{9f}').contains(&c)
            || ('\u{200b}'..='\u{200f}').contains(&c)
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    assert!(!text.contains(deceives), "{path} shows other than it is");
    assert!(
        text.chars().count() <= CONTROL_BYTES_MAX,
        "{path} is longer than any message"
    );
}

/// A question of every kind, which passes.
fn asks() -> Vec<Ask> {
    let ticket = || "t-1".parse().expect("an id");
    let media_key = || Hex(key().public().to_point().to_vec());
    vec![
        Ask::Catalogue,
        Ask::OpenTicket(OpenTicket {
            institution: "bank".parse().expect("an id"),
            queue: "loans".parse().expect("an id"),
            customer: "王小明".to_owned(),
            consent: Consent {
                recording: true,
                wording: "2026-11".to_owned(),
                at: UnixMillis(1),
            },
            media_key: media_key(),
        }),
        Ask::Ticket { ticket: ticket() },
        Ask::WatchTicket { ticket: ticket() },
        Ask::CloseTicket {
            ticket: ticket(),
            hang_up: true,
        },
        Ask::Rate {
            ticket: ticket(),
            stars: 5,
            comment: "谢谢".to_owned(),
        },
        Ask::Rejoin {
            ticket: ticket(),
            media_key: media_key(),
        },
        Ask::Leave {
            ticket: ticket(),
            media_key: media_key(),
        },
        Ask::Confirm {
            ticket: ticket(),
            step: "identity".to_owned(),
        },
        Ask::Say {
            ticket: ticket(),
            text: "你好\n第二行".to_owned(),
            found: vec![found()],
        },
        Ask::SendFile {
            ticket: ticket(),
            file: file(),
        },
        Ask::FetchFile {
            ticket: ticket(),
            message: "m-1".parse().expect("an id"),
        },
        Ask::Messages {
            ticket: ticket(),
            after: 3,
        },
    ]
}

fn found() -> Found {
    Found {
        rule: "id-card".to_owned(),
        action: Action::Mask,
        count: 1,
    }
}

fn file() -> FileHead {
    FileHead {
        name: "合同.pdf".to_owned(),
        kind: FileType::Pdf,
        bytes: 70,
        sm3: Hex(vec![1; 32]),
    }
}

fn text(text: &str) -> Text {
    Text {
        zh: text.to_owned(),
        en: text.to_owned(),
    }
}

/// An answer of every kind, with the number of its question.
fn answers() -> Vec<(u8, Answer)> {
    let message = |number, body| Message {
        id: "m-1".parse().expect("an id"),
        number,
        at: UnixMillis(1),
        from: Sender::Agent,
        body,
        found: vec![found()],
    };
    let said = MessageBody::Text {
        text: "您好".to_owned(),
    };
    let view = |phase| {
        Box::new(TicketView {
            ticket: "t-1".parse().expect("an id"),
            institution: "bank".parse().expect("an id"),
            queue: "loans".parse().expect("an id"),
            number: 1,
            opened_at: UnixMillis(1),
            phase,
        })
    };
    let queue = CatalogueQueue {
        id: "loans".parse().expect("an id"),
        name: text("贷款"),
    };
    let institution = CatalogueInstitution {
        id: "bank".parse().expect("an id"),
        name: text("银行"),
        queues: vec![queue],
    };
    let opened = Answer::Opened {
        ticket: "t-1".parse().expect("an id"),
        token: "abc.def".to_owned(),
        view: view(TicketPhase::Ringing),
    };
    let in_session = view(TicketPhase::InSession {
        call: Box::new(call()),
    });
    let messages = vec![
        message(4, said.clone()),
        message(5, MessageBody::File { file: file() }),
    ];
    let refused = Problem::new(Code::BadRequest, "stars: 1 to 5");
    vec![
        (
            0,
            Answer::Catalogue {
                catalogue: Catalogue {
                    institutions: vec![institution],
                },
            },
        ),
        (1, opened),
        (
            2,
            Answer::Ticket {
                view: view(TicketPhase::Ringing),
            },
        ),
        (3, Answer::Ticket { view: in_session }),
        (4, Answer::Done),
        (
            9,
            Answer::Messages {
                messages: vec![message(1, said)],
            },
        ),
        (11, Answer::File { file: file() }),
        (12, Answer::Messages { messages }),
        (5, Answer::Refused { problem: refused }),
    ]
}

fn call() -> CallView {
    let wrapped = key().public().encrypt(&[7; 32]).expect("32 bytes");
    CallView {
        session: "s-1".parse().expect("an id"),
        peer: "李 8001".to_owned(),
        participants: vec![Participant::Customer, Participant::Agent],
        recording: RecordingState::Starting,
        started_at: UnixMillis(2),
        steps: Vec::new(),
        done: vec!["identity".to_owned()],
        confirmed: Vec::new(),
        message: 0,
        business: Business::default(),
        media: MediaAccess {
            room: "/bank/s-1".to_owned(),
            token: "abc.def".to_owned(),
            publish: "customer".to_owned(),
            watch: "agent".to_owned(),
            sealed: true,
            key: WrappedKey {
                recipient: Participant::Customer,
                wrapped: Hex(wrapped),
            },
            epoch: 1,
            audio_suite: MediaSuite::default(),
        },
        key: KeyView {
            epoch: 1,
            since: UnixMillis(2),
            audio_suite: MediaSuite::default(),
            holders: vec![HolderView {
                participant: Participant::Agent,
                display: "李 8001".to_owned(),
            }],
        },
    }
}

fn orders() -> Vec<Order> {
    let door = DoorEntry {
        node: "edge-a2".parse().expect("an id"),
        centre: "a2".parse().expect("an id"),
        http: "http://127.2.1.1:4443".to_owned(),
        webtransport: "https://[2001:db8::1]:4443".to_owned(),
        websocket: "wss://counter.bank.example:4443".to_owned(),
        certificate_hashes: vec!["0f".repeat(32)],
        alive: true,
    };
    vec![
        Order::Hello {
            epoch: guitai_types::Epoch(3),
        },
        Order::EndSession {
            session: "s-1".parse().expect("an id"),
        },
        Order::RevokeTicket {
            ticket: "t-1".parse().expect("an id"),
        },
        Order::Doors { doors: vec![door] },
    ]
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for ask in asks() {
        let bytes = remake(&ask).expect("short");
        seeds.push(Seed::new(&format!("ask-{}", ask.kind()), 0, &bytes));
    }
    for (which, answer) in answers() {
        let bytes = [&[which][..], &remake(&answer).expect("short")].concat();
        seeds.push(Seed::new(&format!("answer-{which}"), 1, &bytes));
    }
    for (number, order) in (0..).zip(orders()) {
        seeds.push(Seed::new(
            &format!("order-{number}"),
            2,
            &remake(&order).expect("short"),
        ));
    }
    seeds.push(Seed::new("pieces", 3, b"\0\0\x05\0\0\0\x02ab\0\0\0\x03cde"));
    let long = "王".repeat(MESSAGE_CHARS_MAX);
    let ask = Ask::Say {
        ticket: "t-1".parse().expect("an id"),
        text: long,
        found: Vec::new(),
    };
    seeds.push(Seed::new("ask-long", 0, &remake(&ask).expect("it fits")));
    seeds
}
