//! The zones of a deployment, held apart by the rules that the product generates and by nothing else: every node on a
//! host of its own with `guitai flow firewall` loaded, customers, agents and operators on theirs, and somebody who has no
//! business there. A call and a drill pass; what crosses the DMZ tells nothing, what an edge has in its memory opens
//! nothing, and the product's own probes find what is declared and nothing else.
//!
//! Needs root, `ip`, `nft`, `tshark` and `unshare`. Packets cross the WAN in one flat network: what keeps zones apart here
//! is the hosts' filters alone. Pages cross it in TLS that a gateway on each node's host ends, as a bank's does; between
//! gateway and node, on the host's loopback, they are plain, and that is where this test shows that it would see them.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes are waited for by the real clock"
)]

mod call;
mod memory;
mod site;
mod wire;

use self::site::{Site, missing_tools};

#[test]
#[ignore = "needs root, ip, nft, tshark and the binary: tests/run runs it"]
fn the_generated_rules_hold_the_zones_apart() {
    if let Some(missing) = missing_tools() {
        return eprintln!("SKIPPED: {missing} cannot be run here (Debian: nftables, tshark)");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::up(dir.path());
    site.log("rules loaded, nodes up");

    let taps = wire::Taps::begin(&site);
    let (report, seen) = call::make(&site);
    site.log("a call with recording, verified");
    call::drill(&site);
    site.log("a drill");
    let taps = taps.end();
    taps.tell_nothing(&site, &report, &seen);
    site.log("nothing readable on the wire of the DMZ");
    memory::opens_nothing(&site, &seen);
    site.log("nothing in an edge's memory opens a frame");

    site.everything_is_as_declared();
    site.log("flow verify, from everywhere");
}
