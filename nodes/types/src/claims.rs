//! What a token says. The signature around it is in `relay::token`.

use serde::{Deserialize, Serialize};

use crate::{Epoch, InstitutionId, SessionId, StaffRef, TicketId, UnixMillis, record::Duty};

/// Signed claims. A token is `base64url(JSON of this) "." base64url(SM2 signature)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Format version, 1.
    pub v: u8,
    /// Not valid from here on.
    pub expires_at: UnixMillis,
    /// Cluster epoch it was issued in; an edge or relay refuses a lower one than it has seen.
    pub epoch: Epoch,
    /// What it lets its bearer do.
    pub grant: Grant,
}

/// What a token grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "for", deny_unknown_fields)]
pub enum Grant {
    /// A customer's ticket: watch it, leave, hang up, rate.
    Ticket {
        /// Which.
        ticket: TicketId,
        /// Of which institution.
        institution: InstitutionId,
    },
    /// Media of one session.
    Media {
        /// Institution (first part of the room path).
        institution: InstitutionId,
        /// Session (second part of the room path).
        session: SessionId,
        /// Ticket of the session; revoking it closes the media connection.
        ticket: TicketId,
        /// Prefixes inside the room its bearer may publish, for example `customer`.
        publish: Vec<String>,
        /// Prefixes inside the room its bearer may subscribe to; an empty prefix is the whole room.
        subscribe: Vec<String>,
    },
    /// A logged-in member of staff.
    Staff {
        /// Who.
        staff: StaffRef,
        /// Rights at login.
        duties: Vec<Duty>,
    },
}
