//! The pages: customer, agent desk, console; built once, embedded.
//!
//! `web/` holds the sources, `dist/` what `npm run build` made of them. Only `dist/` is compiled in:
//! building this crate never runs npm and never reaches the network. How to build the pages again is in
//! `web/README.md`; the same lock file gives the same bytes.

use include_dir::{Dir, include_dir};

/// Everything in `dist/`: `customer.html`, `desk.html`, `console.html` and `assets/…`.
pub static ASSETS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/dist");

/// One embedded file: media type, bytes, and whether its name changes with its content, so that it may be
/// cached for ever. `path` is relative to `dist/`, for example `desk.html` or `assets/desk-3f2a.js`;
/// a leading `/` is accepted. Only names that were embedded exist: no path can leave the directory.
pub fn asset(path: &str) -> Option<(&'static str, &'static [u8], bool)> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let file = ASSETS.get_file(path)?;
    Some((
        media_type(path)?,
        file.contents(),
        path.starts_with("assets/"),
    ))
}

/// The media type by the name's ending; `None` for a kind the pages do not use, which is then not served.
fn media_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "png" => "image/png",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_pages_are_there_and_are_asked_for_again() {
        for page in ["customer.html", "/desk.html", "console.html"] {
            let (mime, bytes, immutable) =
                asset(page).unwrap_or_else(|| panic!("{page} is missing"));
            assert_eq!(mime, "text/html; charset=utf-8");
            assert!(!bytes.is_empty());
            assert!(
                !immutable,
                "a page names the hashed files, so it must not be cached for ever"
            );
        }
    }

    #[test]
    fn what_was_not_embedded_does_not_exist() {
        for path in [
            "",
            "/",
            "nothing.html",
            "../Cargo.toml",
            "assets",
            "assets/../../Cargo.toml",
        ] {
            assert!(asset(path).is_none(), "{path:?}");
        }
    }
}
