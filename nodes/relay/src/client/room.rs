//! Looking into a room: which broadcasts there are, and subscribing to one.

use std::time::Duration;

use moq_net::{Path, announce, origin};

use super::subscriber::{SubscribeError, Subscriber};
use crate::hang::BROADCAST_SUFFIX;

/// How long a named broadcast may take to appear before [`Room::subscribe`] gives up.
pub const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(10);

/// The readable side of a room, through a connection or a relay in the same process.
#[derive(Clone)]
pub struct Room {
    origin: origin::Consumer,
}

impl Room {
    pub(crate) fn new(origin: origin::Consumer) -> Self {
        Self { origin }
    }

    /// Follows which broadcasts there are whose name begins with the path `prefix` (an empty one:
    /// all). Those present now come first.
    pub fn announced(&self, prefix: &str) -> Announced {
        Announced {
            updates: self.origin.announced(),
            prefix: Path::new(prefix).to_owned(),
        }
    }

    /// Subscribes to a broadcast and every track its catalog names.
    ///
    /// `age_max` is how far a group may fall behind the newest before it is given up, in media
    /// time: about 0.2 s for a viewer, 30 s for a recorder, who also receives that much of what
    /// was published before.
    pub async fn subscribe(
        &self,
        name: &str,
        age_max: Duration,
    ) -> Result<Subscriber, SubscribeError> {
        let found = tokio::time::timeout(SUBSCRIBE_DEADLINE, async {
            let broadcast = self.origin.routed_broadcast(name).await?;
            Subscriber::open(broadcast, age_max).await
        });
        found.await.map_err(|_| SubscribeError::Deadline)?
    }
}

/// Broadcasts that come and go.
pub struct Announced {
    updates: announce::Consumer,
    prefix: Path<'static>,
}

/// A broadcast came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// It can be subscribed to; its name, for example `customer/5e1f….hang`.
    Started(String),
    /// It is gone.
    Ended(String),
}

impl Announced {
    /// The next change; `None` when the connection or the relay is gone.
    pub async fn next(&mut self) -> Option<Announcement> {
        loop {
            let update = self.updates.next().await?;
            let name = update.prefix.as_str();
            if !update.prefix.has_prefix(&self.prefix) || !name.ends_with(BROADCAST_SUFFIX) {
                continue;
            }
            match update.kind {
                announce::Kind::Announced => {
                    return Some(Announcement::Started(name.to_owned()));
                }
                announce::Kind::Retracted => {
                    return Some(Announcement::Ended(name.to_owned()));
                }
                // Another way to the same broadcast; whoever reads it need not know.
                announce::Kind::Updated => {}
            }
        }
    }
}
