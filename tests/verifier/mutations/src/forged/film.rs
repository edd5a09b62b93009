//! Films that are not of the package they are shown with, or not what their description says. A film here is bytes
//! by chance: no verifier looks into it, only whether each byte is as described.

use std::rc::Rc;

use guitai_crypto::sm3;
use guitai_evidence::{Manifest, canonical, composite, layout};
use guitai_types::Hex;
use serde_json::{Value, json};

use super::Forgery;
use crate::{
    dice::Dice,
    package::{Film, Package},
    world::World,
};

const FPS: u64 = 15;

pub(super) const FORGERIES: &[Forgery] = &[
    ("film: a byte of it", "composite", |package, world, dice| {
        let film = shown(package, world, dice);
        let at = dice.below(film.bytes.len());
        film.bytes[at] ^= 1 << dice.below(8);
        format!("byte {at}")
    }),
    ("film: cut short", "composite", |package, world, dice| {
        let film = shown(package, world, dice);
        let left = dice.below(film.bytes.len());
        film.bytes.truncate(left);
        format!("to {left} bytes")
    }),
    (
        "film: something behind it",
        "composite",
        |package, world, dice| {
            let film = shown(package, world, dice);
            let more = 1 + dice.below(9);
            let bytes = dice.bytes(more);
            film.bytes.extend(bytes);
            format!("{more} bytes")
        },
    ),
    (
        "film: of another package",
        "composite",
        |package, world, dice| {
            package.film = Some(of(&world.other, dice));
            "the other session's".to_owned()
        },
    ),
    (
        "film: a description that is none",
        "composite",
        |package, world, dice| {
            let film = shown(package, world, dice);
            let spoilt: [fn(&mut Vec<u8>); 5] = [
                |bytes| bytes.push(b'\n'),
                |bytes| bytes.clear(),
                |bytes| bytes.truncate(bytes.len() / 2),
                |bytes| bytes.insert(1, b' '),
                |bytes| *bytes = b"[".repeat(20_000),
            ];
            let way = dice.below(spoilt.len());
            spoilt[way](&mut film.description);
            format!("in way {way}")
        },
    ),
    (
        "film: a field more or less",
        "composite",
        |package, world, dice| {
            let film = shown(package, world, dice);
            let mut stated: Value =
                serde_json::from_slice(&film.description).expect("it was just written");
            let place = *dice.one_of(&["", "/recipe", "/head", "/chunks/0", "/recipe/font"]);
            let object = stated.pointer_mut(place).and_then(Value::as_object_mut);
            let object = object.expect("an object");
            let names: Vec<String> = object.keys().cloned().collect();
            let what = if dice.below(2) == 0 {
                object.insert("more".to_owned(), json!("x"));
                "more".to_owned()
            } else {
                let name = dice.one_of(&names).clone();
                object.remove(&name);
                name
            };
            film.description = canonical::to_bytes(&stated).expect("it has a form");
            format!("{what} in {place:?}")
        },
    ),
    (
        "film: its pieces in another order",
        "composite",
        |package, world, dice| {
            let film = shown(package, world, dice);
            let mut stated: Value =
                serde_json::from_slice(&film.description).expect("it was just written");
            let piece = &mut stated["chunks"][0];
            let (picture, sound) = (piece["picture"].take(), piece["sound"].take());
            (piece["picture"], piece["sound"]) = (sound, picture);
            film.description = canonical::to_bytes(&stated).expect("it has a form");
            "picture and sound of the first".to_owned()
        },
    ),
];

/// The film of a good package, with each field once as it must not be; what it says, for people.
pub(crate) fn stated_otherwise(world: &World) -> Vec<(String, Package)> {
    let mut dice = Dice(2);
    let with = |(pointer, value): (&str, Value)| {
        let mut package = world.rich.clone();
        let film = shown(&mut package, world, &mut dice);
        let mut stated: Value =
            serde_json::from_slice(&film.description).expect("it was just written");
        let place = stated.pointer_mut(pointer);
        *place.unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
        film.description = canonical::to_bytes(&stated).expect("it has a form");
        (format!("{pointer} is {value}"), package)
    };
    otherwise().into_iter().map(with).collect()
}

/// Values that a field must not have.
fn otherwise() -> Vec<(&'static str, Value)> {
    let digest = || json!("ab".repeat(32));
    vec![
        ("/format", json!("guitai-composite/2")),
        ("/recipe/session", json!("another")),
        ("/recipe/watermark/session", json!("another")),
        ("/recipe/watermark/institution", json!("别的银行")),
        ("/recipe/watermark/text", json!("")),
        ("/recipe/watermark/text", json!("a\u{7}b")),
        ("/recipe/watermark/text", json!("字".repeat(61))),
        ("/recipe/manifest", digest()),
        ("/recipe/root", digest()),
        ("/recipe/ingredients", json!([])),
        ("/recipe/ingredients/0/root", digest()),
        ("/recipe/ingredients/0/party", json!("third")),
        ("/recipe/layout", json!("stacked")),
        ("/recipe/width", json!(641)),
        ("/recipe/width", json!(318)),
        ("/recipe/height", json!(1082)),
        ("/recipe/fps", json!(0)),
        ("/recipe/fps", json!(30)),
        ("/recipe/fps", json!(31)),
        ("/recipe/length_ms", json!(1)),
        ("/recipe/chunk_ms", json!(59_999)),
        ("/recipe/font/sm3", json!("ab")),
        ("/recipe/ffmpeg/configuration", json!("zz")),
        ("/head/bytes", json!(0)),
        ("/head/sm3", digest()),
        ("/film/bytes", json!(1)),
        ("/film/sm3", digest()),
        ("/chunks", json!([])),
        ("/chunks/0/number", json!(2)),
        ("/chunks/0/from_ms", json!(1)),
        ("/chunks/0/frames", json!(1_000_000)),
        ("/chunks/0/picture/sm3", digest()),
        ("/chunks/0/sound/bytes", json!(9_007_199_254_740_991_u64)),
    ]
}

/// The package's own film, to be spoilt.
fn shown<'a>(package: &'a mut Package, _: &World, dice: &mut Dice) -> &'a mut Film {
    let film = of(package, dice);
    package.film.insert(film)
}

/// A film of a package with which nothing is wrong.
pub(crate) fn of(package: &Package, dice: &mut Dice) -> Film {
    let raw: &Rc<Vec<u8>> = package.bytes(layout::MANIFEST);
    let manifest: Manifest = canonical::from_bytes(raw).expect("a good package has a manifest");
    let length_us = composite::length_us(&manifest);
    let mut bytes = Vec::new();
    let mut piece = |dice: &mut Dice| {
        let count = 40 + dice.below(400);
        let made = dice.bytes(count);
        bytes.extend_from_slice(&made);
        json!({"bytes": count, "sm3": Hex(sm3::hash(&made).to_vec())})
    };
    let head = piece(dice);
    let (mut left, mut chunks) = (composite::frames(length_us, FPS as u32), Vec::new());
    while left > 0 {
        let frames = left.min(60 * FPS);
        let number = chunks.len() + 1;
        chunks.push(json!({
            "number": number, "from_ms": (number - 1) * 60_000, "frames": frames,
            "picture": piece(dice), "sound": piece(dice),
        }));
        left -= frames;
    }
    let film = json!({"bytes": bytes.len(), "sm3": Hex(sm3::hash(&bytes).to_vec())});
    let digest = Hex(sm3::hash(b"a tool").to_vec());
    let stated = json!({
        "format": composite::FORMAT, "head": head, "chunks": chunks, "film": film,
        "recipe": {
            "session": manifest.session.id, "manifest": Hex(sm3::hash(raw).to_vec()), "root": manifest.root,
            "ingredients": composite::ingredients(&manifest), "layout": "side-by-side",
            "watermark": {
                "institution": manifest.institution.name.zh, "session": manifest.session.id, "text": "仅供查验",
            },
            "width": 640, "height": 360, "fps": FPS, "length_ms": length_us.div_ceil(1_000), "chunk_ms": 60_000,
            "picture_crf": 23, "picture_kbit_max": 800, "sound_kbit": 64, "compositor": "guitai-composite 0",
            "ffmpeg": {"version": "ffmpeg 0", "configuration": digest},
            "font": {"name": "a.otf", "sm3": digest},
        },
    });
    Film {
        bytes,
        description: canonical::to_bytes(&stated).expect("it has a form"),
    }
}
