//! What holds of every `requestToken` endpoint; what is about one medium alone is in the file of its
//! endpoint.

mod attempts;
mod members;
mod next_link;
mod offers;
mod owners;
mod purposes;
mod sessions;
