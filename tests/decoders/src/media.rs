//! What reaches a relay or an edge beside control messages: tickets and permits, rooms, catalogs, frames, the choice of
//! a WebSocket's protocol, and the length before every message between nodes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::executor::block_on;
use guitai_net::frame::{read_frame, write_frame};
use guitai_relay::{
    RoomName,
    hang::{self, AudioConfig, Catalog, VideoConfig},
    token::{Signer, Verifier},
    websocket,
};
use guitai_types::{
    Epoch, Hex, UnixMillis,
    claims::{Claims, Grant},
    media::MediaSuite,
    permit::Permit,
};

use crate::{Seed, key};

/// Longest message that is read here.
const FRAME_MAX: usize = 1024;
const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    match choice % 8 {
        0 => catalog(bytes),
        1 => frame(bytes),
        3 => signed_claims(bytes),
        4 => signed_permit(bytes),
        7 => message(bytes),
        other => {
            let Ok(text) = std::str::from_utf8(bytes) else {
                return false;
            };
            match other {
                2 => token(text),
                5 => room(text),
                _ => protocol(text),
            }
        }
    }
}

fn catalog(bytes: &[u8]) -> bool {
    let Ok(catalog) = Catalog::decode(bytes) else {
        return false;
    };
    drop(catalog.tracks());
    let _ = catalog.sealed();
    if let Ok(written) = catalog.encode() {
        let again = Catalog::decode(&written).expect("what is written is read");
        assert_eq!(
            again.tracks(),
            catalog.tracks(),
            "other tracks after it was written"
        );
    }
    true
}

fn frame(bytes: &[u8]) -> bool {
    let Ok((timestamp_us, payload)) = hang::decode_frame(Bytes::copy_from_slice(bytes)) else {
        return false;
    };
    assert!(bytes.ends_with(&payload), "a payload that did not come");
    let again = hang::encode_frame(timestamp_us, &payload).expect("it came as a varint");
    let read = hang::decode_frame(again);
    assert_eq!(
        read,
        Ok((timestamp_us, payload)),
        "another frame after it was written"
    );
    true
}

fn verifier() -> Verifier {
    Signer::new(key()).verifier()
}

/// A token as it comes. Without the cluster's signature it opens nothing; ours are among the seeds.
fn token(text: &str) -> bool {
    let verifier = verifier();
    let claims = verifier.verify(text, NOW, Epoch(0));
    let permit = verifier.permit(text);
    assert!(
        claims.is_err() || permit.is_err(),
        "a ticket and a permit at once"
    );
    claims.is_ok() || permit.is_ok()
}

/// Anything that the cluster's key signed, as a core of another release might.
fn signed_claims(json: &[u8]) -> bool {
    let token = token_of(json, &key().sign(json));
    let verifier = verifier();
    let Ok(claims) = verifier.verify(&token, NOW, Epoch(2)) else {
        return false;
    };
    assert!(
        claims.v == 1 && claims.expires_at > NOW && claims.epoch >= Epoch(2),
        "past its time"
    );
    // The second time what was found is remembered.
    assert_eq!(
        verifier.verify(&token, NOW, Epoch(2)).as_ref(),
        Ok(&claims),
        "other claims"
    );
    assert!(
        verifier
            .verify(&token, claims.expires_at, Epoch(2))
            .is_err(),
        "good for ever"
    );
    assert!(
        verifier.permit(&token).is_err(),
        "a ticket taken for a permit"
    );
    true
}

fn signed_permit(json: &[u8]) -> bool {
    let signature = key().sign(&[b"guitai-permit/1\0", json].concat());
    let token = token_of(json, &signature);
    let Ok(permit) = verifier().permit(&token) else {
        return false;
    };
    assert_eq!(permit.v, 1, "another version");
    assert!(
        verifier().verify(&token, UnixMillis(0), Epoch(0)).is_err(),
        "a permit taken for a ticket"
    );
    true
}

fn token_of(json: &[u8], signature: &[u8]) -> String {
    let [json, signature] = [json, signature].map(|it| URL_SAFE_NO_PAD.encode(it));
    format!("{json}.{signature}")
}

fn room(path: &str) -> bool {
    let Some(room) = RoomName::parse(path) else {
        return false;
    };
    assert_eq!(
        room.to_string().trim_start_matches('/'),
        path.trim_start_matches('/'),
        "another room"
    );
    assert_eq!(
        RoomName::parse(&room.to_string()),
        Some(room),
        "another room"
    );
    true
}

fn protocol(offered: &str) -> bool {
    let Some(chosen) = websocket::choose(offered) else {
        return false;
    };
    assert!(offered.contains(chosen), "a protocol that was not offered");
    true
}

fn message(mut wire: &[u8]) -> bool {
    let whole = wire;
    let Ok(Some(message)) = block_on(read_frame(&mut wire, FRAME_MAX)) else {
        return false;
    };
    assert!(message.len() <= FRAME_MAX, "longer than may be");
    let mut written = Vec::new();
    block_on(write_frame(&mut written, &message)).expect("it is short");
    assert_eq!([&written, wire].concat(), whole, "bytes come and go");
    true
}

pub(crate) fn seeds() -> Vec<Seed> {
    let video = VideoConfig::h264("avc1.42e01f", 640, 360, 15.0, 500_000);
    let catalog = Catalog::new(Some(video), Some(AudioConfig::opus(1, 32_000)));
    let catalog = catalog
        .sealed_by(1, MediaSuite::default())
        .encode()
        .expect("it fits");
    let claims = Claims {
        v: 1,
        expires_at: NOW.plus(1),
        epoch: Epoch(2),
        grant: Grant::Media {
            institution: "bank".parse().expect("an id"),
            session: "s-1".parse().expect("an id"),
            ticket: "t-1".parse().expect("an id"),
            publish: vec!["customer".to_owned()],
            subscribe: vec![String::new()],
        },
    };
    let permit = Permit {
        v: 1,
        node: "edge-a1".parse().expect("an id"),
        epoch: Epoch(3),
        nonce: Hex(vec![7; 16]),
        life_ms: 5_000,
    };
    let signer = Signer::new(key());
    let json = |value: serde_json::Result<Vec<u8>>| value.expect("plain data");
    vec![
        Seed::new("catalog", 0, &catalog),
        Seed::new("frame", 1, b"\x80\x00\x4e\x20abc"),
        Seed::new("token", 2, signer.sign(&claims).as_bytes()),
        Seed::new("permit", 2, signer.permit(&permit).as_bytes()),
        Seed::new("claims", 3, &json(serde_json::to_vec(&claims))),
        Seed::new("permit-claims", 4, &json(serde_json::to_vec(&permit))),
        Seed::new("room", 5, b"/bank/s-1"),
        Seed::new("protocol", 6, b"qmux-02.moq-lite-04, qmux-01.moq-lite-05"),
        Seed::new("message", 7, b"\0\0\0\x03abc"),
    ]
}
