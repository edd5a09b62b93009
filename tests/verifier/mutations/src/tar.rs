//! A package as one file: each header can be made in its one form, or not.

use std::collections::BTreeMap;

use guitai_evidence::layout;

use crate::package::Entry;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;

/// The header before a file's content.
pub(crate) fn header(path: &[u8], size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    header[..path.len()].copy_from_slice(path);
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut header);
    header
}

/// Makes the sum of a header right.
pub(crate) fn sum(header: &mut [u8]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}

/// One file with its header, filled up.
pub(crate) fn member(path: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = header(path, content.len()).to_vec();
    out.extend(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

/// Where a member begins, and its path and content's length.
pub(crate) type Place = (usize, String, usize);

/// The package in one file and where its members are; nothing for one that no such file can hold.
pub(crate) fn pack(entries: &BTreeMap<String, Entry>) -> Option<(Vec<u8>, Vec<Place>)> {
    let (mut out, mut places) = (Vec::new(), Vec::new());
    for (path, entry) in entries {
        let Entry::File(content) = entry else {
            return None;
        };
        if !layout::path_is_safe(path) {
            return None;
        }
        places.push((out.len(), path.clone(), content.len()));
        out.extend(member(path.as_bytes(), content));
    }
    out.extend([0; 2 * BLOCK]);
    Some((out, places))
}
