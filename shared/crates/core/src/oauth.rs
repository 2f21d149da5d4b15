//! The OAuth 2.0 API: registered clients, and the grants of users to clients.
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#oauth-20-api). The clients are public: no client can
//! prove its identity, so every grant needs the consent of the user. Contains no requests and responses.

mod clients;
mod codes;
mod grants;
mod metadata;

pub use clients::{
    ApplicationType, Client, ClientId, ClientMetadata, GrantType, MetadataError,
    RegisterClientError, find_client, register_client,
};
pub use codes::{PresentedCode, find_code, issue_code};
pub use grants::Grant;
pub use metadata::{AuthorizationMembers, ServerMetadata, can_sign_up, issuer};
