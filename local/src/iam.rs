//! Who may do what: the template's policies, asked for each call to an embedded service.
//!
//! Each function's access key id is its logical id, which is how its caller is known. A caller that is no
//! function may do everything.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderMap, header};

use crate::template::{Permission, Template};

/// A permission that a function needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The function's logical id.
    pub function: String,
    /// What its policy allows, or, if it does not, what it needed.
    pub permission: Permission,
}

/// The policies, and what they were needed for.
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
    /// Judges by the policies of `template`. With `enforce`, what they do not allow is to be refused;
    /// otherwise it is only noted.
    pub fn new(template: Arc<Template>, enforce: bool) -> Self {
        Self {
            template,
            enforce,
            log: Mutex::default(),
        }
    }

    /// The template whose policies hold.
    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// Whether the caller is a function.
    pub(crate) fn is_function(&self, caller: &str) -> bool {
        self.template.policy(caller).is_some()
    }

    /// Notes what a call needs, and returns what of it is to be refused.
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

    /// Everything a function's policy was needed for so far, allowed or not.
    pub fn used(&self) -> BTreeSet<Use> {
        self.log().used.clone()
    }

    /// What was done, or refused, without the caller's policy allowing it.
    pub fn denials(&self) -> Vec<Use> {
        self.log().denials.clone()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The access key id in `Credential=` of a request's signature.
pub(crate) fn caller(headers: &HeaderMap) -> String {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("Credential="))
        .and_then(|(_, credential)| credential.split('/').next())
        .unwrap_or_default()
        .to_owned()
}
