//! `POST` and `GET /validate/{medium}/submitToken`.

mod codes;
mod expiry;
mod links;
mod pages;
mod submissions;
