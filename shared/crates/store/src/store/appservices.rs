//! The row of all application services.

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, number},
        keys::{APPSERVICES, MAIN},
    },
};
use crate::appservices::AppserviceRecord;

/// All application services, and the version that makes a change conditional on the row that was
/// read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppservicesRow {
    /// The number of writes; 0 if there is no row.
    pub version: i64,
    /// The application services.
    pub records: Vec<AppserviceRecord>,
}

impl AppservicesRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let records =
            serde_json::from_str(row.text("records")?).map_err(|_| row.corrupt("records"))?;
        Ok(Self {
            version: row.number("version")?,
            records,
        })
    }
}

impl Store {
    /// Replaces the application services by `records`. One `PutItem` call on the condition that the
    /// stored version equals the version in `read`. Returns `false` if a concurrent write has changed the version.
    pub async fn replace_appservices(
        &self,
        read: &AppservicesRow,
        records: &[AppserviceRecord],
    ) -> Result<bool, StoreError> {
        let text = serde_json::to_string(records)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let item = Item::under(APPSERVICES, MAIN)
            .number("schema", 1)
            .number("version", read.version + 1)
            .text("records", text);
        let request = self
            .client
            .put_item()
            .table_name(&self.accounts)
            .set_item(Some(item.build()))
            .condition_expression("attribute_not_exists(pk) OR version = :read")
            .expression_attribute_values(":read", number(read.version));
        Ok(self.put_item(request).await?.is_written())
    }
}
