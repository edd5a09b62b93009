//! A watched ticket: a stream of views that moves to another tunnel when its own breaks.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use guitai_net::RecvStream;
use guitai_types::{
    TicketId,
    control::{Answer, Ask},
    view::{TicketPhase, TicketView},
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    WATCHES_MAX,
    edge::{ASK_MS_MAX, AskError, Guard, is_leaderless},
    tunnel::Load,
};

/// Views that wait for a slow page; beyond it the core waits too.
const VIEWS_WAITING: usize = 8;
/// Pause before the next try to find a tunnel, in milliseconds.
const PAUSE_MS: u64 = 250;
/// Tries in a row without a view before the watch ends; half a minute.
const TRIES_MAX: u32 = 120;

/// The views of one ticket, each time it changes. Ends with the ticket, when the core refuses, or
/// when no tunnel came back in time; the page then asks again. While it lives, the ticket counts
/// as attended; dropping it ends the watch inside too.
#[derive(Debug)]
pub struct Watch {
    views: mpsc::Receiver<TicketView>,
}

impl Watch {
    /// The next view.
    pub async fn next(&mut self) -> Option<TicketView> {
        self.views.recv().await
    }
}

impl Stream for Watch {
    type Item = TicketView;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TicketView>> {
        self.views.poll_recv(cx)
    }
}

impl Guard {
    /// Watches a ticket. The first view is there when this returns.
    pub async fn watch(&self, ticket: TicketId) -> Result<Watch, AskError> {
        let max = WATCHES_MAX;
        let permit = self.inner.watches.clone().try_acquire_owned();
        let permit = permit.map_err(|_| AskError::Busy { max })?;
        let ask = Ask::WatchTicket { ticket };
        let message = self.pass_inward(&ask)?;
        let (first, line) = self.open_watch(&ask, &message).await?;
        let (send, views) = mpsc::channel(VIEWS_WAITING);
        let guard = self.clone();
        tokio::spawn(async move {
            let watching = guard.keep_watching(&ask, &message, first, line, &send);
            tokio::select! {
                () = watching => {}
                () = send.closed() => {}
            }
            drop(permit);
        });
        Ok(Watch { views })
    }

    /// The first view from any tunnel that gives one.
    async fn open_watch(&self, ask: &Ask, message: &[u8]) -> Result<(TicketView, Line), AskError> {
        let mut tried = Vec::new();
        let mut error = AskError::NoTunnel;
        while let Some(tunnel) = self.pick(&tried) {
            tried.push(tunnel.id());
            let receive = match tunnel.send(message, &[]).await {
                Ok(receive) => receive,
                Err(unsent) => {
                    error = unsent;
                    continue;
                }
            };
            let mut line = Line {
                receive,
                load: Load::on(tunnel),
            };
            let limit = Duration::from_millis(ASK_MS_MAX);
            let answer = timeout(limit, line.answer(self, ask));
            match answer.await.unwrap_or(Err(AskError::Lost)) {
                Ok(Some(Answer::Ticket { view })) => return Ok((*view, line)),
                Ok(Some(Answer::Refused { problem })) => {
                    let leaderless = is_leaderless(&Answer::Refused {
                        problem: problem.clone(),
                    });
                    error = AskError::Core(problem);
                    if !leaderless {
                        break;
                    }
                }
                Ok(_) => error = AskError::Lost,
                Err(lost) => error = lost,
            }
        }
        Err(error)
    }

    async fn keep_watching(
        &self,
        ask: &Ask,
        message: &[u8],
        first: TicketView,
        mut line: Line,
        send: &mpsc::Sender<TicketView>,
    ) {
        let mut last = first.clone();
        if send.send(first).await.is_err() {
            return;
        }
        while !matches!(last.phase, TicketPhase::Ended { .. }) {
            let view = match line.answer(self, ask).await {
                Ok(Some(Answer::Ticket { view })) => *view,
                // The core's word, also an unfitting one, is final.
                Ok(_) | Err(AskError::Refused(_)) => return,
                Err(_) => match self.watch_again(ask, message).await {
                    Some((view, again)) => {
                        line = again;
                        view
                    }
                    None => return,
                },
            };
            if view == last {
                continue;
            }
            last = view.clone();
            if send.send(view).await.is_err() {
                return;
            }
        }
    }

    async fn watch_again(&self, ask: &Ask, message: &[u8]) -> Option<(TicketView, Line)> {
        for _ in 0..TRIES_MAX {
            match self.open_watch(ask, message).await {
                Ok(found) => return Some(found),
                Err(AskError::Core(problem)) if problem.code != guitai_types::Code::NoLeader => {
                    return None;
                }
                Err(AskError::Refused(_)) => return None,
                Err(_) => tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await,
            }
        }
        None
    }
}

/// The stream of one watch on one tunnel. Dropping it tells the core to stop.
struct Line {
    receive: RecvStream,
    load: Load,
}

impl Line {
    async fn answer(&mut self, guard: &Guard, ask: &Ask) -> Result<Option<Answer>, AskError> {
        guard.answer(&self.load.0, ask, &mut self.receive).await
    }
}
