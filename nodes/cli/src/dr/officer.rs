//! An officer's part: the own key, and the approval signed with it.

use std::path::{Path, PathBuf};

use guitai_crypto::{
    keys::{Cost, KEY_FILE_BYTES_MAX, OfficerKey, Passphrase},
    sm2::SecretKey,
};
use guitai_host::{Clock as _, SystemClock};
use guitai_types::{
    Hex, StaffName, StaffRef, UnixMillis,
    dr::{Approval, ApprovalKey, Run},
    record::Duty,
};
use reqwest::Method;
use serde_json::json;

use super::args::{Approve, NewKey, RegisterKey, Signer};
use crate::{
    Access, Account, Asked, Done, Language,
    failure::Failure,
    http::Door,
    show,
    staff::{self, read_cluster},
};

/// Where `guitai up` leaves the officers' keys of a demonstration.
const OFFICERS_DIR: &str = "officers";

/// Signs and sends an approval.
pub(crate) async fn approve(arguments: &Approve, lang: Language) -> Result<Done, Failure> {
    let Approve {
        run,
        signer,
        off_since,
        asked,
    } = arguments;
    let Asked { access, output } = asked;
    let officer = Officer::read(access, signer).await?;
    let door = &officer.door;
    let present: Run = door.get(&format!("/api/v1/dr/runs/{run}")).await?;
    let (at, off_since) = (SystemClock::new().wall(), off_since.map(UnixMillis));
    // What is signed is computed here from the plan as it was sent, not taken from its neighbour field.
    let hash = plan_hash(&present)?;
    let text = Approval::text(&present.id, &hash, present.kind, at, off_since);
    let approval = Approval {
        officer: officer.staff.clone(),
        at,
        off_since,
        key: officer.public.clone(),
        signature: officer.sign(&text),
    };
    let path = format!("/api/v1/dr/runs/{run}/approvals");
    let run: Run = door.send(Method::POST, &path, &approval).await?;
    super::done(&run, output, lang)
}

/// An officer with the own key opened, logged in.
pub(crate) struct Officer {
    pub(crate) door: Door,
    pub(crate) staff: StaffRef,
    pub(crate) public: Hex,
    secret: SecretKey,
}

impl Officer {
    /// Opens the key that is named, or that of a demonstration's officer, and logs in.
    pub(crate) async fn read(access: &Access, signer: &Signer) -> Result<Self, Failure> {
        let name = signer.officer.as_ref();
        let filed = name.map(|name| filed_account(access, name)).transpose()?;
        let path = match (&signer.key, name) {
            (Some(path), _) => path.clone(),
            (None, Some(name)) => officers_key(access, name),
            (None, None) => return Err(nobody()),
        };
        let passphrase = match (&signer.passphrase, &filed) {
            (Some(text), _) => text.clone(),
            (None, Some(account)) => account.password.clone(),
            (None, None) => return Err(no_passphrase()),
        };
        let door = enter(access, filed.as_ref()).await?;
        let (sealed, secret) = open(&path, &passphrase)?;
        Ok(Self {
            door,
            staff: staff_ref(&sealed.officer)?,
            public: Hex(sealed.public.to_vec()),
            secret,
        })
    }

    /// Signs a text.
    pub(crate) fn sign(&self, text: &str) -> Hex {
        Hex(self.secret.sign(text.as_bytes()))
    }
}

/// Opens a key file.
pub(crate) fn open(path: &Path, passphrase: &str) -> Result<(OfficerKey, SecretKey), Failure> {
    let sealed = read(path)?;
    let secret = sealed
        .open(&phrase(passphrase)?)
        .map_err(|error| Failure::local("opening the officer's key", &error))?;
    Ok((sealed, secret))
}

/// Draws a key.
pub(crate) fn new_key(arguments: &NewKey, lang: Language) -> Result<Done, Failure> {
    let passphrase = arguments.passphrase.as_deref().ok_or_else(no_passphrase)?;
    staff_ref(&arguments.officer)?;
    if arguments.out.exists() {
        return Err(Failure::usage(
            format!("{} exists", arguments.out.display()),
            "换一个文件名;密钥不会被覆盖",
            "Name another file; a key is never overwritten",
        ));
    }
    let key = OfficerKey::create(&arguments.officer, &phrase(passphrase)?, Cost::DEFAULT);
    key.save(&arguments.out)
        .map_err(|error| Failure::local("writing the key", &error))?;
    let public = Hex(key.public.to_vec()).to_string();
    let text = if arguments.output.json {
        show::json(&json!({"officer": key.officer, "key": public, "file": arguments.out}))?
    } else {
        format!(
            "{} {}\n{} {public}\n",
            lang.pick("密钥已写入", "key written to"),
            arguments.out.display(),
            lang.pick("公钥", "public half"),
        )
    };
    Ok(Done { text, exit: 0 })
}

/// Names the public half to the cluster.
pub(crate) async fn register(arguments: &RegisterKey, lang: Language) -> Result<Done, Failure> {
    let key = read(&arguments.key)?;
    let door = staff::enter(&arguments.asked.access, &[Duty::Officer]).await?;
    let body = ApprovalKey {
        key: Hex(key.public.to_vec()),
    };
    door.put("/api/v1/account/approval-key", &body).await?;
    let text = if arguments.asked.output.json {
        show::json(&json!({"officer": key.officer, "registered": true}))?
    } else {
        let said = lang.pick("公钥已登记", "the public half is registered");
        format!("{} {said}\n", key.officer)
    };
    Ok(Done { text, exit: 0 })
}

async fn enter(access: &Access, filed: Option<&Account>) -> Result<Door, Failure> {
    let Some(account) = filed.filter(|_| access.token.is_none() && access.name.is_none()) else {
        return staff::enter(access, &[Duty::Officer]).await;
    };
    let doors = match &access.url {
        Some(url) => return staff::login(&Door::new(url.clone())?, account).await,
        None => read_cluster(access)?.cores,
    };
    staff::login(&staff::first_that_answers(&doors).await?, account).await
}

fn filed_account(access: &Access, name: &StaffName) -> Result<Account, Failure> {
    let logins = read_cluster(access)?
        .read_logins(&access.data)
        .map_err(|error| Failure::local("reading the login file", &error))?;
    let accounts = logins.into_iter().flat_map(|logins| logins.accounts);
    let mut found = accounts.filter(|account| &account.name == name);
    found.next().ok_or_else(nobody)
}

fn officers_key(access: &Access, name: &StaffName) -> PathBuf {
    let dir = access.data.join(OFFICERS_DIR);
    dir.join(format!("{name}.key"))
}

fn read(path: &Path) -> Result<OfficerKey, Failure> {
    let doing = format!("reading {}", path.display());
    let size = std::fs::metadata(path).map_err(|error| Failure::local(&doing, &error))?;
    if size.len() > KEY_FILE_BYTES_MAX as u64 {
        let detail = format!(
            "{doing}: {} bytes, at most {KEY_FILE_BYTES_MAX}",
            size.len()
        );
        return Err(Failure::new(guitai_types::Code::TooLarge, detail));
    }
    let text = std::fs::read(path).map_err(|error| Failure::local(&doing, &error))?;
    OfficerKey::parse(&text).map_err(|error| Failure::local(&doing, &error))
}

fn phrase(text: &str) -> Result<Passphrase, Failure> {
    Passphrase::new(text).map_err(|error| Failure::local("taking the passphrase", &error))
}

fn plan_hash(run: &Run) -> Result<Hex, Failure> {
    guitai_evidence::drill::plan_hash(&run.plan)
        .map_err(|error| Failure::local("writing down the plan", &error))
}

fn staff_ref(officer: &str) -> Result<StaffRef, Failure> {
    let parts = officer.split_once('/');
    let parsed = parts.and_then(|(institution, name)| {
        Some(StaffRef {
            institution: institution.parse().ok()?,
            name: name.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| {
        Failure::usage(
            format!("{officer} is not institution/name"),
            "写作 机构/登录名",
            "Write institution/name",
        )
    })
}

fn nobody() -> Failure {
    Failure::usage(
        "no officer's key is named",
        "用 --key 指定密钥文件;演示环境可用 --officer 登录名",
        "Name the key file by --key; in a demonstration by --officer NAME",
    )
}

fn no_passphrase() -> Failure {
    Failure::usage(
        "the key's passphrase is missing",
        "设置环境变量 GUITAI_OFFICER_PASSPHRASE",
        "Set the environment variable GUITAI_OFFICER_PASSPHRASE",
    )
}
