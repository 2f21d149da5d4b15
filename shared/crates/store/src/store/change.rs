//! Update expressions, put together attribute by attribute.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::Map;

/// What an update does to a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Change {
    set: Vec<String>,
    remove: Vec<String>,
    /// Every attribute's name is written as `#name`, since many a good name is reserved.
    pub(super) names: HashMap<String, String>,
    /// The value of each as `:name`.
    pub(super) values: Map,
}

impl Change {
    fn name(&mut self, name: &str) {
        self.names.insert(format!("#{name}"), name.to_owned());
    }

    fn value(&mut self, name: &str, value: AttributeValue) {
        self.name(name);
        self.values.insert(format!(":{name}"), value);
    }

    /// Sets an attribute.
    pub(super) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.value(name, value);
        self.set.push(format!("#{name} = :{name}"));
        self
    }

    /// Sets an attribute, or removes it.
    pub(super) fn set_or_remove(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Sets an attribute that is not there yet.
    pub(super) fn set_if_absent(mut self, name: &str, value: AttributeValue) -> Self {
        self.value(name, value);
        self.set
            .push(format!("#{name} = if_not_exists(#{name}, :{name})"));
        self
    }

    /// Removes an attribute.
    pub(super) fn remove(mut self, name: &str) -> Self {
        self.name(name);
        self.remove.push(format!("#{name}"));
        self
    }

    /// The update expression.
    pub(super) fn expression(&self) -> String {
        let clause = |word: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{word} {}", parts.join(", ")),
        };
        let set = clause("SET", &self.set);
        let remove = clause("REMOVE", &self.remove);
        format!("{set} {remove}").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::item::{number, text};

    #[test]
    fn a_change_names_what_it_sets_and_removes() {
        let change = Change::default()
            .set("status", text("active"))
            .set_or_remove("a", Some(number(1)))
            .set_or_remove("b", None)
            .set_if_absent("c", number(2));
        assert_eq!(
            change.expression(),
            "SET #status = :status, #a = :a, #c = if_not_exists(#c, :c) REMOVE #b"
        );
        assert_eq!((change.names.len(), change.values.len()), (4, 3));
        assert_eq!(Change::default().remove("b").expression(), "REMOVE #b");
    }
}
