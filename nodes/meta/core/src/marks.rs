//! Marks: registers without meaning to the product, for those who measure it.

use guitai_types::{
    MarkName, Problem,
    command::Reply,
    limits::{MARK_BYTES_MAX, MARKS_MAX},
    mark::Mark,
};

use crate::{RecordKey, State, apply::Turn, check};

impl State {
    /// What stands under that name.
    pub fn mark(&self, name: &MarkName) -> Option<&Mark> {
        self.marks.get(name)
    }

    /// Marks whose names begin so, by name.
    pub fn marks<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a MarkName, &'a Mark)> {
        let all = self.marks.iter();
        all.filter(move |(name, _)| name.as_str().starts_with(prefix))
    }
}

impl Turn<'_> {
    /// No event is made: nobody but who measures wants to know, and a benchmark would push the events of
    /// customers out of the ring.
    pub(crate) fn put_mark(&mut self, name: &MarkName, value: &str) -> Result<Reply, Problem> {
        check::at_most("mark", value.len(), "MARK_BYTES_MAX", MARK_BYTES_MAX)?;
        let present = self.state.marks.get(name);
        if value.is_empty() {
            self.state.marks.remove(name);
        } else {
            if present.is_none() {
                check::room("marks", self.state.marks.len(), "MARKS_MAX", MARKS_MAX)?;
            }
            let mark = Mark {
                value: value.to_owned(),
                version: present.map_or(1, |mark| mark.version.saturating_add(1)),
                at: self.now,
            };
            self.state.marks.insert(name.clone(), mark);
        }
        self.changed(RecordKey::Mark(name.clone()));
        Ok(Reply::Done)
    }
}
