//! The object store: what is put is read back before it counts, and what is locked stays.
//!
//! Objects go through `object_store`; retention, legal hold, versions and the bucket's own lock, for which it has no
//! call, are requests of our own that its authorizer signs. Nothing of an answer but its code is repeated: bodies of
//! errors name keys.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use guitai_crypto::sm3;
use guitai_types::{
    Hex, NodeName, SessionId, UnixMillis,
    sink::{LockMode, Sink, SinkError},
};
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use md5::Digest as _;
use object_store::{
    Attribute, Attributes, BackoffConfig, GetOptions, ObjectStore as _, PutMultipartOptions,
    PutOptions, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, Checksum},
    client::{HttpClient, HttpErrorKind, HttpRequest, HttpRequestBody},
    path::Path,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    credentials::{CredentialsError, FileCredentials},
    http_client::Client,
    plan::Object,
    xml,
};

/// Longest body of a request in bytes: a longer file goes in parts of this length, so that a row of the flow matrix
/// and the memory that an upload takes have a bound. S3 wants parts of 5 MiB at least.
pub const PART_BYTES: usize = 8 * 1024 * 1024;
/// Objects under way at once; with [`PART_BYTES`] the memory of uploads.
pub const OBJECTS_AT_ONCE_MAX: usize = 4;
/// Largest file that is put, in bytes: S3 takes 10,000 parts.
pub const OBJECT_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Largest answer that is not an object, in bytes: a page of a thousand versions is one megabyte.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Pages of versions of one recording that are deleted at once.
const PAGES_MAX: usize = 1_000;
/// How often one request is tried again at once, after which the caller waits.
const RETRIES_MAX: usize = 2;
/// How long one request may take, a part of [`PART_BYTES`] on a slow line included.
const REQUEST_MAX: Duration = Duration::from_secs(120);
/// Name under which an object carries its SM3.
const SM3: &str = "sm3";

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A value of the setting.
    #[error(transparent)]
    Setting(#[from] SinkError),
    /// The keys.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The authorities.
    #[error("sink.ca_file: {path} cannot be used")]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The client.
    #[error("the client of the object store")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answered.
    #[error("{doing}: the object store does not answer: {why}")]
    Unanswered {
        /// What was to be done.
        doing: &'static str,
        /// What was noticed.
        why: String,
    },
    /// It answered with an error of its own; later it may do it.
    #[error("{doing}: the object store fails: {code}")]
    Failing {
        /// What was to be done.
        doing: &'static str,
        /// Its word for it.
        code: String,
    },
    /// It will not do it.
    #[error("{doing}: the object store refuses: {code}")]
    Refused {
        /// What was to be done.
        doing: &'static str,
        /// Its word for it.
        code: String,
    },
    /// The object is not there.
    #[error("{name} is not in the object store")]
    Missing {
        /// Which.
        name: String,
    },
    /// What is there is not what was put.
    #[error("{name} in the object store is not what was put there")]
    Differs {
        /// Which.
        name: String,
    },
    /// Objects of the bucket cannot be locked.
    #[error(
        "sink.lock: bucket {bucket} has no object lock, which can only be switched on when a bucket is made; \
         name one that has it, or set lock = \"none\""
    )]
    NoLock {
        /// Which.
        bucket: String,
    },
    /// The file on this node.
    #[error("{name} on this node")]
    Local {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A file to put.
#[derive(Clone)]
pub struct Body {
    /// Its length.
    pub bytes: u64,
    /// Reads at an offset, up to so many bytes; fewer only at the end.
    pub read: Arc<dyn Fn(u64, usize) -> io::Result<Bytes> + Send + Sync>,
}

impl Body {
    /// One that is in memory.
    pub fn of(bytes: Vec<u8>) -> Self {
        let bytes = Bytes::from(bytes);
        let length = bytes.len() as u64;
        let read = move |offset: u64, most: usize| {
            let from = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            Ok(bytes.slice(from..bytes.len().min(from.saturating_add(most))))
        };
        Self {
            bytes: length,
            read: Arc::new(read),
        }
    }

    async fn piece(&self, name: &str, offset: u64) -> Result<Bytes, StoreError> {
        let read = self.read.clone();
        let task = tokio::task::spawn_blocking(move || read(offset, PART_BYTES));
        let read = task
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(|source| StoreError::Local {
            name: name.to_owned(),
            source,
        })
    }
}

/// How deleting went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Versions that are gone.
    pub gone: u64,
    /// Versions that the store keeps: their lock has not run out.
    pub locked: u64,
}

/// One bucket. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    s3: Arc<AmazonS3>,
    http: HttpClient,
    credentials: Arc<FileCredentials>,
    sink: Arc<Sink>,
    /// Scheme, host and bucket, without a slash at the end.
    url: Arc<str>,
}

impl Store {
    /// Reads the files that the setting names; nothing is asked of the network.
    ///
    /// # Errors
    /// A value or a file of the setting cannot be used; the key is named.
    pub fn open(sink: &Sink) -> Result<Self, OpenError> {
        sink.check()?;
        let endpoint = sink.endpoint()?;
        let credentials = Arc::new(FileCredentials::open(&sink.credentials_file)?);
        let client = Client::new(sink)?;
        let scheme = if endpoint.is_tls { "https" } else { "http" };
        let (host, port, bucket) = (&endpoint.host, endpoint.port, &sink.bucket);
        // The host is signed as it is sent: without the scheme's own port.
        let port = match (endpoint.is_tls, port) {
            (true, 443) | (false, 80) => String::new(),
            _ => format!(":{port}"),
        };
        let (base, url) = if sink.path_style {
            let base = format!("{scheme}://{host}{port}");
            let url = format!("{base}/{bucket}");
            (base, url)
        } else {
            let url = format!("{scheme}://{bucket}.{host}{port}");
            (url.clone(), url)
        };
        let s3 = AmazonS3Builder::new()
            .with_endpoint(base)
            .with_bucket_name(bucket)
            .with_region(&sink.region)
            .with_allow_http(!endpoint.is_tls)
            .with_virtual_hosted_style_request(!sink.path_style)
            .with_credentials(credentials.clone())
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES_MAX,
                retry_timeout: REQUEST_MAX,
            })
            .with_http_connector(client.clone())
            .build();
        let s3 = s3.map_err(|error| OpenError::Client(error.into()))?;
        Ok(Self {
            s3: Arc::new(s3),
            http: HttpClient::new(client),
            credentials,
            sink: Arc::new(sink.clone()),
            url: url.into(),
        })
    }

    /// Asks whether the bucket is there and can do what the setting asks of it.
    ///
    /// # Errors
    /// [`StoreError::NoLock`] when locks are asked for and the bucket has none.
    pub async fn check(&self) -> Result<(), StoreError> {
        let doing = "asking for the bucket";
        if self.sink.lock == LockMode::None {
            return self.ask(doing, Method::HEAD, "", "", None).await.map(drop);
        }
        let no_lock = || StoreError::NoLock {
            bucket: self.sink.bucket.clone(),
        };
        let asked = self.ask(doing, Method::GET, "", "object-lock=", None).await;
        match asked {
            Ok(answer) => {
                let found: Option<xml::ObjectLockConfiguration> = parsed(&answer);
                let is_on = found.is_some_and(|it| it.object_lock_enabled == "Enabled");
                is_on.then_some(()).ok_or_else(no_lock)
            }
            Err(StoreError::Refused { code, .. })
                if code == "ObjectLockConfigurationNotFoundError" =>
            {
                Err(no_lock())
            }
            Err(error) => Err(error),
        }
    }

    /// Puts a file and reads it back. What was put and is not the same counts as not put.
    ///
    /// # Errors
    /// The file, the network, or the store.
    pub async fn put(
        &self,
        session: &SessionId,
        node: &NodeName,
        name: &str,
        body: &Body,
    ) -> Result<Object, StoreError> {
        let doing = "putting an object";
        if body.bytes > OBJECT_BYTES_MAX {
            let text = format!("more than OBJECT_BYTES_MAX = {OBJECT_BYTES_MAX} bytes");
            return Err(StoreError::Local {
                name: name.to_owned(),
                source: io::Error::new(io::ErrorKind::FileTooLarge, text),
            });
        }
        let path = self.path(session, node, name);
        let mut hasher = sm3::Hasher::new();
        let mut at = 0;
        while at < body.bytes {
            let piece = body.piece(name, at).await?;
            if piece.is_empty() {
                return Err(cut_short(name));
            }
            hasher.update(&piece);
            at += piece.len() as u64;
        }
        let sm3 = Hex(hasher.finish().to_vec());
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(SM3.into()), sm3.to_string().into());
        let put = if body.bytes <= PART_BYTES as u64 {
            let payload = PutPayload::from_bytes(body.piece(name, 0).await?);
            let options = PutOptions {
                attributes,
                ..PutOptions::default()
            };
            let put = self.s3.put_opts(&path, payload, options);
            in_time(doing, put).await?
        } else {
            self.put_parts(name, &path, attributes, body).await?
        };
        let object = Object {
            bytes: body.bytes,
            sm3,
            version: put.version,
            until: None,
            held: false,
        };
        self.read(session, node, name, &object).await?;
        Ok(object)
    }

    async fn put_parts(
        &self,
        name: &str,
        path: &Path,
        attributes: Attributes,
        body: &Body,
    ) -> Result<object_store::PutResult, StoreError> {
        let doing = "putting a part of an object";
        let options = PutMultipartOptions {
            attributes,
            ..PutMultipartOptions::default()
        };
        let mut upload = in_time(doing, self.s3.put_multipart_opts(path, options)).await?;
        let mut at = 0;
        while at < body.bytes {
            // One after the other: their memory is counted.
            let put = match body.piece(name, at).await {
                Ok(piece) if piece.is_empty() => Err(cut_short(name)),
                Ok(piece) => {
                    at += piece.len() as u64;
                    in_time(doing, upload.put_part(PutPayload::from_bytes(piece))).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = put {
                // What cannot be taken back, the bucket's rule for unfinished uploads does.
                let _kept = tokio::time::timeout(REQUEST_MAX, upload.abort()).await;
                return Err(error);
            }
        }
        in_time(doing, upload.complete()).await
    }

    /// Reads an object from its first byte to its last and compares it with what was put.
    ///
    /// # Errors
    /// [`StoreError::Differs`], [`StoreError::Missing`], or the network.
    pub async fn read(
        &self,
        session: &SessionId,
        node: &NodeName,
        name: &str,
        object: &Object,
    ) -> Result<(), StoreError> {
        self.fetch(session, node, name, object, |_, _| Ok(())).await
    }

    /// Gets an object back, piece by piece with the offset of each. Only when this returns well is it what was put:
    /// the pieces have to be put aside until then.
    ///
    /// # Errors
    /// [`StoreError::Differs`], [`StoreError::Missing`], the network, or `write`.
    pub async fn fetch(
        &self,
        session: &SessionId,
        node: &NodeName,
        name: &str,
        object: &Object,
        mut write: impl FnMut(u64, Bytes) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let doing = "reading an object";
        let differs = || StoreError::Differs {
            name: name.to_owned(),
        };
        let options = GetOptions {
            version: object.version.clone(),
            ..GetOptions::default()
        };
        let path = self.path(session, node, name);
        let got = in_time(doing, self.s3.get_opts(&path, options)).await;
        let got = got.map_err(|error| error.of(name))?;
        if got.meta.size != object.bytes {
            return Err(differs());
        }
        let mut pieces = got.into_stream();
        let mut hasher = sm3::Hasher::new();
        let mut at = 0;
        while let Some(piece) = in_time(doing, pieces.try_next()).await? {
            hasher.update(&piece);
            let from = at;
            at += piece.len() as u64;
            if at > object.bytes {
                return Err(differs());
            }
            write(from, piece).map_err(|source| StoreError::Local {
                name: name.to_owned(),
                source,
            })?;
        }
        let is_same = at == object.bytes && hasher.finish()[..] == object.sm3.0;
        is_same.then_some(()).ok_or_else(differs)
    }

    /// Locks an object: until a date where one is given, later than the one it has, and by a legal hold or not. Gives
    /// what is known of it now.
    ///
    /// # Errors
    /// The network, or the store.
    pub async fn lock(
        &self,
        session: &SessionId,
        node: &NodeName,
        name: &str,
        object: &Object,
        until: Option<UnixMillis>,
        held: bool,
    ) -> Result<Object, StoreError> {
        let mode = match self.sink.lock {
            LockMode::Compliance => "COMPLIANCE",
            LockMode::Governance => "GOVERNANCE",
            LockMode::None => return Ok(object.clone()),
        };
        let mut locked = object.clone();
        let key = self.path(session, node, name);
        let version = object.version.as_deref();
        let version = version.map_or_else(String::new, |it| format!("&versionId={}", escaped(it)));
        if let Some(until) = until.filter(|until| object.until.is_none_or(|known| known < *until)) {
            let doing = "setting the date until which an object is kept";
            let date = rfc3339(until);
            let body = format!(
                "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
                 <RetainUntilDate>{date}</RetainUntilDate></Retention>"
            );
            let query = format!("retention={version}");
            self.ask(doing, Method::PUT, key.as_ref(), &query, Some(body))
                .await?;
            locked.until = Some(until);
        }
        if held != object.held {
            let doing = "setting the legal hold of an object";
            let status = if held { "ON" } else { "OFF" };
            let body = format!(
                "<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{status}</Status></LegalHold>"
            );
            let query = format!("legal-hold={version}");
            self.ask(doing, Method::PUT, key.as_ref(), &query, Some(body))
                .await?;
            locked.held = held;
        }
        Ok(locked)
    }

    /// Deletes everything of a recording, every version of it.
    ///
    /// # Errors
    /// The network, or the store; that something is locked is none.
    pub async fn delete(
        &self,
        session: &SessionId,
        node: &NodeName,
    ) -> Result<Deleted, StoreError> {
        let doing = "listing the versions of a recording";
        let prefix = format!("{}/", self.path(session, node, ""));
        let mut deleted = Deleted::default();
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let query = format!("prefix={}{after}&versions=", escaped(&prefix));
            // The keys of a query are signed in order.
            let mut pairs: Vec<&str> = query.split('&').collect();
            pairs.sort_unstable();
            let answer = self
                .ask(doing, Method::GET, "", &pairs.join("&"), None)
                .await?;
            let unread = || StoreError::Failing {
                doing,
                code: "an answer that is no list of versions".to_owned(),
            };
            let page: xml::ListVersionsResult = parsed(&answer).ok_or_else(unread)?;
            let all = page.versions.into_iter().chain(page.markers);
            // Nobody else's, whatever the store lists.
            let ours: Vec<xml::Version> = all.filter(|it| it.key.starts_with(&prefix)).collect();
            let gone = stream::iter(ours).map(async |it| self.delete_version(&it).await);
            let gone = gone.buffer_unordered(OBJECTS_AT_ONCE_MAX);
            let gone: Vec<bool> = gone.try_collect().await?;
            let count = gone.iter().filter(|gone| **gone).count() as u64;
            deleted.gone += count;
            deleted.locked += gone.len() as u64 - count;
            if !page.is_truncated || page.next_key_marker.is_empty() {
                break;
            }
            after = format!("&key-marker={}", escaped(&page.next_key_marker));
            if !page.next_version_id_marker.is_empty() {
                after += &format!(
                    "&version-id-marker={}",
                    escaped(&page.next_version_id_marker)
                );
            }
        }
        Ok(deleted)
    }

    /// Whether it is gone; the store may keep it.
    async fn delete_version(&self, version: &xml::Version) -> Result<bool, StoreError> {
        let doing = "deleting an object";
        let query = match version.version_id.as_str() {
            "" => String::new(),
            id => format!("versionId={}", escaped(id)),
        };
        match self
            .ask(doing, Method::DELETE, &version.key, &query, None)
            .await
        {
            Ok(_) | Err(StoreError::Missing { .. }) => Ok(true),
            // What a lock is called differs from store to store; that it is refused does not.
            Err(StoreError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn path(&self, session: &SessionId, node: &NodeName, name: &str) -> Path {
        let prefix = &self.sink.prefix;
        Path::from(format!("{prefix}/{session}/{node}/{name}"))
    }

    /// A request of our own.
    async fn ask(
        &self,
        doing: &'static str,
        method: Method,
        key: &str,
        query: &str,
        body: Option<String>,
    ) -> Result<Vec<u8>, StoreError> {
        let url = match (key, query) {
            ("", "") => self.url.to_string(),
            ("", query) => format!("{}?{query}", self.url),
            (key, "") => format!("{}/{key}", self.url),
            (key, query) => format!("{}/{key}?{query}", self.url),
        };
        let wrong = |why: String| StoreError::Failing { doing, code: why };
        let body = body.unwrap_or_default();
        let mut request = http::Request::builder().method(method).uri(url);
        if !body.is_empty() {
            // S3 takes no change of a lock without it.
            let md5 = BASE64_STANDARD.encode(md5::Md5::digest(body.as_bytes()));
            request = request
                .header("content-md5", md5)
                .header(header::CONTENT_TYPE, "application/xml");
        }
        let request = request.body(HttpRequestBody::from(body));
        let mut request: HttpRequest = request.map_err(|error| wrong(error.to_string()))?;
        let credentials = self
            .credentials
            .present()
            .map_err(|error| wrong(error.to_string()))?;
        let authorizer = AwsAuthorizer::new(&credentials, "s3", &self.sink.region);
        let signed = authorizer.try_authorize(&mut request, None);
        signed.map_err(|error| wrong(error.to_string()))?;
        let unanswered = |why: String| StoreError::Unanswered { doing, why };
        let sent = async {
            let answer = self
                .http
                .execute(request)
                .await
                .map_err(|error| unanswered(kind(error.kind())))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| unanswered(error.to_string()))?;
            Ok((parts.status, body.to_bytes()))
        };
        let sent = tokio::time::timeout(REQUEST_MAX, sent).await;
        let (status, body) = sent.map_err(|_| unanswered(kind(HttpErrorKind::Timeout)))??;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        let text = String::from_utf8_lossy(&body);
        Err(refusal(doing, status, xml::code(&text), key))
    }
}

/// What an answer that is no success means.
fn refusal(doing: &'static str, status: StatusCode, code: Option<&str>, name: &str) -> StoreError {
    let code = code.map_or_else(|| format!("HTTP {}", status.as_u16()), str::to_owned);
    match status {
        StatusCode::NOT_FOUND if matches!(code.as_str(), "NoSuchKey" | "NoSuchVersion") => {
            let name = name.to_owned();
            StoreError::Missing { name }
        }
        // A full store says 507, or 403 with a word of its own.
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            StoreError::Failing { doing, code }
        }
        _ => StoreError::Refused { doing, code },
    }
}

impl StoreError {
    /// Names the object.
    fn of(self, name: &str) -> Self {
        match self {
            Self::Missing { .. } => Self::Missing {
                name: name.to_owned(),
            },
            other => other,
        }
    }
}

/// A call of `object_store`, within [`REQUEST_MAX`].
async fn in_time<T>(
    doing: &'static str,
    call: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(REQUEST_MAX, call).await {
        Ok(done) => done.map_err(|error| failed(doing, &error)),
        Err(_) => Err(StoreError::Unanswered {
            doing,
            why: kind(HttpErrorKind::Timeout),
        }),
    }
}

/// What an error of `object_store` means, without its words: they hold the body of the answer.
fn failed(doing: &'static str, error: &object_store::Error) -> StoreError {
    if matches!(error, object_store::Error::NotFound { .. }) {
        let name = String::new();
        return StoreError::Missing { name };
    }
    let mut link: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = link {
        if let Some(http) = found.downcast_ref::<object_store::client::HttpError>() {
            let why = kind(http.kind());
            return StoreError::Unanswered { doing, why };
        }
        if let Some(keys) = found.downcast_ref::<CredentialsError>() {
            let code = keys.to_string();
            return StoreError::Failing { doing, code };
        }
        link = found.source();
    }
    let text = error.to_string();
    let status = text
        .split("status code: ")
        .nth(1)
        .and_then(|rest| rest.get(..3));
    let status = status.and_then(|it| it.parse::<StatusCode>().ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    refusal(doing, status, xml::code(&text), "")
}

fn kind(of: HttpErrorKind) -> String {
    let words = match of {
        HttpErrorKind::Connect => "no connection (address, port, or its certificate)",
        HttpErrorKind::Timeout => "too late",
        HttpErrorKind::Interrupted | HttpErrorKind::Request => "the connection broke off",
        _ => "the answer cannot be read",
    };
    words.to_owned()
}

fn cut_short(name: &str) -> StoreError {
    StoreError::Local {
        name: name.to_owned(),
        source: io::ErrorKind::UnexpectedEof.into(),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Option<T> {
    quick_xml::de::from_reader(answer).ok()
}

/// A date as S3 writes it; the last one of its calendar when it is later.
fn rfc3339(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.0.div_ceil(1000)).unwrap_or(i64::MAX);
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = date.and_then(|date| date.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

/// A value of a query: everything but RFC 3986's unreserved characters is escaped, which is what is signed.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
