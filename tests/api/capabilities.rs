//! `GET /capabilities`.
