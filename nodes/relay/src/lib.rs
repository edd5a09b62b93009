//! Media relay, media tickets and the edge's guard.
