//! What a provider can negotiate, by the names that standards give: for the inventory.

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, NamedGroup};

use super::{GROUP, HYBRID_GROUP, SUITE};

/// Every TLS 1.3 suite and key exchange group of `provider`: no connection of it can use another.
#[must_use]
pub fn offered(provider: &CryptoProvider) -> Vec<String> {
    let suites = provider.cipher_suites.iter().filter_map(|suite| {
        // Both ends speak TLS 1.3 only, so older suites are never used.
        suite.tls13().map(|suite| suite_name(suite.common.suite))
    });
    let groups = provider
        .kx_groups
        .iter()
        .map(|group| group_name(group.name()));
    suites.chain(groups).collect()
}

fn suite_name(suite: CipherSuite) -> String {
    match u16::from(suite) {
        SUITE => "TLS_SM4_GCM_SM3".to_owned(),
        _ => format!("{suite:?}").replace("TLS13_", "TLS_"),
    }
}

fn group_name(group: NamedGroup) -> String {
    match u16::from(group) {
        GROUP => "curveSM2".to_owned(),
        HYBRID_GROUP => "curveSM2MLKEM768".to_owned(),
        _ => format!("{group:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_standards() {
        let ours = offered(&super::super::provider());
        assert_eq!(ours[0], "TLS_SM4_GCM_SM3");
        assert!(ours.iter().any(|name| name == "curveSM2"), "{ours:?}");
        assert!(ours.iter().all(|name| !name.contains("AES")), "{ours:?}");
        let browsers = offered(&super::super::browser_provider());
        assert!(browsers.iter().any(|name| name == "TLS_AES_128_GCM_SHA256"));
        assert!(browsers.iter().any(|name| name == "X25519"), "{browsers:?}");
    }
}
