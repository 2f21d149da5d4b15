//! `POST /account/3pid/bind`.
