//! `POST /refresh`.
