//! `guitai pki show`: every field of a certificate, request or revocation list, ours or not.

use std::path::Path;

use guitai_crypto::x509::{self, Crl, Description, Purpose, Request};
use guitai_types::Hex;
use serde_json::{Value, json};

use super::{PkiError, args::Show, directory::Directory, files, words};
use crate::{
    Language,
    failure::Failure,
    show::{json as in_json, when},
    table::Table,
};

pub(super) fn run(arguments: &Show, lang: Language, now: u64) -> Result<String, Failure> {
    let text = find(arguments, now)?;
    let fields = fields(&text)?;
    if arguments.output.json {
        return in_json(&fields);
    }
    Ok(in_words(&fields, lang))
}

/// The PEM of a file, or of the present certificate of a name, or of a serial number.
fn find(arguments: &Show, now: u64) -> Result<String, PkiError> {
    let Show { what, place, .. } = arguments;
    if Path::new(what).is_file() {
        return Ok(files::read(Path::new(what))?);
    }
    let directory = Directory::open_with(&place.dir, place.unlock(), now)?;
    let serial = Hex::parse(what);
    let by_serial = |entry: &&super::Entry| serial.as_ref() == Some(&entry.serial);
    let mut entries = directory.entries().iter();
    let found = entries
        .clone()
        .find(by_serial)
        .or_else(|| entries.rfind(|entry| entry.name == *what));
    match found {
        Some(entry) => directory.certificate_pem(entry),
        None => Err(PkiError::Unknown(what.clone())),
    }
}

/// What the first block of a PEM text says; a chain gives one object for each certificate.
pub(super) fn fields(pem: &str) -> Result<Value, PkiError> {
    if let Ok(crl) = x509::crl_from_pem(pem) {
        let mut fields = words::crl_view(&Crl::from_der(&crl)?);
        fields["what"] = json!("crl");
        return Ok(fields);
    }
    if let Ok(request) = x509::request_from_pem(pem) {
        let request = Request::from_der(&request)?;
        return Ok(json!({
            "what": "request",
            "common_name": request.subject.common_name,
            "organization": request.subject.organization,
            "dns_names": request.subject.dns_names,
            "purpose": request.purpose.map(|purpose| match purpose {
                Purpose::Leaf(usage) => format!("{usage:?}").to_lowercase(),
                Purpose::Authority { path_length } => format!("authority, path length {path_length}"),
            }),
            "public_key": Hex(request.public_key.to_point().to_vec()),
            "proof_of_possession": true,
        }));
    }
    let chain = x509::certificates_from_pem(pem)?;
    let chain = chain.iter().map(|der| x509::describe(der));
    let chain: Vec<Value> = chain
        .map(|one| one.map(|one| certificate(&one)))
        .collect::<Result<_, _>>()?;
    Ok(json!({ "what": "certificate", "chain": chain }))
}

fn certificate(words: &Description) -> Value {
    let hex = |bytes: &[u8]| Hex(bytes.to_vec());
    let others = words.other_extensions.iter();
    let others = others.map(|(id, critical)| json!({ "id": id, "critical": critical }));
    json!({
        "version": words.version,
        "serial": hex(&words.serial),
        "signature_algorithm": words.signature_algorithm,
        "issuer": words.issuer,
        "subject": words.subject,
        "not_before": words.not_before,
        "not_after": words.not_after,
        "key_algorithm": words.key_algorithm,
        "public_key": hex(&words.public_key),
        "authority": words.authority,
        "path_length": words.path_length,
        "key_usage": words.key_usage,
        "extended_key_usage": words.extended_key_usage,
        "alternative_names": words.alternative_names,
        "subject_key_id": words.subject_key_id.as_deref().map(hex),
        "authority_key_id": words.authority_key_id.as_deref().map(hex),
        "other_extensions": others.collect::<Vec<_>>(),
        "sm3": hex(&words.sm3),
        "sha256": hex(&words.sha256),
        "sha1": hex(&words.sha1),
    })
}

/// The same fields, one a line.
fn in_words(fields: &Value, lang: Language) -> String {
    let Some(chain) = fields["chain"].as_array() else {
        return lines(fields, lang);
    };
    let blocks: Vec<String> = chain.iter().map(|one| lines(one, lang)).collect();
    blocks.join("\n")
}

fn lines(fields: &Value, lang: Language) -> String {
    let mut table = Table::default();
    let known = NAMES.iter().filter_map(|(key, zh, en)| {
        let value = fields.get(key)?;
        Some((lang.pick(zh, en), in_one_line(key, value)))
    });
    for (name, value) in known {
        table.row([name.to_owned(), value]);
    }
    table.render()
}

fn in_one_line(key: &str, value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(seconds) if TIMES.contains(&key) => {
            when(seconds.as_u64().unwrap_or_default() * 1000)
        }
        Value::Array(all) if all.is_empty() => "–".to_owned(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(|one| in_one_line(key, one)).collect();
            all.join(", ")
        }
        other => other.to_string(),
    }
}

const TIMES: [&str; 4] = ["not_before", "not_after", "this_update", "next_update"];

const NAMES: [(&str, &str, &str); 29] = [
    ("version", "版本", "version"),
    ("serial", "序列号", "serial"),
    ("number", "列表号", "number"),
    ("common_name", "通用名", "common name"),
    ("organization", "单位", "organization"),
    ("dns_names", "域名", "DNS names"),
    ("purpose", "用途", "purpose"),
    ("signature_algorithm", "签名算法", "signature algorithm"),
    ("issuer", "颁发者", "issuer"),
    ("subject", "主体", "subject"),
    ("not_before", "生效", "not before"),
    ("not_after", "到期", "not after"),
    ("this_update", "本次更新", "this update"),
    ("next_update", "下次更新", "next update"),
    ("revoked", "已吊销", "revoked"),
    ("key_algorithm", "密钥算法", "key algorithm"),
    ("public_key", "公钥", "public key"),
    ("proof_of_possession", "持有证明", "proof of possession"),
    ("authority", "CA", "authority"),
    ("path_length", "路径长度", "path length"),
    ("key_usage", "密钥用途", "key usage"),
    ("extended_key_usage", "扩展密钥用途", "extended key usage"),
    ("alternative_names", "备用名", "alternative names"),
    ("subject_key_id", "主体密钥标识", "subject key id"),
    ("authority_key_id", "颁发者密钥标识", "authority key id"),
    ("other_extensions", "其他扩展", "other extensions"),
    ("sm3", "指纹 SM3", "fingerprint SM3"),
    ("sha256", "指纹 SHA-256", "fingerprint SHA-256"),
    ("sha1", "指纹 SHA-1", "fingerprint SHA-1"),
];
