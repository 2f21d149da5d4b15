//! `POST /register`.

mod answers;
mod appservices;
mod closed;
mod guests;
mod names;
mod parameters;
