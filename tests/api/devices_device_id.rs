//! `GET, PUT and DELETE /devices/{deviceId}`.
