//! The views that change while somebody looks: read once, or followed from event to event.

use futures::{Stream, StreamExt as _};
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
    let institution = staff.institution.clone();
    let news = core.meta.events(from).filter(move |event| {
        std::future::ready(concerns(event) && event.institution.as_ref() == Some(&institution))
    });
    let first = futures::stream::iter([()]);
    let mut shown = None;
    first.chain(news.map(drop)).filter_map(move |()| {
        let outline = core.outline_desk(&staff);
        let changed = outline != shown;
        let view = changed.then(|| core.peek_desk(&staff)).flatten();
        shown = outline;
        std::future::ready(view.map(|view| (view.number, view)))
    })
}

/// Whether an event can change a desk; the rest is not even looked at.
fn concerns(event: &Event) -> bool {
    match event.change {
        Change::Queue
        | Change::Desk { .. }
        | Change::SessionStarted { .. }
        | Change::Session { .. }
        | Change::SessionEnded { .. }
        | Change::RecordingSealed { .. } => true,
        Change::Cluster | Change::Ticket { .. } => false,
    }
}
