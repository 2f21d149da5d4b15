//! Identity servers: validation sessions of theirs, bindings and their removal.

mod delegated_validation;
mod unbind_retries;
pub(crate) mod unbinding;
mod validated_addresses;
