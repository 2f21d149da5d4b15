//! `POST /delete_devices`.
