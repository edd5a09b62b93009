//! The commands: talk HTTP to api; verify evidence offline; make demo calls.
