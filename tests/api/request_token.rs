//! Rules of all `requestToken` endpoints. The rules of one medium are in the file of its registration endpoint.

pub(super) mod answers;
mod attempts;
mod members;
mod next_link;
mod offers;
mod owners;
mod purposes;
mod sessions;
