//! The views that change while somebody looks: read once, or followed from event to event.

use futures::{FutureExt as _, Stream, StreamExt as _, stream::BoxStream};
use guitai_types::{
    Code, StaffRef,
    event::{Change, Event},
    view::DeskView,
};

use super::{Core, CoreState};
use crate::problem::Refusal;

pub(super) fn gone() -> Refusal {
    Refusal::new(Code::NotFound, "no such thing in this institution")
}

impl Core {
    /// The desk as its owner sees it, after everything acknowledged.
    pub(super) async fn desk(&self, staff: &StaffRef) -> Result<DeskView, Refusal> {
        let view = self
            .read(|state| state.desk_view(staff, &self.issue(state.epoch())))
            .await?;
        view.ok_or_else(gone)
    }

    /// The desk as this node knows it.
    fn peek_desk(&self, staff: &StaffRef) -> Option<DeskView> {
        self.meta
            .peek(|state| state.desk_view(staff, &self.issue(state.epoch())))
    }

    /// The same without tokens: two of them are equal when nothing changed.
    fn outline_desk(&self, staff: &StaffRef) -> Option<DeskView> {
        let view = self
            .meta
            .peek(|state| state.desk_view(staff, &|_| String::new()))?;
        Some(DeskView { number: 0, ..view })
    }
}

/// The desk now, and whenever it changed.
pub(super) fn follow_desk(
    core: CoreState,
    staff: StaffRef,
) -> impl Stream<Item = (u64, DeskView)> + Send + 'static {
    let from = core.meta.peek(|state| state.event_number()) + 1;
    let news = core.meta.events(from).boxed();
    let follow = Follow {
        core,
        staff,
        news,
        shown: None,
    };
    futures::stream::unfold(follow, async |mut follow| {
        let view = follow.next().await?;
        Some(((view.number, view), follow))
    })
}

/// One page looking at one desk.
struct Follow {
    core: CoreState,
    staff: StaffRef,
    news: BoxStream<'static, Event>,
    /// What was shown last, without number and tokens.
    shown: Option<DeskView>,
}

impl Follow {
    async fn next(&mut self) -> Option<DeskView> {
        loop {
            if let Some(view) = self.look() {
                return Some(view);
            }
            let mut event = self.news.next().await?;
            while !self.concerns(&event) {
                event = self.news.next().await?;
            }
            // What has happened since is in the next look too.
            while let Some(next) = self.news.next().now_or_never() {
                next?;
            }
        }
    }

    fn look(&mut self) -> Option<DeskView> {
        let outline = self.core.outline_desk(&self.staff);
        if outline == self.shown {
            return None;
        }
        self.shown = outline;
        self.core.peek_desk(&self.staff)
    }

    /// Whether an event can change this desk; the rest is not even looked at.
    fn concerns(&self, event: &Event) -> bool {
        let call = self.shown.as_ref().and_then(|desk| desk.call.as_ref());
        match &event.change {
            Change::Desk { staff } => *staff == self.staff,
            Change::Queue => event.institution.as_ref() == Some(&self.staff.institution),
            Change::Session { session }
            | Change::SessionEnded { session, .. }
            | Change::RecordingSealed { session } => {
                call.is_some_and(|call| call.session == *session)
            }
            Change::SessionStarted { .. }
            | Change::Recorders { .. }
            | Change::Ticket { .. }
            | Change::Dr { .. }
            | Change::SyncMode { .. }
            | Change::Keeping { .. }
            | Change::Film { .. }
            | Change::Cluster => false,
        }
    }
}
