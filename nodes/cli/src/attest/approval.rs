//! The approval as a file: made, signed, believed.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
};

use guitai_crypto::{sm2::PublicKey, sm3};
use guitai_types::{
    Code, Hex,
    attest::{
        APPROVED_FILES_MAX, ApprovalSignature, Approved, FORMAT, MeasuredKind, SIGNATURES_MAX,
        SignedApproval, signed_text,
    },
    canonical,
};
use serde_json::{Value, json};

use super::{Refused, Sign};
use crate::{Done, Language, dr::officer, failure::Failure, show};

/// Largest file of an approval, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// An approval that enough of those who are believed have signed.
pub(super) struct Checked {
    pub(super) approved: Approved,
    sm3: Hex,
    signers: Vec<String>,
    need: usize,
}

impl Checked {
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.approved.name,
            "made_at": self.approved.made_at,
            "files": self.approved.files.len(),
            "sm3": self.sm3,
            "signed_by": self.signers,
            "needed": self.need,
        })
    }

    pub(super) fn words(&self, lang: Language) -> String {
        let (name, sm3, signers) = (&self.approved.name, &self.sm3, self.signers.join(", "));
        match lang {
            Language::Zh => format!("批准件:{name},SM3 {sm3},由 {signers} 签名\n"),
            Language::En => format!("Approval: {name}, SM3 {sm3}, signed by {signers}\n"),
        }
    }

    /// Whether it says anything of files of a kind.
    pub(super) fn speaks_of(&self, kind: MeasuredKind) -> bool {
        let asked = match kind {
            MeasuredKind::Unit => MeasuredKind::Configuration,
            kind => kind,
        };
        self.approved.files.iter().any(|it| it.kind == asked)
    }
}

/// Reads an approval and checks its signatures: `need` different keys of `trust`.
pub(super) fn read(
    path: &Path,
    trust: &[Hex],
    need: usize,
) -> Result<Result<Checked, Refused>, Failure> {
    let distinct: BTreeSet<&Hex> = trust.iter().collect();
    if need == 0 || need > distinct.len() {
        return Err(Failure::usage(
            format!("--need {need} of {} keys", distinct.len()),
            "--need 须为 1 至所给公钥的个数",
            "--need must be 1 to the number of keys that are given",
        ));
    }
    let signed = load(path)?;
    let approved: Approved = match canonical::from_bytes(&signed.approved.0) {
        Ok(approved) => approved,
        Err(error) => return Ok(Err(refused("内容不是规范格式", &error.to_string()))),
    };
    if approved.format != FORMAT || approved.files.len() > APPROVED_FILES_MAX {
        let why = format!("{} with {} files", approved.format, approved.files.len());
        return Ok(Err(refused("格式不符或文件过多", &why)));
    }
    let text = signed_text(&signed.approved.0);
    let mut keys = BTreeSet::new();
    let mut signers = Vec::new();
    for signature in &signed.signatures {
        let is_trusted = distinct.contains(&signature.key) && !keys.contains(&signature.key);
        let holds = PublicKey::from_point(&signature.key.0)
            .is_ok_and(|key| key.verify(&text, &signature.signature.0).is_ok());
        if is_trusted && holds {
            keys.insert(signature.key.clone());
            signers.push(signature.signer.clone());
        }
    }
    if signers.len() < need {
        let (have, of) = (signers.len(), signed.signatures.len());
        return Ok(Err(Refused {
            zh: format!("批准件不可信:{of} 个签名中有 {have} 个来自认可的公钥,须有 {need} 个"),
            en: format!(
                "The approval is not believed: {have} of its {of} signatures are of keys that you believe, {need} are needed"
            ),
        }));
    }
    let sm3 = Hex(sm3::hash(&signed.approved.0).to_vec());
    Ok(Ok(Checked {
        approved,
        sm3,
        signers,
        need,
    }))
}

fn refused(zh: &str, why: &str) -> Refused {
    Refused {
        zh: format!("批准件不可信:{zh}({why})"),
        en: format!("The approval is not believed: {why}"),
    }
}

/// Writes a new approval that nobody has signed yet; its digest.
pub(super) fn create(approved: &Approved, out: &Path) -> Result<Hex, Failure> {
    let bytes = canonical::to_bytes(approved)
        .map_err(|error| Failure::local("writing down the approval", &error))?;
    let sm3 = Hex(sm3::hash(&bytes).to_vec());
    let signed = SignedApproval {
        approved: Hex(bytes),
        signatures: Vec::new(),
    };
    let doing = format!("writing {}", out.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(out)
        .map_err(|error| Failure::local(&doing, &error))?;
    file.write_all(show::json(&signed)?.as_bytes())
        .map_err(|error| Failure::local(&doing, &error))?;
    Ok(sm3)
}

/// Adds a signature; the file is replaced whole.
pub(super) fn sign(arguments: &Sign, lang: Language) -> Result<Done, Failure> {
    let Sign {
        approved: path,
        key,
        passphrase,
        output,
    } = arguments;
    let mut signed = load(path)?;
    let approved: Approved = canonical::from_bytes(&signed.approved.0)
        .map_err(|error| Failure::local(&format!("reading {}", path.display()), &error))?;
    let (named, secret) = officer::open(key, passphrase)?;
    let public = Hex(named.public.to_vec());
    if signed.signatures.iter().any(|it| it.key == public) {
        return Err(Failure::usage(
            format!("{} has signed already", named.officer),
            "每个密钥只签一次;请由另一授权人签名",
            "Each key signs once; have another officer sign",
        ));
    }
    if signed.signatures.len() >= SIGNATURES_MAX {
        let detail = format!("at most {SIGNATURES_MAX} signatures");
        return Err(Failure::new(Code::TooLarge, detail));
    }
    signed.signatures.push(ApprovalSignature {
        signer: named.officer.clone(),
        key: public.clone(),
        signature: Hex(secret.sign(&signed_text(&signed.approved.0))),
    });
    let doing = format!("writing {}", path.display());
    let beside = path.with_extension("new");
    fs::write(&beside, show::json(&signed)?)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|error| Failure::local(&doing, &error))?;
    let sm3 = Hex(sm3::hash(&signed.approved.0).to_vec());
    let count = signed.signatures.len();
    let text = if output.json {
        show::json(&json!({
            "name": approved.name, "files": approved.files.len(), "sm3": sm3, "signer": named.officer,
            "key": public, "signatures": count,
        }))?
    } else {
        let (name, files, signer) = (&approved.name, approved.files.len(), &named.officer);
        match lang {
            Language::Zh => format!(
                "{signer} 已签署:{name},{files} 个文件,SM3 {sm3};共 {count} 个签名\n公钥 {public}\n"
            ),
            Language::En => format!(
                "{signer} has signed {name}, {files} files, SM3 {sm3}; {count} signatures\npublic half {public}\n"
            ),
        }
    };
    Ok(Done { text, exit: 0 })
}

fn load(path: &Path) -> Result<SignedApproval, Failure> {
    let doing = format!("reading {}", path.display());
    let size = fs::metadata(path).map_err(|error| Failure::local(&doing, &error))?;
    if size.len() > FILE_BYTES_MAX {
        let detail = format!("{doing}: {} bytes, at most {FILE_BYTES_MAX}", size.len());
        return Err(Failure::new(Code::TooLarge, detail));
    }
    let text = fs::read(path).map_err(|error| Failure::local(&doing, &error))?;
    serde_json::from_slice(&text).map_err(|error| Failure::local(&doing, &error))
}

/// SM3 of a file, however long.
pub(super) fn digest(path: &Path) -> Result<Hex, Failure> {
    let doing = format!("reading {}", path.display());
    let failed = |error: std::io::Error| Failure::local(&doing, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = sm3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = file.read(&mut piece).map_err(failed)?;
        match piece.get(..length) {
            Some(read) if !read.is_empty() => hasher.update(read),
            _ => return Ok(Hex(hasher.finish().to_vec())),
        }
    }
}
