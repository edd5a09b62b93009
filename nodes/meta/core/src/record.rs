//! The state as records: a key, and JSON under it. The key-value view and the snapshot hold nothing
//! else, so there is one form on disk. Fields are only ever added, with a default.

use std::{collections::BTreeMap, fmt};

use guitai_types::{
    InstitutionId, MarkName, NodeId, NodeName, ReservationId, SessionId, StaffName, StaffRef,
    TicketId,
    dr::{Lane, Service},
};
use serde::{
    Serialize,
    de::{DeserializeOwned, Error as _},
};

use crate::{
    State,
    index::Index,
    state::Remembered,
    tlog::{Kept, Log, LogHead, LogTiles},
};

/// Answers to requests in one record.
const REQUESTS_A_RECORD: u64 = 128;

/// Key of one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    /// Cluster id, epoch, clock, policy and counters.
    Head,
    /// Cities and centres.
    Places,
    /// A node.
    Member(NodeId),
    /// An institution with its queues.
    Institution(InstitutionId),
    /// A staff account.
    Staff(StaffRef),
    /// A desk.
    Desk(StaffRef),
    /// A ticket.
    Ticket(TicketId),
    /// A reservation.
    Reservation(ReservationId),
    /// A session with its events.
    Session(SessionId),
    /// A numbered event.
    Event(u64),
    /// Answers to requests, by order of answering: 128 numbers together, since every
    /// proposal adds one.
    Requests(u64),
    /// The answer to one request, as 0.1 wrote it before; only read.
    Request(u64),
    /// A disaster recovery run, by order of proposal.
    Dr(u64),
    /// What a prober of the present run left.
    Probe(Lane),
    /// A mark.
    Mark(MarkName),
    /// The canary tenant of a prober of the present run.
    Canary(NodeName),
    /// How long recordings are kept.
    Retention,
    /// A recording, for as long as it is kept and after.
    Recording(SessionId),
    /// What a node has of certificates and keys.
    Custody(NodeName),
    /// The flow matrix.
    Flows,
    /// The minutes of the flow log that were agreed on last.
    FlowLog,
    /// A film that was asked for, by number.
    Film(u32),
    /// Whether a node can make films.
    FilmMaker(NodeName),
    /// The transparency log: whom to believe, its size, its checkpoints.
    Log,
    /// The right edges of its trees above the leaves.
    LogTiles,
    /// An entry of its bundle that is not full, with what is behind it.
    LogEntry(u64),
}

impl fmt::Display for RecordKey {
    /// Numbers have 20 digits, so that keys sort as the numbers do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Places => f.write_str("places"),
            Self::Member(id) => write!(f, "member/{:020}", id.0),
            Self::Institution(id) => write!(f, "institution/{id}"),
            Self::Staff(id) => write!(f, "staff/{id}"),
            Self::Desk(id) => write!(f, "desk/{id}"),
            Self::Ticket(id) => write!(f, "ticket/{id}"),
            Self::Reservation(id) => write!(f, "reservation/{id}"),
            Self::Session(id) => write!(f, "session/{id}"),
            Self::Event(number) => write!(f, "event/{number:020}"),
            Self::Requests(page) => write!(f, "requests/{page:020}"),
            Self::Request(number) => write!(f, "request/{number:020}"),
            Self::Dr(number) => write!(f, "dr/{number:020}"),
            Self::Probe(lane) => write!(f, "probe/{lane}"),
            Self::Mark(name) => write!(f, "mark/{name}"),
            Self::Canary(node) => write!(f, "canary/{node}"),
            Self::Retention => f.write_str("retention"),
            Self::Flows => f.write_str("flows"),
            Self::FlowLog => f.write_str("flow-log"),
            Self::Recording(id) => write!(f, "recording/{id}"),
            Self::Custody(node) => write!(f, "custody/{node}"),
            Self::Film(number) => write!(f, "film/{number:010}"),
            Self::FilmMaker(node) => write!(f, "film-maker/{node}"),
            Self::Log => f.write_str("log"),
            Self::LogTiles => f.write_str("log-tiles"),
            Self::LogEntry(index) => write!(f, "log-entry/{index:020}"),
        }
    }
}

impl RecordKey {
    /// The record that the answer with this number lies in.
    pub(crate) fn of_request(number: u64) -> Self {
        Self::Requests(number / REQUESTS_A_RECORD)
    }

    /// Reads a key as written by `Display`; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((kind, rest)) = text.split_once('/') else {
            return match text {
                "head" => Some(Self::Head),
                "places" => Some(Self::Places),
                "retention" => Some(Self::Retention),
                "flows" => Some(Self::Flows),
                "flow-log" => Some(Self::FlowLog),
                "log" => Some(Self::Log),
                "log-tiles" => Some(Self::LogTiles),
                _ => None,
            };
        };
        match kind {
            "member" => Some(Self::Member(NodeId(rest.parse().ok()?))),
            "institution" => Some(Self::Institution(rest.parse().ok()?)),
            "staff" => Some(Self::Staff(staff(rest)?)),
            "desk" => Some(Self::Desk(staff(rest)?)),
            "ticket" => Some(Self::Ticket(rest.parse().ok()?)),
            "reservation" => Some(Self::Reservation(rest.parse().ok()?)),
            "session" => Some(Self::Session(rest.parse().ok()?)),
            "event" => Some(Self::Event(rest.parse().ok()?)),
            "requests" => Some(Self::Requests(rest.parse().ok()?)),
            "request" => Some(Self::Request(rest.parse().ok()?)),
            "dr" => Some(Self::Dr(rest.parse().ok()?)),
            "probe" => Some(Self::Probe(lane(rest)?)),
            "mark" => Some(Self::Mark(rest.parse().ok()?)),
            "canary" => Some(Self::Canary(rest.parse().ok()?)),
            "recording" => Some(Self::Recording(rest.parse().ok()?)),
            "custody" => Some(Self::Custody(rest.parse().ok()?)),
            "film" => Some(Self::Film(rest.parse().ok()?)),
            "film-maker" => Some(Self::FilmMaker(rest.parse().ok()?)),
            "log-entry" => Some(Self::LogEntry(rest.parse().ok()?)),
            _ => None,
        }
    }
}

fn lane(text: &str) -> Option<Lane> {
    let (node, service) = text.split_once('/')?;
    let service = Service::ALL.into_iter().find(|it| it.as_str() == service)?;
    Some(Lane {
        node: node.parse().ok()?,
        service,
    })
}

fn staff(text: &str) -> Option<StaffRef> {
    let (institution, name) = text.split_once('/')?;
    let name: StaffName = name.parse().ok()?;
    Some(StaffRef {
        institution: institution.parse().ok()?,
        name,
    })
}

/// Why records are no state. Names the key, never the content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The key is of no kind this release knows.
    #[error("the record {key} is of no known kind")]
    Key {
        /// The key.
        key: String,
    },
    /// What stands under the key cannot be read.
    #[error("the record {key} cannot be read")]
    Value {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There are records but not the one every state has.
    #[error("there are records, but the record head is missing")]
    NoHead,
    /// The records of the transparency log do not belong together.
    #[error("the records of the transparency log are no log")]
    Log,
}

impl State {
    /// The record under a key, as JSON; `None` if there is none (any more).
    pub fn record(&self, key: &RecordKey) -> Option<Vec<u8>> {
        match key {
            RecordKey::Head => json(&self.head),
            RecordKey::Places => json(&self.places),
            RecordKey::Member(id) => json(self.members.get(id)?),
            RecordKey::Institution(id) => json(self.institutions.get(id)?),
            RecordKey::Staff(id) => json(self.staff.get(id)?),
            RecordKey::Desk(id) => json(self.desks.get(id)?),
            RecordKey::Ticket(id) => json(self.tickets.get(id)?),
            RecordKey::Reservation(id) => json(self.reservations.get(id)?),
            RecordKey::Session(id) => json(self.sessions.get(id)?),
            RecordKey::Event(number) => json(self.events.get(number)?),
            RecordKey::Requests(page) => {
                let first = page.checked_mul(REQUESTS_A_RECORD)?;
                let last = first.checked_add(REQUESTS_A_RECORD - 1)?;
                let page: BTreeMap<_, _> = self.requests.range(first..=last).collect();
                (!page.is_empty()).then_some(())?;
                json(&page)
            }
            RecordKey::Request(_) => None,
            RecordKey::Dr(number) => json(self.runs.get(number)?),
            RecordKey::Probe(lane) => json(self.probes.get(lane)?),
            RecordKey::Mark(name) => json(self.marks.get(name)?),
            // A state inside the state: its snapshot, as text.
            RecordKey::Canary(node) => {
                json(&String::from_utf8(self.canaries.get(node)?.to_snapshot()).ok()?)
            }
            RecordKey::Retention => json(self.retention.as_ref()?),
            RecordKey::Flows => json(self.flows.as_ref()?),
            RecordKey::FlowLog => json(&self.flow_log),
            RecordKey::Recording(id) => json(self.recordings.get(id)?),
            RecordKey::Custody(node) => json(self.custody.get(node)?),
            RecordKey::Film(number) => json(self.films.get(number)?),
            RecordKey::FilmMaker(node) => json(self.film_makers.get(node)?),
            RecordKey::Log => json(&self.log.as_ref()?.head),
            RecordKey::LogTiles => json(&self.log.as_ref()?.tiles()),
            RecordKey::LogEntry(index) => {
                let log = self.log.as_ref()?;
                let at = usize::try_from(index.checked_sub(log.first_open())?).ok()?;
                json(log.open.get(at)?)
            }
        }
    }

    /// Keys of all records, in order; none before the first proposal.
    pub fn record_keys(&self) -> impl Iterator<Item = RecordKey> {
        let started = *self != Self::default();
        let fixed = [RecordKey::Head, RecordKey::Places];
        fixed
            .into_iter()
            .filter(move |_| started)
            .chain(self.members.keys().copied().map(RecordKey::Member))
            .chain(
                self.institutions
                    .keys()
                    .cloned()
                    .map(RecordKey::Institution),
            )
            .chain(self.staff.keys().cloned().map(RecordKey::Staff))
            .chain(self.desks.keys().cloned().map(RecordKey::Desk))
            .chain(self.tickets.keys().cloned().map(RecordKey::Ticket))
            .chain(
                self.reservations
                    .keys()
                    .cloned()
                    .map(RecordKey::Reservation),
            )
            .chain(self.sessions.keys().cloned().map(RecordKey::Session))
            .chain(self.events.keys().copied().map(RecordKey::Event))
            .chain(self.request_pages())
            .chain(self.runs.keys().copied().map(RecordKey::Dr))
            .chain(self.probes.keys().cloned().map(RecordKey::Probe))
            .chain(self.marks.keys().cloned().map(RecordKey::Mark))
            .chain(self.canaries.keys().cloned().map(RecordKey::Canary))
            .chain(self.retention.iter().map(|_| RecordKey::Retention))
            .chain(self.flows.iter().map(|_| RecordKey::Flows))
            .chain(self.flow_log.first().map(|_| RecordKey::FlowLog))
            .chain(self.recordings.keys().cloned().map(RecordKey::Recording))
            .chain(self.custody.keys().cloned().map(RecordKey::Custody))
            .chain(self.films.keys().copied().map(RecordKey::Film))
            .chain(self.film_makers.keys().cloned().map(RecordKey::FilmMaker))
            .chain(self.log_keys())
    }

    fn log_keys(&self) -> impl Iterator<Item = RecordKey> {
        self.log.iter().flat_map(|log| {
            let entries = (log.first_open()..log.size()).map(RecordKey::LogEntry);
            [RecordKey::Log, RecordKey::LogTiles]
                .into_iter()
                .chain(entries)
        })
    }

    fn request_pages(&self) -> impl Iterator<Item = RecordKey> {
        let page = |(number, _): (&u64, &_)| number / REQUESTS_A_RECORD;
        let first = self.requests.first_key_value().map(page);
        let last = self.requests.last_key_value().map(page);
        // Numbers have no gap, so neither have pages.
        let pages = first.zip(last).map(|(first, last)| first..=last);
        pages.into_iter().flatten().map(RecordKey::Requests)
    }

    /// The state that has these records.
    pub fn load<K, V>(records: impl IntoIterator<Item = (K, V)>) -> Result<Self, LoadError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut state = Self::default();
        let (mut count, mut has_head) = (0_usize, false);
        let mut log = LogParts::default();
        for (key, value) in records {
            let key = String::from_utf8_lossy(key.as_ref());
            let Some(parsed) = RecordKey::parse(&key) else {
                return Err(LoadError::Key {
                    key: key.into_owned(),
                });
            };
            count += 1;
            has_head |= parsed == RecordKey::Head;
            let loaded = if log.takes(&parsed) {
                log.load_one(parsed, value.as_ref())
            } else {
                state.load_one(parsed, value.as_ref())
            };
            loaded.map_err(|source| LoadError::Value {
                key: key.into_owned(),
                source,
            })?;
        }
        if count > 0 && !has_head {
            return Err(LoadError::NoHead);
        }
        state.log = log.join()?;
        state.index = Index::build(&state);
        Ok(state)
    }

    fn load_one(&mut self, key: RecordKey, value: &[u8]) -> serde_json::Result<()> {
        match key {
            RecordKey::Head => self.head = parse(value)?,
            RecordKey::Places => self.places = parse(value)?,
            RecordKey::Member(id) => drop(self.members.insert(id, parse(value)?)),
            RecordKey::Institution(id) => drop(self.institutions.insert(id, parse(value)?)),
            RecordKey::Staff(id) => drop(self.staff.insert(id, parse(value)?)),
            RecordKey::Desk(id) => drop(self.desks.insert(id, parse(value)?)),
            RecordKey::Ticket(id) => drop(self.tickets.insert(id, parse(value)?)),
            RecordKey::Reservation(id) => drop(self.reservations.insert(id, parse(value)?)),
            RecordKey::Session(id) => {
                let mut session: guitai_types::record::Session = parse(value)?;
                session.fill_assignments();
                drop(self.sessions.insert(id, session));
            }
            RecordKey::Event(number) => drop(self.events.insert(number, parse(value)?)),
            RecordKey::Requests(_) => {
                self.requests
                    .extend(parse::<BTreeMap<u64, Remembered>>(value)?);
            }
            RecordKey::Request(number) => drop(self.requests.insert(number, parse(value)?)),
            RecordKey::Dr(number) => drop(self.runs.insert(number, parse(value)?)),
            RecordKey::Probe(lane) => drop(self.probes.insert(lane, parse(value)?)),
            RecordKey::Mark(name) => drop(self.marks.insert(name, parse(value)?)),
            RecordKey::Canary(node) => {
                let snapshot: String = parse(value)?;
                let tenant =
                    Self::from_snapshot(snapshot.as_bytes()).map_err(serde_json::Error::custom)?;
                drop(self.canaries.insert(node, tenant));
            }
            RecordKey::Retention => self.retention = Some(parse(value)?),
            RecordKey::Flows => self.flows = Some(parse(value)?),
            RecordKey::FlowLog => self.flow_log = parse(value)?,
            RecordKey::Recording(id) => drop(self.recordings.insert(id, parse(value)?)),
            RecordKey::Custody(node) => drop(self.custody.insert(node, parse(value)?)),
            RecordKey::Film(number) => drop(self.films.insert(number, parse(value)?)),
            RecordKey::FilmMaker(node) => drop(self.film_makers.insert(node, parse(value)?)),
            // Those of the log go together, see `LogParts`.
            RecordKey::Log | RecordKey::LogTiles | RecordKey::LogEntry(_) => {}
        }
        Ok(())
    }
}

/// The records of the transparency log, which only make sense together.
#[derive(Default)]
struct LogParts {
    head: Option<LogHead>,
    tiles: Option<LogTiles>,
    entries: BTreeMap<u64, Kept>,
}

impl LogParts {
    fn takes(&self, key: &RecordKey) -> bool {
        matches!(
            key,
            RecordKey::Log | RecordKey::LogTiles | RecordKey::LogEntry(_)
        )
    }

    fn load_one(&mut self, key: RecordKey, value: &[u8]) -> serde_json::Result<()> {
        match key {
            RecordKey::Log => self.head = Some(parse(value)?),
            RecordKey::LogTiles => self.tiles = Some(parse(value)?),
            RecordKey::LogEntry(index) => drop(self.entries.insert(index, parse(value)?)),
            _ => {}
        }
        Ok(())
    }

    fn join(self) -> Result<Option<Log>, LoadError> {
        let Self {
            head,
            tiles,
            entries,
        } = self;
        let (head, tiles) = match (head, tiles) {
            (Some(head), Some(tiles)) => (head, tiles),
            (None, None) if entries.is_empty() => return Ok(None),
            _ => return Err(LoadError::Log),
        };
        let first = head.size.checked_sub(entries.len() as u64);
        let first = first.ok_or(LoadError::Log)?;
        if !entries.keys().copied().eq(first..head.size) {
            return Err(LoadError::Log);
        }
        let log = Log::load(head, &tiles, entries.into_values().collect());
        log.map(Some).ok_or(LoadError::Log)
    }
}

/// Plain data without maps of strange keys always has a JSON form.
fn json(value: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_reads_back() {
        let keys = [
            "head",
            "places",
            "member/00000000000000000007",
            "institution/bank",
            "staff/bank/wang",
            "desk/bank/wang",
            "ticket/t1",
            "reservation/r1-1",
            "session/s1",
            "event/00000000000000000001",
            "requests/18446744073709551615",
            "request/18446744073709551615",
            "dr/00000000000000000003",
            "probe/a1-1/log",
            "mark/soak-1",
            "canary/a1-1",
            "retention",
            "flows",
            "flow-log",
            "recording/s1",
            "custody/a1-1",
            "film/0000000007",
            "film-maker/a1-2",
            "log",
            "log-tiles",
            "log-entry/00000000000000000256",
        ];
        for text in keys {
            let key = RecordKey::parse(text).map(|key| key.to_string());
            assert_eq!(key.as_deref(), Some(text));
        }
        for wrong in ["", "heads", "staff/bank", "ticket/A", "event/x", "ticket"] {
            assert_eq!(RecordKey::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn requests_lie_in_pages_and_single_ones_are_still_read() {
        let answered = |number: u64| Remembered {
            request: guitai_types::RequestId::from_random([number as u8; 16]),
            reply: guitai_types::command::Reply::Done,
        };
        let mut state = State::default();
        for number in 100..300 {
            state.requests.insert(number, answered(number));
        }
        let pages: Vec<_> = state.request_pages().collect();
        assert_eq!(pages, [0, 1, 2].map(RecordKey::Requests));
        let records = |state: &State| -> Vec<(String, Vec<u8>)> {
            let keys = state.record_keys();
            let record = |key: RecordKey| Some((key.to_string(), state.record(&key)?));
            keys.filter_map(record).collect()
        };
        assert_eq!(
            State::load(records(&state)).unwrap().requests,
            state.requests
        );
        // One of each form, as a view has them whose node was upgraded.
        let mut mixed = records(&state);
        let single = serde_json::to_vec(&answered(99)).unwrap();
        mixed.push((RecordKey::Request(99).to_string(), single));
        let loaded = State::load(mixed).unwrap();
        assert_eq!(loaded.requests.len(), 201);
        assert_eq!(
            loaded.record(&RecordKey::Requests(7)),
            None,
            "nothing there"
        );
        assert_eq!(loaded.record(&RecordKey::Requests(u64::MAX)), None);
    }

    #[test]
    fn records_without_head_or_with_strangers_are_no_state() {
        let none: [(&str, &str); 0] = [];
        assert_eq!(State::load(none).ok(), Some(State::default()));
        assert!(matches!(
            State::load([("places", r#"{"cities":[],"centres":[]}"#)]),
            Err(LoadError::NoHead)
        ));
        assert!(matches!(
            State::load([("x", "{}")]),
            Err(LoadError::Key { .. })
        ));
        assert!(matches!(
            State::load([("head", "{")]),
            Err(LoadError::Value { .. })
        ));
    }
}
