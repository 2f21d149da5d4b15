//! `POST /account/3pid/email/requestToken`.
