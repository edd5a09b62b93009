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

    /// Asks with the token, logging in when it is not taken; why, when there is no good answer.
    pub(crate) async fn ask(
        &self,
        place: &Place,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Value, String> {
        let words = |error: &dyn std::fmt::Display| format!("{method} {path}: {error}");
        for _ in 0..2 {
            let token = self.token();
            let asked = async {
                let mut http = Http::connect(place).await?;
                http.ask(method, path, &token, body.as_bytes()).await
            };
            let answer = tokio::time::timeout(ASK_MAX, asked).await;
            let answer = answer.map_err(|_| words(&"no answer in time"))?;
            let answer = answer.map_err(|error| words(&error))?;
            match answer.status {
                401 => {
                    let in_again = self.login(place).await;
                    in_again.ok_or_else(|| words(&"401, and no login"))?;
                }
                200..=299 if answer.body.is_empty() => return Ok(Value::Null),
                200..=299 => {
                    return serde_json::from_slice(&answer.body).map_err(|error| words(&error));
                }
                status => {
                    let said = String::from_utf8_lossy(&answer.body);
                    return Err(words(&format!("{status} {said}")));
                }
            }
        }
        Err(words(&"401 after a login"))
    }

    /// The status as the node behind that door sees it.
    pub(crate) async fn status(&self, place: &Place) -> Option<Value> {
        self.ask(place, "GET", "/api/v1/status", "").await.ok()
    }

    /// All marks whose names begin so, as name and value; why, when they cannot be read.
    pub(crate) async fn marks(
        &self,
        place: &Place,
        prefix: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let mut all: Vec<(String, String)> = Vec::new();
        loop {
            let after = all.last().map_or("", |(name, _)| name.as_str());
            let path = format!("/api/v1/marks?prefix={prefix}&after={after}");
            let listed = self.ask(place, "GET", &path, "").await?;
            let listed = listed.as_array().cloned().unwrap_or_default();
            if listed.is_empty() {
                return Ok(all);
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let marks = listed
                .iter()
                .map(|mark| (text(&mark["name"]), text(&mark["mark"]["value"])));
            all.extend(marks);
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
