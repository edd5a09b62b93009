//! The control messages that cross between the DMZ and the inner zone: the whole list, typed,
//! size-limited ([`crate::limits::CONTROL_BYTES_MAX`]) and versioned by the tunnel's ALPN
//! `guitai-tunnel/1`. The guard decodes, checks and re-makes each; unknown types, unknown fields,
//! oversize fields and wrong directions are refused and counted.
//!
//! On the wire a message is a big-endian `u32` length and that many bytes of JSON. The edge opens one
//! bidirectional QUIC stream per [`Ask`]; the core answers with one [`Answer`], except to
//! [`Ask::WatchTicket`], which is answered by a row of [`Answer::Ticket`] until the ticket ends.
//! The core opens a unidirectional stream per [`Order`].

use serde::{Deserialize, Serialize};

use crate::{
    Epoch, Hex, InstitutionId, MessageId, QueueId, SessionId, TicketId,
    message::{FileHead, Found, Message},
    place::Text,
    problem::Problem,
    record::Consent,
    view::{DoorEntry, TicketView},
};

/// Edge to core: what a customer may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask", deny_unknown_fields)]
pub enum Ask {
    /// Which institutions and queues there are.
    Catalogue,
    /// Enter a queue.
    OpenTicket(OpenTicket),
    /// How is my ticket? (once)
    Ticket {
        /// Which.
        ticket: TicketId,
    },
    /// Tell me whenever my ticket changes. Keeps the ticket alive while the stream is open.
    WatchTicket {
        /// Which.
        ticket: TicketId,
    },
    /// Leave the queue or hang up.
    CloseTicket {
        /// Which.
        ticket: TicketId,
        /// `true` in a call, `false` in the queue.
        hang_up: bool,
    },
    /// Rate the ended call.
    Rate {
        /// Which.
        ticket: TicketId,
        /// 1 to 5.
        stars: u8,
        /// Comment, [`crate::limits::NOTE_CHARS_MAX`] characters at most.
        comment: String,
    },
    /// My page was loaded again: this is its key.
    Rejoin {
        /// Which.
        ticket: TicketId,
        /// SM2 public key of the page, uncompressed point, 65 bytes.
        media_key: Hex,
    },
    /// My page goes away; it may come back.
    Leave {
        /// Which.
        ticket: TicketId,
        /// SM2 public key of the page that goes.
        media_key: Hex,
    },
    /// Confirm a business step shown on the customer's page.
    Confirm {
        /// Which.
        ticket: TicketId,
        /// Step id.
        step: String,
    },
    /// Say something to the agent.
    Say {
        /// Which.
        ticket: TicketId,
        /// What, as the edge's rules let it through; [`crate::limits::MESSAGE_CHARS_MAX`] characters at most.
        text: String,
        /// What the edge's rules found in it.
        found: Vec<Found>,
    },
    /// Send the agent a file. Its bytes, made anew by the edge, follow on the same stream in frames of at most
    /// [`crate::limits::CONTROL_BYTES_MAX`] each.
    SendFile {
        /// Which.
        ticket: TicketId,
        /// What it is; its SM3 is of the bytes that follow.
        file: FileHead,
    },
    /// Give me a file that was sent. The answer's bytes follow it in the same way.
    FetchFile {
        /// Which.
        ticket: TicketId,
        /// Id of the message.
        message: MessageId,
    },
    /// What has been said since?
    Messages {
        /// Which.
        ticket: TicketId,
        /// Number of the last message that the page has; 0 for none.
        after: u64,
    },
}

impl Ask {
    /// Name of the kind, for counters and logs; says nothing of the content.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::OpenTicket(_) => "open-ticket",
            Self::Ticket { .. } => "ticket",
            Self::WatchTicket { .. } => "watch-ticket",
            Self::CloseTicket { .. } => "close-ticket",
            Self::Rate { .. } => "rate",
            Self::Rejoin { .. } => "rejoin",
            Self::Leave { .. } => "leave",
            Self::Confirm { .. } => "confirm",
            Self::Say { .. } => "say",
            Self::SendFile { .. } => "send-file",
            Self::FetchFile { .. } => "fetch-file",
            Self::Messages { .. } => "messages",
        }
    }
}

/// A customer's request to enter a queue; also the body of `POST /api/v1/tickets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenTicket {
    /// Institution.
    pub institution: InstitutionId,
    /// Queue.
    pub queue: QueueId,
    /// Display name, [`crate::limits::NAME_CHARS_MAX`] characters at most.
    pub customer: String,
    /// Consent.
    pub consent: Consent,
    /// SM2 public key of the page, uncompressed point, 65 bytes.
    pub media_key: Hex,
}

/// Core to edge: answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer", deny_unknown_fields)]
pub enum Answer {
    /// To [`Ask::Catalogue`].
    Catalogue {
        /// What there is.
        catalogue: Catalogue,
    },
    /// To [`Ask::OpenTicket`].
    Opened {
        /// The new ticket.
        ticket: TicketId,
        /// Token for it.
        token: String,
        /// How it is.
        view: Box<TicketView>,
    },
    /// To [`Ask::Ticket`] and [`Ask::WatchTicket`].
    Ticket {
        /// How it is.
        view: Box<TicketView>,
    },
    /// To [`Ask::FetchFile`]; its bytes follow.
    File {
        /// What it is.
        file: FileHead,
    },
    /// To [`Ask::Say`] and [`Ask::SendFile`]: the message as it was taken. To [`Ask::Messages`]: the next ones, as many as one answer
    /// holds; none when the page has all of them.
    Messages {
        /// By number.
        messages: Vec<Message>,
    },
    /// Done.
    Done,
    /// Refused.
    Refused {
        /// Why; the outer text only.
        problem: Problem,
    },
}

/// Institutions and queues a customer may choose from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Institutions.
    pub institutions: Vec<CatalogueInstitution>,
}

/// One institution in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueInstitution {
    /// Id.
    pub id: InstitutionId,
    /// Name.
    pub name: Text,
    /// Queues.
    pub queues: Vec<CatalogueQueue>,
}

/// One queue in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogueQueue {
    /// Id.
    pub id: QueueId,
    /// Name.
    pub name: Text,
}

/// Core to edge, unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "order", deny_unknown_fields)]
pub enum Order {
    /// First message on a tunnel: who speaks, and the epoch below which nothing is accepted.
    Hello {
        /// Present epoch.
        epoch: Epoch,
    },
    /// The media tokens of a session are void; close its connections.
    EndSession {
        /// Which.
        session: SessionId,
    },
    /// A ticket's tokens are void.
    RevokeTicket {
        /// Which.
        ticket: TicketId,
    },
    /// The edges of the cluster, for customers' pages: where to go when this one is gone.
    Doors {
        /// All of them, this edge too, at most [`crate::limits::DOORS_MAX`].
        doors: Vec<DoorEntry>,
    },
}
