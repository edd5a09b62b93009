//! A door, asked over HTTP as any other client asks it.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use guitai_crypto::tls::web_client;
use guitai_types::{Code, Problem, place::Text};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    failure::{FAILED, Failure, NOT_REACHABLE},
    sse,
};

/// How long a connection may take.
const CONNECT_MS_MAX: u64 = 3_000;
/// How long an answer may take; a node waits at most as long for a leader.
const ANSWER_MS_MAX: u64 = 20_000;
/// Longest answer in bytes, streams excepted.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Names the file with the certificates (PEM) by which a door with TLS is trusted.
const CA_FILE: &str = "GUITAI_CA_FILE";

/// One door, with or without a bearer token.
#[derive(Clone)]
pub(crate) struct Door {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// What a refusal looks like; more of it may come later, so that unknown fields are left alone.
#[derive(Deserialize)]
struct Refusal {
    code: Code,
    detail: String,
    cause: Text,
    next: Text,
}

impl Door {
    /// The door at `base`, `http://host:port` or `https://…`.
    pub(crate) fn new(base: Url) -> Result<Self, Failure> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(CONNECT_MS_MAX))
            .no_proxy();
        if base.scheme() == "https" {
            http = http.use_preconfigured_tls(trust()?);
        }
        let http = http
            .build()
            .map_err(|error| Failure::local("preparing HTTP", &error))?;
        Ok(Self {
            http,
            base,
            token: None,
        })
    }

    /// What leads another command to this door, as whoever has entered it.
    pub(crate) fn access(&self) -> crate::Access {
        crate::Access {
            data: std::path::PathBuf::new(),
            url: Some(self.base.clone()),
            token: self.token.clone(),
            institution: None,
            name: None,
            password: None,
        }
    }

    /// The same door, for the bearer of a token.
    pub(crate) fn with_token(&self, token: String) -> Self {
        Self {
            token: Some(token),
            ..self.clone()
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.answer(self.request(Method::GET, path)?).await
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.answer(self.request(method, path)?.json(body)).await
    }

    /// Puts something that is answered by nothing but success.
    pub(crate) async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), Failure> {
        let request = self.request(Method::PUT, path)?.json(body);
        self.start(request).await.map(drop)
    }

    /// Takes something away; answered by nothing but success.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, path)?;
        self.start(request).await.map(drop)
    }

    /// A body that is read as it comes.
    pub(crate) async fn download(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Failure>> + Send + Unpin + 'static, Failure> {
        let response = self.start(self.request(Method::GET, path)?).await?;
        let url = self.base.to_string();
        let pieces = response.bytes_stream();
        Ok(pieces.map(move |piece| piece.map_err(|error| Failure::not_reachable(&url, &error))))
    }

    /// Server-sent events of one name, parsed as `T`, until the door ends them. A stream carries others
    /// beside them, and a later release may add more.
    pub(crate) async fn events<T: DeserializeOwned>(
        &self,
        path: &str,
        name: &'static str,
    ) -> Result<Events<T>, Failure> {
        let pieces = self.download(path).await?;
        Ok(Events {
            name,
            pieces: Box::pin(pieces),
            parser: sse::Parser::default(),
            ready: std::collections::VecDeque::new(),
            of: std::marker::PhantomData,
        })
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self.base.join(path);
        let url = url.map_err(|error| Failure::local("making an address", &error))?;
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        Ok(request)
    }

    async fn start(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let limit = Duration::from_millis(ANSWER_MS_MAX);
        let answer = tokio::time::timeout(limit, request.send()).await;
        let url = self.base.as_str();
        let response = answer
            .map_err(|elapsed| Failure::not_reachable(url, &elapsed))?
            .map_err(|error| Failure::not_reachable(url, &error.without_url()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let mut response = self.start(request).await?;
        let mut body = Vec::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| Failure::not_reachable(self.base.as_str(), &error))?
        {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                let limit = format!("the limit ANSWER_BYTES_MAX is {ANSWER_BYTES_MAX} bytes");
                return Err(Failure::new(Code::TooLarge, limit));
            }
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::local("understanding the answer", &error))
    }
}

/// Nobody is trusted by default: whose certificates count on an intranet, its operator says.
fn trust() -> Result<rustls::ClientConfig, Failure> {
    let file = std::env::var_os(CA_FILE).ok_or_else(|| {
        let why = format!(
            "a door with TLS is trusted by the certificates in the file that {CA_FILE} names, and it names none"
        );
        Failure::new(Code::BadRequest, why)
    })?;
    let read = std::fs::read(&file);
    let read = read.map_err(|error| Failure::local("reading GUITAI_CA_FILE", &error))?;
    web_client(&read, false)
        .map_err(|error| Failure::local("trusting what GUITAI_CA_FILE names", &error))
}

async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let exit = if status == StatusCode::SERVICE_UNAVAILABLE {
        NOT_REACHABLE
    } else {
        FAILED
    };
    match serde_json::from_slice::<Refusal>(&body) {
        Ok(Refusal {
            code,
            detail,
            cause,
            next,
        }) => Failure {
            exit,
            problem: Problem::new(code, detail),
            cause: Some(cause),
            next: Some(next),
        },
        Err(_) => Failure::new(Code::Internal, format!("HTTP status {status}")),
    }
}

/// Events of one answer.
pub(crate) struct Events<T> {
    name: &'static str,
    pieces: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>,
    parser: sse::Parser,
    ready: std::collections::VecDeque<sse::Event>,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Events<T> {
    /// The next one; `None` when the door has ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.name != self.name {
                    continue;
                }
                let item = serde_json::from_str(&event.data);
                return item
                    .map(Some)
                    .map_err(|error| Failure::local("understanding an event", &error));
            }
            let Some(piece) = self.pieces.next().await else {
                return Ok(None);
            };
            let events = self.parser.push(&piece?);
            self.ready
                .extend(events.map_err(|error| Failure::local("reading events", &error))?);
        }
    }
}
