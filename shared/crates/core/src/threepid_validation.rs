//! Validation sessions of e-mail addresses and phone numbers: from the request for a message to the validated address
//! that an operation spends.
//!
//! Both media and all purposes use one state machine: `pending → validated → spent`, or `invalidated` if the recipient
//! reports that they did not request the message. The session ID is derived from the purpose, the 3PID and the
//! `client_secret`, so the same request always has the same ID. If the session has expired, is spent or is invalidated,
//! the next request starts it again under that ID with a new nonce. The link tokens and codes are derived from the
//! nonce and are not stored.

mod delegated;
mod origin;
mod quotas;
mod request;
mod session;
mod submit_token;

pub use crate::validation_session::{
    DelegatedSession, LIFETIME, ValidatedThreePid, ValidationPurpose, ValidationState,
};
pub use delegated::before_delegating;
pub use origin::{RequestOrigin, network as requesting_network, of_row as origin_of};
pub use quotas::shared_quotas;
pub use request::{RequestError, ValidationRequest, request};
pub use session::{
    admin_session, code, email_link, has_client_secret, is_active, is_opaque_id, link_token, sid,
};
pub use submit_token::{
    LinkOutcome, MatchedSession, SubmitError, SubmittedToken, open_link, report_not_me,
    requires_confirmation, submit,
};
