//! `POST` and `GET /validate/{medium}/submitToken`.

mod codes;
mod life;
mod links;
mod pages;
mod submissions;
