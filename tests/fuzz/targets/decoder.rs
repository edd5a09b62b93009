//! Every target of `guitai-decoders` in one program; the environment says which, and where honest inputs to start
//! from are written, as far as they are not there.
#![no_main]

use std::{path::Path, sync::OnceLock};

use guitai_decoders::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn set_up() {
    let name = std::env::var("GUITAI_TARGET").expect("GUITAI_TARGET names a target");
    let target = guitai_decoders::target(&name).expect("GUITAI_TARGET names a target");
    assert!(TARGET.set(target).is_ok(), "it is set once");
    let Ok(dir) = std::env::var("GUITAI_SEEDS") else {
        return;
    };
    for seed in (target.seeds)() {
        let path = Path::new(&dir).join(format!("seed-{}", seed.name));
        if !path.exists() {
            std::fs::write(path, seed.bytes).expect("the corpus is writable");
        }
    }
}

libfuzzer_sys::fuzz_target!(init: set_up(), |data: &[u8]| {
    let target = TARGET.get().expect("it was set before the first input");
    (target.run)(data);
});
