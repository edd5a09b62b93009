//! Documents: parsed, looked through object by object, and written anew from what was parsed.
//!
//! What the parser did not understand, or did not reach from the document's root, is not in what is written, so
//! nothing hides between objects, behind an old cross-reference table or after the end. Whatever acts by itself or
//! carries another file is refused and not taken out: a document without a part of itself would be another one.

use guitai_types::message::{FileRules, FileType};
use lopdf::{Dictionary, Document, LoadOptions, Object, Stream};

use crate::FileError;

/// What one packed stream may take unpacked, in bytes, and with [`UNPACKED_MAX`] all of them together.
const STREAM_UNPACKED_MAX: usize = 32 * 1024 * 1024;
/// Whatever is packed in a document may take so many bytes unpacked: fifty scanned pages do.
const UNPACKED_MAX: usize = 128 * 1024 * 1024;
/// Depth to which arrays and dictionaries are looked through; the parser allows about as much.
const DEPTH_MAX: usize = 128;

/// Entries that make a document more than paper, with what they are called. ISO 32000-1, 12.6 (actions), 7.11.4
/// (embedded files), 12.7.8 (XFA), 13 (multimedia).
const ENTRIES: [(&[u8], &str); 12] = [
    (b"JS", "JavaScript"),
    (b"JavaScript", "JavaScript"),
    (b"XFA", "an XFA form"),
    (b"EmbeddedFiles", "embedded files"),
    (b"EF", "embedded files"),
    (b"AF", "embedded files"),
    (b"RichMediaContent", "rich media"),
    (b"RichMediaSettings", "rich media"),
    (b"Collection", "a portfolio"),
    (b"Rendition", "renditions"),
    (b"Renditions", "renditions"),
    (b"3DD", "3D content"),
];
/// Values of `S` (actions), `Subtype` (annotations) and `Type` that do the same.
const KINDS: [(&[u8], &str); 17] = [
    (b"JavaScript", "JavaScript"),
    (b"Launch", "a Launch action"),
    (b"ImportData", "an ImportData action"),
    (b"SubmitForm", "a SubmitForm action"),
    (b"GoToR", "a GoToR action"),
    (b"GoToE", "a GoToE action"),
    (b"Movie", "a movie"),
    (b"Sound", "a sound"),
    (b"Rendition", "renditions"),
    (b"RichMedia", "rich media"),
    (b"RichMediaExecute", "rich media"),
    (b"Screen", "a screen annotation"),
    (b"3D", "3D content"),
    (b"GoTo3DView", "3D content"),
    (b"FileAttachment", "embedded files"),
    (b"EmbeddedFile", "embedded files"),
    (b"Trans3D", "3D content"),
];
/// What a link may begin with; it opens in the reader's browser, which asks.
const LINKS: [&[u8]; 3] = [b"https://", b"http://", b"mailto:"];

const BROKEN: FileError = FileError::Broken {
    kind: FileType::Pdf,
};

pub(crate) fn remake(rules: &FileRules, bytes: &[u8]) -> Result<Vec<u8>, FileError> {
    // Not strictly: scanners write tables that are slightly off, and what a repair misses is not written either.
    let options = LoadOptions {
        max_decompressed_size: Some(STREAM_UNPACKED_MAX),
        ..LoadOptions::default()
    };
    let loaded = Document::load_mem_with_options(bytes, options);
    let mut document = loaded.map_err(|error| match error {
        lopdf::Error::Decryption(_)
        | lopdf::Error::InvalidPassword
        | lopdf::Error::Unimplemented(_) => FileError::Encrypted,
        _ => BROKEN,
    })?;
    if document.is_encrypted() || document.was_encrypted() || document.trailer.has(b"Encrypt") {
        return Err(FileError::Encrypted);
    }
    look_at(&mut document)?;
    let (found, max) = (
        document.page_iter().take(rules.pages + 1).count(),
        rules.pages,
    );
    if found > max {
        let found = document.page_iter().count();
        return Err(FileError::Pages { found, max });
    }
    if found == 0 {
        return Err(BROKEN);
    }
    write(document)
}

/// Looks at everything that was parsed, reached from the root or not.
fn look_at(document: &mut Document) -> Result<(), FileError> {
    dictionary(&document.trailer, 0)?;
    let mut room = UNPACKED_MAX;
    for object in document.objects.values() {
        any(object, 0)?;
        if let Object::Stream(stream) = object {
            room = unpacked(stream, room)?;
        }
    }
    Ok(())
}

fn any(object: &Object, depth: usize) -> Result<(), FileError> {
    if depth > DEPTH_MAX {
        return Err(BROKEN);
    }
    match object {
        Object::Array(items) => items.iter().try_for_each(|item| any(item, depth + 1)),
        Object::Dictionary(entries) => dictionary(entries, depth + 1),
        Object::Stream(stream) => dictionary(&stream.dict, depth + 1),
        _ => Ok(()),
    }
}

fn dictionary(entries: &Dictionary, depth: usize) -> Result<(), FileError> {
    let named = |list: &[(&'static [u8], &'static str)], name: &[u8]| {
        let known = list.iter().find(|(known, _)| *known == name);
        known.map_or(Ok(()), |&(_, what)| Err(FileError::Active { what }))
    };
    for (name, value) in entries {
        named(&ENTRIES, name)?;
        if let (b"S" | b"Subtype" | b"Type", Object::Name(kind)) = (name.as_slice(), value) {
            named(&KINDS, kind)?;
        }
        if name.as_slice() == b"URI" {
            link(value, depth)?;
        }
        any(value, depth)?;
    }
    Ok(())
}

/// A link opens a page or a letter. The entry of a catalogue with the same name is a dictionary with a base.
fn link(value: &Object, depth: usize) -> Result<(), FileError> {
    let what = "a link that is neither https, http nor mailto";
    match value {
        Object::String(text, _) => {
            let lower = text.to_ascii_lowercase();
            let is_known = LINKS.iter().any(|begin| lower.starts_with(begin));
            is_known.then_some(()).ok_or(FileError::Active { what })
        }
        Object::Dictionary(entries) => dictionary(entries, depth + 1),
        _ => Err(FileError::Active { what }),
    }
}

/// Unpacks a stream to see how much it is; what of the room for all of them is left.
fn unpacked(stream: &Stream, room: usize) -> Result<usize, FileError> {
    let filters = stream.filters().unwrap_or_default();
    let packs = |filter: &&[u8]| {
        matches!(
            *filter,
            b"FlateDecode" | b"Fl" | b"LZWDecode" | b"LZW" | b"RunLengthDecode" | b"BrotliDecode"
        )
    };
    let size = if filters.iter().any(packs) {
        let max = room.min(STREAM_UNPACKED_MAX);
        match stream.decompressed_content_with_limit(max) {
            Ok(content) => content.len(),
            Err(lopdf::Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded {
                ..
            })) => {
                return Err(FileError::Unpacked { max });
            }
            Err(_) => return Err(BROKEN),
        }
    } else {
        stream.content.len()
    };
    let max = UNPACKED_MAX;
    room.checked_sub(size).ok_or(FileError::Unpacked { max })
}

/// Writes what the root leads to, without what is only about the document: author, program, times, XMP.
fn write(mut document: Document) -> Result<Vec<u8>, FileError> {
    document.trailer.remove(b"Info");
    let about = |entries: &mut Dictionary| {
        for name in [&b"Metadata"[..], b"PieceInfo"] {
            entries.remove(name);
        }
    };
    for object in document.objects.values_mut() {
        match object {
            Object::Dictionary(entries) => about(entries),
            Object::Stream(stream) => about(&mut stream.dict),
            _ => {}
        }
    }
    document.prune_objects();
    let mut out = Vec::new();
    document.save_to(&mut out).map_err(|_| BROKEN)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use lopdf::{EncryptionState, EncryptionVersion, Permissions, dictionary as dict};

    use super::*;
    use crate::Files;

    /// A document of so many empty pages, with something in its catalogue.
    fn document(pages: usize, change: impl FnOnce(&mut Document, &mut Dictionary)) -> Document {
        let mut document = Document::with_version("1.5");
        let tree = document.new_object_id();
        let content = Stream::new(Dictionary::new(), b"0 0 m 100 100 l S".repeat(50));
        let content = document.add_object(content);
        let page = |document: &mut Document| {
            let page = dict! { "Type" => "Page", "Parent" => tree, "Contents" => content };
            Object::Reference(document.add_object(page))
        };
        let kids: Vec<Object> = (0..pages).map(|_| page(&mut document)).collect();
        let media_box: Vec<Object> = [0, 0, 595, 842].map(Object::Integer).to_vec();
        let count = i64::try_from(pages).unwrap();
        let nodes =
            dict! { "Type" => "Pages", "Kids" => kids, "Count" => count, "MediaBox" => media_box };
        document.objects.insert(tree, Object::Dictionary(nodes));
        let mut catalog = dict! { "Type" => "Catalog", "Pages" => tree };
        change(&mut document, &mut catalog);
        let catalog = document.add_object(catalog);
        document.trailer.set("Root", catalog);
        document.compress();
        document
    }

    fn saved(mut document: Document) -> Vec<u8> {
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        bytes
    }

    fn sent(bytes: &[u8]) -> Result<Vec<u8>, FileError> {
        let remade = Files::default().remake(FileType::Pdf, bytes)?;
        Ok(remade.bytes)
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|it| it == part)
    }

    #[test]
    fn a_document_comes_out_with_its_pages_and_nothing_beside_them() {
        let told = |document: &mut Document, catalog: &mut Dictionary| {
            let info = dict! { "Author" => Object::string_literal("Wang") };
            let info = document.add_object(info);
            document.trailer.set("Info", info);
            let xmp = document.add_object(Stream::new(Dictionary::new(), b"<x:xmpmeta>".to_vec()));
            catalog.set("Metadata", xmp);
            document.add_object(Object::string_literal("nobody refers to me"));
        };
        let mut bytes = saved(document(3, told));
        bytes.extend_from_slice(b"PK\x03\x04 behind the end");
        let remade = sent(&bytes).unwrap();
        for gone in [&b"Wang"[..], b"xmpmeta", b"nobody refers", b"PK\x03"] {
            assert!(holds(&bytes, gone) && !holds(&remade, gone));
        }
        assert_eq!(Document::load_mem(&remade).unwrap().get_pages().len(), 3);
        assert_eq!(
            Document::load_mem(&sent(&remade).unwrap())
                .unwrap()
                .get_pages()
                .len(),
            3
        );
    }

    /// What became of a document with this in its catalogue, under some name.
    fn with(name: &str, entry: impl Into<Object>) -> Option<&'static str> {
        let entry = entry.into();
        match sent(&saved(document(1, |_, catalog| catalog.set(name, entry)))) {
            Ok(_) => None,
            Err(FileError::Active { what }) => Some(what),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_acts_by_itself_or_carries_files_is_refused() {
        let link = |to: &str| dict! { "S" => "URI", "URI" => Object::string_literal(to) };
        let script = dict! { "S" => "JavaScript", "JS" => Object::string_literal("app.alert(1)") };
        assert_eq!(with("OpenAction", script), Some("JavaScript"));
        let launch = dict! { "S" => "Launch", "F" => Object::string_literal("cmd.exe") };
        assert_eq!(with("OpenAction", launch.clone()), Some("a Launch action"));
        assert_eq!(
            with(
                "AA",
                dict! { "O" => dict! { "Next" => vec![launch.into()] } }
            ),
            Some("a Launch action")
        );
        assert_eq!(
            with("Names", dict! { "EmbeddedFiles" => dict! {} }),
            Some("embedded files")
        );
        assert_eq!(
            with("AcroForm", dict! { "XFA" => Object::string_literal("") }),
            Some("an XFA form")
        );
        let scheme = Some("a link that is neither https, http nor mailto");
        assert_eq!(with("OpenAction", link("file:///etc/passwd")), scheme);
        assert_eq!(with("OpenAction", link("javascript:alert(1)")), scheme);
        assert_eq!(with("OpenAction", link("HTTPS://bank.example/")), None);
        assert_eq!(
            with(
                "OpenAction",
                dict! { "S" => "GoTo", "D" => Object::string_literal("two") }
            ),
            None
        );
    }

    #[test]
    fn what_is_hidden_from_plain_searching_is_found() {
        // Names with escapes, objects packed into a stream, and objects that nobody refers to.
        let action = dict! { "S" => "JavaScript", "JS" => Object::string_literal("app.alert(1)") };
        let refused = Err(FileError::Active { what: "JavaScript" });
        let lonely = |document: &mut Document, _: &mut Dictionary| {
            document.add_object(action.clone());
        };
        let bytes = saved(document(1, lonely));
        assert_eq!(sent(&bytes), refused);
        let mut packed = document(1, |document, catalog| {
            let action = document.add_object(action.clone());
            catalog.set("OpenAction", action);
        });
        let mut bytes = Vec::new();
        packed.save_modern(&mut bytes).unwrap();
        assert!(!holds(&bytes, b"JavaScript"), "it is packed");
        assert_eq!(sent(&bytes), refused);
        let plain = saved(document(1, |_, catalog| {
            catalog.set("OpenAction", dict! { "S" => "JavaXcript" });
        }));
        let place = plain
            .windows(10)
            .position(|it| it == b"JavaXcript")
            .unwrap();
        let escaped = [&plain[..place], b"Java#53crip#74", &plain[place + 10..]].concat();
        assert_eq!(sent(&escaped), refused);
    }

    #[test]
    fn encrypted_documents_are_refused_whatever_opens_them() {
        for user in ["", "secret"] {
            let mut bytes = document(1, |_, _| {});
            let id = Object::string_literal("0123456789abcdef");
            bytes.trailer.set("ID", vec![id.clone(), id]);
            let version = EncryptionVersion::V2 {
                document: &bytes,
                owner_password: "owner",
                user_password: user,
                key_length: 128,
                permissions: Permissions::all(),
            };
            let state = EncryptionState::try_from(version).unwrap();
            bytes.encrypt(&state).unwrap();
            assert_eq!(sent(&saved(bytes)), Err(FileError::Encrypted), "{user:?}");
        }
    }

    #[test]
    fn pages_and_packed_content_have_limits() {
        let (found, max) = (51, 50);
        let refused = sent(&saved(document(51, |_, _| {})));
        assert_eq!(refused, Err(FileError::Pages { found, max }));
        let bomb = document(1, |document, catalog| {
            let zeros = Stream::new(Dictionary::new(), vec![b' '; STREAM_UNPACKED_MAX + 1]);
            let zeros = document.add_object(zeros);
            catalog.set("Held", zeros);
        });
        let bytes = saved(bomb);
        assert!(bytes.len() < 100_000);
        let max = STREAM_UNPACKED_MAX;
        assert_eq!(sent(&bytes), Err(FileError::Unpacked { max }));
        assert_eq!(sent(b"%PDF-1.5\n"), Err(BROKEN));
        assert_eq!(sent(&saved(document(0, |_, _| {}))), Err(BROKEN));
    }

    #[test]
    fn nesting_does_not_exhaust_the_stack() {
        let plain = saved(document(1, |_, catalog| {
            catalog.set("Held", Object::string_literal("HERE"));
        }));
        let place = plain.windows(6).position(|it| it == b"(HERE)").unwrap();
        for (open, close) in [("[", "]"), ("<</A ", ">>")] {
            let (open, close) = (open.repeat(30_000), close.repeat(30_000));
            let deep = [
                &plain[..place],
                open.as_bytes(),
                b"0",
                close.as_bytes(),
                &plain[place + 6..],
            ]
            .concat();
            // Read as a document without it, or not at all.
            if let Ok(remade) = sent(&deep) {
                assert!(!holds(&remade, b"[[[["));
            }
        }
    }
}
