//! Decoding and making anew: bytes to a type and back, never bytes to bytes.

use guitai_types::{
    control::{Answer, Ask, Order},
    limits::CONTROL_BYTES_MAX,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::Refusal;

/// One of the three message families that cross.
pub trait Message: Serialize + DeserializeOwned {
    /// The field that names the kind.
    const TAG: &'static str;
    /// Every kind.
    const KINDS: &'static [&'static str];
}

impl Message for Ask {
    const TAG: &'static str = "ask";
    const KINDS: &'static [&'static str] = &[
        "catalogue",
        "open-ticket",
        "ticket",
        "watch-ticket",
        "close-ticket",
        "rate",
        "rejoin",
        "leave",
        "confirm",
        "say",
        "messages",
        "send-file",
        "fetch-file",
    ];
}

impl Message for Answer {
    const TAG: &'static str = "answer";
    const KINDS: &'static [&'static str] = &[
        "catalogue",
        "opened",
        "ticket",
        "messages",
        "file",
        "done",
        "refused",
    ];
}

impl Message for Order {
    const TAG: &'static str = "order";
    const KINDS: &'static [&'static str] = &["hello", "end-session", "revoke-ticket", "doors"];
}

/// Kind of a message that has none of the known ones.
pub(super) const UNKNOWN: &str = "unknown";
const TAGS: [&str; 3] = [Ask::TAG, Answer::TAG, Order::TAG];

/// A message that did not decode, with the kind it claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Refused {
    /// A kind of the family, or `unknown`.
    pub kind: &'static str,
    /// Why.
    #[source]
    pub refusal: Refusal,
}

/// Decodes a message of one family; gives its kind too.
///
/// # Errors
/// Why it does not cross, with the kind it claimed.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<(M, &'static str), Refused> {
    let unknown = |refusal| Refused {
        kind: UNKNOWN,
        refusal,
    };
    let (length, max) = (bytes.len(), CONTROL_BYTES_MAX);
    if length > max {
        return Err(unknown(Refusal::TooLarge { length, max }));
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else {
        return Err(unknown(Refusal::Malformed));
    };
    let Some(tag) = fields.get(M::TAG) else {
        let other = TAGS.iter().any(|&tag| fields.contains_key(tag));
        let refusal = if other {
            Refusal::WrongDirection
        } else {
            Refusal::UnknownType
        };
        return Err(unknown(refusal));
    };
    let known = M::KINDS.iter().find(|&&kind| tag == kind);
    let &kind = known.ok_or_else(|| unknown(Refusal::UnknownType))?;

    let refuse = |refusal| Refused { kind, refusal };
    let message: M = serde_json::from_slice(bytes).map_err(|error| refuse(class(&error)))?;
    // serde lets extra fields pass beside the tag of a kind without fields; nothing may.
    let made = serde_json::to_value(&message).map_err(|_| refuse(Refusal::Malformed))?;
    if has_more(&Value::Object(fields), &made) {
        return Err(refuse(Refusal::UnknownField));
    }
    Ok((message, kind))
}

/// Makes the bytes of a message from its type.
///
/// # Errors
/// When it is longer than [`CONTROL_BYTES_MAX`].
pub fn remake<M: Message>(message: &M) -> Result<Vec<u8>, Refusal> {
    let bytes = serde_json::to_vec(message).map_err(|_| Refusal::Malformed)?;
    let (length, max) = (bytes.len(), CONTROL_BYTES_MAX);
    if length > max {
        return Err(Refusal::TooLarge { length, max });
    }
    Ok(bytes)
}

/// The kind of a message made here.
pub(super) fn kind_of(answer: &Answer) -> &'static str {
    match answer {
        Answer::Catalogue { .. } => "catalogue",
        Answer::Opened { .. } => "opened",
        Answer::Ticket { .. } => "ticket",
        Answer::Messages { .. } => "messages",
        Answer::File { .. } => "file",
        Answer::Done => "done",
        Answer::Refused { .. } => "refused",
    }
}

/// serde_json has no variant for this; its words are pinned by a test.
fn class(error: &serde_json::Error) -> Refusal {
    if error.to_string().starts_with("unknown field") {
        Refusal::UnknownField
    } else {
        Refusal::Malformed
    }
}

/// Whether `got` has a field, at any depth, that what was `made` of it has not.
fn has_more(got: &Value, made: &Value) -> bool {
    match (got, made) {
        (Value::Object(got), Value::Object(made)) => got.iter().any(|(name, got)| {
            let made = made.get(name);
            made.is_none_or(|made| has_more(got, made))
        }),
        (Value::Array(got), Value::Array(made)) => {
            got.len() != made.len() || got.iter().zip(made).any(|(got, made)| has_more(got, made))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use guitai_types::{
        Epoch,
        control::OpenTicket,
        message::{Action, FileHead, FileType, Found},
    };
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refusal<M: Message>(message: &Value) -> (&'static str, Refusal) {
        let refused = decode::<M>(&serde_json::to_vec(message).unwrap());
        let refused = refused.map(|(_, kind)| kind).unwrap_err();
        (refused.kind, refused.refusal)
    }

    #[test]
    fn each_way_of_being_wrong_has_its_name() {
        let cases = [
            (json!({"ask": "shell"}), UNKNOWN, Refusal::UnknownType),
            (json!({"ask": 7}), UNKNOWN, Refusal::UnknownType),
            (json!({"nothing": 1}), UNKNOWN, Refusal::UnknownType),
            (json!([1]), UNKNOWN, Refusal::Malformed),
            (json!({"answer": "done"}), UNKNOWN, Refusal::WrongDirection),
            (
                json!({"order": "hello", "epoch": 1}),
                UNKNOWN,
                Refusal::WrongDirection,
            ),
            (json!({"ask": "ticket"}), "ticket", Refusal::Malformed),
            (
                json!({"ask": "ticket", "ticket": "../x"}),
                "ticket",
                Refusal::Malformed,
            ),
            (
                json!({"ask": "ticket", "ticket": "t", "x": 1}),
                "ticket",
                Refusal::UnknownField,
            ),
            // A kind without fields: serde alone would let this pass.
            (
                json!({"ask": "catalogue", "x": 1}),
                "catalogue",
                Refusal::UnknownField,
            ),
        ];
        for (message, kind, expected) in cases {
            assert_eq!(refusal::<Ask>(&message), (kind, expected), "{message}");
        }
        let nested = json!({
            "ask": "open-ticket", "institution": "bank", "queue": "q", "customer": "王",
            "consent": {"recording": true, "wording": "1", "at": 0, "x": 1}, "media_key": "04",
        });
        let refused = ("open-ticket", Refusal::UnknownField);
        assert_eq!(refusal::<Ask>(&nested), refused);
        let refused = ("done", Refusal::UnknownField);
        assert_eq!(
            refusal::<Answer>(&json!({"answer": "done", "x": 1})),
            refused
        );
    }

    #[test]
    fn a_field_twice_is_refused() {
        let twice = br#"{"ask":"ticket","ticket":"a","ticket":"b"}"#;
        assert_eq!(
            decode::<Ask>(twice).unwrap_err().refusal,
            Refusal::Malformed
        );
    }

    #[test]
    fn oversize_is_refused_both_ways() {
        let long = vec![b' '; CONTROL_BYTES_MAX + 1];
        let refused = decode::<Ask>(&long).unwrap_err().refusal;
        assert!(matches!(refused, Refusal::TooLarge { .. }));
        let ask = Ask::Rate {
            ticket: "t".parse().unwrap(),
            stars: 5,
            comment: "x".repeat(CONTROL_BYTES_MAX),
        };
        assert!(matches!(remake(&ask), Err(Refusal::TooLarge { .. })));
    }

    #[test]
    fn every_kind_is_listed() {
        let ticket: guitai_types::TicketId = "t".parse().unwrap();
        let asks = [
            Ask::Catalogue,
            Ask::OpenTicket(OpenTicket {
                institution: "bank".parse().unwrap(),
                queue: "q".parse().unwrap(),
                customer: "王".to_owned(),
                consent: guitai_types::record::Consent {
                    recording: true,
                    wording: "1".to_owned(),
                    at: guitai_types::UnixMillis(0),
                },
                media_key: guitai_types::Hex(vec![4; 65]),
            }),
            Ask::Ticket {
                ticket: ticket.clone(),
            },
            Ask::WatchTicket {
                ticket: ticket.clone(),
            },
            Ask::CloseTicket {
                ticket: ticket.clone(),
                hang_up: true,
            },
            Ask::Rate {
                ticket: ticket.clone(),
                stars: 1,
                comment: String::new(),
            },
            Ask::Rejoin {
                ticket: ticket.clone(),
                media_key: guitai_types::Hex(vec![4; 65]),
            },
            Ask::Leave {
                ticket: ticket.clone(),
                media_key: guitai_types::Hex(vec![4; 65]),
            },
            Ask::Confirm {
                ticket: ticket.clone(),
                step: "s".to_owned(),
            },
            Ask::Say {
                ticket: ticket.clone(),
                text: "你好".to_owned(),
                found: vec![Found {
                    rule: "id-card".to_owned(),
                    action: Action::Mask,
                    count: 1,
                }],
            },
            Ask::Messages {
                ticket: ticket.clone(),
                after: 3,
            },
            Ask::SendFile {
                ticket: ticket.clone(),
                file: FileHead {
                    name: "card.png".to_owned(),
                    kind: FileType::Png,
                    bytes: 70,
                    sm3: guitai_types::Hex(vec![1; 32]),
                },
            },
            Ask::FetchFile {
                ticket: ticket.clone(),
                message: "m".parse().unwrap(),
            },
        ];
        assert_eq!(asks.len(), Ask::KINDS.len());
        for ask in asks {
            let (back, kind) = decode::<Ask>(&remake(&ask).unwrap()).unwrap();
            assert_eq!((back, kind), (ask.clone(), ask.kind()));
        }
        for order in [
            Order::Hello { epoch: Epoch(3) },
            Order::EndSession {
                session: "s".parse().unwrap(),
            },
            Order::RevokeTicket { ticket },
            Order::Doors { doors: Vec::new() },
        ] {
            let (back, _) = decode::<Order>(&remake(&order).unwrap()).unwrap();
            assert_eq!(back, order);
        }
    }

    #[test]
    fn the_flow_matrix_knows_the_same_kinds() {
        fn named<M: Message>() -> Vec<String> {
            let kinds = M::KINDS.iter();
            kinds.map(|kind| format!("{}.{kind}", M::TAG)).collect()
        }
        assert_eq!(named::<Ask>(), guitai_flow::messages::ASKS);
        assert_eq!(named::<Answer>(), guitai_flow::messages::ANSWERS);
        assert_eq!(named::<Order>(), guitai_flow::messages::ORDERS);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z-]{0,12}".prop_map(Value::from),
            prop::sample::select(Ask::KINDS).prop_map(Value::from),
        ];
        let name = prop_oneof![
            prop::sample::select(&["ask", "answer", "ticket", "stars", "comment", "hang_up"][..])
                .prop_map(str::to_owned),
            "[a-z_]{1,8}",
        ];
        leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn garbage_never_decodes_to_more_than_was_said(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode::<Ask>(&bytes).is_err());
        }

        #[test]
        fn what_decodes_is_made_anew_without_anything_added(message in json_value()) {
            let bytes = serde_json::to_vec(&message).unwrap();
            if let Ok((ask, kind)) = decode::<Ask>(&bytes) {
                let again = remake(&ask).unwrap();
                prop_assert_eq!(kind, ask.kind());
                prop_assert_eq!(decode::<Ask>(&again), Ok((ask, kind)));
                let made: Value = serde_json::from_slice(&again).unwrap();
                prop_assert!(!has_more(&message, &made));
            }
        }

        #[test]
        fn a_message_cut_short_is_refused(at in any::<prop::sample::Index>()) {
            let ask = Ask::Confirm { ticket: "t-1".parse().unwrap(), step: "identity".to_owned() };
            let bytes = remake(&ask).unwrap();
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert!(decode::<Ask>(cut).is_err());
        }
    }
}
