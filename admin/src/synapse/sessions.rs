//! The sessions of a device at Synapse, and the choice of the one that is kept.
//!
//! A device of Gatehouse has one session: an access token, possibly with a refresh token, and possibly the next pair of
//! both. A device of Synapse may have several sessions, because Synapse keeps the tokens of earlier logins with the same
//! device ID. The session that the client has used last is kept.

use shared::clock::Timestamp;

use super::tables::{AccessToken, RefreshToken};

/// The tokens of a device, in the order of issuance.
pub(super) struct Tokens<'a> {
    pub(super) access: Vec<&'a AccessToken>,
    pub(super) refresh: Vec<&'a RefreshToken>,
    pub(super) now: Timestamp,
}

/// A session of a device: a pair of tokens and the unused next pair.
#[derive(Default)]
pub(super) struct Session<'a> {
    pub(super) access: Option<&'a AccessToken>,
    pub(super) refresh: Option<&'a RefreshToken>,
    pub(super) next: Option<(&'a AccessToken, &'a RefreshToken)>,
}

impl AccessToken {
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        is_later(self.valid_until, now)
    }
}

fn is_later(time: Option<i64>, now: Timestamp) -> bool {
    time.is_none_or(|time| time > now.0)
}

impl Session<'_> {
    /// Whether a token of the session is valid.
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        self.refresh.is_some() || self.access.is_some_and(|own| own.is_valid(now))
    }

    /// The session with the greatest rank is kept: a session that is valid, of these one that was used, of these the
    /// newest. A session that was never used is most likely that of a login whose response was lost.
    fn rank(&self, now: Timestamp) -> (bool, bool, i64) {
        let is_used = self.access.is_some_and(|own| own.is_used);
        let newest = self.next.map_or(self.access, |(access, _)| Some(access));
        let newest = newest.map_or(i64::MIN, |own| own.id);
        (self.is_valid(now), is_used, newest)
    }

    fn has_access(&self, token: &AccessToken) -> bool {
        let mut own = self.access.into_iter().chain(self.next.map(|(own, _)| own));
        own.any(|own| own.id == token.id)
    }

    fn has_refresh(&self, token: &RefreshToken) -> bool {
        let mut own = self
            .refresh
            .into_iter()
            .chain(self.next.map(|(_, own)| own));
        own.any(|own| own.id == token.id)
    }
}

impl<'a> Tokens<'a> {
    /// The session that is kept. It is empty if the device has no token.
    pub(super) fn last_session(&self) -> Session<'a> {
        let alone = self.access.iter().copied().filter(|own| {
            let pair = self.refresh_of(own);
            !pair.is_some_and(|pair| self.is_usable(pair))
        });
        let alone = alone.map(|own| Session {
            access: Some(own),
            ..Session::default()
        });
        let heads = self.refresh.iter().copied().filter(|own| {
            // A pair that was issued for a refresh token that is still usable is the next pair of that session.
            let is_next =
                |other: &&RefreshToken| other.next == Some(own.id) && self.is_usable(other);
            self.is_usable(own) && !self.refresh.iter().any(is_next)
        });
        let pairs = heads.map(|own| Session {
            access: self.access_of(own),
            refresh: Some(own),
            next: self
                .next_of(own)
                .filter(|next| self.is_usable(next))
                .and_then(|next| Some((self.access_of(next)?, next))),
        });
        let sessions = alone.chain(pairs);
        sessions
            .max_by_key(|session| session.rank(self.now))
            .unwrap_or_default()
    }

    /// The number of valid tokens of other sessions. An access token whose pair was replaced by a refresh does not count,
    /// because the client has a newer one.
    pub(super) fn others(&self, kept: &Session<'_>) -> usize {
        let access = self.access.iter().filter(|own| {
            let is_replaced = self
                .refresh_of(own)
                .is_some_and(|pair| self.is_replaced(pair));
            own.is_valid(self.now) && !is_replaced && !kept.has_access(own)
        });
        let refresh = self.refresh.iter();
        let refresh = refresh.filter(|own| self.is_usable(own) && !kept.has_refresh(own));
        access.count() + refresh.count()
    }

    /// The refresh token of the same pair.
    fn refresh_of(&self, access: &AccessToken) -> Option<&'a RefreshToken> {
        let mut all = self.refresh.iter().copied();
        all.find(|own| access.refresh_token == Some(own.id))
    }

    /// The access token of the same pair.
    fn access_of(&self, refresh: &RefreshToken) -> Option<&'a AccessToken> {
        let mut all = self.access.iter().copied().rev();
        all.find(|own| own.refresh_token == Some(refresh.id))
    }

    fn next_of(&self, own: &RefreshToken) -> Option<&'a RefreshToken> {
        let mut all = self.refresh.iter().copied();
        all.find(|other| own.next == Some(other.id))
    }

    /// Whether one of the two tokens that the refresh token was exchanged for has been used.
    fn is_replaced(&self, own: &RefreshToken) -> bool {
        self.next_of(own).is_some_and(|next| {
            next.next.is_some() || self.access_of(next).is_some_and(|own| own.is_used)
        })
    }

    /// Whether Synapse accepts the refresh token.
    fn is_usable(&self, own: &RefreshToken) -> bool {
        is_later(own.valid_until, self.now) && !self.is_replaced(own)
    }
}
