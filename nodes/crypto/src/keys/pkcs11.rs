//! A root in a PKCS#11 token (OASIS PKCS#11 2.40), through `cryptoki`.
//!
//! The root is an AES-256 key that the token draws, sensitive and not extractable, and wraps with
//! AES-GCM inside the token: the standard has no mechanism for SM4. It therefore counts as **not**
//! national; it is for tokens that a bank has already, not for a national evaluation.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, aead::GcmParams};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::device::{DEVICE_KEY_BYTES_MAX, Description, DeviceError, KeyDevice};
use super::passphrase::Passphrase;
use crate::random;

const DOMAIN: &[u8] = b"guitai pkcs11 root wraps 1\0";
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const AES_256_BYTES: u64 = 32;

/// Libraries of this process. PKCS#11 is initialised once for a process and login is for all of its
/// sessions, so a library once loaded stays: finalising it would end sessions of other roots.
static LIBRARIES: Mutex<BTreeMap<String, Pkcs11>> = Mutex::new(BTreeMap::new());

/// A root inside a token.
pub(crate) struct Pkcs11Root {
    library: String,
    token: String,
    label: String,
    open: Mutex<(Session, ObjectHandle)>,
}

impl Pkcs11Root {
    /// Lets the token draw a root under a label that it does not have yet.
    pub(crate) fn generate(
        library: &str,
        token: &str,
        label: &str,
        pin: &Passphrase,
    ) -> Result<Self, DeviceError> {
        let session = log_in(library, token, pin)?;
        if find(&session, label)?.is_some() {
            return Err(DeviceError::Call {
                call: "C_GenerateKey",
                why: format!("the token has a key \"{label}\" already; it is never overwritten"),
            });
        }
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(AES_256_BYTES.into()),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let key = session
            .generate_key(&Mechanism::AesKeyGen, &template)
            .map_err(failed("C_GenerateKey"))?;
        Ok(Self::of(library, token, label, session, key))
    }

    /// Finds a root that the token drew.
    pub(crate) fn open(
        library: &str,
        token: &str,
        label: &str,
        pin: &Passphrase,
    ) -> Result<Self, DeviceError> {
        let session = log_in(library, token, pin)?;
        let key = find(&session, label)?.ok_or_else(|| DeviceError::Absent {
            what: format!("key \"{label}\" in token \"{token}\""),
        })?;
        Ok(Self::of(library, token, label, session, key))
    }

    fn of(library: &str, token: &str, label: &str, session: Session, key: ObjectHandle) -> Self {
        Self {
            library: library.to_owned(),
            token: token.to_owned(),
            label: label.to_owned(),
            open: Mutex::new((session, key)),
        }
    }
}

impl KeyDevice for Pkcs11Root {
    fn describe(&self) -> Description {
        description(&self.library, &self.token, &self.label)
    }

    fn wrap(&self, context: &[u8], key: &[u8]) -> Result<Vec<u8>, DeviceError> {
        if key.len() > DEVICE_KEY_BYTES_MAX {
            return Err(DeviceError::TooLong { found: key.len() });
        }
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let nonce: [u8; NONCE_BYTES] = random::array();
        let (mut iv, aad) = (nonce, [DOMAIN, context].concat());
        let sealed = open
            .0
            .encrypt(&Mechanism::AesGcm(gcm(&mut iv, &aad)?), open.1, key)
            .map_err(failed("C_Encrypt"))?;
        if sealed.len() != key.len() + TAG_BYTES {
            return Err(DeviceError::Answer {
                call: "C_Encrypt",
                why: "its length is not the key's and a tag's",
            });
        }
        Ok([&nonce[..], &sealed].concat())
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        let (nonce, sealed) = wrapped
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(DeviceError::NotOpen)?;
        let plain_bytes = sealed
            .len()
            .checked_sub(TAG_BYTES)
            .filter(|length| *length <= DEVICE_KEY_BYTES_MAX)
            .ok_or(DeviceError::NotOpen)?;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut iv, aad) = (*nonce, [DOMAIN, context].concat());
        let plain = open
            .0
            .decrypt(&Mechanism::AesGcm(gcm(&mut iv, &aad)?), open.1, sealed);
        let plain = match plain {
            Ok(plain) => Zeroizing::new(plain),
            // Tokens say either of a wrong tag; SoftHSM says that something failed.
            Err(Error::Pkcs11(
                RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::GeneralError
                | RvError::FunctionFailed,
                _,
            )) => return Err(DeviceError::NotOpen),
            Err(error) => return Err(failed("C_Decrypt")(error)),
        };
        if plain.len() != plain_bytes {
            return Err(DeviceError::Answer {
                call: "C_Decrypt",
                why: "its length is not the wrapped key's",
            });
        }
        Ok(plain)
    }
}

/// What such a root says of itself, opened or not.
pub(crate) fn description(library: &str, token: &str, label: &str) -> Description {
    Description {
        backend: "pkcs11",
        location: format!("{library}, token {token}, key {label}"),
        algorithm: "AES-256-GCM",
        national: false,
        exportable: false,
    }
}

fn log_in(library: &str, token: &str, pin: &Passphrase) -> Result<Session, DeviceError> {
    let context = load(library)?;
    let slots = context
        .get_slots_with_token()
        .map_err(failed("C_GetSlotList"))?;
    let slot = slots.into_iter().find(|slot| {
        // A slot whose token was just pulled out is not the one.
        context
            .get_token_info(*slot)
            .is_ok_and(|info| info.label() == token)
    });
    let slot = slot.ok_or_else(|| DeviceError::Absent {
        what: format!("token \"{token}\""),
    })?;
    let session = context
        .open_rw_session(slot)
        .map_err(failed("C_OpenSession"))?;
    let pin = AuthPin::from(pin.expose().to_owned());
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error) => Err(failed("C_Login")(error)),
    }
}

fn load(library: &str) -> Result<Pkcs11, DeviceError> {
    let mut loaded = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = loaded.get(library) {
        return Ok(context.clone());
    }
    let unusable = |error: Error| DeviceError::Library {
        library: library.to_owned(),
        why: error.to_string(),
    };
    let context = Pkcs11::new(library).map_err(unusable)?;
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(unusable(error)),
    }
    loaded.insert(library.to_owned(), context.clone());
    Ok(context)
}

fn find(session: &Session, label: &str) -> Result<Option<ObjectHandle>, DeviceError> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session
        .find_objects(&template)
        .map_err(failed("C_FindObjects"))?;
    match found.as_slice() {
        [] => Ok(None),
        [key] => Ok(Some(*key)),
        _ => Err(DeviceError::Answer {
            call: "C_FindObjects",
            why: "more than one key of that label",
        }),
    }
}

fn gcm<'a>(iv: &'a mut [u8], aad: &'a [u8]) -> Result<GcmParams<'a>, DeviceError> {
    let tag_bits = u64::try_from(TAG_BYTES * 8).unwrap_or(128); // 128 fits
    GcmParams::new(iv, aad, tag_bits.into()).map_err(failed("CKM_AES_GCM"))
}

fn failed(call: &'static str) -> impl Fn(Error) -> DeviceError {
    move |error| DeviceError::Call {
        call,
        why: match error {
            // The name of the return code; its description in `cryptoki` is a paragraph.
            Error::Pkcs11(code, _) => format!("{code:?}"),
            other => other.to_string(),
        },
    }
}
