//! The installer: plan(profile, facts) -> steps; apply, rollback, uninstall.
