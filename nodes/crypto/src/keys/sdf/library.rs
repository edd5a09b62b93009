//! The vendor's library: the calls of GM/T 0018-2012 that we use, each answer checked.
//!
//! A device writes into buffers of ours that are far larger than any honest answer, and whose end is
//! checked afterwards; what it says of lengths is believed only within those. A library that corrupts
//! memory on purpose is beyond any check: it runs in this process, and the operator chose it.

use std::ffi::{c_int, c_uchar, c_uint, c_void};
use std::ptr;
use std::sync::Arc;

use zeroize::{Zeroize as _, Zeroizing};

use super::answer::{self, DeviceInfo};
use crate::keys::device::DeviceError;
use crate::keys::passphrase::Passphrase;
use crate::sm2;
use crate::sm4::KEY_BYTES;

/// Bytes that a device may write before it is called broken; honest answers are below 200.
const ANSWER_BYTES_MAX: usize = 8192;
/// What stands behind an answer and must still stand there afterwards.
const CANARY: [u8; 64] = [0xa5; 64];
/// SM4 in ECB mode (GM/T 0006): one block, one random key, no pattern to show.
const SGD_SM4_ECB: c_uint = 0x0000_0401;
/// Longest key under a device's KEK: 16 bytes and what the vendor adds.
const WRAPPED_BYTES_MAX: usize = 512;

type Raw = *mut c_void;
type Call1 = unsafe extern "C" fn(Raw) -> c_int;
type OpenDevice = unsafe extern "C" fn(*mut Raw) -> c_int;
type OpenSession = unsafe extern "C" fn(Raw, *mut Raw) -> c_int;
type GetDeviceInfo = unsafe extern "C" fn(Raw, *mut c_void) -> c_int;
type GenerateRandom = unsafe extern "C" fn(Raw, c_uint, *mut c_uchar) -> c_int;
type AccessRight = unsafe extern "C" fn(Raw, c_uint, *mut c_uchar, c_uint) -> c_int;
type ReleaseRight = unsafe extern "C" fn(Raw, c_uint) -> c_int;
type GenerateKeyWithKek =
    unsafe extern "C" fn(Raw, c_uint, c_uint, c_uint, *mut c_uchar, *mut c_uint, *mut Raw) -> c_int;
type ImportKeyWithKek =
    unsafe extern "C" fn(Raw, c_uint, c_uint, *mut c_uchar, c_uint, *mut Raw) -> c_int;
type DestroyKey = unsafe extern "C" fn(Raw, Raw) -> c_int;
type Crypt = unsafe extern "C" fn(
    Raw,
    Raw,
    c_uint,
    *mut c_uchar,
    *mut c_uchar,
    c_uint,
    *mut c_uchar,
    *mut c_uint,
) -> c_int;
type InternalSign = unsafe extern "C" fn(Raw, c_uint, *mut c_uchar, c_uint, *mut c_void) -> c_int;
type ExportKey = unsafe extern "C" fn(Raw, c_uint, *mut c_void) -> c_int;

/// The functions, looked up once.
struct Functions {
    open_device: OpenDevice,
    close_device: Call1,
    open_session: OpenSession,
    close_session: Call1,
    get_device_info: GetDeviceInfo,
    generate_random: GenerateRandom,
    get_right: AccessRight,
    release_right: ReleaseRight,
    generate_with_kek: GenerateKeyWithKek,
    import_with_kek: ImportKeyWithKek,
    destroy_key: DestroyKey,
    encrypt: Crypt,
    decrypt: Crypt,
    internal_sign: InternalSign,
    export_sign_key: ExportKey,
    /// Keeps the code mapped for as long as the pointers above.
    _library: libloading::Library,
}

impl Functions {
    fn load(path: &str) -> Result<Self, DeviceError> {
        let failed = |error: &libloading::Error| DeviceError::Library {
            library: path.to_owned(),
            why: error.to_string(),
        };
        #[expect(unsafe_code, reason = "a vendor's library is loaded at run time")]
        // SAFETY: loading runs the library's initialisers, which is what the operator who named its
        // path asked for; there is no way to check foreign code from here.
        let library = unsafe { libloading::Library::new(path) }.map_err(|e| failed(&e))?;
        macro_rules! look_up {
            ($name:literal) => {{
                #[expect(unsafe_code, reason = "the standard fixes the type of each symbol")]
                // SAFETY: GM/T 0018-2012, clause 6, gives the symbol this very signature; the
                // pointer lives in the same struct as the library, which is dropped last.
                let symbol = unsafe { library.get($name) }.map_err(|error| failed(&error))?;
                *symbol
            }};
        }
        Ok(Self {
            open_device: look_up!(b"SDF_OpenDevice"),
            close_device: look_up!(b"SDF_CloseDevice"),
            open_session: look_up!(b"SDF_OpenSession"),
            close_session: look_up!(b"SDF_CloseSession"),
            get_device_info: look_up!(b"SDF_GetDeviceInfo"),
            generate_random: look_up!(b"SDF_GenerateRandom"),
            get_right: look_up!(b"SDF_GetPrivateKeyAccessRight"),
            release_right: look_up!(b"SDF_ReleasePrivateKeyAccessRight"),
            generate_with_kek: look_up!(b"SDF_GenerateKeyWithKEK"),
            import_with_kek: look_up!(b"SDF_ImportKeyWithKEK"),
            destroy_key: look_up!(b"SDF_DestroyKey"),
            encrypt: look_up!(b"SDF_Encrypt"),
            decrypt: look_up!(b"SDF_Decrypt"),
            internal_sign: look_up!(b"SDF_InternalSign_ECC"),
            export_sign_key: look_up!(b"SDF_ExportSignPublicKey_ECC"),
            _library: library,
        })
    }
}

/// A session with an opened device; both are closed on drop.
pub(super) struct Session {
    functions: Arc<Functions>,
    device: Raw,
    session: Raw,
}

/// A key inside the device. Valid in the session that made it, hence kept beside it.
pub(super) struct Handle(Raw);

#[expect(unsafe_code, reason = "handles of a device are raw pointers")]
// SAFETY: the handles are opaque to us, and a session is used by one thread at a time (behind a
// `Mutex`), which GM/T 0018 allows: it ties a session to no thread.
unsafe impl Send for Session {}
#[expect(unsafe_code, reason = "handles of a device are raw pointers")]
// SAFETY: as for `Session`, beside which it is kept.
unsafe impl Send for Handle {}

/// Room for an answer, aligned for the structures of the standard, with a canary behind it.
#[repr(C, align(16))]
struct Room {
    answer: [u8; ANSWER_BYTES_MAX],
    canary: [u8; CANARY.len()],
}

impl Room {
    fn new() -> Box<Self> {
        Box::new(Self {
            answer: [0; ANSWER_BYTES_MAX],
            canary: CANARY,
        })
    }

    const fn pointer(&mut self) -> *mut u8 {
        self.answer.as_mut_ptr()
    }

    /// The first bytes, if the device kept within the room.
    fn answer(&self, call: &'static str, length: usize) -> Result<&[u8], DeviceError> {
        if self.canary != CANARY {
            return Err(DeviceError::Answer {
                call,
                why: "it wrote more than 8192 bytes",
            });
        }
        self.answer.get(..length).ok_or(DeviceError::Answer {
            call,
            why: "it is longer than 8192 bytes",
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.answer.zeroize();
    }
}

/// Calls a function of the device and turns its code into an error.
macro_rules! call {
    ($session:expr, $function:ident, $name:literal $(, $argument:expr)* $(,)?) => {{
        #[expect(unsafe_code, reason = "a call into the vendor's library")]
        // SAFETY: the function has the signature of the standard; every pointer given is to memory
        // of ours that lives until the call is over and is larger than what may be written there.
        let code = unsafe { ($session.functions.$function)($($argument),*) };
        checked($name, code)
    }};
}

fn checked(call: &'static str, code: c_int) -> Result<(), DeviceError> {
    if code == 0 {
        return Ok(());
    }
    Err(DeviceError::Call {
        call,
        // The standard's codes are unsigned.
        why: answer::error_words(code.cast_unsigned()),
    })
}

impl Session {
    /// Loads the library, opens the device and a session with it.
    pub(super) fn open(library: &str) -> Result<Self, DeviceError> {
        let mut open = Self {
            functions: Arc::new(Functions::load(library)?),
            device: ptr::null_mut(),
            session: ptr::null_mut(),
        };
        call!(open, open_device, "SDF_OpenDevice", &raw mut open.device)?;
        present("SDF_OpenDevice", open.device)?;
        call!(
            open,
            open_session,
            "SDF_OpenSession",
            open.device,
            &raw mut open.session
        )?;
        present("SDF_OpenSession", open.session)?;
        Ok(open)
    }

    /// Who the device is.
    pub(super) fn info(&self) -> Result<DeviceInfo, DeviceError> {
        const NAME: &str = "SDF_GetDeviceInfo";
        let mut room = Room::new();
        call!(
            self,
            get_device_info,
            "SDF_GetDeviceInfo",
            self.session,
            room.pointer().cast()
        )?;
        answer::device_info(room.answer(NAME, answer::DEVICE_INFO_BYTES)?)
    }

    /// Random bytes of the device, at most [`ANSWER_BYTES_MAX`].
    pub(super) fn random(&self, out: &mut [u8]) -> Result<(), DeviceError> {
        const NAME: &str = "SDF_GenerateRandom";
        let mut room = Room::new();
        let length = c_uint::try_from(out.len()).unwrap_or(c_uint::MAX);
        let wanted = answer::length(NAME, length, 1..=ANSWER_BYTES_MAX)?;
        call!(
            self,
            generate_random,
            "SDF_GenerateRandom",
            self.session,
            length,
            room.pointer()
        )?;
        let drawn = room.answer(NAME, wanted)?;
        if drawn.iter().all(|byte| *byte == 0) && wanted >= KEY_BYTES {
            return Err(DeviceError::Answer {
                call: NAME,
                why: "nothing but zeros",
            });
        }
        out.copy_from_slice(drawn);
        Ok(())
    }

    /// A new SM4 key under the device's KEK: its handle, and what to keep.
    pub(super) fn generate_with_kek(&self, index: u32) -> Result<(Handle, Vec<u8>), DeviceError> {
        const NAME: &str = "SDF_GenerateKeyWithKEK";
        let mut room = Room::new();
        let mut length = ANSWER_BYTES_MAX as c_uint;
        let mut key = ptr::null_mut();
        call!(
            self,
            generate_with_kek,
            "SDF_GenerateKeyWithKEK",
            self.session,
            KEY_BYTES as c_uint * 8,
            SGD_SM4_ECB,
            index,
            room.pointer(),
            &raw mut length,
            &raw mut key
        )?;
        present(NAME, key)?;
        let length = answer::length(NAME, length, KEY_BYTES..=WRAPPED_BYTES_MAX)?;
        Ok((Handle(key), room.answer(NAME, length)?.to_vec()))
    }

    /// The handle of a key that was kept under the device's KEK.
    pub(super) fn import_with_kek(
        &self,
        index: u32,
        wrapped: &[u8],
    ) -> Result<Handle, DeviceError> {
        const NAME: &str = "SDF_ImportKeyWithKEK";
        // A copy: the standard's parameter is not const.
        let mut wrapped = wrapped.to_vec();
        let length = c_uint::try_from(wrapped.len()).unwrap_or(c_uint::MAX);
        answer::length(NAME, length, 1..=WRAPPED_BYTES_MAX)?;
        let mut key = ptr::null_mut();
        call!(
            self,
            import_with_kek,
            "SDF_ImportKeyWithKEK",
            self.session,
            SGD_SM4_ECB,
            index,
            wrapped.as_mut_ptr(),
            length,
            &raw mut key
        )?;
        present(NAME, key)?;
        Ok(Handle(key))
    }

    /// Destroys a key's handle. A device that cannot is about to be closed anyway.
    pub(super) fn destroy(&self, key: &Handle) {
        let _closed_with_the_session =
            call!(self, destroy_key, "SDF_DestroyKey", self.session, key.0);
    }

    /// SM4 of one block under a key of the device.
    pub(super) fn encrypt_block(
        &self,
        key: &Handle,
        block: &[u8; KEY_BYTES],
    ) -> Result<[u8; KEY_BYTES], DeviceError> {
        const NAME: &str = "SDF_Encrypt";
        let (mut room, mut iv, mut input) = (Room::new(), [0; KEY_BYTES], Zeroizing::new(*block));
        let mut length = ANSWER_BYTES_MAX as c_uint;
        call!(
            self,
            encrypt,
            "SDF_Encrypt",
            self.session,
            key.0,
            SGD_SM4_ECB,
            iv.as_mut_ptr(),
            input.as_mut_ptr(),
            KEY_BYTES as c_uint,
            room.pointer(),
            &raw mut length
        )?;
        Ok(*one_block(NAME, &room, length)?)
    }

    /// The inverse.
    pub(super) fn decrypt_block(
        &self,
        key: &Handle,
        block: &[u8; KEY_BYTES],
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, DeviceError> {
        const NAME: &str = "SDF_Decrypt";
        let (mut room, mut iv, mut input) = (Room::new(), [0; KEY_BYTES], *block);
        let mut length = ANSWER_BYTES_MAX as c_uint;
        call!(
            self,
            decrypt,
            "SDF_Decrypt",
            self.session,
            key.0,
            SGD_SM4_ECB,
            iv.as_mut_ptr(),
            input.as_mut_ptr(),
            KEY_BYTES as c_uint,
            room.pointer(),
            &raw mut length
        )?;
        one_block(NAME, &room, length)
    }

    /// The public half of a signing key of the device.
    pub(super) fn sign_public_key(&self, index: u32) -> Result<sm2::PublicKey, DeviceError> {
        let mut room = Room::new();
        call!(
            self,
            export_sign_key,
            "SDF_ExportSignPublicKey_ECC",
            self.session,
            index,
            room.pointer().cast()
        )?;
        let bytes = room.answer("SDF_ExportSignPublicKey_ECC", answer::PUBLIC_KEY_BYTES)?;
        answer::public_key(bytes)
    }

    /// Signs a digest (SM3 over Z and the message) with a key of the device: r and s.
    pub(super) fn sign(&self, index: u32, digest: &[u8; 32]) -> Result<[u8; 64], DeviceError> {
        let (mut room, mut digest) = (Room::new(), *digest);
        call!(
            self,
            internal_sign,
            "SDF_InternalSign_ECC",
            self.session,
            index,
            digest.as_mut_ptr(),
            digest.len() as c_uint,
            room.pointer().cast()
        )?;
        answer::signature(room.answer("SDF_InternalSign_ECC", answer::SIGNATURE_BYTES)?)
    }

    /// Holds the right to use a private key of the device while `act` runs.
    pub(super) fn with_private_key<T>(
        &self,
        index: u32,
        password: &Passphrase,
        act: impl FnOnce(&Self) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let mut password = Zeroizing::new(password.expose().as_bytes().to_vec());
        // A passphrase has at most PASSPHRASE_BYTES_MAX bytes.
        let length = c_uint::try_from(password.len()).unwrap_or(c_uint::MAX);
        call!(
            self,
            get_right,
            "SDF_GetPrivateKeyAccessRight",
            self.session,
            index,
            password.as_mut_ptr(),
            length
        )?;
        let done = act(self);
        call!(
            self,
            release_right,
            "SDF_ReleasePrivateKeyAccessRight",
            self.session,
            index
        )?;
        done
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nothing can be done about a device that does not close.
        if !self.session.is_null() {
            let _closed = call!(self, close_session, "SDF_CloseSession", self.session);
        }
        if !self.device.is_null() {
            let _closed = call!(self, close_device, "SDF_CloseDevice", self.device);
        }
    }
}

fn present(call: &'static str, handle: Raw) -> Result<(), DeviceError> {
    if handle.is_null() {
        return Err(DeviceError::Answer {
            call,
            why: "a null handle",
        });
    }
    Ok(())
}

fn one_block(
    call: &'static str,
    room: &Room,
    length: c_uint,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, DeviceError> {
    let length = answer::length(call, length, KEY_BYTES..=KEY_BYTES)?;
    let bytes = room.answer(call, length)?;
    let block = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| DeviceError::Answer {
        call,
        why: "no whole block",
    })?;
    Ok(Zeroizing::new(block))
}
