//! Certificates and the two signatures.

use guitai_crypto::{cms, x509};
use guitai_types::Hex;

use super::{Options, Package};
use crate::{
    layout,
    manifest::Manifest,
    report::{Check, Findings},
    tree::Hash,
};

/// What the trust files came to.
#[derive(Default)]
pub(super) struct Trust {
    /// Common name of the verified signer; empty if none.
    pub(super) signer: String,
    /// SM3 of the root in the package.
    pub(super) fingerprint: Option<Hash>,
    /// It is the one the caller expected.
    pub(super) expected: bool,
    /// The root certificate, DER.
    pub(super) root: Vec<u8>,
}

impl Trust {
    /// Whether a verified certificate is the recorder's of the manifest.
    pub(super) fn is_recorder(leaf: &x509::VerifiedLeaf, manifest: &Manifest) -> bool {
        leaf.common_name == manifest.recorder.as_str()
            && leaf.organization == manifest.cluster.as_str()
    }
}

pub(super) fn check(
    package: &Package,
    bytes: &[u8],
    manifest: &Manifest,
    options: &Options,
    findings: &mut Findings,
) -> Trust {
    let mut trust = Trust::default();
    let root = match certificates(package, layout::ROOT).map(<[_; 1]>::try_from) {
        Ok(Ok([root])) => root,
        Ok(Err(_)) => {
            findings.fault(
                Check::Root,
                layout::ROOT,
                "does not hold exactly one certificate",
            );
            return trust;
        }
        Err(fault) => {
            findings.fault(Check::Root, layout::ROOT, fault);
            return trust;
        }
    };
    let fingerprint = crate::fingerprint(&root);
    trust.fingerprint = Some(fingerprint);
    trust.root.clone_from(&root);
    trust.expected = options.expected_root == Some(fingerprint);
    let shown = Hex(fingerprint.to_vec());
    if let Some(expected) = options.expected_root.filter(|_| !trust.expected) {
        let expected = Hex(expected.to_vec());
        let detail = format!("the root is {shown}, expected was {expected}");
        findings.fault(Check::Root, layout::ROOT, detail);
    }
    let Some(leaf) = chain(package, manifest, &root, findings) else {
        return trust;
    };
    findings.holds_unless_faulty(
        Check::Root,
        if trust.expected {
            format!("the expected root {shown}")
        } else {
            format!("root {shown}: compare it with one you got another way")
        },
    );
    let signed_data = signed_data(package, bytes, manifest, &root, &leaf, findings);
    if let Some(signed_data) = signed_data {
        plain_signature(package, bytes, &signed_data, &leaf, findings);
    }
    trust.signer = leaf.common_name;
    trust
}

/// The leaf of `trust/chain.pem`, if it leads to the root and is the recorder's.
fn chain(
    package: &Package,
    manifest: &Manifest,
    root: &[u8],
    findings: &mut Findings,
) -> Option<x509::VerifiedLeaf> {
    let checked = certificates(package, layout::CHAIN).and_then(|chain| {
        let at = manifest.sealed_at.0 / 1000;
        if chain.iter().any(|certificate| certificate == root) {
            return Err("it holds the root itself".to_owned());
        }
        x509::verify_chain(&chain, &[root.to_vec()], at).map_err(|error| error.to_string())
    });
    let leaf = match checked {
        Ok(leaf) => leaf,
        Err(fault) => {
            let detail =
                format!("does not lead to the root at manifest.json's sealing time: {fault}");
            findings.fault(Check::Root, layout::CHAIN, detail);
            return None;
        }
    };
    if !Trust::is_recorder(&leaf, manifest) {
        let (name, cluster) = (&leaf.common_name, &leaf.organization);
        let detail = format!("is for {name} of {cluster}, not for the recorder of the manifest");
        findings.fault(Check::Root, layout::CHAIN, detail);
    }
    Some(leaf)
}

/// Checks `manifest.p7s` and gives its bytes.
fn signed_data(
    package: &Package,
    bytes: &[u8],
    manifest: &Manifest,
    root: &[u8],
    leaf: &x509::VerifiedLeaf,
    findings: &mut Findings,
) -> Option<Vec<u8>> {
    let der = match package.read(layout::SIGNED_DATA) {
        Ok(der) => der,
        Err(error) => {
            findings.fault(Check::SignedData, layout::SIGNED_DATA, error.to_string());
            return None;
        }
    };
    match cms::verify_detached(&der, bytes, &[root.to_vec()]) {
        Ok(info) if info.leaf.public_key != leaf.public_key => {
            findings.fault(
                Check::SignedData,
                layout::SIGNED_DATA,
                "is signed by another certificate",
            );
        }
        Ok(info) if info.signing_time_unix != manifest.sealed_at.0 / 1000 => {
            findings.fault(
                Check::SignedData,
                layout::SIGNED_DATA,
                "its time is not the sealing time",
            );
        }
        Ok(info) => {
            let detail = format!(
                "signed by {} at {}",
                info.leaf.common_name, info.signing_time_unix
            );
            findings.holds(Check::SignedData, detail);
        }
        Err(error) => {
            let detail = format!("does not fit manifest.json: {error}");
            findings.fault(Check::SignedData, layout::SIGNED_DATA, detail);
        }
    }
    Some(der)
}

/// Checks `manifest.sig`, which covers manifest and SignedData byte for byte: DER leaves room for
/// changes that mean nothing, and a package has no byte that may change.
fn plain_signature(
    package: &Package,
    bytes: &[u8],
    signed_data: &[u8],
    leaf: &x509::VerifiedLeaf,
    findings: &mut Findings,
) {
    let signature = match package.read(layout::SIGNATURE) {
        Ok(signature) => signature,
        Err(error) => {
            findings.fault(Check::Signature, layout::SIGNATURE, error.to_string());
            return;
        }
    };
    match leaf
        .public_key
        .verify(&[bytes, signed_data].concat(), &signature)
    {
        Ok(()) => findings.holds(Check::Signature, format!("signed by {}", leaf.common_name)),
        Err(error) => {
            let detail = format!("does not fit manifest.json and manifest.p7s: {error}");
            findings.fault(Check::Signature, layout::SIGNATURE, detail);
        }
    }
}

pub(super) fn certificates(package: &Package, path: &str) -> Result<Vec<Vec<u8>>, String> {
    let bytes = package.read(path).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
    let certificates = x509::certificates_from_pem(text).map_err(|error| error.to_string())?;
    // PEM leaves room for text and white space that mean nothing; a package has no such byte.
    if x509::certificates_to_pem(&certificates) == text {
        Ok(certificates)
    } else {
        Err("is not PEM of certificates alone, in lines of 64 characters".to_owned())
    }
}
