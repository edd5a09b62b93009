//! The media layer's origin and clock. moq-net starts no task and reads no clock; we do it here.

use moq_net::origin;

/// Makes an origin and keeps it running until its last producer is gone.
pub(crate) fn spawn_origin(config: origin::Config) -> origin::Producer {
    let (producer, driver) = origin::Producer::new(config);
    tokio::spawn(moq_net::time::run(driver));
    producer
}

/// The instant a session begins.
#[expect(
    clippy::disallowed_methods,
    reason = "moq-net's drivers run on this very clock and panic when it goes backwards"
)]
pub(crate) fn media_now() -> moq_net::time::Instant {
    tokio::time::Instant::now().into_std()
}
