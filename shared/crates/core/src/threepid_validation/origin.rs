//! The origin of a request for a message: its time and its client network. The recipient compares them with their own
//! actions, because a message that an attacker requested looks like a message that the recipient requested.

use super::session::seal_context;
use crate::{
    app::App, client_network::ClientNetwork, clock::Timestamp, format_date, secrets::KeyPurpose,
    store::ValidationRow,
};

/// The field of a session's row with the sealed client network.
const NETWORK: &str = "network";

/// The origin of the last request for a message of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestOrigin {
    /// The time of the request.
    pub time: Timestamp,
    /// The client network, if the operator shows it.
    pub network: Option<ClientNetwork>,
    /// Whether the account owner was authenticated from that network recently. `None` if that is not recorded, or if
    /// there is no account.
    pub is_known: Option<bool>,
}

impl RequestOrigin {
    /// A sentence with the time and the network.
    pub fn sentence(&self) -> String {
        let time = format_date::utc(self.time);
        match self.network {
            Some(network) => format!("Requested on {time} from the network address {network}."),
            None => format!("Requested on {time}."),
        }
    }

    /// A sentence that says whether the account was used from the network.
    pub fn familiarity(&self) -> Option<&'static str> {
        Some(if self.is_known? {
            "Your account was used from this network in the last 30 days."
        } else {
            "Your account was not used from this network in the last 30 days."
        })
    }
}

/// The origin of the last request of a session, if its row has it. `is_known` is from [`RequestOrigin::is_known`].
pub fn of_row(app: &App, row: &ValidationRow, is_known: Option<bool>) -> Option<RequestOrigin> {
    let is_shown = app.config.shows_request_network;
    Some(RequestOrigin {
        time: row.requested_at?,
        network: network(app, row).filter(|_| is_shown),
        is_known,
    })
}

/// The client network of the last request of a session. `None` if an earlier version has written the row, or if the
/// key is no longer in the ring.
pub fn network(app: &App, row: &ValidationRow) -> Option<ClientNetwork> {
    let opened = app.config.keys.open(
        KeyPurpose::RequestNetwork,
        row.session_nonce.as_bytes(),
        &seal_context(row, NETWORK),
        row.network.as_ref()?,
    );
    ClientNetwork::parse(std::str::from_utf8(&opened.ok()?).ok()?)
}

/// The sealed client network, so that the table contains no network.
pub(super) fn seal(app: &App, row: &ValidationRow, network: ClientNetwork) -> Vec<u8> {
    app.config.keys.seal(
        KeyPurpose::RequestNetwork,
        row.session_nonce.as_bytes(),
        &seal_context(row, NETWORK),
        network.to_string().as_bytes(),
        &*app.rng,
    )
}
