//! Tracks to segments: subscribes as a named participant, writes fragmented MP4, seals it at rest.
