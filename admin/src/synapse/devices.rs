//! The devices of a user with the tokens that stay valid.

use shared::{
    clock::Timestamp,
    ids::{DeviceId, Localpart, MAX_DISPLAY_NAME_CHARS, ServerName},
    rng::Rng,
    secrets::{KeyRing, Secret},
    store::ImportedDevice,
    tokens::{ImportedPair, Token, TokenKind, imported_device},
};

use super::{
    findings::Kind,
    sessions::{Session, Tokens},
    tables::{AccessToken, RefreshToken, SynapseUser},
};

/// The values that are the same for all users.
pub(super) struct Context<'a> {
    pub(super) server: &'a ServerName,
    pub(super) keys: &'a KeyRing,
    pub(super) rng: &'a dyn Rng,
    pub(super) now: Timestamp,
    /// The ID of the pepper of the password hashes.
    pub(super) pepper: Option<&'a str>,
}

/// The devices of one user under construction.
struct Devices<'a> {
    context: &'a Context<'a>,
    user: &'a SynapseUser,
    localpart: &'a Localpart,
    findings: Vec<(Kind, String)>,
}

/// The devices of a user, and the findings about them and their tokens.
pub(super) fn devices(
    context: &Context<'_>,
    user: &SynapseUser,
    localpart: &Localpart,
) -> (Vec<ImportedDevice>, Vec<(Kind, String)>) {
    let mut devices = Devices {
        context,
        user,
        localpart,
        findings: Vec::new(),
    };
    let all = user.devices.iter();
    let imported = all.filter_map(|(id, name)| devices.device(id, name.as_deref()));
    let imported = imported.collect();
    devices.report_other_tokens();
    (imported, devices.findings)
}

impl<'a> Devices<'a> {
    fn add(&mut self, kind: Kind, text: String) {
        self.findings.push((kind, text));
    }

    fn device(&mut self, id: &str, name: Option<&str>) -> Option<ImportedDevice> {
        if self.user.dehydrated_device.as_deref() == Some(id) {
            let text = format!("the dehydrated device `{id}` stays with the homeserver");
            self.add(Kind::Device, text);
            return None;
        }
        let Some(parsed) = DeviceId::parse(id) else {
            let text = format!("the device `{id}` is dropped, because its ID is not valid");
            self.add(Kind::Device, text);
            return None;
        };
        let shortened = name.map(|name| name.chars().take(MAX_DISPLAY_NAME_CHARS).collect());
        if shortened.as_deref() != name {
            let text = format!("the display name of the device `{id}` is shortened");
            self.add(Kind::Device, text);
        }
        let session = self.session(id);
        let next = session
            .next
            .map(|(access, refresh)| self.pair(Some(access), Some(refresh)));
        Some(imported_device(
            (self.context.keys, self.context.rng),
            self.context.now,
            (parsed, shortened),
            &self.pair(session.access, session.refresh),
            next.as_ref(),
        ))
    }

    /// The session of the device that is kept. Reports the valid tokens that are not kept.
    fn session(&mut self, device: &str) -> Session<'a> {
        let (now, user) = (self.context.now, self.user);
        let access = user
            .access_tokens
            .iter()
            .filter(|own| own.device.as_deref() == Some(device) && !own.is_puppet);
        let (access, foreign): (Vec<_>, Vec<_>) =
            access.partition(|own| self.parse(TokenKind::Access, &own.token).is_some());
        let refresh = user.refresh_tokens.iter().filter(|own| {
            own.device == device && self.parse(TokenKind::Refresh, &own.token).is_some()
        });
        let tokens = Tokens {
            access,
            refresh: refresh.collect(),
            now,
        };
        let session = tokens.last_session();
        let mut others = tokens.others(&session);
        let foreign = foreign.iter().filter(|own| own.is_valid(now)).count();
        if session.is_valid(now) {
            others += foreign;
        } else if foreign > 0 {
            let text = format!(
                "the access token of the device `{device}` has an old format; the user must log in again there"
            );
            self.add(Kind::Token, text);
        }
        if others > 0 {
            let text = format!(
                "{others} tokens of other logins with the device ID `{device}` are dropped"
            );
            self.add(Kind::Token, text);
        }
        if session.refresh.is_some_and(|own| own.valid_until.is_some()) {
            let text = format!("the refresh token of the device `{device}` no longer expires");
            self.add(Kind::SessionLifetime, text);
        }
        session
    }

    fn parse(&self, kind: TokenKind, text: &str) -> Option<Token> {
        let text = Secret::new(text.to_owned());
        let token = Token::parse(kind, &text, self.context.server);
        token.filter(|token| token.localpart == *self.localpart)
    }

    fn pair(&self, access: Option<&AccessToken>, refresh: Option<&RefreshToken>) -> ImportedPair {
        ImportedPair {
            access: access.and_then(|own| self.parse(TokenKind::Access, &own.token)),
            access_expires: access.and_then(|own| own.valid_until).map(Timestamp),
            refresh: refresh.and_then(|own| self.parse(TokenKind::Refresh, &own.token)),
        }
    }

    /// Reports the valid tokens that belong to no visible device.
    fn report_other_tokens(&mut self) {
        let now = self.context.now;
        let (mut puppets, mut without_device) = (0, 0);
        for own in self
            .user
            .access_tokens
            .iter()
            .filter(|own| own.is_valid(now))
        {
            let device = own.device.as_ref();
            if own.is_puppet {
                puppets += 1;
            } else if !device.is_some_and(|id| self.user.devices.contains_key(id)) {
                without_device += 1;
            }
        }
        if puppets > 0 {
            let text = format!("{puppets} access tokens that act as other users are dropped");
            self.add(Kind::Token, text);
        }
        if without_device > 0 {
            let text = format!("{without_device} access tokens without a device are dropped");
            self.add(Kind::Token, text);
        }
    }
}
