//! Why a node could not be put together.

use std::io;

use guitai_types::Code;

use crate::identity::IdentityError;

/// Why a node could not be put together; each variant is one act of assembly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AssembleError {
    #[error("identity")]
    Identity(#[from] IdentityError),
    #[error("keys")]
    Keys(#[from] guitai_crypto::keys::StoreError),
    #[error("data directory")]
    NodeDir(#[from] guitai_store::OpenNodeDirError),
    #[error("view")]
    View(#[from] guitai_store::OpenViewError),
    #[error("mesh")]
    Mesh(#[from] guitai_net::mesh::BindError),
    #[error("door")]
    Door(#[from] guitai_net::door::DoorError),
    #[error("door on TCP {addr}")]
    Listen {
        addr: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("metadata")]
    Meta(#[from] guitai_meta::StartError),
    #[error("consensus has stopped here: {0}")]
    Consensus(String),
    #[error("recorder")]
    Recorder(#[from] guitai_recorder::StartError),
    #[error("foundation {path}")]
    Foundation {
        path: std::path::PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("TLS of the door")]
    Certificate(#[from] super::certificate::CertificateError),
    #[error("serving the door")]
    Serve(#[source] io::Error),
    #[error("this node has no {0} in its configuration")]
    Missing(&'static str),
    #[error(transparent)]
    Guard(#[from] guitai_api::PatternError),
    #[error("{0}")]
    Sandbox(String),
    #[error("starting threads")]
    Threads(#[source] io::Error),
}

impl AssembleError {
    /// The code an operator looks up.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::NodeDir(guitai_store::OpenNodeDirError::ForeignData { .. }) => Code::ForeignData,
            Self::Mesh(guitai_net::mesh::BindError::Socket { .. })
            | Self::Door(guitai_net::door::DoorError::Socket { .. })
            | Self::Listen { .. } => Code::PortTaken,
            Self::Keys(_) | Self::Identity(IdentityError::Key(_)) => Code::KeysRefused,
            Self::Missing(_)
            | Self::Certificate(_)
            | Self::Guard(_)
            | Self::Recorder(guitai_recorder::StartError::Sink(_)) => Code::BadProfile,
            Self::Sandbox(_) => Code::SandboxMissing,
            Self::Consensus(_) => Code::StorageFailed,
            _ => Code::Internal,
        }
    }
}
