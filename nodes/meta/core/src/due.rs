//! What happens when nobody does anything.

use guitai_types::command::Reply;

use crate::{apply::Turn, index::Due, limits::TICK_DUE_MAX};

impl Turn<'_> {
    /// Does what is due, earliest first, at most [`TICK_DUE_MAX`] things. Each takes itself out of
    /// the due list by changing its record.
    pub(crate) fn tick(&mut self) -> Reply {
        for _ in 0..TICK_DUE_MAX {
            let Some((at, due)) = self.state.index.due.first().cloned() else {
                break;
            };
            if at > self.now {
                break;
            }
            match due {
                Due::RingOver(reservation) => self.ring_over(&reservation),
                Due::CustomerAway(ticket) => {
                    if let Some(ticket) = self.state.tickets.get(&ticket).cloned() {
                        self.leave(ticket, true);
                    }
                }
                Due::Unrecorded(session) => self.unrecorded(&session),
                Due::Forget(ticket) => self.forget_ticket(&ticket),
                Due::Expire(session) => self.expire(&session),
                Due::FilmSilent(film) => self.film_silent(film),
                Due::FilmOver(film) => self.forget_film(film),
            }
        }
        Reply::Done
    }
}
