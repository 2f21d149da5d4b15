//! The IAM policy checker: each call to an embedded service is checked against the policies of the template.
//!
//! The access key id of a call identifies its caller, because each function has its logical id as access key id. A
//! caller that is not a function may do everything.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderMap, header};

use crate::template::{Permission, Template};

/// A permission that a call of a function needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The function's logical id.
    pub function: String,
    /// The permission of its policy that allows the call, or the missing permission.
    pub permission: Permission,
}

/// The policies, and the permissions that calls have needed.
#[derive(Debug)]
pub struct IamChecker {
    template: Arc<Template>,
    enforce: bool,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    used: BTreeSet<Use>,
    denials: Vec<Use>,
}

impl IamChecker {
    /// A checker with the policies of `template`. If `enforce` is set, calls that the policies do not allow are
    /// rejected. Otherwise such calls are only recorded.
    pub fn new(template: Arc<Template>, enforce: bool) -> Self {
        Self {
            template,
            enforce,
            log: Mutex::default(),
        }
    }

    /// The template with the policies.
    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// Whether the caller is a function.
    pub(crate) fn is_function(&self, caller: &str) -> bool {
        self.template.policy(caller).is_some()
    }

    /// Records the permissions that a call needs. Returns a missing permission if the call must be rejected.
    pub(crate) fn check(&self, caller: &str, needs: &BTreeSet<Permission>) -> Option<Permission> {
        let policy = self.template.policy(caller)?;
        let mut log = self.log();
        let mut denied = None;
        for needed in needs {
            let held = policy.iter().find(|held| held.covers(needed));
            let used = Use {
                function: caller.to_owned(),
                permission: held.unwrap_or(needed).clone(),
            };
            log.used.insert(used.clone());
            if held.is_none() {
                denied = Some(needed.clone());
                log.denials.push(used);
            }
        }
        denied.filter(|_| self.enforce)
    }

    /// Every permission that the calls of functions have needed, allowed or not.
    pub fn used(&self) -> BTreeSet<Use> {
        self.log().used.clone()
    }

    /// The calls that the caller's policy did not allow.
    pub fn denials(&self) -> Vec<Use> {
        self.log().denials.clone()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The access key id in `Credential=` of the request's signature.
pub(crate) fn caller(headers: &HeaderMap) -> String {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("Credential="))
        .and_then(|(_, credential)| credential.split('/').next())
        .unwrap_or_default()
        .to_owned()
}
