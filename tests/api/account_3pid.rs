//! `GET and POST /account/3pid`.
