//! Identity servers: their validation sessions, bindings and the removal of bindings.

mod delegated_validation;
mod session_spellings;
mod unbind_retries;
pub(crate) mod unbinding;
mod validated_addresses;
