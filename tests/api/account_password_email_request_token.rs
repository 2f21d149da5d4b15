//! `POST /account/password/email/requestToken`.
