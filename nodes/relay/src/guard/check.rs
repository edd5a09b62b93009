//! What the values of a message may be. Ids are checked by their types already.

use std::str::FromStr as _;

use guitai_crypto::sm2::PublicKey;
use guitai_types::{
    Hex, QueueId, TicketId,
    control::{Answer, Ask, Catalogue, OpenTicket, Order},
    limits::{
        DOORS_MAX, FILE_BYTES_MAX, FILE_NAME_CHARS_MAX, MESSAGE_CHARS_MAX, NAME_CHARS_MAX,
        NOTE_CHARS_MAX, PATTERNS_MAX,
    },
    message::{FileHead, Found, Message, MessageBody},
    place::Text,
    record::{Participant, RecordingState},
    view::{CallView, DoorEntry, TicketPhase, TicketView},
};

use super::Refusal;
use crate::token::TOKEN_BYTES_MAX;

/// Longest title of an institution, queue, step or agent in characters.
pub(super) const TITLE_CHARS_MAX: usize = 120;
/// Most participants of a call, recorders included.
pub(super) const PARTICIPANTS_MAX: usize = 16;
/// Most business steps of a flow.
pub(super) const STEPS_MAX: usize = 64;
/// An uncompressed point in bytes.
pub(super) const POINT_BYTES: usize = 65;
/// A wrapped media key in bytes: a point, a digest and 32 bytes (GB/T 32918.4, C1‖C3‖C2).
pub(super) const WRAPPED_BYTES: usize = POINT_BYTES + 32 + 32;
/// Certificates of a door a page may meet: the one in use and the next.
pub(super) const HASHES_MAX: usize = 2;
/// A SHA-256 in hex.
pub(super) const HASH_CHARS: usize = 64;
/// Longest origin of a door: scheme, an IPv6 address or a DNS name, a port.
pub(super) const ORIGIN_BYTES_MAX: usize = 300;
/// Rules that may have found something in one text: the built-in ones and the bank's own.
pub(super) const FOUND_MAX: usize = PATTERNS_MAX + 3;
/// Bytes of an SM3.
pub(super) const SM3_BYTES: usize = 32;
/// Uncompressed point, the only form taken.
const POINT_PREFIX: u8 = 0x04;

/// Checks what a customer asks. The edge does it before the tunnel, the core after.
pub fn check(ask: &Ask) -> Result<(), Refusal> {
    match ask {
        Ask::Catalogue
        | Ask::Ticket { .. }
        | Ask::WatchTicket { .. }
        | Ask::CloseTicket { .. }
        | Ask::Messages { .. } => Ok(()),
        Ask::OpenTicket(open) => check_open(open),
        Ask::Rejoin { media_key, .. } | Ask::Leave { media_key, .. } => {
            point("media_key", media_key)
        }
        Ask::Rate { stars, comment, .. } => {
            if !(1..=5).contains(stars) {
                return bad("stars", "1 to 5");
            }
            text("comment", comment, NOTE_CHARS_MAX)
        }
        Ask::Confirm { step, .. } => id("step", step),
        Ask::FetchFile { .. } => Ok(()),
        Ask::SendFile { file, .. } => check_file(file),
        Ask::Say { text, found, .. } => {
            check_said(text)?;
            check_found(found)
        }
    }
}

/// Checks what a party of a call says: something, not too long, and nothing that shows other than it is. For the
/// agents' door too, whose texts cross as an answer.
pub fn check_said(said: &str) -> Result<(), Refusal> {
    if said.trim().is_empty() {
        return bad("text", "something said");
    }
    text("text", said, MESSAGE_CHARS_MAX)
}

/// What rules found is words of a profile and small numbers, whoever says so.
fn check_found(found: &[Found]) -> Result<(), Refusal> {
    count("found", found.len(), FOUND_MAX)?;
    for Found { rule, count, .. } in found {
        id("found.rule", rule)?;
        if usize::try_from(*count).map_or(true, |count| count > MESSAGE_CHARS_MAX) {
            return bad("found.count", "as many as a text has characters at most");
        }
    }
    Ok(())
}

/// Checks what is said of a file. For the agents' door too, whose files cross as an answer.
pub fn check_file(file: &FileHead) -> Result<(), Refusal> {
    if file.name.trim().is_empty() || file.name.contains(['/', '\\']) {
        return bad("file.name", "a name without a path");
    }
    line("file.name", &file.name, FILE_NAME_CHARS_MAX)?;
    if file.sm3.0.len() != SM3_BYTES {
        return bad("file.sm3", "32 bytes");
    }
    let (length, max) = (
        usize::try_from(file.bytes).unwrap_or(usize::MAX),
        FILE_BYTES_MAX,
    );
    match length {
        0 => bad("file.bytes", "at least one"),
        length if length > max => Err(Refusal::TooLarge { length, max }),
        _ => Ok(()),
    }
}

/// Messages of a call, in order; what they say passed the rules when it was taken.
fn check_messages(messages: &[Message], after: u64) -> Result<(), Refusal> {
    let mut last = after;
    for message in messages {
        if message.number <= last {
            return bad("messages.number", "a number after the one before");
        }
        last = message.number;
        check_found(&message.found)?;
        match &message.body {
            MessageBody::Text { text } => check_said(text)?,
            MessageBody::File { file } => check_file(file)?,
        }
    }
    Ok(())
}

fn check_open(open: &OpenTicket) -> Result<(), Refusal> {
    if open.customer.trim().is_empty() {
        return bad("customer", "a name");
    }
    line("customer", &open.customer, NAME_CHARS_MAX)?;
    if !open.consent.recording {
        return Err(Refusal::NoConsent);
    }
    if open.consent.wording.is_empty() {
        return bad("consent.wording", "the version of the wording");
    }
    line("consent.wording", &open.consent.wording, NAME_CHARS_MAX)?;
    point("media_key", &open.media_key)
}

/// Checks that an answer fits the question, and what it says. The core does it before the tunnel,
/// the edge after.
pub fn check_answer(ask: &Ask, answer: &Answer) -> Result<(), Refusal> {
    match (ask, answer) {
        (_, Answer::Refused { problem }) => line("problem.detail", &problem.detail, NOTE_CHARS_MAX),
        (Ask::Catalogue, Answer::Catalogue { catalogue }) => check_catalogue(catalogue),
        (Ask::Messages { after, .. }, Answer::Messages { messages }) => {
            check_messages(messages, *after)
        }
        (Ask::FetchFile { .. }, Answer::File { file }) => check_file(file),
        (Ask::Say { .. } | Ask::SendFile { .. }, Answer::Messages { messages }) => {
            count("messages", messages.len(), 1)?;
            check_messages(messages, 0)
        }
        (
            Ask::OpenTicket(open),
            Answer::Opened {
                ticket,
                token,
                view,
            },
        ) => {
            if view.institution != open.institution || view.queue != open.queue {
                return Err(Refusal::WrongDirection);
            }
            check_token("token", token)?;
            check_view(ticket, view)
        }
        (Ask::Ticket { ticket } | Ask::WatchTicket { ticket }, Answer::Ticket { view }) => {
            check_view(ticket, view)
        }
        (
            Ask::CloseTicket { .. }
            | Ask::Rate { .. }
            | Ask::Rejoin { .. }
            | Ask::Leave { .. }
            | Ask::Confirm { .. },
            Answer::Done,
        ) => Ok(()),
        _ => Err(Refusal::WrongDirection),
    }
}

/// Checks what an order brings out. The core does it before the tunnel, the edge after.
pub fn check_order(order: &Order) -> Result<(), Refusal> {
    match order {
        Order::Hello { .. } | Order::EndSession { .. } | Order::RevokeTicket { .. } => Ok(()),
        Order::Doors { doors } => {
            count("doors", doors.len(), DOORS_MAX)?;
            doors.iter().try_for_each(check_door)
        }
    }
}

/// Pages connect to what stands here, so it is an origin and nothing more: no path, no query, no user.
fn check_door(door: &DoorEntry) -> Result<(), Refusal> {
    origin("door.http", &door.http, &["http://", "https://"])?;
    if !(door.webtransport.is_empty() && door.websocket.is_empty()) {
        origin("door.webtransport", &door.webtransport, &["https://"])?;
        origin("door.websocket", &door.websocket, &["ws://", "wss://"])?;
    }
    count(
        "door.certificate_hashes",
        door.certificate_hashes.len(),
        HASHES_MAX,
    )?;
    let is_hash = |hash: &String| {
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        hash.len() == HASH_CHARS && hash.bytes().all(hex)
    };
    if !door.certificate_hashes.iter().all(is_hash) {
        return bad("door.certificate_hashes", "64 characters of 0-9 and a-f");
    }
    Ok(())
}

fn origin(field: &'static str, value: &str, schemes: &[&str]) -> Result<(), Refusal> {
    let host = schemes.iter().find_map(|scheme| value.strip_prefix(scheme));
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']');
    match host {
        Some(host)
            if !host.is_empty() && value.len() <= ORIGIN_BYTES_MAX && host.bytes().all(plain) =>
        {
            Ok(())
        }
        _ => bad(field, "an origin: scheme, host and port"),
    }
}

fn check_catalogue(catalogue: &Catalogue) -> Result<(), Refusal> {
    for institution in &catalogue.institutions {
        title("institution.name", &institution.name)?;
        for queue in &institution.queues {
            title("queue.name", &queue.name)?;
        }
    }
    Ok(())
}

fn check_view(asked: &TicketId, view: &TicketView) -> Result<(), Refusal> {
    // A view of somebody else's ticket is an answer to another question.
    if view.ticket != *asked {
        return Err(Refusal::WrongDirection);
    }
    match &view.phase {
        TicketPhase::Waiting { .. } | TicketPhase::Ringing => Ok(()),
        TicketPhase::Ended { stars, .. } => match stars {
            Some(0 | 6..) => bad("stars", "1 to 5"),
            _ => Ok(()),
        },
        TicketPhase::InSession { call } => check_call(view, call),
    }
}

fn check_call(view: &TicketView, call: &CallView) -> Result<(), Refusal> {
    line("call.peer", &call.peer, TITLE_CHARS_MAX)?;
    count(
        "call.participants",
        call.participants.len(),
        PARTICIPANTS_MAX,
    )?;
    count("call.steps", call.steps.len(), STEPS_MAX)?;
    count("call.done", call.done.len(), STEPS_MAX)?;
    count("call.confirmed", call.confirmed.len(), STEPS_MAX)?;
    for step in &call.steps {
        id("step.id", &step.id)?;
        title("step.name", &step.name)?;
        for wording in [&step.wording.zh, &step.wording.en] {
            text("step.wording", wording, NOTE_CHARS_MAX)?;
        }
    }
    for done in &call.done {
        id("call.done", done)?;
    }
    for confirmed in &call.confirmed {
        id("call.confirmed", confirmed)?;
    }
    // The bank's own numbers stay inside.
    if !call.business.is_empty() {
        return bad("call.business", "nothing that a customer gets");
    }
    if let RecordingState::Lost { cause, .. } = &call.recording {
        id("recording.cause", cause)?;
    }
    let media = &call.media;
    if media.room != format!("/{}/{}", view.institution, call.session) {
        return bad("media.room", "the room of the session");
    }
    check_token("media.token", &media.token)?;
    id("media.publish", &media.publish)?;
    id("media.watch", &media.watch)?;
    // What is wrapped to somebody else is nothing a customer gets.
    if media.key.recipient != Participant::Customer {
        return bad("media.key", "wrapped to the customer");
    }
    check_wrapped(&media.key.wrapped)?;
    count("call.key.holders", call.key.holders.len(), PARTICIPANTS_MAX)?;
    for holder in &call.key.holders {
        line("call.key.holders", &holder.display, TITLE_CHARS_MAX)?;
    }
    Ok(())
}

/// Nothing, or what SM2 makes of a media key: a point of the curve, a digest, and as many bytes as the
/// key has. A key that somebody forgot to wrap does not pass.
fn check_wrapped(wrapped: &Hex) -> Result<(), Refusal> {
    if wrapped.0.is_empty() {
        return Ok(());
    }
    match wrapped.0.split_at_checked(POINT_BYTES) {
        Some((c1, _)) if wrapped.0.len() == WRAPPED_BYTES => {
            point("media.key", &Hex(c1.to_vec())).or_else(|_| bad("media.key", "wrapped by SM2"))
        }
        _ => bad("media.key", "wrapped by SM2"),
    }
}

fn check_token(field: &'static str, token: &str) -> Result<(), Refusal> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(ok) {
        return bad(field, "a token");
    }
    Ok(())
}

/// An uncompressed point on the SM2 curve: 65 bytes, the first 04.
fn point(field: &'static str, key: &Hex) -> Result<(), Refusal> {
    let uncompressed = key.0.first() == Some(&POINT_PREFIX);
    if !uncompressed || PublicKey::from_point(&key.0).is_err() {
        return bad(field, "an SM2 public key of 65 bytes, uncompressed");
    }
    Ok(())
}

fn id(field: &'static str, value: &str) -> Result<(), Refusal> {
    match QueueId::from_str(value) {
        Ok(_) => Ok(()),
        Err(_) => bad(field, "1 to 63 characters of a-z, 0-9 and '-'"),
    }
}

fn title(field: &'static str, name: &Text) -> Result<(), Refusal> {
    line(field, &name.zh, TITLE_CHARS_MAX)?;
    line(field, &name.en, TITLE_CHARS_MAX)
}

/// Text of one line.
fn line(field: &'static str, value: &str, chars_max: usize) -> Result<(), Refusal> {
    if value.contains(['\n', '\t']) {
        return bad(field, "one line");
    }
    text(field, value, chars_max)
}

/// Text that shows as it is stored.
fn text(field: &'static str, value: &str, chars_max: usize) -> Result<(), Refusal> {
    if value.chars().count() > chars_max {
        return bad(field, "shorter text");
    }
    if value.chars().any(deceives) {
        return bad(field, "printable text");
    }
    Ok(())
}

/// Characters that make a text look other than it is, or do something: controls, direction marks,
/// invisible ones, and the two that open and close a tag.
fn deceives(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '<' | '>' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => c.is_control(),
    }
}

fn count(field: &'static str, count: usize, max: usize) -> Result<(), Refusal> {
    if count > max {
        return bad(field, "fewer");
    }
    Ok(())
}

fn bad(field: &'static str, rule: &'static str) -> Result<(), Refusal> {
    Err(Refusal::BadValue { field, rule })
}

#[cfg(test)]
mod tests {
    use guitai_crypto::sm2::SecretKey;
    use guitai_types::{
        Code, Problem, UnixMillis,
        media::{HolderView, KeyView, MediaSuite},
        record::{Business, Consent, WrappedKey},
        view::MediaAccess,
    };

    use super::*;

    fn open() -> OpenTicket {
        OpenTicket {
            institution: "bank".parse().unwrap(),
            queue: "loans".parse().unwrap(),
            customer: "王小明 O'Neil".to_owned(),
            consent: Consent {
                recording: true,
                wording: "2026-11".to_owned(),
                at: UnixMillis(1),
            },
            media_key: Hex(SecretKey::generate().public().to_point().to_vec()),
        }
    }

    fn refused_field(change: impl FnOnce(&mut OpenTicket)) -> Option<&'static str> {
        let mut open = open();
        change(&mut open);
        match check(&Ask::OpenTicket(open)) {
            Err(Refusal::BadValue { field, .. }) => Some(field),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ticket_is_opened_by_a_name_a_consent_and_a_key() {
        assert_eq!(check(&Ask::OpenTicket(open())), Ok(()));
        let mut silent = open();
        silent.consent.recording = false;
        assert_eq!(check(&Ask::OpenTicket(silent)), Err(Refusal::NoConsent));
        for name in ["", "  ", "a\nb", "a\u{202e}b", "<b>", "\u{0}", "a\u{200b}b"] {
            let field = refused_field(|open| open.customer = name.to_owned());
            assert_eq!(field, Some("customer"), "{name:?}");
        }
        let long = "王".repeat(NAME_CHARS_MAX + 1);
        assert_eq!(refused_field(|open| open.customer = long), Some("customer"));
        let wording = refused_field(|open| open.consent.wording.clear());
        assert_eq!(wording, Some("consent.wording"));
    }

    #[test]
    fn a_media_key_is_an_uncompressed_point_on_the_curve() {
        let key = open().media_key.0;
        let mut shorter = key.clone();
        shorter.pop();
        let mut hybrid = key.clone();
        hybrid[0] = 6;
        let mut off_curve = key.clone();
        off_curve[64] ^= 1;
        for bad in [Vec::new(), shorter, hybrid, off_curve, vec![4; 65], vec![0]] {
            let field = refused_field(|open| open.media_key = Hex(bad));
            assert_eq!(field, Some("media_key"));
        }
    }

    #[test]
    fn stars_comments_and_steps_have_ranges() {
        let ticket: TicketId = "t-1".parse().unwrap();
        let rate = |stars, comment: &str| {
            let (ticket, comment) = (ticket.clone(), comment.to_owned());
            check(&Ask::Rate {
                ticket,
                stars,
                comment,
            })
            .is_ok()
        };
        assert!(rate(1, "谢谢\n很好") && rate(5, ""));
        assert!(!rate(0, "") && !rate(6, ""));
        assert!(!rate(3, &"x".repeat(NOTE_CHARS_MAX + 1)) && !rate(3, "\u{7}"));
        let confirm = |step: &str| {
            let (ticket, step) = (ticket.clone(), step.to_owned());
            check(&Ask::Confirm { ticket, step }).is_ok()
        };
        assert!(confirm("identity") && !confirm("../x") && !confirm(""));
    }

    fn said(text: &str) -> Ask {
        Ask::Say {
            ticket: "t-1".parse().unwrap(),
            text: text.to_owned(),
            found: Vec::new(),
        }
    }

    #[test]
    fn what_is_said_is_a_text_and_what_was_found_is_words_and_numbers() {
        assert_eq!(check(&said("你好\n第二行")), Ok(()));
        for text in [
            "",
            " \n",
            "<b>",
            "a\u{202e}b",
            &"王".repeat(MESSAGE_CHARS_MAX + 1),
        ] {
            assert!(check(&said(text)).is_err(), "{text:?}");
        }
        let with = |rule: &str, count| {
            let mut ask = said("x");
            if let Ask::Say { found, .. } = &mut ask {
                let rule = rule.to_owned();
                let action = guitai_types::message::Action::Mask;
                found.push(Found {
                    rule,
                    action,
                    count,
                });
            }
            check(&ask).is_ok()
        };
        assert!(with("id-card", 2));
        assert!(!with("110105 1949", 2) && !with("id-card", 501));
    }

    #[test]
    fn messages_come_in_order_and_after_what_was_asked() {
        let message = |number, text: &str| Message {
            id: "m-1".parse().unwrap(),
            number,
            at: UnixMillis(1),
            from: guitai_types::message::Sender::Agent,
            body: MessageBody::Text {
                text: text.to_owned(),
            },
            found: Vec::new(),
        };
        let ask = Ask::Messages {
            ticket: "t-1".parse().unwrap(),
            after: 4,
        };
        let answer = |messages| check_answer(&ask, &Answer::Messages { messages });
        assert_eq!(answer(Vec::new()), Ok(()));
        assert_eq!(answer(vec![message(5, "a"), message(9, "b")]), Ok(()));
        assert!(answer(vec![message(4, "a")]).is_err(), "seen");
        assert!(
            answer(vec![message(9, "a"), message(5, "b")]).is_err(),
            "order"
        );
        assert!(answer(vec![message(5, "a\u{200b}b")]).is_err(), "invisible");
        let one = Answer::Messages {
            messages: vec![message(5, "a"), message(6, "b")],
        };
        assert!(check_answer(&said("x"), &one).is_err(), "one was said");
        assert!(check_answer(&Ask::Catalogue, &one).is_err());
    }

    fn view(phase: TicketPhase) -> Box<TicketView> {
        Box::new(TicketView {
            ticket: "t-1".parse().unwrap(),
            institution: "bank".parse().unwrap(),
            queue: "loans".parse().unwrap(),
            number: 1,
            opened_at: UnixMillis(1),
            phase,
        })
    }

    fn call() -> CallView {
        CallView {
            session: "s-1".parse().unwrap(),
            peer: "李 8001".to_owned(),
            participants: vec![Participant::Customer, Participant::Agent],
            recording: RecordingState::Starting,
            started_at: UnixMillis(2),
            steps: Vec::new(),
            done: Vec::new(),
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
                    wrapped: Hex(SecretKey::generate().public().encrypt(&[7; 32]).unwrap()),
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

    fn answered(change: impl FnOnce(&mut CallView)) -> Result<(), Refusal> {
        let mut call = call();
        change(&mut call);
        let phase = TicketPhase::InSession {
            call: Box::new(call),
        };
        let ticket = "t-1".parse().unwrap();
        let ask = Ask::WatchTicket { ticket };
        check_answer(&ask, &Answer::Ticket { view: view(phase) })
    }

    #[test]
    fn only_the_customers_own_call_goes_out() {
        assert_eq!(answered(|_| ()), Ok(()));
        let agents = |call: &mut CallView| call.media.key.recipient = Participant::Agent;
        assert!(answered(agents).is_err());
        assert!(answered(|call| call.media.room = "/bank/s-2".to_owned()).is_err());
        assert!(answered(|call| call.media.token = "a b".to_owned()).is_err());
        assert!(answered(|call| call.peer = "<script>".to_owned()).is_err());
        assert!(answered(|call| call.confirmed = vec!["<b>".to_owned()]).is_err());
        assert!(answered(|call| call.business.number = "HT-1".to_owned()).is_err());
        let bad_name = |call: &mut CallView| {
            call.key
                .holders
                .iter_mut()
                .for_each(|holder| holder.display = "<b>".to_owned());
        };
        assert!(answered(bad_name).is_err());
    }

    #[test]
    fn a_media_key_passes_only_wrapped() {
        let with = |wrapped: Vec<u8>| answered(|call| call.media.key.wrapped = Hex(wrapped));
        assert_eq!(with(Vec::new()), Ok(()), "no key, no page");
        let wrapped = call().media.key.wrapped.0;
        assert!(with(vec![7; 32]).is_err(), "the plain key itself");
        assert!(with(wrapped[..128].to_vec()).is_err());
        assert!(with([&wrapped[..], &[0]].concat()).is_err());
        // The plain key hidden in something of the right length: its first part is no point.
        assert!(with([4; 129].to_vec()).is_err());
        assert!(with([&[7; 32][..], &wrapped[..97]].concat()).is_err());
    }

    #[test]
    fn a_page_that_comes_or_goes_names_a_point_of_the_curve() {
        let ticket: TicketId = "t-1".parse().unwrap();
        let good = Hex(SecretKey::generate().public().to_point().to_vec());
        for (media_key, passes) in [
            (good, true),
            (Hex(vec![4; 65]), false),
            (Hex(vec![]), false),
        ] {
            let rejoin = Ask::Rejoin {
                ticket: ticket.clone(),
                media_key: media_key.clone(),
            };
            let leave = Ask::Leave {
                ticket: ticket.clone(),
                media_key,
            };
            assert_eq!(
                (check(&rejoin).is_ok(), check(&leave).is_ok()),
                (passes, passes)
            );
        }
    }

    #[test]
    fn a_door_is_an_origin_and_the_hashes_of_its_certificates() {
        let door = DoorEntry {
            node: "edge-a2".parse().unwrap(),
            centre: "a2".parse().unwrap(),
            http: "http://127.2.1.1:4443".to_owned(),
            webtransport: "https://[2001:db8::1]:4443".to_owned(),
            websocket: "wss://counter.bank.example:4443".to_owned(),
            certificate_hashes: vec!["0f".repeat(32)],
            alive: true,
        };
        let told = |change: &dyn Fn(&mut DoorEntry)| {
            let mut door = door.clone();
            change(&mut door);
            check_order(&Order::Doors { doors: vec![door] })
        };
        assert_eq!(told(&|_| ()), Ok(()));
        let no_media = |door: &mut DoorEntry| {
            door.webtransport.clear();
            door.websocket.clear();
        };
        assert_eq!(told(&no_media), Ok(()));
        for http in [
            "",
            "http://",
            "javascript:alert(1)",
            "http://a/b",
            "http://u@a",
            "http://a b",
            "http://a?q",
            "http://a#f",
        ] {
            assert!(
                told(&|door| door.http = http.to_owned()).is_err(),
                "{http:?}"
            );
        }
        assert!(
            told(&|door| door.http = format!("http://{}", "a".repeat(ORIGIN_BYTES_MAX))).is_err()
        );
        assert!(told(&|door| door.webtransport = "http://a:1".to_owned()).is_err());
        assert!(told(&|door| door.websocket = "https://a:1".to_owned()).is_err());
        assert!(told(&|door| door.websocket.clear()).is_err());
        assert!(told(&|door| door.certificate_hashes = vec!["0F".repeat(32)]).is_err());
        assert!(told(&|door| door.certificate_hashes = vec!["0f".repeat(32); 3]).is_err());
        let many = Order::Doors {
            doors: vec![door.clone(); DOORS_MAX + 1],
        };
        assert!(check_order(&many).is_err());
    }

    /// As many doors as may be told, each as long as it may be in a real deployment, are one message.
    #[test]
    fn all_doors_fit_into_a_message() {
        let (node, centre) = ("n".repeat(63), "c".repeat(63));
        let host = "[2001:0db8:1111:2222:3333:4444:5555:6666]:65535";
        let door = DoorEntry {
            node: node.parse().unwrap(),
            centre: centre.parse().unwrap(),
            http: format!("https://{host}"),
            webtransport: format!("https://{host}"),
            websocket: format!("wss://{host}"),
            certificate_hashes: vec!["0f".repeat(32); HASHES_MAX],
            alive: false,
        };
        let order = Order::Doors {
            doors: vec![door; DOORS_MAX],
        };
        let bytes = serde_json::to_vec(&order).unwrap().len();
        assert!(bytes <= guitai_types::limits::CONTROL_BYTES_MAX, "{bytes}");
    }

    #[test]
    fn an_answer_to_another_question_is_the_wrong_direction() {
        let ticket: TicketId = "t-1".parse().unwrap();
        let other: TicketId = "t-2".parse().unwrap();
        let waiting = || {
            view(TicketPhase::Waiting {
                position: 1,
                agents: 1,
            })
        };
        let wrong = Err(Refusal::WrongDirection);
        let asked = Ask::Ticket { ticket: other };
        assert_eq!(
            check_answer(&asked, &Answer::Ticket { view: waiting() }),
            wrong
        );
        let asked = Ask::Ticket {
            ticket: ticket.clone(),
        };
        assert_eq!(
            check_answer(&asked, &Answer::Ticket { view: waiting() }),
            Ok(())
        );
        assert_eq!(check_answer(&asked, &Answer::Done), wrong);
        assert_eq!(check_answer(&Ask::Catalogue, &Answer::Done), wrong);
        let opened = Answer::Opened {
            ticket,
            token: "a.b".to_owned(),
            view: waiting(),
        };
        assert_eq!(check_answer(&asked, &opened), wrong);
        assert_eq!(check_answer(&Ask::OpenTicket(open()), &opened), Ok(()));
        let elsewhere = OpenTicket {
            queue: "cards".parse().unwrap(),
            ..open()
        };
        assert_eq!(check_answer(&Ask::OpenTicket(elsewhere), &opened), wrong);
        let problem = Problem::new(Code::NotFound, "no such ticket");
        assert_eq!(check_answer(&asked, &Answer::Refused { problem }), Ok(()));
    }
}
