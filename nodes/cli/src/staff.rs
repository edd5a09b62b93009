//! Which inner door to ask, and as whom.

use guitai_types::{InstitutionId, StaffName, UnixMillis, record::Duty, view::StaffView};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    Access, Account, Cluster,
    failure::{Failure, NOT_REACHABLE},
    http::Door,
};

#[derive(Serialize)]
struct Login<'a> {
    institution: &'a InstitutionId,
    name: &'a StaffName,
    password: &'a str,
}

#[derive(Deserialize)]
struct LoggedIn {
    token: String,
    #[expect(dead_code, reason = "part of the answer's form")]
    staff: StaffView,
    #[expect(dead_code, reason = "part of the answer's form")]
    expires_at: UnixMillis,
}

/// Logs in at a door.
pub(crate) async fn login(door: &Door, account: &Account) -> Result<Door, Failure> {
    let Account {
        institution,
        name,
        password,
        ..
    } = account;
    let body = Login {
        institution,
        name,
        password,
    };
    let LoggedIn { token, .. } = door.send(Method::POST, "/api/v1/login", &body).await?;
    Ok(door.with_token(token))
}

/// A door with a login: what was typed, else an account of the login file that has one of `duties`. The
/// door is the node that `--url` names, whatever it knows of the others; else the first one of the cluster
/// that answers and is fit.
pub(crate) async fn enter(access: &Access, duties: &[Duty]) -> Result<Door, Failure> {
    // The login may be of --data where the node is named.
    let cluster = match &access.url {
        Some(_) => read_cluster(access).ok(),
        None => Some(read_cluster(access)?),
    };
    let account = match (&access.token, typed_account(access)?) {
        (Some(_), _) => None,
        (None, Some(account)) => Some(account),
        (None, None) => Some(filed_account(access, cluster.as_ref(), duties)?),
    };
    let door = match (&access.url, &cluster) {
        (Some(url), _) => Door::new(url.clone())?,
        (None, Some(cluster)) => first_that_answers(&cluster.cores).await?,
        (None, None) => first_that_answers(&[]).await?,
    };
    match (&access.token, &account) {
        (Some(token), _) => Ok(door.with_token(token.clone())),
        (None, Some(account)) => login(&door, account).await,
        (None, None) => Ok(door),
    }
}

/// The same for an act that is about one node, which must be named.
pub(crate) async fn enter_node(access: &Access, duties: &[Duty]) -> Result<Door, Failure> {
    if access.url.is_none() {
        return Err(Failure::usage(
            "this is about one node, and none is named",
            "用 --url 指定节点",
            "Name the node by --url",
        ));
    }
    enter(access, duties).await
}

pub(crate) fn read_cluster(access: &Access) -> Result<Cluster, Failure> {
    Cluster::read(&access.data).map_err(|error| {
        Failure::usage(
            crate::failure::chain(&error),
            "用 --data 指定 guitai up 的数据目录,或用 --url 指定节点",
            "Name the data directory of guitai up by --data, or a node by --url",
        )
    })
}

/// Asks the doors in turn whether they are fit; a node that is down or has no leader is passed over.
pub(crate) async fn first_that_answers(doors: &[Url]) -> Result<Door, Failure> {
    let mut last = None;
    for url in doors {
        let door = Door::new(url.clone())?;
        match door.get::<serde_json::Value>("/healthz").await {
            Ok(_) => return Ok(door),
            Err(failure) if failure.exit == NOT_REACHABLE => last = Some(failure),
            // It answers, if oddly: let the question itself say what is wrong.
            Err(_) => return Ok(door),
        }
    }
    Err(last.unwrap_or_else(|| {
        Failure::usage(
            "no inner node is named",
            "用 --url 指定节点",
            "Name a node by --url",
        )
    }))
}

fn typed_account(access: &Access) -> Result<Option<Account>, Failure> {
    match (&access.institution, &access.name, &access.password) {
        (None, None, _) => Ok(None),
        (Some(institution), Some(name), Some(password)) => Ok(Some(Account {
            institution: institution.clone(),
            name: name.clone(),
            password: password.clone(),
            duties: Vec::new(),
        })),
        _ => Err(Failure::usage(
            "a login needs institution, name and password",
            "同时给出 --institution、--name 和环境变量 GUITAI_PASSWORD",
            "Give --institution, --name and the environment variable GUITAI_PASSWORD",
        )),
    }
}

fn filed_account(
    access: &Access,
    cluster: Option<&Cluster>,
    duties: &[Duty],
) -> Result<Account, Failure> {
    let no_login = || {
        Failure::usage(
            "no login is given",
            "给出 --token,或 --institution、--name 和环境变量 GUITAI_PASSWORD",
            "Give --token, or --institution, --name and the environment variable GUITAI_PASSWORD",
        )
    };
    let Some(cluster) = cluster else {
        return Err(no_login());
    };
    let logins = cluster
        .read_logins(&access.data)
        .map_err(|error| Failure::local("reading the login file", &error))?;
    let account = logins.as_ref().and_then(|logins| logins.with_duty(duties));
    account.cloned().ok_or_else(no_login)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::USAGE;

    fn access() -> Access {
        Access {
            data: "does-not-exist".into(),
            url: None,
            token: None,
            institution: None,
            name: None,
            password: None,
        }
    }

    #[tokio::test]
    async fn without_cluster_or_login_the_usage_is_wrong() -> Result<(), Box<dyn std::error::Error>>
    {
        let refused = enter(&access(), &[Duty::Operator]).await;
        assert_eq!(refused.err().map(|failure| failure.exit), Some(USAGE));

        let url = Some("http://127.0.0.1:9".parse()?);
        let refused = enter(&Access { url, ..access() }, &[Duty::Operator]).await;
        assert_eq!(refused.err().map(|failure| failure.exit), Some(USAGE));

        let half = Access {
            name: Some("wang".parse()?),
            ..access()
        };
        assert_eq!(
            typed_account(&half).err().map(|failure| failure.exit),
            Some(USAGE)
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_not_reachable() -> Result<(), Box<dyn std::error::Error>>
    {
        // Port 9 of the loopback has no listener: the kernel refuses at once.
        let url = Some("http://127.0.0.1:9".parse()?);
        let access = Access {
            url,
            token: Some("x.y".to_owned()),
            ..access()
        };
        let refused = enter(&access, &[])
            .await?
            .get::<serde_json::Value>("/healthz")
            .await;
        assert_eq!(
            refused.err().map(|failure| failure.exit),
            Some(NOT_REACHABLE)
        );
        Ok(())
    }
}
