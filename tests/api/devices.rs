//! `GET /devices`.
