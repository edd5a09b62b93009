//! Who may open a connection to whom, and for what: the arrows between the zones as two functions.
//!
//! The DMZ opens nothing, neither inward nor to itself. Raft and calls stay in the inner zone.

use guitai_types::Zone;

use crate::{CALL_ALPN, RAFT_ALPN};

/// ALPNs that never leave the inner zone.
pub const INNER_ONLY: &[&str] = &[RAFT_ALPN, CALL_ALPN];

/// Why a connection may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// A DMZ node tried to open a connection.
    #[error("the {0} zone opens no mesh connections")]
    Opener(Zone),
    /// The ALPN may not be spoken with that zone.
    #[error("this ALPN is not spoken with the {0} zone")]
    Zone(Zone),
}

/// Whether `opener` may open a connection for `alpn` to a node in `acceptor`. Both ends ask.
pub fn may_open(alpn: &str, opener: Zone, acceptor: Zone) -> Result<(), Forbidden> {
    if opener != Zone::Inner {
        return Err(Forbidden::Opener(opener));
    }
    if acceptor != Zone::Inner && INNER_ONLY.contains(&alpn) {
        return Err(Forbidden::Zone(acceptor));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NODE_ALPN, TUNNEL_ALPN};

    #[test]
    fn arrows_point_outward_only() {
        for alpn in [RAFT_ALPN, CALL_ALPN, NODE_ALPN, TUNNEL_ALPN, "moq-lite-06"] {
            assert_eq!(may_open(alpn, Zone::Inner, Zone::Inner), Ok(()));
            for zone in [Zone::Inner, Zone::Dmz] {
                let opener = Err(Forbidden::Opener(Zone::Dmz));
                assert_eq!(may_open(alpn, Zone::Dmz, zone), opener);
            }
        }
        for alpn in [TUNNEL_ALPN, NODE_ALPN] {
            assert_eq!(may_open(alpn, Zone::Inner, Zone::Dmz), Ok(()));
        }
        for alpn in INNER_ONLY {
            let refused = may_open(alpn, Zone::Inner, Zone::Dmz);
            assert_eq!(refused, Err(Forbidden::Zone(Zone::Dmz)));
        }
    }
}
