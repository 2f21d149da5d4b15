//! The part of a consent page that describes the app and the access that it asks for (OA-63, OA-64).

use askama::Template;

use crate::oauth::Client;

/// The description. A template prints it with `{{ access|safe }}`; the template of this type escapes the values.
#[derive(Debug, Template)]
#[template(path = "oauth/access.html")]
pub(super) struct Access<'a> {
    client_name: Option<&'a str>,
    client_host: &'a str,
    destination: &'a str,
    device_id: &'a str,
    replaces_device: bool,
    links: Vec<(&'static str, &'a str)>,
}

impl<'a> Access<'a> {
    /// The access of a client with a device of this ID, which may replace a live device of the account.
    pub(super) fn new(
        client: &'a Client,
        destination: &'a str,
        (device_id, replaces_device): (&'a str, bool),
    ) -> Self {
        let metadata = &client.metadata;
        let links = [
            ("Privacy policy of the app", &metadata.policy_uri),
            ("Terms of service of the app", &metadata.tos_uri),
        ];
        let links = links.into_iter();
        Self {
            client_name: metadata.client_name.as_deref(),
            client_host: host_of(&metadata.client_uri),
            destination,
            device_id,
            replaces_device,
            links: links
                .filter_map(|(name, url)| Some((name, url.as_deref()?)))
                .collect(),
        }
    }
}

/// The host of an accepted `client_uri`, which is an `https` URL without user information (OA-12).
fn host_of(uri: &str) -> &str {
    let rest = uri.strip_prefix("https://").unwrap_or(uri);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}
