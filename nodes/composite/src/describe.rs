//! What a film is made of, as its description says it.

use guitai_evidence::{
    composite::{CHUNK_MS, Recipe, Watermark, ingredients},
    manifest::Manifest,
};
use guitai_types::Hex;

use crate::{COMPOSITOR, Plan, Settings, Tools, graph};

/// What a film of this package and these settings is made of on this machine.
pub(crate) fn recipe(
    manifest: &Manifest,
    manifest_sm3: &[u8; 32],
    plan: &Plan,
    settings: &Settings,
    tools: &Tools,
) -> Recipe {
    Recipe {
        session: manifest.session.id.clone(),
        manifest: Hex(manifest_sm3.to_vec()),
        root: manifest.root.clone(),
        ingredients: ingredients(manifest),
        layout: settings.layout,
        watermark: Watermark {
            institution: manifest.institution.name.zh.clone(),
            session: manifest.session.id.clone(),
            text: settings.watermark.clone(),
        },
        width: settings.size.width,
        height: settings.size.height,
        fps: settings.fps,
        length_ms: plan.length_us.div_ceil(1_000),
        chunk_ms: CHUNK_MS,
        picture_crf: graph::PICTURE_CRF,
        picture_kbit_max: graph::PICTURE_KBIT_MAX,
        sound_kbit: graph::SOUND_KBIT,
        compositor: COMPOSITOR.to_owned(),
        ffmpeg: tools.program.clone(),
        font: tools.font_name.clone(),
    }
}
