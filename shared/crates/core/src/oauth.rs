//! The OAuth 2.0 API: registered clients, and the grants of users to clients.
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#oauth-20-api). The clients are public: no client can
//! prove its identity, so every grant needs the consent of the user. Contains no requests and responses.

mod account_actions;
pub mod browser_sessions;
mod clients;
mod codes;
mod context;
mod device_grant;
mod exchange;
mod grants;
mod metadata;
mod redirects;
mod request;
mod scope;
mod session_start;
mod sessions;

pub use account_actions::AccountAction;
pub use clients::{
    ApplicationType, Client, ClientId, ClientMetadata, GrantType, MetadataError,
    RegisterClientError, find_client, find_clients, register_client,
};
pub use codes::{PresentedCode, find_code, issue_code};
pub use context::{Context, ContextTooLargeError};
pub use device_grant::{
    DecideError, DeviceAuthorization, DeviceRequestError, LinkContext, LinkedDevice, LookUpError,
    Requester, UserCode, authorize_device, decide, look_up, poll_device,
};
pub use exchange::{CodeRequest, GrantError, exchange_code};
pub use grants::Grant;
pub use metadata::{AuthorizationMembers, ServerMetadata, is_sign_up_possible};
pub use redirects::{Destination, ResponseMode, ResponseTarget};
pub use request::{
    AuthorizationErrorCode, AuthorizationRequest, Prompt, RequestError, RequestParameters,
    UnanswerableError,
};
pub use scope::{GrantedScope, ScopeError};
pub use sessions::{TokenResponse, refresh, revoke};
