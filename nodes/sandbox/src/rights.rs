//! Privileges: none are gained by executing a program, and those of root are given up.

use guitai_types::sandbox::{Protection, ProtectionRow, Standing};
use rustix::{
    io,
    process::{DumpableBehavior, set_dumpable_behavior},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs},
};

use crate::{Rules, row};

/// Ports below it take a capability to bind.
const PORT_FREE: u16 = 1024;

/// Gives up all capabilities but those that the rules need.
pub(crate) fn drop_all(rules: &Rules) -> ProtectionRow {
    match drop_but(kept(rules), rules.seals) {
        Ok(left) => in_force(left),
        Err(error) => row(
            Protection::Privileges,
            Standing::Missing,
            &format!("无法放弃特权:{error}"),
            &format!("privileges cannot be given up: {error}"),
        ),
    }
}

/// Every kernel that a node runs on can do this.
pub(crate) fn probe(rules: &Rules) -> ProtectionRow {
    let present = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
    in_force(present & kept(rules))
}

fn drop_but(kept: CapabilitySet, no_core: bool) -> io::Result<CapabilitySet> {
    set_no_new_privs(true)?;
    let left = capabilities(None)?.permitted & kept;
    let sets = CapabilitySets {
        effective: left,
        permitted: left,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)?;
    if no_core {
        // Neither a core file nor another process of the same user shows its memory.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(left)
}

fn kept(rules: &Rules) -> CapabilitySet {
    let mut kept = CapabilitySet::empty();
    if rules.binds.iter().any(|port| *port < PORT_FREE) {
        kept |= CapabilitySet::NET_BIND_SERVICE;
    }
    if rules.passes_modes {
        kept |= CapabilitySet::DAC_OVERRIDE;
    }
    kept
}

fn in_force(left: CapabilitySet) -> ProtectionRow {
    let names: Vec<_> = left.iter_names().map(|(name, _)| name).collect();
    let names = match names.is_empty() {
        true => ("无".to_owned(), "none".to_owned()),
        false => (names.join(" "), names.join(" ")),
    };
    row(
        Protection::Privileges,
        Standing::InForce,
        &format!("不再获得新特权;保留的能力:{}", names.0),
        &format!("no new privileges; capabilities kept: {}", names.1),
    )
}
