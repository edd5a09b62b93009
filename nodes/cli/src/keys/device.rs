//! `device`: tries an SDF device before a root is entrusted to it.

use guitai_crypto::keys::{DeviceError, Passphrase, sdf};
use guitai_types::{Code, Hex};
use serde::Serialize;

use super::Device;
use crate::{
    Language,
    failure::{Failure, chain},
    show::json,
    table::Table,
};

/// What the trial showed.
#[derive(Serialize)]
struct Tried {
    maker: String,
    model: String,
    serial: String,
    version: u32,
    standard: u32,
    wraps: bool,
    /// The point of the signing key, whose signature was checked.
    signs: Option<Hex>,
}

/// Lets the device draw, wrap, give back, unwrap and sign, and checks each.
pub(super) fn try_it(arguments: &Device, lang: Language) -> Result<String, Failure> {
    let password = match &arguments.password_file {
        None => None,
        Some(file) => {
            let password = Passphrase::load(file);
            Some(password.map_err(|error| Failure::new(Code::KeysRefused, chain(&error)))?)
        }
    };
    let signer = arguments.sign_index.zip(password.as_ref());
    let refused = |error: DeviceError| Failure::new(Code::KeysRefused, error.to_string());
    let trial = sdf::try_device(&arguments.sdf, arguments.kek_index, signer).map_err(refused)?;
    let tried = Tried {
        maker: trial.info.maker,
        model: trial.info.model,
        serial: trial.info.serial,
        version: trial.info.version,
        standard: trial.info.standard,
        wraps: trial.wraps,
        signs: trial.signs.map(|key| Hex(key.to_point().to_vec())),
    };
    if !tried.wraps {
        let what = "SDF_Decrypt of the device gave a key back altered";
        return Err(Failure::new(Code::KeysRefused, what));
    }
    if arguments.output.json {
        return json(&tried);
    }
    let mut table = Table::new(match lang {
        Language::Zh => ["厂商", "型号", "序列号", "标准", "包裹", "签名"],
        Language::En => ["maker", "model", "serial", "standard", "wraps", "signs"],
    });
    let yes = lang.pick("正常", "yes");
    table.row([
        tried.maker,
        tried.model,
        tried.serial,
        tried.standard.to_string(),
        yes.to_owned(),
        tried.signs.map_or("-", |_| yes).to_owned(),
    ]);
    Ok(table.render())
}
