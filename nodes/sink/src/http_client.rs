//! The one way out: HTTP/1.1 to the endpoint and nowhere else, over TLS by the authorities that the setting names.

use std::time::Duration;

use futures::TryStreamExt as _;
use guitai_types::sink::Sink;
use http_body_util::{BodyExt as _, StreamBody};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use reqwest::{redirect, tls};

use crate::store::OpenError;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long nothing may come of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Connections kept open.
const IDLE_MAX: usize = 4;

/// A client for one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Client(reqwest::Client);

impl Client {
    pub(crate) fn new(sink: &Sink) -> Result<Self, OpenError> {
        let mut builder = reqwest::Client::builder()
            .http1_only()
            // What an environment says of proxies is not a flow of the matrix, nor is where an answer sends us.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .pool_max_idle_per_host(IDLE_MAX)
            .user_agent("guitai")
            .tls_built_in_root_certs(false)
            .min_tls_version(tls::Version::TLS_1_2);
        if let Some(path) = &sink.ca_file {
            let failed =
                |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Authorities {
                    path: path.clone(),
                    source,
                };
            let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
            let found =
                tls::Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.into()))?;
            if found.is_empty() {
                return Err(failed("it holds no certificate in PEM".into()));
            }
            for authority in found {
                builder = builder.add_root_certificate(authority);
            }
            builder = builder.https_only(true);
        }
        let client = builder
            .build()
            .map_err(|error| OpenError::Client(error.into()))?;
        Ok(Self(client))
    }
}

#[async_trait::async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let request = http::Request::from_parts(parts, body);
        let request = reqwest::Request::try_from(request)
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error.without_url()))?;
        let answer = self.0.execute(request).await.map_err(failed)?;
        let (parts, ()) = {
            let mut parts = http::Response::new(());
            *parts.status_mut() = answer.status();
            *parts.headers_mut() = answer.headers().clone();
            parts.into_parts()
        };
        let frames = answer.bytes_stream().map_err(failed);
        let frames = frames.map_ok(http_body_util_frame);
        Ok(HttpResponse::from_parts(
            parts,
            HttpResponseBody::new(StreamBody::new(frames)),
        ))
    }
}

fn http_body_util_frame(bytes: bytes::Bytes) -> http_body::Frame<bytes::Bytes> {
    http_body::Frame::data(bytes)
}

fn failed(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_decode() {
        HttpErrorKind::Decode
    } else {
        HttpErrorKind::Interrupted
    };
    // The URL names sessions; who reports it says what was being done.
    HttpError::new(kind, error.without_url())
}

impl HttpConnector for Client {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
