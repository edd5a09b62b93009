//! The queue of films: who asked for which, who makes it, and what became of it.
//!
//! A film is made by a node that has a whole copy of the recording and said that it has the tools; the one with
//! most of the call comes first, so that the film is of the package that people are given when they name no node.
//! A claim is a numbered turn: what a node says under an earlier one does not count, so that of two nodes which
//! both believe to make a film only one is believed. A film never outlives its recording.

use guitai_types::{
    Code, NodeName, Problem, SessionId, StaffRef, UnixMillis,
    command::Reply,
    event::Change,
    film::{Claim, Film, FilmLayout, FilmMade, FilmMaker, FilmOrder, FilmStage, FilmView},
    limits::{
        FILM_KEPT_MS, FILM_PATIENCE_MS, FILM_TURNS_MAX, FILM_WATERMARK_CHARS_MAX,
        FILM_WHY_BYTES_MAX, FILMS_KEPT_MAX, FILMS_OPEN_MAX, REASON_BYTES_MAX,
    },
    record::RecordingState,
    retention::{KeptCopy, Stage},
};

use crate::{RecordKey, State, apply::Turn, check};

/// Bytes of an SM3 and of a root.
const DIGEST_BYTES: usize = 32;

/// How many films there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilmCounts {
    /// Waiting.
    pub waiting: usize,
    /// Being made.
    pub making: usize,
    /// Failed, not yet forgotten.
    pub failed: usize,
    /// Nodes that can make them.
    pub makers: usize,
    /// Processor milliseconds that those took which are done and were made in one go.
    pub cpu_ms: u64,
    /// Milliseconds of their calls.
    pub length_ms: u64,
}

impl State {
    /// A film.
    pub fn film(&self, number: u32) -> Option<&Film> {
        self.films.get(&number)
    }

    /// Films, newest first.
    pub fn films(&self) -> impl Iterator<Item = &Film> {
        self.films.values().rev()
    }

    /// Films of one call, newest first.
    pub fn films_of<'a>(&'a self, session: &SessionId) -> impl Iterator<Item = &'a Film> {
        let numbers = self.index.films_of.get(session).into_iter().flatten();
        numbers.rev().filter_map(|number| self.films.get(number))
    }

    /// Films that a node makes or has.
    pub fn films_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Film> {
        self.films.values().filter(move |film| match &film.stage {
            FilmStage::Making { node: at, .. } | FilmStage::Done { node: at, .. } => at == node,
            _ => false,
        })
    }

    /// What nodes said about making films, by name.
    pub fn film_makers(&self) -> impl Iterator<Item = &FilmMaker> {
        self.film_makers.values()
    }

    /// A film as people see it.
    pub fn film_view(&self, film: &Film) -> FilmView {
        let ahead = match film.stage {
            FilmStage::Waiting { .. } => {
                self.index.films_waiting.range(..film.number).count() as u64
            }
            _ => 0,
        };
        FilmView {
            film: film.clone(),
            ahead,
            until: film.finished_at().map(|at| at.plus(FILM_KEPT_MS)),
        }
    }

    /// How many there are.
    pub fn film_counts(&self) -> FilmCounts {
        let finished = self.index.films_finished.iter();
        let finished = finished.filter_map(|(_, number)| self.films.get(number));
        let makers = self.film_makers.values();
        let mut counts = FilmCounts {
            waiting: self.index.films_waiting.len(),
            making: self.index.films_making.len(),
            makers: makers.filter(|maker| maker.ffmpeg.is_some()).count(),
            ..FilmCounts::default()
        };
        for film in finished {
            match &film.stage {
                FilmStage::Failed { .. } => counts.failed += 1,
                // Of what was begun twice only the second half's time is known.
                FilmStage::Done { made, .. } if made.kept == 0 => {
                    counts.cpu_ms += made.cpu_ms;
                    counts.length_ms += made.length_ms;
                }
                _ => {}
            }
        }
        counts
    }

    /// The film that `node` should work on, by the clock `now`: the one that it was making when it was killed,
    /// else the first in the queue that it may take up.
    pub fn film_for(&self, node: &NodeName, now: UnixMillis) -> Option<&Film> {
        if let Some(number) = self.film_made_by(node) {
            return self.films.get(&number);
        }
        let waiting = self.index.films_waiting.iter();
        let mut waiting = waiting.filter_map(|number| self.films.get(number));
        waiting.find(|film| {
            let FilmStage::Waiting { since } = film.stage else {
                return false;
            };
            self.may_make(film, node)
                && (self.first_choice(film) == Some(node) || now.since(since) >= FILM_PATIENCE_MS)
        })
    }

    /// Turns at films of nodes that are in `gone`, at most `limit`.
    pub fn films_left(&self, gone: &[NodeName], limit: usize) -> Vec<Claim> {
        let making = self.index.films_making.iter();
        let left = making.filter(|(node, _)| gone.contains(node));
        let claim = |(node, number): &(NodeName, u32)| {
            Some(Claim {
                film: *number,
                node: node.clone(),
                turn: self.films.get(number)?.turns,
            })
        };
        left.filter_map(claim).take(limit).collect()
    }

    fn film_made_by(&self, node: &NodeName) -> Option<u32> {
        let making = &self.index.films_making;
        let from = making.range((node.clone(), 0)..).next();
        from.filter(|(at, _)| at == node).map(|(_, number)| *number)
    }

    /// Whether a node could make it, whatever else it does now.
    fn may_make(&self, film: &Film, node: &NodeName) -> bool {
        !film.failed_on.contains_key(node) && self.has_means(&film.session, node)
    }

    /// Whether a node has the tools and a whole copy.
    fn has_means(&self, session: &SessionId, node: &NodeName) -> bool {
        let maker = self.film_makers.get(node);
        let copies = self.recording(session).map(|recording| &recording.copies);
        let copy = copies.and_then(|copies| copies.get(node));
        maker.is_some_and(|maker| maker.ffmpeg.is_some())
            && copy.is_some_and(KeptCopy::is_whole)
            && self.member(node).is_some()
    }

    /// Who should make it: of the nodes that could and make nothing now the one with most of the call.
    fn first_choice<'a>(&'a self, film: &Film) -> Option<&'a NodeName> {
        let free = self.film_makers.keys();
        let free =
            free.filter(|node| self.may_make(film, node) && self.film_made_by(node).is_none());
        let best = self.session(&film.session).map(|it| &it.recording);
        let best = match best {
            Some(RecordingState::Sealed { summary }) => Some(&summary.node),
            _ => None,
        };
        free.min_by_key(|node| (Some(*node) != best, *node))
    }

    /// What the nodes that have the recording lack, for whoever asks why there is no film.
    fn lacks(&self, session: &SessionId) -> String {
        let copies = self.recording(session).map(|recording| &recording.copies);
        let there = copies.into_iter().flatten();
        let whole = there.filter(|(_, copy)| copy.is_whole());
        let lack = |(node, _): (&NodeName, &KeptCopy)| {
            let said = self
                .film_makers
                .get(node)
                .and_then(|it| it.lacks.as_deref());
            format!("{node}: {}", said.unwrap_or("has not said that it can"))
        };
        whole.map(lack).collect::<Vec<_>>().join("; ")
    }
}

impl Turn<'_> {
    pub(crate) fn film(&mut self, order: &FilmOrder) -> Result<Reply, Problem> {
        match order {
            FilmOrder::Make {
                session,
                layout,
                watermark,
                by,
                reason,
            } => return self.make_film(session, *layout, watermark.as_ref(), by, reason),
            FilmOrder::Claim { film, node } => return self.claim_film(*film, node),
            FilmOrder::Cancel { film, by } => self.cancel_film(*film, by)?,
            FilmOrder::Maker { maker } => self.put_film_maker(maker)?,
            FilmOrder::Progress { claim, done, of } => self.film_progress(claim, *done, *of)?,
            FilmOrder::Done { claim, made } => self.film_done(claim, made)?,
            FilmOrder::Failed {
                claim,
                why,
                for_all,
            } => self.film_failed(claim, why, *for_all)?,
            FilmOrder::Release { claim } => {
                let film = self.held_film(claim)?;
                self.release_film(film, "its node is gone");
            }
        }
        Ok(Reply::Done)
    }

    fn make_film(
        &mut self,
        session: &SessionId,
        layout: FilmLayout,
        watermark: Option<&String>,
        by: &StaffRef,
        reason: &str,
    ) -> Result<Reply, Problem> {
        if self.state.staff(by).is_none() {
            return Err(check::missing("staff account"));
        }
        check::at_most("reason", reason.len(), "REASON_BYTES_MAX", REASON_BYTES_MAX)?;
        if reason.chars().any(char::is_control) {
            return Err(check::bad("the reason is not one line"));
        }
        if let Some(text) = watermark {
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                return Err(check::bad("the watermark is empty or not one line"));
            }
            let (chars, most) = (text.chars().count(), FILM_WATERMARK_CHARS_MAX);
            check::at_most("watermark", chars, "FILM_WATERMARK_CHARS_MAX", most)?;
        }
        let recording = self.recorded(session)?;
        self.refuse_erased(session)?;
        if recording.stage != Stage::Kept {
            let detail = format!("the recording of session {session} is being erased");
            return Err(Problem::new(Code::RecordingErased, detail));
        }
        if recording.whole().next().is_none() {
            return Err(check::wrong("no whole copy of the recording is sealed yet"));
        }
        let watermark = watermark.cloned().or_else(|| self.number_of(session));
        let is_same = |film: &&Film| {
            let counts = film.is_open() || matches!(film.stage, FilmStage::Done { .. });
            counts && film.layout == layout && film.watermark == watermark
        };
        if let Some(same) = self.state.films_of(session).find(is_same) {
            return Ok(Reply::Film {
                film: same.number,
                turn: same.turns,
            });
        }
        let has_maker = recording
            .whole()
            .any(|(node, _)| self.state.has_means(session, node));
        if !has_maker {
            let detail = self.state.lacks(session);
            return Err(Problem::new(Code::NoFilmMaker, detail));
        }
        let index = &self.state.index;
        let open = index.films_waiting.len() + index.films_making.len();
        check::room("films", open, "FILMS_OPEN_MAX", FILMS_OPEN_MAX)?;
        let last = self.state.head.films;
        let number = last
            .checked_add(1)
            .ok_or_else(|| check::wrong("no number is left for another film"))?;
        while self.state.films.len() >= FILMS_KEPT_MAX {
            let Some((_, oldest)) = self.state.index.films_finished.first().copied() else {
                break;
            };
            self.forget_film(oldest);
        }
        self.state.head.films = number;
        self.put_film(Film {
            number,
            session: session.clone(),
            institution: recording.institution,
            layout,
            watermark,
            by: by.clone(),
            reason: reason.to_owned(),
            at: self.now,
            turns: 0,
            failed_on: std::collections::BTreeMap::new(),
            stage: FilmStage::Waiting { since: self.now },
        });
        Ok(Reply::Film {
            film: number,
            turn: 0,
        })
    }

    /// The number of the business, where it is known and can be shown whole: half of one would be another.
    fn number_of(&self, session: &SessionId) -> Option<String> {
        let number = &self.state.session(session)?.business.number;
        let fits = (1..=FILM_WATERMARK_CHARS_MAX).contains(&number.chars().count());
        fits.then(|| number.clone())
    }

    fn claim_film(&mut self, number: u32, node: &NodeName) -> Result<Reply, Problem> {
        let mut film = self.known_film(number)?;
        if !self.state.may_make(&film, node) {
            return Err(check::wrong(format!("{node} cannot make film {number}")));
        }
        let makes = self.state.film_made_by(node);
        if let Some(other) = makes.filter(|other| *other != number) {
            return Err(check::wrong(format!("{node} makes film {other}")));
        }
        let is_free = match &film.stage {
            FilmStage::Waiting { .. } => true,
            FilmStage::Making { node: at, .. } => at == node,
            _ => false,
        };
        if !is_free {
            return Err(check::wrong(format!("film {number} does not wait")));
        }
        if film.turns >= FILM_TURNS_MAX {
            self.release_film(film, "it was begun again and again");
            return Ok(Reply::Done);
        }
        film.turns += 1;
        film.stage = FilmStage::Making {
            node: node.clone(),
            since: self.now,
            heard_at: self.now,
            done: 0,
            of: 0,
        };
        let turn = film.turns;
        self.put_film(film);
        Ok(Reply::Film { film: number, turn })
    }

    fn cancel_film(&mut self, number: u32, by: &StaffRef) -> Result<(), Problem> {
        if self.state.staff(by).is_none() {
            return Err(check::missing("staff account"));
        }
        let mut film = self.known_film(number)?;
        if !film.is_open() {
            self.forget_film(number);
            return Ok(());
        }
        film.stage = FilmStage::Cancelled {
            at: self.now,
            by: by.clone(),
        };
        self.put_film(film);
        Ok(())
    }

    fn put_film_maker(&mut self, maker: &FilmMaker) -> Result<(), Problem> {
        let is_recorder = self
            .state
            .recorders()
            .any(|member| member.name == maker.node);
        if !is_recorder {
            return Err(check::missing("recorder"));
        }
        if maker.ffmpeg.is_some() == maker.lacks.is_some() {
            return Err(check::bad(
                "either it has all it needs or it lacks something",
            ));
        }
        for text in maker.ffmpeg.iter().chain(&maker.lacks) {
            check::at_most(
                "what was found",
                text.len(),
                "FILM_WHY_BYTES_MAX",
                FILM_WHY_BYTES_MAX,
            )?;
        }
        self.changed(RecordKey::FilmMaker(maker.node.clone()));
        let makers = &mut self.state.film_makers;
        makers.insert(maker.node.clone(), maker.clone());
        Ok(())
    }

    fn film_progress(&mut self, claim: &Claim, done: u32, of: u32) -> Result<(), Problem> {
        let mut film = self.held_film(claim)?;
        if done > of {
            return Err(check::bad("more pieces are done than there are"));
        }
        let now = self.now;
        if let FilmStage::Making {
            heard_at,
            done: was_done,
            of: were,
            ..
        } = &mut film.stage
        {
            (*heard_at, *was_done, *were) = (now, done, of);
        }
        self.put_film(film);
        Ok(())
    }

    fn film_done(&mut self, claim: &Claim, made: &FilmMade) -> Result<(), Problem> {
        let is_told_again = |film: &Film| matches!(&film.stage, FilmStage::Done { node, made: it, .. } if *node == claim.node && it == made);
        if self.state.film(claim.film).is_some_and(is_told_again) {
            return Ok(());
        }
        let mut film = self.held_film(claim)?;
        if [&made.root, &made.sm3]
            .iter()
            .any(|it| it.0.len() != DIGEST_BYTES)
        {
            return Err(check::bad("a digest has 32 bytes"));
        }
        let compositor = made.compositor.len();
        check::at_most(
            "compositor",
            compositor,
            "FILM_WHY_BYTES_MAX",
            FILM_WHY_BYTES_MAX,
        )?;
        film.stage = FilmStage::Done {
            node: claim.node.clone(),
            at: self.now,
            made: made.clone(),
        };
        self.put_film(film);
        Ok(())
    }

    fn film_failed(&mut self, claim: &Claim, why: &str, for_all: bool) -> Result<(), Problem> {
        let mut film = self.held_film(claim)?;
        check::at_most("why", why.len(), "FILM_WHY_BYTES_MAX", FILM_WHY_BYTES_MAX)?;
        film.failed_on.insert(claim.node.clone(), why.to_owned());
        let mut others = self.state.film_makers.keys();
        let has_other = others.any(|node| self.state.may_make(&film, node));
        let now = self.now;
        film.stage = if for_all || !has_other {
            let why = why.to_owned();
            FilmStage::Failed { at: now, why }
        } else {
            FilmStage::Waiting { since: now }
        };
        self.put_film(film);
        Ok(())
    }

    /// A node that makes a film has said nothing for too long.
    pub(crate) fn film_silent(&mut self, number: u32) {
        if let Some(film) = self.state.films.get(&number).cloned() {
            self.release_film(film, "its node was not heard of");
        }
    }

    /// The recording ends, and with it all films of it.
    pub(crate) fn forget_films_of(&mut self, session: &SessionId) {
        let numbers = self.state.index.films_of.get(session).cloned();
        for number in numbers.unwrap_or_default() {
            self.forget_film(number);
        }
    }

    /// Another node may take it up, unless it was begun too often.
    fn release_film(&mut self, mut film: Film, why: &str) {
        let at = self.now;
        film.stage = if film.turns < FILM_TURNS_MAX {
            FilmStage::Waiting { since: at }
        } else {
            let why = format!("{why}; FILM_TURNS_MAX is {FILM_TURNS_MAX}");
            FilmStage::Failed { at, why }
        };
        self.put_film(film);
    }

    fn known_film(&self, number: u32) -> Result<Film, Problem> {
        let film = self.state.films.get(&number).cloned();
        film.ok_or_else(|| check::missing("film"))
    }

    fn held_film(&self, claim: &Claim) -> Result<Film, Problem> {
        let film = self.known_film(claim.film)?;
        if film.is_held_by(claim) {
            return Ok(film);
        }
        let Claim { film, node, turn } = claim;
        let detail = format!("turn {turn} of {node} at film {film} is over");
        Err(check::wrong(detail))
    }

    fn put_film(&mut self, film: Film) {
        self.tell_film(&film);
        self.keep_film(film);
    }

    pub(crate) fn tell_film(&mut self, film: &Film) {
        let change = Change::Film {
            session: film.session.clone(),
            film: film.number,
        };
        self.emit(Some(&film.institution), change);
    }
}
