//! The project's own checks, as tests: arrows, lints, documents.
