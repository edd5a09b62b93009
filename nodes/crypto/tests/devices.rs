//! Roots in devices: an SDF library of our own, honest and lying, and SoftHSM2 as a PKCS#11 token.
//! Where the compiler or SoftHSM2 is missing the test says so and is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ::sm2::dsa::signature::hazmat::PrehashSigner as _;
use ::sm2::elliptic_curve::sec1::ToSec1Point as _;
use guitai_crypto::keys::{
    DeviceError, KeyStore, NewRoot, Passphrase, Purpose, StoreError, Unlock, Zone, sdf,
};
use guitai_crypto::sm2;

const NOW: u64 = 1_790_000_000;

/// Compiles the soft device; `None` without a C compiler.
fn soft_device(dir: &Path) -> Option<PathBuf> {
    let library = dir.join("libsoft_sdf.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/devices/soft_sdf.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
        .args([&library, &source])
        .status();
    match compiled {
        Ok(status) if status.success() => Some(library),
        outcome => {
            eprintln!("SKIPPED: the soft SDF device was not compiled by cc: {outcome:?}");
            None
        }
    }
}

/// Switches faults of the device on; the library is the one the store has loaded.
struct Soft(libloading::Library);

impl Soft {
    fn new(path: &Path) -> Self {
        #[expect(unsafe_code, reason = "the test's own library")]
        // SAFETY: compiled a moment ago from the file beside this one.
        Self(unsafe { libloading::Library::new(path) }.unwrap())
    }

    fn fault(&self, number: i32) {
        #[expect(unsafe_code, reason = "the test's own library")]
        // SAFETY: `void soft_fault(int)`.
        unsafe {
            let set: libloading::Symbol<'_, unsafe extern "C" fn(i32)> =
                self.0.get(b"soft_fault").unwrap();
            set(number);
        }
    }

    fn signer(&self) -> sm2::PublicKey {
        let point = signing_key().verifying_key().to_sec1_point(false);
        let point = point.as_bytes();
        #[expect(unsafe_code, reason = "the test's own library")]
        // SAFETY: `void soft_signer(int (*)(const u8 *, u8 *), const u8 *)`; 64 bytes are read.
        unsafe {
            type Set = unsafe extern "C" fn(extern "C" fn(*const u8, *mut u8) -> i32, *const u8);
            let set: libloading::Symbol<'_, Set> = self.0.get(b"soft_signer").unwrap();
            set(sign, point[1..].as_ptr());
        }
        sm2::PublicKey::from_point(point).unwrap()
    }
}

fn signing_key() -> &'static ::sm2::dsa::SigningKey {
    static KEY: OnceLock<::sm2::dsa::SigningKey> = OnceLock::new();
    KEY.get_or_init(|| ::sm2::dsa::SigningKey::from_slice(sm2::DEFAULT_ID, &[7; 32]).unwrap())
}

extern "C" fn sign(digest: *const u8, r_and_s: *mut u8) -> i32 {
    #[expect(unsafe_code, reason = "called by the test's own library")]
    // SAFETY: the device hands over 32 bytes to read and 64 to write.
    let (digest, out) = unsafe {
        (
            std::slice::from_raw_parts(digest, 32),
            std::slice::from_raw_parts_mut(r_and_s, 64),
        )
    };
    let signature: ::sm2::dsa::Signature = signing_key().sign_prehash(digest).unwrap();
    out.copy_from_slice(&signature.to_bytes());
    0
}

fn pass(text: &str) -> Unlock {
    Unlock::Given(Passphrase::new(text).unwrap())
}

fn create(dir: &Path, root: NewRoot, unlock: Unlock) -> Result<KeyStore, StoreError> {
    let purposes = [Purpose::Recording, Purpose::Identity];
    KeyStore::create(dir, "a1-1", Zone::Inner, &purposes, root, unlock, NOW)
}

/// Everything a store does, with its root in a device.
fn whole_life(dir: &Path, root: impl Fn() -> NewRoot, unlock: &Unlock, national: bool) {
    let keys = dir.join("keys");
    let store = create(&keys, root(), unlock.clone()).unwrap();
    let wrapped = store
        .wrap(Purpose::Recording, b"5e55", b"data key")
        .unwrap();
    drop(store);
    let store = KeyStore::open(&keys, unlock.clone()).unwrap();
    let device = KeyStore::inventory(&keys).unwrap().device;
    assert_eq!(device.national, national, "{device:?}");
    assert!(!device.exportable);
    assert!(matches!(
        store.export_root(),
        Err(StoreError::NotExportable { .. })
    ));
    let open = |store: &KeyStore| {
        let key = store.unwrap(Purpose::Recording, b"5e55", &wrapped).unwrap();
        assert_eq!(key.as_slice(), b"data key");
    };
    open(&store);
    assert_eq!(store.rotate_kek(Purpose::Recording, NOW).unwrap(), 2);
    open(&store);

    // A tampered ring is the same typed error as under a root in a file.
    let ring = std::fs::read_to_string(keys.join("ring")).unwrap();
    let mut kept = std::fs::read(keys.join("ring")).unwrap();
    let middle = kept.len() / 2;
    kept[middle] = if kept[middle] == b'A' { b'B' } else { b'A' };
    std::fs::write(keys.join("ring"), &kept).unwrap();
    let refused = KeyStore::open(&keys, unlock.clone()).unwrap_err();
    assert!(matches!(refused, StoreError::Ring { .. }), "{refused:?}");
    std::fs::write(keys.join("ring"), ring).unwrap();

    // Out of the device and back in: a root is rotated from any back end to any other.
    let cost = guitai_crypto::keys::Cost::MIN;
    store
        .rotate_root(NewRoot::software(cost), unlock, NOW)
        .unwrap();
    open(&store);
    assert_eq!(KeyStore::inventory(&keys).unwrap().device.backend, "file");
}

#[test]
fn a_root_in_an_sdf_device_lives_a_whole_life_and_every_lie_is_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = soft_device(dir.path()) else {
        return;
    };
    let path = library.to_str().unwrap().to_owned();
    let root = || NewRoot::sdf(path.clone(), 1);
    let unlock = pass("not needed by this device");
    whole_life(dir.path(), root, &unlock, true);

    let soft = Soft::new(&library);
    let public = soft.signer();
    let password = Passphrase::new("signer password").unwrap();
    let trial = sdf::try_device(&path, 1, Some((2, &password))).unwrap();
    assert!(trial.wraps);
    assert!(trial.signs == Some(public));
    assert_eq!(
        (
            trial.info.maker.as_str(),
            trial.info.model.as_str(),
            trial.info.standard
        ),
        ("Guitai tests", "soft", 2012)
    );
    let wrong = Passphrase::new("another password").unwrap();
    let refused = sdf::try_device(&path, 1, Some((2, &wrong))).unwrap_err();
    assert!(refused.to_string().contains("no right"), "{refused}");
    assert!(!refused.to_string().contains("password"), "{refused}");
    let refused = sdf::try_device(&path, 9, None).unwrap_err();
    assert!(refused.to_string().contains("no such key"), "{refused}");

    let lies = [
        (1, "SDF_OpenDevice", "device does not open"),
        (2, "SDF_OpenDevice", "null handle"),
        (3, "SDF_OpenSession", "session does not open"),
        (5, "SDF_GenerateRandom", "zeros"),
        (6, "SDF_GenerateKeyWithKEK", "length"),
        (7, "SDF_GenerateKeyWithKEK", "length"),
        (8, "SDF_GenerateKeyWithKEK", "null handle"),
        (9, "SDF_ImportKeyWithKEK", "no such key"),
        (10, "SDF_Encrypt", "symmetric operation failed"),
        (11, "SDF_Encrypt", "0xffffffff"),
        (12, "SDF_Encrypt", "8192"),
        (14, "SDF_Encrypt", "length"),
        (15, "SDF_Encrypt", "length"),
        (16, "SDF_Encrypt", "length"),
        (20, "SDF_ExportSignPublicKey_ECC", "256 bits"),
        (21, "SDF_ExportSignPublicKey_ECC", "curve"),
        (22, "SDF_ExportSignPublicKey_ECC", "256 bits"),
        (23, "SDF_InternalSign_ECC", "256 bits"),
        (24, "SDF_InternalSign_ECC", "does not verify"),
    ];
    for (fault, call, words) in lies {
        soft.fault(fault);
        let refused = sdf::try_device(&path, 1, Some((2, &password))).unwrap_err();
        let said = refused.to_string();
        assert!(
            said.contains(call) && said.contains(words),
            "fault {fault}: {said}"
        );
    }
    // Nonsense in the description harms nobody.
    soft.fault(4);
    sdf::try_device(&path, 1, None).unwrap();
    // A device that decrypts to something else: the key does not open, and is not made up.
    soft.fault(13);
    let refused = sdf::try_device(&path, 1, None).unwrap_err();
    assert!(matches!(refused, DeviceError::NotOpen), "{refused}");
    soft.fault(0);
    assert!(sdf::try_device(&path, 1, None).unwrap().wraps);
}

#[test]
fn a_library_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libnone.so");
    std::fs::write(&path, "no library").unwrap();
    let path = path.to_str().unwrap().to_owned();
    let refused = sdf::try_device(&path, 1, None).unwrap_err();
    assert!(
        matches!(&refused, DeviceError::Library { library, .. } if *library == path),
        "{refused}"
    );
    let root = NewRoot::pkcs11(path.clone(), "t".to_owned(), "k".to_owned());
    let refused = create(&dir.path().join("keys"), root, pass("12345678")).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Device(DeviceError::Library { library, .. }) if *library == path),
        "{refused}"
    );
}

const SOFTHSM: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];
const TOKEN: &str = "guitai test";
const PIN: &str = "12345678";

/// SoftHSM2 finds its tokens by an environment variable, so the test runs itself again with it.
#[test]
fn a_root_in_a_pkcs11_token_lives_a_whole_life() {
    let Some(library) = SOFTHSM.iter().find(|path| Path::new(path).exists()) else {
        eprintln!("SKIPPED: SoftHSM2 is not installed (Debian package softhsm2)");
        return;
    };
    if std::env::var_os("SOFTHSM2_CONF").is_none() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = dir.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let conf = dir.path().join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        );
        std::fs::write(&conf, text).unwrap();
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", TOKEN])
            .args(["--so-pin", "87654321", "--pin", PIN])
            .env("SOFTHSM2_CONF", &conf)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let again = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_root_in_a_pkcs11_token_lives_a_whole_life",
                "--nocapture",
            ])
            .env("SOFTHSM2_CONF", &conf)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&again.stdout).into_owned()
            + &String::from_utf8_lossy(&again.stderr);
        assert!(
            again.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = |key: &str| NewRoot::pkcs11((*library).to_owned(), TOKEN.to_owned(), key.to_owned());
    whole_life(dir.path(), || root("first"), &pass(PIN), false);

    let twice = create(&dir.path().join("twice"), root("first"), pass(PIN)).unwrap_err();
    let said = format!("{twice:?}");
    assert!(said.contains("never overwritten"), "{said}");
    let absent = NewRoot::pkcs11((*library).to_owned(), "no such".to_owned(), "k".to_owned());
    let absent = create(&dir.path().join("absent"), absent, pass(PIN)).unwrap_err();
    assert!(
        matches!(absent, StoreError::Device(DeviceError::Absent { .. })),
        "{absent}"
    );
    // Two stores of one process, each with its own key in the same token.
    let second = dir.path().join("second");
    let store = create(&second, root("second"), pass(PIN)).unwrap();
    let wrapped = store.wrap(Purpose::Recording, b"", b"data key").unwrap();
    let again = KeyStore::open(&second, pass(PIN)).unwrap();
    again.unwrap(Purpose::Recording, b"", &wrapped).unwrap();
}
