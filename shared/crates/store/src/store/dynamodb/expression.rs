//! Update expressions, built attribute by attribute.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::Map;

/// The changes of one update, with the names and values for its placeholders.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct UpdateExpression {
    set: Vec<String>,
    remove: Vec<String>,
    /// Every attribute is written as `#name`, because DynamoDB reserves many words.
    pub(in crate::store) names: HashMap<String, String>,
    /// The values, as `:name`.
    pub(in crate::store) values: Map,
}

impl UpdateExpression {
    fn add_name(&mut self, name: &str) {
        self.names.insert(format!("#{name}"), name.to_owned());
    }

    fn add_value(&mut self, name: &str, value: AttributeValue) {
        self.add_name(name);
        self.values.insert(format!(":{name}"), value);
    }

    /// Sets an attribute.
    pub(in crate::store) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.add_value(name, value);
        self.set.push(format!("#{name} = :{name}"));
        self
    }

    /// Sets an attribute, or removes it if there is no value.
    pub(in crate::store) fn set_or_remove(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    /// Sets an attribute that does not exist yet.
    pub(in crate::store) fn set_if_absent(mut self, name: &str, value: AttributeValue) -> Self {
        self.add_value(name, value);
        self.set
            .push(format!("#{name} = if_not_exists(#{name}, :{name})"));
        self
    }

    /// Sets an attribute to the stored value of another attribute. The other attribute must exist.
    pub(in crate::store) fn copy(mut self, name: &str, from: &str) -> Self {
        self.add_name(name);
        self.add_name(from);
        self.set.push(format!("#{name} = #{from}"));
        self
    }

    /// Removes an attribute.
    pub(in crate::store) fn remove(mut self, name: &str) -> Self {
        self.add_name(name);
        self.remove.push(format!("#{name}"));
        self
    }

    /// The text of the update expression.
    pub(in crate::store) fn expression(&self) -> String {
        let clause = |keyword: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{keyword} {}", parts.join(", ")),
        };
        let set = clause("SET", &self.set);
        let remove = clause("REMOVE", &self.remove);
        format!("{set} {remove}").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::dynamodb::item::{number, text};

    #[test]
    fn an_update_names_the_attributes_it_sets_and_removes() {
        let update = UpdateExpression::default()
            .set("status", text("active"))
            .set_or_remove("a", Some(number(1)))
            .set_or_remove("b", None)
            .set_if_absent("c", number(2))
            .copy("d", "a");
        assert_eq!(
            update.expression(),
            "SET #status = :status, #a = :a, #c = if_not_exists(#c, :c), #d = #a REMOVE #b"
        );
        assert_eq!((update.names.len(), update.values.len()), (5, 3));
        assert_eq!(
            UpdateExpression::default().remove("b").expression(),
            "REMOVE #b"
        );
    }
}
