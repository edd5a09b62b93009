//! A client of ours: an operator's login, marks, the status.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Place, http::Http};
use crate::error::{LabError, io_error};

/// How long anything but a measured write may take.
const ASK_MAX: Duration = Duration::from_secs(15);

/// An account of the deployment, and the token it has now; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    body: Arc<str>,
    token: Arc<Mutex<Arc<str>>>,
}

impl Operator {
    /// The account with that duty of the login file in `data`.
    pub(crate) fn read(data: &Path, duty: &str) -> Result<Self, LabError> {
        let file = data.join("demo-login.json");
        let text = std::fs::read_to_string(&file).map_err(io_error("read", &file))?;
        let all: Value = serde_json::from_str(&text).unwrap_or_default();
        let has = |account: &&Value| {
            let duties = account["duties"].as_array();
            duties.is_some_and(|duties| duties.iter().any(|it| it == duty))
        };
        let account = all["accounts"].as_array().into_iter().flatten().find(has);
        let account = account.ok_or_else(|| {
            LabError::Refused(format!("{}: nobody has the duty {duty}", file.display()))
        })?;
        let body = json!({
            "institution": account["institution"],
            "name": account["name"],
            "password": account["password"],
        });
        Ok(Self {
            body: body.to_string().into(),
            token: Arc::default(),
        })
    }

    /// The present token; empty before the first login.
    pub(crate) fn token(&self) -> Arc<str> {
        self.lock().clone()
    }

    /// Logs in again: tokens of an older epoch are void.
    pub(crate) async fn login(&self, place: &Place) -> Option<()> {
        let login = async {
            let mut http = Http::connect(place).await.ok()?;
            let body = self.body.as_bytes();
            let answer = http.ask("POST", "/api/v1/login", "", body).await.ok()?;
            let answer: Value = serde_json::from_slice(&answer.body).ok()?;
            Some(answer["token"].as_str()?.to_owned())
        };
        let token = tokio::time::timeout(ASK_MAX, login).await.ok()??;
        *self.lock() = token.into();
        Some(())
    }

    /// Asks with the token, logging in when it is not taken; `None` when there is no good answer.
    pub(crate) async fn ask(
        &self,
        place: &Place,
        method: &str,
        path: &str,
        body: &str,
    ) -> Option<Value> {
        for _ in 0..2 {
            let token = self.token();
            let asked = async {
                let mut http = Http::connect(place).await.ok()?;
                http.ask(method, path, &token, body.as_bytes()).await.ok()
            };
            let answer = tokio::time::timeout(ASK_MAX, asked).await.ok()??;
            match answer.status {
                401 => self.login(place).await?,
                200..=299 if answer.body.is_empty() => return Some(Value::Null),
                200..=299 => return serde_json::from_slice(&answer.body).ok(),
                _ => return None,
            }
        }
        None
    }

    /// The status as the node behind that door sees it.
    pub(crate) async fn status(&self, place: &Place) -> Option<Value> {
        self.ask(place, "GET", "/api/v1/status", "").await
    }

    /// All marks whose names begin so, as name and value.
    pub(crate) async fn marks(&self, place: &Place, prefix: &str) -> Option<Vec<(String, String)>> {
        let mut all: Vec<(String, String)> = Vec::new();
        loop {
            let after = all.last().map_or("", |(name, _)| name.as_str());
            let path = format!("/api/v1/marks?prefix={prefix}&after={after}");
            let listed = self.ask(place, "GET", &path, "").await?;
            let listed = listed.as_array()?;
            if listed.is_empty() {
                return Some(all);
            }
            for mark in listed {
                let name = mark["name"].as_str()?.to_owned();
                all.push((name, mark["mark"]["value"].as_str()?.to_owned()));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<str>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that writes marks.
#[derive(Debug)]
pub(crate) struct Marker {
    http: Http,
    operator: Operator,
    place: Place,
}

impl Marker {
    /// Connects.
    pub(crate) async fn connect(place: &Place, operator: &Operator) -> Option<Self> {
        if operator.token().is_empty() {
            operator.login(place).await?;
        }
        Some(Self {
            http: Http::connect(place).await.ok()?,
            operator: operator.clone(),
            place: place.clone(),
        })
    }

    /// Writes; `None` when it was not acknowledged and the connection is of no more use.
    pub(crate) async fn put(&mut self, mark: &str, value: &str, sync: bool) -> Option<()> {
        let path = format!("/api/v1/marks/{mark}");
        let body = format!(r#"{{"value":"{value}","sync":{sync}}}"#);
        let token = self.operator.token();
        let asked = self.http.ask("PUT", &path, &token, body.as_bytes()).await;
        match asked.ok()?.status {
            204 => Some(()),
            401 => {
                // Only one of many that find the token void need log in.
                if self.operator.token() == token {
                    self.operator.login(&self.place).await?;
                }
                None
            }
            _ => None,
        }
    }

    /// Reads after everything acknowledged; the inner `None` is a mark that is not there.
    pub(crate) async fn get(&mut self, mark: &str) -> Option<Option<String>> {
        let path = format!("/api/v1/marks/{mark}");
        let token = self.operator.token();
        let answer = self.http.ask("GET", &path, &token, b"").await.ok()?;
        match answer.status {
            200 => {
                let view: Value = serde_json::from_slice(&answer.body).ok()?;
                Some(Some(view["mark"]["value"].as_str()?.to_owned()))
            }
            404 => Some(None),
            401 => {
                if self.operator.token() == token {
                    self.operator.login(&self.place).await?;
                }
                None
            }
            _ => None,
        }
    }
}
