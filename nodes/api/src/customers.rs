//! The core's side of the guard: what customers ask through the edges, answered from the metadata.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture};
use guitai_crypto::sm2::PublicKey;
use guitai_host::{Clock, Entropy, draw16};
use guitai_meta::{Meta, State};
use guitai_net::Peer;
use guitai_relay::{
    guard::{self, ViewStream},
    token::Signer,
};
use guitai_types::{
    Code, Epoch, NodeName, Problem, SessionId, TicketId,
    claims::Grant,
    command::{Command, Reply},
    control::{Answer, Ask, OpenTicket},
    event::{Change, Event},
    media::KeyChange,
    message::{Found, Sender},
    record::{EndReason, Participant},
    view::{TicketPhase, TicketView},
};
use tokio::time::{Interval, MissedTickBehavior};

use crate::{core::issue, media_key, messages::Exchange};

/// A watched ticket is touched this often, in milliseconds: three misses before it counts as away.
pub const TOUCH_MS: u64 = 10_000;

const _: () = assert!(TOUCH_MS * 3 <= guitai_types::limits::AWAY_MS);

/// Answers customers. Cheap to clone.
#[derive(Clone)]
pub struct CoreDesk {
    meta: Meta,
    signer: Arc<Signer>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    exchange: Exchange,
}

impl CoreDesk {
    /// A desk on this node's metadata.
    pub fn new(signer: Arc<Signer>, exchange: Exchange) -> Self {
        Self {
            meta: exchange.meta.clone(),
            signer,
            clock: exchange.clock.clone(),
            entropy: exchange.entropy.clone(),
            exchange,
        }
    }

    async fn answer(&self, ask: Ask, edge: &Peer) -> Answer {
        let answer = match ask {
            Ask::Catalogue => Ok(Answer::Catalogue {
                catalogue: self.meta.peek(State::catalogue),
            }),
            Ask::OpenTicket(open) => self.open(open, edge).await,
            Ask::Ticket { ticket } | Ask::WatchTicket { ticket } => self.view(&ticket).await,
            Ask::CloseTicket { ticket, hang_up } => {
                let reason = if hang_up {
                    EndReason::CustomerHungUp
                } else {
                    EndReason::CustomerLeft
                };
                self.write(Command::CloseTicket { ticket, reason })
                    .await
                    .map(|_| Answer::Done)
            }
            Ask::Rate {
                ticket,
                stars,
                comment,
            } => self
                .write(Command::Rate {
                    ticket,
                    stars,
                    comment,
                })
                .await
                .map(|_| Answer::Done),
            Ask::Confirm { ticket, step } => self.confirm(&ticket, step).await,
            Ask::Say {
                ticket,
                text,
                found,
            } => self.say(&ticket, &text, found).await,
            Ask::Messages { ticket, after } => self.messages(&ticket, after).await,
            // They come with bytes, or go with some.
            Ask::SendFile { .. } | Ask::FetchFile { .. } => Err(Problem::new(
                Code::Internal,
                "a question about a file without its bytes",
            )),
            Ask::Rejoin { ticket, media_key } => {
                let participant = Participant::Customer;
                let change = KeyChange::Joined {
                    participant,
                    media_key,
                };
                self.rekey(&ticket, &change).await
            }
            Ask::Leave { ticket, media_key } => {
                let participant = Participant::Customer;
                let change = KeyChange::Left {
                    participant,
                    media_key,
                };
                self.rekey(&ticket, &change).await
            }
        };
        answer.unwrap_or_else(|problem| Answer::Refused { problem })
    }

    async fn open(&self, open: OpenTicket, edge: &Peer) -> Result<Answer, Problem> {
        let OpenTicket {
            institution,
            queue,
            customer,
            consent,
            media_key,
        } = open;
        PublicKey::from_point(&media_key.0).map_err(|_| {
            Problem::new(
                Code::BadRequest,
                "media_key is no uncompressed point of the SM2 curve",
            )
        })?;
        let ticket = TicketId::from_random(draw16(self.entropy.as_ref()));
        self.write(Command::OpenTicket {
            ticket: ticket.clone(),
            institution: institution.clone(),
            queue,
            edge: edge.name.clone(),
            customer,
            consent,
            media_key,
        })
        .await?;
        let look = |state: &State| {
            let issue = issue(&self.signer, self.clock.wall(), state.epoch());
            let grant = Grant::Ticket {
                ticket: ticket.clone(),
                institution,
            };
            Some((issue(&grant), state.ticket_view(&ticket, &issue)?))
        };
        let (token, view) = self.read(look).await?.ok_or_else(gone)?;
        Ok(Answer::Opened {
            ticket,
            token,
            view: Box::new(view),
        })
    }

    async fn view(&self, ticket: &TicketId) -> Result<Answer, Problem> {
        let view = self
            .read(|state| self.view_of(state, ticket))
            .await?
            .ok_or_else(gone)?;
        Ok(Answer::Ticket {
            view: Box::new(view),
        })
    }

    /// The page of a customer in a call is there again, or gone.
    async fn rekey(&self, ticket: &TicketId, change: &KeyChange) -> Result<Answer, Problem> {
        let session = self.session_of(ticket).await?;
        media_key::rekey(&self.meta, &self.entropy, &session, change).await?;
        Ok(Answer::Done)
    }

    async fn say(
        &self,
        ticket: &TicketId,
        text: &str,
        found: Vec<Found>,
    ) -> Result<Answer, Problem> {
        let session = self.session_of(ticket).await?;
        let from = Sender::Customer;
        let message = self.exchange.say(&session, from, text, found).await?;
        Ok(Answer::Messages {
            messages: vec![message],
        })
    }

    async fn messages(&self, ticket: &TicketId, after: u64) -> Result<Answer, Problem> {
        let session = self.session_of(ticket).await?;
        let messages = self.exchange.since(&session, after).await?;
        Ok(Answer::Messages { messages })
    }

    async fn take(&self, ask: Ask, bytes: Vec<u8>) -> Result<Answer, Problem> {
        let Ask::SendFile { ticket, file } = ask else {
            return Err(Problem::new(Code::Internal, "a file with another question"));
        };
        let session = self.session_of(&ticket).await?;
        let named = (file.name, Some(file.kind));
        let sent = self.exchange.send(&session, Sender::Customer, named, bytes);
        Ok(Answer::Messages {
            messages: vec![sent.await?],
        })
    }

    async fn give(&self, ask: Ask) -> Result<(Answer, Vec<u8>), Problem> {
        let Ask::FetchFile { ticket, message } = ask else {
            return Err(Problem::new(
                Code::Internal,
                "a file is wanted by another question",
            ));
        };
        let session = self.session_of(&ticket).await?;
        let (file, bytes) = self.exchange.file(&session, &message).await?;
        Ok((Answer::File { file }, bytes))
    }

    async fn session_of(&self, ticket: &TicketId) -> Result<SessionId, Problem> {
        let session = self.read(|state| state.call_of_ticket(ticket)).await?;
        session.ok_or_else(|| Problem::new(Code::WrongState, "the ticket is not in a call"))
    }

    async fn confirm(&self, ticket: &TicketId, step: String) -> Result<Answer, Problem> {
        let session = self.session_of(ticket).await?;
        let actor = "customer".to_owned();
        let details = std::collections::BTreeMap::new();
        self.write(Command::AddStep {
            session,
            actor,
            step,
            details,
        })
        .await?;
        Ok(Answer::Done)
    }

    async fn write(&self, command: Command) -> Result<Reply, Problem> {
        match self.meta.write(command).await {
            Ok(Reply::Refused { problem }) => Err(problem),
            Ok(reply) => Ok(reply),
            Err(error) => Err(error.problem()),
        }
    }

    async fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, Problem> {
        self.meta.read(look).await.map_err(|error| error.problem())
    }

    fn view_of(&self, state: &State, ticket: &TicketId) -> Option<TicketView> {
        state.ticket_view(
            ticket,
            &issue(&self.signer, self.clock.wall(), state.epoch()),
        )
    }
}

impl guard::Core for CoreDesk {
    fn handle(&self, ask: Ask, edge: Peer) -> BoxFuture<'_, Answer> {
        async move { self.answer(ask, &edge).await }.boxed()
    }

    fn take_file(&self, ask: Ask, file: Vec<u8>, _: Peer) -> BoxFuture<'_, Answer> {
        let refused = |problem| Answer::Refused { problem };
        async move { self.take(ask, file).await.unwrap_or_else(refused) }.boxed()
    }

    fn give_file(&self, ask: Ask, _: Peer) -> BoxFuture<'_, (Answer, Vec<u8>)> {
        let refused = |problem| (Answer::Refused { problem }, Vec::new());
        async move { self.give(ask).await.unwrap_or_else(refused) }.boxed()
    }

    /// The ticket now, and whenever it changed, until it is over. It is kept alive as long as somebody
    /// takes from the stream.
    fn watch(&self, ticket: TicketId, edge: Peer) -> BoxFuture<'_, Result<ViewStream, Problem>> {
        async move {
            // A node that is behind may not know the ticket yet: this look is after its opening.
            let known = self.read(|state| state.ticket(&ticket).is_some()).await?;
            if !known {
                return Err(gone());
            }
            let watch = Watch::new(self.clone(), ticket, edge.name);
            Ok(watch.into_stream().boxed())
        }
        .boxed()
    }

    fn epoch(&self) -> Epoch {
        self.meta.peek(State::epoch)
    }
}

fn gone() -> Problem {
    Problem::new(Code::NotFound, "no such ticket")
}

/// One customer's page looking at one ticket.
struct Watch {
    desk: CoreDesk,
    ticket: TicketId,
    news: Pin<Box<dyn Stream<Item = Event> + Send>>,
    touch: Interval,
    /// What was shown last, without number and tokens.
    shown: Option<TicketView>,
    /// Number of the newest message then: a page that is shown a view asks what has been said.
    said: u64,
    /// The edge the page comes through.
    edge: NodeName,
    /// The cluster has been told so. Once only: a page that is open twice must not move to and fro.
    settled: bool,
}

impl Watch {
    fn new(desk: CoreDesk, ticket: TicketId, edge: NodeName) -> Self {
        let from = desk.meta.peek(State::event_number) + 1;
        let news = Box::pin(desk.meta.events(from));
        let mut touch = tokio::time::interval(Duration::from_millis(TOUCH_MS));
        touch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            desk,
            ticket,
            news,
            touch,
            shown: None,
            said: 0,
            edge,
            settled: false,
        }
    }

    fn into_stream(self) -> impl Stream<Item = TicketView> + Send {
        futures::stream::unfold(self, async |mut watch| {
            let view = watch.next().await?;
            Some((view, watch))
        })
    }

    async fn next(&mut self) -> Option<TicketView> {
        let over = |view: &TicketView| matches!(view.phase, TicketPhase::Ended { .. });
        if self.shown.as_ref().is_some_and(over) {
            return None;
        }
        loop {
            if let Some(view) = self.look() {
                return Some(view);
            }
            tokio::select! {
                event = self.news.next() => self.skip_until_relevant(event?).await?,
                _ = self.touch.tick() => self.keep_alive().await?,
            }
        }
    }

    /// The ticket, if it looks other than when it was shown last.
    fn look(&mut self) -> Option<TicketView> {
        let outline = self
            .desk
            .meta
            .peek(|state| state.ticket_view(&self.ticket, &|_| String::new()));
        let outline = outline.map(|view| TicketView { number: 0, ..view });
        let said = self.newest_message();
        if outline == self.shown && said == self.said {
            return None;
        }
        (self.shown, self.said) = (outline, said);
        self.desk
            .meta
            .peek(|state| self.desk.view_of(state, &self.ticket))
    }

    async fn skip_until_relevant(&mut self, first: Event) -> Option<()> {
        let mut event = first;
        while !self.concerns(&event) {
            tokio::select! {
                next = self.news.next() => event = next?,
                _ = self.touch.tick() => self.keep_alive().await?,
            }
        }
        Some(())
    }

    fn concerns(&self, event: &Event) -> bool {
        match &event.change {
            Change::Ticket { ticket } | Change::SessionEnded { ticket, .. } => {
                *ticket == self.ticket
            }
            Change::Queue => self.shown.as_ref().is_none_or(|shown| {
                event.institution.as_ref() == Some(&shown.institution)
                    && matches!(shown.phase, TicketPhase::Waiting { .. })
            }),
            Change::Session { session } | Change::RecordingSealed { session } => {
                self.session() == Some(session)
            }
            Change::SessionStarted { .. }
            | Change::Recorders { .. }
            | Change::Desk { .. }
            | Change::Dr { .. }
            | Change::SyncMode { .. }
            | Change::Keeping { .. }
            | Change::Film { .. }
            | Change::Cluster => false,
        }
    }

    fn newest_message(&self) -> u64 {
        self.desk
            .meta
            .peek(|state| {
                let session = state.call_of_ticket(&self.ticket)?;
                state.newest_message(&session)
            })
            .unwrap_or_default()
    }

    fn session(&self) -> Option<&SessionId> {
        match &self.shown.as_ref()?.phase {
            TicketPhase::InSession { call } => Some(&call.session),
            _ => None,
        }
    }

    /// The page is there, and maybe through another edge than it was. Without a leader the next touch
    /// says so again; a ticket that is over needs none.
    async fn keep_alive(&mut self) -> Option<()> {
        let (ticket, edge) = (self.ticket.clone(), self.edge.clone());
        // Said where it is already, a move would do nothing now and harm when it arrives after the page's next one.
        let moves = !self.settled && !self.is_here();
        let touch = if moves {
            Command::MoveTicket { ticket, edge }
        } else {
            Command::TouchTicket { ticket }
        };
        match self.desk.write(touch).await {
            Err(problem) if problem.code == Code::NotFound => None,
            Err(problem) => {
                tracing::debug!(%problem, "a ticket was not touched");
                Some(())
            }
            // Where it is elsewhere after all, the next touch says so.
            Ok(_) => {
                self.settled |= moves || self.is_here();
                Some(())
            }
        }
    }

    /// Whether the ticket comes through this edge, as far as this node knows.
    fn is_here(&self) -> bool {
        let is_here = |state: &State| Some(state.ticket(&self.ticket)?.edge == self.edge);
        self.desk.meta.peek(is_here).unwrap_or(false)
    }
}
