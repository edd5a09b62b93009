//! Pictures and documents that customers and agents send: parsed and made anew, within the limits.

use guitai_inspect::{FileError, Files};
use guitai_types::message::{FileRules, FileType};

use crate::Seed;

/// Narrow limits, so that an input that finds a way around them is soon too slow or too large.
fn rules() -> FileRules {
    FileRules {
        types: FileType::ALL.to_vec(),
        bytes: 64 * 1024,
        pixels: 40_000,
        pages: 4,
    }
}

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    let kind = FileType::ALL[usize::from(*choice) % FileType::ALL.len()];
    let files = Files::new(rules());
    let Ok(remade) = files.remake(kind, bytes) else {
        return false;
    };
    assert_eq!(remade.kind, kind, "another kind than it was said to be");
    assert!(remade.bytes.len() <= rules().bytes, "larger than the limit");
    // What was made anew holds nothing that is refused, and comes through the inner zone's inspection too.
    match files.remake(kind, &remade.bytes) {
        Ok(again) if kind == FileType::Png => assert_eq!(again, remade, "a PNG loses nothing"),
        // A JPEG encoded twice may need a byte more.
        Ok(_) | Err(FileError::TooLarge { .. }) => {}
        Err(error) => panic!("what was made anew is refused: {error}"),
    }
    true
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = vec![
        Seed::new("pdf", 2, &pdf("/Type /Page")),
        Seed::new(
            "pdf-link",
            2,
            &pdf(
                "/Type /Page /Annots [<</Type /Annot /Subtype /Link /Rect [0 0 9 9] /A <</S /URI /URI (https://bank.example)>>>>]",
            ),
        ),
    ];
    for (name, reader, bytes) in [
        ("jpeg", 0, &include_bytes!("../fixtures/small.jpg")[..]),
        ("jpeg-grey", 0, include_bytes!("../fixtures/grey.jpg")),
        ("png", 1, include_bytes!("../fixtures/small.png")),
        ("png-palette", 1, include_bytes!("../fixtures/palette.png")),
    ] {
        seeds.push(Seed::new(name, reader, bytes));
    }
    seeds
}

/// A document of one page with these entries.
fn pdf(page: &str) -> Vec<u8> {
    let objects = [
        "<</Type /Catalog /Pages 2 0 R>>".to_owned(),
        "<</Type /Pages /Kids [3 0 R] /Count 1>>".to_owned(),
        format!("<<{page} /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R>>"),
        "<</Length 8>> stream\n0 0 m 9 \nendstream".to_owned(),
    ];
    let mut out = String::from("%PDF-1.7\n");
    let mut places = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        places.push(out.len());
        out += &format!("{number} 0 obj\n{object}\nendobj\n");
    }
    let table = out.len();
    out += &format!("xref\n0 {}\n0000000000 65535 f \n", places.len() + 1);
    for place in &places {
        out += &format!("{place:010} 00000 n \n");
    }
    out += &format!(
        "trailer\n<</Size {} /Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n",
        places.len() + 1
    );
    out.into_bytes()
}
