//! The checks of the metadata that a client sends. Accepted metadata is canonical.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    ApplicationType, ClientMetadata, GrantType,
    uris::{self, ClientHost},
};
use crate::config::OAuthConfig;

/// The maximum length of accepted metadata in bytes (OA-28).
const MAX_METADATA_BYTES: usize = 4096;
/// The maximum length of a name in characters (OA-28).
const MAX_NAME_CHARS: usize = 64;
/// The maximum number of redirect URIs (OA-14).
const MAX_REDIRECT_URIS: usize = 10;

/// The reason why metadata is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The metadata is not an object.
    #[error("the metadata must be a JSON object")]
    NotAnObject,
    /// A member has the wrong JSON type.
    #[error("`{0}` has the wrong type")]
    WrongType(&'static str),
    /// `client_uri` is missing or not acceptable.
    #[error(
        "`client_uri` must be an https URL with a public host name, without user information and fragment"
    )]
    ClientUri,
    /// A page or the logo is not a page of the client.
    #[error("`{0}` must be an https URL with the host of `client_uri` or a subdomain")]
    Page(&'static str),
    /// The name is too long or has characters that change how a page is read.
    #[error(
        "`client_name` must have at most 64 characters, without control and formatting characters"
    )]
    Name,
    /// The application type is unknown.
    #[error("`application_type` must be `web` or `native`")]
    ApplicationType,
    /// The client requires an authentication.
    #[error("`token_endpoint_auth_method` must be `none`")]
    AuthMethod,
    /// The metadata is too long.
    #[error("the metadata is longer than 4 KiB")]
    TooLong,
    /// There is no redirect URI, or there are too many.
    #[error("`redirect_uris` must have one to ten values")]
    RedirectUriCount,
    /// A redirect URI is not acceptable.
    #[error(
        "a value of `redirect_uris` is not permitted for this `client_uri` and `application_type`"
    )]
    RedirectUri,
}

impl ClientMetadata {
    /// Checks metadata. Unknown members, grants and response types are dropped, lists are sorted, and defaults are filled
    /// in, so that equal clients have equal metadata (OA-22, OA-25). The settings decide about the ports of loopback URIs
    /// (OA-21) and about the device authorization grant (OA-112).
    pub fn accept(value: &Value, config: &OAuthConfig) -> Result<Self, MetadataError> {
        let members = Members(value.as_object().ok_or(MetadataError::NotAnObject)?);
        let client_uri: String = members
            .optional("client_uri")?
            .ok_or(MetadataError::ClientUri)?;
        let host = uris::parse_client_uri(&client_uri).ok_or(MetadataError::ClientUri)?;
        // OA-23
        if members
            .optional::<String>("token_endpoint_auth_method")?
            .is_some_and(|method| method != "none")
        {
            return Err(MetadataError::AuthMethod);
        }
        // Only `code` is supported, which follows from the grant.
        members.optional::<Vec<String>>("response_types")?;
        let application_type = members.application_type()?;
        let grant_types = members.grant_types(config)?;
        let metadata = Self {
            application_type,
            client_name: members.client_name()?,
            client_uri,
            logo_uri: members.page("logo_uri", &host)?,
            policy_uri: members.page("policy_uri", &host)?,
            redirect_uris: members.redirect_uris(&grant_types, |uri| match application_type {
                ApplicationType::Web => uris::is_web_redirect(uri, &host),
                ApplicationType::Native => {
                    uris::is_native_redirect(uri, &host, config.accepts_loopback_ports)
                }
            })?,
            tos_uri: members.page("tos_uri", &host)?,
            grant_types,
        };
        if metadata.canonical().len() > MAX_METADATA_BYTES {
            return Err(MetadataError::TooLong);
        }
        Ok(metadata)
    }
}

/// The members of the metadata. `null` is equivalent to an absent member.
struct Members<'a>(&'a Map<String, Value>);

impl Members<'_> {
    fn optional<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, MetadataError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|_| MetadataError::WrongType(name)),
        }
    }

    fn application_type(&self) -> Result<ApplicationType, MetadataError> {
        match self.optional::<String>("application_type")?.as_deref() {
            None | Some("web") => Ok(ApplicationType::Web),
            Some("native") => Ok(ApplicationType::Native),
            Some(_) => Err(MetadataError::ApplicationType),
        }
    }

    /// The supported grants, sorted (OA-22).
    fn grant_types(&self, config: &OAuthConfig) -> Result<Vec<GrantType>, MetadataError> {
        let Some(requested) = self.optional::<Vec<String>>("grant_types")? else {
            return Ok(vec![GrantType::AuthorizationCode, GrantType::RefreshToken]);
        };
        let has = |name: &str| requested.iter().any(|grant| grant == name);
        let is_granted = |grant: &GrantType| match grant {
            GrantType::AuthorizationCode => has("authorization_code"),
            GrantType::RefreshToken => true,
            GrantType::DeviceCode => has(GrantType::DEVICE_CODE),
        };
        let supported = GrantType::supported(config).into_iter();
        Ok(supported.filter(is_granted).collect())
    }

    /// The name without surrounding spaces. `None` for an empty one.
    fn client_name(&self) -> Result<Option<String>, MetadataError> {
        let Some(name) = self.optional::<String>("client_name")? else {
            return Ok(None);
        };
        let name = name.trim();
        if name.chars().count() > MAX_NAME_CHARS || name.chars().any(is_deceptive) {
            return Err(MetadataError::Name);
        }
        Ok((!name.is_empty()).then(|| name.to_owned()))
    }

    fn page(&self, name: &'static str, host: &ClientHost) -> Result<Option<String>, MetadataError> {
        let uri: Option<String> = self.optional(name)?;
        if uri
            .as_ref()
            .is_some_and(|uri| !uris::is_own_page(uri, host))
        {
            return Err(MetadataError::Page(name));
        }
        Ok(uri)
    }

    /// The redirect URIs, sorted and without duplicates, byte for byte (OA-41).
    fn redirect_uris(
        &self,
        grants: &[GrantType],
        is_permitted: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, MetadataError> {
        let mut uris: Vec<String> = self.optional("redirect_uris")?.unwrap_or_default();
        uris.sort_unstable();
        uris.dedup();
        let needs_one = grants.contains(&GrantType::AuthorizationCode);
        if uris.len() > MAX_REDIRECT_URIS || (needs_one && uris.is_empty()) {
            return Err(MetadataError::RedirectUriCount);
        }
        let all_permitted = uris.iter().all(|uri| is_permitted(uri));
        all_permitted
            .then_some(uris)
            .ok_or(MetadataError::RedirectUri)
    }
}

/// Whether a character in a text of a client could hide text or change its order on a page.
pub(crate) fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Marks, embeddings, overrides and isolates of bidirectional text; separators of lines and paragraphs.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests;
