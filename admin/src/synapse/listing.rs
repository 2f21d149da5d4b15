//! The users and devices in Synapse's database, for their comparison with the accounts (HS-19).

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::Localpart;

use super::{
    server_name,
    source::Source,
    tables::{self, SynapseUser},
};
use crate::Admin;

/// The users of Synapse.
pub(crate) struct Listing {
    users: BTreeMap<Localpart, ListedUser>,
    /// The IDs of the other users that can have sessions. No account can have such a name.
    pub(crate) other_users: Vec<String>,
}

/// A user of Synapse.
#[derive(Default)]
pub(crate) struct ListedUser {
    /// Whether the user could have an account here and is not deactivated.
    pub(crate) is_active: bool,
    /// The IDs of the devices that clients see.
    pub(crate) devices: BTreeSet<String>,
}

impl Listing {
    /// Reads the database, if the arguments name one.
    pub(crate) async fn read(admin: &Admin, source: &Source) -> anyhow::Result<Option<Self>> {
        if !source.is_given() {
            return Ok(None);
        }
        let config = source.config()?;
        let server = server_name(admin, &config)?;
        let mut database = source.open(admin, &config).await?;
        let (mut users, mut other_users) = (BTreeMap::new(), Vec::new());
        for user in tables::read_with_devices(&mut database).await? {
            let localpart = Localpart::of_user_id(&user.name, &server);
            // A name with capitals belongs to another user than the name in lower case.
            let localpart = localpart.filter(|name| user.name[1..].starts_with(name.as_str()));
            if let Some(localpart) = localpart {
                users.insert(localpart, ListedUser::of(user));
            } else if is_active(&user) {
                other_users.push(user.name);
            }
        }
        Ok(Some(Self { users, other_users }))
    }

    /// The user with this name.
    pub(crate) fn find(&self, name: &Localpart) -> Option<&ListedUser> {
        self.users.get(name)
    }

    /// The names of the users that could have an account here and are not deactivated.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Localpart> {
        let active = self.users.iter().filter(|(_, user)| user.is_active);
        active.map(|(name, _)| name)
    }
}

impl ListedUser {
    fn of(mut user: SynapseUser) -> Self {
        let is_active = is_active(&user);
        if let Some(dehydrated) = &user.dehydrated_device {
            user.devices.remove(dehydrated);
        }
        Self {
            is_active,
            devices: user.devices.into_keys().collect(),
        }
    }
}

/// Guests and the users of application services have no account here.
const fn is_active(user: &SynapseUser) -> bool {
    !user.deactivated && !user.is_guest && user.appservice_id.is_none()
}
