//! Server-sent events (WHATWG HTML, 9.2) out of the bytes of an answer.

/// Longest event in bytes; ours are under 16 KiB.
pub(crate) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: String,
}

/// The other side sends events without end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {EVENT_BYTES_MAX} bytes (EVENT_BYTES_MAX)")]
pub(crate) struct TooLong;

/// Takes bytes as they come and gives events as they are complete.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    rest: Vec<u8>,
    open: Event,
    has_data: bool,
}

impl Parser {
    /// Events that are complete with these bytes. Only lines ended by LF or CR LF occur.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(event) = self.line(line.trim_end_matches(['\n', '\r'])) {
                events.push(event);
            }
        }
        if self.rest.len() + self.open.data.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.open);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.open.id),
            "event" => value.clone_into(&mut self.open.name),
            "data" => {
                if self.has_data {
                    self.open.data.push('\n');
                }
                self.open.data.push_str(value);
                self.has_data = true;
            }
            // A comment (empty field), `retry`, or something newer.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_any_cut_between_bytes() -> Result<(), TooLong> {
        let text =
            ": keep-alive\n\nid: 7\nevent: ticket\ndata: {\"a\":1}\n\ndata:x\ndata: y\r\n\r\n";
        let expected = [
            Event {
                id: "7".into(),
                name: "ticket".into(),
                data: "{\"a\":1}".into(),
            },
            Event {
                data: "x\ny".into(),
                ..Event::default()
            },
        ];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                events.extend(parser.push(piece)?);
            }
            assert_eq!(events, expected, "pieces of {size}");
        }
        Ok(())
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; EVENT_BYTES_MAX + 1]), Err(TooLong));
    }
}
