//! The small files that every package has beside its media.

use guitai_crypto::x509;
use guitai_types::record::SessionEvent;

use crate::{
    Signer,
    canonical::{self, CanonicalError},
    layout,
    manifest::Gap,
};

/// Content of `README.txt`. A recorder stores it when it seals, so changing it here changes no
/// package that exists.
pub const README_TEXT: &str = include_str!("README.txt");

/// Events, gaps, certificates and the text for people, as paths and contents.
pub fn documents(
    events: &[SessionEvent],
    gaps: &[Gap],
    signer: Signer<'_>,
) -> Result<Vec<(String, Vec<u8>)>, CanonicalError> {
    let mut lines = Vec::new();
    for event in events {
        lines.extend(canonical::to_bytes(event)?);
        lines.push(b'\n');
    }
    let root = signer.root.to_vec();
    let chain = signer
        .identity
        .chain
        .iter()
        .filter(|certificate| **certificate != root);
    let chain: Vec<Vec<u8>> = chain.cloned().collect();
    Ok(vec![
        (layout::EVENTS.to_owned(), lines),
        (layout::GAPS.to_owned(), canonical::to_bytes(&gaps)?),
        (
            layout::CHAIN.to_owned(),
            x509::certificates_to_pem(&chain).into_bytes(),
        ),
        (
            layout::ROOT.to_owned(),
            x509::certificates_to_pem(&[root]).into_bytes(),
        ),
        (layout::README.to_owned(), README_TEXT.as_bytes().to_vec()),
    ])
}
