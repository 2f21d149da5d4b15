//! `POST /account/password`.
